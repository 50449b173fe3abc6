"""A real server's grammar takes the schemas, and holds even the smallest model to them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from lens_states import Drawn, state

from atlas.commands import ReadStatement
from atlas.contracts import Example, Problem, SamplingParams
from atlas.input_shape import fits
from atlas.llama import CompletionRequest, LlamaClient
from atlas.prompts import messages
from atlas.worker import Context
from services.lens.input_schema import form, parameters, schema, texts
from services.lens.read_statement import read_statement

pytestmark = pytest.mark.integration

N = 3


def function(*arguments: Any, starter: str = "") -> Problem:
    examples = (Example(input="\n".join(map(json.dumps, arguments)), output="0"),) if arguments else ()
    return Problem(
        statement="Count what is equal.",
        kind="function",
        entry_point="f",
        starter_code=starter,
        examples=examples,
    )


PROBLEMS = {
    "numbers": function([1, 2], 3),
    "nested": function([[1], []], "ab", True),
    "floats": function([0.5, 2]),
    "mapping": function({"a": 1}, None),
    "mixed": function([1, "a", None, [2]]),
    "signature": function(starter="def f(a: Optional[List[str]], b: Dict[str, int], c):"),
    "unknown": function(),
    "text": Problem(statement="Add two numbers.", examples=(Example(input="1\n2\n", output="3"),)),
}


@pytest.mark.parametrize("name", PROBLEMS)
async def test_what_a_model_writes_has_the_form_of_the_problem_s_inputs(name: str, llama_url: str) -> None:
    problem, client = PROBLEMS[name], LlamaClient(llama_url)
    asked = messages("inputs", problem, n=N, parameters=parameters(problem), shown=form(problem))
    sampling = SamplingParams(temperature=0.7, max_tokens=192, seed=1)
    request = CompletionRequest(
        prompt=await client.chat_prompt(asked), sampling=sampling, json_schema=schema(problem, N)
    )
    (choice,) = (await client.complete(request)).choices
    if choice.finish == "stop":
        assert len(json.loads(choice.text)["inputs"]) == N
    assert choice.text.startswith("{")
    assert all(fits(problem, text) for text in texts(problem, choice.text))
    await client.aclose()


async def test_every_reading_is_a_vote(llama_url: str) -> None:
    client, command = LlamaClient(llama_url), ReadStatement(id="read", between=("c0", "c1"))
    made = Context("direct", command, state(Drawn("a", (["1"],)), Drawn("b", (["2"],)), readings=4))
    assert sum((await read_statement(made, client, command)).votes) == 4
    assert len(made.state.calls) == 4
    await client.aclose()
