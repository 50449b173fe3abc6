"""What the scripted model server was asked, and when: a file of JSON lines that a kill cannot take back."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Request:
    """One completion asked for. Times are seconds of the machine's clock, as in the journal.

    `end` is None where it was never answered to its last token. `choices` are the names of its samples.
    """

    key: str
    begin: float
    end: float | None = None
    choices: tuple[str, ...] = ()


def content_key(prompt: str, seed: int, n: int) -> str:
    """Return what tells a model call from any other: the same for a call and its repetition."""
    return hashlib.sha256(json.dumps([prompt, seed, n]).encode()).hexdigest()


def choice_name(prompt_sha256: str, seed: int) -> str:
    """Return what tells a sample from any other, in whatever call it is drawn."""
    return f"{prompt_sha256}-{seed}"


def choice_names(prompt: str, seed: int, n: int) -> list[str]:
    """Return the names of a call's samples."""
    digest = hashlib.sha256(prompt.encode()).hexdigest()
    return [choice_name(digest, seed + i) for i in range(n)]


class Writer:
    """Appends to the log; each line is with the kernel, and so outlives us, when the method returns."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._count = 0

    def begin(self, key: str, choices: Sequence[str] = ()) -> str:
        """Note that a request for these samples has begun; returns its name."""
        self._count += 1
        name = f"{os.getpid()}-{self._count}"
        self._write({"request": name, "begin": time.time(), "key": key, "choices": choices})
        return name

    def end(self, name: str) -> None:
        """Note that it was answered to its last token."""
        self._write({"request": name, "end": time.time()})

    def _write(self, line: dict[str, object]) -> None:
        os.write(self._fd, json.dumps(line).encode() + b"\n")


def read(path: Path) -> list[Request]:
    """Return all requests so far, in the order in which they began."""
    requests: dict[str, Request] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        fields = json.loads(line)
        if "begin" in fields:
            choices = tuple(fields["choices"])
            requests[fields["request"]] = Request(fields["key"], fields["begin"], choices=choices)
        else:
            requests[fields["request"]].end = fields["end"]
    return list(requests.values())
