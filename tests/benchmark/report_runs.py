"""Synthetic run directories for the report: valid journals with plans, samples, executions and repairs."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path

from atlas.api import view
from atlas.contracts import (
    Candidate,
    Energy,
    Evidence,
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
    CandidateScored,
    Choice,
    CommandsIssued,
    Entry,
    ExecutionFinished,
    ModelCallFinished,
    Pins,
    PlanMade,
    TaskDecided,
    TaskSubmitted,
)
from atlas.policy import POLICIES, Policy
from benchmark.run_store import Configuration, GradeSummary, RunStore, TaskMeta, TaskRecord

HOSTILE = (
    "print('</script></style></pre><script>alert(1)</script>"
    "<img src=x onerror=\"document.title='owned'\">{{ 7*7 }}${7*7}')\x1b[2J\u202e\x00 # \ud800 | `x` **b**\n"
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
            )
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
) -> list[Entry]:
    """Return a whole journal: plans and samples as the policy says, a repair where it can and none passes."""
    rolls = random.Random(f"{name} {policy.name} {policy.seed} journal")
    events: list[tuple[float, AnyEvent]] = []

    def add(event: AnyEvent, after: float = 0.0) -> None:
        events.append((after, event))

    def issue(command: str) -> None:
        add(CommandsIssued(ids=(command,)))

    def call(command: str, tokens: int) -> Usage:
        usage = Usage(tokens_in=420, tokens_out=tokens, tokens_cached=300)
        choice = Choice(text="...", usage=usage, finish="stop")
        server_s = tokens / 25
        add(
            ModelCallFinished(
                command=command,
                call=f"{command}/0",
                prompt="...",
                sampling=sampling,
                choices=(choice,),
                slot=0,
                server_s=server_s,
            ),
            server_s + 0.05,
        )
        return usage

    def candidate(command: str, **more: object) -> Candidate:
        usage = call(command, rolls.randint(90, 380))
        made = Candidate(
            code=code(name, str(more["id"])),
            sampling=sampling,
            usage=usage,
            logprob=LogprobSummary(mean=-rolls.uniform(0.01, 0.4), minimum=-3.0, lowest_decile=-1.5),
            **more,  # type: ignore[arg-type]
        )
        add(CandidateGenerated(command=command, candidate=made))
        return made

    def execute(made: Candidate, right: bool) -> Execution:
        issue(f"execute:{made.id}")
        results = [TestResult(verdict=Verdict.ACCEPTED, output="6\n")]
        bad = TestResult(verdict=Verdict.WRONG_ANSWER, output="<b>7</b>\n")
        results.append(TestResult(verdict=Verdict.ACCEPTED, output="1\n") if right else bad)
        done = Execution(results=tuple(results), tests=2, isolation="namespaces", seconds=0.08)
        add(ExecutionFinished(command=f"execute:{made.id}", candidate=made.id, execution=done), 0.1)
        return done

    sampling = SamplingParams(temperature=policy.temperature, max_tokens=policy.max_tokens, seed=policy.seed)
    problem = Problem(
        title=f"Sum {name}",
        statement=statement,
        examples=(Example(input="3\n1 2 3\n", output="6\n"), Example(input="1\n1\n", output="1\n")),
    )
    add(TaskSubmitted(problem=problem, policy=policy, pins=pins, deadline_s=1800))
    if policy.plans:
        issue("make_plans")
        call("make_plans", 160)
        plans = tuple(
            Plan(
                algorithm=f"Approach {n}: add as <i>you</i> read",
                steps=("read", "add"),
                edge_cases=("n = 0",),
            )
            for n in range(policy.plans)
        )
        add(PlanMade(command="make_plans", plans=plans))
    right_at = rolls.randrange(policy.k) if passed or rolls.random() < 0.2 else policy.k
    drawn: list[tuple[Candidate, bool]] = []
    for index in range(min(policy.k, 4)):
        command = f"generate:{index}"
        issue(command)
        planned = index < policy.plans
        made = candidate(
            command,
            id=f"c{index}",
            origin="plan" if planned else "sample",
            plan=index if planned else None,
        )
        if energies:
            issue(f"score:c{index}")
            energy = Energy(value=rolls.uniform(0, 2), weights="lens-1")
            add(CandidateScored(command=f"score:c{index}", candidate=made.id, energy=energy))
        right = index == right_at
        drawn.append((made, right))
        if policy.execute:
            execute(made, right)
        if right and policy.execute:
            break
    if policy.repairs and not drawn[-1][1]:
        issue("repair:0")
        made = candidate(
            "repair:0", id="r0", origin="repair", parent=drawn[0][0].id, perspective="logical_consistency"
        )
        execute(made, passed)
        drawn.append((made, passed))
    chosen, right = drawn[-1]
    issue("select")
    basis = ("passed_public_examples" if right else "best_partial") if policy.execute else "not_executed"
    evidence = Evidence(
        basis=basis,  # type: ignore[arg-type]
        public_passed=(2 if right else 1) if policy.execute else 0,
        public_total=2,
        candidates=len(drawn),
        survivors=int(right),
        energy=Energy(value=rolls.uniform(0, 2), weights="lens-1") if energies else Unavailable(reason="-"),
        mean_logprob=chosen.logprob.mean if chosen.logprob else None,
    )
    add(TaskDecided(command="select", candidate=chosen.id, evidence=evidence), 0.01)
    entries = []
    for seq, (after, event) in enumerate(events, 1):
        clock += after
        entries.append(Entry(seq=seq, time=clock, event=event))
    return entries
