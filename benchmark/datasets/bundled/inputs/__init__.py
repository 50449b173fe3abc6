"""Inputs of the bundled tasks' hidden tests: hand-picked edges, then seeded random ones, then large ones.

`hidden_inputs` seeds each task by its own id, so adding a task changes no other task's tests.
"""

from __future__ import annotations

import random

from benchmark.datasets.bundled.inputs.easy import EASY
from benchmark.datasets.bundled.inputs.first import FIRST
from benchmark.datasets.bundled.inputs.forms import Inputs
from benchmark.datasets.bundled.inputs.hard import HARD
from benchmark.datasets.bundled.inputs.medium import MEDIUM

_GENERATORS = FIRST | EASY | MEDIUM | HARD


def hidden_inputs(task_id: str) -> Inputs:
    """The hidden inputs of a task, the same on every run.

    Raises:
        KeyError: no such task.
    """
    # Not cryptographic: a fixed seed is the point. Integer draws are stable over Python versions.
    return _GENERATORS[task_id](random.Random(task_id))  # noqa: S311
