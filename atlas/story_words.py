"""Words that stories of tasks are made of, and reports: texts made safe to show, counts, names. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from atlas.evidence import Stop
from atlas.policy import Policy

Tone = Literal["plain", "good", "bad", "faint"]
Told = tuple[str, Tone, Iterable[str]]  # text, tone, details
LONGEST_TEXT = 200
STOPS = {
    "passing": "enough pass",
    "agreeing": "enough agree",
    "blend_asc": "Blend-ASC",
    "reasc": "ReASC",
    "reasc_single": "ReASC on one sample",
}


def printable(text: str, longest: int = LONGEST_TEXT) -> str:
    """Return a text on one line, cut to `longest` characters, with control characters shown as escapes."""
    line = " ".join(text.split(None))
    line = line if len(line) <= longest else line[: longest - 1] + "…"
    return escaped(line)


def escaped(text: str) -> str:
    """Return a text of any number of lines with what could steer a terminal shown as escapes."""
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


def words(name: str) -> str:
    """Return a name of the contracts as people write it."""
    return name.replace("_", " ")


def count(n: int, what: str) -> str:
    """Return `1 input`, `2 inputs`: for words whose plural is an s."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def stopping_words(stop: Stop) -> str:
    """Return why drawing ended early, as a story says it."""
    if stop.rule == "price":
        return f"stopped after {count(stop.of, 'program')}: nothing further is worth its tokens"
    sure = "" if stop.confidence is None else f", confidence {stop.confidence:.2f}"
    return f"stopped drawing, {STOPS[stop.rule]}: {stop.votes} of {count(stop.of, 'program')}{sure}"


def spends(policy: Policy) -> str:
    """Return what a policy may do on a task, as stories, reports and lists of conditions say it."""
    parts = [f"at most {count(policy.k, 'candidate')}"]
    if policy.probe:
        parts.append("the baseline's first")
    if policy.plans:
        parts.append(count(policy.plans, "plan"))
    if policy.perturbations:
        parts.append(count(policy.perturbations, "perturbation"))
    if policy.repairs:
        parts.append(count(policy.repairs, "repair"))
    if policy.refinements:
        parts.append(count(policy.refinements, "refinement"))
    if policy.inputs:
        parts.append(f"compared on {count(policy.inputs, 'input')}")
    if policy.abstain_below:
        parts.append(f"silent below confidence {policy.abstain_below:.2f}")
    if policy.thinking_tokens:
        tiers = ", then by difficulty" if policy.thinking_tiers else ""
        parts.append(f"thinking of {policy.thinking_tokens:,} tokens{tiers}")
    if policy.token_budget:
        parts.append(f"{policy.token_budget:,} tokens")
    return ", ".join(parts)
