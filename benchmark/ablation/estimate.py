"""How long the rest of an ablation will take. Pure."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import TypeVar

from atlas.policy import Policy

K = TypeVar("K", bound=Hashable)


def most_tokens(policy: Policy) -> int:
    """Return the most tokens that the policy lets a task generate: a measure of how long one takes."""
    drawn = policy.k * (policy.max_tokens + policy.thinking_tokens)
    repaired = policy.repairs + policy.refinements
    repairs = repaired * (policy.analysis_max_tokens + policy.max_tokens)
    # Constraint sets, once more those that repeat, and each plan.
    planned = policy.plan_max_tokens * (policy.plans + 2) if policy.plans else 0
    most = drawn + repairs + planned
    return min(most, policy.token_budget) if policy.token_budget else most


def seconds_left(
    left: Mapping[K, int], measured: Mapping[K, tuple[float, int]], weight: Mapping[K, float]
) -> float | None:
    """Return the seconds that what is left will take; None while nothing has been measured.

    Args:
        left: tasks left, by condition.
        measured: seconds and tasks done so far, by condition.
        weight: how long a task of a condition may take, in any one unit: those not measured yet are
            taken to need as much time for it as those that were, on the whole.
    """
    known = {key: (seconds, tasks) for key, (seconds, tasks) in measured.items() if tasks > 0}
    weighed = sum(weight[key] * tasks for key, (_, tasks) in known.items())
    if not known or weighed <= 0:
        return None
    pace = sum(seconds for seconds, _ in known.values()) / weighed
    each = {key: known[key][0] / known[key][1] if key in known else pace * weight[key] for key in left}
    return sum(tasks * each[key] for key, tasks in left.items())
