"""The statistics of pass rates: intervals, paired comparisons, pools, token budgets, power. Pure functions.

The unit is the task. Two conditions are compared on the tasks that both have a result for, task by task;
where a condition was run with several seeds or models, a task's results are averaged first and the tasks are
drawn again whole, because results on one task are not independent of each other. Every rate is in [0, 1],
every difference is *b minus a* in [-1, 1], every interval is two-sided, at 95% if nothing else is said.
"""

from __future__ import annotations

from benchmark.statistics.paired import (
    PairedDifference,
    Rate,
    Replicate,
    Submission,
    mcnemar,
    paired_difference,
    pooled_rate,
)
from benchmark.statistics.power import (
    WORST_DISCORDANCE,
    Power,
    detectable_difference,
    mcnemar_power,
    power_before,
    power_of,
    tasks_needed,
)
from benchmark.statistics.rates import Interval, pass_at_k, wilson_interval
from benchmark.statistics.resampling import RESAMPLES, bootstrap_mean, sign_flip
from benchmark.statistics.tokens import (
    CurvePoint,
    EqualTokens,
    TokenCurve,
    compare_at_tokens,
    token_curve,
    within,
)

__all__ = [
    "RESAMPLES",
    "WORST_DISCORDANCE",
    "CurvePoint",
    "EqualTokens",
    "Interval",
    "PairedDifference",
    "Power",
    "Rate",
    "Replicate",
    "Submission",
    "TokenCurve",
    "bootstrap_mean",
    "compare_at_tokens",
    "detectable_difference",
    "mcnemar",
    "mcnemar_power",
    "paired_difference",
    "pass_at_k",
    "pooled_rate",
    "power_before",
    "power_of",
    "sign_flip",
    "tasks_needed",
    "token_curve",
    "wilson_interval",
    "within",
]
