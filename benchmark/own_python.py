"""Goes on in the repository's own venv where the Python that was called lacks what is needed.

Nothing but the standard library is imported here: that is what there is.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

OLDEST = (3, 10)
NEEDED = ("httpx", "numpy", "pydantic", "rich", "scipy")
MARK = "ATLAS_TEST_OWN_PYTHON"  # of a process that was begun here; no setting, by its name


def ensure(root: Path, arguments: Sequence[str]) -> None:
    """Return if this Python will do; else run `arguments` with the one in `root`/.venv, and do not return.

    Exits with 1, and what to do about it, where there is none, or it lacks something as well.
    """
    absent = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if sys.version_info < OLDEST:  # RHEL 9's own is 3.9
        absent.insert(0, "language of " + ".".join(map(str, OLDEST)))
    if not absent:
        return
    python = root / ".venv" / "bin" / "python"
    if python.is_file() and MARK not in os.environ:
        os.execve(python, [str(python), *arguments], os.environ | {MARK: "1"})  # noqa: S606 - no shell is meant
    sys.stderr.write(
        f"{sys.executable} has no {', '.join(absent)}, and {python} is not there or lacks it too: "
        "./scripts/demo.sh and ./scripts/install.sh make it\n"
    )
    raise SystemExit(1)
