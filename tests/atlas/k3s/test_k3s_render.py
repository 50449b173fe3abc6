"""`atlas k3s render`: objects without a cluster, and the HelmChart that holds the same chart."""

from __future__ import annotations

import base64
import builtins
import io
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from typer.testing import CliRunner

from atlas.cli import app
from atlas.config import Settings, load
from atlas.errors import BadInput, ConfigError, StartupError
from atlas.k3s import chart, values
from tests.charts.rendered_chart import cpu_values, objects
from tests.charts.rendered_chart import render as rendered


def printed(*arguments: str) -> list[dict[str, Any]]:
    result = CliRunner().invoke(app, ["k3s", "render", *arguments])
    assert result.exit_code == 0, result.output
    return list(yaml.safe_load_all(result.stdout))


def names(objects: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return sorted((each["kind"], each["metadata"]["name"]) for each in objects)


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    path = tmp_path / "atlas.conf"
    path.write_text(
        "MODEL=qwen2.5-coder-1.5b\nSLOTS=3\nSANDBOX_JOBS=5\nLOG_LEVEL=debug\nPORT=9000\nWATTS=90\n"
    )
    return path


# ---------------------------------------------------------------- values


def test_atlas_conf_becomes_values_where_keys_map(conf: Path) -> None:
    assert values.of_settings(load(conf, {})) == {
        "settings": {"model": "qwen2.5-coder-1.5b", "slots": 3},
        "executor": {"jobs": 5},
        "logLevel": "debug",
    }


def test_what_is_not_said_is_the_charts_and_what_is_said_counts_even_if_it_is_a_default() -> None:
    assert values.of_settings(Settings()) == {}
    assert values.of_settings(Settings(model=Settings().model)) == {"settings": {"model": Settings().model}}


def test_files_of_models_are_looked_for_where_the_pod_has_them() -> None:
    settings = Settings(model_path=Path("/home/me/big.gguf"), draft_model="/home/me/small.gguf")
    assert values.of_settings(settings)["settings"] == {
        "modelPath": "/data/models/big.gguf",
        "draftModel": "/data/models/small.gguf",
    }


def test_every_setting_that_maps_is_one_of_the_charts_and_there_are_no_others() -> None:
    default = values.read(chart.CHART / "values.yaml")["settings"]
    assert {values.camel(key) for key in values.SETTINGS} == set(default)


def test_values_given_win_over_atlas_conf_and_both_over_the_cpus(conf: Path, tmp_path: Path) -> None:
    given = tmp_path / "v.yaml"
    given.write_text("settings: {slots: 2}\n")
    found = values.asked_for(chart.CHART, cpu=True, settings=load(conf, {}), file=given)
    assert found["settings"] == {"model": "qwen2.5-coder-1.5b", "slots": 2}
    assert found["llamaServer"]["gpu"] == {"enabled": False}


@pytest.mark.parametrize("text", ["- a list\n", "a: [\n"])
def test_a_values_file_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "v.yaml").write_text(text)
    with pytest.raises(ConfigError, match=r"v\.yaml"):
        values.read(tmp_path / "v.yaml")


# ---------------------------------------------------------------- objects


def test_it_prints_what_the_chart_makes(conf: Path) -> None:
    found = printed("--cpu", "--config", str(conf), "--namespace", "here")
    assert names(found) == names(rendered(cpu_values()))
    planner = next(
        each for each in found if each["kind"] == "Deployment" and each["metadata"]["name"] == "atlas-planner"
    )
    environment = planner["spec"]["template"]["spec"]["containers"][0]["env"]
    assert {"name": "ATLAS_SLOTS", "value": "3"} in environment


def test_what_the_chart_refuses_is_wrong_usage(tmp_path: Path) -> None:
    (tmp_path / "v.yaml").write_text("nothing: 1\n")
    result = CliRunner().invoke(app, ["k3s", "render", "--values", str(tmp_path / "v.yaml")])
    assert (result.exit_code, "nothing" in result.output) == (2, True)


def without_sdk(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    real = builtins.__import__

    def fake(name: str, *rest: Any, **named: Any) -> Any:
        if name == "helm_python":
            raise ImportError(name)
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", fake)
    monkeypatch.setenv("PATH", f"{path}{os.pathsep}/usr/bin{os.pathsep}/bin")


def test_without_helm_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_sdk(monkeypatch, tmp_path)
    monkeypatch.setattr(chart.shutil, "which", lambda name: None)
    with pytest.raises(StartupError, match="helm-python-sdk"):
        chart.render({})


def test_a_helm_binary_will_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_sdk(monkeypatch, tmp_path)
    helm = tmp_path / "helm"
    helm.write_text(
        '#!/bin/sh\n[ "$1 $2 $4 $5" = "template atlas --namespace there" ] || exit 3\n'
        'grep -q nothing "$7" && { echo "no such value" >&2; exit 1; }\n'
        'printf -- "---\\nkind: One\\n---\\n# empty\\n---\\n"; cat "$7"\n'
    )
    helm.chmod(0o755)
    assert chart.render({"a": 1}, namespace="there") == [{"kind": "One"}, {"a": 1}]
    with pytest.raises(BadInput, match="no such value"):
        chart.render({"nothing": 1}, namespace="there")


# ---------------------------------------------------------------- K3s


def test_the_helmchart_holds_the_chart_and_the_values(conf: Path) -> None:
    (made,) = printed("--cpu", "--k3s", "--config", str(conf), "--namespace", "here")
    assert (made["kind"], made["metadata"]["namespace"], made["spec"]["targetNamespace"]) == (
        "HelmChart",
        "kube-system",
        "here",
    )
    assert yaml.safe_load(made["spec"]["valuesContent"])["settings"]["slots"] == 3
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(made["spec"]["chartContent"]))) as archive:
        held = {each.name: archive.extractfile(each).read() for each in archive}  # type: ignore[union-attr]
    there = {
        f"atlas/{p.relative_to(chart.CHART)}": p.read_bytes() for p in chart.CHART.rglob("*") if p.is_file()
    }
    assert held == there


def test_helm_itself_reads_the_packed_chart(tmp_path: Path) -> None:
    import helm_python

    (tmp_path / "atlas.tgz").write_bytes(chart.packed())
    found = helm_python.Chart.load(tmp_path / "atlas.tgz").render(
        cpu_values(), name="atlas", namespace="here"
    )
    assert names(objects(found)) == names(rendered(cpu_values()))
    assert chart.packed() == chart.packed()


def test_a_gpu_comes_with_its_runtime_class_and_its_plugin() -> None:
    found = printed("--k3s")
    assert [each["kind"] for each in found] == ["RuntimeClass", "DaemonSet", "HelmChart"]
    llama = values.read(chart.CHART / "values.yaml")["llamaServer"]["gpu"]
    assert found[0]["metadata"]["name"] == found[0]["handler"] == llama["runtimeClassName"]
    pod = found[1]["spec"]["template"]["spec"]
    assert pod["runtimeClassName"] == llama["runtimeClassName"]
    assert (
        found[1]["spec"]["selector"]["matchLabels"].items()
        <= found[1]["spec"]["template"]["metadata"]["labels"].items()
    )
    assert "@sha256:" in pod["containers"][0]["image"] or ":v" in pod["containers"][0]["image"]


def test_the_gpus_objects_are_kubernetes() -> None:
    import kubernetes_validate

    for each in chart.all_of("nvidia.yaml"):
        kubernetes_validate.validate(each, "1.34", strict=True)


def test_without_the_repository_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="run from a checkout"):
        chart.directory(tmp_path)
