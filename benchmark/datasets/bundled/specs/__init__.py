"""What the bundled tasks say: statements of our own, and the inputs of their public examples.

`build.py` computes outputs with the reference programs and appends the examples to the statements, so that
text and tests cannot disagree. The order is the file's.
"""

from __future__ import annotations

from benchmark.datasets.bundled.specs.easy import EASY
from benchmark.datasets.bundled.specs.first import FIRST
from benchmark.datasets.bundled.specs.hard import HARD
from benchmark.datasets.bundled.specs.medium import MEDIUM
from benchmark.datasets.bundled.specs.spec import Spec

__all__ = ["SPECS", "Spec"]

SPECS: tuple[Spec, ...] = (*FIRST, *EASY, *MEDIUM, *HARD)
