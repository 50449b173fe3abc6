"""`atlas solve`: one problem in, one program out."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperCommand

from atlas.cli_common import (
    ABSTAINED,
    NO_PROGRAM,
    NOT_PASSING,
    TROUBLE,
    ConfigOption,
    TargetOption,
    run,
    settings_of,
    stderr,
)
from atlas.errors import BadInput

if TYPE_CHECKING:
    from atlas.api import SubmitRequest, TaskView
    from atlas.client import Gateway
    from atlas.config import Settings
    from atlas.embedded.own_stack import Stack

EXAMPLE = "--example"
CANCEL_PATIENCE_S = 5.0


class PairedExamples(TyperCommand):
    """Lets `--example` take two files, as often as it is given: Typer has lists of one value only."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Read `--example IN OUT` as `--example IN --example OUT`."""
        paired: list[str] = []
        words = iter(args)
        for word in words:
            paired.append(word)
            if word == EXAMPLE:
                paired += [next(words, ""), EXAMPLE, next(words, "")]
        return super().parse_args(ctx, paired)


def solve(
    file: Annotated[str, typer.Argument(metavar="FILE", help="the problem; - reads it from standard input")],
    example: Annotated[
        list[str] | None,
        typer.Option(EXAMPLE, metavar="IN OUT", help="files of a public example's input and output"),
    ] = None,
    policy: Annotated[
        str | None, typer.Option("--policy", metavar="NAME", help="how much to spend, and where (else full)")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, metavar="N", help="the policy's seed")] = None,
    abstain_below: Annotated[
        float | None,
        typer.Option(
            "--abstain-below",
            min=0.0,
            max=1.0,
            metavar="P",
            help="print no program whose confidence is lower (else the policy's)",
        ),
    ] = None,
    deadline: Annotated[
        float | None,
        typer.Option("--deadline", min=0.001, metavar="SECONDS", help="when to take the best there is"),
    ] = None,
    function: Annotated[
        str | None, typer.Option("--function", metavar="NAME", help="the function to write, not a program")
    ] = None,
    starter: Annotated[
        Path | None, typer.Option("--starter", metavar="FILE", help="code that the answer must complete")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="print the task with its evidence as one JSON object")
    ] = False,
    target: TargetOption = None,
    config: ConfigOption = None,
) -> None:
    """Solve a problem and print the program (of a multiple choice the letter) alone on standard output.

    FILE is a statement in plain text or Markdown, or JSON: a problem, as in {"statement": "..."}, or a
    whole request, as in {"problem": {...}, "policy": "full"}; docs/API.md has all their fields. A terminal
    shows the stages on standard error, whose last line says what the program passed, and the probability
    that it is right. If no gateway answers, the stack of the settings is started for this run and stopped
    after it. Ctrl-C cancels the task.

    Examples:
      atlas solve problem.md > solution.py
      atlas solve problem.md --example 1.in 1.out --example 2.in 2.out
      atlas solve problem.json --policy A --seed 7 --json
      atlas solve problem.md --abstain-below 0.5
      atlas solve problem.md --function two_sum --starter stub.py --deadline 60
      echo 'Print the sum of two integers read from one line.' | atlas solve -

    Exit codes:
      0    a program that passed every public example, or there were none; a letter that was voted for
      1    the stack failed, or cannot be reached
      2    wrong usage or settings
      3    the task ended without a program
      4    a program that is not known to pass every public example
      5    no program: the best one's confidence is below --abstain-below
      130  interrupted
    """
    from atlas.problem_file import request_of

    request = request_of(
        file,
        examples=_pairs(example or []),
        function=function,
        starter=starter,
        policy=policy,
        seed=seed,
        abstain_below=abstain_below,
        deadline_s=deadline,
    )
    view = run(_solved(settings_of(config), request, target))
    _show(view, as_json)
    if code := exit_code(view):
        raise typer.Exit(code)


def exit_code(view: TaskView) -> int:
    """Return what a task's end means to a shell."""
    if view.status == "abstained":
        return ABSTAINED
    if view.program is None or view.evidence is None:
        return TROUBLE if view.infrastructure else NO_PROGRAM
    good = ("passed_public_examples", "no_public_examples", "majority_vote")
    return 0 if view.evidence.basis in good else NOT_PASSING


def _pairs(files: list[str]) -> list[tuple[Path, Path]]:
    if "" in files:
        raise BadInput(f"{EXAMPLE} takes two files: the input and the output")
    return [(Path(given), Path(wanted)) for given, wanted in zip(files[::2], files[1::2], strict=True)]


def _show(view: TaskView, as_json: bool) -> None:
    from atlas.story import epilogue
    from atlas.story_words import escaped

    if as_json:
        typer.echo(view.model_dump_json())
    elif view.program is not None:
        program = escaped(view.program) if sys.stdout.isatty() else view.program
        typer.echo(program, nl=not program.endswith("\n"))
    good = view.evidence is not None and exit_code(view) == 0
    stderr().print(epilogue(view), style="green" if good else "yellow", markup=False)


async def _solved(settings: Settings, request: SubmitRequest, target: str | None) -> TaskView:
    from atlas.embedded.own_stack import reach

    console = stderr()
    async with reach(settings, console, target=target) as stack:
        task = await _submitted(stack.gateway, request)
        try:
            return await _watched(stack, task)
        except asyncio.CancelledError:
            await _cancelled(stack.gateway, task)
            raise


async def _submitted(gateway: Gateway, request: SubmitRequest) -> str:
    """Return the task's id; interrupted while it is submitted, cancel it too."""
    import uuid

    submission = asyncio.ensure_future(gateway.submit(request, uuid.uuid4().hex))
    try:
        return (await asyncio.shield(submission))[0].id
    except asyncio.CancelledError:
        done, _ = await asyncio.wait({submission}, timeout=CANCEL_PATIENCE_S)
        if done and submission.exception() is None:
            await _cancelled(gateway, submission.result()[0].id)
        submission.cancel()
        raise


async def _watched(stack: Stack, task: str) -> TaskView:
    """Return the task when it has ended, showing it meanwhile; fail when a stack of our own ends first."""
    from atlas.cancellation import cancel
    from atlas.cli_story import Stages

    with Stages(stderr()) as stages:
        solved = asyncio.ensure_future(stack.gateway.wait(task, stages.heard))
        ended = asyncio.ensure_future(stack.ended())
        try:
            await asyncio.wait({solved, ended}, return_when=asyncio.FIRST_COMPLETED)
            if not solved.done():
                await ended
            return await solved
        finally:
            await cancel(solved, ended)


async def _cancelled(gateway: Gateway, task: str) -> None:
    """Cancel a task; where that takes too long, say so."""
    from atlas.errors import AtlasError

    said = f"task {task} may still be running: atlas cancel {task}"
    with contextlib.suppress(AtlasError, asyncio.TimeoutError):
        await asyncio.wait_for(gateway.cancel(task), CANCEL_PATIENCE_S)
        said = f"task {task} is cancelled"
    stderr().print(said, markup=False)
