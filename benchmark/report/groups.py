"""Runs taken together as conditions: the same policy on the same model, one run for each seed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from atlas.policy import POLICIES, Policy
from atlas.story_words import spends
from benchmark.report.content import ConditionRow, PairRow, Rate
from benchmark.report.words import percent
from benchmark.results import RunResults, TaskResult
from benchmark.statistics import (
    PairedDifference,
    Replicate,
    paired_difference,
    pooled_rate,
    power_of,
)


@dataclass(frozen=True)
class Group:
    """One condition of the report. `label` is unique in it."""

    label: str
    runs: tuple[RunResults, ...]

    @property
    def model(self) -> str:
        """The model's name, "" while no task has been submitted."""
        return self.runs[0].model or ""

    @property
    def results(self) -> list[TaskResult]:
        """Every result of every seed: passed or failed."""
        return [result for run in self.runs for result in run.graded]

    def replicates(self, keep: Callable[[TaskResult], bool] = lambda _: True) -> list[Replicate]:
        """Return what statistics are made of, of the results that `keep` says."""
        chosen = [{each.task for each in run.graded if keep(each)} for run in self.runs]
        return [
            run.replicate._replace(results={t: r for t, r in run.replicate.results.items() if t in tasks})
            for run, tasks in zip(self.runs, chosen, strict=True)
        ]


def grouped(runs: Iterable[RunResults]) -> list[Group]:
    """Group runs by policy (the seed aside) and model, in the order of the ablation."""
    by_kind: dict[str, list[RunResults]] = {}
    for run in sorted(runs, key=_order):
        by_kind.setdefault(json.dumps(_kind(run), sort_keys=True), []).append(run)
    kinds = list(by_kind.values())
    return [Group(label, tuple(runs)) for label, runs in zip(_labels(kinds), kinds, strict=True)]


def rate(group: Group, keep: Callable[[TaskResult], bool] = lambda _: True) -> Rate:
    """Return the pass rate of a condition on some of its results, tasks being the unit."""
    replicates = group.replicates(keep)
    kept = [each.passed for run in replicates for each in run.results.values()]
    if not all(run.results for run in replicates) or not _common(replicates):
        return Rate(n=len(kept), passed=sum(kept), rate=None, interval=None)
    pooled = pooled_rate(replicates)
    return Rate(n=len(kept), passed=sum(kept), rate=pooled.rate, interval=tuple(pooled.interval))


def condition_row(group: Group) -> ConditionRow:
    """Sum up one condition. Costs and energy come from elsewhere."""
    results, first = group.results, group.runs[0]
    all_results = rate(group)
    timed = [each for each in results if each.watched]
    spent = sum(each.seconds for each in timed)
    model_s, executor_s = sum(each.model_s for each in timed), sum(each.executor_s for each in timed)
    n, passed = all_results.n, all_results.passed
    tokens_in, tokens_out = sum(each.tokens_in for each in results), sum(each.tokens_out for each in results)

    def total(number: Callable[[TaskResult], int]) -> int:
        return sum(number(each) for run in group.runs for each in run.tasks)

    def mean(amount: float) -> float | None:
        return amount / n if n else None

    return ConditionRow(
        label=group.label,
        condition=first.condition,
        model=first.model,
        seeds=tuple(run.seed for run in group.runs),
        runs=tuple(run.run_id for run in group.runs),
        spends=_spends(first.policy),
        missing=tuple(part.value for part in first.missing),
        asked=sum(run.configuration.tasks for run in group.runs),
        tasks=len({each.task for each in results}),
        n=n,
        passed=passed,
        pass_rate=all_results.rate,
        interval=all_results.interval,
        interval_method="wilson" if len(group.runs) == 1 else "bootstrap over tasks",
        errors=sum(run.errors for run in group.runs),
        abstained=sum(each.abstained for each in results),
        selective=rate(group, lambda each: not each.abstained) if any(e.abstained for e in results) else None,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        tokens_cached=sum(each.tokens_cached for each in results),
        tokens_late=total(lambda each: each.tokens_late),
        tokens_error=total(lambda each: each.tokens_error),
        tokens_in_per_task=mean(tokens_in),
        tokens_out_per_task=mean(tokens_out),
        tokens_per_solved=tokens_out / passed if passed else None,
        seconds=sum(run.seconds for run in group.runs),
        seconds_per_task=mean(sum(each.seconds for each in results)),
        model_share=model_s / spent if spent else None,
        executor_share=executor_s / spent if spent else None,
        overhead_share=max(0.0, spent - model_s - executor_s) / spent if spent else None,
        timed=len(timed),
    )


def pair_rows(groups: Sequence[Group]) -> list[PairRow]:
    """Compare every two conditions that share a model, and every two models that share a condition."""
    rows = []
    for a, b in combinations(groups, 2):
        same_condition = a.runs[0].condition == b.runs[0].condition
        if (a.model == b.model or same_condition) and _common([*a.replicates(), *b.replicates()]):
            rows.append(_pair(a, b))
    return rows


def _pair(a: Group, b: Group) -> PairRow:
    # Between two models the pair is of models: their names must not keep the tasks apart.
    sides = [[run._replace(model="") for run in group.replicates()] for group in (a, b)]
    seen = paired_difference(*sides)
    able = power_of(seen)
    return PairRow(
        a=a.label,
        b=b.label,
        n=seen.n,
        difference=seen.difference,
        interval=tuple(seen.interval),
        p_value=seen.p_value,
        p_method="exact McNemar" if seen.test == "mcnemar" else "sign flips by task",
        a_only=seen.a_only,
        b_only=seen.b_only,
        both=seen.both,
        neither=seen.neither,
        detectable=able.detectable,
        power=_power(seen, able.detectable),
    )


def _spends(policy: Policy) -> str:
    ran = "" if policy.execute else "; nothing is executed"
    each = f"of up to {policy.max_tokens:,} tokens at temperature {policy.temperature:g}"
    return f"{spends(policy)}; programs {each}{ran}"


def _power(seen: PairedDifference, detectable: float | None) -> str:
    if detectable is None:
        return f"n = {seen.n} is too few to show any difference four times in five."
    return (
        f"With n = {seen.n} and conditions that differ on {percent(seen.discordance, 0)} of the tasks, a "
        f"true difference of less than {100 * detectable:.1f} points would have been missed more often than "
        "one time in five."
    )


def _common(replicates: Sequence[Replicate]) -> bool:
    tasks = [set(run.results) for run in replicates]
    return bool(tasks) and bool(set.intersection(*tasks))


# ---------------------------------------------------------------- which runs belong together


def _order(run: RunResults) -> tuple[object, ...]:
    names = list(POLICIES)
    place = names.index(run.condition) if run.condition in names else len(names)
    return run.model or "", place, run.condition, run.created_at, run.seed, run.run_id


def _kind(run: RunResults) -> dict[str, Any]:
    pins = run.pins.model_dump(mode="json") if run.pins else {"model": ""}
    return {
        "condition": run.condition,
        "data": run.configuration.dataset_sha256,
        "grader": run.configuration.grader,
        "policy": run.policy.model_dump(mode="json", exclude={"seed"}),
        **pins,
    }


def _labels(kinds: Sequence[Sequence[RunResults]]) -> list[str]:
    """Name each condition: by its policy, and by what tells it from others of the same name."""
    firsts = [runs[0] for runs in kinds]
    labels = [run.condition for run in firsts]
    if len({run.model for run in firsts}) > 1:
        labels = [f"{run.condition}, {run.model or 'no model yet'}" for run in firsts]
    for label in {each for each in labels if labels.count(each) > 1}:
        alike = [place for place, each in enumerate(labels) if each == label]
        kind = [_flat(_kind(firsts[place])) for place in alike]
        keys = [key for key in kind[0] if len({json.dumps(each.get(key)) for each in kind}) > 1]
        for place, each in zip(alike, kind, strict=True):
            apart = ", ".join(f"{key} {_short(each.get(key))}" for key in keys[:3])
            labels[place] = f"{label} ({apart})"
    return [
        label if labels.count(label) == 1 else f"{label} ({run.run_id})"
        for label, run in zip(labels, firsts, strict=True)
    ]


def _flat(kind: dict[str, Any]) -> dict[str, Any]:
    return {**{key: value for key, value in kind.items() if key != "policy"}, **kind["policy"]}


def _short(value: object) -> str:
    if isinstance(value, list):
        return "+".join(map(str, value)) or "none"
    text = str(value)
    return text if len(text) <= 20 else text[:10]
