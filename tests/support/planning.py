"""What a scripted model says to PlanSearch's calls."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any


def plan_answer(schema: Mapping[str, Any], prompt: str, families: Sequence[str]) -> str:
    """Return the answer to a call for constraint sets (of as many `families` as it asks for) or for a plan.

    A plan's algorithm is the family that the prompt holds it to.
    """
    properties = schema["properties"]
    if "sets" in properties:
        count = properties["sets"]["minItems"]
        sets = [{"family": f, "requires": "an order", "rules_out": "recursion"} for f in families[:count]]
        return json.dumps({"sets": sets})
    algorithm = next(f for f in families if f"Family of algorithms: {f}\n" in prompt)
    whole = {"data_structures": ["a list"], "steps": ["Read.", "Go."], "edge_cases": ["Zero."]}
    return json.dumps({"algorithm": algorithm, **whole})
