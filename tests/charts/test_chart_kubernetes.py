"""Helm's own checks, and Kubernetes' schemas of several versions, for every set of values."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import helm_python as helm
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
from kubernetes_validate import utils

from tests.charts.rendered_chart import CHART, EVERYTHING, Object, merged, of_kind, one, render, values_sets

VERSIONS = [*dict.fromkeys(utils.all_versions())]
OLDEST, CURRENT = VERSIONS[0], VERSIONS[-3:]
NOT_REMARKABLE = ("icon is recommended",)


@pytest.fixture(scope="module", autouse=True)
def schemas_read_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(utils, "schema_contents", lru_cache(maxsize=None)(utils.schema_contents))
        yield


@pytest.mark.parametrize("name", values_sets())
def test_helm_finds_nothing_wrong(name: str) -> None:
    report = helm.lint(CHART, values_sets()[name], strict=True, kube_version="v1.34.0")
    assert [m for m in report["messages"] if m["error"] not in NOT_REMARKABLE] == []
    assert report["errors"] == []


def test_the_versions_reach_from_1_25_to_the_newest_schemas_there_are() -> None:
    minors = [int(version.split(".")[1]) for version in VERSIONS]
    assert minors == list(range(25, minors[-1] + 1))
    assert minors[-1] >= 34


@pytest.mark.parametrize("version", VERSIONS)
def test_all_that_can_be_on_is_valid(version: str) -> None:
    made = render(merged(EVERYTHING, {"kubeVersion": version}))
    assert len(made) > 40
    for each in made:
        kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("version", [OLDEST, *CURRENT])
@pytest.mark.parametrize("name", values_sets())
def test_every_set_of_values_is_valid(name: str, version: str) -> None:
    for each in render(merged(values_sets()[name], {"kubeVersion": version})):
        kubernetes_validate.validate(each, version, strict=True)


@pytest.mark.parametrize("version", [OLDEST, CURRENT[-1]])
def test_the_schemas_notice_a_wrong_key_and_a_wrong_type(version: str) -> None:
    def planner() -> Object:
        return one(render(), "Deployment", "atlas-planner")

    wrong_key, wrong_type = planner(), planner()
    wrong_key["spec"]["template"]["spec"]["containers"][0]["limits"] = {}
    wrong_type["spec"]["replicas"] = "one"
    for wrong in (wrong_key, wrong_type):
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(wrong, version, strict=True)


def test_names_are_unique_and_short_enough() -> None:
    made = render(EVERYTHING, release="a-very-long-release-name-that-helm-still-takes-12345")
    names = [(each["kind"], each["metadata"]["name"]) for each in made]
    assert len(set(names)) == len(names)
    assert max(len(name) for _, name in names) <= 63
    assert "a-very-long-release-name-that-helm-still-planner" in of_kind(made, "Deployment")
