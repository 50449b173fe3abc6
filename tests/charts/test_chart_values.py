"""Values: what is refused, and that the schema, the defaults and atlas.conf agree."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, get_args

import helm_python as helm
import pytest

from atlas.config import Isolation, Settings
from atlas.policy import POLICIES
from tests.charts.rendered_chart import CHART, Object, chart, merged, render, values_sets

SCHEMA = json.loads((CHART / "values.schema.json").read_text(encoding="utf-8"))
# Objects whose keys are the user's own.
FREE = {"labels", "labelsNotEmpty"}
# The chart knows these by itself, or they belong to who measures.
NOT_SETTINGS = {"data_dir", "llama_server", "gpu_device", "host", "port", "api_key", "redis_url", "llama_url"}
NOT_SETTINGS |= {"executor_url", "sandbox_jobs", "sandbox_isolation", "log_level"}
NOT_SETTINGS |= {"watts", "price_per_kwh", "currency"}


def snake(key: str) -> str:
    return re.sub(r"[A-Z]", lambda letter: f"_{letter[0].lower()}", key)


def resolved(schema: Object) -> Object:
    reference = schema.get("$ref")
    return SCHEMA["definitions"][reference.rpartition("/")[2]] if reference else schema


def closed_objects(schema: Object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every object of the values, those in lists too (as "0")."""
    schema = resolved(schema)
    if schema.get("type") == "array":
        yield from closed_objects(schema["items"], (*path, "0"))
    for key, inner in schema.get("properties", {}).items():
        yield from closed_objects(inner, (*path, key))
    if "properties" in schema:
        yield path


PATHS = list(closed_objects(SCHEMA))


def with_key(path: tuple[str, ...], key: str) -> Any:
    """Return values that are empty but for one more key at the path."""
    if not path:
        return {key: 1}
    inner = with_key(path[1:], key)
    return [inner] if path[0] == "0" else {path[0]: inner}


def test_every_object_of_the_schema_is_closed() -> None:
    def walk(schema: Any, name: str = "") -> Iterator[tuple[str, Object]]:
        if isinstance(schema, dict):
            if schema.get("type") == "object":
                yield name, schema
            for key, inner in schema.items():
                yield from walk(inner, key)

    found = list(walk(SCHEMA))
    open_ones = {name for name, schema in found if schema.get("additionalProperties") is not False}
    assert open_ones == FREE
    assert len(found) > 25


def test_there_are_objects_at_every_depth() -> None:
    assert {len(path) for path in PATHS} >= {0, 1, 2, 3, 4}
    assert ("llamaServer", "models", "download", "to", "0", "ipBlock") in PATHS


@pytest.mark.parametrize("path", PATHS, ids=".".join)
def test_an_unknown_key_is_refused_and_named(path: tuple[str, ...]) -> None:
    with pytest.raises(helm.HelmValuesError, match="nonsense"):
        chart().validate_schema(with_key(path, "nonsense"))


def test_rendering_refuses_it_too() -> None:
    with pytest.raises(helm.HelmValuesError, match="replica"):
        render({"planner": {"replica": 2}})


@pytest.mark.parametrize(
    "values",
    [
        {"image": {"digest": "sha256:abc"}},
        {"image": {"pullPolicy": "Sometimes"}},
        {"planner": {"replicas": 0}},
        {"planner": {"replicas": "2"}},
        {"planner": {"resources": {"limits": {"memory": "1 GB"}}}},
        {"gateway": {"service": {"port": 0}}},
        {"gateway": {"from": [{}]}},
        {"llamaServer": {"models": {"source": "internet"}}},
        {"llamaServer": {"models": {"hostPath": "models"}}},
        {"redis": {"external": {"url": "http://here"}}},
        {"networkPolicy": {"dns": {"podLabels": {"k8s-app": None}}}},
        {"settings": {"kvType": "q2"}},
        {"settings": {"modelPath": "model.gguf"}},
    ],
)
def test_wrong_values_are_refused(values: Object) -> None:
    with pytest.raises(helm.HelmValuesError):
        chart().validate_schema(values)


@pytest.mark.parametrize("name", values_sets())
def test_values_of_the_tests_pass(name: str) -> None:
    chart().validate_schema(values_sets()[name])


def test_values_and_schema_have_the_same_keys() -> None:
    def keys(values: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        for key, value in values.items():
            yield (*path, key)
            if isinstance(value, dict):
                yield from keys(value, (*path, key))

    def known(schema: Object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        for key, inner in resolved(schema).get("properties", {}).items():
            yield (*path, key)
            yield from known(inner, (*path, key))

    # A limit on processor time may be set, and is not by default.
    not_set = {path for path in known(SCHEMA) if path[-2:] == ("limits", "cpu")}
    of_users = {("networkPolicy", "dns", free) for free in ("namespaceLabels", "podLabels")}
    documented = {path for path in keys(chart().values) if path[:-1] not in of_users}
    assert documented == set(known(SCHEMA)) - not_set


# ---------------------------------------------------------------- what needs a second value


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"llamaServer": {"models": {"source": "existingClaim"}}},
            "name it in llamaServer.models.existingClaim",
        ),
        ({"redis": {"external": {"enabled": True}}}, "redis.external"),
        ({"redis": {"external": {"enabled": True, "url": "redis://10.1.2.3"}}}, "redis.external.to"),
        (
            {
                "settings": {"modelPath": "/data/models/x.gguf"},
                "llamaServer": {"models": {"download": {"enabled": True}}},
            },
            "clear settings.modelPath",
        ),
        ({"llamaServer": {"models": {"download": {"enabled": True, "to": []}}}}, "download.to is empty"),
    ],
)
def test_a_value_that_needs_another_says_which(values: Object, said: str) -> None:
    with pytest.raises(helm.HelmRenderError, match=re.escape(said)):
        render(values)


# ---------------------------------------------------------------- agreement with the code


def test_settings_are_those_of_atlas_conf() -> None:
    settings = SCHEMA["properties"]["settings"]["properties"]
    assert {snake(key) for key in settings} == set(Settings.model_fields) - NOT_SETTINGS


def test_settings_have_the_ranges_of_atlas_conf() -> None:
    theirs = Settings.model_json_schema()["properties"]
    bounds = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "enum")
    for key, schema in SCHEMA["properties"]["settings"]["properties"].items():
        given = theirs[snake(key)]
        assert {b: schema.get(b) for b in bounds} == {b: given.get(b) for b in bounds}, key


def test_settings_have_the_defaults_of_atlas_conf_but_for_the_model() -> None:
    defaults = Settings().model_dump()
    ours = {snake(key): value for key, value in chart().values["settings"].items()}
    assert ours.pop("model") == "qwen3-14b"
    assert {key: value or None for key, value in ours.items()} == {key: defaults[key] or None for key in ours}


def test_the_cpu_has_the_default_model() -> None:
    assert merged(chart().values, values_sets()["cpu"])["settings"]["model"] == Settings().model


def test_choices_are_those_of_the_code() -> None:
    assert SCHEMA["properties"]["executor"]["properties"]["isolation"]["enum"] == list(get_args(Isolation))
    levels = Settings.model_json_schema()["properties"]["log_level"]["enum"]
    assert SCHEMA["properties"]["logLevel"]["enum"] == levels
    assert chart().values["test"]["policy"] in POLICIES
