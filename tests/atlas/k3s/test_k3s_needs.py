"""Which files an installation loads, and what they take of a GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atlas.catalogue import CATALOGUE
from atlas.config import Settings
from atlas.errors import ModelFileError
from atlas.k3s import chart, needs
from atlas.k3s.values import camel, read

BIG, SMALL = CATALOGUE["qwen3-14b"].file, CATALOGUE["qwen3-0.6b"].file


def nowhere(name: str) -> Path:
    return Path("/nowhere") / name


def values(**settings: Any) -> dict[str, Any]:
    return {"settings": {camel(key): value for key, value in settings.items()}}


def vram(place: Callable[[str], Path] = nowhere, **settings: Any) -> int | None:
    return needs.vram_mib(values(**settings), place)


def test_what_is_not_said_is_the_charts_own_whatever_atlas_has_without_it() -> None:
    own = read(chart.CHART / "values.yaml")["settings"]
    for key in ("model", "context_tokens", "slots", "kv_type", "draft_model", "model_path"):
        assert needs.setting({}, key) == (own[camel(key)] or None), key
    assert needs.setting({}, "model") == "qwen3-14b" != Settings().model
    assert needs.setting(values(model="smollm2-135m"), "model") == "smollm2-135m"


@pytest.mark.parametrize(
    ("settings", "gpu", "file", "draft"),
    [
        ({}, True, BIG, SMALL),
        ({}, False, BIG, None),
        ({"draft_model": "none"}, True, BIG, None),
        ({"draft_model": "qwen3-0.6b"}, False, BIG, SMALL),
        ({"draft_model": "/data/models/mine.gguf"}, True, BIG, "mine.gguf"),
        ({"model": "smollm2-135m"}, True, CATALOGUE["smollm2-135m"].file, None),
        ({"model_path": "/data/models/m.gguf"}, True, "m.gguf", None),
        ({"model_path": "/data/models/m.gguf", "draft_model": "qwen3-0.6b"}, True, "m.gguf", SMALL),
    ],
)
def test_the_files_that_are_loaded(settings: dict[str, str], gpu: bool, file: str, draft: str | None) -> None:
    assert needs.model_file(values(**settings)) == file
    assert needs.draft_file(values(**settings), gpu=gpu) == draft


@pytest.mark.parametrize("settings", [{"model": "nothing"}, {"draft_model": "nothing"}])
def test_a_name_that_is_none_is_refused(settings: dict[str, str]) -> None:
    with pytest.raises(ModelFileError, match="no model 'nothing'"):
        vram(**settings)


def test_the_default_model_fits_a_card_of_16_gb_and_less_of_it_one_of_12() -> None:
    assert vram() == 14_765
    assert vram(draft_model="none", kv_type="q8_0") == 11_199
    assert vram(model_path="/data/models/mine.gguf") is None, "not here, so nobody knows"
    assert vram(draft_model="/data/models/mine.gguf") is None


@given(context=st.integers(1024, 65_536), slots=st.integers(1, 16))
def test_more_of_anything_takes_no_less(context: int, slots: int) -> None:
    least = vram(context_tokens=context, slots=slots, kv_type="q8_0", draft_model="none")
    assert least is not None
    for more in (
        {"context_tokens": context + 4096, "slots": slots},
        {"context_tokens": context, "slots": slots + 1},
    ):
        assert (vram(**more, kv_type="q8_0", draft_model="none") or 0) >= least
    assert (vram(context_tokens=context, slots=slots, kv_type="q8_0") or 0) > least


def test_a_file_that_is_here_is_asked_and_one_that_cannot_be_read_is_not_believed(tmp_path: Path) -> None:
    def place(name: str) -> Path:
        return tmp_path / name

    place("mine.gguf").write_bytes(b"GGUF, but not all of it")
    assert vram(place, model_path="/data/models/mine.gguf") is None
    place(BIG).write_bytes(b"GGUF, half fetched")
    assert vram(place) == 14_765, "what its makers published still holds"
