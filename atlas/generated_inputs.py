"""Inputs that nobody knows an answer to, and what programs made of them.

They come from the model, from a generator program it wrote, or from a public example varied; a validator
program, also its work, may have refused some. What programs give on them is compared among programs, never
with an expected output: there is none.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from atlas.contracts import MAX_CODE_CHARS, Contract
from atlas.executor import RunStatus

MAX_INPUTS = 64
MAX_INPUT_CHARS = 4_000
# Of a round's inputs together, so that the event that holds them stays below 64 kB.
MAX_ROUND_CHARS = 40_000
# Of one output: 64 of them fit in an event. Longer ones are compared by their hash.
OUTPUT_KEPT_CHARS = 512

InputOrigin = Literal["model", "generator", "mutation", "distinguishing"]
# What became of the validator program: none was written (or it does not run), it refuses a public example,
# there was no example to check it on, or it accepts them all.
Validation = Literal["none", "refuted", "unchecked", "checked"]


class GeneratedInput(Contract):
    """An input in the form of `atlas.contracts.Example.input`, and where it came from."""

    text: str = Field(max_length=MAX_INPUT_CHARS)
    origin: InputOrigin


class WrittenInputs(Contract):
    """What the model wrote for a round: inputs, a generator program and a validator program.

    `texts` are in the form of `Example.input`. `generator` defines `generate(seed)`, which returns the list
    of a function's arguments, or the text of a stdin problem's input; `validator` defines `is_valid` of the
    same arguments, or of that text, which returns true or false.
    """

    texts: tuple[str, ...] = Field(default=(), max_length=MAX_INPUTS)
    generator: str | None = Field(default=None, max_length=MAX_CODE_CHARS)
    validator: str | None = Field(default=None, max_length=MAX_CODE_CHARS)


class ProbedRun(Contract):
    """What a program gave on one generated input. `output` is cut to 512 characters, its hash is not."""

    status: RunStatus
    output: str = Field(default="", max_length=OUTPUT_KEPT_CHARS)
    output_sha256: str = ""

    @property
    def whole(self) -> bool:
        """Whether the output is all there."""
        return len(self.output) < OUTPUT_KEPT_CHARS
