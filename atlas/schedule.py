"""Which candidate is drawn next: the baseline's, one to each plan, one to each perturbation, plain. Pure.

Whether it is drawn now, or something else is done first, is for `atlas.pipeline` to say.
"""

from __future__ import annotations

from atlas import difficulty, stopping
from atlas.budget import affordable
from atlas.commands import Generate
from atlas.contracts import PERTURBATIONS
from atlas.policy import Policy
from atlas.state import TaskState

SAMPLES_A_CALL = 4  # of one prompt: they share its prefill, and what is drawn survives a deadline in between


def next_generation(state: TaskState) -> Generate | None:
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


def stops_early(state: TaskState) -> bool:
    """Whether what is known of the programs drawn may end the drawing."""
    policy = state.task.policy
    first_pass = state.executes and policy.stop_after_passing > 0
    agreement = state.compares and policy.stop_when_agreeing > 0
    return first_pass or agreement or policy.adaptive is not None


def plans_are_weighed(state: TaskState) -> bool:
    """Whether plans come when they are worth more than what else could be done, and not first."""
    spending = state.task.spending
    weighed = spending is not None and spending.plan is not None
    return weighed and stops_early(state)


def untold(state: TaskState) -> bool:
    """Whether the policy begins with the likeliest program, or spends by a rule, and nothing tells of others.

    Where there are no public examples to pass, and neither votes nor energies to choose by, the first program
    is as good as any further one: of 84 tasks of the `train` split and models the baseline's sample was right
    on 43, the likeliest of it and seven others on 42.
    """
    policy = state.task.policy
    voted = state.is_choice or state.compares or policy.adaptive is not None
    begins = policy.probe or state.task.spending is not None
    return begins and not (state.executes or voted or state.scores)


def _not_done(state: TaskState, planned_from: int) -> Generate | None:
    if untold(state) and any(c.code is not None for c in state.candidates.values()):
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
    if not plans_are_weighed(state):
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
    if perturbed < policy.perturbations and not state.is_choice:
        turn = (perturbed + policy.seed) % len(PERTURBATIONS)
        return Generate(id=name, first=first, perturbation=PERTURBATIONS[turn])
    together = _whole(policy) if not stops_early(state) else _needed_to_agree(state) - first
    together = 1 if untold(state) else together
    room = (policy.k if plan >= 0 else planned_from) - first
    return Generate(id=name, first=first, n=max(1, min(together, SAMPLES_A_CALL, room)))


def _whole(policy: Policy) -> int:
    """How many samples the token budget pays for at full length: more in one call would all be cut short."""
    return policy.token_budget // policy.max_tokens if policy.token_budget else SAMPLES_A_CALL


def _paced(state: TaskState, command: Generate) -> Generate:
    """The same, with how long the model thinks where that depends on what is known of the problem."""
    if command.greedy or not difficulty.adapts(state):
        return command
    known = difficulty.difficulty(state)
    return command.model_copy(update={"thinking_tokens": difficulty.tier(state, known), "difficulty": known})


def _needed_to_agree(state: TaskState) -> int:
    """How many candidates are drawn whatever becomes of them: fewer cannot end the task."""
    policy = state.task.policy
    first_pass = state.executes and policy.stop_after_passing > 0
    if policy.adaptive is not None and not first_pass:
        least = stopping.least_votes(policy.adaptive, policy.k)
        return min(least, policy.stop_when_agreeing) if policy.stop_when_agreeing else least
    return 1 if first_pass else policy.stop_when_agreeing
