"""`recording.json` beside a sample pool: what is drawn into it, so that only the same is gone on with."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from atlas.contracts import Contract
from atlas.errors import Conflict, InfrastructureError
from benchmark.stored import read, write_atomic

RECORDING = "recording.json"
# The label names files, which may have moved; the tasks themselves are told by their hash.
TOLD_ONLY = ("version", "dataset")


class Recording(Contract):
    """What a pool's samples are drawn from and how, policies aside.

    `dataset` is the tasks' label; `dataset_sha256` the hash of their content and `ids_sha256` that of their
    ids. `model_sha256` is that of the model's file, "" where a model server elsewhere did not tell. `k` and
    what follows is a deep pool's: None in the pool of an ablation, whose conditions differ in them.
    """

    version: Literal[1] = 1
    dataset: str
    dataset_sha256: str
    ids_sha256: str
    tasks: int
    model: str
    model_sha256: str
    k: int | None = None
    seed: int | None = None
    temperature: float | None = None
    max_tokens: int | None = None


def save_recording(directory: Path, recording: Recording) -> None:
    """Note what a sample pool is drawn from, or see that it is the same as before.

    Raises:
        Conflict: it is another; names what differs.
        InfrastructureError: `recording.json` cannot be read or written.
    """
    known = read_recording(directory)
    if known is None:
        try:
            directory.mkdir(parents=True, exist_ok=True)
            write_atomic(directory / RECORDING, recording.model_dump_json(indent=1) + "\n")
        except OSError as error:
            raise InfrastructureError(f"cannot write {directory / RECORDING}: {error.strerror}") from error
        return
    differ = [
        f"{name} was {getattr(known, name)!r}, is {getattr(recording, name)!r}"
        for name in Recording.model_fields
        if name not in TOLD_ONLY and getattr(known, name) != getattr(recording, name)
    ]
    if differ:
        raise Conflict(f"the samples in {directory} are of another recording: {'; '.join(differ)}")


def read_recording(directory: Path) -> Recording | None:
    """Return what a sample pool is drawn from; None if it does not say.

    Raises:
        InfrastructureError: `recording.json` cannot be read.
    """
    path = directory / RECORDING
    return read(Recording, path) if path.exists() else None
