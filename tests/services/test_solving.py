"""Whole tasks under whole policies, in memory: what is drawn, what is spent, what is handed back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.budget import LEAST_TOKENS
from atlas.contracts import PERSPECTIVES, Example, Problem
from atlas.events import Pins, TaskDecided, TaskSubmitted
from atlas.executor import Run, RunStatus
from atlas.executor_fake import FakeExecutor
from atlas.llama import CompletionRequest
from atlas.llama_fake import FakeModelServer
from atlas.pipeline import survivors
from atlas.policy import POLICIES, Part, Policy, missing
from tests.support.in_memory import solve
from tests.support.planning import plan_answer

PROBLEM = Problem(statement="Double the number.", examples=(Example(input="2", output="4"),))
PINS = Pins(pipeline="1", prompts_sha256="0" * 64, model="fake")
RIGHT, WRONG = "print(int(input()) * 2)", "print(int(input()) + 1)"


def submitted(policy: Policy) -> TaskSubmitted:
    return TaskSubmitted(problem=PROBLEM, policy=policy, pins=PINS, deadline_s=600)


def executor() -> FakeExecutor:
    """Runs the two programs above; what has been cut off does not run."""

    def run(code: str, text: str) -> Run:
        first = code.splitlines()[0]
        if first == RIGHT:
            return Run(status=RunStatus.OK, output=str(int(text) * 2))
        if first == WRONG:
            return Run(status=RunStatus.OK, output=str(int(text) + 1))
        return Run(status=RunStatus.RUNTIME_ERROR, error="SyntaxError")

    return FakeExecutor(run)


class Scripted:
    """Draws wrong programs, all different, until the `right`-th program asked for (0: never)."""

    def __init__(self, right: int = 0, padding: int = 0) -> None:
        self.right, self.padding, self.programs = right, padding, 0

    def __call__(self, request: CompletionRequest) -> str:
        if request.json_schema:
            return plan_answer(request.json_schema, request.prompt, ("one", "two"))
        if request.prompt.endswith("five short sentences.\n<assistant>"):
            return "It is wrong because of one thing."
        self.programs += 1
        program = RIGHT if self.programs == self.right else WRONG
        return f"```python\n{program}\n{self.programs}  #{' word' * self.padding}\n```"


@pytest.mark.parametrize("policy", POLICIES.values(), ids=POLICIES)
async def test_every_policy_of_ours_ends_with_a_program(policy: Policy) -> None:
    for right in (1, 2, 0):
        state, _ = await solve(submitted(policy), FakeModelServer(Scripted(right)), executor())
        assert isinstance(state.closed, TaskDecided)
        assert len([c for c in state.candidates.values() if c.origin != "repair"]) <= policy.k
        assert bool(state.executions) == policy.execute
        if survivors(state):
            assert state.closed.evidence.basis == "passed_public_examples"
        elif policy.repairs and policy.spending is None:  # which may find no repair worth its tokens
            looked = [c.perspective for c in state.candidates.values() if c.origin == "repair"]
            assert looked == list(PERSPECTIVES)


async def test_a_task_that_only_a_repair_solves() -> None:
    policy = Policy(name="p", k=5, plans=2, repairs=4)
    server = FakeModelServer(Scripted(right=policy.k + 2))
    state, events = await solve(submitted(policy), server, executor())
    assert isinstance(state.closed, TaskDecided)
    assert state.closed.candidate == "r1", "the second proposal; the third and fourth are not asked for"
    assert list(state.candidates) == ["c0", "c1", "c2", "c3", "c4", "r0", "r1"]
    kinds = [event.type for event in events]
    executions = [i for i, kind in enumerate(kinds) if kind == "ExecutionFinished"]
    proposals = [i for i, kind in enumerate(kinds) if kind == "CandidateGenerated"]
    assert all(p < e for p, e in zip(proposals, executions, strict=True)), "each is run as it is made"
    assert all(e < p for e, p in zip(executions, proposals[1:], strict=False))


@given(
    budget=st.integers(1, 1500),
    k=st.integers(1, 12),
    plans=st.integers(0, 2),
    repairs=st.integers(0, 5),
    stop=st.integers(0, 1),
    padding=st.integers(0, 150),
)
async def test_the_token_budget_is_never_exceeded(
    budget: int, k: int, plans: int, repairs: int, stop: int, padding: int
) -> None:
    policy = Policy(
        name="p",
        k=k,
        plans=plans,
        repairs=repairs,
        stop_after_passing=stop,
        token_budget=budget,
        max_tokens=200,
    )
    state, _ = await solve(submitted(policy), FakeModelServer(Scripted(padding=padding)), executor())
    assert state.usage.tokens_out <= budget
    calls = [choice for call in state.calls.values() for choice in call.choices]
    assert state.usage.tokens_out == sum(choice.usage.tokens_out for choice in calls)
    assert bool(state.calls) == (budget >= LEAST_TOKENS), "what pays for a call is used"


def test_what_is_missing_is_named() -> None:
    assert missing(POLICIES["A"]) == ()
    assert missing(POLICIES["C"]) == (Part.BUDGET_FORCING, Part.LENS)
    assert Part.LENS not in missing(POLICIES["C"], lens_weights="w")
    assert missing(POLICIES["self-consistency"]) == ()
    assert Part.PR_COT in POLICIES["D"].needs
    assert Part.PR_COT not in missing(POLICIES["D"])
