"""A model card as Markdown. Every figure is one of the card's; nothing is computed here."""

from __future__ import annotations

from collections.abc import Iterator

from atlas.lens.card import Card, DifficultyFigures, Estimate, Evaluation

RULES = {
    "energy": "energy C(x)",
    "linear_probe": "linear probe, same features",
    "boosted_trees": "boosted trees, same features",
    "examples": "public examples passed",
    "length": "shorter program",
    "longer": "longer program",
    "logprob": "higher mean log-probability",
    "random": "random",
}
WHERE = {"folds": "training tasks, out of fold", "report": "report tasks"}
WHEN = {
    "drawn": "before anything was run",
    "run": "after each was run",
    "compared": "after all were run and compared",
}


def markdown(card: Card, plot: str | None) -> str:
    """Return the card; `plot`: the name of the learning curve's file."""
    return "\n".join(_lines(card, plot)) + "\n"


def _lines(card: Card, plot: str | None) -> Iterator[str]:
    identity = card.identity
    yield f"# Lens weights: {identity.model}, {identity.features.kind}"
    yield ""
    yield f"- name: `{card.weights}`, {card.bytes / 1e6:.2f} MB"
    yield f"- model: {identity.model}, GGUF sha256 `{identity.model_sha256}`"
    yield f"- features: {identity.features.name}"
    yield (
        f"- trained on {card.train_candidates} candidates of {card.train_tasks} tasks "
        f"({card.train_mixed} with right and wrong ones), {card.epochs} epochs, seed {card.seed}, "
        f"{card.seconds:.0f} s; {card.date}"
    )
    if card.left_out:
        yield f"- left out: {card.left_out} candidates whose span embedding is not known"
    yield f"- command: `{card.command}`"
    yield f"- with: {', '.join(f'{name} {version}' for name, version in card.versions.items())}"
    for name, sha256 in card.data.items():
        yield f"- data: {name} `{sha256}`"
    yield ""
    yield "Labels: the official grader on all tests of each task. Intervals: 95%, tasks drawn again."
    for evaluation in card.evaluations:
        when = f", {WHEN[evaluation.stage]}" if identity.features.kind == "surface" else ""
        yield from _evaluation(evaluation, when)
    yield from _difficulty(card)
    if card.learning_curve:
        yield from ("", "## Learning curve", "")
        yield from ("| tasks | candidates | within-task AUC | least | most |", "|---|---|---|---|---|")
        for point in card.learning_curve:
            auc = f"{point.auc:.3f} ({point.low:.3f} to {point.high:.3f})"
            numbers = f"{auc} | {point.least:.3f} | {point.most:.3f}"
            yield f"| {point.tasks} | {point.candidates} | {numbers} |"
        yield from ("", f"Each of {card.learning_curve[0].draws} draws of tasks.")
        if plot:
            yield from ("", f"![learning curve]({plot})")


def _evaluation(evaluation: Evaluation, when: str) -> Iterator[str]:
    yield ""
    yield f"## {WHERE[evaluation.tasks_by].capitalize()}{when}"
    yield ""
    yield (
        f"{evaluation.candidates} candidates of {evaluation.tasks} tasks; the table is over the "
        f"{evaluation.mixed} with right and wrong ones."
    )
    yield ""
    yield "| order by | within-task AUC | first pick right | energy's AUC minus this |"
    yield "|---|---|---|---|"
    for name, ranker in evaluation.rankers.items():
        less = evaluation.energy_minus.get(name)
        difference = _said(less, sign="+") if less else ""
        yield f"| {RULES[name]} | {_said(ranker.auc)} | {_said(ranker.first_pick)} | {difference} |"
    found = evaluation.calibration
    yield ""
    yield (
        "Calibration over all tasks: "
        f"P(right) = 1 / (1 + exp(-({found.intercept:.3f} {found.slope:+.3f} E))); "
        f"Brier {found.brier:.3f} ({found.brier_of_the_mean:.3f} for stating the mean), ECE {found.ece:.3f}."
    )
    yield from ("", "| stated | right | candidates |", "|---|---|---|")
    for each in found.bins:
        yield f"| {each.stated:.3f} | {each.right:.3f} | {each.n} |"


def _difficulty(card: Card) -> Iterator[str]:
    if not card.difficulty:
        return
    yield from ("", "## Difficulty: will the first candidate be right?", "")
    yield from (
        "| tasks | n | right | AUC, prompt's last state | AUC, prompt's length | Brier (of the mean) |",
        "|---|---|---|---|---|---|",
    )
    for where, figures in card.difficulty.items():
        yield f"| {WHERE[where]} | {_row(figures)} |"


def _row(figures: DifficultyFigures) -> str:
    aucs = f"{_said(figures.probe)} | {_said(figures.prompt_length)}"
    brier = f"{figures.brier:.3f} ({figures.brier_of_the_mean:.3f})"
    return f"{figures.probe.n} | {figures.right:.1%} | {aucs} | {brier}"


def _said(found: Estimate, sign: str = "") -> str:
    return f"{found.value:{sign}.3f} ({found.low:{sign}.3f} to {found.high:{sign}.3f})"
