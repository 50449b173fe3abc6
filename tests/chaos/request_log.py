"""What the scripted model server was asked, and when: a file of JSON lines that a kill cannot take back."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Request:
    """One completion asked for. Times are seconds of the machine's clock, as in the journal.

    `end` is None where it was never answered to its last token.
    """

    key: str
    begin: float
    end: float | None = None


def content_key(prompt: str, seed: int, n: int) -> str:
    """Return what tells a model call from any other: the same for a call and its repetition."""
    return hashlib.sha256(json.dumps([prompt, seed, n]).encode()).hexdigest()


class Writer:
    """Appends to the log; each line is with the kernel, and so outlives us, when the method returns."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._count = 0

    def begin(self, key: str) -> str:
        """Note that a request has begun; returns its name."""
        self._count += 1
        name = f"{os.getpid()}-{self._count}"
        self._write({"request": name, "begin": time.time(), "key": key})
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
            requests[fields["request"]] = Request(fields["key"], fields["begin"])
        else:
            requests[fields["request"]].end = fields["end"]
    return list(requests.values())
