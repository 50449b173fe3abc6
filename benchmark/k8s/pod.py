"""The two containers of the Job's pod, as they start: `python -m benchmark.k8s.pod runner | executor`.

    runner   --done FILE -- ARGUMENTS...   v3_runner; says its exit code, then that all is done
    executor --done FILE --uds PATH ...    the sandbox executor; ends when all is done

Nothing else tells a second container that the first has ended: a Job counts as done when all have.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmark import v3_runner
from benchmark.command import COMPLETE, FAILED, WITH_ERRORS

WRONG_ARGUMENTS = 2  # argparse's
ANSWERS = (COMPLETE, FAILED, WRONG_ARGUMENTS, WITH_ERRORS)
TERMINATION_LOG = Path("/dev/termination-log")
POLL_S = 0.5
STOP_S = 20.0


def runner(arguments: Sequence[str], done: Path, said: Path = TERMINATION_LOG) -> int:
    """Run v3_runner; return 0 if it has answered (`said` holds its exit code), else its code.

    A runner that was interrupted has not answered: the pod is being moved, and the next one goes on.
    """
    try:
        code = v3_runner.main(arguments)
    except SystemExit as wrong_arguments:
        code = wrong_arguments.code if isinstance(wrong_arguments.code, int) else 1
    if code not in ANSWERS:
        return code
    said.write_text(str(code), encoding="ascii")
    done.touch()
    return 0


def executor(arguments: Sequence[str], done: Path) -> int:
    """Run the executor until `done` exists; its exit code if it ends before that."""
    if done.exists():  # started again after the end
        return 0
    # As a container's first process it would not hear of SIGTERM otherwise.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    child = subprocess.Popen([sys.executable, "-m", "services.sandbox.executor", *arguments])
    try:
        while child.poll() is None:
            if done.exists():
                return 0
            time.sleep(POLL_S)
        return child.returncode or 1
    finally:
        child.terminate()
        try:
            child.wait(STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()


def main(argv: Sequence[str] | None = None) -> int:
    """Start what the container is for."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.k8s.pod", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("which", choices=("runner", "executor"))
    parser.add_argument("--done", type=Path, required=True, metavar="FILE", help="exists when all is done")
    options, rest = parser.parse_known_args(argv)
    arguments = rest[1:] if rest[:1] == ["--"] else rest
    if options.which == "runner":
        return runner(arguments, options.done)
    return executor(arguments, options.done)


if __name__ == "__main__":
    sys.exit(main())
