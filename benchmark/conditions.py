"""The conditions a run can measure: what each is, what it spends, and what of it is not built yet."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pydantic import Field, JsonValue, ValidationError

from atlas.contracts import Contract
from atlas.errors import BadInput
from atlas.policy import POLICIES, SUMMARIES, Part, Policy, missing
from atlas.story_words import spends


class Condition(Contract):
    """One condition. `missing`: parts of `needs` it runs without (some only for some models)."""

    name: str
    summary: str
    needs: tuple[Part, ...]
    missing: tuple[Part, ...]
    policy: Policy


class Conditions(Contract):
    """What `--list-conditions --json` prints."""

    conditions: tuple[Condition, ...]


class Variant(Contract):
    """What a run measures: the policy of a name, with some of its fields changed; `name` is the run's own."""

    name: str = Field(min_length=1, max_length=40)
    policy: str
    changes: dict[str, JsonValue] = Field(default_factory=dict)

    def policy_among(self, policies: Iterable[Policy], seed: int) -> Policy:
        """Return the policy to measure, with this seed.

        Raises:
            BadInput: there is none of that name, or it has no such field, or not that value for it.
        """
        base = chosen(self.policy, policies)
        changed = base.model_dump(mode="json") | self.changes | {"name": self.name, "seed": seed}
        try:
            return Policy.model_validate(changed)
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise BadInput(f"condition '{self.name}': {where}: {first['msg']}") from error


def listing() -> Conditions:
    """Return every named policy, in the order of the ablation."""
    return Conditions(
        conditions=tuple(
            Condition(
                name=policy.name,
                summary=SUMMARIES[policy.name],
                needs=policy.needs,
                missing=missing(policy),
                policy=policy,
            )
            for policy in POLICIES.values()
        )
    )


def lines(conditions: Conditions) -> Iterator[str]:
    """Yield the list as text for people, two lines a condition."""
    width = max(len(each.name) for each in conditions.conditions)
    for each in conditions.conditions:
        yield f"{each.name:<{width}}  {each.summary}"
        lacking = lacks(each.missing)
        yield f"{'':<{width}}  {spends(each.policy)}{f'; {lacking}' if lacking else ''}"


def chosen(name: str, policies: Iterable[Policy]) -> Policy:
    """Return the policy of that name.

    Raises:
        BadInput: listing those there are.
    """
    by_name = {policy.name: policy for policy in policies}
    if name not in by_name:
        raise BadInput(f"no policy '{name}' for --condition; there are: {', '.join(by_name)}")
    return by_name[name]


def lacks(parts: Sequence[Part]) -> str:
    """Say by name what a condition runs without, and why; "" if it has all it needs."""
    by_model = {
        Part.LENS: "only for a model with weights",
        Part.BUDGET_FORCING: "only for a model that thinks",
    }
    unbuilt = ", ".join(part.value for part in parts if part not in by_model)
    said = [f"not built yet: {unbuilt}" if unbuilt else ""]
    said += [f"{why}: {part.value}" for part, why in by_model.items() if part in parts]
    return "; ".join(text for text in said if text)
