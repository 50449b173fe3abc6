"""Kubernetes' objects from charts/atlas, without a cluster; and the chart as the object that K3s installs.

K3s has a controller of its own for objects of the kind HelmChart: it runs Helm in the cluster, so the box
needs no Helm, and secrets are made once and kept. Printing the objects here takes Helm: its SDK, or `helm`.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import yaml

from atlas.errors import BadInput, ConfigError, StartupError
from atlas.k3s.values import Values

Object = dict[str, Any]
ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts" / "atlas"
K3S_FILES = ROOT / "deploy" / "k3s"
RELEASE = "atlas"
NAMESPACE = "atlas"
HELM_S = 60.0
INSTALL = (
    "pip install 'helm-python-sdk>=0.2.2' (or install ATLAS with its extra `charts`), or put helm on the PATH"
)


def directory(chart: Path = CHART) -> Path:
    """Return where the chart is.

    Raises:
        StartupError: ATLAS is installed without it.
    """
    if not (chart / "Chart.yaml").is_file():
        raise StartupError(
            f"{chart} is not there: the chart is part of ATLAS's repository, run from a checkout"
        )
    return chart


def render(values: Values, *, namespace: str = NAMESPACE, chart: Path = CHART) -> list[Object]:
    """Return every object of the chart, the two Secrets with new random values.

    Raises:
        StartupError: no Helm here.
        BadInput: the chart refuses the values; says which.
    """
    try:
        texts = _by_sdk(directory(chart), values, namespace)
    except ImportError:
        texts = [_by_binary(directory(chart), values, namespace)]
    return [each for text in texts for each in yaml.safe_load_all(text) if each]


def _by_sdk(chart: Path, values: Values, namespace: str) -> list[str]:
    import helm_python

    try:
        texts = helm_python.Chart.load(chart).render(values, name=RELEASE, namespace=namespace)
    except helm_python.HelmError as error:
        raise BadInput(f"the chart refuses these values: {error}") from error
    return [text for name, text in sorted(texts.items()) if not name.endswith("NOTES.txt")]


def _by_binary(chart: Path, values: Values, namespace: str) -> str:
    helm = shutil.which("helm")
    if helm is None:
        raise StartupError(f"objects are rendered by Helm, which is not here: {INSTALL}")
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
        yaml.safe_dump(values, file)
        file.flush()
        command = [helm, "template", RELEASE, str(chart), "--namespace", namespace, "--values", file.name]
        try:
            ran = subprocess.run(command, check=False, capture_output=True, text=True, timeout=HELM_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise StartupError(f"{helm} does not work here: {error}; {INSTALL}") from error
    if ran.returncode:
        raise BadInput(f"the chart refuses these values: {ran.stderr.strip()}")
    return ran.stdout


def packed(chart: Path = CHART) -> bytes:
    """Return the chart as Helm packs it (.tgz): the same bytes for the same files."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted(each for each in directory(chart).rglob("*") if each.is_file()):
            info = tarfile.TarInfo(f"atlas/{path.relative_to(chart).as_posix()}")
            info.size, info.mode = path.stat().st_size, 0o644
            with path.open("rb") as file:
                archive.addfile(info, file)
    return gzip.compress(tar.getvalue(), mtime=0)


def marked(values: Values, *, namespace: str = NAMESPACE, chart: Path = CHART) -> Values:
    """Return the values with a word for this chart and these values, by which their objects are known."""
    said = yaml.safe_dump([namespace, values], sort_keys=True).encode()
    return values | {"installation": hashlib.sha256(packed(chart) + said).hexdigest()[:16]}


def helm_chart(values: Values, *, namespace: str = NAMESPACE, chart: Path = CHART) -> Object:
    """Return the HelmChart object of deploy/k3s, with the packed chart and the values in it."""
    made = one_of("helmchart.yaml")
    made["spec"] |= {
        "targetNamespace": namespace,
        "chartContent": base64.b64encode(packed(chart)).decode(),
        "valuesContent": yaml.safe_dump(values, sort_keys=True) if values else "",
    }
    return made


def for_k3s(values: Values, *, gpu: bool, namespace: str = NAMESPACE, chart: Path = CHART) -> list[Object]:
    """Return what K3s is given: with a GPU its runtime class and device plugin, then the HelmChart."""
    return [*(all_of("nvidia.yaml") if gpu else []), helm_chart(values, namespace=namespace, chart=chart)]


def all_of(name: str) -> list[Object]:
    """Return the objects of a file of deploy/k3s.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return [each for each in yaml.safe_load_all((K3S_FILES / name).read_text(encoding="utf-8")) if each]
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read {K3S_FILES / name}: {error}") from error


def one_of(name: str) -> Object:
    """Return the one object of a file of deploy/k3s."""
    (found,) = all_of(name)
    return found


def uses_gpu(values: Values) -> bool:
    """Whether llama-server asks for a GPU with these values, which the chart's own default says it does."""
    return bool(((values.get("llamaServer") or {}).get("gpu") or {}).get("enabled", True))


def wants_gpu(deployment: Object) -> bool:
    """Whether a Deployment's pod asks for a device of a plugin, as nvidia.com/gpu is."""
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    return any("/" in each for each in (container.get("resources") or {}).get("limits") or {})


def as_yaml(objects: list[Object]) -> str:
    """Return objects as the documents that `kubectl apply -f -` takes."""
    return str(yaml.safe_dump_all(objects, sort_keys=False, explicit_start=True))
