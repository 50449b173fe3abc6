"""How difficult a problem is for the model, by what is known so far, and how long it should think. Pure.

Difficulty is between 0 and 1, the mean of those of three signals that there are, each the less the better the
model is doing: the public examples that its samples fail, how unsure it was of the tokens it wrote, and what
the state of its prompt tells (the Lens, where it has a probe for that). The weights are even and the tiers'
bounds are the policy's: neither is fitted to anything. That what further compute brings depends on a
problem's difficulty, and that the model's own samples tell it, is from Snell et al. 2024 (arXiv:2408.03314,
section 3.2); they go by a verifier's mean score of many samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from atlas.contracts import Candidate
from atlas.policy import ThinkingTokens
from atlas.state import TaskState


def difficulty(state: TaskState) -> float | None:
    """Return the problem's difficulty, or None while nothing tells it."""
    samples = [c for c in state.candidates.values() if c.first_hand]
    signals = (_failed(state, samples), _unsure(samples), state.prompt_difficulty)
    known = [signal for signal in signals if signal is not None]
    return fmean(known) if known else None


def adapts(state: TaskState) -> bool:
    """Whether how long the model thinks before a sample depends on the samples before."""
    return bool(state.task.policy.thinking_tiers) and state.task.pins.thinks


def tier(state: TaskState, known: float | None) -> ThinkingTokens:
    """Return the thinking budget for a problem of a difficulty: that of the highest tier it reaches.

    Where none is reached, or the difficulty is not known, it is the policy's `thinking_tokens`.
    """
    policy = state.task.policy
    reached = [t.tokens for t in policy.thinking_tiers if known is not None and t.above <= known]
    return reached[-1] if reached else policy.thinking_tokens


def _failed(state: TaskState, samples: Sequence[Candidate]) -> float | None:
    """The share of the public examples that samples fail; one without a program fails all."""
    shares = [1.0 for c in samples if c.code is None]
    for candidate in samples:
        run = state.executions.get(candidate.id)
        if run is not None and run.results:
            shares.append(1 - run.passed / run.total)
    return fmean(shares) if shares else None


def _unsure(samples: Sequence[Candidate]) -> float | None:
    """One less the geometric mean of the tokens' probabilities, on the average."""
    means = [c.logprob.mean for c in samples if c.logprob is not None]
    return 1 - fmean(map(math.exp, means)) if means else None
