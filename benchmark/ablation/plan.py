"""What an ablation measures, from a TOML file. Pure but for reading the file.

name = "bundled"
seeds = [0, 1]
models = ["qwen2.5-coder-0.5b"]        # catalogue names or .gguf files; none: the model of atlas.conf

[tasks]                                # as benchmark.datasets.selection has it
dataset = "bundled"

[[conditions]]
policy = "A"
seeds = [0]                            # greedy: another seed would draw the same

[[conditions]]
name = "resample-2k"                   # any field of a policy may be changed
policy = "resample"
token_budget = 2048

[[conditions]]
policy = "no-plan"
tokens_of = "resample-2k"              # token_budget: what a task of that condition took, on the average
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator, model_validator

from atlas.contracts import Contract
from atlas.errors import BadInput
from atlas.policy import POLICIES
from benchmark.conditions import Variant
from benchmark.datasets.selection import Selection, from_mapping

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
OWN = ("name", "policy", "seeds", "tokens_of")


class PlannedCondition(Contract):
    """A variant of a policy, and the seeds it is measured with (None: the plan's).

    `tokens_of`: a condition before it, whose mean of generated tokens a task is this one's token budget.
    """

    variant: Variant
    seeds: tuple[int, ...] | None = Field(default=None, min_length=1)
    tokens_of: str | None = None


class Cell(Contract):
    """One condition with one seed on one model: a run of its own. `model` None: that of atlas.conf."""

    variant: Variant
    seed: int
    model: str | None
    tokens_of: str | None = None

    @property
    def name(self) -> str:
        """The run's name, and that of its directory."""
        return f"{model_name(self.model)}--{self.variant.name}--s{self.seed}"


class Plan(Contract):
    """An ablation. Models come one after the other (each is loaded once), then seeds, then conditions."""

    name: str = Field(pattern=rf"^{FILE_NAME}$", max_length=100)
    tasks: Selection = Selection()
    conditions: tuple[PlannedCondition, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    models: tuple[str, ...] = ()

    @field_validator("seeds")
    @classmethod
    def _seeds_are_whole(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if any(not 0 <= seed < 2**31 for seed in seeds):
            raise ValueError("a seed is a whole number from 0")
        return seeds

    @model_validator(mode="after")
    def _nothing_twice(self) -> Plan:
        names = [cell.name for cell in self.cells]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"planned twice: {', '.join(twice)}; give conditions names of their own")
        return self

    @model_validator(mode="after")
    def _budgets_are_known(self) -> Plan:
        before: dict[str, set[int]] = {}
        for condition in self.conditions:
            seeds = set(condition.seeds or self.seeds)
            if condition.tokens_of is not None and not seeds <= before.get(condition.tokens_of, set()):
                raise ValueError(
                    f"{condition.variant.name}: tokens_of = '{condition.tokens_of}' is no condition before "
                    "it that is measured with the same seeds"
                )
            before[condition.variant.name] = seeds
        return self

    @property
    def cells(self) -> tuple[Cell, ...]:
        """All runs of the plan, in their order."""
        return tuple(
            Cell(variant=condition.variant, seed=seed, model=model, tokens_of=condition.tokens_of)
            for model in self.models or (None,)
            for seed in self._all_seeds
            for condition in self.conditions
            if seed in (condition.seeds or self.seeds)
        )

    @property
    def _all_seeds(self) -> tuple[int, ...]:
        own = [seed for condition in self.conditions for seed in condition.seeds or ()]
        return tuple(dict.fromkeys((*self.seeds, *own)))


def read_plan(path: Path) -> Plan:
    """Read a plan; a relative path in it is relative to its file.

    Raises:
        BadInput: it cannot be read, or names what is not there; says where.
    """
    try:
        fields = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"cannot read the plan {path}: {error.strerror}") from error
    except ValueError as error:  # not UTF-8, or not TOML
        raise BadInput(f"{path} is not TOML: {error}") from error
    try:
        fields["tasks"] = from_mapping(_beside(path, fields.get("tasks", {})))
        fields["conditions"] = [_condition(each) for each in fields.get("conditions", ())]
        fields["models"] = [_model(path, each) for each in fields.get("models", ())]
        return Plan.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "plan"
        raise BadInput(f"{path}: {where}: {first['msg'].removeprefix('Value error, ')}") from error
    except (BadInput, TypeError, AttributeError) as error:
        raise BadInput(f"{path}: {error}") from error


def model_name(model: str | None) -> str:
    """Return a model's name for people and file names."""
    if model is None:
        return "model"
    return re.sub(r"[^A-Za-z0-9._-]+", "-", Path(model).stem if model.endswith(".gguf") else model)


def _condition(table: Mapping[str, Any]) -> PlannedCondition:
    policy = table.get("policy")
    name = table.get("name", policy)
    if not isinstance(policy, str) or not isinstance(name, str) or not re.fullmatch(FILE_NAME, name):
        raise BadInput("each of [[conditions]] names its policy, and may have a name without blanks")
    changes = {key: value for key, value in table.items() if key not in OWN}
    variant = Variant(name=name, policy=policy, changes=changes)
    variant.policy_among(POLICIES.values(), seed=0)  # now, not when everything has been started
    return PlannedCondition(variant=variant, seeds=table.get("seeds"), tokens_of=table.get("tokens_of"))


def _model(plan: Path, model: str) -> str:
    return str((plan.parent / model).resolve()) if model.endswith(".gguf") else model


def _beside(plan: Path, tasks: Mapping[str, Any]) -> dict[str, Any]:
    """Return the table with the paths in it relative to the plan's file, where there is such a file."""

    def near(text: str) -> str:
        loader, _, path = text.rpartition("=")
        file, _, key = path.partition("#")
        there = plan.parent / file
        whole = str(there.resolve()) + (f"#{key}" if key else "") if file and there.exists() else path
        return f"{loader}={whole}" if loader else whole

    fields = dict(tasks)
    for field in ("dataset", "ids"):
        given = fields.get(field)
        if isinstance(given, str):
            fields[field] = ",".join(map(near, given.split(",")))
        elif isinstance(given, list):
            fields[field] = [near(each) for each in given]
    return fields
