"""What one task's calls may still spend, and what they spent. No I/O."""

from __future__ import annotations

from atlas.contracts import Contract, Usage
from atlas.errors import BudgetSpent


class Completion(Contract):
    """One choice of a call. `tokens` counts what the model generated, the token that ends it included."""

    text: str
    finish: str
    tokens: int


class PeerCall(Contract):
    """One chat call as it went to the model server: `max_tokens` is what each choice was cut to."""

    max_tokens: int
    tokens_in: int
    tokens_cached: int
    seconds: float
    completions: tuple[Completion, ...]


class Ledger:
    """The budget of one task, in generated tokens (prompts are free, as in a `Policy`), and its calls.

    `refusals` counts calls that found nothing left; `trouble` is the first failure of the model server,
    which makes the whole attempt no result.
    """

    def __init__(self, budget: int) -> None:
        if budget < 1:
            raise ValueError(f"a budget of {budget} tokens is none")
        self.budget = budget
        self.calls: list[PeerCall] = []
        self.refusals = 0
        self.trouble: str | None = None

    @property
    def spent(self) -> int:
        """Tokens generated so far, over all choices of all calls."""
        return sum(choice.tokens for call in self.calls for choice in call.completions)

    @property
    def left(self) -> int:
        """Tokens that may still be generated."""
        return max(0, self.budget - self.spent)

    @property
    def usage(self) -> Usage:
        """All calls together."""
        return Usage(
            tokens_in=sum(call.tokens_in for call in self.calls),
            tokens_out=self.spent,
            tokens_cached=sum(call.tokens_cached for call in self.calls),
        )

    def grant(self, n: int, wanted: int | None) -> int:
        """Return how many tokens each of `n` choices may have: what is wanted, or its share of what is left.

        Raises:
            BudgetSpent: less than one token each is left.
        """
        share = self.left // n
        if share < 1:
            self.refusals += 1
            raise BudgetSpent(f"of the task's {self.budget} generated tokens {self.left} are left")
        return share if wanted is None else min(wanted, share)
