"""Planner: plans and candidates from a model, each call made once and in its task's slot."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

import pytest

from atlas.commands import Generate, MakePlans
from atlas.contracts import MAX_CODE_CHARS, Candidate, ConstraintSet, Example, Problem
from atlas.errors import BadOutput
from atlas.events import CandidateGenerated, Pins, TaskSubmitted
from atlas.journal import Delivery, Journal
from atlas.llama import CompletionRequest, CompletionResult, LlamaClient, OnTokens
from atlas.llama_fake import FakeModelServer
from atlas.policy import POLICIES, Part, Policy
from atlas.redis_client import connect
from atlas.state import apply
from atlas.thinking import USUAL_TAGS
from atlas.worker import Context, Worker, direct
from services.planner.plan_search import distinct, make_plans, plan_schema, sets_schema
from services.planner.sampling import generate
from services.planner.worker import handler
from tests.support.planning import plan_answer

PROGRAM = "print(int(input()) * 2)\n"
ANSWER = f"So:\n```python\n{PROGRAM}```\n"
PINS = Pins(pipeline="1", prompts_sha256="0" * 64, model="fake")


def submitted(policy: Policy, **problem: Any) -> TaskSubmitted:
    values = {"statement": "Double the number.", "examples": (Example(input="2", output="4"),), **problem}
    return TaskSubmitted(problem=Problem(**values), policy=policy, pins=PINS, deadline_s=600)


def scripted(request: CompletionRequest) -> str:
    schema = request.json_schema
    return plan_answer(schema, request.prompt, ("add", "shift")) if schema else ANSWER


async def planned(context: Context) -> Context:
    """The context after its plans were made."""
    made = await make_plans(context, FakeModelServer(scripted), PLANS)
    context.state = apply(context.state, made)
    return context


PLANS = MakePlans(id="plans", n=2)
POLICY = Policy(name="p", k=3, plans=2, seed=7)


# ---------------------------------------------------------------- plans


async def test_each_plan_is_held_to_a_constraint_set_of_its_own() -> None:
    server = FakeModelServer(scripted)
    made = await make_plans(direct(submitted(POLICY), PLANS), server, PLANS)
    assert [plan.algorithm for plan in made.plans] == ["add", "shift"]
    assert [plan.constraints and plan.constraints.family for plan in made.plans] == ["add", "shift"]
    assert [request.json_schema for request in server.requests] == [sets_schema(2), *[plan_schema()] * 2]
    assert {request.sampling.max_tokens for request in server.requests} == {POLICY.plan_max_tokens}
    assert len({request.sampling.seed for request in server.requests}) == 3
    beginnings = {request.prompt.partition("# Your task")[0] for request in server.requests}
    assert len(beginnings) == 1, "what varies comes last"
    assert "Double the number." in beginnings.pop()


def objects(node: object) -> list[dict[str, Any]]:
    if isinstance(node, list):
        return [found for item in node for found in objects(item)]
    if not isinstance(node, dict):
        return []
    here = [node] if node.get("type") == "object" else []
    return here + [found for item in node.values() for found in objects(item)]


def test_the_schemas_allow_nothing_that_is_refused() -> None:
    found = objects([sets_schema(3), plan_schema()])
    assert len(found) == 3
    for node in found:
        assert node["additionalProperties"] is False, "llama-server's grammar invents keys otherwise"
        assert set(node["required"]) == set(node["properties"])


class Repeating:
    """Names `first` families, then `second` when it is asked for others."""

    def __init__(self, first: Sequence[str], second: Sequence[str]) -> None:
        self.first, self.second = first, second

    def __call__(self, request: CompletionRequest) -> str:
        assert request.json_schema is not None
        taken = "which are taken" in request.prompt
        families = (self.second if taken else self.first) if _sets(request) else [*self.first, *self.second]
        return plan_answer(request.json_schema, request.prompt, families)


def _sets(request: CompletionRequest) -> bool:
    return "sets" in (request.json_schema or {}).get("properties", {})  # type: ignore[operator]


@pytest.mark.parametrize(
    ("second", "planned"),
    [(["heap"], ["Two Pointers", "heap"]), (["Two pointers (2P)"], ["Two Pointers"])],
)
async def test_a_repeated_family_is_replaced_once(second: list[str], planned: list[str]) -> None:
    server = FakeModelServer(Repeating(["Two Pointers", "two  pointers"], second))
    made = await make_plans(direct(submitted(POLICY), PLANS), server, PLANS)
    assert [plan.algorithm for plan in made.plans] == planned
    asked = [request for request in server.requests if _sets(request)]
    assert [request.json_schema for request in asked] == [sets_schema(2), sets_schema(1)]
    assert "which are taken: Two Pointers." in asked[1].prompt


def test_families_are_told_apart_by_what_their_words_say() -> None:
    families = {
        "Dynamic programming (DP)": ["dynamic-programming", "DP", "dynamic_programming approach"],
        "greedy": ["Greedy algorithms"],
        "Breadth-first search": ["BFS"],
        "hash table": ["Hash map", "hashmap technique"],
        "algorithm": ["Algorithm"],
        "???": [],
        "!!!": [],
    }
    names = [name for first, again in families.items() for name in (first, *again)]
    sets = [ConstraintSet(family=name, requires="r", rules_out="o") for name in names]
    assert [each.family for each in distinct(sets)] == list(families)


async def test_a_plan_that_is_not_whole_leaves_the_others() -> None:
    def cut(request: CompletionRequest) -> str:
        return '{"algorithm": "cu' if "algorithms: add\n" in request.prompt else scripted(request)

    made = await make_plans(direct(submitted(POLICY), PLANS), FakeModelServer(cut), PLANS)
    assert [plan.algorithm for plan in made.plans] == ["shift"]


@pytest.mark.parametrize("text", ["", '{"sets": [{"fam', '{"sets": []}', "[]", '{"sets": [{"family": "x"}]}'])
async def test_constraint_sets_that_are_not_whole_are_bad_output(text: str) -> None:
    with pytest.raises(BadOutput):
        await make_plans(direct(submitted(POLICY), PLANS), FakeModelServer(lambda _: text), PLANS)


# ---------------------------------------------------------------- candidates


async def drawn(
    context: Context, server: FakeModelServer, command: Generate, slots: int = 4
) -> list[Candidate]:
    return [event.candidate for event in await generate(context, server, command, slots)]


async def test_candidates_of_one_prompt_come_from_one_call() -> None:
    server, command = FakeModelServer(scripted), Generate(id="generate:1", first=1, n=2)
    candidates = await drawn(direct(submitted(POLICY), command), server, command)
    assert [c.id for c in candidates] == ["c1", "c2"]
    assert {c.code for c in candidates} == {PROGRAM}
    assert {c.origin for c in candidates} == {"sample"}
    assert all(c.usage.tokens_out and c.logprob for c in candidates)
    (request,) = server.requests
    assert request.n == 2
    assert request.sampling.seed == 7001


@pytest.mark.parametrize(
    ("extras", "weights", "wanted"),
    [
        ((), "span:1", False),
        ((Part.LENS,), "span:1", True),
        ((Part.LENS,), "surface:1", False),
        ((Part.LENS,), None, True),
    ],
)
async def test_spans_are_asked_for_where_the_lens_scores_by_them_or_by_nothing_yet(
    extras: tuple[Part, ...], weights: str | None, wanted: bool
) -> None:
    task = submitted(POLICY.model_copy(update={"extras": extras}))
    task = task.model_copy(update={"pins": task.pins.model_copy(update={"lens_weights": weights})})
    server, command = FakeModelServer(scripted), Generate(id="generate:0", first=0)
    await drawn(direct(task, command), server, command)
    assert [request.embedding for request in server.requests] == [wanted]


async def test_no_two_calls_of_a_task_share_a_seed() -> None:
    server = FakeModelServer(scripted)
    for first in range(4):
        command = Generate(id=f"generate:{first}", first=first)
        await drawn(direct(submitted(POLICY), command), server, command)
    assert len({request.sampling.seed for request in server.requests}) == 4


async def test_more_candidates_than_the_server_has_slots_come_from_several_calls() -> None:
    server, command = FakeModelServer(scripted), Generate(id="generate:1", first=1, n=7)
    context = direct(submitted(POLICY), command)
    candidates = await drawn(context, server, command, slots=3)
    assert [c.id for c in candidates] == [f"c{i}" for i in range(1, 8)]
    assert [request.n for request in server.requests] == [3, 3, 1]
    assert [request.sampling.seed for request in server.requests] == [7001, 7004, 7007]
    assert len({request.prompt for request in server.requests}) == 1
    assert len(context.state.calls) == 3


async def test_a_planned_candidate_follows_its_plan() -> None:
    server, command = FakeModelServer(scripted), Generate(id="generate:1", first=1, plan=1)
    context = await planned(direct(submitted(POLICY), PLANS))
    (candidate,) = await drawn(context, server, command)
    assert (candidate.origin, candidate.plan) == ("plan", 1)
    assert "Algorithm: shift" in server.requests[0].prompt


async def test_a_perturbed_candidate_is_asked_for_in_that_way() -> None:
    server = FakeModelServer(scripted)
    command = Generate(id="generate:2", first=2, perturbation="mathematician")
    (candidate,) = await drawn(direct(submitted(POLICY), command), server, command)
    assert (candidate.origin, candidate.perturbation) == ("sample", "mathematician")
    assert "Work as a mathematician" in server.requests[0].prompt


async def test_a_greedy_candidate_is_the_baselines() -> None:
    server, command = FakeModelServer(scripted), Generate(id="generate:0", first=0, greedy=True)
    await drawn(direct(submitted(POLICY), command), server, command)
    baseline = submitted(POLICIES["A"].model_copy(update={"seed": POLICY.seed}))
    await drawn(direct(baseline, command), server, Generate(id="generate:0", first=0))
    one, two = server.requests
    assert one == two


async def test_a_greedy_candidate_does_not_think() -> None:
    task = submitted(POLICY.model_copy(update={"thinking_tokens": 1024}))
    task = task.model_copy(update={"pins": PINS.model_copy(update={"thinks": True})})
    for greedy, calls in ((True, ["generate:0/code:0"]), (False, ["generate:0/code:0/think"])):
        command = Generate(id="generate:0", first=0, greedy=greedy)
        context = direct(task, command)
        await drawn(context, FakeModelServer(scripted, tags=USUAL_TAGS), command)
        assert list(context.state.calls)[:1] == calls


async def test_an_answer_without_a_program_is_a_candidate_without_code() -> None:
    command = Generate(id="generate:0", first=0)
    (candidate,) = await drawn(direct(submitted(POLICY), command), FakeModelServer(lambda _: "No."), command)
    assert candidate.code is None
    assert candidate.usage.tokens_out == 1


async def test_a_program_too_long_to_run_is_a_candidate_without_code() -> None:
    text = f"```python\nprint(input())\n#{'so' * MAX_CODE_CHARS}\n```"
    command = Generate(id="generate:0", first=0)
    (candidate,) = await drawn(direct(submitted(POLICY), command), FakeModelServer(lambda _: text), command)
    assert candidate.code is None


async def test_the_function_is_looked_for_by_name() -> None:
    text = "```python\ndef double(n):\n    return 2 * n\n```\n```python\nprint(double(int(input())))\n```"
    task = submitted(POLICY, kind="function", entry_point="double")
    command = Generate(id="generate:0", first=0)
    (candidate,) = await drawn(direct(task, command), FakeModelServer(lambda _: text), command)
    assert candidate.code == "def double(n):\n    return 2 * n\n"


# ---------------------------------------------------------------- on the queue


class HastyJournal(Journal):
    async def claim(
        self, service: str, consumer: str, block_ms: int | None = 100, lease_s: float = 0.4
    ) -> Delivery | None:
        return await super().claim(service, consumer, block_ms, lease_s)


class StuckServer(FakeModelServer):
    """Stops dead after so many calls until it is let go."""

    def __init__(self, calls: int) -> None:
        super().__init__(scripted)
        self.calls, self.stuck, self.release = calls, asyncio.Event(), asyncio.Event()

    async def complete(
        self, request: CompletionRequest, on_tokens: OnTokens | None = None
    ) -> CompletionResult:
        if len(self.requests) == self.calls:
            self.stuck.set()
            await self.release.wait()
        return await super().complete(request, on_tokens)


@pytest.fixture
async def journal(redis_url: str) -> AsyncIterator[Journal]:
    journal = HastyJournal(connect(redis_url))
    yield journal
    await journal.redis.aclose()


async def generated(journal: Journal) -> None:
    after = 0
    while entries := await journal.read("t", after, block_ms=2000):
        if any(isinstance(entry.event, CandidateGenerated) for entry in entries):
            return
        after = entries[-1].seq


async def test_a_redelivered_command_repeats_no_call(journal: Journal) -> None:
    """One command of three calls; the worker dies in the third of them."""
    server = StuckServer(calls=2)
    worker = asyncio.create_task(Worker("planner", journal, handler(server, slots=1)).run())
    await journal.submit("t", submitted(Policy(name="p", k=3, execute=False, seed=1)))
    await asyncio.wait_for(server.stuck.wait(), 5)
    worker.cancel()
    with suppress(asyncio.CancelledError):
        await worker
    before = await journal.read("t")
    assert [e.event.type for e in before][2:] == ["ModelCallFinished"] * 2
    server.release.set()
    again = asyncio.create_task(Worker("planner", journal, handler(server, slots=1)).run())
    await asyncio.wait_for(generated(journal), 5)
    again.cancel()
    with suppress(asyncio.CancelledError):
        await again
    assert [request.sampling.seed for request in server.requests] == [1000, 1001, 1002]
    assert len({request.prompt for request in server.requests}) == 1
    state = await journal.state("t")
    assert list(state.candidates) == ["c0", "c1", "c2"]


# ---------------------------------------------------------------- the real server


@pytest.mark.integration
async def test_real_plans_are_whole_and_candidates_are_more_than_the_slots(llama_url: str) -> None:
    server = LlamaClient(llama_url)
    policy = Policy(name="p", k=6, max_tokens=16)
    command = MakePlans(id="plans", n=2)
    context = direct(submitted(policy, statement="Double the number. " * 20), command)
    made = await make_plans(context, server, command)
    assert 1 <= len(made.plans) <= 2
    assert all(plan.constraints and plan.data_structures and plan.steps for plan in made.plans)
    asked = [call.choices[0].usage for name, call in context.state.calls.items() if "/plan:" in name]
    assert len(asked) == len(made.plans)
    for usage in asked:
        assert 2 * usage.tokens_cached > usage.tokens_in, "the problem, which comes first, was read once"
    many = Generate(id="generate:0", first=0, n=6)
    candidates = [
        event.candidate for event in await generate(direct(submitted(policy), many), server, many, 4)
    ]
    assert len(candidates) == 6
    await server.aclose()
