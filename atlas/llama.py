"""Client of llama.cpp's server: whole completions with their token counts and log-probabilities.

Completions are streamed even though only the whole is returned: closing the stream frees the server's slot
within a tenth of a second, so a cancelled command stops costing at once. While a prompt is being read, the
slot is free when the batch that it is in has ended: the server notices a closed stream only where it writes
to it, which `return_progress` makes it do after each batch.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, ParamSpec, Protocol, TypeVar

import httpx
from httpx_sse import SSEError, aconnect_sse
from pydantic import Field
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_exponential_jitter

from atlas.contracts import Contract, SamplingParams
from atlas.errors import CallTimeout, ModelServerError
from atlas.events import Choice
from atlas.llama_stream import PATH as COMPLETION
from atlas.llama_stream import Drawing, foreign
from atlas.model_facts import DIALOGUE, ONE_TURN, ModelFacts, Rendering, Weights
from atlas.span_embedding import SPAN_VERSION, Pooling, TextEmbedding
from atlas.thinking import USUAL_TAGS, ThinkingTags

PATIENCE_S = 5.0  # the worker waits longer; this spares what a restart or a dropped connection would undo
LEAST_ROOM = 64  # tokens: a completion that the context has less room for is not begun
UNSEEN_TOKENS = 8  # the most a tokenizer adds that are no byte of the text (beginning and end of text)
# llama-server closes a connection after it has streamed over it, and does not say so.
ONCE = {"connection": "close"}
LOST = (httpx.NetworkError, httpx.RemoteProtocolError, httpx.ConnectTimeout)
Message = Mapping[str, str]
OnTokens = Callable[[int], None]
T = TypeVar("T")
P = ParamSpec("P")


class CompletionRequest(Contract):
    """One call: `n` completions of one prompt, optionally held to a JSON schema by the server's grammar.

    The server reads the prompt once for all of them. A completion ends before the first of the `stop`
    strings; `Choice.stopped_by` says which. `timeout_s`: then the call is given up, and its slot freed.
    `task`: calls of one task go to one server, where there are several: to `server`, which holds their
    prefix. No slot is asked for: llama-server finds the prefix itself, in a slot or among the prompts that it
    has put aside, and asked for a slot that is busy it would overwrite what that one is generating.
    `embedding`: each choice brings its span embedding, where the server can (`ServerFacts.span_n_embd`).
    `reserve`: tokens of the context that are to be left, each choice, for whatever continues it.
    """

    prompt: str
    sampling: SamplingParams
    n: int = 1
    stop: tuple[str, ...] = ()
    json_schema: dict[str, Any] | None = None
    task: str | None = None
    server: str | None = None
    timeout_s: float | None = Field(default=None, gt=0)
    embedding: bool = False
    reserve: int = Field(default=0, ge=0)


class CompletionResult(Contract):
    """The completions, where they were drawn, and the server's seconds for the call.

    `server` is its host and port as LLAMA_URL has them, None where no real one was asked; `slot` drew the
    first of them.
    """

    choices: tuple[Choice, ...]
    slot: int | None
    server_s: float
    server: str | None = None


class ServerFacts(Contract):
    """What a llama-server says of itself, now.

    `context_tokens`: the most a slot holds, prompt and completion. `span_n_embd`: the length of its span
    embeddings, None if it has none (of the convention known here). `pools`: /embedding takes a pooling;
    `from_token`: it can leave out the states of a text's beginning.
    """

    model: str
    context_tokens: int
    slots: int
    span_n_embd: int | None = None
    pools: bool = False
    from_token: bool = False


class ModelServer(Protocol):
    """What the services need: `LlamaClient`, `LlamaFleet` over several, and `FakeModelServer` have it."""

    async def chat_prompt(self, messages: Sequence[Message], *, thinking: bool = False) -> str:
        """Render messages with the model's own chat template: its answer follows, or its thinking."""

    async def thinking(self) -> ThinkingTags | None:
        """The tags of the model's thinking, or None if it has no thinking mode."""

    async def complete(
        self, request: CompletionRequest, on_tokens: OnTokens | None = None
    ) -> CompletionResult:
        """Draw the completions; `on_tokens` hears of tokens as they come."""

    async def ready(self) -> str | None:
        """None when the server can take calls, else why not."""

    async def model(self) -> str:
        """The served model's name."""

    async def facts(self) -> ServerFacts:
        """What the server says of itself."""

    async def aclose(self) -> None:
        """Release connections."""


class ServerAway(ModelServerError):
    """The server is away or loading and nothing of an answer has come: the same call may be made again."""


def while_away(patience_s: float) -> AsyncRetrying:
    """Return what carries out a call again and again while the server is away, for so long."""
    return AsyncRetrying(
        retry=retry_if_exception_type(ServerAway),
        stop=stop_after_delay(patience_s),
        wait=wait_exponential_jitter(multiplier=0.05, max=1.0, jitter=0.05),
        reraise=True,
    )


class LlamaClient:
    """Speaks to one llama-server.

    A server that is away or loads its model is asked again for `patience_s`, while nothing of an answer has
    come. Every method raises ModelServerError: retryable when that was not enough, or the answer broke off;
    not retryable when the server refused the request (4xx) or answers what no llama-server would.
    """

    def __init__(
        self,
        base_url: str,
        *,
        idle_timeout_s: float = 600.0,
        patience_s: float = PATIENCE_S,
        tags: ThinkingTags = USUAL_TAGS,
    ) -> None:
        self.url = base_url.rstrip("/")
        self._http = httpx.AsyncClient(
            base_url=base_url,
            timeout=httpx.Timeout(idle_timeout_s, connect=5.0),
            # llama-server closes idle connections after 5 s; reusing one just then fails ("disconnected").
            limits=httpx.Limits(keepalive_expiry=2.0),
            trust_env=False,
        )
        self._patience_s = patience_s
        self._tags = tags

    @property
    def name(self) -> str:
        """Host and port: what journals call the server, without whatever secret its URL may hold."""
        return self._http.base_url.netloc.decode()

    def addresses(self, _: str) -> tuple[str, ...]:
        """Return where a chat of that key may be taken, the best place first."""
        return (self.url,)

    async def aclose(self) -> None:
        """Release connections."""
        await self._http.aclose()

    async def ready(self) -> str | None:
        """None when the server can take calls, else why not; asked once."""
        try:
            answer = await self._http.get("/health", timeout=5.0)
        except httpx.HTTPError as error:
            return f"llama-server at {self._http.base_url} cannot be reached: {error}"
        return None if answer.status_code == 200 else f"llama-server answers {answer.status_code}"

    async def model(self) -> str:
        """Return the served model's alias; asked once: whoever submits a task does not wait for a model."""
        return await self._field("model_alias", "GET", "/props")

    async def facts(self) -> ServerFacts:
        """Return what the server says of itself (/props), asked anew each time: 1 ms, never out of date."""
        props = await self._json("GET", "/props")
        try:
            span = props.get("span_embedding")
            return ServerFacts(
                model=props["model_alias"],
                context_tokens=props["default_generation_settings"]["n_ctx"],
                slots=props["total_slots"],
                span_n_embd=span["n_embd"] if span and span["version"] == SPAN_VERSION else None,
                pools="pooling_per_request" in props,
                from_token=bool(props.get("embedding_from_token")),
            )
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise foreign("/props", error) from error

    async def weights(self) -> Weights:
        """Return what tells the weights it serves from others; asked once."""
        props, listed = await self._json("GET", "/props"), await self._json("GET", "/v1/models")
        try:
            return Weights.of(props, listed)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise foreign("/v1/models", error) from error

    async def model_facts(self, thinking_tags: str = "") -> ModelFacts:
        """Return what the server says of its model, and what its template makes of two conversations.

        A template that refuses one of them (some take no system message) is shown without it.
        """
        props = await self._json("GET", "/props")
        rendered: list[Rendering] = []
        for messages in (ONE_TURN, DIALOGUE):
            with contextlib.suppress(ModelServerError):
                prompt = await self._render(messages, False)
                rendered.append(Rendering(messages=messages, prompt=prompt))
        try:
            return ModelFacts.of(props, tuple(rendered), time.time(), thinking_tags)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise foreign("/props", error) from error

    async def chat_prompt(self, messages: Sequence[Message], *, thinking: bool = False) -> str:
        """Render messages with the model's own chat template, up to where its answer or thinking begins."""
        prompt = await self._render(messages, thinking)
        return self._tags.begun(prompt) if thinking else self._tags.skipped(prompt)

    async def thinking(self) -> ThinkingTags | None:
        """Return the tags of the model's thinking, or None if its template has no thinking mode."""
        probe = [{"role": "user", "content": "?"}]
        plain, thinking = await self._render(probe, False), await self._render(probe, True)
        return self._tags if self._tags.used_by(thinking, plain) else None

    async def _render(self, messages: Sequence[Message], thinking: bool) -> str:
        kwargs = {"enable_thinking": thinking}
        body = {"messages": list(messages), "chat_template_kwargs": kwargs}
        return await self._patiently(self._field, "prompt", "POST", "/apply-template", body)

    async def complete(
        self, request: CompletionRequest, on_tokens: OnTokens | None = None
    ) -> CompletionResult:
        """Draw `request.n` completions, in the order of their index; `on_tokens` hears of their tokens.

        They may be shorter than asked for where the context has no room for more (`finish` is "length").
        Not retryable besides: the time is up, or the prompt leaves too little room in the context.
        """
        work = self._patiently(self._complete, request, on_tokens)
        try:
            return await asyncio.wait_for(work, request.timeout_s)
        except asyncio.TimeoutError as error:
            late = (
                f"llama-server call was given up, and its slot freed, at its {request.timeout_s:g} s timeout"
            )
            raise CallTimeout(late) from error

    async def embed(self, text: str, pooling: Pooling | None = None) -> TextEmbedding:
        """Read a text and return its states in one vector: what there is without span embeddings.

        Only a patched server can be told the `pooling`; any other pools as it was started to (None).
        Not retryable besides: it was started without --embeddings, or the text is longer than its batch.
        """
        if pooling and not (await self._patiently(self.facts)).pools:
            how = "ask without a pooling, or serve with ATLAS's patched llama-server"
            raise ModelServerError(f"this llama-server pools as it was started to: {how}", retryable=False)
        body = {"content": text, "embd_normalize": -1} | ({"pooling": pooling} if pooling else {})
        answer = await self._patiently(self._json, "POST", "/embedding", body)
        try:
            (row,) = answer[0]["embedding"]  # a row for each token where the server does not pool
            return TextEmbedding.of(row, pooling or "server")
        except (ValueError, LookupError, TypeError) as error:
            raise foreign("/embedding", error) from error

    async def _complete(self, request: CompletionRequest, on_tokens: OnTokens | None) -> CompletionResult:
        facts = await self.facts()
        n_embd = facts.span_n_embd if request.embedding else None
        body = _body(request, await self._room(request, facts.context_tokens), n_embd is not None)
        drawing = Drawing(request.n, n_embd)
        try:
            async with aconnect_sse(self._http, "POST", COMPLETION, json=body, headers=ONCE) as source:
                if source.response.status_code != 200:
                    raise _refusal(COMPLETION, source.response.status_code, await source.response.aread())
                async for sse in source.aiter_sse():
                    tokens = drawing.take(sse.data)
                    if tokens and on_tokens:
                        on_tokens(tokens)
        except (httpx.HTTPError, SSEError) as error:
            raise _failure(COMPLETION, error, answered=drawing.tokens > 0) from error
        choices, slot, server_s = drawing.whole()
        return CompletionResult(choices=choices, slot=slot, server_s=server_s, server=self.name)

    async def _room(self, request: CompletionRequest, context: int) -> int:
        """Return how many tokens each completion may have: as asked for, or what the context has room for.

        The context is taken for one that all slots share, as every server that ATLAS starts has it: the
        completions of a call share the prompt's place in it, and what is left.
        """
        wanted, n = request.sampling.max_tokens, request.n
        if len(request.prompt.encode()) + UNSEEN_TOKENS + n * (wanted + request.reserve) <= context:
            return wanted  # a token is one byte at least
        body = {"content": request.prompt, "add_special": True, "parse_special": True}
        answer = await self._json("POST", "/tokenize", body)
        try:
            tokens = len(answer["tokens"])
        except (LookupError, TypeError) as error:
            raise foreign("/tokenize", error) from error
        room = (context - tokens) // n - request.reserve
        if room < (least := min(wanted, LEAST_ROOM)):
            least += request.reserve
            completions = f"{n} completions of {least} tokens" if n > 1 else f"a completion of {least} tokens"
            raise ModelServerError(
                f"the prompt has {tokens} tokens; with {completions} it does not fit into llama-server's "
                f"context of {context}: raise CONTEXT_TOKENS, or shorten the problem",
                retryable=False,
            )
        return min(wanted, room)

    async def _patiently(self, work: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
        """Carry out `work`, again and again while the server is away, for as long as there is patience."""
        return await while_away(self._patience_s)(work, *args, **kwargs)

    async def _field(self, field: str, method: str, path: str, body: object = None) -> str:
        """Return one field of a JSON answer."""
        answer = await self._json(method, path, body)
        try:
            return str(answer[field])
        except (LookupError, TypeError) as error:
            raise foreign(path, error) from error

    async def _json(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON is any
        try:
            answer = await self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise _failure(path, error) from error
        if answer.status_code != 200:
            raise _refusal(path, answer.status_code, answer.content)
        try:
            return answer.json()
        except ValueError as error:
            raise foreign(path, error) from error


def _body(request: CompletionRequest, n_predict: int, embedding: bool) -> dict[str, Any]:
    body: dict[str, Any] = {
        "prompt": request.prompt,
        "n_predict": n_predict,
        "temperature": request.sampling.temperature,
        "top_p": request.sampling.top_p,
        "top_k": request.sampling.top_k,
        "min_p": request.sampling.min_p,
        "seed": request.sampling.seed,
        "n_cmpl": request.n,
        "n_probs": 1,
        "cache_prompt": True,
        "stream": True,
        "return_progress": True,
    }
    if request.stop:
        body["stop"] = list(request.stop)
        # One that is a control token of the model's would not show in its text, and so never be found.
        body["preserved_tokens"] = list(request.stop)
    if request.json_schema is not None:
        body["json_schema"] = request.json_schema
    if embedding:
        body |= {"return_embedding": True, "return_prompt_embedding": True, "embedding_encoding": "float16"}
    return body


def _refusal(path: str, status: int, content: bytes) -> ModelServerError:
    text = f"llama-server {path} answers {status}: {content.decode('utf-8', 'replace')[:500]}"
    if status == 503:
        return ServerAway(text)
    # 500 from a path that only looks at what it is sent would be 500 again; 501: it was not started for this.
    return ModelServerError(text, retryable=status > 501 or (status == 500 and path == COMPLETION))


def _failure(path: str, error: Exception, *, answered: bool = False) -> ModelServerError:
    kind = ServerAway if isinstance(error, LOST) and not answered else ModelServerError
    return kind(f"llama-server {path} failed: {type(error).__name__}: {error}")
