"""`model.json` of a run or a sample pool: the model it was drawn from, so that it can be replayed."""

from __future__ import annotations

from pathlib import Path

from atlas.errors import Conflict, InfrastructureError
from atlas.model_facts import ModelFacts
from benchmark.stored import read, write_atomic

MODEL = "model.json"
# What changes what is drawn. The time of asking, slots, and settings of the stack do not.
SAME = ("model", "chat_template", "context_tokens", "span_n_embd", "build", "quantization")
# What samples of one pool may differ in: another build of llama-server serves the same weights.
OF_THE_SERVER = frozenset({"span_n_embd", "build"})


def save_model_facts(directory: Path, facts: ModelFacts, *, any_build: bool = False) -> None:
    """Note the model of a directory, or see that it is the one it has.

    With `any_build` another build of llama-server may go on with it, also one that gives span embeddings
    where the first gave none; the directory then has the facts of the last.

    Raises:
        Conflict: it is another.
        InfrastructureError: `model.json` cannot be read or written.
    """
    known = read_model_facts(directory)
    if known is not None:
        differ = [name for name in SAME if getattr(known, name) != getattr(facts, name)]
        if not differ:
            return
        if not (any_build and OF_THE_SERVER.issuperset(differ)):
            told = "; ".join(f"{name} was {_told(known, name)}, is {_told(facts, name)}" for name in differ)
            raise Conflict(f"{directory} was drawn from another model server: {told}")
    try:
        write_atomic(directory / MODEL, facts.model_dump_json(indent=1) + "\n")
    except OSError as error:
        raise InfrastructureError(f"cannot write {directory / MODEL}: {error.strerror}") from error


def read_model_facts(directory: Path) -> ModelFacts | None:
    """Return the facts in a directory's `model.json`; None if there is none.

    Raises:
        InfrastructureError: it cannot be read.
    """
    path = directory / MODEL
    return read(ModelFacts, path) if path.exists() else None


def _told(facts: ModelFacts, name: str) -> str:
    return repr(getattr(facts, name))[:60]
