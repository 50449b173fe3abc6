"""Budget forcing: thinking that is cut at a budget, and may be made to go on where it ends too soon.

After s1 (Muennighoff et al. 2025, arXiv:2501.19393), over plain completions. Each of them continues the text
of the one before, so that the server has all but the last few tokens of its prompt in the slot's cache:

    prompt <think> ──draw──▶ at the budget:           append a stub and </think>  ──▶ draw the answer
                     ▲   └─▶ by itself, long enough:  append </think>             ──▶ draw the answer
                     └─ Wait ── by itself, too soon, and the policy has waits left

`follow` is the state machine, pure; `draw` makes its calls, each under a name of its own, so that a command
that is delivered again goes the same way over the recorded ones. The budget counts what the model generates
(the closing tag too); what is appended here is prompt, and free.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from atlas.contracts import SamplingParams, Thinking
from atlas.errors import BudgetSpent
from atlas.events import Choice
from atlas.llama import CompletionRequest, ModelServer
from atlas.model_calls import call
from atlas.policy import Policy
from atlas.worker import Context

STUB = "\n\nTime is up. I stop thinking here and write the answer from what I have worked out so far.\n"
WAIT = "\n\nWait"


@dataclass(frozen=True)
class Rule:
    """At most `budget` tokens; at most `waits` times on, where it ended by itself before `floor` tokens."""

    budget: int
    floor: int
    waits: int

    @classmethod
    def of(cls, policy: Policy, share: int | None) -> Rule:
        """Return a policy's rule where so many tokens are left for a candidate, its answer included.

        The answer is kept `max_tokens`, or half of a share too small for both. The floor is a quarter of
        the policy's tier.

        Raises:
            BudgetSpent: if that leaves no token to think.
        """
        tier: int = policy.thinking_tokens
        budget = tier
        if share is not None:
            budget = min(tier, share - min(policy.max_tokens, (share + 1) // 2))
        if budget < 1:
            raise BudgetSpent(f"of {policy.token_budget} tokens too few are left to think and to answer")
        return cls(budget, min(tier // 4, budget), policy.waits)


@dataclass(frozen=True)
class Thought:
    """Thinking so far: its text since the opening tag, as the next prompt has it, and what it took.

    `end`: None while there is more to be drawn; `cut` at the budget, or `closed` by the model itself.
    """

    text: str = ""
    tokens: int = 0
    waits: int = 0
    end: Literal["cut", "closed"] | None = None


def follow(thought: Thought, drawn: Choice, rule: Rule, closing: str) -> Thought:
    """Return the thought after one more completion of it, drawn up to the `closing` tag at the longest.

    A model that ends its turn without the tag has stopped thinking too: the tag is written for it.
    """
    text = thought.text + drawn.text
    thought = replace(thought, tokens=thought.tokens + drawn.usage.tokens_out)
    if drawn.finish == "length":
        return replace(thought, text=f"{text}{STUB}{closing}\n\n", end="cut")
    if thought.tokens < rule.floor and thought.waits < rule.waits:
        return replace(thought, text=text.rstrip() + WAIT, waits=thought.waits + 1)
    before = "" if drawn.stopped_by == closing else "\n"
    return replace(thought, text=f"{text}{before}{closing}\n\n", end="closed")


@dataclass(frozen=True)
class Draw:
    """An answer: its completion (usage and text), how it was drawn, and the thinking before it, if any.

    The log-probabilities are the answer's alone, the usage is that of every call it took.
    """

    choice: Choice
    sampling: SamplingParams
    thinking: Thinking | None = None


async def draw(
    context: Context, server: ModelServer, prompt: str, closing: str, *, first: int, n: int, left: int | None
) -> list[Draw]:
    """Draw candidates `first` … `first + n - 1`: they begin to think in one call, then each goes on alone.

    `prompt` ends inside the opened block. The one call shares its prefill; each candidate then continues in
    the slot that holds its own thinking. `left` tokens of the task's budget are shared equally (None: no
    budget). Seeds: 1000 times the policy's, plus the candidate's index, plus 100 for each call that continues
    it (at most four: three waits, and the answer); so no two calls of a task share one.

    Raises:
        BudgetSpent: if each has not one token to think and one to answer.
        ModelServerError: from the server.
    """
    policy = context.state.task.policy
    share = None if left is None else left // n
    rule = Rule.of(policy, share)

    def request(text: str, most: int, seed: int, *, stop: tuple[str, ...] = (closing,)) -> CompletionRequest:
        seed = (policy.seed * 1000 + seed) % 2**32
        sampling = SamplingParams(temperature=policy.temperature, max_tokens=most, seed=seed)
        return CompletionRequest(prompt=prompt + text, sampling=sampling, stop=stop)

    async def go_on(index: int, drawn: Choice) -> Draw:
        usage, here = drawn.usage, {"slot": drawn.slot}
        thought = follow(Thought(), drawn, rule, closing)
        while thought.end is None:
            longer = request(thought.text, rule.budget - thought.tokens, index + 100 * thought.waits)
            name = f"code:{index}/wait:{thought.waits}"
            drawn = (await call(context, server, name, longer.model_copy(update=here))).choices[0]
            usage += drawn.usage
            thought = follow(thought, drawn, rule, closing)
        most = policy.max_tokens if share is None else min(policy.max_tokens, share - thought.tokens)
        asked = request(thought.text, most, index + 100 * (thought.waits + 1), stop=())
        done = await call(context, server, f"code:{index}/answer", asked.model_copy(update=here))
        answer = done.choices[0]
        thinking = Thinking(tokens=thought.tokens, waits=thought.waits, cut=thought.end == "cut")
        return Draw(answer.model_copy(update={"usage": usage + answer.usage}), done.sampling, thinking)

    together = request("", rule.budget, first).model_copy(update={"n": n})
    begun = await call(context, server, f"code:{first}/think", together)
    return [await go_on(index, drawn) for index, drawn in enumerate(begun.choices, first)]
