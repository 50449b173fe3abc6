"""Comparing programs: what is asked for, when, and when it ends a task."""

from __future__ import annotations

import pytest
from histories import answer, model_call, plainest, submission
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from atlas.budget import kept, spendable, tokens_left
from atlas.commands import (
    AnyCommand,
    ClusterCandidates,
    Generate,
    MakeInputs,
    Probe,
    ReadStatement,
    Select,
    WriteInputs,
)
from atlas.contracts import Candidate, SamplingParams, Usage
from atlas.events import (
    AnyEvent,
    CandidateGenerated,
    CandidateProbed,
    CandidatesClustered,
    Choice,
    CommandFailed,
    InputsMade,
)
from atlas.executor import RunStatus
from atlas.generated_inputs import GeneratedInput, ProbedRun
from atlas.pipeline import advance, decide, entrants
from atlas.policy import Policy
from atlas.state import InvalidHistory, TaskState

Clusters = CandidatesClustered


def policy(**changes: object) -> Policy:
    base = {"name": "t", "k": 3, "stop_after_passing": 0, "inputs": 2, "input_tokens": 1536}
    return Policy.model_validate(base | changes)


def begin(asked: Policy, examples: int = 1) -> TaskState:
    return advance(TaskState(), [submission(asked, examples=examples)]).state


def drawn(state: TaskState, command: AnyCommand, codes: dict[str, str] | None = None) -> list[AnyEvent]:
    assert isinstance(command, Generate)
    names = [f"c{command.first + i}" for i in range(command.n)]
    sampling = SamplingParams(temperature=0.7, max_tokens=64, seed=1)
    return [
        CandidateGenerated(
            command=command.id,
            candidate=Candidate(
                id=name,
                origin="sample" if command.plan is None else "plan",
                plan=command.plan,
                code=(codes or {}).get(name, f"print({name!r})"),
                sampling=sampling,
                usage=Usage(tokens_in=10, tokens_out=5),
            ),
        )
        for name in names
    ]


def run(
    state: TaskState, clusters: list[Clusters] | None = None, **codes: str
) -> tuple[TaskState, list[str]]:
    """Answer every command plainly, in order of id; return the state at the end and the commands' ids."""
    said, done = list(clusters or []), []
    while not state.closed:
        command = min(decide(state), key=lambda c: c.id)
        done.append(command.id)
        if isinstance(command, Generate):
            events = drawn(state, command, codes)
        elif isinstance(command, ClusterCandidates) and said:
            events = [said.pop(0).model_copy(update={"command": command.id})]
        else:
            events = answer(state, command, plainest)
        state = advance(state, events).state
    return state, done


def test_nothing_is_compared_before_there_are_two_different_programs() -> None:
    state, done = run(begin(policy(k=2)), c0="same", c1="same")
    assert done == ["generate:0", "execute:c0", "execute:c1", "cluster:2-0", "select"]
    assert state.clustered is not None, "two candidates of one text agree, as clustering says"
    _, done = run(begin(policy(k=1)))
    assert done == ["generate:0", "execute:c0", "select"]


def test_each_distinct_survivor_runs_on_the_inputs_once() -> None:
    _, done = run(begin(policy(k=3)), c0="a", c1="b", c2="a")
    assert done[4:] == ["write:0", "inputs:0", "probe:0:c0", "probe:0:c1", "cluster:3-2", "select"]


def test_without_public_examples_every_program_is_compared() -> None:
    state, done = run(begin(policy(k=2), examples=0))
    assert done == ["generate:0", "write:0", "inputs:0", "probe:0:c0", "probe:0:c1", "cluster:2-2", "select"]
    assert [c.id for c in entrants(state)] == ["c0", "c1"]


def test_agreement_ends_the_drawing() -> None:
    agreed = Clusters(clusters=(), inputs=2, agreeing=2)
    _, done = run(begin(policy(k=6, stop_when_agreeing=2)), [agreed])
    assert [name for name in done if name.startswith("generate")] == ["generate:0"]
    assert done[-2:] == ["cluster:2-2", "select"]


def test_without_agreement_one_more_is_drawn_and_compared_at_a_time() -> None:
    apart, agreed = (Clusters(clusters=(), inputs=2, agreeing=n) for n in (1, 2))
    _, done = run(begin(policy(k=6, stop_when_agreeing=2)), [apart, agreed])
    assert done == [
        *("generate:0", "execute:c0", "execute:c1", "write:0", "inputs:0", "probe:0:c0", "probe:0:c1"),
        *("cluster:2-2", "generate:2", "execute:c2", "probe:0:c2", "cluster:3-3", "select"),
    ]


def test_a_contest_asks_for_distinguishing_inputs_then_for_a_reading() -> None:
    contested = Clusters(clusters=(), inputs=2, agreeing=1, contested=("c0", "c1"))
    state, done = run(begin(policy(k=2, distinguish=2, readings=3)), [contested] * 3)
    tail = done[done.index("cluster:2-2") + 1 :]
    assert tail == [
        *("write:1", "inputs:1", "probe:1:c0", "probe:1:c1", "cluster:2-4"),
        *("write:2", "inputs:2", "probe:2:c0", "probe:2:c1", "cluster:2-6"),
        *("read", "select"),
    ]
    assert state.read is not None
    assert state.read.between == ("c0", "c1")


def test_a_contest_that_is_settled_asks_for_no_more() -> None:
    contested = Clusters(clusters=(), inputs=2, agreeing=1, contested=("c0", "c1"))
    settled = Clusters(clusters=(), inputs=2, agreeing=1)
    _, done = run(begin(policy(k=2, distinguish=2, readings=3)), [contested, settled])
    assert done[-1:] == ["select"]
    assert "write:2" not in done
    assert "read" not in done


def test_inputs_that_the_model_cannot_write_or_that_cannot_be_paid_for_are_made_by_variation_alone() -> None:
    state = begin(policy(k=2))
    while not any(isinstance(c, WriteInputs) for c in decide(state)):
        command = min(decide(state), key=lambda c: c.id)
        events = drawn(state, command) if isinstance(command, Generate) else answer(state, command, plainest)
        state = advance(state, events).state
    failed = CommandFailed(command="write:0", reason="bad_output", detail="no JSON")
    assert decide(advance(state, [failed]).state) == {MakeInputs(id="inputs:0", round=0)}
    _, done = run(begin(policy(k=2, token_budget=190)))
    assert "write:0" not in done
    assert "inputs:0" in done


def test_a_policy_that_gives_no_tokens_for_inputs_has_the_examples_varied() -> None:
    contested = Clusters(clusters=(), inputs=2, agreeing=1, contested=("c0", "c1"))
    _, done = run(begin(policy(k=2, readings=3, input_tokens=0)), [contested] * 3)
    assert not [name for name in done if name.startswith("write:")]
    assert done[done.index("inputs:0") :] == [
        *("inputs:0", "probe:0:c0", "probe:0:c1", "cluster:2-2", "read", "select"),
    ]


def test_no_usable_round_still_ends_in_a_choice() -> None:
    state = begin(policy(k=2))
    while decide(state) != {MakeInputs(id="inputs:0", round=0)}:
        command = min(decide(state), key=lambda c: c.id)
        events = drawn(state, command) if isinstance(command, Generate) else answer(state, command, plainest)
        state = advance(state, events).state
    state = advance(state, [InputsMade(command="inputs:0", round=0, inputs=())]).state
    assert decide(state) == {ClusterCandidates(id="cluster:2-0")}
    failed = CommandFailed(command="cluster:2-0", reason="handler_error", detail="x")
    assert decide(advance(state, [failed]).state) == {Select(id="select")}


@given(st.integers(1, 5))
def test_a_probe_has_a_run_for_each_input(runs: int) -> None:
    state = begin(policy(k=2))
    while not any(isinstance(c, Probe) for c in decide(state)):
        command = min(decide(state), key=lambda c: c.id)
        events = drawn(state, command) if isinstance(command, Generate) else answer(state, command, plainest)
        state = advance(state, events).state
    made = [GeneratedInput(text=str(n), origin="model") for n in range(2)]
    assert len(state.inputs[0].inputs) == len(made)
    probed = CandidateProbed(
        command="probe:0:c0",
        round=0,
        candidate="c0",
        runs=(ProbedRun(status=RunStatus.OK, output="1"),) * runs,
        isolation="fake",
        seconds=0,
    )
    if runs == len(made):
        assert advance(state, [probed]).state.probes[0, "c0"] == probed.runs
    else:
        with pytest.raises(InvalidHistory, match="not those of round 0"):
            advance(state, [probed])


def test_a_policy_that_contradicts_itself_is_refused() -> None:
    for changes, why in (
        ({"execute": False}, "'inputs' need 'execute'"),
        ({"inputs": 0, "distinguish": 1}, "'distinguish' needs 'inputs'"),
        ({"inputs": 0, "readings": 1}, "'readings' needs 'inputs'"),
        ({"input_tokens": 95}, "0 or at least 96"),
        ({"input_tokens": 0, "distinguish": 1}, "'distinguish' needs 'input_tokens'"),
        ({"stop_when_agreeing": 1}, "one program agrees with itself"),
    ):
        with pytest.raises(ValidationError, match=why):
            policy(**changes)


def test_the_reading_is_the_last_resort() -> None:
    contested = Clusters(clusters=(), inputs=2, agreeing=1, contested=("c0", "c1"))
    state = begin(policy(k=2, readings=3))
    while not any(isinstance(c, ReadStatement) for c in decide(state)):
        command = min(decide(state), key=lambda c: c.id)
        if isinstance(command, Generate):
            events = drawn(state, command)
        elif isinstance(command, ClusterCandidates):
            events = [contested.model_copy(update={"command": command.id})]
        else:
            events = answer(state, command, plainest)
        state = advance(state, events).state
    assert decide(state) == {ReadStatement(id="read", between=("c0", "c1"))}


def test_samples_leave_tokens_to_write_inputs_with() -> None:
    asked = policy(k=64, token_budget=2000, input_tokens=900)
    state = begin(asked)
    assert (tokens_left(state), spendable(state, "generate:0"), spendable(state, "write:0")) == (
        2000,
        1500,
        2000,
    )
    while not any(isinstance(c, WriteInputs) for c in decide(state)):
        command = min(decide(state), key=lambda c: c.id)
        events = answer(state, command, plainest)
        if isinstance(command, Generate):
            each = min(100, (spendable(state, command.id) or 0) // command.n)  # as a call is cut
            choice = Choice(text="...", usage=Usage(tokens_out=each * command.n), finish="stop")
            call = model_call(command.id).model_copy(update={"choices": (choice,)})
            events = [call, *drawn(state, command)]
        state = advance(state, events).state
    assert kept(state) == 500 <= (tokens_left(state) or 0)
    written = [command for command in decide(state) if isinstance(command, WriteInputs)]
    state = advance(state, answer(state, written[0], plainest)).state
    assert kept(state) == 0, "what was kept is free once the inputs are written"
