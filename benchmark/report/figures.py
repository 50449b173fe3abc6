"""The numbers behind the plots, from conditions and from what journals told of single tasks."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from math import exp

from atlas.evidence import Basis
from benchmark.report import plots
from benchmark.report.content import ConditionRow, PairRow, Rate
from benchmark.report.drawing import Plot
from benchmark.report.drilldown import Told
from benchmark.report.groups import Group
from benchmark.statistics import token_curve, wilson_interval
from benchmark.statistics.calibration import BINS, brier_score, calibration_error, equal_mass_bins

LEAST_IN_BIN = 4
MOST_PANELS = 2
BASES: dict[Basis, str] = {
    "passed_public_examples": "passes all public examples",
    "best_partial": "fails some of them",
    "no_public_examples": "there are none",
    "not_executed": "not executed",
    "majority_vote": "chosen by vote",
}


def figures(
    groups: Sequence[Group],
    rows: Sequence[ConditionRow],
    pairs: Sequence[PairRow],
    told: Sequence[Told],
    lost: Callable[[Told], bool] | None,
) -> tuple[Plot, ...]:
    """Draw every plot there are numbers for.

    Args:
        groups: the conditions.
        rows: the same, summed up.
        pairs: their differences.
        told: every task of every run.
        lost: whether a wrong submission's task had another program that is right; None: nothing is regraded.
    """
    drawn = (
        plots.pass_rates(rows),
        plots.tokens_curve([curve for group in groups if (curve := _curve(group))]),
        plots.rescue_and_loss(_consecutive(groups, pairs)),
        plots.origins([_origins(place, group, told, lost) for place, group in enumerate(groups)]),
        plots.reliability(_reliability(told)),
        plots.stages([_stages(group) for group in groups]),
    )
    return tuple(plot for plot in drawn if plot)


def _curve(group: Group) -> plots.Curve | None:
    replicates = group.replicates()
    if not set.intersection(*(set(run.results) for run in replicates)):
        return None
    curve = token_curve(replicates, resamples=2_000)
    return plots.Curve(
        label=group.label,
        n=curve.n,
        tokens=tuple(float(point.tokens) for point in curve.points),
        solved=tuple(point.rate for point in curve.points),
        low=tuple(point.low for point in curve.points),
        high=tuple(point.high for point in curve.points),
    )


def _consecutive(groups: Sequence[Group], pairs: Sequence[PairRow]) -> list[PairRow]:
    """Return the pairs of conditions that follow each other on the same model."""
    steps = {(a.label, b.label) for a, b in itertools.pairwise(groups) if a.model == b.model}
    return [pair for pair in pairs if (pair.a, pair.b) in steps]


def _origins(
    place: int, group: Group, told: Sequence[Told], lost: Callable[[Told], bool] | None
) -> plots.Origins:
    known = [each for each in told if each.attempt.place == place and each.attempt.graded and each.origin]
    solved = Counter(str(each.origin) for each in known if each.attempt.result.passed)
    missed = sum(map(lost, known)) if lost else None
    return plots.Origins(
        label=group.label,
        n=len(known),
        solved=dict(solved),
        lost=missed,
        unsolved=len(known) - solved.total() - (missed or 0),
    )


def _reliability(told: Sequence[Told]) -> list[plots.Reliability]:
    graded = [each for each in told if each.attempt.graded]
    by_basis = [
        (name, _rate(each.attempt.result.passed for each in graded if each.attempt.result.basis == basis))
        for basis, name in BASES.items()
    ]
    panels = [plots.Reliability(title="public examples", bins=tuple(b for b in by_basis if b[1].n))]
    confident = [
        (each.attempt.result.confidence, each.attempt.result.passed)
        for each in graded
        if each.attempt.result.confidence is not None and not each.attempt.result.abstained
    ]
    if confident:
        bins = _quantiles(confident, lambda low, high: f"{low:.2f} to {high:.2f}")
        panels.append(plots.Reliability(title="confidence", bins=bins, note=calibration(confident)))
    energies = [(-each.energy, each.attempt.result.passed) for each in graded if each.energy is not None]
    logprobs = [
        (exp(each.attempt.result.mean_logprob), each.attempt.result.passed)
        for each in graded
        if each.attempt.result.mean_logprob is not None
    ]
    if energies and len(panels) < MOST_PANELS:
        bins = _quantiles(energies, lambda low, high: f"{-high:.2f} to {-low:.2f}")
        panels.append(plots.Reliability(title="energy, low is better", bins=bins))
    if logprobs and len(panels) < MOST_PANELS:
        bins = _quantiles(logprobs, lambda low, high: f"{low:.3f} to {high:.3f}")
        panels.append(plots.Reliability(title="mean token probability", bins=bins))
    return [panel for panel in panels if panel.bins]


def calibration(signs: Sequence[tuple[float, bool]]) -> str:
    """Say how far stated probabilities are from what came of them (`benchmark.statistics.calibration`)."""
    confidences, right = [sure for sure, _ in signs], [float(passed) for _, passed in signs]
    error = calibration_error(equal_mass_bins(confidences, right))
    return (
        f"Confidence, if answered: Brier score {brier_score(confidences, right):.3f}, calibration error over "
        f"{BINS} bins of equal mass {error:.3f} (n = {len(signs)})"
    )


def _quantiles(
    signs: Sequence[tuple[float, bool]], say: Callable[[float, float], str]
) -> tuple[tuple[str, Rate], ...]:
    """Cut results into bins of about the same size, the most confident first."""
    ordered = sorted(signs, reverse=True)
    many = max(1, min(BINS, len(ordered) // LEAST_IN_BIN))
    edges = [round(i * len(ordered) / many) for i in range(many + 1)]
    parts = [ordered[low:high] for low, high in itertools.pairwise(edges) if high > low]
    return tuple((say(part[-1][0], part[0][0]), _rate(passed for _, passed in part)) for part in parts)


def _rate(outcomes: Iterable[bool]) -> Rate:
    each = list(outcomes)
    if not each:
        return Rate(n=0, passed=0, rate=None, interval=None)
    interval = wilson_interval(sum(each), len(each))
    return Rate(n=len(each), passed=sum(each), rate=sum(each) / len(each), interval=tuple(interval))


def _stages(group: Group) -> plots.Stages:
    timed = [each for each in group.results if each.watched]
    n = max(1, len(timed))
    model_s, executor_s = sum(each.model_s for each in timed) / n, sum(each.executor_s for each in timed) / n
    whole = sum(each.seconds for each in timed) / n
    return plots.Stages(
        label=group.label,
        timed=len(timed),
        model=model_s,
        executor=executor_s,
        overhead=max(0.0, whole - model_s - executor_s),
    )
