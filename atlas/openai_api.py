"""The part of OpenAI's chat API that the gateway speaks, and what it adds: the field `atlas`, both ways.

Requests may hold more than is named here, as OpenAI's clients send; what the gateway writes is all here.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from atlas.api import Status
from atlas.contracts import Contract, Example, Problem
from atlas.evidence import Evidence
from atlas.policy import Part, Policy

PIPELINE = "atlas"


class _Open(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class ChatMessage(_Open):
    """One turn. `content`: text, or a list of parts `{"type": "text", "text": ...}`."""

    role: str
    content: str | list[dict[str, Any]] | None = None


class StreamOptions(_Open):
    """`include_usage`: a last chunk tells the tokens of the whole task."""

    include_usage: bool = False


class AtlasOptions(Contract):
    """What a request may add for the pipeline.

    `examples`, `entry_point` (it makes the problem one of kind `function`) and `starter_code` complete the
    problem that the messages state; `problem` is a whole one, and then the messages are not read.
    """

    problem: Problem | None = None
    examples: tuple[Example, ...] = Field(default=(), max_length=50)
    entry_point: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    starter_code: str = Field(default="", max_length=16_000)
    policy: str | Policy | None = None
    abstain_below: float | None = Field(
        default=None, ge=0, le=1, description="refuse where the confidence is lower; else the policy's"
    )
    deadline_s: float | None = Field(default=None, gt=0, le=86_400)


class ChatRequest(_Open):
    """`POST /v1/chat/completions`. `model`: one of `GET /v1/models`.

    For the pipeline (`atlas`, or `atlas:POLICY`) the policy decides how it samples: temperature, top_p,
    max_tokens, stop, penalties, logit_bias and the like have no effect; `seed` has (modulo 2³¹). Several
    choices, log-probabilities, tools, other formats than text, and images are refused.
    """

    model: str = Field(min_length=1)
    messages: tuple[ChatMessage, ...] = Field(min_length=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    seed: int | None = None
    atlas: AtlasOptions | None = None


class Stage(Contract):
    """What has just happened in the task: its event's number and type.

    `candidate` and how many of its public examples came to which `verdict` where it is about one.
    """

    seq: int
    event: str
    candidate: str | None = None
    verdicts: dict[str, int] = Field(default={})


class AtlasAnswer(Contract):
    """What the gateway adds to an answer: the task (`GET /v1/tasks/{task}`) and why this program was chosen.

    In chunks before the program only `task` and `stage` are set.
    """

    task: str
    stage: Stage | None = None
    status: Status = "running"
    evidence: Evidence | None = None
    missing: tuple[Part, ...] = Field(default=(), description="parts of the policy it ran without")
    late_tokens: int = 0


class CachedTokens(Contract):
    """Prompt tokens that were served from the cache."""

    cached_tokens: int


class ChatUsage(Contract):
    """Tokens of all the task's model calls."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens


class AnswerMessage(Contract):
    """The program in one Markdown code block; `refusal` says why there is none where the task abstained."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: str | None = None


class ChatChoice(Contract):
    """The one choice there is."""

    index: Literal[0] = 0
    message: AnswerMessage
    logprobs: None = None
    finish_reason: Literal["stop"] = "stop"


class ChatCompletion(Contract):
    """The pipeline's answer."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: tuple[ChatChoice]
    usage: ChatUsage
    atlas: AtlasAnswer


class Delta(Contract):
    """What a chunk adds to the message."""

    role: Literal["assistant"] | None = None
    content: str | None = None
    refusal: str | None = None


class ChunkChoice(Contract):
    """The one choice there is."""

    index: Literal[0] = 0
    delta: Delta = Delta()
    logprobs: None = None
    finish_reason: Literal["stop"] | None = None


class ChatChunk(Contract):
    """One server-sent event of a streamed answer."""

    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: tuple[ChunkChoice, ...] = (ChunkChoice(),)
    usage: ChatUsage | None = None
    atlas: AtlasAnswer | None = None


class Model(Contract):
    """A model that can be asked for. `created` is not known, and 0."""

    id: str
    object: Literal["model"] = "model"
    created: int = 0
    owned_by: str


class ModelList(Contract):
    """`GET /v1/models`: the pipeline, the pipeline with each policy, and the model it works with."""

    object: Literal["list"] = "list"
    data: tuple[Model, ...]
