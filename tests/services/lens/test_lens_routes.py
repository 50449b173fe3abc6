"""The lens over REST: what it would choose from a stored journal, and what is no journal."""

from __future__ import annotations

from collections.abc import Sequence

import httpx
import pytest
from fastapi import FastAPI
from journals import journal
from lens_states import CRASH, Drawn

from atlas.contracts import Problem, Unavailable
from atlas.events import CandidatesClustered, CandidateScored, CommandsIssued, Entry
from atlas.problem_json import add_errors
from atlas.selector import FEATURES
from services.lens.app import create
from services.lens.routes import router

ONE, TWO = (["1", "1"], ["5"]), (["1", "2"], ["6"])
THREE = (Drawn("a", ONE, mean=-0.1), Drawn("longer", TWO), Drawn("short", TWO))


async def post(path: str, entries: Sequence[Entry], **more: object) -> httpx.Response:
    app = FastAPI()
    app.include_router(router)
    add_errors(app)
    body = {"entries": [e.model_dump(mode="json") for e in entries], **more}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://lens") as client:
        return await client.post(path, json=body)


def test_the_service_has_these_routes() -> None:
    assert {"/v1/select", "/v1/cluster"} <= set(create().openapi()["paths"])


async def test_a_finished_journal_is_decided_once_more_as_it_was() -> None:
    entries = journal(*THREE)
    said = (await post("/v1/select", entries)).json()
    assert said["decision"] == entries[-1].event.model_dump(mode="json")
    assert [c["candidates"] for c in said["clusters"]] == [["c1", "c2"], ["c0"]]
    assert [c["program"] for c in said["clusters"]] == ["c2", "c0"]
    for found in said["clusters"]:
        assert set(found["features"]) == set(FEATURES)
    assert said["decision"]["evidence"]["confidence"] == said["clusters"][0]["probability"]


async def test_how_the_journal_ended_is_not_looked_at() -> None:
    entries = journal(*THREE)
    whole, cut = [(await post("/v1/select", some)).json() for some in (entries, entries[:-1])]
    assert whole == cut


async def test_another_selector_may_be_asked() -> None:
    entries = journal(*THREE)
    by_examples = (await post("/v1/select", entries, selector="examples")).json()
    assert by_examples["decision"]["candidate"] == "c0"
    assert (await post("/v1/select", entries)).json()["decision"]["candidate"] == "c2"


async def test_the_first_few_candidates_may_be_asked_for() -> None:
    said = (await post("/v1/select", journal(*THREE), first=2)).json()
    assert sorted(c["candidates"] for c in said["clusters"]) == [["c0"], ["c1"]]
    assert said["decision"]["evidence"]["candidates"] == 2


async def test_an_abstention_is_told() -> None:
    drawn = (Drawn("a", ([CRASH],)), Drawn("b", (["1"],)))
    said = (await post("/v1/select", journal(*drawn, abstain_below=1.0))).json()
    assert said["decision"]["type"] == "TaskAbstained"


async def test_letters_are_decided_without_clusters() -> None:
    problem = Problem(statement="s", kind="choice", choices=("x", "y"))
    entries = journal(Drawn("A"), Drawn("B"), Drawn("B"), problem=problem, inputs=0)
    said = (await post("/v1/select", entries)).json()
    assert (said["decision"]["candidate"], said["clusters"]) == ("c1", [])
    refused = await post("/v1/cluster", entries)
    assert (refused.status_code, refused.json()["detail"]) == (
        422,
        "programs of a 'choice' problem are not compared",
    )


async def test_clusters_are_those_of_the_journal() -> None:
    entries = journal(*THREE, distinguish=1)
    last = [e.event for e in entries if isinstance(e.event, CandidatesClustered)][-1]
    said = CandidatesClustered.model_validate((await post("/v1/cluster", entries)).json())
    assert said.model_copy(update={"command": last.command}) == last


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        (lambda entries: entries[1:], "at 2, entry 2 follows 0"),
        (lambda entries: [entries[0], entries[2]], "at 3, entry 3 follows 1"),
        (
            lambda entries: [*entries[:2], entries[2].model_copy(update={"event": entries[0].event})],
            "TaskSubmitted at position 3",
        ),
        (lambda entries: [entries[-1]], "there is no TaskSubmitted"),
        (lambda entries: entries[:1], "there is no program to choose from"),
    ],
)
async def test_what_is_no_journal_is_refused_and_told(change: object, detail: str) -> None:
    entries = change(journal(*THREE))  # type: ignore[operator]
    answer = await post("/v1/select", entries)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert detail in answer.json()["detail"]


async def test_an_event_about_nobody_is_told() -> None:
    issued = CommandsIssued(ids=("score:c9",))
    scored = CandidateScored(command="score:c9", candidate="c9", energy=Unavailable(reason="none"))
    strange = [Entry(seq=2, time=1, event=issued), Entry(seq=3, time=1, event=scored)]
    answer = await post("/v1/select", [journal(*THREE)[0], *strange])
    assert answer.status_code == 422
    assert "at 3, CandidateScored names 'c9', which is not there" in answer.json()["detail"]


async def test_a_request_that_is_none_is_refused_by_its_field() -> None:
    assert "entries" in (await post("/v1/select", [])).json()["detail"]
    assert "selector" in (await post("/v1/select", journal(*THREE), selector="luck")).json()["detail"]
