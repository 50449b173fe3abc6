"""One more sample or one more repair: whichever is expected to bring more for a token. Pure.

Each way of spending is an arm whose chance to pass every public example has a Beta prior; the tries of the
task at hand, all failed so far, make it smaller. What a try costs begins at the prior's tokens, which count
as one try, and follows what the task's tries took. The value of an arm is its chance over its cost: the rate
at which its next try is expected to end the task. Priors are pinned in the policy: all workers decide alike.
"""

from __future__ import annotations

from collections.abc import Sequence

from atlas.contracts import Candidate
from atlas.policy import Arm, Spending


def repair_is_better(spending: Spending, samples: Sequence[Candidate], repairs: Sequence[Candidate]) -> bool:
    """Whether the next repair is worth more than the next sample, given the task's failed tries of both."""
    return value(spending.repair, repairs) > value(spending.sample, samples)


def value(arm: Arm, failed: Sequence[Candidate]) -> float:
    """Return the chance per generated token of an arm's next try, after these have failed."""
    chance = arm.right / (arm.right + arm.wrong + len(failed))
    tokens = (arm.tokens + sum(c.usage.tokens_out for c in failed)) / (1 + len(failed))
    return chance / max(tokens, 1.0)
