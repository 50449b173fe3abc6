"""The chart on the cluster: its values here, its objects, and whether all of them run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import CompletedProcess

import yaml  # type: ignore[import-untyped]

from atlas.errors import StartupError
from tests.charts.rendered_chart import EVERYTHING, Object, cpu_values, merged, objects
from tests.charts.rendered_chart import chart as atlas_chart
from tests.cluster.api import Api
from tests.cluster.binaries import VERSION
from tests.cluster.scratch import REPO, Scratch

NAMESPACE = "atlas"
SYSTEM_PYTHON = "/usr/bin/python3"
RELEASE = "atlas"
# Where services are found: by addresses that are written down, since there is no DNS.
ADDRESSES = {
    "gateway": "10.96.8.1",
    "executor": "10.96.8.2",
    "llama-server": "10.96.8.3",
    "redis": "10.96.8.4",
}


@dataclass(frozen=True)
class Release:
    """What was applied: objects that stay, and the pod of `helm test`, which is applied when it is wanted."""

    api: Api
    values: Object
    kept: list[Object] = field(default_factory=list)
    tests: list[Object] = field(default_factory=list)


def values_of(models: Path, model: str) -> Object:
    """Return the values of a CPU, with Debian's Redis, and without DNS."""
    aliases = [
        {"ip": address, "hostnames": [f"{RELEASE}-{name}"]} for name, address in sorted(ADDRESSES.items())
    ]
    return merged(
        cpu_values(),
        {
            "kubeVersion": VERSION,
            "hostAliases": aliases,
            "settings": {"model": model},
            "gateway": {"service": {"clusterIP": ADDRESSES["gateway"]}},
            "lens": {"weights": {"hostPath": str(models.parent / "lens")}},
            "executor": {"service": {"clusterIP": ADDRESSES["executor"]}},
            "llamaServer": {
                "service": {"clusterIP": ADDRESSES["llama-server"]},
                "models": {"hostPath": str(models)},
            },
            "redis": {
                "image": {"repository": "localhost/redis", "tag": "7"},
                "server": "redis-server",
                "client": "redis-cli",
                "service": {"clusterIP": ADDRESSES["redis"]},
            },
        },
    )


def render(values: Object) -> tuple[list[Object], list[Object]]:
    """Return what the chart makes: objects that stay, and those of `helm test`."""
    made = objects(atlas_chart().render(values, name=RELEASE, namespace=NAMESPACE))
    tests = [each for each in made if "helm.sh/hook" in (each["metadata"].get("annotations") or {})]
    return [each for each in made if each not in tests], tests


def install(api: Api, scratch: Scratch, values: Object) -> Release:
    """Have `atlas k3s install --kubeconfig` do it, with a volume for Redis; return when all is ready.

    Raises:
        StartupError: it fails; the message has what the cluster says.
    """
    api.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    data = scratch.directory("node", "redis-data")
    data.chmod(0o777)  # a volume that fsGroup does not reach: hostPath
    api.apply(volume(data))
    release = Release(api, values, *render(values))
    began = time.monotonic()
    install_again(release, scratch)
    scratch.say(
        f"{len(release.kept)} objects of the chart accepted by the API server, and every pod is ready, "
        f"{time.monotonic() - began:.0f} s after `atlas k3s install` began"
    )
    return release


def install_again(release: Release, scratch: Scratch) -> None:
    """Carry out `atlas k3s install`, as scripts/install.sh does.

    Raises:
        StartupError: as above.
    """
    file = scratch.path("node", "values.yaml")
    file.write_text(yaml.safe_dump(release.values), encoding="utf-8")
    kubeconfig = scratch.path("node", "admin.kubeconfig")
    done = atlas(
        scratch,
        "install",
        f"--kubeconfig={kubeconfig}",
        f"--values={file}",
        f"--namespace={NAMESPACE}",
        "--yes",
    )
    if done.returncode != 0:
        raise StartupError(f"install: {done.stdout}{done.stderr}\n{state(release.api)}")


def atlas(scratch: Scratch, *words: str) -> CompletedProcess[str]:
    """Run `atlas k3s` to its end, with a data directory of the node's; all it prints is in logs/atlas.txt."""
    command = (sys.executable, "-m", "atlas.cli", "k3s", *words)
    return _carried_out(scratch, f"atlas k3s {' '.join(words)}", command, PYTHONPATH=str(REPO))


def python3(scratch: Scratch, script: str, *words: str) -> CompletedProcess[str]:
    """Run a script of the checkout by the system's own Python, in the same way."""
    command = (SYSTEM_PYTHON, str(REPO / script), *words)
    return _carried_out(scratch, f"python3 {script} {' '.join(words)}", command)


def _carried_out(scratch: Scratch, said: str, command: tuple[str, ...], **env: str) -> CompletedProcess[str]:
    mine = {"ATLAS_DATA_DIR": str(scratch.directory("node", "atlas")), **env}
    others = {key: value for key, value in os.environ.items() if not key.startswith("ATLAS_")}
    done = subprocess.run(
        command,
        cwd=scratch.directory("node"),  # where no atlas.conf is
        env={**others, **mine},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    with scratch.path("logs", "atlas.txt").open("a", encoding="utf-8") as log:
        log.write(f"$ {said}\n{done.stdout}{done.stderr}")
    return done


def try_everything(api: Api, scratch: Scratch) -> None:
    """Have the server check, without making them, the objects of the default and of all possible values.

    Raises:
        BadInput: the server refuses one.
    """
    for name, values in (("default", {}), ("everything", EVERYTHING)):
        kept, _ = render(merged(values, {"kubeVersion": VERSION}))
        for each in kept:
            # Another namespace, where none of it is; addresses are given once in a cluster.
            if each["kind"] == "Service":
                each["spec"].pop("clusterIP", None)
            api.apply(each, "default", try_only=True)
        scratch.say(f"{len(kept)} objects of the values {name} pass the API server's checks")


def state(api: Api) -> str:
    """Return every pod's state, what the cluster warns of, and the ends of the logs of what is not ready."""
    lines = []
    for pod in api.pods(NAMESPACE):
        name = pod["metadata"]["name"]
        status = pod.get("status", {})
        lines.append(f"{name}: {status.get('phase')}")
        for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
            if not container.get("ready"):
                lines.append(f"  {container['name']}: {container.get('state')}")
                lines.append(api.log(NAMESPACE, name, container["name"]))
    return "\n".join([*lines, *api.warnings(NAMESPACE)])


def volume(data: Path) -> Object:
    """Return the volume that Redis claims: a directory of the node."""
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "redis-data"},
        "spec": {
            "capacity": {"storage": atlas_chart().values["redis"]["storage"]["size"]},
            "accessModes": ["ReadWriteOnce"],
            "hostPath": {"path": str(data), "type": "Directory"},
            "claimRef": {"namespace": NAMESPACE, "name": f"data-{RELEASE}-redis-0"},
        },
    }
