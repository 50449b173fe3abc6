"""Probes: a candidate on every input of a round, for its outputs to be compared with other candidates'."""

from __future__ import annotations

import hashlib
import time

from atlas.commands import Probe
from atlas.errors import BadOutput
from atlas.events import CandidateProbed
from atlas.executor import Executor, Run
from atlas.generated_inputs import OUTPUT_KEPT_CHARS, ProbedRun
from atlas.state import TaskState
from services.sandbox.asking import ask_each, how


async def probe(executor: Executor, state: TaskState, command: Probe) -> CandidateProbed:
    """Run the candidate on the round's inputs; `seconds` is the time the executor took.

    Raises:
        BadOutput: if the round has no inputs.
        ExecutorError: if the executor could not be asked, or spoiled every try.
    """
    made = state.inputs.get(command.round)
    if made is None or not made.inputs:
        raise BadOutput(f"round {command.round} has no inputs")
    problem, code = state.task.problem, state.candidates[command.candidate].code or ""
    texts = tuple(given.text for given in made.inputs)
    began = time.monotonic()
    runs, isolation = await ask_each(executor, how(problem, code, texts))
    return CandidateProbed(
        command=command.id,
        round=command.round,
        candidate=command.candidate,
        runs=tuple(_kept(run) for run in runs),
        isolation=isolation,
        seconds=time.monotonic() - began,
    )


def _kept(run: Run) -> ProbedRun:
    text = run.output.encode("utf-8", "surrogatepass")
    return ProbedRun(
        status=run.status,
        output=run.output[:OUTPUT_KEPT_CHARS],
        output_sha256=hashlib.sha256(text).hexdigest(),
    )
