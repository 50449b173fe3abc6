"""Routes that OpenAI's clients know: chat completions and models."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from atlas.errors import BadInput, NotFound
from atlas.openai_api import PIPELINE, ChatCompletion, ChatRequest, Model, ModelList
from services.gateway.chat import answered, completion, failure, pipeline_models, submission
from services.gateway.chat_stream import ChatStream, Waiting
from services.gateway.disconnects import until_gone
from services.gateway.openai_errors import DO_NOT_RETRY, openai_error
from services.gateway.pass_through import CLIENT_GONE, conversation
from services.gateway.routes_tasks import IdempotencyKey
from services.gateway.state import Gateway, State

router = APIRouter()


@router.post("/v1/chat/completions", tags=["openai"], response_model=ChatCompletion)
async def chat(
    body: ChatRequest, request: Request, gateway: Gateway, idempotency_key: IdempotencyKey = None
) -> Response:
    """Answer a chat: `atlas` and `atlas:POLICY` run the pipeline, the served model's name asks it directly.

    The pipeline takes the text of the messages as a problem; its answer is the one program in a Markdown code
    block, with the evidence in the field `atlas`. Streamed (`ChatChunk`), chunks without text tell in their
    field `atlas` what is going on, then the program comes whole. A task whose client leaves is cancelled,
    unless an `Idempotency-Key` says that the client may come back for it. Errors are in OpenAI's form; 502:
    no candidate was a program, 503: a part of the stack failed, 504: the deadline passed without a program.

    A task that abstained is no error: its message has a `refusal` and no content.

    A request for the served model goes to llama-server as it is, and so does the answer come back. It cannot
    ask for a slot (`id_slot`).
    """
    if body.model in pipeline_models():
        return await _solved(body, request, gateway, idempotency_key)
    if body.model == await gateway.server.model():
        if "id_slot" in (body.model_extra or {}):
            raise BadInput("'id_slot' is not taken: leave it out, llama-server finds the conversation itself")
        return await gateway.model.chat(request, conversation(body))
    raise await _unknown(body.model, gateway)


@router.get("/v1/models", tags=["openai"])
async def models(gateway: Gateway) -> ModelList:
    """List what `model` may be: the pipeline, with the policy `full` or another, and the model it works with.

    The model itself is left out while llama-server is away.
    """
    return ModelList(data=tuple(await _models(gateway)))


@router.get("/v1/models/{model:path}", tags=["openai"])
async def get_model(model: str, gateway: Gateway) -> Model:
    """Look at one of them."""
    for known in await _models(gateway):
        if known.id == model:
            return known
    raise await _unknown(model, gateway)


async def _solved(body: ChatRequest, request: Request, gateway: State, key: str | None) -> Response:
    view, new = await gateway.tasks.submit(submission(body), key)
    waiting = Waiting(gateway.tasks, view, owned=new and key is None)
    if body.stream:
        include_usage = body.stream_options is not None and body.stream_options.include_usage
        return ChatStream(waiting, body.model, include_usage=include_usage)
    try:
        ended = await until_gone(request, waiting.ended())
    finally:
        await waiting.leave()
    if ended is None:
        return Response(status_code=CLIENT_GONE)
    if not answered(ended):
        status, code, message = failure(ended)
        return JSONResponse(openai_error(status, message, code=code), status, DO_NOT_RETRY)
    return JSONResponse(completion(ended, body.model).model_dump(mode="json"))


async def _models(gateway: State) -> list[Model]:
    found = [Model(id=name, owned_by=PIPELINE) for name in pipeline_models()]
    alias = await gateway.model_name()
    return found if alias is None else [*found, Model(id=alias, owned_by="llama-server")]


async def _unknown(model: str, gateway: State) -> NotFound:
    names = ", ".join(known.id for known in await _models(gateway))
    return NotFound(f"no model '{model[:100]}'; there are: {names}")
