"""Self-tests: outputs by agreement of brute-force programs, and what repair sees of them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.contracts import Example, Problem, SelfTest
from atlas.events import (
    AnyEvent,
    BruteForceChecked,
    CandidateGenerated,
    CommandsIssued,
    Entry,
    ModelCallFinished,
    Pins,
    SelfTestsMade,
    SelfTestsRun,
    TaskDecided,
    TaskSubmitted,
)
from atlas.executor import Run, RunStatus
from atlas.executor_fake import FakeExecutor
from atlas.llama import CompletionRequest
from atlas.llama_fake import FakeModelServer
from atlas.policy import FULL, POLICIES, Part, Policy
from atlas.story import Story
from services.sandbox.self_tests import agreed
from tests.support.in_memory import solve

POLICY = Policy(name="t", k=1, repairs=1, self_tests=2, brute_forces=3, input_tokens=1536)
STDIN = Problem(
    statement="Double the number.",
    examples=(Example(input="2", output="4"), Example(input="3", output="6")),
)
HARDER = STDIN.model_copy(update={"examples": (*STDIN.examples, Example(input="8", output="16"))})
FUNCTION = Problem(
    kind="function",
    entry_point="double",
    statement="Double the number.",
    examples=(Example(input="2", output="4"), Example(input="3", output="6")),
)


def code(word: str) -> str:
    return f"def double(x): return x\ninput({word!r})"


class Model:
    """Candidates are wrong; brute-force programs are the ones given, in turn."""

    def __init__(self, *brute: str) -> None:
        self.brute = list(brute)
        self.asked: list[str] = []
        self.repair = ""

    def __call__(self, request: CompletionRequest) -> str:
        self.asked.append(request.prompt)
        if "by brute force" in request.prompt:
            return f"```python\n{self.brute.pop(0)}\n```"
        if request.json_schema is not None:
            return json.dumps({"inputs": ["700", "9"]})
        if self.repair and "Now write" in request.prompt:
            return f"```python\n{self.repair}\n```"
        return f"```python\n{code(f'wrong {len(self.asked)}')}\n```"


def run(program: str, text: str) -> Run:
    """`right` doubles; `near` does up to 5; `other` doubles in other words; `slow` ends on small ones."""
    word = program.rpartition("input('")[2].partition("'")[0].split()[0]
    number = int(text)
    if word == "slow" and number > 100:
        return Run(status=RunStatus.TIME_LIMIT)
    doubles = word in ("right", "other", "slow") or (word == "near" and number <= 5)
    return Run(status=RunStatus.OK, output=str(2 * number if doubles else 0))


async def solved(
    model: Model, policy: Policy = POLICY, problem: Problem = STDIN
) -> tuple[list[AnyEvent], list[str]]:
    submitted = TaskSubmitted(
        problem=problem,
        policy=policy,
        pins=Pins(pipeline="1", prompts_sha256="0" * 64, model="m"),
        deadline_s=60,
    )
    _, events = await solve(submitted, FakeModelServer(model), FakeExecutor(run))
    return events, [name for e in events if isinstance(e, CommandsIssued) for name in e.ids]


def made(events: list[AnyEvent]) -> tuple[SelfTest, ...]:
    return next(e.tests for e in events if isinstance(e, SelfTestsMade))


@pytest.mark.parametrize("problem", [STDIN, FUNCTION], ids=["stdin", "function"])
async def test_outputs_are_what_a_quorum_agrees_on_and_repair_sees_how_they_were_come_by(
    problem: Problem,
) -> None:
    model = Model(code("right"), code("wrong"), code("slow"))
    events, issued = await solved(model, problem=problem)
    checks = [e.execution.all_passed for e in events if isinstance(e, BruteForceChecked)]
    assert checks == [True, False, True], "the one that fails the examples makes no test"
    tests = made(events)
    assert 1 <= len(tests) <= POLICY.self_tests
    for test in tests:
        assert test.output == str(2 * int(test.input))
        assert test.agreed == ("b0", "b2")
        assert int(test.input) <= 100, "where the slow one does not end there is no quorum"
    assert [len(t.input) for t in tests] == sorted(len(t.input) for t in tests)
    [ran] = [e for e in events if isinstance(e, SelfTestsRun)]
    assert ran.execution.passed == 0
    shown = next(prompt for prompt in model.asked if "This program for the problem is wrong" in prompt)
    assert "slow but simple programs, 2 of them, agree on:" in shown
    assert issued.index("self_tests:c0") < issued.index("repair:0")


@pytest.mark.parametrize(
    "brute",
    [
        pytest.param((code("right"), code("wrong"), code("wrong")), id="one program is one guess"),
        pytest.param((code("right"),) * 3, id="equal programs are one"),
        pytest.param(
            (code("right"), code("right") + "  # slowly", f"# Doubles.\n\n{code('right')}"),
            id="comments and blank lines make no other program",
        ),
    ],
)
async def test_without_a_quorum_no_inputs_are_paid_for(brute: tuple[str, ...]) -> None:
    events, issued = await solved(Model(*brute))
    assert "repair:0" in issued
    assert not {"write:0", "inputs:0", "self_tests"} & set(issued)
    assert not [e for e in events if isinstance(e, SelfTestsMade)]


async def test_programs_that_disagree_make_no_test() -> None:
    events, _ = await solved(Model(code("right"), code("near"), code("wrong")))
    assert all(int(test.input) <= 5 for test in made(events))


async def test_the_token_budget_ends_it_and_a_task_that_is_solved_makes_none() -> None:
    _, issued = await solved(Model(code("right")), POLICY.model_copy(update={"token_budget": 70}))
    assert not [name for name in issued if name.startswith(("write", "self_tests"))]


async def test_the_story_tells_how_each_output_was_come_by() -> None:
    events, _ = await solved(Model(code("right"), code("other"), code("wrong")))
    story = Story()
    told = [step for n, e in enumerate(events, 1) for step in story.tell(Entry(seq=n, time=1.0, event=e))]
    texts = [step.text for step in told]
    assert any(text.startswith("b2 passes 0 of 2 public examples") for text in texts)
    details = next(step.details for step in told if "by agreement" in step.text)
    assert details[0].endswith("(by b0, b1)")


async def test_a_brute_force_program_that_passes_is_handed_in_where_nothing_else_does() -> None:
    events, issued = await solved(Model(code("wrong"), code("right"), code("slow")))
    assert [name for name in issued if name.startswith("enter")] == ["enter:b1"]
    assert issued.index("enter:b1") > issued.index("repair:0"), "what may be slow comes last"
    decided = events[-1]
    assert isinstance(decided, TaskDecided)
    assert (decided.candidate, decided.evidence.basis) == ("b1", "passed_public_examples")
    [entered] = [e.candidate for e in events if isinstance(e, CandidateGenerated) and e.candidate.id == "b1"]
    [drawn] = [e for e in events if isinstance(e, ModelCallFinished) and e.command == "brute_force:1"]
    assert (entered.origin, entered.usage) == ("brute_force", drawn.choices[0].usage)


async def test_no_brute_force_program_is_handed_in_that_fails_or_is_not_needed() -> None:
    _, issued = await solved(Model(code("wrong"), code("near"), code("wrong")), problem=HARDER)
    assert not [name for name in issued if name.startswith("enter")]
    repaired = Model(code("right"), code("other"), code("slow"))
    repaired.repair = code("right again")
    events, issued = await solved(repaired)
    assert not [name for name in issued if name.startswith("enter")]
    assert isinstance(events[-1], TaskDecided)
    assert events[-1].candidate == "r0"


async def test_each_brute_force_program_is_drawn_with_a_seed_of_its_own() -> None:
    events, _ = await solved(Model(code("right"), code("other"), code("wrong")))
    seeds = [
        e.sampling.seed
        for e in events
        if isinstance(e, ModelCallFinished) and str(e.command).startswith("brute")
    ]
    assert len(set(seeds)) == 3


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.sampled_from(["1", "2", "2 ", ""]), min_size=1),
    st.integers(2, 4),
)
def test_an_output_has_its_quorum_and_more_than_all_others(outputs: dict[str, str], quorum: int) -> None:
    runs = {
        n: Run(status=RunStatus.OK if out else RunStatus.RUNTIME_ERROR, output=out)
        for n, out in outputs.items()
    }
    test = agreed("stdin", "x", runs, quorum)
    voting = [out.strip() for out in outputs.values() if out]
    best = max((voting.count(out) for out in voting), default=0)
    assert (test is not None) == (best >= quorum and 2 * best > len(voting))
    if test is not None:
        assert len(test.agreed) == best
        assert test.against == len(voting) - best


def test_near_equal_floats_are_one_output_and_a_value_without_a_word_in_json_is_none() -> None:
    def runs(*outputs: str) -> dict[str, Run]:
        return {f"b{n}": Run(status=RunStatus.OK, output=out) for n, out in enumerate(outputs)}

    test = agreed("function", "[3]", runs("0.30000000000000004", "0.3", "0.4"), 2)
    assert test is not None
    assert (test.agreed, test.against) == (("b0", "b1"), 1)
    assert agreed("stdin", "3", runs("0.30000000000000004\n", "0.3", "0.4"), 2) is not None
    assert agreed("function", "[3]", runs("", "", "1"), 2) is None
    assert agreed("stdin", "3", runs("", "", "1"), 2) is not None


def test_who_uses_them() -> None:
    uses = {name for name, policy in POLICIES.items() if Part.SELF_TESTS in policy.needs}
    assert uses == {"self-tests"}
    assert FULL.self_tests == 0
    with pytest.raises(ValueError, match="quorum"):
        Policy(name="t", self_tests=1, brute_forces=1)
