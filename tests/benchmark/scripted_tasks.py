"""Problems that a scripted model knows the answers to, and that model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.chaos.answers import answer
from tests.chaos.problems import requests
from tests.support.scripted_model import ScriptedModel


def answering_model() -> ScriptedModel:
    """Return a model that answers at once, by the problem and the seed."""

    def say(prompt: str, seed: int, schema: Any) -> str:
        return answer(json.loads(prompt), seed, schema)

    model = ScriptedModel(say)
    model.go.set()
    return model


def dataset(path: Path, n: int) -> Path:
    """Write n problems of the chaos tests in LiveCodeBench's schema, their examples as hidden tests too."""
    rows = []
    for index, request in enumerate(requests(n, seed=3)):
        tests = [
            {"input": e.input, "output": e.output, "testtype": "stdin"} for e in request.problem.examples
        ]
        rows.append(
            {
                "question_id": f"t{index}",
                "platform": "test",
                "question_title": request.problem.title,
                "question_content": request.problem.statement,
                "starter_code": "",
                "difficulty": "easy",
                "contest_date": "2026-01-01T00:00:00",
                "public_test_cases": json.dumps(tests),
                "private_test_cases": json.dumps(tests),
                "metadata": "{}",
            }
        )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
