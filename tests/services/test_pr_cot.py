"""Repair: from public evidence only, and never the same program twice."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from atlas.budget import LEAST_TOKENS
from atlas.commands import Repair
from atlas.config import Settings
from atlas.contracts import (
    PERSPECTIVES,
    Candidate,
    Example,
    Execution,
    Problem,
    SamplingParams,
    TestResult,
    Usage,
    Verdict,
)
from atlas.errors import BadOutput, BudgetSpent
from atlas.events import CandidateGenerated, Pins, TaskSubmitted
from atlas.llama import CompletionRequest
from atlas.llama_fake import FakeModelServer
from atlas.policy import Policy
from atlas.worker import Context, direct
from services.repair.app import create
from services.repair.pr_cot import repair
from services.repair.proposals import SHOWN_CHARS, failures
from services.repair.worker import handler

BROKEN = "print(int(input()) + 1)\n"
MENDED = "```python\nprint(int(input()) * 2)\n```"
PROBLEM = Problem(
    statement="Double the number.",
    examples=(
        Example(input="1", output="2"),
        Example(input="3", output="6"),
        Example(input="x" * 5000, output="?"),
    ),
)
EXECUTION = Execution(
    results=(
        TestResult(verdict=Verdict.ACCEPTED, output="2"),
        TestResult(verdict=Verdict.WRONG_ANSWER, output="4"),
        TestResult(verdict=Verdict.RUNTIME_ERROR, error="ValueError: no number"),
    ),
    isolation="fake",
    seconds=0.0,
)
COMMAND = Repair(id="repair:0", index=0, candidate="c0", perspective="logical_consistency")


def context(**policy: int) -> Context:
    pins = Pins(pipeline="1", prompts_sha256="0", model="fake")
    spend = Policy(name="p", repairs=1, **policy)
    submitted = TaskSubmitted(problem=PROBLEM, policy=spend, pins=pins, deadline_s=60)
    made = direct(submitted, COMMAND)
    sampling = SamplingParams(temperature=0, max_tokens=1, seed=0)
    broken = Candidate(id="c0", origin="sample", code=BROKEN, sampling=sampling, usage=Usage())
    made.state = replace(made.state, candidates={"c0": broken}, executions={"c0": EXECUTION})
    return made


ANALYSIS = "It adds one instead of doubling."


def answers(request: CompletionRequest) -> str:
    """The second turn ends with our second question; the first does not hold it."""
    return MENDED if "corrected program" in request.prompt else ANALYSIS


async def test_an_analysis_then_a_program_in_one_conversation() -> None:
    server = FakeModelServer(answers)
    [event] = await handler(server)(context())
    first, second = server.requests
    task = first.prompt.split("# Your task")[1]
    assert BROKEN.strip() in task
    assert "the right answer is:\n6" in task
    assert 'ends with "wrong answer":\n4' in task
    assert "ValueError: no number" in task
    assert "the right answer is:\n2\n" not in task, "a passed example is no evidence"
    conversation = first.prompt.removesuffix("<assistant>")
    assert second.prompt.startswith(conversation), "so that the first turn is served from the cache"
    assert ANALYSIS in second.prompt
    assert (first.sampling.max_tokens, second.sampling.max_tokens) == (192, 1024)
    assert first.sampling.seed != second.sampling.seed
    assert isinstance(event, CandidateGenerated)
    mended = event.candidate
    assert mended.code == "print(int(input()) * 2)\n"
    assert (mended.id, mended.origin, mended.parent) == ("r0", "repair", "c0")
    assert mended.perspective == "logical_consistency"


async def test_each_perspective_asks_another_question() -> None:
    server = FakeModelServer(answers)
    for perspective in PERSPECTIVES:
        command = COMMAND.model_copy(update={"perspective": perspective})
        drawn = await repair(context(), server, command)
        assert drawn.candidate.perspective == perspective
    asked = {request.prompt for request in server.requests[::2]}
    assert len(asked) == len(PERSPECTIVES) == 4
    assert all("ValueError: no number" in prompt for prompt in asked), "all from the same evidence"


async def test_a_spent_budget_ends_a_repair_between_its_calls() -> None:
    made = context(token_budget=LEAST_TOKENS)
    with pytest.raises(BudgetSpent):
        await repair(made, FakeModelServer(lambda _: "word " * 100), COMMAND)
    assert [call.choices[0].usage.tokens_out for call in made.state.calls.values()] == [LEAST_TOKENS]


def test_evidence_is_cut() -> None:
    assert len(failures(context().state, "c0")[1].input) == SHOWN_CHARS


async def test_the_same_program_is_no_proposal_but_its_call_is_recorded() -> None:
    made = context()
    with pytest.raises(BadOutput):
        await repair(made, FakeModelServer(lambda _: f"```python\n{BROKEN}```"), COMMAND)
    assert list(made.state.calls) == ["repair:0/analysis", "repair:0/code"]


async def test_the_direct_verb_answers_with_a_candidate(redis_url: str) -> None:
    app = create(Settings(redis_url=redis_url, llama_url="http://127.0.0.1:9"))
    body = {
        "problem": PROBLEM.model_dump(),
        "code": BROKEN,
        "execution": EXECUTION.model_dump(mode="json"),
    }
    async with app.router.lifespan_context(app):
        app.state.server = FakeModelServer(answers)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://repair") as client:
            answer = await client.post("/v1/repair", json=body)
            assert answer.status_code == 200, answer.text
            assert answer.json()["code"] == "print(int(input()) * 2)\n"
            app.state.server = FakeModelServer(lambda _: f"```python\n{BROKEN}```")
            refused = await client.post("/v1/repair", json=body)
            assert refused.status_code == 502
            assert "tried before" in refused.json()["detail"]
