"""Shared by the pipeline and journal tests: submissions, and answers a service could give to a command."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from hypothesis import strategies as st

from atlas.commands import (
    AnyCommand,
    CheckBruteForce,
    ClusterCandidates,
    EnterBruteForce,
    Execute,
    Generate,
    MakeInputs,
    MakePlans,
    MakeSelfTests,
    Probe,
    ReadStatement,
    Refine,
    Repair,
    RunSelfTests,
    Score,
    Select,
    WriteBruteForce,
    WriteInputs,
)
from atlas.contracts import (
    Candidate,
    Energy,
    Example,
    Execution,
    Plan,
    Problem,
    SamplingParams,
    SelfTest,
    TestResult,
    Unavailable,
    Usage,
    Verdict,
)
from atlas.events import (
    AnyEvent,
    BruteForceChecked,
    BruteForceWritten,
    CandidateGenerated,
    CandidateProbed,
    CandidatesClustered,
    CandidateScored,
    Choice,
    CommandFailed,
    ExecutionFinished,
    InputsMade,
    InputsWritten,
    ModelCallFinished,
    Pins,
    PlanMade,
    SelfTestsMade,
    SelfTestsRun,
    StatementRead,
    TaskAbstained,
    TaskDecided,
    TaskSubmitted,
)
from atlas.evidence import CandidateCluster, Evidence
from atlas.executor import RunStatus
from atlas.generated_inputs import GeneratedInput, ProbedRun, WrittenInputs
from atlas.pipeline import entrants, programs
from atlas.policy import TIERS, Arm, BlendAsc, Part, Policy, ReAsc, Spending
from atlas.state import TaskState

T = TypeVar("T")
SAMPLING = SamplingParams(temperature=0.7, max_tokens=64, seed=1)
EVEN = Spending(sample=Arm(right=1, wrong=2, tokens=5), repair=Arm(right=1, wrong=1, tokens=8))
WEIGHED = EVEN.model_copy(update={"plan": Arm(right=1, wrong=1, tokens=6), "shared": 0.5})
PRICED = WEIGHED.model_copy(update={"length": 1.0, "price": 0.02})
FORCED = PRICED.model_copy(update={"brute_force": Arm(right=2, wrong=1, tokens=5)})
USAGE = Usage(tokens_in=10, tokens_out=5)


def submission(policy: Policy, *, examples: int = 2, weights: str | None = None) -> TaskSubmitted:
    pairs = tuple(Example(input=str(i), output=str(i)) for i in range(examples))
    return TaskSubmitted(
        problem=Problem(statement="Echo the number.", examples=pairs),
        policy=policy,
        pins=Pins(
            pipeline="1",
            prompts_sha256="0" * 64,
            model="fake",
            lens_weights=weights,
            thinks=bool(policy.thinking_tiers),
        ),
        deadline_s=600,
    )


def policies() -> st.SearchStrategy[Policy]:
    return st.one_of(_not_comparing(), _comparing(), _thinking())


def _thinking() -> st.SearchStrategy[Policy]:
    return st.builds(
        Policy,
        name=st.just("thinking"),
        k=st.sampled_from([3, 2, 6]),
        probe=st.sampled_from([False, True]),
        stop_after_passing=st.sampled_from([0, 1]),
        thinking_tokens=st.just(2048),
        thinking_tiers=st.sampled_from([TIERS, TIERS[2:]]),
        extras=st.sampled_from([(), (Part.LENS,)]),
    )


def _comparing() -> st.SearchStrategy[Policy]:
    return st.builds(
        Policy,
        name=st.just("comparing"),
        k=st.sampled_from([4, 3, 2, 6]),
        probe=st.sampled_from([False, True]),
        plans=st.sampled_from([0, 0, 1, 2]),
        perturbations=st.sampled_from([0, 1]),
        repairs=st.sampled_from([0, 0, 1]),
        stop_after_passing=st.sampled_from([0, 0, 0, 2]),
        token_budget=st.sampled_from([0, 0, 1000, 200]),
        inputs=st.sampled_from([2, 1]),
        input_tokens=st.sampled_from([1536, 96]),
        distinguish=st.sampled_from([0, 1, 2]),
        readings=st.sampled_from([0, 3]),
        stop_when_agreeing=st.sampled_from([0, 2, 3]),
        self_tests=st.sampled_from([0, 2]),
        brute_forces=st.just(2),
        adaptive=st.sampled_from([None, None, BlendAsc(), ReAsc()]),
        extras=st.sampled_from([(), (), (Part.LENS,)]),
    )


def _not_comparing() -> st.SearchStrategy[Policy]:
    return st.builds(
        Policy,
        name=st.just("random"),
        k=st.sampled_from([4, 3, 2, 1]),
        probe=st.sampled_from([False, True]),
        plans=st.sampled_from([0, 0, 1, 2]),
        perturbations=st.sampled_from([0, 2]),
        execute=st.sampled_from([True, True, False]),
        repairs=st.sampled_from([0, 0, 1, 2]),
        refinements=st.sampled_from([0, 0, 2]),
        spending=st.sampled_from([None, EVEN, WEIGHED, PRICED, FORCED]),
        self_tests=st.sampled_from([0, 2]),
        brute_forces=st.sampled_from([2, 3]),
        adaptive=st.sampled_from([None, None, BlendAsc(confidence=0.6), ReAsc()]),
        stop_after_passing=st.sampled_from([0, 0, 1, 2]),
        token_budget=st.sampled_from([0, 0, 1000, 200]),
        extras=st.sampled_from([(Part.LENS,), ()]),
    )


def submissions() -> st.SearchStrategy[TaskSubmitted]:
    weights = st.sampled_from(["w", None])
    return st.builds(submission, policies(), examples=st.sampled_from([2, 1, 0]), weights=weights)


def model_call(command: str, name: str = "code") -> ModelCallFinished:
    choice = Choice(text="...", usage=USAGE, finish="stop")
    return ModelCallFinished(
        command=command,
        call=f"{command}/{name}",
        prompt="p",
        sampling=SAMPLING,
        choices=(choice,),
        slot=0,
        server_s=0.1,
    )


class Pick(Protocol):
    """Chooses one of several outcomes; the first is the plainest."""

    def __call__(self, outcomes: Sequence[T]) -> T: ...


def picking(data: st.DataObject) -> Pick:
    return lambda outcomes: data.draw(st.sampled_from(outcomes))


def plainest(outcomes: Sequence[T]) -> T:
    return outcomes[0]


def answer(state: TaskState, command: AnyCommand, pick: Pick) -> list[AnyEvent]:
    """What the service of `command` might append."""
    if pick([False] * 9 + [True]):
        reason = pick(["bad_output", "refused", "handler_error"])
        return [CommandFailed(command=command.id, reason=reason, detail="picked")]
    if isinstance(command, MakePlans):
        n = pick(range(1, command.n + 1))
        return [PlanMade(command=command.id, plans=tuple(Plan(algorithm=f"a{i}") for i in range(n)))]
    if drawn := _drawn(state, command, pick):
        return drawn
    if isinstance(command, Score):
        energies = [Energy(value=v, weights="w") for v in (1.0, 0.0, 2.5)]
        energy = pick([*energies, Unavailable(reason="picked")])
        return [CandidateScored(command=command.id, candidate=command.candidate, energy=energy)]
    if isinstance(command, Execute):
        verdicts = [pick([Verdict.ACCEPTED, Verdict.WRONG_ANSWER]) for _ in state.task.problem.examples]
        results = tuple(TestResult(verdict=v) for v in verdicts)
        execution = Execution(results=results, isolation="fake", seconds=0.1)
        return [ExecutionFinished(command=command.id, candidate=command.candidate, execution=execution)]
    if compared := _compared(state, command, pick):
        return [compared]
    assert isinstance(command, Select)
    chosen = programs(state)[0]
    evidence = Evidence(
        basis="not_executed", public_passed=0, public_total=0, candidates=len(state.candidates), survivors=0
    )
    if state.task.policy.abstain_below:
        return [TaskAbstained(command=command.id, candidate=chosen.id, evidence=evidence)]
    return [TaskDecided(command=command.id, candidate=chosen.id, evidence=evidence)]


def _drawn(state: TaskState, command: AnyCommand, pick: Pick) -> list[AnyEvent]:
    if isinstance(command, Generate):
        names = [f"c{command.first + i}" for i in range(command.n)]
        return [_generated(command.id, name, pick, plan=command.plan) for name in names]
    if isinstance(command, Repair):
        return [_generated(command.id, f"r{command.index}", pick)]
    if isinstance(command, Refine):
        return [_generated(command.id, f"f{command.index}", pick)]
    if isinstance(command, EnterBruteForce):
        entered = _generated(command.id, command.program, plainest).candidate
        code = state.brute_forces[command.program]
        entered = entered.model_copy(update={"origin": "brute_force", "code": code})
        return [CandidateGenerated(command=command.id, candidate=entered)]
    return []


def _compared(state: TaskState, command: AnyCommand, pick: Pick) -> AnyEvent | None:
    if isinstance(command, WriteBruteForce):
        code = pick(["print(1)", "print(input())"])
        return BruteForceWritten(command=command.id, program=f"b{command.index}", code=code)
    if isinstance(command, CheckBruteForce):
        ran = Execution(
            results=tuple(
                TestResult(verdict=pick([Verdict.ACCEPTED, Verdict.WRONG_ANSWER]))
                for _ in state.task.problem.examples
            ),
            isolation="fake",
            seconds=0.1,
        )
        return BruteForceChecked(command=command.id, program=command.program, execution=ran)
    if isinstance(command, MakeSelfTests):
        test = SelfTest(input="1", output="1", agreed=("b0", "b1"))
        return SelfTestsMade(command=command.id, tests=pick([(test,), ()]), inputs=1)
    if isinstance(command, RunSelfTests):
        ran = Execution(results=(TestResult(verdict=Verdict.ACCEPTED),), isolation="fake", seconds=0.1)
        return SelfTestsRun(command=command.id, candidate=command.candidate, execution=ran)
    if isinstance(command, WriteInputs):
        return InputsWritten(command=command.id, round=command.round, written=WrittenInputs(texts=("1",)))
    if isinstance(command, MakeInputs):
        made = pick(
            [(GeneratedInput(text="1", origin="model"), GeneratedInput(text="2", origin="mutation")), ()]
        )
        return InputsMade(command=command.id, round=command.round, inputs=made)
    if isinstance(command, Probe):
        made = state.inputs[command.round].inputs
        runs = tuple(ProbedRun(status=RunStatus.OK, output=pick(["1", "2"])) for _ in made)
        return CandidateProbed(
            command=command.id,
            round=command.round,
            candidate=command.candidate,
            runs=runs,
            isolation="fake",
            seconds=0.1,
        )
    if isinstance(command, ClusterCandidates):
        names = [c.id for c in entrants(state)]
        clusters = tuple(CandidateCluster(candidates=(name,), probability=0.5) for name in names)
        between = pick([None, (names[0], names[-1])])
        agreeing = 0 if between else pick([1, 2, 3])
        return CandidatesClustered(
            command=command.id, clusters=clusters, inputs=1, agreeing=agreeing, contested=between
        )
    if isinstance(command, ReadStatement):
        return StatementRead(command=command.id, between=command.between, input="1", votes=(2, 1))
    return None


def _generated(command: str, name: str, pick: Pick, plan: int | None = None) -> CandidateGenerated:
    candidate = Candidate(
        id=name,
        origin="repair" if name[0] in "rf" else "sample" if plan is None else "plan",
        plan=plan,
        code=pick(["print(input())", "print(1)", None]),
        sampling=SAMPLING,
        usage=USAGE,
    )
    return CandidateGenerated(command=command, candidate=candidate)
