"""Synthetic run directories for the report: valid journals with plans, samples, executions and repairs."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

from atlas.api import view
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
from atlas.events import (
    AnyEvent,
    CandidateGenerated,
    CandidateProbed,
    CandidatesClustered,
    CandidateScored,
    Choice,
    CommandsIssued,
    Entry,
    ExecutionFinished,
    InputsMade,
    InputsWritten,
    ModelCallFinished,
    Pins,
    PlanMade,
    StatementRead,
    TaskAbstained,
    TaskDecided,
    TaskSubmitted,
)
from atlas.evidence import Agreement, CandidateCluster, Evidence
from atlas.executor import RunStatus
from atlas.generated_inputs import GeneratedInput, ProbedRun, WrittenInputs
from atlas.policy import POLICIES, Policy
from benchmark.run_store import Configuration, GradeSummary, RunStore, TaskMeta, TaskRecord

HOSTILE = (
    "print('</script></style></pre><script>alert(1)</script>"
    "<img src=//evil.invalid/x onerror=\"document.title='owned'\">{{ 7*7 }}${7*7}')"
    "\x1b[2J\u202e\x00 # | `x` **b**\n"
)
MONTHS = ("2024-03-09", "2024-05-18", "2024-06-30", "2024-08-03", "2024-09-14")
PLATFORMS = ("atcoder", "leetcode")
LEVELS = ("easy", "medium", "hard")
CHANCE = {"A": 0.35, "B": 0.5, "C": 0.5, "D": 0.6, "E": 0.62, "full": 0.6, "resample": 0.55}
Code = Callable[[str, str], str]


def task_id(number: int) -> str:
    return f"abc{300 + number}_{'abcdefg'[number % 7]}"


def plain_code(task: str, candidate: str) -> str:
    return (
        f"# {task}, {candidate}\nimport sys\n\n\ndef main() -> None:\n"
        "    n, *numbers = map(int, sys.stdin.read().split())\n    print(sum(numbers[:n]))\n\n\nmain()\n"
    )


def make_run(
    directory: Path,
    policy: Policy,
    tasks: int = 24,
    *,
    seed: int = 0,
    model: str = "qwen2.5-coder-0.5b",
    code: Code = plain_code,
    statement: str = "Read n and n numbers; print their sum.",
    journals: bool = True,
    errors: Sequence[int] = (),
    energies: bool = False,
    compared: bool = False,
    asked: int = 0,
    described: bool = True,
) -> Path:
    """Write a run of `policy` whose outcomes depend on seed, policy and task only."""
    policy = policy.model_copy(update={"seed": seed})
    configuration = Configuration(
        dataset="lcb_official.jsonl",
        dataset_sha256="ab" * 32,
        tasks=asked or tasks,
        condition=policy.name,
        seed=seed,
        grader="official",
    )
    pins = Pins(
        pipeline="2", prompts_sha256="cd" * 32, model=model, lens_weights="lens-1" if energies else None
    )
    clock = 1_790_000_000.0
    with RunStore(directory, configuration) as store:
        store.bind_policy(policy)
        store.bind_pins(pins)
        for number in range(tasks):
            name = task_id(number)
            meta = TaskMeta()
            if described:
                meta = TaskMeta(
                    platform=PLATFORMS[number % 2],
                    difficulty=LEVELS[number % 3],
                    date=MONTHS[number % 5],
                )
            if number in errors:
                store.save(
                    TaskRecord(
                        task=name,
                        outcome="error",
                        attempt=1,
                        cause="gateway",
                        error="the gateway refused: <b>503</b>",
                        started_at=clock,
                        finished_at=clock + 1,
                        meta=meta,
                    )
                )
                continue
            easy = random.Random(name).random()
            passed = easy < CHANCE.get(policy.name, 0.5) + 0.08 * random.Random(
                f"{seed} {policy.name} {name}"
            ).uniform(-1, 1)
            entries = journal(
                policy,
                pins,
                name,
                passed=passed,
                clock=clock,
                code=code,
                statement=statement,
                energies=energies,
                compared=compared,
            )
            passed = passed and not isinstance(entries[-1].event, TaskAbstained)
            text = "".join(entry.model_dump_json() + "\n" for entry in entries)
            store.save(
                TaskRecord(
                    task=name,
                    outcome="passed" if passed else "failed",
                    attempt=1,
                    grade=grade(passed),
                    view=view(f"{number:032x}", entries),
                    journal=store.save_journal(name, text) if journals else None,
                    watched=True,
                    started_at=clock,
                    finished_at=entries[-1].time + 0.3,
                    meta=meta,
                )
            )
            clock = entries[-1].time + 0.5
    return directory


def make_runs(root: Path, names: Sequence[str] = ("A", "B", "D"), **more: object) -> list[Path]:
    """Write one run for each named policy."""
    return [make_run(root / f"run-{name}", POLICIES[name], **more) for name in names]  # type: ignore[arg-type]


def grade(passed: bool) -> GradeSummary:
    verdicts = (Verdict.ACCEPTED,) * 5 if passed else (Verdict.ACCEPTED, Verdict.WRONG_ANSWER)
    return GradeSummary(
        checker="official", passed=passed, tests=5, verdicts=verdicts, isolation="namespaces", seconds=0.2
    )


class Journal:
    """Writes one task's journal: whatever is added, in order, at times that make sense."""

    def __init__(self, policy: Policy, name: str, code: Code) -> None:
        self.policy, self.name, self.code = policy, name, code
        self.rolls = random.Random(f"{name} {policy.name} {policy.seed} journal")
        self.sampling = SamplingParams(
            temperature=policy.temperature, max_tokens=policy.max_tokens, seed=policy.seed
        )
        self.events: list[tuple[float, AnyEvent]] = []

    def add(self, event: AnyEvent, after: float = 0.0) -> None:
        self.events.append((after, event))

    def issue(self, command: str) -> None:
        self.add(CommandsIssued(ids=(command,)))

    def call(self, command: str, tokens: int) -> Usage:
        usage = Usage(tokens_in=420, tokens_out=tokens, tokens_cached=300)
        finished = ModelCallFinished(
            command=command,
            call=f"{command}/0",
            prompt="...",
            sampling=self.sampling,
            choices=(Choice(text="...", usage=usage, finish="stop"),),
            slot=0,
            server_s=tokens / 25,
        )
        self.add(finished, tokens / 25 + 0.05)
        return usage

    def plans(self) -> None:
        self.issue("plans")
        self.call("plans", 160)
        plans = tuple(
            Plan(
                algorithm=f"Approach {n}: add as <i>you</i> read",
                steps=("read", "add"),
                edge_cases=("n = 0",),
            )
            for n in range(self.policy.plans)
        )
        self.add(PlanMade(command="plans", plans=plans))

    def candidate(self, command: str, **more: object) -> Candidate:
        self.issue(command)
        usage = self.call(command, self.rolls.randint(90, 380))
        made = Candidate(
            code=self.code(self.name, str(more["id"])),
            sampling=self.sampling,
            usage=usage,
            logprob=LogprobSummary(mean=-self.rolls.uniform(0.01, 0.4), minimum=-3.0, lowest_decile=-1.5),
            **more,  # type: ignore[arg-type]
        )
        self.add(CandidateGenerated(command=command, candidate=made))
        return made

    def score(self, made: Candidate) -> None:
        self.issue(f"score:{made.id}")
        energy = Energy(value=self.rolls.uniform(0, 2), weights="lens-1")
        self.add(CandidateScored(command=f"score:{made.id}", candidate=made.id, energy=energy))

    def execute(self, made: Candidate, right: bool) -> None:
        if not self.policy.execute:
            return
        self.issue(f"execute:{made.id}")
        good = TestResult(verdict=Verdict.ACCEPTED, output="6\n")
        bad = TestResult(verdict=Verdict.WRONG_ANSWER, output="<b>7</b>\n")
        done = Execution(
            results=(good, good if right else bad), tests=2, isolation="namespaces", seconds=0.08
        )
        self.add(ExecutionFinished(command=f"execute:{made.id}", candidate=made.id, execution=done), 0.1)

    def compare(self, drawn: Sequence[Candidate]) -> None:
        """Programs on eight inputs: two kinds of output, a hostile one, a timeout, the model's word."""
        self.issue("write:0")
        self.add(InputsWritten(command="write:0", round=0, written=WrittenInputs(texts=("1\n1\n",))))
        self.issue("inputs:0")
        texts = ("1\n1\n", "2\n1 2\n", HOSTILE, *(f"{n}\n{'7 ' * n}\n" for n in range(3, 8)))
        inputs = tuple(GeneratedInput(text=text, origin="model") for text in texts)
        self.add(
            InputsMade(command="inputs:0", round=0, inputs=inputs, validation="checked", refused=3),
            after=0.2,
        )
        for place, each in enumerate(drawn):
            self.issue(f"probe:0:{each.id}")
            runs = [ProbedRun(status=RunStatus.OK, output=str(n + place % 2)) for n in range(len(inputs))]
            runs[2] = ProbedRun(status=RunStatus.OK, output=HOSTILE)
            runs[-1] = ProbedRun(status=RunStatus.TIME_LIMIT)
            probe = CandidateProbed(
                command=f"probe:0:{each.id}",
                round=0,
                candidate=each.id,
                runs=tuple(runs),
                isolation="namespaces",
                seconds=0.2,
            )
            self.add(probe, after=0.2)
        sides = [side for side in (drawn[::2], drawn[1::2]) if side]
        clusters = tuple(
            CandidateCluster(candidates=tuple(each.id for each in side), probability=0.6 / (n + 1))
            for n, side in enumerate(sides)
        )
        self.issue("cluster")
        self.add(CandidatesClustered(command="cluster", clusters=clusters, inputs=8, agreeing=len(sides[0])))
        if len(sides) == 2:
            self.issue("read")
            between = (drawn[0].id, drawn[1].id)
            self.add(StatementRead(command="read", between=between, input=HOSTILE, votes=(2, 1)))

    def decide(self, drawn: Sequence[Candidate], right: bool, energies: bool, compared: bool = False) -> None:
        self.issue("select")
        ran, chosen = self.policy.execute, drawn[-1]
        basis = ("passed_public_examples" if right else "best_partial") if ran else "not_executed"
        energy = Energy(value=self.rolls.uniform(0, 2), weights="lens-1")
        evidence = Evidence(
            basis=basis,  # type: ignore[arg-type]
            public_passed=(2 if right else 1) if ran else 0,
            public_total=2,
            candidates=len(drawn),
            survivors=int(right and ran),
            energy=energy if energies else Unavailable(reason="-"),
            mean_logprob=chosen.logprob.mean if chosen.logprob else None,
            confidence=round(self.rolls.uniform(0.2, 0.9), 2) if compared else None,
            agreement=Agreement(comparison="compared", inputs=8, clusters=(1,)) if compared else None,
        )
        if evidence.confidence is not None and evidence.confidence < self.policy.abstain_below:
            self.add(TaskAbstained(command="select", candidate=chosen.id, evidence=evidence), 0.01)
        else:
            self.add(TaskDecided(command="select", candidate=chosen.id, evidence=evidence), 0.01)

    def entries(self, clock: float) -> list[Entry]:
        found = []
        for seq, (after, event) in enumerate(self.events, 1):
            clock += after
            found.append(Entry(seq=seq, time=clock, event=event))
        return found


def journal(
    policy: Policy,
    pins: Pins,
    name: str,
    *,
    passed: bool,
    clock: float,
    code: Code,
    statement: str,
    energies: bool,
    compared: bool = False,
) -> list[Entry]:
    """Return a whole journal: plans and samples as the policy says, a repair where it can and none passes."""
    told = Journal(policy, name, code)
    examples = (Example(input="3\n1 2 3\n", output="6\n"), Example(input="1\n1\n", output="1\n"))
    problem = Problem(title=f"Sum {name}", statement=statement, examples=examples)
    told.add(TaskSubmitted(problem=problem, policy=policy, pins=pins, deadline_s=1800))
    if policy.plans:
        told.plans()
    lucky = passed or told.rolls.random() < 0.2
    right_at = told.rolls.randrange(policy.k) if lucky else policy.k
    drawn: list[Candidate] = []
    right = False
    while not right and len(drawn) < min(policy.k, 4):
        index = len(drawn)
        planned = index < policy.plans
        made = told.candidate(
            f"generate:{index}",
            id=f"c{index}",
            origin="plan" if planned else "sample",
            plan=index if planned else None,
        )
        if energies:
            told.score(made)
        right = index == right_at
        told.execute(made, right)
        drawn.append(made)
    if policy.repairs and not right:
        parent, look = drawn[0].id, "logical_consistency"
        made = told.candidate("repair:0", id="r0", origin="repair", parent=parent, perspective=look)
        right = passed
        told.execute(made, right)
        drawn.append(made)
    if compared:
        told.compare(drawn)
    told.decide(drawn, right, energies, compared)
    return told.entries(clock)
