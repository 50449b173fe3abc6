"""The lens's scoring over REST: score, score-batch, embed, reload, stats, card."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import ValidationError

from atlas.contracts import EnergyScore
from atlas.errors import NotFound
from atlas.lens.api import BatchRequest, BatchScores, EmbedRequest, LensStats, ScoreRequest
from atlas.lens.card import Card
from atlas.lens.served import model_sha256
from atlas.lens.vectors import SPAN_PARTS, Subject, vector_of
from atlas.llama import LlamaClient
from atlas.service import Runtime
from atlas.span_embedding import TextEmbedding
from services.lens.energy import Scorer

router = APIRouter()


def _scorer(request: Request) -> Scorer:
    scorer: Scorer = request.app.state.scorer
    return scorer


def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime


def _server(request: Request) -> LlamaClient:
    server: LlamaClient = request.app.state.server
    return server


OurScorer = Annotated[Scorer, Depends(_scorer)]
OurRuntime = Annotated[Runtime, Depends(_runtime)]
OurServer = Annotated[LlamaClient, Depends(_server)]


@router.post("/v1/score")
def score(body: ScoreRequest, scorer: OurScorer, runtime: OurRuntime) -> EnergyScore:
    """Return a candidate's energy, or `unavailable` with the reason."""
    return _scores(scorer, runtime, body.model, [body.subject], body.weights)[0]


@router.post("/v1/score-batch")
def score_batch(body: BatchRequest, scorer: OurScorer, runtime: OurRuntime) -> BatchScores:
    """Return the energies of several candidates by the same weights, in one pass."""
    scores = _scores(scorer, runtime, body.model, body.subjects, body.weights)
    return BatchScores(scores=tuple(scores))


@router.post("/v1/embed")
async def embed(body: EmbedRequest, server: OurServer) -> TextEmbedding:
    """Read a text once more and return its states in one vector (the `reprefill` set)."""
    return await server.embed(body.text, body.pooling)


@router.post("/v1/reload")
def reload(scorer: OurScorer) -> LensStats:
    """Read the weights files again; requests under way end with the weights they began with."""
    scorer.reload()
    return scorer.stats()


@router.get("/v1/stats")
def stats(scorer: OurScorer) -> LensStats:
    """Return which weights are loaded, and what was scored since this process began."""
    return scorer.stats()


@router.get("/v1/card")
def card(scorer: OurScorer, weights: Annotated[str, Query(description="their name")]) -> Card:
    """Return the model card of loaded weights."""
    found = next((file for file in scorer.table.files if file.name == weights), None)
    if found is None:
        there = ", ".join(file.name for file in scorer.table.files) or "none"
        raise NotFound(f"no lens weights '{weights}' are loaded; there are: {there}")
    try:
        read = Card.model_validate_json(found.card.read_bytes())
    except OSError:
        raise NotFound(f"{found.path.name} has no model card beside it ({found.card.name})") from None
    except ValidationError as error:
        raise NotFound(f"{found.card.name} is no model card of this version") from error
    if read.weights != found.name:
        raise NotFound(f"{found.card.name} is the card of '{read.weights}', not of '{found.name}'")
    return read


def _scores(
    scorer: Scorer, runtime: Runtime, served: str, subjects: Sequence[Subject], weights: str | None
) -> list[EnergyScore]:
    kind = subjects[0].kind
    if weights is not None:
        model, reason = scorer.named(weights), f"no lens weights '{weights}'"
    else:
        sha256 = model_sha256(served, runtime.settings)
        model = scorer.table.of(sha256, kind) if sha256 else None
        reason = f"no lens weights for model '{served}' and the '{kind}' set"
        if sha256 is None:
            reason = f"nothing here tells the sha256 of model '{served}': set MODEL_PATH to its file"
    if model is None:
        return [scorer.unavailable(reason) for _ in subjects]
    features = model.identity.features
    parts = features.parts if features.kind == "span" else SPAN_PARTS
    return scorer.energies(model, [vector_of(each, parts) for each in subjects])
