"""How often the judge gives the known verdict: programs whose verdict is known, judged again by ours.

    python -m benchmark.judge --tasks TASKS.jsonl --solutions SOLUTIONS.jsonl --grader official --json

The last line is one JSON object. A row the files cannot decide is skipped, with its reason; one that our
machinery could not judge counts as a disagreement.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from atlas.checkers import Checker
from atlas.contracts import Contract, Limits, Verdict
from atlas.errors import AtlasError, BadInput
from benchmark import judge_subprocess
from benchmark.datasets import normalised
from benchmark.datasets.normalised import Kind, Solution, Tasks
from benchmark.scoring.grader import Grader
from benchmark.statistics import wilson_interval
from benchmark.tasks import Task

FAILED, COMPLETE = 2, 0
# Compared ways of judging take turns in blocks of rows, so that the machine's noise falls on both.
BLOCK = 24
SAY_EVERY = 50
Said = Literal["pass", "fail", "error"]


class Disagreement(Contract):
    """A row on which we and the data differ. `id` is its row number and question_id.

    `ours` is `error` where the machinery failed, and `error` then says how. `verdicts` counts ours in their
    order; the last belongs to test number `test` (from 1) of `tests`. `left_out`: so many official tests of
    the task are in none of the files, and one of them may show what ours do not.
    """

    id: str
    expected: Said
    expected_kind: Kind | None
    ours: Said
    verdicts: str
    test: int
    tests: int
    left_out: int
    error: str | None = None


class Skipped(Contract):
    """Rows that the files cannot decide, and why."""

    reason: str
    n: int
    ids: tuple[str, ...]


class Kinds(Contract):
    """Of the rows that both call failed and whose data say how: where we name the same kind of failure."""

    n: int
    agree: int
    disagree: tuple[Disagreement, ...]


class Report(Contract):
    """What `--json` prints. Times are wall seconds; the interval is Wilson's, at 95%.

    `subprocess_…`: the same rows through a plain subprocess harness, with `--compare`.
    """

    solutions: str
    grader: Checker
    n: int
    agree: int
    rate: float
    rate_low: float
    rate_high: float
    disagree: tuple[Disagreement, ...]
    kinds: Kinds
    skipped: tuple[Skipped, ...]
    tests_run: int
    isolation: str
    jobs: int
    limits: Limits
    wall_s: float
    subprocess_wall_s: float | None = None
    subprocess_agree: int | None = None
    subprocess_disagree: tuple[Disagreement, ...] | None = None


@dataclass(frozen=True)
class Outcome:
    """What one way of judging made of a solution; `passed` is None if it could not judge it."""

    solution: Solution
    passed: bool | None
    verdicts: tuple[Verdict, ...]
    tests: int
    left_out: int = 0
    isolation: str = ""
    error: str | None = None

    @property
    def agrees(self) -> bool:
        """True if it is the verdict that the data give."""
        return self.passed == self.solution.passes

    @property
    def kind(self) -> Kind | None:
        """How the program failed, in the official grader's terms; None if it did not."""
        if self.passed is not False:
            return None
        last = self.verdicts[-1] if self.verdicts else None
        if last is Verdict.WRONG_ANSWER:
            return "wrong_answer"
        return "time_limit" if last is Verdict.TIME_LIMIT else "runtime_error"

    def disagreement(self) -> Disagreement:
        """Say both verdicts."""
        runs = [(verdict.value, len(list(group))) for verdict, group in itertools.groupby(self.verdicts)]
        return Disagreement(
            id=self.solution.name,
            expected="pass" if self.solution.passes else "fail",
            expected_kind=self.solution.kind,
            ours="error" if self.passed is None else "pass" if self.passed else "fail",
            verdicts=", ".join(f"{count} {name}" if count > 1 else name for name, count in runs),
            test=len(self.verdicts),
            tests=self.tests,
            left_out=self.left_out,
            error=self.error,
        )


JudgeOne = Callable[[Solution], Awaitable[Outcome]]


class JudgeProgress:
    """A context manager that shows on stderr how far it is; each disagreement gets a line."""

    def __init__(self, console: Console, total: int) -> None:
        self._console, self._total = console, total
        self._done = self._agreed = 0
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[state]}", markup=False))
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("", total=total, state="")

    def __enter__(self) -> JudgeProgress:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def done(self, outcome: Outcome) -> None:
        """Count one."""
        self._done += 1
        self._agreed += outcome.agrees
        state = f"{self._agreed}/{self._done} agree"
        if not outcome.agrees:
            row = outcome.disagreement()
            what = f"{row.id}: expected {row.expected}, ours {row.ours} ({row.error or row.verdicts})"
            self._console.print(f"[{self._done}/{self._total}] {what}", markup=False, highlight=False)
        elif not self._console.is_terminal and self._done % SAY_EVERY == 0:
            self._console.print(f"[{self._done}/{self._total}] {state}", markup=False, highlight=False)
        self._bar.update(self._task, completed=self._done, state=state)


async def measure(options: argparse.Namespace, console: Console) -> Report:
    """Judge every row that can be judged.

    Raises:
        BadInput: malformed files, or no row that can be judged.
        StartupError: the executor does not come up.
    """
    found = normalised.solutions(options.solutions)
    tasks = normalised.tasks(options.tasks, {s.question_id for s in found}, options.bigtests)
    if options.all_rows:
        found = [replace(each, on_large_test=False) for each in found]
    rows = [each for each in found if not tasks.why_not(each)]
    skipped = _skipped(found, tasks)
    if not rows:
        raise BadInput(f"{options.solutions}: no row can be judged: {_reasons(skipped)}")
    limits = Limits(time_s=options.time_s, memory_mb=options.memory_mb, output_kb=options.output_kb)
    tasks = replace(tasks, by_id={name: limited(task, limits) for name, task in tasks.by_id.items()})
    async with Grader(jobs=options.jobs) as grader:
        ways: list[JudgeOne] = [_by_grader(grader, tasks, options.grader)]
        if options.compare:
            ways.append(_by_subprocess(tasks, options.grader))
        with JudgeProgress(console, len(rows) * len(ways)) as progress:
            outcomes, walls = await _all(rows, ways, options.jobs, progress)
    return _report(options, limits, skipped, outcomes, walls)


def limited(task: Task, limits: Limits) -> Task:
    """Return the task with other limits."""
    return replace(task, problem=task.problem.model_copy(update={"limits": limits}))


def _skipped(found: Iterable[Solution], tasks: Tasks) -> tuple[Skipped, ...]:
    ids: dict[str, list[str]] = {}
    for each in found:
        if reason := tasks.why_not(each):
            ids.setdefault(reason, []).append(each.name)
    return tuple(Skipped(reason=reason, n=len(names), ids=tuple(names)) for reason, names in ids.items())


def _by_grader(grader: Grader, tasks: Tasks, checker: Checker) -> JudgeOne:
    async def one(solution: Solution) -> Outcome:
        name = solution.question_id
        grade = await grader.grade(tasks.by_id[name], solution.code, checker)
        return Outcome(
            solution,
            grade.passed,
            grade.verdicts,
            grade.tests,
            left_out=tasks.left_out.get(name, 0),
            isolation=grade.isolation,
            error=grade.error,
        )

    return one


def _by_subprocess(tasks: Tasks, checker: Checker) -> JudgeOne:
    async def one(solution: Solution) -> Outcome:
        name = solution.question_id
        task, left_out = tasks.by_id[name], tasks.left_out.get(name, 0)
        verdicts = await asyncio.to_thread(judge_subprocess.verdicts, task, solution.code, checker)
        tests = len(task.grading_tests)
        passed = verdicts == (Verdict.ACCEPTED,) * tests
        return Outcome(solution, passed, verdicts, tests, left_out=left_out)

    return one


async def _all(
    rows: Sequence[Solution], ways: Sequence[JudgeOne], jobs: int, progress: JudgeProgress
) -> tuple[list[list[Outcome]], list[float]]:
    """Return each way's outcomes, in the rows' order, and its wall seconds."""
    outcomes: list[list[Outcome]] = [[] for _ in ways]
    walls = [0.0 for _ in ways]
    size = BLOCK if len(ways) > 1 else len(rows)
    for number, start in enumerate(range(0, len(rows), size)):
        order = range(len(ways)) if number % 2 == 0 else reversed(range(len(ways)))
        for way in order:
            began = time.monotonic()
            outcomes[way] += await _block(rows[start : start + size], ways[way], jobs, progress)
            walls[way] += time.monotonic() - began
    return outcomes, walls


async def _block(
    rows: Sequence[Solution], judge_one: JudgeOne, jobs: int, progress: JudgeProgress
) -> list[Outcome]:
    waiting = iter(enumerate(rows))
    found: dict[int, Outcome] = {}

    async def work() -> None:
        for index, solution in waiting:
            found[index] = await judge_one(solution)
            progress.done(found[index])

    await asyncio.gather(*(work() for _ in range(jobs)))
    return [found[index] for index in range(len(rows))]


def _report(
    options: argparse.Namespace,
    limits: Limits,
    skipped: tuple[Skipped, ...],
    outcomes: Sequence[Sequence[Outcome]],
    walls: Sequence[float],
) -> Report:
    ours, *others = outcomes
    agree, interval = _agree(ours), wilson_interval(_agree(ours), len(ours))
    named = [each for each in ours if each.kind is not None and each.solution.kind is not None]
    differing = [each.disagreement() for each in named if each.kind != each.solution.kind]
    return Report(
        solutions=options.solutions.name,
        grader=options.grader,
        n=len(ours),
        agree=agree,
        rate=round(agree / len(ours), 5),
        rate_low=round(interval.low, 5),
        rate_high=round(interval.high, 5),
        disagree=_disagreements(ours),
        kinds=Kinds(n=len(named), agree=len(named) - len(differing), disagree=tuple(differing)),
        skipped=skipped,
        tests_run=sum(len(each.verdicts) for each in ours),
        isolation=", ".join(sorted({each.isolation for each in ours} - {""})),
        jobs=options.jobs,
        limits=limits,
        wall_s=round(walls[0], 2),
        subprocess_wall_s=round(walls[1], 2) if others else None,
        subprocess_agree=_agree(others[0]) if others else None,
        subprocess_disagree=_disagreements(others[0]) if others else None,
    )


def _agree(outcomes: Iterable[Outcome]) -> int:
    return sum(each.agrees for each in outcomes)


def _disagreements(outcomes: Iterable[Outcome]) -> tuple[Disagreement, ...]:
    return tuple(each.disagreement() for each in outcomes if not each.agrees)


def _reasons(skipped: Iterable[Skipped]) -> str:
    return "; ".join(f"{each.n} rows: {each.reason}" for each in skipped)


def _lines(report: Report) -> Iterable[str]:
    """Yield the report as text for people."""
    share = f"{report.rate:.2%} [{report.rate_low:.2%}, {report.rate_high:.2%}]"
    yield f"{report.solutions}: {report.agree} of {report.n} agree, {share}, {report.tests_run:,} runs"
    if report.kinds.n:
        yield f"kind of failure: {report.kinds.agree} of {report.kinds.n} agree"
    if report.skipped:
        yield f"skipped: {_reasons(report.skipped)}"
    yield f"{report.wall_s:.1f} s, {report.jobs} at once, isolation {report.isolation}"
    if report.subprocess_wall_s is not None:
        agree = f"{report.subprocess_agree} of {report.n} agree"
        yield f"{report.subprocess_wall_s:.1f} s with plain subprocesses; {agree}"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; the exit status is 0 however often they disagree."""
    options = _parse(argv)
    err = Console(stderr=True, soft_wrap=True)
    try:
        report = asyncio.run(measure(options, err))
    except AtlasError as error:
        err.print(f"{error.title}: {error}", style="red", markup=False, highlight=False)
        return FAILED
    (err if options.json else Console(soft_wrap=True)).print(
        "\n".join(_lines(report)), markup=False, highlight=False
    )
    if options.json:
        print(report.model_dump_json(), flush=True)
    return COMPLETE


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmark.judge", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "--tasks", type=Path, action="append", required=True, metavar="FILE", help="tasks; may be repeated"
    )
    parser.add_argument("--bigtests", type=Path, metavar="FILE", help="large tests of these tasks")
    parser.add_argument("--solutions", type=Path, required=True, metavar="FILE", help="programs to judge")
    parser.add_argument("--grader", choices=("official", "strict"), default="official", help="[%(default)s]")
    parser.add_argument(
        "--compare", action="store_true", help="also time a plain subprocess harness, WITHOUT A SANDBOX"
    )
    parser.add_argument(
        "--all-rows",
        action="store_true",
        help="count also the rows whose verdict may hang on a large test that the files leave out",
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="programs at once [%(default)s]"
    )
    parser.add_argument(
        "--time-s", type=float, default=6.0, help="per test, LiveCodeBench's own [%(default)s]"
    )
    parser.add_argument(
        "--memory-mb", type=int, default=4096, help="per test; LiveCodeBench: none [%(default)s]"
    )
    parser.add_argument(
        "--output-kb", type=int, default=16_384, help="per test; LiveCodeBench: none [%(default)s]"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args(argv)
    if options.jobs < 1:
        parser.error("--jobs must be at least 1")
    return options


if __name__ == "__main__":
    sys.exit(main())
