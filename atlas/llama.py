"""Client of llama.cpp's server: whole completions with their token counts and log-probabilities.

Completions are streamed even though only the whole is returned: closing the stream frees the server's slot
within a tenth of a second, so a cancelled command stops costing at once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import httpx
from httpx_sse import SSEError, aconnect_sse

from atlas.contracts import Contract, LogprobSummary, SamplingParams, Usage
from atlas.errors import ModelServerError
from atlas.events import Choice
from atlas.thinking import USUAL_TAGS, ThinkingTags

LOGPROB_FLOOR = -100.0  # the server reports -inf for tokens a sampler forced; a mean needs a number
# llama-server closes a connection after it has streamed over it, and does not say so.
ONCE = {"connection": "close"}
Message = Mapping[str, str]
OnTokens = Callable[[int], None]


class CompletionRequest(Contract):
    """One call: `n` completions of one prompt, optionally held to a JSON schema by the server's grammar.

    A completion ends before the first of the `stop` strings; `Choice.stopped_by` says which.
    """

    prompt: str
    sampling: SamplingParams
    n: int = 1
    stop: tuple[str, ...] = ()
    json_schema: dict[str, Any] | None = None
    slot: int | None = None


class CompletionResult(Contract):
    """The completions, the slot that holds their prefix now, and the server's own seconds for the call."""

    choices: tuple[Choice, ...]
    slot: int | None
    server_s: float


class ModelServer(Protocol):
    """What the services need of a model server; `LlamaClient` and `FakeModelServer` are the two."""

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

    async def aclose(self) -> None:
        """Release connections."""


class LlamaClient:
    """Speaks to one llama-server.

    Every method raises ModelServerError: retryable while the server is away, loading or broken off; not
    retryable when it refused the request (4xx) or answers what no llama-server would.
    """

    def __init__(
        self, base_url: str, *, idle_timeout_s: float = 600.0, tags: ThinkingTags = USUAL_TAGS
    ) -> None:
        timeout = httpx.Timeout(idle_timeout_s, connect=5.0)
        # llama-server closes idle connections after 5 s; reusing one just then fails ("disconnected").
        limits = httpx.Limits(keepalive_expiry=2.0)
        self._http = httpx.AsyncClient(base_url=base_url, timeout=timeout, limits=limits, trust_env=False)
        self._tags = tags

    async def aclose(self) -> None:
        """Release connections."""
        await self._http.aclose()

    async def ready(self) -> str | None:
        """None when the server can take calls, else why not."""
        try:
            answer = await self._http.get("/health", timeout=5.0)
        except httpx.HTTPError as error:
            return f"llama-server at {self._http.base_url} cannot be reached: {error}"
        return None if answer.status_code == 200 else f"llama-server answers {answer.status_code}"

    async def model(self) -> str:
        """Return the served model's alias."""
        return await self._ask("model_alias", "GET", "/props")

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
        return await self._ask("prompt", "POST", "/apply-template", body)

    async def complete(
        self, request: CompletionRequest, on_tokens: OnTokens | None = None
    ) -> CompletionResult:
        """Draw `request.n` completions, in the order of their index."""
        drawn = [_Drawn() for _ in range(request.n)]
        try:
            async with aconnect_sse(
                self._http, "POST", "/completion", json=_body(request), headers=ONCE
            ) as source:
                if source.response.status_code != 200:
                    raise _refusal(source.response.status_code, await source.response.aread())
                async for sse in source.aiter_sse():
                    tokens = _take(drawn, sse.data)
                    if on_tokens:
                        on_tokens(tokens)
        except (httpx.HTTPError, SSEError) as error:
            raise ModelServerError(f"llama-server call failed: {type(error).__name__}: {error}") from error
        if unfinished := [i for i, d in enumerate(drawn) if d.last is None]:
            raise ModelServerError(f"llama-server ended the stream before choices {unfinished} were whole")
        try:
            return CompletionResult(
                choices=tuple(d.choice() for d in drawn),
                slot=drawn[0].last["id_slot"] if drawn[0].last else None,
                server_s=max(d.seconds for d in drawn),
            )
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise _foreign("/completion", error) from error

    async def _ask(self, field: str, method: str, path: str, body: object = None) -> str:
        """Return one field of a JSON answer."""
        try:
            answer = await self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise ModelServerError(f"llama-server {path} failed: {type(error).__name__}: {error}") from error
        if answer.status_code != 200:
            raise _refusal(answer.status_code, answer.content)
        try:
            return str(answer.json()[field])
        except (ValueError, LookupError, TypeError) as error:
            raise _foreign(path, error) from error


class _Drawn:
    """One completion as it arrives."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.logprobs: list[float] = []
        self.tokens = 0
        self.last: dict[str, Any] | None = None

    def take(self, chunk: dict[str, Any]) -> None:
        self.parts.append(chunk["content"])
        self.tokens = chunk["tokens_predicted"]
        for token in chunk.get("completion_probabilities", ()):
            logprob = token["logprob"]
            known = logprob is not None and math.isfinite(logprob)
            self.logprobs.append(max(LOGPROB_FLOOR, min(0.0, logprob)) if known else LOGPROB_FLOOR)
        if chunk["stop"]:
            self.last = chunk

    @property
    def seconds(self) -> float:
        timings = self.last["timings"] if self.last else {}
        return float(timings.get("prompt_ms", 0.0) + timings.get("predicted_ms", 0.0)) / 1000

    def choice(self) -> Choice:
        last = self.last or {}
        return Choice(
            text="".join(self.parts),
            usage=Usage(
                tokens_in=last["tokens_evaluated"],
                tokens_out=last["tokens_predicted"],
                tokens_cached=last["timings"]["cache_n"],
            ),
            finish="length" if last["stop_type"] == "limit" else "stop",
            stopped_by=last.get("stopping_word") or None,
            logprob=summarise(self.logprobs),
        )


def _take(drawn: Sequence[_Drawn], data: str) -> int:
    """Add a streamed chunk to its completion; return how many tokens it brought."""
    try:
        chunk = json.loads(data)
        if error := chunk.get("error"):
            code = error.get("code", 500) if isinstance(error, dict) else 500
            raise ModelServerError(f"llama-server broke off: {error}", retryable=code >= 500)
        completion: _Drawn = drawn[chunk["index"]]
        before = completion.tokens
        completion.take(chunk)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _foreign("/completion", error) from error
    return completion.tokens - before


def summarise(logprobs: Sequence[float]) -> LogprobSummary | None:
    """Return mean, minimum and mean of the lowest tenth (at least one) of token log-probabilities."""
    if not logprobs:
        return None
    lowest = sorted(logprobs)[: max(1, len(logprobs) // 10)]
    mean = sum(logprobs) / len(logprobs)
    return LogprobSummary(mean=mean, minimum=lowest[0], lowest_decile=sum(lowest) / len(lowest))


def _body(request: CompletionRequest) -> dict[str, Any]:
    body: dict[str, Any] = {
        "prompt": request.prompt,
        "n_predict": request.sampling.max_tokens,
        "temperature": request.sampling.temperature,
        "top_p": request.sampling.top_p,
        "top_k": request.sampling.top_k,
        "min_p": request.sampling.min_p,
        "seed": request.sampling.seed,
        "n_cmpl": request.n,
        "n_probs": 1,
        "cache_prompt": True,
        "stream": True,
    }
    if request.stop:
        body["stop"] = list(request.stop)
        # One that is a control token of the model's would not show in its text, and so never be found.
        body["preserved_tokens"] = list(request.stop)
    if request.slot is not None:
        body["id_slot"] = request.slot
    if request.json_schema is not None:
        body["json_schema"] = request.json_schema
    return body


def _refusal(status: int, content: bytes) -> ModelServerError:
    text = content.decode("utf-8", "replace")[:500]
    return ModelServerError(f"llama-server answers {status}: {text}", retryable=status >= 500)


def _foreign(path: str, error: Exception) -> ModelServerError:
    what = f"{type(error).__name__}: {error}"[:200]
    return ModelServerError(f"{path} answers what no llama-server would: {what}", retryable=False)
