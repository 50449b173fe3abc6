"""What a task may still generate: the policy's hard token budget, which no call may be begun to exceed."""

from __future__ import annotations

from atlas.state import TaskState

LEAST_TOKENS = 64  # no program fits in fewer: a call that could not generate so many is not begun


def tokens_left(state: TaskState) -> int | None:
    """Return how many tokens the task may still generate, or None where its policy sets no budget."""
    budget = state.task.policy.token_budget
    return max(0, budget - state.usage.tokens_out) if budget else None


def affordable(state: TaskState, command: str, completions: int) -> bool:
    """Whether a command is under way already, or the budget has tokens for so many more completions."""
    left = tokens_left(state)
    return command in state.open or left is None or left >= completions * LEAST_TOKENS
