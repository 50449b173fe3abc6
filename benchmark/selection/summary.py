"""What selectors came to over tasks: accuracy, the share of the gap to an oracle, calibration. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from atlas.contracts import Contract
from benchmark.selection.selectors import NAMES, EnergyName, Name, Scored
from benchmark.statistics import Interval, bootstrap_mean
from benchmark.statistics.calibration import Bin, brier_score, calibration_error, equal_mass_bins
from benchmark.statistics.resampling import bootstrap_ratio


class SelectorSummary(Contract):
    """One selector. `recovered`: (accuracy - pass@1) / (oracle - pass@1), None where there is no gap."""

    accuracy: float
    interval: tuple[float, float]
    recovered: float | None
    recovered_interval: tuple[float, float] | None


class Difference(Contract):
    """Accuracy of one selector minus another's on the same tasks, paired, with its 95% interval."""

    minus: Name
    difference: float
    interval: tuple[float, float]


class Group(Contract):
    """A part of the tasks, by model, platform, or what the comparison rests on."""

    n: int
    pass_at_1: float
    oracle: float
    accuracy: dict[Name, float]


class EnergyGain(Contract):
    """A selector with energies and without, on the same tasks; differences are with minus without, paired."""

    accuracy: float
    without: float
    difference: float
    interval: tuple[float, float]
    recovered: float | None
    recovered_without: float | None
    recovered_difference: float | None
    recovered_interval: tuple[float, float] | None


class EnergyGains(Contract):
    """What energies add, over the tasks that have them. `weights`: whose energies, by model."""

    n_tasks: int
    weights: dict[str, tuple[str, ...]]
    selectors: dict[EnergyName, EnergyGain]


class Summary(Contract):
    """Everything about a set of scored tasks. A task of two pools counts twice, and is resampled as one.

    `energy` is None where no candidate has an energy.
    """

    n_tasks: int
    n_mixed: int
    k: int
    pass_at_1: float
    oracle: float
    selectors: dict[Name, SelectorSummary]
    full_minus: tuple[Difference, ...]
    energy: EnergyGains | None
    brier: float
    ece: float
    bins: tuple[Bin, ...]
    by_model: dict[str, Group]
    by_platform: dict[str, Group]
    by_comparison: dict[str, Group]


def summarise(scored: Sequence[Scored], weights: Mapping[str, tuple[str, ...]] | None = None) -> Summary:
    """Sum up scored tasks; `weights`: names of those that gave the energies, by model.

    Raises:
        ValueError: there are none.
    """
    if not scored:
        raise ValueError("there is no task to sum up")
    right = [each.scores["full"] for each in scored]
    confidences = [each.confidence for each in scored]
    bins = equal_mass_bins(confidences, right)
    return Summary(
        n_tasks=len(scored),
        n_mixed=sum(each.task.mixed for each in scored),
        k=max(len(each.task.candidates) for each in scored),
        pass_at_1=_mean([each.pass_at_1 for each in scored]),
        oracle=_mean([each.oracle for each in scored]),
        selectors={name: _selector(scored, name) for name in NAMES},
        full_minus=tuple(_difference(scored, name) for name in ("examples", "majority")),
        energy=_energy([each for each in scored if each.with_energy], weights or {}),
        brier=brier_score(confidences, right),
        ece=calibration_error(bins),
        bins=bins,
        by_model=_groups(scored, lambda each: each.task.model),
        by_platform=_groups(scored, lambda each: each.task.platform),
        by_comparison=_groups(scored, lambda each: each.comparison),
    )


def _selector(scored: Sequence[Scored], name: Name) -> SelectorSummary:
    by_task = _by_task(scored)
    values = [_mean([each.scores[name] for each in of]) for of in by_task]
    gains = [sum(each.scores[name] - each.pass_at_1 for each in of) for of in by_task]
    gaps = [sum(each.oracle - each.pass_at_1 for each in of) for of in by_task]
    gap = sum(gaps)
    return SelectorSummary(
        accuracy=_mean([each.scores[name] for each in scored]),
        interval=_pair(bootstrap_mean(values, (0.0, 1.0))),
        recovered=sum(gains) / gap if gap > 0 else None,
        recovered_interval=_pair(bootstrap_ratio(gains, gaps)) if gap > 0 else None,
    )


def _difference(scored: Sequence[Scored], name: Name) -> Difference:
    by_task = _by_task(scored)
    values = [_mean([each.scores["full"] - each.scores[name] for each in of]) for of in by_task]
    return Difference(
        minus=name,
        difference=_mean([each.scores["full"] - each.scores[name] for each in scored]),
        interval=_pair(bootstrap_mean(values, (-1.0, 1.0))),
    )


def _energy(scored: Sequence[Scored], weights: Mapping[str, tuple[str, ...]]) -> EnergyGains | None:
    if not scored:
        return None
    names: tuple[EnergyName, ...] = ("examples", "full")
    gains = {name: _gain(scored, name) for name in names}
    return EnergyGains(n_tasks=len(scored), weights=dict(weights), selectors=gains)


def _gain(scored: Sequence[Scored], name: EnergyName) -> EnergyGain:
    def having(each: Scored) -> float:
        return each.with_energy[name] if each.with_energy else each.scores[name]

    by_task = _by_task(scored)
    added = [[having(each) - each.scores[name] for each in of] for of in by_task]
    gaps = [sum(each.oracle - each.pass_at_1 for each in of) for of in by_task]
    gap, base = sum(gaps), sum(each.pass_at_1 for each in scored)
    sums = {True: sum(map(having, scored)), False: sum(each.scores[name] for each in scored)}
    gained = [sum(of) for of in added]
    interval = _pair(bootstrap_mean([_mean(of) for of in added], (-1.0, 1.0)))
    # Where energies changed nothing anywhere, resampling would be certain that they never do.
    share = len(scored) / gap if gap > 0 else 0.0
    of_gap = _pair(bootstrap_ratio(gained, gaps)) if any(gained) and gap > 0 else None
    return EnergyGain(
        accuracy=sums[True] / len(scored),
        without=sums[False] / len(scored),
        difference=sum(gained) / len(scored),
        interval=interval,
        recovered=(sums[True] - base) / gap if gap > 0 else None,
        recovered_without=(sums[False] - base) / gap if gap > 0 else None,
        recovered_difference=sum(gained) / gap if gap > 0 else None,
        recovered_interval=(of_gap or (interval[0] * share, interval[1] * share)) if gap > 0 else None,
    )


def _groups(scored: Sequence[Scored], key: Callable[[Scored], str]) -> dict[str, Group]:
    members: dict[str, list[Scored]] = {}
    for each in scored:
        members.setdefault(key(each), []).append(each)
    return {
        name: Group(
            n=len(of),
            pass_at_1=_mean([each.pass_at_1 for each in of]),
            oracle=_mean([each.oracle for each in of]),
            accuracy={selector: _mean([each.scores[selector] for each in of]) for selector in NAMES},
        )
        for name, of in sorted(members.items())
    }


def _by_task(scored: Sequence[Scored]) -> list[list[Scored]]:
    found: dict[str, list[Scored]] = {}
    for each in scored:
        found.setdefault(each.task.key, []).append(each)
    return list(found.values())


def _mean(values: Sequence[float]) -> float:
    return float(sum(values)) / len(values)


def _pair(interval: Interval) -> tuple[float, float]:
    return (float(interval[0]), float(interval[1]))
