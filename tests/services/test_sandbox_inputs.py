"""MakeInputs and Probe: sources in turn, validators held to the examples, one endless program held short."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from atlas.commands import MakeInputs, Probe
from atlas.config import Settings
from atlas.contracts import Candidate, Example, Problem, SamplingParams, Usage
from atlas.embedded import executor_server
from atlas.errors import ExecutorError
from atlas.events import InputsMade, Pins, TaskSubmitted
from atlas.executor import ExecutorClient, Run, RunStatus
from atlas.executor_fake import FakeExecutor
from atlas.generated_inputs import OUTPUT_KEPT_CHARS, GeneratedInput, WrittenInputs
from atlas.pipeline import advance
from atlas.policy import A
from atlas.state import TaskState
from services.sandbox.asking import FIRST, TRIES
from services.sandbox.inputs import make_inputs
from services.sandbox.probes import probe

MAKE = MakeInputs(id="inputs:0", round=0)
STDIN = (Example(input="3\n1 2 30\n", output="33\n"),)
FUNCTION = (Example(input="[1, 2]\n5", output="8"),)
ENDLESS = "    while True: pass"
TRUE, FALSE = (Run(status=RunStatus.OK, output=word) for word in ("true", "false"))


def state_of(kind: str = "stdin", code: str = "", *, examples: Any = None, **written: Any) -> TaskState:
    function = kind == "function"
    examples = (FUNCTION if function else STDIN) if examples is None else examples
    fields: dict[str, Any] = {"kind": kind, "entry_point": "f" if function else None, "examples": examples}
    submitted = TaskSubmitted(
        problem=Problem(statement="x", **fields),
        policy=A.model_copy(update={"execute": True, "inputs": 16}),
        pins=Pins(pipeline="1", prompts_sha256="0" * 64, model="fake"),
        deadline_s=60,
    )
    sampling = SamplingParams(temperature=0, max_tokens=16, seed=1)
    candidate = Candidate(id="c0", origin="sample", code=code, sampling=sampling, usage=Usage())
    state = advance(TaskState(), [submitted]).state
    return replace(state, candidates={"c0": candidate}, written={0: WrittenInputs(**written)})


def probing(code: str, n: int = 16) -> TaskState:
    inputs = tuple(GeneratedInput(text=f"{i}\n", origin="model") for i in range(n))
    return replace(state_of(code=code), inputs={0: InputsMade(command="inputs:0", round=0, inputs=inputs)})


def origins(made: InputsMade) -> list[str]:
    return [each.origin for each in made.inputs]


def generating(code: str, text: str) -> Run:
    return Run(status=RunStatus.OK, output=json.dumps(f"2\n{text} 7\n"))


async def test_sources_take_turns() -> None:
    state = state_of(texts=("1\n9\n", "2\n8 8\n"), generator="g")
    made = await make_inputs(FakeExecutor(generating), state, MAKE)
    assert origins(made)[:6] == ["model", "generator", "mutation"] * 2
    assert len(made.inputs) == 16
    assert (made.validation, made.refused) == ("none", 0)
    assert len({each.text for each in made.inputs}) == 16


async def test_what_the_validator_refuses_is_dropped_and_counted() -> None:
    def answers(code: str, text: str) -> Run:
        return FALSE if json.loads(text).startswith("9") else TRUE

    state = state_of(texts=("9\n", "1\n4\n"), validator="v")
    made = await make_inputs(FakeExecutor(answers), state, MAKE)
    assert made.validation == "checked"
    assert made.refused >= 1
    assert "9\n" not in {each.text for each in made.inputs}


async def test_a_validator_that_refuses_an_example_refuses_nothing() -> None:
    made = await make_inputs(FakeExecutor(lambda c, t: FALSE), state_of(texts=("9\n",), validator="v"), MAKE)
    assert (made.validation, made.refused, made.inputs[0].text) == ("refuted", 0, "9\n")


@pytest.mark.parametrize(("good", "validation", "kept"), [(2, "unchecked", 2), (1, "none", 4)])
async def test_without_examples_a_validator_must_accept_half(good: int, validation: str, kept: int) -> None:
    def answers(code: str, text: str) -> Run:
        return TRUE if int(json.loads(text)) < good else FALSE

    state = state_of(examples=(), texts=("0", "1", "2", "3"), validator="v")
    made = await make_inputs(FakeExecutor(answers), state, MAKE)
    assert (made.validation, len(made.inputs), made.refused) == (validation, kept, 4 - kept)


@pytest.mark.parametrize("verdict", ["checked", "unchecked", "refuted", "none"])
async def test_a_further_round_has_its_texts_only_and_the_first_ones_verdict(verdict: Any) -> None:
    first = InputsMade(command="inputs:0", round=0, inputs=(), validation=verdict)
    state = state_of(validator="v")
    written = {**state.written, 1: WrittenInputs(texts=("5\n", "6\n"), generator="unused")}
    state = replace(state, written=written, inputs={0: first})
    executor = FakeExecutor(lambda code, text: FALSE)
    made = await make_inputs(executor, state, MakeInputs(id="inputs:1", round=1))
    used = verdict in ("checked", "unchecked")
    assert (made.validation, made.refused) == (verdict, 2 if used else 0)
    assert origins(made) == ([] if used else ["distinguishing"] * 2)
    assert [request.code for request in executor.requests] == (["v"] if used else [])


async def test_what_the_model_could_not_write_leaves_variations() -> None:
    state = replace(state_of(), written={})
    made = await make_inputs(FakeExecutor({}), state, MAKE)
    assert set(origins(made)) == {"mutation"}


@pytest.mark.parametrize(
    "output",
    ["", "7", "{}", "null", '"\\ud800"', "9" * 5_000, "[" * 9_000 + "]" * 9_000, '"' + "x" * 5_000 + '"'],
)
@pytest.mark.parametrize("kind", ["stdin", "function"])
async def test_what_a_generator_returns_may_be_anything(kind: str, output: str) -> None:
    executor = FakeExecutor(lambda code, text: Run(status=RunStatus.OK, output=output))
    made = await make_inputs(executor, state_of(kind, generator="g"), MAKE)
    assert set(origins(made)) == {"mutation"}


async def test_the_one_argument_of_a_function_may_come_without_a_list_around_it() -> None:
    one = (Example(input="[1, 2]", output="3"),)
    runs = {"0": "[[4, 4]]", "1": "[5, 5]", "2": "7", "3": '"6"'}
    executor = FakeExecutor(lambda code, text: Run(status=RunStatus.OK, output=runs.get(text, "null")))
    made = await make_inputs(executor, state_of("function", examples=one, generator="g"), MAKE)
    assert [each.text for each in made.inputs if each.origin == "generator"] == ["[4, 4]", "[5, 5]"]


async def test_a_function_gets_arguments_of_the_types_shown() -> None:
    wrong = ("[1, 2]", "[1.5, 2]\n5", '"a"\n5', "[NaN]\n5", "[1]\nInfinity", "[true]\n5", "not JSON")
    state = state_of("function", texts=(*wrong, "[9]\n4", "[]\n4"))
    made = await make_inputs(FakeExecutor({}), state, MAKE)
    assert {each.text for each in made.inputs if each.origin == "model"} == {"[9]\n4", "[]\n4"}


async def test_a_probe_keeps_the_start_of_an_output_and_the_hash_of_all() -> None:
    executor = FakeExecutor(lambda code, text: Run(status=RunStatus.OK, output="x" * 1000 + text))
    probed = await probe(executor, probing("c"), Probe(id="p", round=0, candidate="c0"))
    assert {run.output for run in probed.runs} == {"x" * OUTPUT_KEPT_CHARS}
    assert len({run.output_sha256 for run in probed.runs}) == len(probed.runs) == 16
    assert all(request.limits.time_s == 2 for request in executor.requests)


@pytest.mark.parametrize(("endless", "runs"), [(FIRST, FIRST), (FIRST - 1, 16)])
async def test_a_program_without_an_end_is_not_run_on_the_rest(endless: int, runs: int) -> None:
    def answers(code: str, text: str) -> Run:
        return Run(status=RunStatus.TIME_LIMIT if int(text) < endless else RunStatus.OK)

    executor = FakeExecutor(answers)
    probed = await probe(executor, probing("c"), Probe(id="p", round=0, candidate="c0"))
    assert sum(len(request.inputs) for request in executor.requests) == runs
    late = RunStatus.TIME_LIMIT if endless == FIRST else RunStatus.OK
    assert [run.status for run in probed.runs] == [RunStatus.TIME_LIMIT] * endless + [late] * (16 - endless)


async def test_what_the_machinery_spoils_is_never_a_programs_failure() -> None:
    executor = FakeExecutor(lambda code, text: Run(status=RunStatus.INFRASTRUCTURE_ERROR, error="no fork"))
    with pytest.raises(ExecutorError, match="no fork") as caught:
        await probe(executor, probing("c"), Probe(id="p", round=0, candidate="c0"))
    assert not caught.value.retryable
    assert len(executor.requests) == TRIES


@pytest.fixture(scope="module")
def executor_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real executor for this module."""
    settings = Settings(data_dir=Path(tmp_path_factory.mktemp("inputs")), sandbox_jobs=2)
    server = executor_server.start(settings, name="inputs")
    yield f"unix:{server.socket}"
    server.stop()


GENERATORS = {
    "stdin": "import random\ndef generate(s):\n    n = random.randint(1, 9)\n    return str(n) + '\\n4' * n",
    "function": "def generate(seed):\n    return [[seed, seed], seed]",
}
FAULTS = {
    "loops": f"def generate(seed):\n{ENDLESS}",
    "garbage": "def generate(seed):\n    print('x' * 9999)\n    return {'a': seed}",
    "huge": "def generate(seed):\n    return '1 ' * 10**7",
    "digits": "import sys\nsys.set_int_max_str_digits(0)\ndef generate(seed):\n    return [[1], 10**5000]",
    "surrogate": "def generate(seed):\n    return '\\ud800'",
    "does not compile": "def generate(seed",
    "another name": "def gen(seed):\n    return '1'",
}


@pytest.mark.integration  # a real executor
@pytest.mark.parametrize("kind", ["stdin", "function"])
async def test_a_generator_is_run_and_gives_the_same_again(kind: str, executor_url: str) -> None:
    async with ExecutorClient(executor_url) as client:
        state = state_of(kind, generator=GENERATORS[kind])
        made = await make_inputs(client, state, MAKE)
        assert set(origins(made)) == {"generator", "mutation"}
        assert (await make_inputs(client, state, MAKE)).inputs == made.inputs


@pytest.mark.integration  # a real executor
@pytest.mark.parametrize("kind", ["stdin", "function"])
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_faulty_generator_costs_its_share_only(kind: str, fault: str, executor_url: str) -> None:
    async with ExecutorClient(executor_url) as client:
        made = await make_inputs(client, state_of(kind, generator=FAULTS[fault]), MAKE)
    assert set(origins(made)) == {"mutation"}
    assert len(made.inputs) > 8


@pytest.mark.integration  # a real executor
@pytest.mark.parametrize("body", ["    1 / 0", "    return False", "    return 1", ENDLESS])
@pytest.mark.parametrize("kind", ["stdin", "function"])
async def test_a_faulty_validator_refuses_nothing(kind: str, body: str, executor_url: str) -> None:
    async with ExecutorClient(executor_url) as client:
        made = await make_inputs(client, state_of(kind, validator=f"def is_valid(*a):\n{body}"), MAKE)
    assert (made.validation, made.refused) == ("refuted", 0)
    assert made.inputs


@pytest.mark.integration  # a real executor
async def test_hashes_of_strings_are_the_same_in_every_run(executor_url: str) -> None:
    async with ExecutorClient(executor_url) as client:
        state, command = probing("print(list({'b', 'a', 'c'}))"), Probe(id="p", round=0, candidate="c0")
        once, again = await probe(client, state, command), await probe(client, state, command)
    assert once.runs == again.runs
