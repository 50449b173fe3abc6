"""What a model server says of the model it serves: enough to tell two apart, and to speak for it later."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from atlas.contracts import Contract
from atlas.span_embedding import SPAN_VERSION

ONE_TURN = ({"role": "user", "content": "Say what 1 + 1 is."},)
DIALOGUE = (
    {"role": "system", "content": "You are brief.\nVery brief."},
    {"role": "user", "content": "Say what 1 + 1 is."},
    {"role": "assistant", "content": "```python\nprint(2)\n```"},
    {"role": "user", "content": "And as a word?"},
)


class Rendering(Contract):
    """What the server's chat template made of a conversation; the answer follows, without thinking."""

    messages: tuple[dict[str, str], ...]
    prompt: str


class Weights(Contract):
    """What a llama-server tells of the weights it serves: two that serve the same tell the same.

    There is no hash among it: a fine-tune of the same name, size and template is not told apart.
    """

    model: str
    quantization: str = ""
    parameters: int = 0
    bytes: int = 0
    vocabulary: int = 0
    template_sha256: str = ""

    @classmethod
    def of(cls, props: Mapping[str, Any], listed: Mapping[str, Any]) -> Weights:
        """Read /props and /v1/models.

        Raises:
            LookupError, TypeError, ValueError: they are not llama-server's.
        """
        meta = listed["data"][0].get("meta") or {}
        return cls(
            model=props["model_alias"],
            quantization=props.get("model_ftype", ""),
            parameters=meta.get("n_params", 0),
            bytes=meta.get("size", 0),
            vocabulary=meta.get("n_vocab", 0),
            template_sha256=hashlib.sha256(props.get("chat_template", "").encode()).hexdigest(),
        )

    def __str__(self) -> str:
        """Say it in a line."""
        size = f"{self.parameters:,} parameters, {self.bytes:,} bytes"
        return f"{self.model} ({self.quantization}, {size}, template {self.template_sha256[:8]})"


class ModelFacts(Contract):
    """`GET /v1/model`: what llama-server's /props says of its model, and how its template comes out.

    `context_tokens`: the most a slot holds. `span_n_embd`: length of the span embeddings, None if it gives
    none. `thinking_tags`: the setting that the stack reads prompts by. `time`: when it was asked, in seconds
    since 1970.
    """

    model: str
    chat_template: str
    bos_token: str = ""
    eos_token: str = ""
    context_tokens: int = Field(ge=1)
    slots: int = Field(ge=1)
    span_n_embd: int | None = None
    build: str = ""
    quantization: str = ""
    thinking_tags: str = ""
    rendered: tuple[Rendering, ...] = ()
    time: float

    @classmethod
    def of(
        cls, props: Mapping[str, Any], rendered: tuple[Rendering, ...], time: float, thinking_tags: str = ""
    ) -> ModelFacts:
        """Read /props.

        Raises:
            LookupError, TypeError, ValueError: it is not llama-server's.
        """
        span = props.get("span_embedding")
        return cls(
            model=props["model_alias"],
            chat_template=props.get("chat_template", ""),
            bos_token=props.get("bos_token", ""),
            eos_token=props.get("eos_token", ""),
            context_tokens=props["default_generation_settings"]["n_ctx"],
            slots=props["total_slots"],
            span_n_embd=span["n_embd"] if span and span["version"] == SPAN_VERSION else None,
            build=props.get("build_info", ""),
            quantization=props.get("model_ftype", ""),
            thinking_tags=thinking_tags,
            rendered=rendered,
            time=time,
        )

    def props(self, *, span: bool) -> dict[str, Any]:
        """Return /props of a server in its stead; `span`: it gives span embeddings, if this one does."""
        props: dict[str, Any] = {
            "model_alias": self.model,
            "chat_template": self.chat_template,
            "bos_token": self.bos_token,
            "eos_token": self.eos_token,
            "default_generation_settings": {"n_ctx": self.context_tokens},
            "total_slots": self.slots,
            "build_info": self.build,
            "model_ftype": self.quantization,
        }
        if span and self.span_n_embd is not None:
            props["span_embedding"] = {"version": SPAN_VERSION, "n_embd": self.span_n_embd}
        return props
