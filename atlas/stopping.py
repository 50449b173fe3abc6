"""Adaptive k: whether the votes so far are evidence enough to draw no further sample. Pure.

The rules are published for answers that can be compared as text (arithmetic, letters). Here, except for the
letters of a `choice` problem, a vote is a program and its answer is what it gave when run:

- programs that fail a public example do not vote: unlike any of a paper's samples they are known to be wrong;
- the others vote by their cluster over the generated inputs, if any program ended well on one;
- where there is no such input, what is left of the answer is the public examples', which is one for all;
- repairs never vote, as they were made from another program.

`BlendAsc` blends two tests of "the leading answer is the most frequent one" over the counts v1 >= v2 of the
two leading answers, as in Feng et al. 2025 (arXiv:2511.12309, Blend-ASC):

- the posterior of Adaptive-Consistency (Aggarwal et al. 2023, arXiv:2305.11860, the Beta criterion):
  P(p > 1/2) under Beta(v1 + 1, v2 + 1), quick and with no guarantee under repeated looks;
- PPR-1v1 (Jain et al. 2022, PAC mode estimation by prior-posterior ratios): 1 - (K - 1) f(1/2), with f the
  density of the same Beta and K the answers seen, which holds at any time but is slow.

The weight goes from the first to the second as the budget is spent. Blend-ASC ranks the questions of a whole
set by this and gives the next sample to the least certain; a task here knows of no other, so that it stops
where the blended confidence reaches the threshold of Adaptive-Consistency.

`ReAsc` follows Kim et al. 2026 (arXiv:2601.02970): stage 1 stops on the first sample if its bottom-10%
confidence is above a gate; stage 2 lets votes weigh what their confidence is worth and stops where the
leader's Beta posterior reaches the threshold. It departs from the paper in what confidence is: the paper has
the self-certainty of groups of tokens, which needs whole distributions; llama-server gives the drawn tokens'
log-probabilities, of which the lowest tenth's mean is taken. How a vote is weighed is ours, from the paper's
abstract: exp of that over the mean of all votes', so that an average vote counts one; without
log-probabilities it counts one, and stage 1 never stops. The gate of -0.5 is the constant of the public
project that this one reimplements; it has to be fitted for each model, on the `train` split.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache

from scipy.special import betainc, betaln

from atlas.budget import tokens_spent
from atlas.comparing import agreed, distinct
from atlas.contracts import Candidate
from atlas.evidence import Stop
from atlas.executor import RunStatus
from atlas.policy import BlendAsc, Policy, ReAsc
from atlas.state import TaskState


def stopped(state: TaskState, entrants: Sequence[Candidate]) -> Stop | None:
    """Return why no further sample is to be drawn, if the policy's agreement or its rule says so.

    `entrants`: programs that could be handed back, or the candidates that chose a letter.
    """
    if agreed(state) and state.clustered is not None:
        return Stop(rule="agreeing", votes=state.clustered.agreeing, of=len(entrants))
    rule = state.task.policy.adaptive
    if rule is None:
        return None
    if isinstance(rule, ReAsc) and (first := _single(state, rule, entrants)):
        return first
    found = votes(state, entrants)
    if not found:
        return None
    counts = [len(group) for group in found]
    weights = evidence(found) if isinstance(rule, ReAsc) else counts
    ranked = sorted(zip(weights, counts, strict=True), key=lambda pair: pair[0], reverse=True)
    order = [weight for weight, _ in ranked]
    confidence = blended(order, spent(state)) if isinstance(rule, BlendAsc) else leading(*_two(order))
    if confidence < rule.confidence:
        return None
    return Stop(rule=rule.kind, votes=ranked[0][1], of=sum(counts), confidence=confidence)


def votes(state: TaskState, entrants: Sequence[Candidate]) -> list[list[Candidate]]:
    """Return the voting candidates by what they answered; empty while nobody can say what it is."""
    voting = [c for c in entrants if c.first_hand]
    if state.is_choice:
        return _by_letter(voting)
    clustered = state.clustered
    if state.compares and len(distinct(list(entrants))) > 1:
        found = {i for of in clustered.clusters for i in of.candidates} if clustered else set()
        if not found >= {c.id for c in entrants}:
            return []  # the newest are not compared yet
    if clustered is not None and clustered.inputs:
        named = {c.id: c for c in voting}
        groups = [[named[i] for i in of.candidates if i in named] for of in clustered.clusters]
        return [group for group in groups if group and _answers(state, group)]
    return [voting] if voting and (state.executes or len(distinct(voting)) == 1) else []


def blended(counts: Sequence[float], share: float) -> float:
    """Return Blend-ASC's confidence in the leader, `share` of the budget being spent (both in [0, 1]).

    `counts`: votes of each answer, the leader's first.
    """
    first, second = _two(counts)
    density = math.exp(-(first + second) * math.log(2) - float(betaln(first + 1, second + 1)))
    proven = max(0.0, 1.0 - max(1, len(counts) - 1) * density)
    return (1 - share) * leading(first, second) + share * proven


def leading(first: float, second: float) -> float:
    """Return P(p > 1/2) under Beta(first + 1, second + 1): that the leader stays ahead of the next."""
    return 1.0 - float(betainc(first + 1, second + 1, 0.5))


def evidence(groups: Iterable[Sequence[Candidate]]) -> list[float]:
    """Return what the votes of each group weigh together: an average vote one, the surer the more."""
    groups = list(groups)
    known = [math.exp(c.logprob.lowest_decile) for group in groups for c in group if c.logprob]
    mean = sum(known) / len(known) if known else 0.0

    def weight(candidate: Candidate) -> float:
        return math.exp(candidate.logprob.lowest_decile) / mean if candidate.logprob and mean else 1.0

    return [sum(map(weight, group)) for group in groups]


def spent(state: TaskState) -> float:
    """Return the share of the task's samples or tokens that is used up, whichever is more, in [0, 1]."""
    policy = state.task.policy
    tokens = tokens_spent(state) / policy.token_budget if policy.token_budget else 0.0
    return min(1.0, max(len(state.candidates) / policy.k, tokens))


@lru_cache(maxsize=64)
def least_votes(rule: BlendAsc | ReAsc, k: int) -> int:
    """Return how many samples of `k` are drawn whatever they are: with fewer the rule cannot stop."""
    if isinstance(rule, ReAsc):
        return 1
    return next((n for n in range(1, k + 1) if blended([n], n / k) >= rule.confidence), k)


def decides(policy: Policy) -> bool:
    """Whether programs are compared after each sample, because what comes of it may end the drawing."""
    return policy.stop_when_agreeing > 0 or policy.adaptive is not None


def _single(state: TaskState, rule: ReAsc, entrants: Sequence[Candidate]) -> Stop | None:
    """ReASC's first stage: the first sample alone, if it is sure of itself and nothing speaks against it."""
    first = next(iter(state.candidates.values()), None)
    if first is None or first.logprob is None or first not in entrants:
        return None
    if first.logprob.lowest_decile < rule.gate:
        return None
    return Stop(rule="reasc_single", votes=1, of=1, confidence=math.exp(first.logprob.lowest_decile))


def _answers(state: TaskState, group: Sequence[Candidate]) -> bool:
    """Whether a member ended well on a generated input: a program that ends nowhere has no answer."""
    texts = {c.code for c in group}
    return any(
        run.status is RunStatus.OK
        for (_, name), of in state.probes.items()
        if state.candidates[name].code in texts
        for run in of
    )


def _by_letter(voting: Sequence[Candidate]) -> list[list[Candidate]]:
    letters: dict[str, list[Candidate]] = {}
    for candidate in voting:
        letters.setdefault(str(candidate.code), []).append(candidate)
    return list(letters.values())


def _two(counts: Sequence[float]) -> tuple[float, float]:
    return counts[0], counts[1] if len(counts) > 1 else 0.0
