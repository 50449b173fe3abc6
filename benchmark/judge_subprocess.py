"""The plain way to judge a program, for comparison: `python3` once per test, with no sandbox at all.

It trusts the program with everything its own user can do: only for data whose programs are known. The same
checkers compare, the same number of programs runs at once, and it too stops at the first failure.
Not covered: memory limits, and time is wall time, so a loaded machine fails slow programs.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from atlas.checkers import Checker, matches
from atlas.contracts import Example, Verdict
from benchmark.tasks import Task

# LiveCodeBench gives programs this much recursion; a function's program finds these names without importing.
_SCRIPT = """
import sys
sys.setrecursionlimit(50000)
with open(sys.argv[1], encoding="utf-8") as file:
    program = compile(file.read(), "program.py", "exec")
"""
RUN_STDIN = _SCRIPT + 'exec(program, {"__name__": "__main__"})\n'
_PRELUDE = (
    *("string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random", "statistics"),
    *("itertools", "functools", "operator", "io", "typing"),
)
RUN_FUNCTION = (
    "".join(f"from {name} import *\nimport {name}\n" for name in _PRELUDE)
    + "from builtins import *\n"
    + _SCRIPT
    + """
import json, types
names = types.ModuleType("solution")
names.__dict__.update({name: value for name, value in globals().items() if name[:2] != "__"})
sys.modules["solution"] = names
arguments = [json.loads(line) for line in sys.stdin.read().split("\\n") if line.strip()]
real, sys.stdout = sys.stdout, sys.stderr
exec(program, names.__dict__)
owner = names.__dict__.get("Solution")
function = getattr(owner(), sys.argv[2]) if hasattr(owner, sys.argv[2]) else names.__dict__[sys.argv[2]]
json.dump(function(*arguments), real)
"""
)


def verdicts(task: Task, code: str, checker: Checker) -> tuple[Verdict, ...]:
    """Judge a program on all tests of a task, in order, up to the first that is not accepted."""
    found: list[Verdict] = []
    with tempfile.TemporaryDirectory(prefix="atlas-plain-") as directory:
        path = Path(directory) / "program.py"
        path.write_text(code, encoding="utf-8")
        for test in task.grading_tests:
            found.append(_verdict(task, path, test, checker))
            if found[-1] is not Verdict.ACCEPTED:
                break
    return tuple(found)


def _verdict(task: Task, path: Path, test: Example, checker: Checker) -> Verdict:
    kind, entry_point = task.problem.kind, task.problem.entry_point or ""
    driver = RUN_FUNCTION if kind == "function" else RUN_STDIN
    try:
        ended = subprocess.run(
            [sys.executable, "-I", "-X", "utf8", "-c", driver, str(path), entry_point],
            input=test.input.encode(),
            capture_output=True,
            timeout=task.problem.limits.time_s,
            cwd=path.parent,
            env={},
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Verdict.TIME_LIMIT
    if ended.returncode != 0:
        return Verdict.RUNTIME_ERROR
    output = ended.stdout.decode("utf-8", "replace")
    right = matches("function" if kind == "function" else "stdin", output, test.output, checker)
    return Verdict.ACCEPTED if right else Verdict.WRONG_ANSWER
