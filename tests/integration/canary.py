"""Looking for a secret in bytes however they are dressed: plain, escaped, base64, hex, compressed, nested."""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Iterator

_BASE64_RUN = re.compile(rb"[A-Za-z0-9+/_-]{16,}={0,2}")
_HEX_RUN = re.compile(rb"[0-9a-fA-F]{16,}")
_STREAMS = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda", b"\x1f\x8b\x08")
DEPTH = 3


def contains(haystack: bytes, secret: str) -> bool:
    """Whether `secret` is in `haystack`, undressing it up to three layers deep."""
    needle = secret.encode()
    return any(needle in layer for layer in _layers(haystack, DEPTH))


def _layers(data: bytes, depth: int) -> Iterator[bytes]:
    yield data
    if depth == 0:
        return
    for inner in _undressed(data):
        yield from _layers(inner, depth - 1)


def _undressed(data: bytes) -> Iterator[bytes]:
    """Everything that a part of `data` decodes to."""
    for run in _HEX_RUN.findall(data):
        for start in range(2):
            part = run[start:]
            yield binascii.unhexlify(part[: len(part) // 2 * 2])
    for run in _BASE64_RUN.findall(data):
        text = run.rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
        for start in range(4):  # the run may begin in the middle of a group
            part = text[start:]
            part = part[:-1] if len(part) % 4 == 1 else part
            yield base64.b64decode(part + b"=" * (-len(part) % 4))
    for magic in _STREAMS:
        at = data.find(magic)
        while at >= 0:
            yield from _inflated(data[at:])
            at = data.find(magic, at + 1)


def _inflated(data: bytes) -> Iterator[bytes]:
    try:
        yield zlib.decompressobj(wbits=47).decompress(data, 16_000_000)
    except zlib.error:
        return
