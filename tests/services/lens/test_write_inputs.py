"""What the model writes for a comparison: asked for within its tokens, recorded, used as far as it goes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

import pytest

from atlas.commands import WriteInputs
from atlas.contracts import Candidate, Example, Problem, SamplingParams, Usage
from atlas.errors import BadOutput, BudgetSpent
from atlas.events import InputsWritten, Pins, TaskSubmitted
from atlas.lens.table import Shelf
from atlas.llama import CompletionRequest
from atlas.llama_fake import FakeModelServer
from atlas.policy import Policy
from atlas.worker import Context, direct
from services.lens.energy import Scorer
from services.lens.worker import handler
from services.lens.write_inputs import helper, write_inputs

STDIN = Problem(statement="Double it.", examples=(Example(input="1\n", output="2"),))
FUNCTION = Problem(
    statement="Count x.",
    kind="function",
    entry_point="count",
    starter_code="class Solution:\n    def count(self, nums: List[int], x: int) -> int:\n        ",
    examples=(Example(input="[1, 2]\n2", output="1"),),
)
GENERATOR = "```python\nimport random\ndef generate(seed):\n    return str(seed)\n```"
VALIDATOR = "```python\ndef is_valid(text):\n    return text.isdigit()\n```"
ANSWERS = {"inputs": '{"inputs": ["2", "3", "1"]}', "generator": GENERATOR, "validator": VALIDATOR}
BUDGET = 128
ROUND_0 = WriteInputs(id="write:0", round=0)
ROUND_1 = WriteInputs(id="write:1", round=1, between=("c0", "c1"))


def kind_of(request: CompletionRequest) -> str:
    """Which of the calls a request is, by what only its prompt holds."""
    task = request.prompt.split("# Your task")[1]
    return "generator" if "`generate(seed)`" in task else "validator" if "`is_valid(" in task else "inputs"


def model(answers: Mapping[str, str]) -> FakeModelServer:
    return FakeModelServer(lambda request: answers.get(kind_of(request), "I cannot."))


def context(problem: Problem = STDIN, command: WriteInputs = ROUND_0, **policy: int) -> Context:
    spend = Policy.model_validate({"name": "p", "inputs": 4, "input_tokens": 1536} | policy)
    pins = Pins(pipeline="1", prompts_sha256="0", model="fake")
    made = direct(TaskSubmitted(problem=problem, policy=spend, pins=pins, deadline_s=60), command)
    sampling = SamplingParams(temperature=0, max_tokens=1, seed=0)
    drawn = {
        f"c{i}": Candidate(id=f"c{i}", origin="sample", code=code, sampling=sampling, usage=Usage())
        for i, code in enumerate(("print(1)\n", "print(2)\n"))
    }
    made.state = replace(made.state, candidates=drawn)
    return made


async def test_inputs_and_both_programs_are_written() -> None:
    server = model(ANSWERS)
    [event] = await handler(server, Scorer(Shelf(())))(context())
    assert isinstance(event, InputsWritten)
    assert (event.command, event.round) == ("write:0", 0)
    assert event.written.texts == ("2", "3"), "an example's input is not new"
    assert event.written.generator == "import random\ndef generate(seed):\n    return str(seed)\n"
    assert event.written.validator == "def is_valid(text):\n    return text.isdigit()\n"


async def test_the_calls_share_the_round_s_tokens_and_the_prompt_s_beginning() -> None:
    server = model(ANSWERS)
    await write_inputs(context(input_tokens=300, seed=7), server, ROUND_0)
    assert [kind_of(request) for request in server.requests] == ["inputs", "generator", "validator"]
    assert {request.sampling.max_tokens for request in server.requests} == {100}
    assert len({request.prompt.split("# Your task")[0] for request in server.requests}) == 1
    seeds = {request.sampling.seed for request in server.requests}
    assert len(seeds) == 3
    assert min(seeds) >= 7600, "no candidate's seed, and no repair's"
    assert [request.sampling.temperature for request in server.requests] == [0.7, 0.7, 0.0]
    assert [request.json_schema is not None for request in server.requests] == [True, False, False]


async def test_a_function_s_inputs_are_its_arguments() -> None:
    answer = json.dumps({"inputs": [[[], 0], [[1, 2], 2], [[5], 5]]})
    server = model({"inputs": answer, "validator": VALIDATOR.replace("text)", "nums, x)")})
    written = (await write_inputs(context(FUNCTION), server, ROUND_0)).written
    assert written.texts == ("[]\n0", "[5]\n5")
    prompts = [request.prompt for request in server.requests]
    assert "in this order: nums, x" in prompts[0]
    assert "return [nums, x]" in prompts[1]
    assert "`is_valid(nums, x)`" in prompts[2]
    assert all("[[1, 2], 2]" in prompt for prompt in prompts), "the form is shown"


async def test_no_more_inputs_than_the_policy_asks_for() -> None:
    server = model({"inputs": json.dumps({"inputs": [str(i) for i in range(9)]})})
    written = (await write_inputs(context(inputs=3), server, ROUND_0)).written
    assert written.texts == ("0", "2", "3")
    assert server.requests[0].json_schema is not None
    assert server.requests[0].json_schema["properties"]["inputs"]["maxItems"] == 3


@pytest.mark.parametrize("kind", ["inputs", "generator", "validator"])
async def test_what_cannot_be_used_is_missing(kind: str) -> None:
    whole = (await write_inputs(context(), model(ANSWERS), ROUND_0)).written
    rest = {name: answer for name, answer in ANSWERS.items() if name != kind}
    written = (await write_inputs(context(), model(rest), ROUND_0)).written
    field = "texts" if kind == "inputs" else kind
    assert written == whole.model_copy(update={field: () if kind == "inputs" else None})


async def test_nothing_that_can_be_used_is_bad_output_and_the_calls_are_recorded() -> None:
    made = context()
    with pytest.raises(BadOutput):
        await write_inputs(made, model({}), ROUND_0)
    assert list(made.state.calls) == ["write:0/inputs", "write:0/generator", "write:0/validator"]


async def test_recorded_calls_are_not_made_again() -> None:
    made, server = context(), model(ANSWERS)
    first = await write_inputs(made, server, ROUND_0)
    assert await write_inputs(made, server, ROUND_0) == first
    assert len(server.requests) == 3


async def test_a_budget_spent_on_the_way_leaves_what_there_is() -> None:
    many = '{"inputs": ["2", "3", ' + " ".join('"1",' for _ in range(BUDGET)) + "]}"
    made = context(token_budget=BUDGET)
    server = FakeModelServer(lambda _: many)
    written = (await write_inputs(made, server, ROUND_0)).written
    assert (written.texts, written.generator, written.validator) == (("2", "3"), None, None)
    spent = replace(made, command=ROUND_1)
    with pytest.raises(BudgetSpent):
        await write_inputs(spent, model(ANSWERS), ROUND_1)


async def test_a_later_round_asks_once_where_two_programs_part() -> None:
    server = model(ANSWERS)
    event = await write_inputs(context(command=ROUND_1), server, ROUND_1)
    assert (event.round, event.written.texts) == (1, ("2", "3"))
    assert (event.written.generator, event.written.validator) == (None, None)
    (request,) = server.requests
    assert "print(1)" in request.prompt
    assert "print(2)" in request.prompt
    assert request.json_schema is not None
    again = model(ANSWERS)
    await write_inputs(context(), again, ROUND_0)
    assert request.sampling.seed not in {r.sampling.seed for r in again.requests}


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "There is none.",
        "```python\ndef generate(seed):\n    return (\n```",
        "```python\ndef other(seed):\n    return 1\n```",
        "```python\nclass A:\n    def generate(self):\n        return 1\n```",
    ],
)
def test_an_answer_without_the_function_has_no_helper(answer: str) -> None:
    assert helper(answer, "generate") is None
