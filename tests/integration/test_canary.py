"""The search itself finds what it should: a search that cannot find proves nothing."""

from __future__ import annotations

import base64
import gzip
import json
import zlib

import pytest
from canary import contains
from hypothesis import given
from hypothesis import strategies as st

SECRET = "canary-7f3a91c2-hidden"
DRESSES = {
    "plain": lambda b: b,
    "json": lambda b: json.dumps({"x": b.decode("latin-1")}).encode(),
    "base64": base64.b64encode,
    "urlsafe": base64.urlsafe_b64encode,
    "hex": lambda b: b.hex().encode(),
    "zlib": zlib.compress,
    "gzip": gzip.compress,
}


@pytest.mark.parametrize("dress", DRESSES)
@given(before=st.binary(max_size=20), after=st.binary(max_size=20))
def test_one_dress_is_seen_through(dress: str, before: bytes, after: bytes) -> None:
    assert contains(b"\0" + DRESSES[dress](before + SECRET.encode() + after) + b"\0", SECRET)


@pytest.mark.parametrize("outer", ["base64", "hex", "plain"])
@pytest.mark.parametrize("inner", DRESSES)
def test_two_dresses_are_seen_through(outer: str, inner: str) -> None:
    assert contains(DRESSES[outer](DRESSES[inner](SECRET.encode())), SECRET)


@given(st.binary(max_size=400))
def test_what_is_not_there_is_not_found(data: bytes) -> None:
    assert not contains(data, SECRET)
