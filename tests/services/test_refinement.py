"""Refinement: several failures, one analysis in a fixed form, a program in its light, within its limits."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import replace
from typing import get_args

import pytest

from atlas.budget import LEAST_TOKENS
from atlas.commands import Refine
from atlas.contracts import (
    Candidate,
    Example,
    Execution,
    FailureCategory,
    Problem,
    SamplingParams,
    TestResult,
    Usage,
    Verdict,
)
from atlas.errors import BadOutput, BudgetSpent, CallTimeout
from atlas.events import AnyEvent, CandidateGenerated, CommandFailed, Pins, TaskSubmitted
from atlas.executor import Run, RunStatus
from atlas.executor_fake import FakeExecutor
from atlas.llama import CompletionRequest, CompletionResult, OnTokens
from atlas.llama_fake import FakeModelServer
from atlas.policy import Policy
from atlas.worker import Context, direct
from services.repair.refinement import SCHEMA, refine
from services.repair.worker import handler
from tests.support.in_memory import solve

PROGRAMS = {"c0": "print(int(input()) + 1)\n", "c1": "print(int(input()) ** 2)\n"}
MENDED = "```python\nprint(int(input()) * 2)\n```"
PROBLEM = Problem(
    statement="Double the number.",
    examples=(
        Example(input="1", output="2"),
        Example(input="3", output="6"),
        Example(input="5", output="10"),
    ),
)
ANALYSIS = {
    "category": "wrong_algorithm",
    "cause": "It does not double.",
    "constraints": ["Multiply by two."],
}
COMMAND = Refine(id="refine:0", index=0, candidates=("c1", "c0"))


def failing(*outputs: str) -> Execution:
    results = tuple(
        TestResult(verdict=Verdict.ACCEPTED if got == e.output else Verdict.WRONG_ANSWER, output=got)
        for got, e in zip(outputs, PROBLEM.examples, strict=True)
    )
    return Execution(results=results, isolation="fake", seconds=0.0)


def context(**policy: float) -> Context:
    pins = Pins(pipeline="1", prompts_sha256="0", model="fake")
    spend = Policy.model_validate({"name": "p", "refinements": 1, **policy})
    made = direct(TaskSubmitted(problem=PROBLEM, policy=spend, pins=pins, deadline_s=60), COMMAND)
    sampling = SamplingParams(temperature=0, max_tokens=1, seed=0)
    candidates = {
        name: Candidate(id=name, origin="sample", code=code, sampling=sampling, usage=Usage())
        for name, code in PROGRAMS.items()
    }
    executions = {"c0": failing("2", "4", "6"), "c1": failing("1", "9", "25")}
    made.state = replace(made.state, candidates=candidates, executions=executions)
    return made


def answers(request: CompletionRequest) -> str:
    return json.dumps(ANALYSIS) if request.json_schema else MENDED


async def test_several_failures_feed_one_analysis_and_one_program() -> None:
    server = FakeModelServer(answers)
    [event] = await handler(server)(context())
    first, second = server.requests
    assert (first.json_schema, second.json_schema) == (SCHEMA, None)
    task = first.prompt.split("# Your task")[1]
    assert task.index(PROGRAMS["c1"].strip()) < task.index(PROGRAMS["c0"].strip()), "the nearest first"
    assert 'the right answer is:\n6\nbut the program ends with "wrong answer":\n4' in task
    assert task.count("the right answer is") == 2, "one failure of each"
    assert second.prompt.startswith(first.prompt.removesuffix("<assistant>")), "one conversation"
    assert "- Multiply by two." in second.prompt
    assert first.sampling.seed != second.sampling.seed
    assert isinstance(event, CandidateGenerated)
    made = event.candidate
    assert (made.id, made.origin, made.parent, made.code) == (
        "f0",
        "repair",
        "c1",
        "print(int(input()) * 2)\n",
    )
    assert made.analysis is not None
    assert made.analysis.model_dump(mode="json") == ANALYSIS


async def test_nothing_of_what_is_asked_can_be_said_again_as_the_cause_or_a_constraint() -> None:
    """Small models copied the descriptions of the categories; now none of it fits the grammar."""
    server = FakeModelServer(answers)
    await refine(context(), server, COMMAND)
    properties = SCHEMA["properties"]
    assert list(properties) == ["cause", "constraints", "category"], "the sentences before the category"
    asked = server.requests[0].prompt
    patterns = (properties["cause"]["pattern"], properties["constraints"]["items"]["pattern"])
    for pattern in patterns:
        assert not re.search(pattern, asked, flags=re.MULTILINE)
        assert pattern.strip("^").split("[")[0] not in asked
    for category in get_args(FailureCategory):
        assert category in asked


@pytest.mark.parametrize(
    "text", ["", "no JSON", json.dumps(ANALYSIS)[:-9], json.dumps({**ANALYSIS, "category": "luck"})]
)
async def test_an_analysis_that_is_not_whole_is_bad_output_and_no_program_is_asked_for(text: str) -> None:
    server = FakeModelServer(lambda _: text)
    with pytest.raises(BadOutput, match="not whole"):
        await refine(context(), server, COMMAND)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "code",
    [
        pytest.param(PROGRAMS["c0"], id="to the letter"),
        pytest.param(
            "# Adds one.\n\nprint( int(input())+1 )  # done\n", id="but for comments and formatting"
        ),
        pytest.param("print(2 * int(input()))\n", id="a brute-force program"),
        pytest.param("print(2*int(input()))  # slow\n", id="a brute-force program but for its form"),
    ],
)
async def test_a_program_that_was_tried_before_is_none(code: str) -> None:
    def again(request: CompletionRequest) -> str:
        return answers(request) if request.json_schema else f"```python\n{code}```"

    made = context()
    made.state = replace(made.state, brute_forces={"b0": "print(2 * int(input()))\n"})
    with pytest.raises(BadOutput, match="tried before"):
        await refine(made, FakeModelServer(again), COMMAND)
    assert list(made.state.calls) == ["refine:0/analysis", "refine:0/code"]


async def test_a_spent_token_budget_ends_it_between_its_calls() -> None:
    made = context(token_budget=LEAST_TOKENS, analysis_max_tokens=LEAST_TOKENS)
    padded = json.dumps({**ANALYSIS, "cause": "so " * LEAST_TOKENS})
    server = FakeModelServer(lambda r: padded if r.json_schema else MENDED)
    with pytest.raises((BudgetSpent, BadOutput)):
        await refine(made, server, COMMAND)
    assert len(server.requests) == 1


class Slow(FakeModelServer):
    """Takes 20 s for each call, as llama-server would count them, and gives up what has not as many."""

    async def complete(
        self, request: CompletionRequest, on_tokens: OnTokens | None = None
    ) -> CompletionResult:
        result = await super().complete(request, on_tokens)
        if request.timeout_s is not None and request.timeout_s < 20:
            raise CallTimeout("given up")
        return result.model_copy(update={"server_s": 20.0})


@pytest.mark.parametrize(
    ("seconds", "made"), [(40.0, ["analysis", "code"]), (30.0, ["analysis"]), (20.0, ["analysis"]), (5.0, [])]
)
async def test_its_seconds_are_enforced_within_an_iteration(seconds: float, made: list[str]) -> None:
    at_work = context(refinement_seconds=seconds)
    server = Slow(answers)
    if len(made) == 2:
        await refine(at_work, server, COMMAND)
    else:
        with pytest.raises(BadOutput, match=f"the {seconds:g} s for refinements are spent"):
            await refine(at_work, server, COMMAND)
    assert list(at_work.state.calls) == [f"refine:0/{name}" for name in made]
    assert server.requests[0].timeout_s == seconds


class GivesUp(FakeModelServer):
    """Draws three tokens of each analysis and gives the call up, after `patience_s` if not before."""

    def __init__(self, patience_s: float) -> None:
        super().__init__(lambda _: "```python\nprint(0)\n```")
        self.patience_s = patience_s

    async def complete(
        self, request: CompletionRequest, on_tokens: OnTokens | None = None
    ) -> CompletionResult:
        if request.json_schema is None:
            return await super().complete(request, on_tokens)
        self.requests.append(request)
        assert on_tokens
        assert request.timeout_s
        on_tokens(3)
        await asyncio.sleep(min(self.patience_s, request.timeout_s))
        raise CallTimeout("given up")


async def refined(server: GivesUp, **policy: float) -> tuple[list[float], list[CommandFailed]]:
    """The seconds that each analysis of a task was given, and the failures of its refinements."""
    pins = Pins(pipeline="1", prompts_sha256="0" * 64, model="fake")
    spend = Policy.model_validate({"name": "p", "refinements": 3, **policy})
    submitted = TaskSubmitted(problem=PROBLEM, policy=spend, pins=pins, deadline_s=60)
    wrong = FakeExecutor(lambda _, __: Run(status=RunStatus.OK, output="0"))
    events: list[AnyEvent]
    _, events = await solve(submitted, server, wrong)
    given = [asked.timeout_s for asked in server.requests if asked.json_schema]
    return [left for left in given if left], [e for e in events if isinstance(e, CommandFailed)]


async def test_iterations_that_time_out_share_one_limit() -> None:
    given, failed = await refined(GivesUp(0.1), refinement_seconds=30)
    first, second, _ = (each.lost_s for each in failed)
    assert given == pytest.approx([30, 30 - first, 30 - first - second]), "only the rest"
    assert min(first, second) >= 0.1
    given, failed = await refined(GivesUp(60), refinement_seconds=0.2)
    assert (given, len(failed)) == ([0.2], 1), "the first took all of it"


async def test_tokens_of_iterations_that_time_out_are_of_the_tasks_budget() -> None:
    budget = 2 * LEAST_TOKENS + 5
    given, failed = await refined(GivesUp(0), token_budget=budget)
    assert [each.lost_tokens for each in failed] == [3]
    assert len(given) == 1, "the sample's three and those leave too few for another"
