"""Our three images, in K3s's own store, under tags that tell what they were made of.

They are built (or loaded) under the release's version, and tagged once more with a digest of what they are
made of. Pods name the latter: other sources under the same version are then another image, and the pods that
run it are replaced.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from atlas.errors import StartupError
from atlas.k3s import chart
from atlas.k3s.facts import K3S
from atlas.k3s.machine import Machine
from atlas.k3s.steps import Box, Step
from atlas.k3s.values import Values, merged

ARCHIVE = "/var/lib/atlas/images.tar"
STAMP_DIGITS = 12


@dataclass(frozen=True)
class Image:
    """One of ours: `keys` lead to it in the chart's values."""

    repository: str
    file: str
    keys: tuple[str, ...]
    has_gpu: bool = False

    def suffix(self, *, gpu: bool) -> str:
        """Return what follows the version in its tag."""
        return f"-{_base(gpu=gpu)}" if self.has_gpu else ""

    def built(self, version: str, *, gpu: bool) -> str:
        """Return the name that it is built under."""
        return f"{self.repository}:{version}{self.suffix(gpu=gpu)}"

    def said(self, values: Values) -> Values:
        """Return what the values say of it."""
        found: Any = values
        for key in self.keys:
            found = (found or {}).get(key)
        return dict(found or {})


ALL = (
    Image("localhost/atlas", "deploy/images/atlas.Containerfile", ("image",)),
    Image("localhost/atlas-executor", "deploy/images/executor.Containerfile", ("executor", "image")),
    Image(
        "localhost/atlas-llama-server",
        "services/llama-server/Containerfile",
        ("llamaServer", "image"),
        has_gpu=True,
    ),
)


def ours(values: Values) -> list[Image]:
    """Return those that the values leave to be built or loaded here; others come from a registry."""
    return [
        image
        for image in ALL
        if (said := image.said(values)).get("repository", image.repository) == image.repository
        and not said.get("digest")
    ]


def tags(values: Values, version: str, *, archive: Path | None, root: Path = chart.ROOT) -> Values:
    """Return values that name each of ours by what it is made of: its sources, or the archive it is in.

    Raises:
        StartupError: sources, or the archive, cannot be read.
    """
    gpu = chart.uses_gpu(values)
    whole = _digest(_archive(archive)) if archive is not None else ""
    found: Values = {}
    for image in (each for each in ours(values) if not each.said(values).get("tag")):
        stamp = whole or _digest(sources(image.file, root))
        tag: Any = f"{version}{image.suffix(gpu=gpu)}-{stamp}"
        for key in reversed((*image.keys, "tag")):
            tag = {key: tag}
        found = merged(found, tag)
    return found


def sources(containerfile: str, root: Path) -> Iterator[bytes]:
    """Yield names and contents of all that a Containerfile copies, and the Containerfile itself.

    Raises:
        StartupError: something of it is not there.
    """
    text = _read(root / containerfile).decode()
    ignore = root / f"{containerfile}.dockerignore"
    lines = _read(ignore).decode().splitlines() if ignore.is_file() else []
    left_out = tuple(root / line for line in lines if line and not line.startswith(("#", "!", "*")))
    yield text.encode()
    for words in re.findall(r"^COPY (?!--from)(.+)$", text.replace("\\\n", " "), re.MULTILINE):
        *copied, _ = words.split()
        for name in copied:
            yield from _files(root / name, root, left_out)


def _files(path: Path, root: Path, left_out: tuple[Path, ...]) -> Iterator[bytes]:
    below = sorted(path.rglob("*")) if path.is_dir() else [path]
    for each in below:
        if each.is_dir() or "__pycache__" in each.parts or any(each.is_relative_to(out) for out in left_out):
            continue
        yield f"\0{each.relative_to(root).as_posix()}\0".encode()
        yield _read(each)


def _archive(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            while chunk := file.read(2**20):
                yield chunk
    except OSError as error:
        raise StartupError(f"cannot read {path}: {error.strerror}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StartupError(
            f"cannot read {path}, of which an image is made: {error.strerror}; run from a whole checkout, "
            "or load images that are built: --images FILE"
        ) from error


def _digest(pieces: Iterator[bytes]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()[:STAMP_DIGITS]


def _base(*, gpu: bool) -> str:
    return "cuda" if gpu else "cpu"


def step(box: Box) -> Step:
    """Put them into K3s's store, under the names that the pods ask for."""
    machine, builder, gpu = box.machine, box.facts.builder, box.gpu
    images = ours(box.values)
    built = [image.built(box.version, gpu=gpu) for image in images]
    asked = [
        f"{image.repository}:{image.said(box.values).get('tag') or name.partition(':')[2]}"
        for image, name in zip(images, built, strict=True)
    ]

    def do() -> None:
        if box.images is None:
            _build(box, images, built)
        _store(machine, "import", str(box.images or machine.at(ARCHIVE)))
        if box.images is None:
            machine.at(ARCHIVE).unlink(missing_ok=True)
        if absent := set(built) - _held(machine):
            raise StartupError(f"{box.images or 'what was built'} does not hold {', '.join(sorted(absent))}")
        for name, wanted in zip(built, asked, strict=True):
            if wanted != name:
                _store(machine, "tag", "--force", name, wanted)

    how = f"loaded from {box.images}" if box.images else f"built here by {builder}"
    says = f"images {', '.join(asked)}, {how}"
    return Step("images", says, " ".join(asked), lambda: set(asked) <= _held(machine), do)


def _build(box: Box, images: list[Image], names: list[str]) -> None:
    machine, builder = box.machine, box.facts.builder
    machine.at(ARCHIVE).parent.mkdir(parents=True, exist_ok=True)
    machine.at(ARCHIVE).unlink(missing_ok=True)  # podman adds to an archive that is there
    for image, name in zip(images, names, strict=True):
        box.tell(f"  building {name}")
        ignore = chart.ROOT / f"{image.file}.dockerignore"
        extra = ["--ignorefile", str(ignore)] if builder == "podman" and ignore.is_file() else []
        if image.has_gpu:
            extra += ["--build-arg", f"BASE={_base(gpu=box.gpu)}"]
        machine.do(builder, "build", "-f", image.file, *extra, "-t", name, ".", cwd=chart.ROOT)
    several = ["--multi-image-archive"] if builder == "podman" else []
    machine.do(builder, "save", *several, "-o", str(machine.at(ARCHIVE)), *names)


def _store(machine: Machine, *words: str) -> None:
    machine.do(str(machine.at(K3S)), "ctr", "-n", "k8s.io", "images", *words)


def _held(machine: Machine) -> set[str]:
    return set(machine.ask(str(machine.at(K3S)), "ctr", "-n", "k8s.io", "images", "ls", "-q").out.split())
