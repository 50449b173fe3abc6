"""The images of the chart, built by podman on a base that mmdebstrap makes: no registry is asked."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from atlas.errors import StartupError
from tests.cluster.scratch import REPO, Scratch, key_of

BASE = "localhost/debian:12-slim"
SUITE = "bookworm"
VERSION = "0.1.0"  # Chart.yaml's appVersion, which is the default tag
PAUSE = "localhost/pause:1"
Volume = tuple[str, str]  # path here, path there
CERTIFICATES = "/run/build/ca.crt"
PROGRAMS = {"podman": "podman", "mmdebstrap": "mmdebstrap"}


@dataclass(frozen=True)
class Image:
    """An image: its name, its Containerfile, what the base is called in that, and what it is made of."""

    tag: str
    containerfile: str
    base: tuple[str, ...]
    sources: tuple[str, ...]


ALL = {
    "atlas": Image(
        f"localhost/atlas:{VERSION}",
        "deploy/images/atlas.Containerfile",
        ("BASE_IMAGE",),
        ("atlas", "benchmark", "services", "constraints.txt", "pyproject.toml", "deploy/images"),
    ),
    "atlas-executor": Image(
        f"localhost/atlas-executor:{VERSION}",
        "deploy/images/executor.Containerfile",
        ("BASE_IMAGE",),
        ("atlas", "services/sandbox", "constraints.txt", "deploy/images"),
    ),
    "atlas-llama-server": Image(
        f"localhost/atlas-llama-server:{VERSION}-cpu",
        "services/llama-server/Containerfile",
        ("BUILD_IMAGE", "RUNTIME_IMAGE"),
        ("atlas", "services/llama-server", "constraints.txt"),
    ),
    "redis": Image(
        "localhost/redis:7",
        "tests/cluster/redis.Containerfile",
        ("BASE_IMAGE",),
        ("tests/cluster/redis.Containerfile",),
    ),
    "pause": Image(PAUSE, "tests/cluster/pause.Containerfile", ("BASE_IMAGE",), ("tests/cluster/pause.c",)),
}


class Images:
    """Builds images into a storage of its own, below the scratch directory."""

    def __init__(self, scratch: Scratch) -> None:
        self._scratch = scratch
        self._podman = [
            "podman",
            f"--root={scratch.directory('podman', 'root')}",
            f"--runroot={scratch.directory('podman', 'run')}",
            "--events-backend=file",
        ]

    def base(self) -> None:
        """Make a Debian root with the machine's own apt sources, and import it as the base image.

        Raises:
            StartupError: from `Scratch.run`.
        """
        root = self._scratch.path("images", "base.tar")
        sources = apt_sources()
        self._scratch.run(["mmdebstrap", "--variant=minbase", SUITE, root, *sources], name="base")
        self._scratch.run([*self._podman, "import", root, BASE], name="base")
        root.unlink()

    def build(self, llama_server: Path | None) -> None:
        """Build what has changed, into archives.

        `llama_server` is the directory of a finished build of llama-server; without it, it is compiled in the
        image, which takes ten minutes of two cores.

        Raises:
            StartupError: an image could not be built.
        """
        finished = [] if llama_server is None else [(str(llama_server.resolve()), "/finished")]
        for name, image in ALL.items():
            self._one(name, image, finished if name == "atlas-llama-server" else [])

    def size_mb(self, image: str) -> float:
        """Return an image's size, uncompressed, in 10^6 bytes."""
        command = [*self._podman, "image", "inspect", image]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return float(json.loads(told)[0]["Size"]) / 1e6

    def _one(self, name: str, image: Image, mounted: list[Volume]) -> None:
        containerfile = REPO / image.containerfile
        arguments = dict.fromkeys(image.base, BASE)
        # So that no layer with another build of it is taken from podman's cache.
        for source, _ in mounted:
            arguments["FINISHED"] = Path(source).name
        paths = [containerfile, *(REPO / source for source in image.sources)]
        key = key_of(paths, json.dumps(arguments), *(source for source, _ in mounted))

        def make() -> None:
            ignore = containerfile.with_name(f"{containerfile.name}.dockerignore")
            volumes = [*pip_volumes(self._scratch), *mounted]
            self._scratch.run(
                [
                    *self._podman,
                    "build",
                    "--isolation=chroot",
                    "--network=host",
                    "--layers",
                    f"--file={containerfile}",
                    f"--tag={image.tag}",
                    *([f"--ignorefile={ignore}"] if ignore.exists() else []),
                    *(f"--build-arg={word}={value}" for word, value in arguments.items()),
                    *(f"--volume={source}:{target}:ro" for source, target in volumes),
                    REPO,
                ],
                name=f"image-{name}",
            )
            archive = archive_of(self._scratch, name)
            archive.unlink(missing_ok=True)
            command = [*self._podman, "save", "--format=docker-archive", f"--output={archive}", image.tag]
            self._scratch.run(command, name=f"image-{name}")
            self._scratch.say(f"{image.tag}: {self.size_mb(image.tag):.0f} MB")

        self._scratch.once(f"image {name}", key, make)


def archive_of(scratch: Scratch, name: str) -> Path:
    return scratch.path("images", f"{name}.tar")


def apt_sources() -> list[Path]:
    """Return the files that say where this machine's own packages are from.

    Raises:
        StartupError: it has none, so it is no Debian.
    """
    folder = Path("/etc/apt")
    found = [folder / "sources.list", folder / "sources.list.d" / "debian.sources"]
    found = [path for path in found if path.exists() and path.stat().st_size]
    if not found:
        raise StartupError("neither /etc/apt/sources.list nor debian.sources is there: this needs a Debian")
    return found


def pip_volumes(scratch: Scratch) -> list[Volume]:
    """Return what of pip's configuration a build must see, as (path here, path there), and write it.

    Settings of the machine, the user and the environment become /etc/pip.conf there. Directories they name
    are mounted where they are; certificates elsewhere, since installing ca-certificates replaces those.
    """
    command = [sys.executable, "-m", "pip", "config", "list"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    settings: dict[str, str] = {}
    for line in told.splitlines():
        word, _, value = line.partition("=")
        settings[word.rpartition(".")[2]] = value.strip("'\"")
    volumes = []
    if "cert" in settings:
        volumes.append((settings["cert"], CERTIFICATES))
        settings["cert"] = CERTIFICATES
    for value in settings.values():
        paths = [Path(found) for found in re.findall(r"(?:file://|(?<!\S))(/[^\s:]+)", value)]
        for path in paths:
            if path.exists():
                top = str(path.parent if path.name == "simple" else path)
                volumes.append((top, top))
    file = scratch.path("images", "pip.conf")
    lines = [f"{word} = {value}\n" for word, value in sorted(settings.items())]
    file.write_text("[global]\n" + "".join(lines), encoding="utf-8")
    return [(str(file), "/etc/pip.conf"), *dict.fromkeys(volumes)]
