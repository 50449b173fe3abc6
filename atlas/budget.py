"""What a task may still generate: the policy's hard token budget, which no call may be begun to exceed."""

from __future__ import annotations

from atlas.state import TaskState

LEAST_TOKENS = 64  # no program fits in fewer: a call that could not generate so many is not begun
# Of the budget at most this part is kept for writing inputs, however much the policy would give them.
KEPT_PART = 4
FIRST_ROUND = "write:0"


def tokens_left(state: TaskState) -> int | None:
    """Return how many tokens the task may still generate, or None where its policy sets no budget."""
    budget = state.task.policy.token_budget
    return max(0, budget - tokens_spent(state)) if budget else None


def tokens_spent(state: TaskState) -> int:
    """Return how many tokens the task has generated, in recorded calls and in those that failed a command."""
    return state.usage.tokens_out + sum(failed.lost_tokens for failed in state.failures.values())


def kept(state: TaskState) -> int:
    """Return how many of them are kept for writing the first round of inputs, until it is written.

    Samples drawn to the end of the budget would leave nothing to compare them on.
    """
    policy = state.task.policy
    if not state.compares or state.done(FIRST_ROUND):
        return 0
    return min(policy.input_tokens, policy.token_budget // KEPT_PART)


def spendable(state: TaskState, command: str) -> int | None:
    """Return how many tokens a command may generate, or None where the policy sets no budget."""
    left = tokens_left(state)
    if left is None or command == FIRST_ROUND:
        return left
    return max(0, left - kept(state))


def refinement_seconds_left(state: TaskState) -> float:
    """Return how many seconds of the model the policy's refinements may still take, by what is journalled."""
    took = sum(c.server_s for c in state.calls.values() if (c.command or "").startswith("refine:"))
    lost = sum(failed.lost_s for name, failed in state.failures.items() if name.startswith("refine:"))
    return max(0.0, state.task.policy.refinement_seconds - took - lost)


def may_write(state: TaskState, command: str, completions: int) -> bool:
    """Whether the model may write inputs: its policy gives that tokens, and the budget has them."""
    return state.task.policy.input_tokens > 0 and affordable(state, command, completions)


def affordable(state: TaskState, command: str, completions: int) -> bool:
    """Whether a command is under way already, or the budget has tokens for so many more completions."""
    left = spendable(state, command)
    return command in state.open or left is None or left >= completions * LEAST_TOKENS
