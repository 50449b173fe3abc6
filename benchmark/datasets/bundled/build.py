"""Writes `tasks.jsonl`: statements and inputs from here, outputs from the reference programs.

`python -m benchmark.datasets.bundled.build` writes the file, `--check` verifies that it is what would be
written. The reference programs live with the tests (`tests/benchmark/bundled_solutions/`) and not in the
package, so this runs in a checkout only.
"""

from __future__ import annotations

import argparse
import ast
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmark.datasets.bundled.inputs import hidden_inputs
from benchmark.datasets.bundled.specs import SPECS, Spec

HERE = Path(__file__).parent
TASKS = HERE / "tasks.jsonl"
SOLUTIONS = HERE.parents[2] / "tests" / "benchmark" / "bundled_solutions"
WRITTEN = "2026-11-23T00:00:00"
REFERENCE_TIME_S = 6.0

# Calls the method on the inputs given as JSON on stdin. LiveCodeBench offers `typing` names to starter code.
_CALL = """
import json, sys
from typing import *
source, method = sys.argv[1:]
exec(compile(open(source).read(), source, "exec"))
print(json.dumps(getattr(Solution(), method)(*map(json.loads, sys.stdin.read().split("\\n")))))
"""


def run_program(source: Path, method: str | None, text: str, time_s: float = REFERENCE_TIME_S) -> str:
    """Run one of *our own* programs (no sandbox) on one input; its output as a test's `output` would read.

    Raises:
        subprocess.CalledProcessError: it exited with an error.
        subprocess.TimeoutExpired: it took longer than `time_s` seconds of wall time.
    """
    command = [sys.executable, "-I", str(source)]
    if method:
        command = [sys.executable, "-I", "-c", _CALL, str(source), method]
    done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=time_s, check=True)
    return done.stdout.rstrip("\n")


def signature(starter: str) -> tuple[str, list[str]]:
    """The method's name and its arguments' names, read from the starter code."""
    method = next(n for n in ast.walk(ast.parse(starter + "pass")) if isinstance(n, ast.FunctionDef))
    return method.name, [a.arg for a in method.args.args[1:]]


def row(spec: Spec) -> dict[str, object]:
    """The task's row in LiveCodeBench's schema."""
    method, arguments = signature(spec.starter) if spec.starter else (None, [])
    testtype = "functional" if method else "stdin"

    def tests(inputs: Sequence[str]) -> list[dict[str, str]]:
        source = SOLUTIONS / f"{spec.id}.py"
        return [{"input": i, "output": run_program(source, method, i), "testtype": testtype} for i in inputs]

    public = tests(spec.public)
    shown = (
        _example(number, test, arguments if method else None) for number, test in enumerate(public, start=1)
    )
    return {
        "question_id": spec.id,
        "platform": "atlas",
        "title": spec.title,
        "question_content": "\n\n".join((spec.statement, *shown)),
        "starter_code": spec.starter,
        "difficulty": spec.difficulty,
        "contest_date": WRITTEN,
        "public_tests": public,
        "private_tests": tests(hidden_inputs(spec.id)),
        "metadata": {"func_name": method} if method else {},
    }


def _example(number: int, test: dict[str, str], arguments: list[str] | None) -> str:
    if arguments is None:
        return (
            f"Sample Input {number}\n\n{test['input'].rstrip()}\n\nSample Output {number}\n\n{test['output']}"
        )
    values = ", ".join(f"{n} = {v}" for n, v in zip(arguments, test["input"].split("\n"), strict=True))
    return f"Example {number}:\n\nInput: {values}\nOutput: {test['output']}"


def build() -> str:
    """The whole file's text."""
    return "".join(json.dumps(row(spec), ensure_ascii=False) + "\n" for spec in SPECS)


def main(argv: Sequence[str] | None = None) -> int:
    """Write the file, or with `--check` say whether it is up to date (exit code 1 if not)."""
    parser = argparse.ArgumentParser(prog="python -m benchmark.datasets.bundled.build", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if it would change")
    check = parser.parse_args(argv).check
    if not SOLUTIONS.is_dir():
        parser.error(f"no reference programs in {SOLUTIONS}: run this in a checkout of the repository")
    text = build()
    if not check:
        TASKS.write_text(text, encoding="utf-8")
        print(f"{TASKS.name}: {len(SPECS)} tasks, {len(text.encode()) / 1e3:.0f} kB")
    elif not TASKS.exists() or TASKS.read_text(encoding="utf-8") != text:
        print(f"{TASKS.name} is not what this would write: run python -m benchmark.datasets.bundled.build")
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
