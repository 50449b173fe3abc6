"""The chart's values that an atlas.conf and a choice of machine come to. Pure, but for reading the files."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import Any

import yaml

from atlas.config import Settings
from atlas.errors import ConfigError

Values = dict[str, Any]

NODE_PORT = 30840  # where the box itself, and its network, reach the gateway
SECCOMP_PROFILE = "atlas/executor.json"  # under the kubelet's seccomp directory
APPARMOR_PROFILE = "atlas-executor-pod"
LENS_DIR = "/var/lib/atlas/lens"  # of the machine: Lens weights of one's own
MODELS_IN_POD = "/data/models"
# What a pod must know of the model. Keys of atlas.conf that are not here belong to one machine's stack
# (addresses, ports, directories), which the chart decides, or to who asks (API_KEY, WATTS).
SETTINGS = (
    "model",
    "model_path",
    "draft_model",
    "context_tokens",
    "slots",
    "kv_type",
    "threads",
    "thinking_tags",
    "task_deadline_seconds",
)


def read(path: Path) -> Values:
    """Return the values of a YAML file.

    Raises:
        ConfigError: it cannot be read, or is no mapping.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read values from {path}: {error}") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: values are a mapping (KEY: value lines)")
    return found


def merged(*several: Values) -> Values:
    """Return values laid over each other, the last on top; mappings are merged, all else is replaced."""
    out: Values = {}
    for values in several:
        _lay(out, copy.deepcopy(values))
    return out


def of_settings(settings: Settings) -> Values:
    """Return what atlas.conf (or a variable) says, as values; what it does not say is the chart's to choose.

    A MODEL_PATH or a file as DRAFT_MODEL is taken to lie in the models directory of the node.
    """
    said = {key for key in settings.model_fields_set if getattr(settings, key) is not None}
    changed: Values = {}
    for key in (each for each in SETTINGS if each in said):
        value = getattr(settings, key)
        if key == "model_path" or (key == "draft_model" and settings.draft_path is not None):
            value = f"{MODELS_IN_POD}/{Path(str(value)).name}"
        changed[camel(key)] = value
    executor: Values = {}
    if settings.sandbox_jobs:
        executor["jobs"] = settings.sandbox_jobs
    if "sandbox_isolation" in said:
        executor["isolation"] = settings.sandbox_isolation
    values: Values = {"settings": changed, "executor": executor}
    if "log_level" in said:
        values["logLevel"] = settings.log_level
    return {key: value for key, value in values.items() if value}


def of_box(models_dir: Path, *, seccomp: bool, apparmor: bool) -> Values:
    """Return the values of one machine: where its models are, its gateway's port, the sandbox's profiles."""
    profiles = {
        "seccompProfile": SECCOMP_PROFILE if seccomp else "",
        "appArmorProfile": APPARMOR_PROFILE if seccomp and apparmor else "",
    }
    return {
        "gateway": {"service": {"type": "NodePort", "nodePort": NODE_PORT}},
        "lens": {"weights": {"hostPath": LENS_DIR}},
        "llamaServer": {"models": {"source": "hostPath", "hostPath": str(models_dir)}},
        "executor": profiles,
    }


def asked_for(chart: Path, *, cpu: bool, settings: Settings, file: Path | None) -> Values:
    """Return the values of atlas.conf and of a values file, which wins, over those for a CPU.

    Raises:
        ConfigError: the values file cannot be read.
    """
    return merged(
        read(chart / "values-cpu.yaml") if cpu else {},
        of_settings(settings),
        read(file) if file is not None else {},
    )


def camel(key: str) -> str:
    """Return a key of atlas.conf as the chart spells it: context_tokens is contextTokens."""
    return re.sub(r"_([a-z])", lambda found: found[1].upper(), key)


def _lay(under: Values, over: Values) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(under.get(key), dict):
            _lay(under[key], value)
        else:
            under[key] = value
