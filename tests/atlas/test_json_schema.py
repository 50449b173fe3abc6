"""Sentences that a schema begins: whatever the grammar then allows is JSON."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st

from atlas.json_schema import begun

PATTERN = begun("It must ")["pattern"]


@given(st.from_regex(PATTERN, fullmatch=True))
def test_what_the_pattern_allows_needs_no_escape(sentence: str) -> None:
    assert sentence.startswith("It must ")
    assert json.loads(f'"{sentence}"') == sentence


def test_a_sentence_that_begins_otherwise_or_ends_the_string_is_none() -> None:
    for sentence in ("Double it, or more", "It must ", 'It must say "yes" to it', "It must go\non and on"):
        assert not re.search(PATTERN, sentence)
    assert re.search(PATTERN, "It must double the number.")
