"""A model's chat template rendered here, as its server renders it: jinja2 in a sandbox.

What a template may use beside its messages is what Hugging Face's and llama.cpp's engines give it. Every
model's facts hold what the server itself made of some messages; a template that comes out otherwise here is
refused, not guessed at.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from atlas.errors import AtlasError, InfrastructureError
from atlas.model_facts import ModelFacts

Messages = Sequence[Mapping[str, str]]


class TemplateFailed(AtlasError):
    """The template cannot render these messages (it may say so itself)."""

    title = "Chat template failure"


class ChatTemplate:
    """The template of a model.

    Raises:
        InfrastructureError: it is no template, or it renders what the server rendered otherwise.
    """

    def __init__(self, facts: ModelFacts) -> None:
        self._facts = facts
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, autoescape=False, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise
        environment.globals["strftime_now"] = self._strftime_now
        try:
            self._template = environment.from_string(facts.chat_template)
        except TemplateError as error:
            raise InfrastructureError(
                f"the chat template of {facts.model} cannot be read: {error}"
            ) from error
        self._strips_bos = False
        self._check()

    def render(self, messages: Messages, kwargs: Mapping[str, Any]) -> str:
        """Return the prompt of a conversation that the model is to go on with.

        Raises:
            TemplateFailed: there is none.
        """
        try:
            prompt = self._template.render(
                messages=[dict(message) for message in messages],
                add_generation_prompt=True,
                bos_token=self._facts.bos_token,
                eos_token=self._facts.eos_token,
                **kwargs,
            )
        except (TemplateError, TypeError, ValueError, LookupError, AttributeError) as error:
            raise TemplateFailed(f"the chat template of {self._facts.model} fails: {error}") from error
        return prompt.removeprefix(self._facts.bos_token) if self._strips_bos else prompt

    def _check(self) -> None:
        for probe in self._facts.rendered:
            try:
                here = self.render(probe.messages, {"enable_thinking": False})
            except TemplateFailed as error:
                raise InfrastructureError(str(error)) from error
            if here == probe.prompt:
                continue
            # llama-server takes a leading bos away where its tokenizer adds one by itself.
            if self._facts.bos_token and here == self._facts.bos_token + probe.prompt:
                self._strips_bos = True
                continue
            raise InfrastructureError(
                f"the chat template of {self._facts.model} renders otherwise here than on its llama-server "
                f"({len(here)} and {len(probe.prompt)} characters): it cannot be replayed"
            )

    def _strftime_now(self, form: str) -> str:
        # The day of the record: prompts that name the date are those of the run.
        return datetime.fromtimestamp(self._facts.time).strftime(form)  # noqa: DTZ006 - as llama-server: local


def _to_json(value: object, indent: int | None = None, **_: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise(message: str) -> NoReturn:
    raise TemplateError(message)
