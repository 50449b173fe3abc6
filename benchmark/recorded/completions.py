"""Completions kept by content: what a model server was asked, and each choice it answered with.

A choice's key is the model, the prompt, how it is drawn, and its schema, but neither the slot (where it is
drawn) nor the call it came in: llama-server gives choice i of a call the call's seed plus i, so choices are
kept one by one and answer calls of any n. What ends a choice is matched, not hashed (`answers`). Token
counts, times and log-probabilities are those of the first drawing, whoever asks.

SQLite in write-ahead mode: a choice is there whole or not at all, whenever the process is killed.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from pydantic import Field, ValidationError

from atlas.contracts import Contract, LogprobSummary, SamplingParams
from atlas.errors import BadInput, InfrastructureError
from atlas.events import Choice
from atlas.llama_stream import summarise

SEEDS = 2**32
# Of a body of /completion: what decides the text, and what does not. Anything else is part of the key.
SAMPLING = ("temperature", "top_p", "top_k", "min_p", "seed")
READ = (*SAMPLING, "prompt", "n_predict", "n_cmpl", "stop", "json_schema", "return_embedding")
IGNORED = (
    *("n_probs", "cache_prompt", "stream", "return_progress", "preserved_tokens", "id_slot"),
    *("return_prompt_embedding", "embedding_encoding"),
)
SCHEMA = """
CREATE TABLE IF NOT EXISTS completions (
    key TEXT NOT NULL, seed INTEGER NOT NULL, prompt TEXT NOT NULL, tokens_in INTEGER NOT NULL,
    body TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS completions_by_key ON completions (key, seed);
CREATE INDEX IF NOT EXISTS completions_by_prompt ON completions (prompt);
"""


class Row(NamedTuple):
    """A choice as it is kept: hashes of what it answers and of its prompt, never the prompt itself."""

    key: str
    seed: int
    prompt: str
    tokens_in: int
    recorded: Recorded


class Call(Contract):
    """A call of /completion, as far as its content goes. `stop` is None where the source does not say."""

    model: str
    prompt: str
    sampling: SamplingParams
    n: int = Field(default=1, ge=1, le=64)
    stop: tuple[str, ...] | None = ()
    schema_sha256: str | None = None
    embedding: bool = False
    extra: str = ""

    @classmethod
    def of(cls, body: dict[str, Any], model: str) -> Call:
        """Read a body of /completion.

        Raises:
            BadInput: it is none that LlamaClient sends.
        """
        schema = body.get("json_schema")
        extra = {key: value for key, value in body.items() if key not in READ and key not in IGNORED}
        try:
            drawn = {name: body[name] for name in SAMPLING} | {"max_tokens": body["n_predict"]}
            return cls(
                model=model,
                prompt=body["prompt"],
                sampling=SamplingParams.model_validate(drawn),
                n=body.get("n_cmpl", 1),
                stop=tuple(body.get("stop", ())),
                schema_sha256=sha256(json.dumps(schema, sort_keys=True)) if schema else None,
                embedding=bool(body.get("return_embedding")),
                extra=json.dumps(extra, sort_keys=True) if extra else "",
            )
        except (LookupError, TypeError, ValidationError) as error:
            raise BadInput(f"not a call of /completion that can be recorded: {error!r}"[:500]) from error

    @property
    def key(self) -> str:
        """What all choices that could answer it have in common."""
        drawn = self.sampling
        content = [self.model, self.prompt, self.schema_sha256, self.extra]
        return sha256(json.dumps([*content, drawn.temperature, drawn.top_p, drawn.top_k, drawn.min_p]))

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seed of each choice."""
        return tuple((self.sampling.seed + i) % SEEDS for i in range(self.n))

    @property
    def greedy(self) -> bool:
        """Whether the seed decides nothing."""
        return self.sampling.temperature == 0

    def told(self) -> str:
        """Say which call this is, shortly."""
        drawn = self.sampling
        end = json.dumps(self.prompt[-60:], ensure_ascii=False)
        return (
            f"{self.n} completions of at most {drawn.max_tokens} tokens, temperature "
            f"{drawn.temperature:g}, seed {drawn.seed}, of prompt {sha256(self.prompt)[:12]} (ends {end})"
        )


class Piece(NamedTuple):
    """A streamed part of a choice: tokens drawn by its end, its text, its tokens' log-probabilities."""

    tokens: int
    text: str
    logprobs: tuple[float, ...]


class Recorded(Contract):
    """One choice as it was first drawn.

    `asked`: the most tokens it could have had. `stop`: the stop strings it was drawn with, None where the
    record does not say. `pieces` are there where the server itself was heard, so that it can be cut shorter
    exactly; of a journal's choice there is only the whole. Seconds are llama-server's own.
    """

    choice: Choice
    asked: int
    stop: tuple[str, ...] | None
    slot: int | None = None
    prompt_s: float = Field(default=0.0, ge=0)
    predicted_s: float = Field(default=0.0, ge=0)
    pieces: tuple[Piece, ...] | None = None

    def answer(self, call: Call) -> Recorded | None:
        """Return what the call would have given, if this tells: itself, or its beginning."""
        if not self._stops_as(call):
            return None
        tokens, most = self.choice.usage.tokens_out, call.sampling.max_tokens
        if call.embedding and self.choice.span is None and tokens:
            return None
        if self.choice.finish == "stop" and tokens <= most:
            return self
        if self.choice.finish == "length" and most == self.asked:
            return self
        return self._cut(call)

    def without_span(self) -> Recorded:
        """Return it without its span embedding."""
        return self.model_copy(update={"choice": self.choice.model_copy(update={"span": None})})

    def _stops_as(self, call: Call) -> bool:
        if self.stop is not None and call.stop is not None:
            return self.stop == call.stop
        stops = call.stop or ()
        found = any(stop in self.choice.text for stop in stops)
        return not found and (self.choice.stopped_by is None or self.choice.stopped_by in stops)

    def _cut(self, call: Call) -> Recorded | None:
        """Return the first tokens alone, where nothing but their number ends them."""
        usage, most = self.choice.usage, call.sampling.max_tokens
        if self.pieces is None or call.stop or call.embedding or usage.tokens_drafted:
            return None
        if most >= usage.tokens_out:
            return None
        kept = tuple(piece for piece in self.pieces if piece.tokens <= most)
        choice = Choice(
            text="".join(piece.text for piece in kept),
            usage=usage.model_copy(update={"tokens_out": most}),
            finish="length",
            logprob=summarise([value for piece in kept for value in piece.logprobs]),
        )
        share = {"predicted_s": self.predicted_s * most / usage.tokens_out}
        return self.model_copy(update={"choice": choice, "asked": most, "pieces": kept, **share})

    @property
    def logprobs(self) -> tuple[float, ...]:
        """Its tokens' log-probabilities; of a journal's choice some that are summarised as its own are."""
        if self.pieces is not None:
            return tuple(value for piece in self.pieces for value in piece.logprobs)
        summary = self.choice.logprob
        return spread(summary, self.choice.usage.tokens_out) if summary else ()


class CompletionStore:
    """The completions of one file; of this process alone if there is none.

    One thread uses it. Whoever else has the file open at the same time sees what it commits.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Open it, making it if it is new.

        Raises:
            InfrastructureError: the file cannot be opened, or is something else.
        """
        try:
            self._database = sqlite3.connect(path or ":memory:", isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.executescript(SCHEMA)
        except sqlite3.Error as error:
            raise InfrastructureError(f"cannot open the completions in {path}: {error}") from error

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def __len__(self) -> int:
        count: int = self._database.execute("SELECT COUNT(*) FROM completions").fetchone()[0]
        return count

    def find(self, call: Call, seed: int) -> Recorded | None:
        """Return the choice of this seed, if it is there; where no seed matters any, its own first."""
        which = "" if call.greedy else "AND seed = :seed"
        rows = self._database.execute(
            f"SELECT body FROM completions WHERE key = :key {which} ORDER BY seed != :seed, rowid",  # noqa: S608
            {"key": call.key, "seed": seed},
        )
        for (body,) in rows:
            if found := Recorded.model_validate_json(body).answer(call):
                return found
        return None

    def add(self, call: Call, choices: dict[int, Recorded]) -> None:
        """Keep choices by seed, all or none; what is there already stays as it is.

        Raises:
            InfrastructureError: the file cannot be written.
        """
        try:
            with self._database:
                self._database.execute("BEGIN IMMEDIATE")
                for seed, recorded in choices.items():
                    if not self._has(call, seed, recorded):
                        self._insert(call, seed, recorded)
        except sqlite3.Error as error:
            raise InfrastructureError(f"a completion cannot be recorded: {error}") from error

    def add_span(self, call: Call, seed: int, recorded: Recorded) -> None:
        """Keep a choice's span embedding beside it; the rest of it is there already.

        Raises:
            InfrastructureError: the file cannot be written.
        """
        bare, body = recorded.without_span(), recorded.model_dump_json()
        try:
            for row, found in self._of_seed(call.key, seed):
                if found == bare:
                    self._database.execute("UPDATE completions SET body = ? WHERE rowid = ?", (body, row))
        except sqlite3.Error as error:
            raise InfrastructureError(f"a span embedding cannot be recorded: {error}") from error

    def tokens_in(self, prompt: str) -> int | None:
        """Return how many tokens a prompt has, if anything was ever drawn from it."""
        row = self._database.execute(
            "SELECT tokens_in FROM completions WHERE prompt = ? LIMIT 1", (sha256(prompt),)
        ).fetchone()
        return int(row[0]) if row else None

    def has_spans(self) -> bool:
        """Whether choices bring their span embeddings."""
        rows = self._database.execute(
            'SELECT body FROM completions WHERE body LIKE \'%"kind":"span"%\' LIMIT 1'
        )
        return rows.fetchone() is not None

    def rows(self) -> Iterator[Row]:
        """Yield everything, by prompt and key, what was drawn first first: one moment's state of the file."""
        rows = self._database.execute("SELECT * FROM completions ORDER BY prompt, key, rowid")
        for key, seed, prompt, tokens_in, body in rows:
            yield Row(key, seed, prompt, tokens_in, Recorded.model_validate_json(body))

    def put(self, rows: Iterable[Row]) -> int:
        """Keep rows of another store, all or none; return how many were not there already.

        Raises:
            InfrastructureError: the file cannot be written.
        """
        new = 0
        try:
            with self._database:
                self._database.execute("BEGIN IMMEDIATE")
                for row in rows:
                    if self._has_row(row):
                        continue
                    values = (*row[:-1], row.recorded.model_dump_json())
                    self._database.execute("INSERT INTO completions VALUES (?, ?, ?, ?, ?)", values)
                    new += 1
        except sqlite3.Error as error:
            raise InfrastructureError(f"completions cannot be put back: {error}") from error
        return new

    def _has_row(self, row: Row) -> bool:
        """Whether this choice is there, with or without its pieces; with its span, if it has one."""
        bare, span = _bare(row.recorded), row.recorded.choice.span
        found = (each for _, each in self._of_seed(row.key, row.seed))
        return any(_bare(each) == bare and span in (None, each.choice.span) for each in found)

    def _has(self, call: Call, seed: int, recorded: Recorded) -> bool:
        asked = call.sampling.model_copy(update={"max_tokens": recorded.asked})
        same = call.model_copy(update={"sampling": asked, "stop": recorded.stop})
        return any(each.answer(same) for _, each in self._of_seed(call.key, seed))

    def _of_seed(self, key: str, seed: int) -> list[tuple[int, Recorded]]:
        """Return what was recorded of one seed, by the number of its row."""
        rows = self._database.execute(
            "SELECT rowid, body FROM completions WHERE key = ? AND seed = ?", (key, seed)
        )
        return [(row, Recorded.model_validate_json(body)) for row, body in rows]

    def _insert(self, call: Call, seed: int, recorded: Recorded) -> None:
        tokens_in = recorded.choice.usage.tokens_in
        row = (call.key, seed, sha256(call.prompt), tokens_in, recorded.model_dump_json())
        self._database.execute("INSERT INTO completions VALUES (?, ?, ?, ?, ?)", row)


def _bare(recorded: Recorded) -> Recorded:
    return recorded.without_span().model_copy(update={"pieces": None})


class Records(Protocol):
    """What answers calls: a store, or several."""

    def find(self, call: Call, seed: int) -> Recorded | None:
        """Return the choice of this seed, if it is there."""

    def tokens_in(self, prompt: str) -> int | None:
        """Return how many tokens a prompt has, if it is known."""

    def has_spans(self) -> bool:
        """Whether choices bring their span embeddings."""


class Several:
    """Stores of one model: what the first does not have is looked for in the next."""

    def __init__(self, stores: Sequence[Records]) -> None:
        self._stores = tuple(stores)

    def find(self, call: Call, seed: int) -> Recorded | None:
        """Return the choice of this seed, if one of them has it."""
        return next((found for store in self._stores if (found := store.find(call, seed))), None)

    def tokens_in(self, prompt: str) -> int | None:
        """Return how many tokens a prompt has, if one of them knows."""
        return next((n for store in self._stores if (n := store.tokens_in(prompt)) is not None), None)

    def has_spans(self) -> bool:
        """Whether choices of one of them bring their span embeddings."""
        return any(store.has_spans() for store in self._stores)


def spread(summary: LogprobSummary, tokens: int) -> tuple[float, ...]:
    """Return `tokens` log-probabilities that have this summary; its mean exactly, if any can.

    The lowest tenth is the minimum and equal others, the rest is equal but for the last, which takes up the
    rounding. The mean decides between programs (`services/lens/selection.py`); the others are within 1e-9.
    """
    n = max(1, tokens)
    k = max(1, n // 10)
    values = [summary.minimum]
    if k > 1:
        values += [min(0.0, (k * summary.lowest_decile - summary.minimum) / (k - 1))] * (k - 1)
    if n == len(values):
        return (summary.mean,)
    rest = (n * summary.mean - sum(values)) / (n - len(values))
    values += [min(0.0, rest)] * (n - len(values))
    for _ in range(60):
        off = summary.mean - sum(values) / n
        if off == 0:
            break
        values[-1] = min(0.0, values[-1] + n * off)
    return tuple(values)


def sha256(text: str) -> str:
    """Return the hash of a text, in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
