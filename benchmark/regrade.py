"""Grades every distinct program of a run with both checkers, on the runner's own executor.

    python -m benchmark.regrade data/runs/monday
    python -m benchmark.regrade data/runs/monday --dataset data/lcb/test6.jsonl --json

Programs are read from the run's records and journals, tests from the data set, which must be the one the run
was made on (its content hash is in `config.json`). `RUN/grades.jsonl` takes one line per program as it is
graded, so a kill costs no more than the programs in hand. See `benchmark.grades`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from atlas.cancellation import cancel, run_interruptible
from atlas.config import Settings, load
from atlas.contracts import Contract, Verdict
from atlas.errors import BadInput
from benchmark.command import COMPLETE, WITH_ERRORS, carry_out
from benchmark.datasets import oddities, selection
from benchmark.drawn import drawn, programs
from benchmark.grades import FILE, GradeFile, Program, ProgramGrade, first_failure
from benchmark.protocol import Metric, Protocol, protocol
from benchmark.results import RunResults, load_run, program_sha256
from benchmark.run_store import content_sha256
from benchmark.scoring.grader import Grader
from benchmark.solve import Grades, summary_of
from benchmark.tasks import Task

EXAMPLES = """examples:
  python -m benchmark.regrade data/runs/monday                     a run on the bundled tasks
  python -m benchmark.regrade data/runs/lcb --dataset data/lcb/test6.jsonl --limit 100
                                                                   name the tasks as the run did
  python -m benchmark.regrade data/runs/monday --json | tail -n 1 | jq '.protocol.metrics[] | {name, rate}'

exit codes: 0 every program has a grade; 3 some could not be graded (the same command retries just those);
1 could not run; 2 wrong arguments; 130 interrupted (the same command goes on)"""


class Disagreement(Contract):
    """A submission that one checker passes and the other does not.

    `verdict` is what it fails by under the other one; `oddity`: what is known to be odd about its task, "" if
    nothing is.
    """

    task: str
    official: bool
    strict: bool
    verdict: Verdict | None
    oddity: str


class Regraded(Contract):
    """What `--json` prints. Programs are counted once per task, however often they were drawn.

    `programs` of `tasks` tasks with a result; `errors` of them have no grade, because machinery failed;
    `graded_now` were graded by this call. `differ` lists the submissions on which the checkers differ, and
    `programs_differ` counts all such programs. `changed` are tasks whose submission was graded otherwise in
    the run itself, and `unstable` those where the two gradings met different limits: programs near a limit,
    judged by the machine's load.
    """

    run_id: str
    run_dir: str
    dataset: str
    tasks: int
    programs: int
    graded_now: int
    errors: int
    official_passed: int
    strict_passed: int
    differ: tuple[Disagreement, ...]
    programs_differ: int
    changed: tuple[str, ...]
    unstable: tuple[str, ...]
    odd_tasks: tuple[str, ...]
    protocol: Protocol
    grades: str


@dataclass(frozen=True)
class Options:
    """The arguments."""

    run: Path
    selection: selection.Selection
    jobs: int
    json: bool
    config: Path | None


@dataclass(frozen=True)
class Work:
    """Programs to grade, and what it takes."""

    todo: Sequence[Program]
    code: Mapping[Program, str]
    tasks: Mapping[str, Task]
    grader: Grades
    at_once: int


def parse(argv: Sequence[str] | None) -> Options:
    """Read the arguments."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmark.regrade",
        description="Grade every distinct program of a run with both checkers, official and strict.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a run directory")
    parser.add_argument("--jobs", type=int, default=0, metavar="N", help="programs at once [one per core]")
    parser.add_argument("--json", action="store_true", help="last line of stdout: one JSON object")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file [./atlas.conf]")
    selection.add_options(parser)
    read = parser.parse_args(argv)
    if read.jobs < 0:
        parser.error(f"--jobs is {read.jobs}: 0 (one per core) or more")
    try:
        chosen = selection.from_options(read)
    except BadInput as error:
        parser.error(str(error))
    return Options(run=read.run, selection=chosen, jobs=read.jobs, json=read.json, config=read.config)


async def regrade(
    options: Options, settings: Settings, console: Console, grader: Grades | None = None
) -> Regraded:
    """Grade what has no settled grade yet, and sum up. `grader` is for tests.

    Raises:
        BadInput: it is no run, or the data set is not the one it was made on.
        AtlasError: a file cannot be read or written, or the executor does not start.
    """
    run = load_run(options.run)
    tasks = tasks_of(run, options.selection, settings.data_dir)
    wanted = programs(run)
    with GradeFile(run.directory) as file:
        todo = [name for name in wanted if name not in file.grades or not file.grades[name].settled]
        if todo:
            async with AsyncExitStack() as held:
                if grader is None:
                    own = Grader(jobs=options.jobs, isolation=settings.sandbox_isolation)
                    grader = await held.enter_async_context(own)
                work = Work(todo, wanted, tasks, grader, at_once=options.jobs or os.cpu_count() or 1)
                await _grade_all(work, file, console)
        return summed_up(run, tasks, wanted, file.grades, graded_now=len(todo))


def tasks_of(run: RunResults, chosen: selection.Selection, data_dir: Path) -> dict[str, Task]:
    """Return the tasks that a run was made on, by id, from the data set that the caller names.

    Raises:
        BadInput: the data set cannot be read, or is not what the run was made on.
    """
    tasks = selection.load(chosen, data_dir).tasks
    if content_sha256(tasks) != run.configuration.dataset_sha256:
        raise BadInput(
            f"run '{run.run_id}' was made on {run.configuration.tasks} tasks of "
            f"'{run.configuration.dataset}'; the {len(tasks)} tasks of '{chosen.label}' are not the same, or "
            "not in the same order. Name them with --dataset and the other options exactly as for the run"
        )
    return {task.id: task for task in tasks}


async def grade_both(task: Task, code: str, grader: Grades) -> ProgramGrade:
    """Grade one program with both checkers.

    A program that fails officially by anything but a wrong answer (a crash, a limit) fails strictly too, at
    that test or before: it is not run again, so that a limit met once in two times reads as no difference.
    """
    official = summary_of(await grader.grade(task, code, "official"))
    if first_failure(official) in (None, Verdict.WRONG_ANSWER):
        strict = summary_of(await grader.grade(task, code, "strict"))
    else:
        strict = official.model_copy(update={"checker": "strict", "note": "as official: not run again"})
    return ProgramGrade(task=task.id, program_sha256=program_sha256(code), official=official, strict=strict)


async def _grade_all(work: Work, file: GradeFile, console: Console) -> None:
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("programs"), TimeRemainingColumn())
    waiting = iter(work.todo)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        shown = bar.add_task("", total=len(work.todo))

        async def grade_on() -> None:
            for name in waiting:
                file.add(await grade_both(work.tasks[name.task], work.code[name], work.grader))
                bar.advance(shown)

        workers = [asyncio.ensure_future(grade_on()) for _ in range(min(work.at_once, len(work.todo)))]
        try:
            await asyncio.gather(*workers)
        finally:
            await cancel(*workers)


def summed_up(
    run: RunResults,
    tasks: Mapping[str, Task],
    wanted: Mapping[Program, str],
    grades: Mapping[Program, ProgramGrade],
    *,
    graded_now: int,
) -> Regraded:
    """Say what the grades of a run come to."""
    known = {name: oddity for name, task in tasks.items() if (oddity := oddities.of(task)) is not None}
    settled = [grades[name] for name in wanted if name in grades and grades[name].settled]
    pairs = [
        (result, grades[name])
        for result in run.graded
        if result.program_sha256 is not None
        and (name := Program(result.task, result.program_sha256)) in grades
        and grades[name].settled
    ]
    draws = [each for result in run.graded if (each := drawn(result)) is not None]
    return Regraded(
        run_id=run.run_id,
        run_dir=str(run.directory),
        dataset=run.configuration.dataset,
        tasks=run.n,
        programs=len(wanted),
        graded_now=graded_now,
        errors=len(wanted) - len(settled),
        official_passed=sum(grade.official.passed is True for _, grade in pairs),
        strict_passed=sum(grade.strict.passed is True for _, grade in pairs),
        differ=tuple(
            Disagreement(
                task=result.task,
                official=grade.official.passed is True,
                strict=grade.strict.passed is True,
                verdict=grade.failed_by,
                oddity=f"{known[result.task].kind}: {known[result.task].reason}"
                if result.task in known
                else "",
            )
            for result, grade in pairs
            if grade.differ
        ),
        programs_differ=sum(grade.differ for grade in settled),
        changed=tuple(result.task for result, grade in pairs if grade.official.passed != result.passed),
        unstable=tuple(result.task for result, grade in pairs if grade.unstable),
        odd_tasks=tuple(result.task for result in run.graded if result.task in known),
        protocol=protocol(
            run,
            grades,
            draws,
            odd=known.__contains__,
            strict_leaves_out=lambda task: task in known and known[task].strict,
        ),
        grades=str(run.directory / FILE),
    )


def table(result: Regraded) -> Table:
    """Draw the metrics, one a row."""
    title = f"{result.run_id}: {result.programs} programs of {result.tasks} tasks"
    drawn_table = Table("metric", "rate", "95% interval", "n", title=title, title_justify="left")
    for each in result.protocol.metrics:
        drawn_table.add_row(each.name, f"{each.rate:.1%}", _interval(each), str(each.n))
    return drawn_table


def lines(result: Regraded) -> list[str]:
    """Say what the table does not."""
    said = [f"{each.name}: {each.what}" for each in result.protocol.metrics]
    said += [f"{name}: not given: {why}" for name, why in result.protocol.not_given.items()]
    said += [f"checkers differ on {len(result.differ)} submissions, {result.programs_differ} programs in all"]
    for each in result.differ:
        passes = "official passes" if each.official else "strict passes"
        said.append(f"  {each.task}: {passes}" + (f"; known: {each.oddity}" if each.oddity else ""))
    for name, tasks in (("graded otherwise in the run", result.changed), ("near a limit", result.unstable)):
        said += [f"{name}: {', '.join(tasks)}"] if tasks else []
    said += [f"{result.errors} programs could not be graded; the same command retries"] * bool(result.errors)
    return said


def main(argv: Sequence[str] | None = None) -> int:
    """Run and return the exit code."""
    options = parse(argv)
    err = Console(stderr=True, soft_wrap=True)

    def work() -> Regraded:
        return run_interruptible(regrade(options, load(options.config), err))

    result = carry_out(work, _show, err, json=options.json, again="the same command goes on")
    if isinstance(result, int):
        return result
    return WITH_ERRORS if result.errors else COMPLETE


def _show(result: Regraded, console: Console) -> None:
    console.print(table(result))
    for line in lines(result):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _interval(metric: Metric) -> str:
    return f"[{metric.interval.low:.1%}, {metric.interval.high:.1%}]"


if __name__ == "__main__":
    sys.exit(main())
