"""Scoring: a task's candidates by the weights it pinned, requests by those for their model; or why not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from atlas.catalogue import CATALOGUE
from atlas.commands import Generate, Score
from atlas.config import Settings
from atlas.contracts import (
    Candidate,
    Energy,
    Example,
    LogprobSummary,
    Problem,
    SamplingParams,
    Unavailable,
    Usage,
)
from atlas.events import (
    CandidateGenerated,
    CandidateScored,
    Choice,
    Entry,
    ModelCallFinished,
    Pins,
    TaskSubmitted,
)
from atlas.lens.prompt_probe import PromptProbe
from atlas.lens.surface import SURFACE
from atlas.lens.table import Shelf, directories
from atlas.pipeline import advance, decide
from atlas.policy import Part, Policy
from atlas.problem_json import add_errors
from atlas.span_embedding import SpanEmbedding, TextEmbedding
from atlas.state import TaskState
from atlas.worker import Context
from services.lens import routes_scoring
from services.lens.energy import Scorer, score
from services.lens.worker import handler
from tests.support.lens_weights import span, span_set, surface_set, write_weights

MODEL = "qwen2.5-coder-0.5b"
SHA = str(CATALOGUE[MODEL].sha256)
SAMPLING = SamplingParams(temperature=0.7, max_tokens=64, seed=0)
LOGPROB = LogprobSummary(mean=-0.5, minimum=-2.0, lowest_decile=-1.0)


class Journal:
    """A journal that is only read. `asked`: after which entries."""

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
        self.asked: list[int] = []

    async def read(self, task: str, after: int = 0) -> list[Entry]:
        self.asked.append(after)
        return [entry for entry in self.entries if entry.seq > after]


def drawn(weights: str | None, *spans: SpanEmbedding | None) -> Context:
    """A task whose candidates were drawn in one call, each with its span, and that now asks for scores."""
    pins = Pins(pipeline="4", prompts_sha256="0" * 64, model=MODEL, lens_weights=weights)
    policy = Policy(name="p", k=len(spans), extras=(Part.LENS,), stop_after_passing=0)
    problem = Problem(statement="s", examples=(Example(input="1", output="1"),))
    submitted = TaskSubmitted(problem=problem, policy=policy, pins=pins, deadline_s=60)
    step = advance(TaskState(), [submitted])
    (command,) = step.commands
    assert isinstance(command, Generate)
    choices = tuple(
        Choice(text=f"{i}", usage=Usage(tokens_out=3), finish="stop", logprob=LOGPROB, span=each)
        for i, each in enumerate(spans)
    )
    call = ModelCallFinished(
        command=command.id,
        call=f"{command.id}/code:0",
        prompt="p",
        sampling=SAMPLING,
        choices=choices,
        server_s=0.1,
    )
    candidates = [
        CandidateGenerated(
            command=command.id,
            candidate=Candidate(
                id=f"c{i}",
                origin="sample",
                code=f"print({i})",
                sampling=SAMPLING,
                usage=Usage(tokens_out=3),
                logprob=LOGPROB,
            ),
        )
        for i in range(len(spans))
    ]
    events = [*step.events, call, *candidates]
    state = advance(step.state, [call, *candidates]).state
    entries = [Entry(seq=i, time=1.0, event=event) for i, event in enumerate(events, 1)]
    asked = sorted((c for c in decide(state) if isinstance(c, Score)), key=lambda c: c.id)
    command_ = asked[0] if asked else Score(id="score:c0", candidate="c0")
    return Context("t", command_, state, journal=Journal(entries))  # type: ignore[arg-type]


def shelf(tmp_path: Path) -> Scorer:
    """A scorer with one's own weights alone, whatever weights are shipped."""
    return Scorer(Shelf([directories(tmp_path)[0]]))


def own(tmp_path: Path, name: str) -> Path:
    return directories(tmp_path)[0] / f"{name}.safetensors"


def weights_of(scorer: Scorer, file: Path) -> str:
    return next(found.name for found in scorer.table.files if found.path == file)


async def scored(scorer: Scorer, context: Context, candidate: str = "c0") -> Energy | Unavailable:
    return (await score(context, scorer, Score(id=f"score:{candidate}", candidate=candidate))).energy


async def test_a_candidates_energy_is_of_its_own_span_by_the_pinned_weights(tmp_path: Path) -> None:
    file = write_weights(own(tmp_path, "s"), span_set(), sha256=SHA)
    scorer = shelf(tmp_path)
    name = weights_of(scorer, file)
    context = drawn(name, span(2, 0, 0, 0), span(5, 0, 0, 0))
    low, high = [await scored(scorer, context, c) for c in ("c0", "c1")]
    assert isinstance(low, Energy)
    assert isinstance(high, Energy)
    assert low.weights == high.weights == name
    assert 0 < low.value < high.value
    assert decide(context.state) == {Score(id=f"score:c{i}", candidate=f"c{i}") for i in (0, 1)}


async def test_a_tasks_journal_is_read_once_and_then_what_is_new(tmp_path: Path) -> None:
    file = write_weights(own(tmp_path, "s"), span_set(), sha256=SHA)
    scorer = shelf(tmp_path)
    context = drawn(weights_of(scorer, file), span(2, 0, 0, 0), span(5, 0, 0, 0))
    journal = context.journal
    assert isinstance(journal, Journal)
    whole, generated = journal.entries, len(journal.entries) - 1
    journal.entries = whole[:generated]  # the call is there, its second candidate not yet
    first = await scored(scorer, context, "c0")
    journal.entries = whole
    second = await scored(scorer, context, "c1")
    assert [await scored(scorer, context, c) for c in ("c0", "c1")] == [first, second]
    assert journal.asked == [0, generated]
    other = drawn(weights_of(scorer, file), span(5, 0, 0, 0))
    other.task = "another"
    assert await scored(scorer, other, "c0") == second, "tasks are kept apart"


async def test_the_prompts_state_tells_how_difficult_a_problem_is(tmp_path: Path) -> None:
    probe = PromptProbe(
        mean=np.full(4, 1, np.float32),
        scale=np.full(4, 2, np.float32),
        weight=np.full(4, 0.5, np.float32),
        bias=np.zeros(1, np.float32),
    )
    file = write_weights(own(tmp_path, "s"), span_set(), sha256=SHA, probe=probe)
    scorer = shelf(tmp_path)
    model = weights_of(scorer, file)

    async def told(state: float, **candidate: object) -> float | None:
        context = drawn(model, span(2, 0, 0, 0, prompt=state))
        kept = dict(context.state.candidates)
        kept["c0"] = kept["c0"].model_copy(update=candidate)
        context.state = replace(context.state, candidates=kept)
        context.task = f"{state} {candidate}"
        (event,) = await handler(None, scorer)(context)  # type: ignore[arg-type]
        assert isinstance(event, CandidateScored)
        known = advance(drawn(model, span(2, 0, 0, 0)).state, [event]).state.prompt_difficulty
        assert known == event.difficulty
        return known

    assert await told(1) == 0.5
    assert await told(3) == pytest.approx(1 / (1 + np.exp(2)), abs=1e-6)
    assert await told(-1) == pytest.approx(1 / (1 + np.exp(-2)), abs=1e-6)
    assert await told(60000) == pytest.approx(0, abs=1e-6), "what a server sends overflows nothing"
    assert await told(1, origin="plan", plan=0) is None, "the probe knows the bare prompt alone"
    assert await told(1, perturbation="examples_first") is None


async def test_surface_weights_need_no_span(tmp_path: Path) -> None:
    file = write_weights(own(tmp_path, "f"), surface_set(), sha256=SHA)
    scorer = shelf(tmp_path)
    found = await scored(scorer, drawn(weights_of(scorer, file), None))
    assert isinstance(found, Energy)


async def test_without_weights_nothing_is_asked_for(tmp_path: Path) -> None:
    context = drawn(None, None)
    assert not [c for c in decide(context.state) if isinstance(c, Score)]
    found = await scored(shelf(tmp_path), context)
    assert found == Unavailable(reason=f"no lens weights for model '{MODEL}'")


async def test_what_is_lacking_is_said_and_counted(tmp_path: Path) -> None:
    file = write_weights(own(tmp_path, "s"), span_set(), sha256=SHA)
    scorer = shelf(tmp_path)
    name = weights_of(scorer, file)
    reasons = {
        "without its span": (drawn(name, None), "c0"),
        "2 numbers, not 4": (drawn(name, span(1, 2)), "c0"),
        "span:gone": (drawn("span:gone", span(1, 2, 3, 4)), "c0"),
        "no candidate 'c7'": (drawn(name, span(1, 2, 3, 4)), "c7"),
    }
    for reason, (context, candidate) in reasons.items():
        context.task = reason
        found = await scored(scorer, context, candidate)
        assert isinstance(found, Unavailable)
        assert reason in found.reason
    stats = scorer.stats()
    assert len(stats.unavailable) == len(reasons)
    assert set(stats.unavailable.values()) == {1}
    assert stats.scored == 0


async def test_weights_that_came_after_the_start_are_found_when_a_task_pins_them(tmp_path: Path) -> None:
    scorer = shelf(tmp_path)
    file = write_weights(own(tmp_path, "s"), span_set(), sha256=SHA)
    name = weights_of(shelf(tmp_path), file)
    assert scorer.table.named(name) is None
    assert isinstance(await scored(scorer, drawn(name, span(1, 2, 3, 4))), Energy)


# ---------------------------------------------------------------- over REST


class Runtime:
    """As much of a service's runtime as scoring needs."""

    def __init__(self, data_dir: Path) -> None:
        self.settings = Settings(data_dir=data_dir)


class Embedder:
    """A model server that reads texts."""

    async def embed(self, text: str, pooling: str | None) -> TextEmbedding:
        return TextEmbedding.of([float(len(text)), 0.0], "mean" if pooling == "mean" else "server")


@asynccontextmanager
async def service(data_dir: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(routes_scoring.router)
    add_errors(app)
    app.state.scorer, app.state.runtime, app.state.server = shelf(data_dir), Runtime(data_dir), Embedder()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://lens") as client:
        yield client


def sent(one: SpanEmbedding) -> dict[str, object]:
    return one.model_dump(mode="json")


async def test_one_and_many_are_scored_alike(tmp_path: Path) -> None:
    write_weights(own(tmp_path, "s"), span_set(), sha256=SHA)
    subjects = [sent(span(float(i), 0, 0, 0)) for i in range(5)]
    async with service(tmp_path) as lens:
        one = [
            (await lens.post("/v1/score", json={"model": MODEL, "subject": subject})).json()
            for subject in subjects
        ]
        batch = (await lens.post("/v1/score-batch", json={"model": MODEL, "subjects": subjects})).json()
        stats = (await lens.get("/v1/stats")).json()
    values = [each["value"] for each in one]
    assert values == sorted(values)
    assert [each["value"] for each in batch["scores"]] == pytest.approx(values, rel=1e-5)
    assert stats["scored"] == 10
    assert [(w["scored"], w["file"]) for w in stats["weights"]] == [(10, "s.safetensors")]


async def test_vectors_of_another_set_are_refused_and_a_missing_set_is_unavailable(tmp_path: Path) -> None:
    write_weights(own(tmp_path, "s"), span_set(), sha256=SHA)
    surface = {"kind": "surface", "values": dict.fromkeys(SURFACE, 0.0)}
    reprefill = TextEmbedding.of(np.ones(8), "mean").model_dump(mode="json")
    async with service(tmp_path) as lens:
        name = (await lens.get("/v1/stats")).json()["weights"][0]["name"]
        for subject in (surface, reprefill):
            found = (await lens.post("/v1/score", json={"model": MODEL, "subject": subject})).json()
            assert found["kind"] == "unavailable"
            assert subject["kind"] in found["reason"]
            forced = {"model": MODEL, "subject": subject, "weights": name}
            answer = await lens.post("/v1/score", json=forced)
            assert answer.status_code == 422
            assert "cannot score" in answer.json()["detail"]
        mixed = {"model": MODEL, "subjects": [sent(span(1, 2, 3, 4)), surface]}
        assert (await lens.post("/v1/score-batch", json=mixed)).status_code == 422
        stranger = {"model": "stranger", "subject": sent(span(1, 2, 3, 4))}
        assert "MODEL_PATH" in (await lens.post("/v1/score", json=stranger)).json()["reason"]


async def test_weights_are_swapped_by_reload(tmp_path: Path) -> None:
    body = {"model": MODEL, "subject": sent(span(1, 0, 0, 0))}
    async with service(tmp_path) as lens:
        before = (await lens.post("/v1/score", json=body)).json()
        file = write_weights(own(tmp_path, "s"), span_set(), sha256=SHA)
        assert (await lens.post("/v1/score", json=body)).json()["kind"] == before["kind"] == "unavailable"
        assert len((await lens.post("/v1/reload")).json()["weights"]) == 1
        first = (await lens.post("/v1/score", json=body)).json()
        write_weights(file, span_set(), sha256=SHA, bias=3)
        await lens.post("/v1/reload")
        second = (await lens.post("/v1/score", json=body)).json()
    assert first["value"] < second["value"]
    assert first["weights"] != second["weights"]


async def test_a_text_is_embedded_by_the_model_server(tmp_path: Path) -> None:
    async with service(tmp_path) as lens:
        found = (await lens.post("/v1/embed", json={"text": "abc", "pooling": "mean"})).json()
    assert found["kind"] == "reprefill"
    assert TextEmbedding.model_validate(found).vector().tolist() == [3, 0]


async def test_a_card_that_is_not_there_is_not_found(tmp_path: Path) -> None:
    file = write_weights(own(tmp_path, "s"), span_set(), sha256=SHA)
    async with service(tmp_path) as lens:
        name = (await lens.get("/v1/stats")).json()["weights"][0]["name"]
        for weights, why in (("span:none", "there are"), (name, "no model card beside it")):
            answer = await lens.get("/v1/card", params={"weights": weights})
            assert answer.status_code == 404
            assert why in answer.json()["detail"]
        file.with_suffix(".card.json").write_text("{}")
        assert "version" in (await lens.get("/v1/card", params={"weights": name})).json()["detail"]
