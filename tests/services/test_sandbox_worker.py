"""Sandbox worker: public examples judged over an executor, and failures of the machinery kept apart."""

from __future__ import annotations

import pytest

from atlas.commands import Execute, Select
from atlas.contracts import Candidate, Example, Problem, SamplingParams, Usage, Verdict
from atlas.errors import ExecutorError
from atlas.events import CandidateGenerated, ExecutionFinished, Pins, TaskSubmitted
from atlas.executor import Run, RunStatus
from atlas.executor_fake import FakeExecutor
from atlas.pipeline import advance
from atlas.policy import A
from atlas.worker import Context, direct
from services.sandbox.worker import execute, handler

EXAMPLES = tuple(Example(input=f"{i}\n", output=f"{2 * i}\n") for i in range(3))
EXECUTE = Execute(id="execute:c0", candidate="c0")


def context(**problem: object) -> Context:
    values = {"statement": "Double it.", "examples": EXAMPLES, **problem}
    submitted = TaskSubmitted(
        problem=Problem(**values),  # type: ignore[arg-type]
        policy=A.model_copy(update={"execute": True}),
        pins=Pins(pipeline="1", prompts_sha256="0" * 64, model="fake"),
        deadline_s=60,
    )
    candidate = Candidate(
        id="c0",
        origin="sample",
        code="the code",
        sampling=SamplingParams(temperature=0, max_tokens=16, seed=1),
        usage=Usage(),
    )
    context = direct(submitted, EXECUTE)
    generated = CandidateGenerated(command="generate:0", candidate=candidate)
    context.state = advance(context.state, [generated]).state
    return context


def doubling(code: str, text: str) -> Run:
    return Run(status=RunStatus.OK, output=f"{2 * int(text)}\n", wall_s=0.1)


async def test_a_candidate_is_run_on_every_public_example() -> None:
    executor, here = FakeExecutor(doubling), context()
    (event,) = await handler(executor)(here)
    assert isinstance(event, ExecutionFinished)
    assert (event.command, event.candidate) == ("execute:c0", "c0")
    assert event.execution.all_passed
    assert event.execution.isolation == "fake"
    (request,) = executor.requests
    assert request.code == "the code"
    assert request.inputs == ("0\n", "1\n", "2\n")
    assert request.limits == here.state.task.problem.limits


async def test_wrong_and_crashing_runs_are_results_and_do_not_stop_the_rest() -> None:
    def answers(code: str, text: str) -> Run:
        if text == "0\n":
            return Run(status=RunStatus.RUNTIME_ERROR, error="ZeroDivisionError")
        return Run(status=RunStatus.OK, output="4\n")

    execution = await execute(FakeExecutor(answers), context().state, "c0")
    verdicts = [result.verdict for result in execution.results]
    assert verdicts == [Verdict.RUNTIME_ERROR, Verdict.WRONG_ANSWER, Verdict.ACCEPTED]
    assert execution.passed == 1
    assert execution.results[0].error == "ZeroDivisionError"


async def test_a_function_problem_is_called_by_name() -> None:
    executor = FakeExecutor(lambda code, text: Run(status=RunStatus.OK, output="8"))
    examples = (Example(input="4", output="8"),)
    here = context(kind="function", entry_point="double", examples=examples)
    assert (await execute(executor, here.state, "c0")).all_passed
    assert (executor.requests[0].kind, executor.requests[0].entry_point) == ("function", "double")


@pytest.mark.parametrize("broken", [0, 1, 2])
async def test_a_run_the_machinery_failed_is_an_error_that_says_which(broken: int) -> None:
    def answers(code: str, text: str) -> Run:
        if int(text) == broken:
            return Run(status=RunStatus.INFRASTRUCTURE_ERROR, error="killed from outside")
        return (
            doubling(code, text) if int(text) else Run(status=RunStatus.RUNTIME_ERROR, error="its own fault")
        )

    with pytest.raises(ExecutorError, match="killed from outside"):
        await execute(FakeExecutor(answers), context().state, "c0")


async def test_other_commands_are_not_ours() -> None:
    here = context()
    here.command = Select(id="select")
    with pytest.raises(TypeError, match="select"):
        await handler(FakeExecutor(doubling))(here)


async def test_a_spoiled_run_is_tried_again_and_given_up_after_three_times() -> None:
    seen: list[str] = []

    def spoiled_once(code: str, text: str) -> Run:
        seen.append(text)
        if len(seen) == 1:
            return Run(status=RunStatus.INFRASTRUCTURE_ERROR, error="killed from outside")
        return doubling(code, text)

    assert (await execute(FakeExecutor(spoiled_once), context().state, "c0")).all_passed
    always = FakeExecutor(lambda code, text: Run(status=RunStatus.INFRASTRUCTURE_ERROR, error="no fork"))
    with pytest.raises(ExecutorError, match="no fork") as caught:
        await execute(always, context().state, "c0")
    assert not caught.value.retryable
    assert len(always.requests) == 3
