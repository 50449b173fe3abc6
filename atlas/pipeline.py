"""The one brain: what should be done now, given what has happened. The whole solve strategy is here.

Pure: no I/O, no clock, no randomness. `decide` is asked after every event by whichever worker appended it,
so it must give the same answer to everyone: it reads the journalled state and nothing else.

    submitted ─▶ [probe] ─▶ [MakePlans] ─▶ Generate ⇄ Execute (public examples) ⇄ [Repair] ─▶ Select
                                              │         │   [Repair] after [self-tests: atlas.self_tests]
                                              │         └▶ [compare on generated inputs: atlas.comparing]
                                              └▶ [Score], with Lens weights pinned: before the run, which is
                                                 then in energy order, or after it under a spending rule

What bounds it: `k`, `repairs` and `refinements`, the hard token budget (no call is begun that could exceed
it), and the deadline (an event); whichever comes first, the best program so far is the answer.

A `choice` problem is sampled and put to the vote: plans, scores and repairs are about programs, and without
public examples nothing is run. `steps` problems have none either, so their programs are not run here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from atlas import comparing, difficulty, self_tests, stopping
from atlas.budget import affordable, refinement_seconds_left
from atlas.commands import AnyCommand, Execute, Generate, MakePlans, Refine, Repair, Score, Select
from atlas.contracts import PERSPECTIVES, PERTURBATIONS, Candidate, Energy, Stop
from atlas.events import AnyEvent, CommandsIssued, CommandsRevoked, TaskFailed
from atlas.policy import Part
from atlas.spending import ArmName, best, hardness, tries
from atlas.state import TaskState, apply

PIPELINE_VERSION = "7"
REFINED_TOGETHER = 3  # failing programs that one analysis sees
SAMPLES_A_CALL = 4  # of one prompt: they share its prefill, and what is drawn survives a deadline in between


def decide(state: TaskState) -> frozenset[AnyCommand]:
    """Return every command that should be open now; what is open and not among them is revoked."""
    if state.closed or state.submitted is None or state.done("select"):
        return frozenset()
    if not state.deadline_reached:
        if planning := _plans(state):
            return frozenset(planning)
        work = _generations(state) + _scores(state) + _executions(state) + _comparisons(state)
        repairs = [] if work or _not_worth_it(state) else _repairs(state)
        if work := work or repairs or _last_resort(state) or _contest(state):
            return frozenset(work)
    return frozenset({Select(id="select")} if programs(state) else ())


def failure(state: TaskState) -> TaskFailed | None:
    """Return how the task ends without a program, if it can no longer have one."""
    if state.closed or state.submitted is None:
        return None
    broken = [f"{c} {f.reason}: {f.detail}" for c, f in state.failures.items() if f.infrastructure]
    if "select" in state.failures:
        return TaskFailed(reason=f"selection failed: {state.failures['select'].detail}", infrastructure=True)
    if decide(state):
        return None
    if state.deadline_reached:
        down = "the services were down when the deadline came" if state.deadline_missed else ""
        reason = down or "the deadline came before a program"
        return TaskFailed(reason=reason, infrastructure=bool(broken or down))
    lacks = "named one of the choices" if _is_choice(state) else "held a code block"
    drawn = f"no answer of the model {lacks}"
    unpaid = f"the token budget of {state.task.policy.token_budget} allows no call"
    why = broken[0] if broken else drawn if state.candidates or state.failures else unpaid
    what = "answer" if _is_choice(state) else "program"
    return TaskFailed(reason=f"no {what} was generated: {why}", infrastructure=bool(broken))


@dataclass(frozen=True)
class Step:
    """What one append should write: the events, and the commands among them to put on queues."""

    events: tuple[AnyEvent, ...]
    commands: tuple[AnyCommand, ...]
    revoked: tuple[str, ...]
    state: TaskState


def advance(state: TaskState, events: Sequence[AnyEvent]) -> Step:
    """Follow new events with what the brain makes of them: commands issued, commands revoked, or the end.

    Raises:
        InvalidHistory: if an event cannot follow `state`.
    """
    out = list(events)
    for event in events:
        state = apply(state, event)
    if end := failure(state):
        out.append(end)
        state = apply(state, end)
    wanted = {command.id: command for command in decide(state)}
    revoked = tuple(sorted(state.open - wanted.keys()))
    fresh = tuple(wanted[i] for i in sorted(wanted.keys() - state.issued))
    follow: list[AnyEvent] = []
    if revoked:
        follow.append(CommandsRevoked(ids=revoked))
    if fresh:
        follow.append(CommandsIssued(ids=tuple(c.id for c in fresh)))
    for event in follow:
        state = apply(state, event)
    return Step(tuple(out + follow), fresh, revoked, state)


def programs(state: TaskState) -> list[Candidate]:
    """Candidates that hold something to hand in (see `Candidate.code`), in the order they were drawn."""
    return [c for c in state.candidates.values() if c.code is not None]


def survivors(state: TaskState) -> list[Candidate]:
    """Programs that passed every public example."""
    return [c for c in programs(state) if c.id in state.executions and state.executions[c.id].all_passed]


def entrants(state: TaskState) -> list[Candidate]:
    """Programs that could be handed back: the survivors, or all where no public example was to be passed."""
    return survivors(state) if _executes(state) else programs(state)


def by_energy(candidates: list[Candidate]) -> list[Candidate]:
    """Lowest energy first; those without a score last; stable otherwise."""
    return sorted(candidates, key=lambda c: c.energy.value if isinstance(c.energy, Energy) else float("inf"))


def stop(state: TaskState) -> Stop | None:
    """Return why no further program was made though the policy has room for one, if that is so."""
    early = _early_stop(state)
    if early is None and not survivors(state) and _not_worth_it(state):
        return Stop(rule="price", votes=0, of=len(state.candidates))
    return early


def _early_stop(state: TaskState) -> Stop | None:
    wanted, passing = state.task.policy.stop_after_passing, len(survivors(state))
    if _executes(state) and 0 < wanted <= passing:
        return Stop(rule="passing", votes=passing, of=len(state.candidates))
    return stopping.stopped(state, entrants(state))


def _contest(state: TaskState) -> list[AnyCommand]:
    """What tells the leading clusters apart, unless a rule found the votes to be enough."""
    return [] if stopping.stopped(state, entrants(state)) else comparing.contest(state, entrants(state))


def _is_choice(state: TaskState) -> bool:
    return state.task.problem.kind == "choice"


def _executes(state: TaskState) -> bool:
    return state.task.policy.execute and bool(state.task.problem.examples)


def _enough(state: TaskState) -> bool:
    """Whether one of the policy's early stops is reached."""
    return _early_stop(state) is not None


def _stops_early(state: TaskState) -> bool:
    """Whether what is known of the programs drawn may end the drawing."""
    policy = state.task.policy
    first_pass = _executes(state) and policy.stop_after_passing > 0
    agreement = state.compares and policy.stop_when_agreeing > 0
    return first_pass or agreement or policy.adaptive is not None


def _unexecuted(state: TaskState) -> list[Candidate]:
    return [c for c in programs(state) if not _run(state, c)] if _executes(state) else []


def _plans(state: TaskState) -> list[AnyCommand]:
    wanted = _plannable(state)
    if wanted and _plans_are_weighed(state) and "plans" not in state.open:
        drawing = any(command.startswith("generate:") for command in state.open)
        wanted = not drawing and not _unexecuted(state) and _spends_on(state) == "plan"
    return [MakePlans(id="plans", n=state.task.policy.plans)] if wanted else []


def _plannable(state: TaskState) -> bool:
    """Whether plans can be made now, or are being made."""
    n = 0 if _is_choice(state) or _untold(state) else state.task.policy.plans
    return n > 0 and not state.done("plans") and _probed(state) and affordable(state, "plans", n)


def _plans_are_weighed(state: TaskState) -> bool:
    """Whether plans come when they are worth more than what else could be done, and not first."""
    spending = state.task.policy.spending
    weighed = spending is not None and spending.plan is not None
    return weighed and _stops_early(state)


def _untold(state: TaskState) -> bool:
    """Whether a spending rule has nothing to go by: nothing will tell one program from another.

    What it buys is a program that passes the public examples; where there are none to pass, and neither votes
    nor energies to choose by, the first program is as good as any further one.
    """
    policy = state.task.policy
    voted = _is_choice(state) or state.compares or policy.adaptive is not None
    return policy.spending is not None and not (_executes(state) or voted or _scored(state))


def _probed(state: TaskState) -> bool:
    """Whether the baseline's candidate, if the policy begins with it, is drawn and has not ended the task."""
    if not state.task.policy.probe:
        return True
    judged = not _stops_early(state) or _ranked(state) or not _unexecuted(state)
    return state.done("generate:0") and judged and not _enough(state)


def _next_generation(state: TaskState) -> Generate | None:
    """The first Generate of the policy's schedule that is not done.

    The schedule: the baseline's candidate, one candidate to a plan, one to a perturbation, plain samples.

    Calls of one task run one after another, so that each finds the others' prefix in its slot's cache; plain
    samples share one prompt and, where nothing may stop them early, four of them a call (or as many as must
    agree before anything can). None when the schedule is done, or the next call cannot be paid for.
    """
    command = _not_done(state, _planned_from(state))
    if command is None or not affordable(state, command.id, command.n):
        return None
    return _paced(state, command)


def _not_done(state: TaskState, planned_from: int) -> Generate | None:
    if _untold(state) and programs(state):
        return None
    first = 0
    while first < state.task.policy.k:
        command = _scheduled(state, first, planned_from)
        if not state.done(command.id):
            return command
        first += command.n
    return None


def _planned_from(state: TaskState) -> int:
    """Return the first candidate that follows a plan: the next one after plans were made."""
    policy = state.task.policy
    if not _plans_are_weighed(state):
        return int(policy.probe)
    drawn = [int(c.id[1:]) - c.plan for c in state.candidates.values() if c.plan is not None]
    if drawn or not state.plans:
        return min(drawn, default=policy.k)
    following = _not_done(state, policy.k)
    return following.first if following else policy.k


def _scheduled(state: TaskState, first: int, planned_from: int) -> Generate:
    """The Generate of the policy's schedule that begins with candidate `first`."""
    policy, name = state.task.policy, f"generate:{first}"
    if policy.probe and first == 0:
        return Generate(id=name, first=0, greedy=True)
    plan, planned = first - planned_from, min(len(state.plans), policy.plans)
    if 0 <= plan < planned:
        return Generate(id=name, first=first, plan=plan)
    perturbed = first - policy.probe - (planned if plan >= 0 else 0)
    if perturbed < policy.perturbations and not _is_choice(state):
        turn = (perturbed + policy.seed) % len(PERTURBATIONS)
        return Generate(id=name, first=first, perturbation=PERTURBATIONS[turn])
    together = SAMPLES_A_CALL if not _stops_early(state) else _needed_to_agree(state) - first
    room = (policy.k if plan >= 0 else planned_from) - first
    return Generate(id=name, first=first, n=max(1, min(together, SAMPLES_A_CALL, room)))


def _paced(state: TaskState, command: Generate) -> Generate:
    """The same, with how long the model thinks where that depends on what is known of the problem."""
    if command.greedy or not difficulty.adapts(state):
        return command
    known = difficulty.difficulty(state)
    return command.model_copy(update={"thinking_tokens": difficulty.tier(state, known), "difficulty": known})


def _needed_to_agree(state: TaskState) -> int:
    """How many candidates are drawn whatever becomes of them: fewer cannot end the task."""
    policy = state.task.policy
    first_pass = _executes(state) and policy.stop_after_passing > 0
    if policy.adaptive is not None and not first_pass:
        least = stopping.least_votes(policy.adaptive, policy.k)
        return min(least, policy.stop_when_agreeing) if policy.stop_when_agreeing else least
    return 1 if first_pass else policy.stop_when_agreeing


def _generations(state: TaskState) -> list[AnyCommand]:
    command = _next_generation(state)
    if command is None or _enough(state):
        return []
    if command.id in state.open:
        return [command]
    waits = _stops_early(state) and not _ranked(state) and (_unexecuted(state) or _comparisons(state))
    # What the next sample's thinking depends on is known first, in whatever order the services answer.
    if difficulty.adapts(state):
        waits = waits or _scores(state) or (not _ranked(state) and _unexecuted(state))
    if waits or _spends_on(state) == "repair" or _not_worth_it(state):
        return []  # a sample that may prove needless waits for the verdict on the last one
    return [command]


def _spends_on(state: TaskState) -> ArmName | None:
    """Return what the policy's spending rule would do next, of what can be done; None without a rule."""
    spending, following = state.task.policy.spending, _next_generation(state)
    if spending is None:
        return None
    if _plans_are_weighed(state) and following is not None and following.plan is not None:
        return "plan"  # most of what it costs is spent
    harder = hardness(spending, len(state.task.problem.statement))
    price = spending.price if programs(state) else 0.0
    return best(spending, tries(state), _possible(state), harder, price)


def _not_worth_it(state: TaskState) -> bool:
    """Whether something could be done, and nothing of it is worth the price of the policy's spending rule."""
    priced = state.task.policy.spending is not None and bool(_possible(state))
    return priced and _spends_on(state) is None


def _possible(state: TaskState) -> list[ArmName]:
    """What could be spent on next."""
    following = _next_generation(state)
    possible: dict[ArmName, bool] = {
        "sample": following is not None,
        "plan": _plans_are_weighed(state) and following is not None and _plannable(state),
        "repair": bool(_repairs(state)),
    }
    return [arm for arm, can in possible.items() if can]


def _scored(state: TaskState) -> bool:
    """Whether candidates get an energy."""
    weighed = Part.LENS in state.task.policy.extras and state.task.pins.lens_weights is not None
    return weighed and not _is_choice(state)


def _ranked(state: TaskState) -> bool:
    """Whether candidates are scored first and run in energy order.

    Not under a spending rule, which needs each one's outcome before it draws the next.
    """
    return _scored(state) and state.task.policy.spending is None


def _scores(state: TaskState) -> list[AnyCommand]:
    """Scoring what is drawn, or, where that is run as it comes, what has been run: more is known of it."""
    if not _scored(state):
        return []
    known = [c for c in programs(state) if _ranked(state) or not _executes(state) or _run(state, c)]
    missing = [c for c in known if not state.done(f"score:{c.id}")]
    return [Score(id=f"score:{c.id}", candidate=c.id) for c in missing]


def _run(state: TaskState, candidate: Candidate) -> bool:
    return state.done(f"execute:{candidate.id}")


def _executions(state: TaskState) -> list[AnyCommand]:
    waiting = _unexecuted(state)
    if _enough(state):
        return []
    if _ranked(state):
        if _next_generation(state) or _scores(state):
            return []
        waiting = by_energy(waiting)
        if _stops_early(state):
            waiting = [] if _comparisons(state) else waiting[:1]
    return [Execute(id=f"execute:{c.id}", candidate=c.id) for c in waiting]


def _comparisons(state: TaskState) -> list[AnyCommand]:
    """Comparing the programs there are: after each one if agreement may end the task, else at the end."""
    if not state.compares:
        return []
    waiting = [] if _enough(state) else _unexecuted(state)
    at_once = stopping.decides(state.task.policy)
    if at_once and _ranked(state):
        waiting = [c for c in waiting if f"execute:{c.id}" in state.open]
    drawing = not at_once and not _enough(state) and _next_generation(state)
    if waiting or drawing:
        return []
    programs_ = entrants(state)
    return comparing.begun_rounds(state, programs_) or comparing.clustering(state, programs_)


def _repairs(state: TaskState) -> list[AnyCommand]:
    """When everything drawn has failed: mend the program that passes most examples, one proposal at a time.

    Each proposal looks at it from the next of the four perspectives; the first to pass more is mended next.
    """
    failing = [c for c in programs(state) if c.id in state.executions]
    if not failing or survivors(state):
        return []
    best = max(failing, key=lambda c: state.executions[c.id].passed)
    for index in range(state.task.policy.repairs):
        name = f"repair:{index}"
        if not state.done(name):
            perspective = PERSPECTIVES[index % len(PERSPECTIVES)]
            command = Repair(id=name, index=index, candidate=best.id, perspective=perspective)
            if not affordable(state, name, 2):
                return []
            return self_tests.work(state, [best]) or [command]
    return _refinements(state, failing)


def _last_resort(state: TaskState) -> list[AnyCommand]:
    """When neither samples nor repairs pass: a brute-force program that does, if there is one."""
    return [] if survivors(state) else self_tests.last_resort(state)


def _refinements(state: TaskState, failing: list[Candidate]) -> list[AnyCommand]:
    """When repairs are spent: a program from an analysis of the nearest failures, as often as is allowed.

    Of failures that are as near the newest come first, so that each iteration sees what came of the last.
    """
    newest_first = reversed(comparing.distinct(failing))
    nearest = sorted(newest_first, key=lambda c: -state.executions[c.id].passed)
    for index in range(state.task.policy.refinements):
        name = f"refine:{index}"
        if not state.done(name):
            shown = nearest[:REFINED_TOGETHER]
            timely = name in state.open or refinement_seconds_left(state) > 0
            paid = timely and affordable(state, name, 2)
            if not paid:
                return []
            command = Refine(id=name, index=index, candidates=tuple(c.id for c in shown))
            return self_tests.work(state, shown) or [command]
    return []
