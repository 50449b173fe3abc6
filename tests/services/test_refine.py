"""Repair: from public evidence only, and never the same program twice."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from atlas.config import Settings
from atlas.contracts import (
    Candidate,
    CandidateGenerated,
    Example,
    Execution,
    ModelCallFinished,
    Pins,
    Problem,
    Repair,
    SamplingParams,
    TaskSubmitted,
    TestResult,
    Usage,
    Verdict,
)
from atlas.errors import BadOutput
from atlas.llama_fake import FakeModelServer
from atlas.policy import Policy
from atlas.worker import Context, direct
from services.repair.app import create
from services.repair.refine import SHOWN_CHARS, failures, refine
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
COMMAND = Repair(id="repair:0", index=0, candidate="c0")


def context() -> Context:
    pins = Pins(pipeline="1", prompts_sha256="0", model="fake")
    submitted = TaskSubmitted(problem=PROBLEM, policy=Policy(name="p", repairs=1), pins=pins, deadline_s=60)
    made = direct(submitted, COMMAND)
    sampling = SamplingParams(temperature=0, max_tokens=1, seed=0)
    broken = Candidate(id="c0", origin="sample", code=BROKEN, sampling=sampling, usage=Usage())
    made.state = replace(made.state, candidates={"c0": broken}, executions={"c0": EXECUTION})
    return made


async def test_the_prompt_shows_the_program_and_only_the_examples_it_fails() -> None:
    server = FakeModelServer(lambda _: MENDED)
    [event] = await handler(server)(context())
    task = server.requests[0].prompt.split("# Your task")[1]
    assert BROKEN.strip() in task
    assert "the right answer is:\n6" in task
    assert 'ends with "wrong answer":\n4' in task
    assert "ValueError: no number" in task
    assert "the right answer is:\n2\n" not in task, "a passed example is no evidence"
    assert isinstance(event, CandidateGenerated)
    mended = event.candidate
    assert mended.code == "print(int(input()) * 2)\n"
    assert (mended.id, mended.origin, mended.parent) == ("r0", "repair", "c0")


def test_evidence_is_cut() -> None:
    assert len(failures(context().state, "c0")[1].input) == SHOWN_CHARS


async def test_the_same_program_is_no_proposal_but_its_call_is_recorded() -> None:
    made = context()
    with pytest.raises(BadOutput):
        await refine(made, FakeModelServer(lambda _: f"```python\n{BROKEN}```"), COMMAND)
    assert [type(call) for call in made.state.calls.values()] == [ModelCallFinished]


async def test_the_direct_verb_answers_with_a_candidate(redis_url: str) -> None:
    app = create(Settings(redis_url=redis_url, llama_url="http://127.0.0.1:9"))
    body = {
        "problem": PROBLEM.model_dump(),
        "code": BROKEN,
        "execution": EXECUTION.model_dump(mode="json"),
    }
    async with app.router.lifespan_context(app):
        app.state.server = FakeModelServer(lambda _: MENDED)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://repair") as client:
            answer = await client.post("/v1/repair", json=body)
            assert answer.status_code == 200, answer.text
            assert answer.json()["code"] == "print(int(input()) * 2)\n"
            app.state.server = FakeModelServer(lambda _: f"```python\n{BROKEN}```")
            refused = await client.post("/v1/repair", json=body)
            assert refused.status_code == 502
            assert "tried before" in refused.json()["detail"]
