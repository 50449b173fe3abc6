"""The one brain: what should be done now, given what has happened. The whole solve strategy is here.

Pure: no I/O, no clock, no randomness. `decide` is asked after every event by whichever worker appended it,
so it must give the same answer to everyone: it reads the journalled state and nothing else.

    submitted ─▶ [probe] ─▶ [MakePlans] ─▶ Generate ⇄ Execute (public examples) ⇄ [Repair] ─▶ Select
                                              │         │   [Repair] after [self-tests: atlas.self_tests],
                                              │         │   or [brute force] where it is worth more
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
from atlas.commands import AnyCommand, Execute, MakePlans, Refine, Repair, Score, Select
from atlas.contracts import PERSPECTIVES, Candidate, Energy
from atlas.events import AnyEvent, CommandsIssued, CommandsRevoked, TaskFailed
from atlas.evidence import Stop
from atlas.schedule import next_generation, plans_are_weighed, stops_early, untold
from atlas.spending import ArmName, best, hardness, tries
from atlas.state import TaskState, apply

PIPELINE_VERSION = "9"
REFINED_TOGETHER = 3  # failing programs that one analysis sees


def decide(state: TaskState) -> frozenset[AnyCommand]:
    """Return every command that should be open now; what is open and not among them is revoked."""
    if state.closed or state.submitted is None or state.done("select"):
        return frozenset()
    if not state.deadline_reached:
        if first := _plans(state) or _brute_force(state):
            return frozenset(first)
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
    lacks = "named one of the choices" if state.is_choice else "held a code block"
    drawn = f"no answer of the model {lacks}"
    unpaid = f"the token budget of {state.task.policy.token_budget} allows no call"
    why = broken[0] if broken else drawn if state.candidates or state.failures else unpaid
    what = "answer" if state.is_choice else "program"
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
    return survivors(state) if state.executes else programs(state)


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
    if state.executes and 0 < wanted <= passing:
        return Stop(rule="passing", votes=passing, of=len(state.candidates))
    return stopping.stopped(state, entrants(state))


def _contest(state: TaskState) -> list[AnyCommand]:
    """What tells the leading clusters apart, unless a rule found the votes to be enough."""
    return [] if stopping.stopped(state, entrants(state)) else comparing.contest(state, entrants(state))


def _enough(state: TaskState) -> bool:
    """Whether one of the policy's early stops is reached."""
    return _early_stop(state) is not None


def _unexecuted(state: TaskState) -> list[Candidate]:
    return [c for c in programs(state) if not _run(state, c)] if state.executes else []


def _plans(state: TaskState) -> list[AnyCommand]:
    wanted = _plannable(state)
    if wanted and plans_are_weighed(state) and "plans" not in state.open:
        wanted = _comes_next(state, "plan")
    return [MakePlans(id="plans", n=state.task.policy.plans)] if wanted else []


def _brute_force(state: TaskState) -> list[AnyCommand]:
    """A brute-force program, where a spending rule weighs them: asked for, checked, entered if it passes."""
    if not self_tests.are_weighed(state) or survivors(state):
        return []
    if under_way := self_tests.begun(state) or self_tests.last_resort(state):
        return under_way
    return self_tests.next_program(state) if _comes_next(state, "brute_force") else []


def _brute_forcible(state: TaskState) -> bool:
    """Whether a brute-force program can be asked for now, or is being written: something has failed first."""
    possible = self_tests.are_weighed(state) and state.executes and bool(state.candidates) and _probed(state)
    return possible and not survivors(state) and bool(self_tests.next_program(state))


def _plannable(state: TaskState) -> bool:
    """Whether plans can be made now, or are being made."""
    n = 0 if state.is_choice or untold(state) else state.task.policy.plans
    return n > 0 and not state.done("plans") and _probed(state) and affordable(state, "plans", n)


def _probed(state: TaskState) -> bool:
    """Whether the baseline's candidate, if the policy begins with it, is drawn and has not ended the task."""
    if not state.task.policy.probe:
        return True
    judged = not stops_early(state) or _ranked(state) or not _unexecuted(state)
    return state.done("generate:0") and judged and not _enough(state)


def _generations(state: TaskState) -> list[AnyCommand]:
    command = next_generation(state)
    if command is None or _enough(state):
        return []
    if command.id in state.open:
        return [command]
    waits = stops_early(state) and not _ranked(state) and (_unexecuted(state) or _comparisons(state))
    # What the next sample's thinking depends on is known first, in whatever order the services answer.
    if difficulty.adapts(state):
        waits = waits or _scores(state) or (not _ranked(state) and _unexecuted(state))
    if waits:
        return []  # a sample that may prove needless waits for the verdict on the last one
    drawn = state.task.spending is None or _spends_on(state) in ("sample", "plan")
    return [command] if drawn else []


def _spends_on(state: TaskState) -> ArmName | None:
    """Return what the policy's spending rule would do next, of what can be done.

    None without a rule, and where nothing is possible or worth its price.
    """
    spending, following = state.task.spending, next_generation(state)
    if spending is None:
        return None
    if plans_are_weighed(state) and following is not None and following.plan is not None:
        return "plan"  # most of what it costs is spent
    harder = hardness(spending.length, len(state.task.problem.statement))
    price = spending.price if programs(state) else 0.0
    return best(spending, tries(state), possible(state), harder, price)


def _comes_next(state: TaskState, arm: ArmName) -> bool:
    """Whether the spending rule would do this next, once what was drawn is known."""
    drawing = any(command.startswith("generate:") for command in state.open)
    return not drawing and not _unexecuted(state) and _spends_on(state) == arm


def _not_worth_it(state: TaskState) -> bool:
    """Whether something could be done, and nothing of it is worth the price of the policy's spending rule."""
    refused = state.task.spending is not None and _spends_on(state) is None
    return refused and bool(possible(state))


def possible(state: TaskState) -> list[ArmName]:
    """Return the ways of spending that the rule chooses among: those that could come next."""
    following = next_generation(state)
    can_be: dict[ArmName, bool] = {
        "sample": following is not None,
        "plan": plans_are_weighed(state) and following is not None and _plannable(state),
        "brute_force": _brute_forcible(state),
        "repair": bool(_repairs(state)),
    }
    return [arm for arm, can in can_be.items() if can]


def _ranked(state: TaskState) -> bool:
    """Whether candidates are scored first and run in energy order.

    Not under a spending rule, which needs each one's outcome before it draws the next.
    """
    return state.scores and state.task.spending is None


def _scores(state: TaskState) -> list[AnyCommand]:
    """Scoring what is drawn, or, where that is run as it comes, what has been run: more is known of it."""
    if not state.scores:
        return []
    known = [c for c in programs(state) if _ranked(state) or not state.executes or _run(state, c)]
    missing = [c for c in known if not state.done(f"score:{c.id}")]
    return [Score(id=f"score:{c.id}", candidate=c.id) for c in missing]


def _run(state: TaskState, candidate: Candidate) -> bool:
    return state.done(f"execute:{candidate.id}")


def _executions(state: TaskState) -> list[AnyCommand]:
    waiting = _unexecuted(state)
    if _enough(state):
        return []
    if _ranked(state):
        if next_generation(state) or _scores(state):
            return []
        waiting = by_energy(waiting)
        if stops_early(state):
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
    drawing = not at_once and not _enough(state) and next_generation(state)
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
