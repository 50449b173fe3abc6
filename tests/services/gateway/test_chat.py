"""What a chat asks for, as a task; a task's end, as a completion or an error."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError

from atlas.api import SubmitRequest, TaskView
from atlas.contracts import Example, Usage
from atlas.openai_api import ChatRequest
from atlas.policy import POLICIES, Policy
from services.gateway.chat import completion, content, failure, pipeline_models, submission

ASK = {"role": "user", "content": "Double it."}
BODY: dict[str, Any] = {"model": "atlas", "messages": [ASK]}
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def asked(**more: Any) -> SubmitRequest:
    return submission(ChatRequest.model_validate({**BODY, **more}))


def statement(*messages: dict[str, Any]) -> str:
    return asked(messages=messages).problem.statement


def ended(**more: Any) -> TaskView:
    about = {"id": "t1", "policy": "full", "model": "smol", "priority": "p1", "submitted_at": 1000.9}
    return TaskView.model_validate(
        {"status": "failed", "seconds": 2.0, "events": 9, "usage": Usage(), **about, **more}
    )


# ---------------------------------------------------------------- the task


def test_one_message_is_the_statement_as_it_is() -> None:
    request = asked()
    assert request.problem.statement == "Double it."
    assert (request.problem.kind, request.problem.examples) == ("stdin", ())
    assert (request.policy, request.seed, request.deadline_s) == ("full", None, None)


def test_every_policy_is_a_model() -> None:
    assert pipeline_models() == ["atlas", *(f"atlas:{name}" for name in POLICIES)]
    for name in POLICIES:
        assert asked(model=f"atlas:{name}").policy == name


def test_instructions_come_first_and_names_only_in_a_dialogue() -> None:
    system = {"role": "system", "content": "Be terse."}
    parts = [{"type": "text", "text": "Double"}, {"type": "text", "text": "it."}]
    assert statement(system, {"role": "user", "content": parts}) == "Be terse.\n\nDouble\nit."
    said = {"role": "assistant", "content": "Which number?"}
    wanted = {"role": "user", "content": "The first."}
    assert statement(system, ASK, said, wanted) == (
        "Be terse.\n\nUser:\nDouble it.\n\nAssistant:\nWhich number?\n\nUser:\nThe first."
    )


def test_what_is_added_completes_the_problem() -> None:
    examples = [{"input": "2", "output": "4"}]
    problem = asked(atlas={"examples": examples, "entry_point": "double", "starter_code": "def"}).problem
    assert problem.examples == (Example(input="2", output="4"),)
    assert (problem.kind, problem.entry_point, problem.starter_code) == ("function", "double", "def")
    whole = {"statement": "Halve it.", "examples": examples, "limits": {"time_s": 2}}
    request = asked(atlas={"problem": whole, "policy": "A", "deadline_s": 5})
    assert (request.problem.statement, request.problem.limits.time_s) == ("Halve it.", 2)
    assert (request.policy, request.deadline_s) == ("A", 5)
    mine = asked(atlas={"policy": {"name": "mine", "k": 2}}).policy
    assert mine == Policy(name="mine", k=2)


@pytest.mark.parametrize(("seed", "used"), [(7, 7), (2**31 + 7, 7), (-1, 2**31 - 1), (None, None)])
def test_a_seed_is_used_whatever_its_size(seed: int | None, used: int | None) -> None:
    assert asked(seed=seed).seed == used


def test_what_the_policy_decides_has_no_effect() -> None:
    more = {"temperature": 0.1, "top_p": 0.5, "max_tokens": 3, "stop": ["x"], "user": "me"}
    more |= {"presence_penalty": 1, "logit_bias": {"1": 2}, "store": False, "max_completion_tokens": 9}
    assert asked(**more) == asked()


def test_asking_for_nothing_special_is_fine() -> None:
    plain = {"n": 1, "tools": [], "logprobs": False, "modalities": ["text"], "audio": None}
    assert asked(**plain, response_format={"type": "text"}) == asked()


@pytest.mark.parametrize(
    ("more", "field", "told"),
    [
        ({"n": 2}, "n", "leave it out"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools", "leave it out"),
        ({"functions": [{"name": "f"}]}, "functions", "leave it out"),
        ({"logprobs": True}, "logprobs", "leave it out"),
        ({"modalities": ["text", "audio"]}, "modalities", "leave it out"),
        ({"audio": {"voice": "a", "format": "wav"}}, "audio", "leave it out"),
        ({"response_format": {"type": "json_object"}}, "response_format", "leave it out"),
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, "messages.0.content", "type 'text'"),
        ({"messages": [ASK, {"role": "tool", "content": "4"}]}, "messages.1.role", "must be one of"),
        ({"messages": [{"role": "user", "content": " \n"}]}, "messages", "state the problem"),
        ({"messages": [{"role": "system", "content": "Be terse."}]}, "messages", "state the problem"),
        ({"messages": [{"role": "user", "content": "x" * 64_001}]}, "messages", "at most 64000"),
        ({"atlas": {"policy": "Z"}}, "atlas.policy", "'Z'"),
        ({"model": "atlas:A", "atlas": {"policy": "A"}}, "atlas.policy", "leave one of them out"),
        ({"atlas": {"problem": {"statement": "s"}, "starter_code": "x"}}, "atlas", "into the problem"),
    ],
)
def test_what_cannot_be_served_is_named(more: dict[str, Any], field: str, told: str) -> None:
    with pytest.raises(RequestValidationError) as caught:
        asked(**more)
    [error] = caught.value.errors()
    assert ".".join(error["loc"]) == f"body.{field}"
    assert told in error["msg"]


@pytest.mark.parametrize(
    "options",
    [
        {"hidden_tests": [{"input": "1", "output": "2"}]},
        {"problem": {"statement": "s", "hidden_tests": []}},
        {"examples": [{"input": "1", "output": "2", "hidden": True}]},
        {"deadline_s": 0},
        {"entry_point": "f()"},
    ],
)
def test_the_field_atlas_takes_only_what_is_documented(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ChatRequest.model_validate({**BODY, "atlas": options})


# ---------------------------------------------------------------- the answer


def test_a_program_is_one_code_block() -> None:
    assert content(ended(program="print(1)\n\n")) == "```python\nprint(1)\n```"
    assert content(ended(program='a = """\n```\n"""')) == '````python\na = """\n```\n"""\n````'


def test_a_completion_tells_the_tokens_and_the_task() -> None:
    usage = Usage(tokens_in=30, tokens_out=12, tokens_cached=20)
    view = ended(status="decided", program="print(1)", usage=usage, late_tokens=3, missing=("lens",))
    answer = completion(view, "atlas:A").model_dump(mode="json")
    assert (answer["id"], answer["created"], answer["model"]) == ("chatcmpl-t1", 1000, "atlas:A")
    told = answer["usage"]
    assert (told["prompt_tokens"], told["completion_tokens"], told["total_tokens"]) == (30, 12, 42)
    assert told["prompt_tokens_details"] == {"cached_tokens": 20}
    assert answer["atlas"] == {
        "task": "t1",
        "stage": None,
        "status": "decided",
        "evidence": None,
        "missing": ["lens"],
        "late_tokens": 3,
    }


@pytest.mark.parametrize(
    ("more", "status", "code"),
    [
        ({"error": "no program"}, 502, "no_program"),
        ({"error": "llama is away", "infrastructure": True}, 503, "infrastructure_failure"),
        ({"error": "late", "infrastructure": True, "deadline_reached": True}, 504, "deadline_reached"),
        ({"status": "cancelled"}, 409, "task_cancelled"),
    ],
)
def test_a_task_without_a_program_is_an_error(more: dict[str, Any], status: int, code: str) -> None:
    found, name, message = failure(ended(**more))
    assert (found, name) == (status, code)
    assert "t1" in message
    assert more.get("error", "cancelled") in message
