"""The box that is installed on in tests, and what its installation asks the cluster for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from atlas.k3s import images, objects
from atlas.k3s.cluster import Cluster
from atlas.k3s.facts import gather
from atlas.k3s.install import carry_out
from atlas.k3s.plan import all_of
from atlas.k3s.preflight import can_isolate
from atlas.k3s.steps import Box, Step
from atlas.k3s.values import merged, of_box, read
from tests.charts.rendered_chart import CHART
from tests.support.kube_api import KubeApi
from tests.support.recorded_machine import RecordedMachine

MODELS = Path("/var/lib/atlas/models")
MODEL = "mine.gguf"
BUILT = ("localhost/atlas:0.1.0", "localhost/atlas-executor:0.1.0", "localhost/atlas-llama-server:0.1.0-cpu")
RUN = ["k3s", "profiles", "model", "images", "objects", "ready", "location"]


def box_of(machine: RecordedMachine, cluster: Cluster, tmp_path: Path, **more: Any) -> Box:
    asked = merged(read(CHART / "values-cpu.yaml"), {"settings": {"modelPath": f"/data/models/{MODEL}"}})
    facts = gather(machine, asked, MODELS)
    here = of_box(MODELS, seccomp=can_isolate(facts), apparmor=facts.apparmor)
    values = merged(here, asked)
    values = merged(values, images.tags(values, "0.1.0", archive=more.get("images")))
    box = Box(machine, facts, values, MODELS, tmp_path / "local", lambda path: cluster, version="0.1.0")
    machine.images = BUILT
    return replace(box, **more)


def steps_of(box: Box, tmp_path: Path) -> list[Step]:
    return all_of(box, tmp_path / "run")


def asked_for(api: KubeApi) -> set[str]:
    """Return the names of ours that pods are started from."""
    values = helm_values(api)
    tags = values["image"]["tag"], values["executor"]["image"]["tag"], values["llamaServer"]["image"]["tag"]
    return {f"{name.partition(':')[0]}:{tag}" for name, tag in zip(BUILT, tags, strict=True)}


def install(machine: RecordedMachine, cluster: Cluster, tmp_path: Path, **more: Any) -> list[str]:
    told: list[str] = []
    carry_out(machine, steps_of(box_of(machine, cluster, tmp_path, **more), tmp_path), told.append)
    return told


def helm_values(api: KubeApi) -> Any:
    return yaml.safe_load(api.objects[objects.HELM_CHART]["spec"]["valuesContent"])
