"""`atlas doctor --model`: what fits into a GPU's memory, or this machine's: a table, settings, advice."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import typer
from rich.table import Table

from atlas import models
from atlas.catalogue import CATALOGUE
from atlas.cli_common import stdout
from atlas.config import Settings
from atlas.embedded.llama_server import NATIVE_BATCH, batch_tokens, memory_available
from atlas.errors import BadInput, ModelFileError
from atlas.memory_plan import (
    GIB,
    KV_TYPES,
    Budget,
    Models,
    Plan,
    Wish,
    advice,
    candidates,
    largest_context,
    recommend,
)
from atlas.model_size import PUBLISHED, ModelSize, read_size


@dataclass(frozen=True)
class Named:
    """A model as the user named it, its sizes, and its file if that is no catalogue entry's."""

    name: str
    size: ModelSize
    path: Path | None
    there: bool


@dataclass(frozen=True)
class Finding:
    """What was asked for, what comes of it, and whether it fits."""

    model: Named
    draft: Named | None
    budget: Budget
    both: Models
    plan: Plan
    fits: bool
    advice: list[str]

    @property
    def largest(self) -> list[tuple[str, bool, int]]:
        """Type of keys and values, whether with the draft model, and the tokens that then fit."""
        slots = self.plan.load.slots
        return [
            (kv_type, draft, largest_context(self.both, self.budget, slots, kv_type, draft=draft))
            for draft in ([True, False] if self.draft else [False])
            for kv_type in KV_TYPES
        ]


def budget_of(vram: float | None, ram: float | None) -> Budget:
    """Return the memory to plan for, given in GiB; else what is free on this machine.

    Raises:
        BadInput: both are given.
    """
    if vram is not None and ram is not None:
        raise BadInput("a model is either on the GPU (--vram) or not (--ram)")
    if vram is not None:
        return Budget(int(vram * GIB), gpu=True)
    return Budget(memory_available() if ram is None else int(ram * GIB), gpu=False)


def find(settings: Settings, model: str | None, draft: str | None, budget: Budget, wish: Wish) -> Finding:
    """Plan for a catalogue name or a file; `draft` likewise, "none", or None: the catalogue's, on a GPU.

    Raises:
        ModelFileError: no such model, or its header cannot be read.
        BadInput: the draft model has other tokens.
    """
    if model is None:
        model = settings.model if settings.model_path is None else str(settings.model_path)
    target = _named(settings, model)
    if draft is not None:
        wish = dataclasses.replace(wish, draft=draft != "none")
    usual = CATALOGUE[target.name].draft if budget.gpu and target.name in CATALOGUE else None
    chosen = draft or usual or "none"
    drafts = None if chosen == "none" else _named(settings, chosen)
    if drafts is not None and drafts.size.vocabulary != target.size.vocabulary:
        raise BadInput(f"{drafts.name} cannot draft for {target.name}: it has other tokens")
    # On a GPU it is the native build that serves, unless the settings have xllamacpp there.
    native = budget.gpu and settings.gpu_device == "none"
    both = Models(
        target.size, drafts.size if drafts else None, NATIVE_BATCH if native else batch_tokens(settings)
    )
    plan = recommend(both, budget, wish)
    if plan is not None:
        return Finding(target, drafts, budget, both, plan, True, [])
    least = list(candidates(both, wish, gpu=budget.gpu))[-1]
    return Finding(target, drafts, budget, both, least, False, advice(both, budget, wish))


def show(finding: Finding, *, as_json: bool) -> None:
    """Print it."""
    if as_json:
        typer.echo(json.dumps(_as_json(finding)))
        return
    console, plan, load = stdout(), finding.plan, finding.plan.load
    size, where = finding.model.size, "GPU memory" if finding.budget.gpu else "memory"
    source = "its header" if finding.model.there else "its published configuration; the file is not here"
    console.print(
        f"{finding.model.name}: {size.layers} layers, trained on {size.context:,} tokens ({source})",
        markup=False,
    )
    for doubt in size.doubts + (finding.draft.size.doubts if finding.draft else ()):
        console.print(f"  note: {doubt}", markup=False)
    console.print(
        f"{load.context:,} tokens in {load.slots} slots, keys and values {load.kv_type}, "
        f"batches of {load.batch}, {'a draft model' if plan.draft else 'no draft model'}\n",
        markup=False,
    )
    table = Table("GiB", box=None, header_style="bold")
    for column in ("model", "draft", "both"):
        table.add_column(column, justify="right")
    for part in plan.parts:
        draft = _gib(part.draft) if part.draft else ""
        table.add_row(part.name, _gib(part.model), draft, _gib(part.bytes))
    table.add_row(f"of {_gib(finding.budget.bytes)} {where}", "", "", _gib(plan.bytes), style="bold")
    console.print(table, soft_wrap=False)
    console.print()
    table = Table("largest context", *KV_TYPES, box=None, header_style="bold")
    for drafted in sorted({with_draft for _, with_draft, _ in finding.largest}, reverse=True):
        row = [tokens for _, with_draft, tokens in finding.largest if with_draft is drafted]
        name = f"with {finding.draft.name}" if drafted and finding.draft else "no draft model"
        table.add_row(name, *(f"{tokens:,}" if tokens else "-" for tokens in row))
    console.print(table, soft_wrap=False)
    if finding.fits:
        console.print("\nIt fits. In atlas.conf:", style="green")
        for line in conf(finding):
            console.print(f"  {line}", markup=False)
    else:
        console.print("\nIt does not fit. What makes it fit:", style="bold red")
        for change in finding.advice:
            console.print(f"  → {change}", markup=False)


def conf(finding: Finding) -> list[str]:
    """Return the lines of atlas.conf that are this plan."""
    model, load = finding.model, finding.plan.load
    draft = finding.draft if finding.plan.draft else None
    return [
        f"MODEL={model.name}" if model.path is None else f"MODEL_PATH={model.path}",
        f"DRAFT_MODEL={'none' if draft is None else draft.path or draft.name}",
        *(["GPU_DEVICE=0"] if finding.budget.gpu else []),
        f"CONTEXT_TOKENS={load.context}",
        f"SLOTS={load.slots}",
        f"KV_TYPE={load.kv_type}",
    ]


def _as_json(finding: Finding) -> dict[str, object]:
    fields = ("kv_type", "draft", "context_tokens")
    return {
        "fits": finding.fits,
        "model": finding.model.name,
        "budget_bytes": finding.budget.bytes,
        "bytes": finding.plan.bytes,
        "parts": [dataclasses.asdict(part) for part in finding.plan.parts],
        "largest_contexts": [dict(zip(fields, row, strict=True)) for row in finding.largest],
        "settings": dict(line.split("=", 1) for line in conf(finding)) if finding.fits else {},
        "advice": finding.advice,
        "doubts": finding.model.size.doubts,
    }


def _named(settings: Settings, model: str) -> Named:
    path = Path(model)
    if model not in CATALOGUE and (path.is_file() or path.suffix == ".gguf"):
        path = path.resolve()
        return Named(path.stem, read_size(path), path, there=True)
    entry = models.named(model)
    path = models.models_dir_of(settings) / entry.file
    if path.is_file():
        return Named(model, read_size(path), None, there=True)
    if model not in PUBLISHED:
        raise ModelFileError(
            f"{path} is not there; pull it first ({entry.bytes / 1e9:.1f} GB): atlas models pull {model}"
        )
    return Named(model, PUBLISHED[model], None, there=False)


def _gib(count: int) -> str:
    return f"{count / GIB:.2f}"
