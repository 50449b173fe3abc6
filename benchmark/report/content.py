"""What a report says, without saying how it looks: plain values that both pages and the JSON are made from.

Rates are shares of 1, times seconds, tokens counts, differences `b - a`. None means "not measured" or "there
is nothing to measure it on", and pages say so; no missing number ever shows as 0.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from atlas.contracts import Contract
from benchmark.report.drawing import Plot

Status = Literal["passed", "failed", "error", "mixed", "absent"]


class Rate(Contract):
    """A pass rate over `n` results and its 95% interval; rate and interval are None where n is 0."""

    n: int
    passed: int
    rate: float | None
    interval: tuple[float, float] | None


class ConditionRow(Contract):
    """One condition on one model: its runs, one for each seed, taken together.

    `label` is unique within a report. `n` counts results (tasks times seeds, errors not among them) of
    `tasks` different tasks; `pass_rate` is the mean over tasks of each task's mean over seeds, which with one
    seed is passed/n. Tokens are sums over the n results; those per task are means over them,
    `tokens_per_solved` and `cost_per_solved` divide what all of them took by those that passed. `seconds` is
    the time during which at least one task was worked on, grading included, summed over runs;
    `seconds_per_task` is the mean from submission to decision. Shares are of that time, over the `timed`
    results that were watched from beginning to end. `abstained` of the n results hand in no program, because
    its confidence was too low, and count as not passed; `selective` leaves them out. `joules` and `cost_*`
    are None where no energy was measured or no price is set.
    """

    label: str
    condition: str
    model: str | None
    seeds: tuple[int, ...]
    runs: tuple[str, ...]
    spends: str = Field(description="what the policy may spend, in words")
    missing: tuple[str, ...] = Field(description="parts of the policy that it ran without")
    asked: int = Field(description="results there are once every run is finished")
    tasks: int
    n: int
    passed: int
    pass_rate: float | None
    interval: tuple[float, float] | None
    interval_method: str
    errors: int
    abstained: int = 0
    selective: Rate | None = Field(default=None, description="of the tasks answered, where some are not")
    tokens_in: int
    tokens_out: int
    tokens_cached: int
    tokens_late: int
    tokens_error: int
    tokens_in_per_task: float | None
    tokens_out_per_task: float | None
    tokens_per_solved: float | None
    seconds: float
    seconds_per_task: float | None
    model_share: float | None
    executor_share: float | None
    overhead_share: float | None
    timed: int
    joules: float | None = None
    energy_source: str | None = None
    energy_estimate: bool = False
    cost_per_task: float | None = None
    cost_per_solved: float | None = None

    @property
    def unfinished(self) -> int:
        """Results that are still to come."""
        return self.asked - self.n - self.errors


class PairRow(Contract):
    """Two conditions on the tasks both have a result for; see `benchmark.statistics` for each number.

    `difference` is b minus a. With one seed each, `a_only` and `b_only` count the tasks that one passed and
    the other failed and `p_value` is McNemar's exact; with several they count tasks whose mean is higher, and
    `p_value` is from sign flips by task. `detectable`: the true difference that this n, with the discordance
    seen, would have shown four times in five.
    """

    a: str
    b: str
    n: int
    difference: float
    interval: tuple[float, float]
    p_value: float
    p_method: str
    a_only: int
    b_only: int
    both: int
    neither: int
    detectable: float | None
    power: str = Field(description="what this n could have seen, in words")


class PartRow(Contract):
    """What a condition spent on one part of its work, and what came of it, over all its results.

    `tokens` are generated ones. `submitted`: the submissions that the part made; `solved`: those that passed.
    """

    condition: str
    part: str
    title: str
    calls: int
    tokens: int
    submitted: int
    solved: int


class GroupRow(Contract):
    """One line of a breakdown: a group of tasks under every condition, in the report's order."""

    name: str
    tasks: int
    rates: tuple[Rate, ...]
    total: bool = Field(default=False, description="sums up lines above or below it")


class Breakdown(Contract):
    """Pass rates by some property of the tasks. `rows` is empty where no run notes the property."""

    title: str
    note: str
    rows: tuple[GroupRow, ...]


class ListedTask(Contract):
    """A task that a list names, with how it fared under each condition."""

    task: str
    anchor: str | None
    kind: str
    text: str
    statuses: tuple[Status, ...]


class Listing(Contract):
    """A named list of tasks, or the reason why there is none."""

    title: str
    note: str
    tasks: tuple[ListedTask, ...]
    summary: tuple[str, ...] = ()


class SecondaryRow(Contract):
    """A metric beside the headline, of one condition: labelled with what it is."""

    condition: str
    metric: str
    value: float | None
    interval: tuple[float, float] | None
    n: int
    note: str


# ---------------------------------------------------------------- single tasks


class ExecutionNote(Contract):
    """A candidate on the public examples: `lines` say each verdict."""

    passed: int
    total: int
    seconds: float
    lines: tuple[str, ...]


class CandidateNote(Contract):
    """One program of a task. `code` is None where the answer held none, or where it was left out (`cut`)."""

    id: str
    chosen: bool
    title: str
    facts: tuple[str, ...]
    code: str | None
    cut: str = ""
    execution: ExecutionNote | None = None
    grade: str = Field(default="", description="what both checkers say of it, where a regrade has asked them")


class PlanNote(Contract):
    """One plan in words."""

    algorithm: str
    steps: tuple[str, ...]
    data_structures: tuple[str, ...]
    edge_cases: tuple[str, ...]


class InputNote(Contract):
    """A generated input that programs were run on."""

    text: str
    origin: str


class CellNote(Contract):
    """What a program gave on one input: `group` counts from 0 for the most common output, None for no output.

    `mark` stands in the cell, `said` is what it stands for.
    """

    group: int | None
    mark: str
    said: str


class ProbeRow(Contract):
    """A program on all inputs, in their order; None where it was not run on one."""

    candidate: str
    chosen: bool
    cells: tuple[CellNote | None, ...]


class ClusterNote(Contract):
    """Programs that agree on every input, and the probability that they are right."""

    candidates: tuple[str, ...]
    probability: float
    chosen: bool


class ComparisonNote(Contract):
    """How the programs of a task were compared. `reading`: how the model read the statement, or ""."""

    inputs: tuple[InputNote, ...]
    note: str
    rows: tuple[ProbeRow, ...]
    clusters: tuple[ClusterNote, ...]
    reading: str = ""


class AttemptNote(Contract):
    """One task of one run: how it ended, why, and what led there. `note` says what is not shown, and why."""

    condition: str
    seed: int
    status: Status
    headline: str
    facts: tuple[str, ...]
    reasons: tuple[str, ...] = ()
    plans: tuple[PlanNote, ...] = ()
    candidates: tuple[CandidateNote, ...] = ()
    comparison: ComparisonNote | None = None
    story: tuple[str, ...] = ()
    note: str = ""


class TaskSection(Contract):
    """One task under all conditions. `verdict` groups it for the filter."""

    id: str
    anchor: str
    title: str
    facts: tuple[str, ...]
    statement: str
    statuses: tuple[Status, ...]
    verdict: Literal["all", "none", "differ", "error"]
    odd: str = ""
    attempts: tuple[AttemptNote, ...]


class Fact(Contract):
    """A line about what was measured; those of the `top` stand above the result."""

    name: str
    values: tuple[str, ...]
    top: bool = False


class Report(Contract):
    """All that a report says."""

    title: str
    lead: tuple[str, ...] = Field(description="the result in sentences")
    warnings: tuple[str, ...]
    facts: tuple[Fact, ...]
    commands: tuple[str, ...]
    conditions: tuple[ConditionRow, ...]
    pairs: tuple[PairRow, ...]
    parts: tuple[PartRow, ...]
    secondary: tuple[SecondaryRow, ...]
    secondary_note: str
    breakdowns: tuple[Breakdown, ...]
    listings: tuple[Listing, ...]
    costs: tuple[str, ...] = Field(description="how energy and prices were come by, or why they are absent")
    plots: tuple[Plot, ...]
    tasks: tuple[TaskSection, ...]
    tasks_note: str
