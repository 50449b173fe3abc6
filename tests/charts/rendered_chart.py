"""The chart as Helm renders it, and ways to look at what came out."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import helm_python as helm
import yaml  # type: ignore[import-untyped]

Object = dict[str, Any]
CHART = Path(__file__).parents[2] / "charts" / "atlas"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the fast one, where it was built
NAMESPACE = "somewhere"
RELEASE = "atlas"
DIGEST = "sha256:" + "0123456789abcdef" * 4

# Everything that is off by default, on: what no other values render is rendered by these.
EVERYTHING: Object = {
    "installation": "0123abcd",
    "image": {"digest": DIGEST},
    "imagePullSecrets": ["registry-key"],
    "hostAliases": [{"ip": "10.43.0.9", "hostnames": ["atlas-redis"]}],
    "gateway": {
        "replicas": 2,
        "service": {
            "type": "NodePort",
            "port": 80,
            "nodePort": 30840,
            "clusterIP": "10.43.0.5",
            "annotations": {"a": "b"},
        },
        "from": [{"ipBlock": {"cidr": "192.168.0.0/16"}}],
    },
    "planner": {
        "nodeSelector": {"disk": "ssd"},
        "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
    },
    "lens": {"weights": {"hostPath": "/srv/lens"}},
    "executor": {
        "image": {"digest": DIGEST},
        "replicas": 3,
        "runtimeClassName": "gvisor",
        "seccompProfile": "atlas/executor.json",
        "appArmorProfile": "atlas-executor",
    },
    "llamaServer": {
        "replicas": 2,
        "image": {"digest": DIGEST},
        "models": {
            "source": "claim",
            "claim": {"size": "50Gi", "storageClassName": "fast"},
            "download": {"enabled": True},
        },
    },
    "redis": {"image": {"digest": DIGEST}, "storage": {"storageClassName": "fast"}},
    "benchmark": {"enabled": True, "arguments": ["--condition", "A", "--limit", "8"], "claim": "atlas-runs"},
}
EXTERNAL_REDIS: Object = {
    "redis": {
        "external": {
            "enabled": True,
            "url": "redis://:secret@10.1.2.3:6380/0",
            "port": 6380,
            "to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}],
        }
    }
}


@lru_cache(maxsize=1)
def chart() -> helm.Chart:
    """Return the chart, loaded once."""
    return helm.Chart.load(CHART)


def cpu_values() -> Object:
    return cast("Object", yaml.safe_load((CHART / "values-cpu.yaml").read_text(encoding="utf-8")))


def values_sets() -> dict[str, Object]:
    """Return what the tests of every pod and policy are run with, by name."""
    return {"default": {}, "cpu": cpu_values(), "everything": EVERYTHING, "external redis": EXTERNAL_REDIS}


def merged(*several: Object) -> Object:
    """Return values laid over each other, the last on top."""
    out: Object = {}
    for values in several:
        _lay(out, copy.deepcopy(values))
    return out


def _lay(under: Object, over: Object) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(under.get(key), dict):
            _lay(under[key], value)
        else:
            under[key] = value


def render(values: Object | None = None, *, release: str = RELEASE) -> list[Object]:
    """Return every object that the chart makes; the generated secrets are those of the first time."""
    return copy.deepcopy(_rendered(json.dumps(values or {}, sort_keys=True), release))


@lru_cache(maxsize=64)
def _rendered(values: str, release: str) -> list[Object]:
    return objects(chart().render(json.loads(values), name=release, namespace=NAMESPACE))


def objects(texts: dict[str, str]) -> list[Object]:
    found: list[Object] = []
    for name, text in texts.items():
        if not name.endswith("NOTES.txt"):
            found += [each for each in yaml.load_all(text, Loader=LOADER) if each]
    return found


def notes(values: Object | None = None) -> str:
    return next(
        text
        for name, text in chart().render(values or {}, name=RELEASE, namespace=NAMESPACE).items()
        if name.endswith("NOTES.txt")
    )


def of_kind(among: list[Object], kind: str) -> dict[str, Object]:
    """Return the objects of a kind, by name."""
    return {each["metadata"]["name"]: each for each in among if each["kind"] == kind}


def one(among: list[Object], kind: str, name: str) -> Object:
    return of_kind(among, kind)[name]


@dataclass(frozen=True)
class Pod:
    """A pod that an object makes: its labels, annotations and spec."""

    owner: Object
    labels: dict[str, str]
    annotations: dict[str, str]
    spec: Object

    @property
    def component(self) -> str:
        return self.labels["app.kubernetes.io/component"]

    @property
    def containers(self) -> list[Object]:
        """Init containers first."""
        return [*self.spec.get("initContainers", []), *self.spec["containers"]]

    @property
    def main_ones(self) -> list[Object]:
        """All that run at once: without init containers."""
        return cast("list[Object]", self.spec["containers"])

    @property
    def main(self) -> Object:
        return cast("Object", self.spec["containers"][0])


def pods(among: list[Object]) -> dict[str, Pod]:
    """Return every pod that the objects make, by component."""
    found = {pod.component: pod for pod in _pods(among)}
    assert len(found) == len(list(_pods(among))), "a component has two kinds of pod"
    return found


def _pods(among: list[Object]) -> Iterator[Pod]:
    for each in among:
        if each["kind"] == "Pod":
            yield _pod(each, each)
        elif "template" in each.get("spec", {}):
            yield _pod(each, each["spec"]["template"])


def _pod(owner: Object, template: Object) -> Pod:
    about = template["metadata"]
    return Pod(owner, about["labels"], about.get("annotations") or {}, template["spec"])


def environment(container: Object) -> dict[str, Any]:
    """Return a container's variables: their value, or where it is from."""
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container.get("env", [])}
