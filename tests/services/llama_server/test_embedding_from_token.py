"""Patch 0003: states of the end of a text, its beginning from the cache, against the unpatched server."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.integration

PROMPT = "Write a function that adds two numbers, and say what it does.\n" * 8  # > a batch of 128 tokens
