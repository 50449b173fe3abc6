"""Task states in which programs were run on generated inputs, for the lens's tests."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from hypothesis import strategies as st

from atlas.contracts import (
    Candidate,
    Energy,
    Example,
    Execution,
    LogprobSummary,
    Plan,
    Problem,
    SamplingParams,
    TestResult,
    Unavailable,
    Usage,
    Verdict,
)
from atlas.events import CommandFailed, InputsMade, Pins, StatementRead, TaskSubmitted
from atlas.executor import RunStatus
from atlas.generated_inputs import OUTPUT_KEPT_CHARS, GeneratedInput, ProbedRun
from atlas.policy import Policy
from atlas.state import TaskState
from tests.support.selector_weights import of_these

PLANS = (Plan(algorithm="a"), Plan(algorithm="b"), Plan(algorithm="a"))
Given = str | RunStatus | ProbedRun
CRASH = RunStatus.RUNTIME_ERROR


# A model that knows a cluster's share alone, so that these tests hold whatever weights are shipped.
BY_SIZE = of_these(intercept=-3.0, size_share=6.0)


def run(given: Given) -> ProbedRun:
    """A run by its output, or by how it failed."""
    if isinstance(given, ProbedRun):
        return given
    if isinstance(given, RunStatus):
        return ProbedRun(status=given)
    digest = hashlib.sha256(given.encode()).hexdigest()
    return ProbedRun(status=RunStatus.OK, output=given[:OUTPUT_KEPT_CHARS], output_sha256=digest)


@dataclass(frozen=True)
class Drawn:
    """A candidate: its program, and what it gave on the inputs of each round (None: it was not run).

    `compiles`: if not, it fails every example for that.
    """

    code: str | None
    rounds: tuple[Sequence[Given] | None, ...] = ()
    passed: int = 1
    mean: float | None = -1.0
    energy: float | None = None
    plan: int | None = None
    origin: Literal["sample", "plan", "repair"] = "sample"
    temperature: float = 0.7
    compiles: bool = True

    def candidate(self, name: str) -> Candidate:
        mean = self.mean
        return Candidate(
            id=name,
            origin="plan" if self.plan is not None else self.origin,
            plan=self.plan,
            code=self.code,
            sampling=SamplingParams(temperature=self.temperature, max_tokens=64, seed=1),
            usage=Usage(tokens_out=1),
            logprob=None if mean is None else LogprobSummary(mean=mean, minimum=mean, lowest_decile=mean),
            energy=Unavailable(reason="none")
            if self.energy is None
            else Energy(value=self.energy, weights="w"),
        )


def ran(passed: int, examples: int, failing: Verdict = Verdict.WRONG_ANSWER) -> Execution:
    verdicts = [Verdict.ACCEPTED] * passed + [failing] * (examples - passed)
    return Execution(results=tuple(TestResult(verdict=v) for v in verdicts), isolation="fake", seconds=0.1)


def state(
    *drawn: Drawn,
    examples: int = 1,
    kind: Literal["stdin", "function"] = "stdin",
    failed: Sequence[str] = (),
    votes: tuple[int, int] | None = None,
    texts: dict[tuple[int, int], str] | None = None,
    **policy: object,
) -> TaskState:
    """The state in which c0, c1, … were drawn and run; equal texts share the first one's probes.

    `failed`: probes that the machinery failed. `texts`: inputs that are not each their own.
    """
    asked = Policy.model_validate(
        {"name": "t", "k": 16, "inputs": 4, "input_tokens": 1536, "stop_after_passing": 0} | policy
    )
    submitted = TaskSubmitted(
        problem=Problem(
            statement="s",
            kind=kind,
            entry_point="f" if kind == "function" else None,
            examples=tuple(Example(input=str(i), output=str(i)) for i in range(examples)),
        ),
        policy=asked,
        pins=Pins(pipeline="1", prompts_sha256="0" * 64, model="m"),
        deadline_s=60,
    )
    candidates = {f"c{i}": d.candidate(f"c{i}") for i, d in enumerate(drawn)}
    probes: dict[tuple[int, str], tuple[ProbedRun, ...]] = {}
    first: dict[str, str] = {}
    sizes: dict[int, int] = {}
    for name, one in zip(candidates, drawn, strict=True):
        if one.code is None or first.setdefault(one.code, name) != name:
            continue
        for number, given in enumerate(one.rounds):
            if given is not None:
                probes[number, name] = tuple(run(g) for g in given)
                sizes[number] = len(given)
    inputs = {
        number: InputsMade(
            command=f"inputs:{number}",
            round=number,
            inputs=tuple(
                GeneratedInput(text=(texts or {}).get((number, i), f"{number} {i}"), origin="model")
                for i in range(size)
            ),
        )
        for number, size in sorted(sizes.items())
    }
    read = (
        None
        if votes is None
        else StatementRead(command="read", between=("c0", "c1"), input="0 0", votes=votes)
    )
    return TaskState(
        seq=9,
        submitted=submitted,
        plans=PLANS,
        candidates=candidates,
        executions={
            name: ran(one.passed, examples)
            if one.compiles
            else ran(0, examples, failing=Verdict.COMPILE_ERROR)
            for name, one in zip(candidates, drawn, strict=True)
            if examples
        },
        inputs=inputs,
        probes=probes,
        failures={name: CommandFailed(command=name, reason="poisoned") for name in failed},
        read=read,
    )


def under(task: TaskState, **changes: object) -> TaskState:
    """The same task under a changed policy."""
    policy = Policy.model_validate({**task.task.policy.model_dump(), **changes})
    return replace(task, submitted=task.task.model_copy(update={"policy": policy}))


OUTCOMES: tuple[Given, ...] = (
    "1",
    "1.0000001",
    "2",
    "",
    CRASH,
    RunStatus.TIME_LIMIT,
    RunStatus.INFRASTRUCTURE_ERROR,
)


@st.composite
def states(draw: st.DrawFn) -> TaskState:
    """Tasks of a few candidates, some of equal text, with two rounds, one of which may be cut short."""
    width = draw(st.integers(1, 3))
    rounds = st.tuples(
        *[st.one_of(st.none(), st.lists(st.sampled_from(OUTCOMES), min_size=width, max_size=width))] * 2
    )
    examples = draw(st.sampled_from([0, 2]))
    # What a program gives is one thing per text.
    gives = {code: draw(rounds) for code in ("a", "bb", "ccc", "dddd")}
    passed = {code: draw(st.sampled_from([examples, examples, 0])) for code in gives}
    drawn = []
    for _ in range(draw(st.integers(1, 6))):
        code = draw(st.sampled_from([*gives, None]))
        drawn.append(
            Drawn(
                code,
                gives[code] if code else (),
                passed=passed[code] if code else 0,
                mean=draw(st.sampled_from([None, -0.5, -9.0])),
                energy=draw(st.sampled_from([None, 0.0, 99.0])),
                plan=draw(st.sampled_from([None, 0, 1, 2])),
                temperature=draw(st.sampled_from([0.7, 0.0])),
            )
        )
    return state(
        *drawn,
        examples=examples,
        kind=draw(st.sampled_from(["stdin", "function"])),
        votes=draw(st.sampled_from([None, (0, 0), (2, 1)])),
        failed=draw(st.sampled_from([(), ("probe:1:c0",)])),
        inputs=draw(st.sampled_from([4, 4, 0])),
        selector=draw(st.sampled_from(["examples", "majority", "calibrated"])),
    )
