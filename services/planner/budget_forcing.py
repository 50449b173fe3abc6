"""Budget forcing: thinking that is cut at a budget, and may be made to go on where it ends too soon.

After s1 (Muennighoff et al. 2025, arXiv:2501.19393), over plain completions. Each of them continues the text
of the one before, so that the server has all but the last few tokens of its prompt in the slot's cache:

    prompt <think> ──draw──▶ at the budget:           append a stub and </think>  ──▶ draw the answer
                     ▲   └─▶ by itself, long enough:  append </think>             ──▶ draw the answer
                     └─ Wait ── by itself, too soon, and the policy has waits left

`follow` is the state machine, pure; `draw` makes its calls, each under a name of its own, so that a command
that is delivered again goes the same way over the recorded ones. The budget counts what the model generates
(the closing tag too); what is appended here is prompt, and free. A context too small for the budget cuts the
thinking sooner, where the answer still has room.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from atlas.contracts import SamplingParams, Thinking, Usage
from atlas.errors import BudgetSpent
from atlas.events import Choice, ModelCallFinished
from atlas.lens.served import keeps_spans
from atlas.llama import CompletionRequest, ModelServer
from atlas.model_calls import call
from atlas.policy import Policy
from atlas.prompts import words
from atlas.worker import Context

STUB, WAIT = words("time_is_up"), words("wait")
APPENDED_TOKENS = len(STUB)  # and tags: more than any tokenizer makes of them


@dataclass(frozen=True)
class Rule:
    """At most `budget` tokens; at most `waits` times on, where it ended by itself before `floor` tokens."""

    budget: int
    floor: int
    waits: int

    @classmethod
    def of(cls, policy: Policy, left: int | None, tier: int | None = None) -> Rule:
        """Return a policy's rule where the task's budget has so many tokens left (None: it has none).

        `tier`: the tokens for this problem, where they are not the policy's for every one.

        The answer is kept `max_tokens` of them, or half where they are too few for both. The floor is a
        quarter of the tier.

        Raises:
            BudgetSpent: if that leaves no token to think.
        """
        tier = policy.thinking_tokens if tier is None else tier
        budget = tier
        if left is not None:
            budget = min(tier, left - min(policy.max_tokens, (left + 1) // 2))
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
    context: Context,
    server: ModelServer,
    prompt: str,
    closing: str,
    index: int,
    left: int | None,
    tier: int | None = None,
) -> Draw:
    """Draw candidate `index` with `left` tokens of the task's budget (None: it has none).

    It thinks as long as `tier` says, or as the policy does for every problem (None).

    `prompt` ends inside the opened block. Candidates are drawn one at a time: of the completions of one call
    llama-server keeps only the first in cache, and would evaluate the others' thinking a second time. Seeds:
    1000 times the policy's, plus the candidate's index, plus 100 for each call that continues it (at most
    four: three waits, and the answer); so no two calls of a task share one.

    Raises:
        BudgetSpent: if there is not one token to think and one to answer.
        ModelServerError: from the server.
    """
    policy = context.state.task.policy
    rule = Rule.of(policy, left, tier)

    async def ask(
        name: str, thought: Thought, most: int, step: int, stop: tuple[str, ...] = (), reserve: int = 0
    ) -> ModelCallFinished:
        seed = (policy.seed * 1000 + 100 * step + index) % 2**32
        sampling = SamplingParams(temperature=policy.temperature, max_tokens=most, seed=seed)
        request = CompletionRequest(
            prompt=prompt + thought.text,
            sampling=sampling,
            stop=stop,
            reserve=reserve,
            embedding=name == "answer" and keeps_spans(context.state.task),
        )
        return await call(context, server, f"code:{index}/{name}", request)

    to_answer = policy.max_tokens + APPENDED_TOKENS
    thought, usage = Thought(), Usage()
    while thought.end is None:
        name = f"wait:{thought.waits}" if thought.waits else "think"
        more = await ask(name, thought, rule.budget - thought.tokens, thought.waits, (closing,), to_answer)
        drawn = more.choices[0]
        thought = follow(thought, drawn, rule, closing)
        usage += drawn.usage
    done = await ask("answer", thought, policy.max_tokens, thought.waits + 1)
    answer = done.choices[0].model_copy(update={"usage": usage + done.choices[0].usage})
    thinking = Thinking(tokens=thought.tokens, waits=thought.waits, cut=thought.end == "cut")
    return Draw(answer, done.sampling, thinking)
