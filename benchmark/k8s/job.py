"""What runs in a cluster: the Job whose pod holds the runner and, beside it, the grading executor.

Pure: plain values in, objects of Kubernetes' API out, as dictionaries. The names are here and nowhere else.

The executor is sent untrusted programs, so it is a container of its own that shares nothing with the runner
but a directory with its socket: not the run's volume (hidden tests and results), not the API key.

Both containers end by themselves. The runner's exit code is an answer, not a failure of the container: the
container writes it as its termination message and ends with 0, so that Kubernetes starts again what was
killed (out of memory, a lost node) and not what has been answered. The runner then goes on with the run.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from pydantic import Field

from atlas.contracts import Contract

APP = "atlas"
COMPONENT = "benchmark"
IMAGE = f"localhost/atlas:{version('atlas')}"  # what deploy/images builds and charts/atlas runs
API_KEY_FIELD = "api-key"  # the field of a Secret that holds a key
RUNNER, EXECUTOR = "runner", "grading-executor"
RUN_ANNOTATION = "atlas/run-id"
ARGUMENTS_ANNOTATION = "atlas/arguments"

USER = 10001
DATA_DIR = "/data"
RUNS_DIR = f"{DATA_DIR}/runs"
SHARED_DIR = "/run/atlas"
TMP_DIR = "/tmp"  # noqa: S108 - of a container, a volume of its own
SOCKET = f"{SHARED_DIR}/executor.sock"
DONE_FILE = f"{SHARED_DIR}/done"
EXECUTOR_URL = f"unix:{SOCKET}"

NAME_CHARS = 52  # of 63: the pod's name has a suffix
BACKOFF_LIMIT = 6  # restarts of a killed container, or of its pod; not of a runner that has answered
KEPT_S = 86_400  # how long an ended Job stays, with its log
GRACE_S = 30
# Memory is limited so that a pod cannot take its node along. Processor time is only asked for: a program that
# is throttled at a limit would fail time limits it keeps elsewhere.
RUNNER_RESOURCES = {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "2Gi"}}
# For each program at once. A whole core each would leave the pod without a node on a machine of two.
EXECUTOR_MEMORY_MIB = 1536
EXECUTOR_MILLI_CPU = 500

HARDENED: dict[str, Any] = {
    "runAsNonRoot": True,
    "readOnlyRootFilesystem": True,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
}


class JobSpec(Contract):
    """What the caller decides of a Job.

    Attributes:
        arguments: of v3_runner, without those that say where things are in the pod.
        gateway: URL of the gateway as the pod reaches it.
        claim: the PersistentVolumeClaim for DATA_DIR, with the runs and data sets; None: a directory that is
            gone with the pod.
        secret: the Secret whose field `api-key` is the gateway's key; None: no key is sent.
        jobs: programs graded at once.
    """

    run_id: str
    namespace: str
    gateway: str
    image: str = IMAGE
    arguments: tuple[str, ...] = ()
    claim: str | None = None
    secret: str | None = None
    jobs: int = Field(default=2, ge=1, le=64)

    @property
    def name(self) -> str:
        """Name of the Job: the same for the same run, and of no other run."""
        return job_name(self.run_id)


def job_name(run_id: str) -> str:
    """Return a DNS label for a run id: readable, and distinct for distinct ids."""
    stem = re.sub(r"[^a-z0-9]+", "-", run_id.lower()).strip("-")
    digest = hashlib.sha256(run_id.encode()).hexdigest()[:8]
    prefix = f"{APP}-{COMPONENT}-"
    return prefix + "-".join(filter(None, (stem[: NAME_CHARS - len(prefix) - 9].strip("-"), digest)))


def job(spec: JobSpec) -> dict[str, Any]:
    """Return the Job."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": spec.name,
            "namespace": spec.namespace,
            "labels": _labels(spec),
            "annotations": {
                RUN_ANNOTATION: spec.run_id,
                ARGUMENTS_ANNOTATION: json.dumps(runner_arguments(spec)),
            },
        },
        "spec": {
            "backoffLimit": BACKOFF_LIMIT,
            "ttlSecondsAfterFinished": KEPT_S,
            "template": {"metadata": {"labels": _labels(spec)}, "spec": _pod(spec)},
        },
    }


def secret(name: str, namespace: str, key: str, owner: dict[str, Any]) -> dict[str, Any]:
    """Return a Secret with an API key that is deleted together with `owner`, a Job as the API returned it."""
    about = owner["metadata"]
    reference = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": about["name"],
        "uid": about["uid"],
        "blockOwnerDeletion": True,  # so that the next Job of that name finds no Secret about to go
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": about["labels"],
            "ownerReferences": [reference],
        },
        "stringData": {API_KEY_FIELD: key},
    }


def runner_arguments(spec: JobSpec) -> list[str]:
    """Return what v3_runner is called with in the pod."""
    return [
        *spec.arguments,
        *("--run-id", spec.run_id),
        *("--target", spec.gateway),
        *("--runs-dir", RUNS_DIR),
        *("--grading-executor", EXECUTOR_URL),
        "--json",
    ]


def _pod(spec: JobSpec) -> dict[str, Any]:
    data = {"persistentVolumeClaim": {"claimName": spec.claim}} if spec.claim else {"emptyDir": {}}
    return {
        "restartPolicy": "OnFailure",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": GRACE_S,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": USER,
            "runAsGroup": USER,
            "fsGroup": USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_runner(spec), _executor(spec)],
        "volumes": [
            {"name": "data", **data},
            {"name": "shared", "emptyDir": {}},
            {"name": "runner-tmp", "emptyDir": {}},
            {"name": "executor-tmp", "emptyDir": {}},
        ],
    }


def _runner(spec: JobSpec) -> dict[str, Any]:
    environment: list[dict[str, Any]] = [{"name": "ATLAS_DATA_DIR", "value": DATA_DIR}]
    if spec.secret is not None:
        reference = {"secretKeyRef": {"name": spec.secret, "key": API_KEY_FIELD}}
        environment.append({"name": "ATLAS_API_KEY", "valueFrom": reference})
    return {
        "name": RUNNER,
        "image": spec.image,
        "command": ["python", "-m", "benchmark.k8s.pod", "runner", "--done", DONE_FILE, "--"],
        "args": runner_arguments(spec),
        "env": environment,
        "resources": RUNNER_RESOURCES,
        "securityContext": HARDENED,
        "volumeMounts": [
            _mount("data", DATA_DIR),
            _mount("shared", SHARED_DIR),
            _mount("runner-tmp", TMP_DIR),
        ],
    }


def _executor(spec: JobSpec) -> dict[str, Any]:
    memory = f"{EXECUTOR_MEMORY_MIB * spec.jobs}Mi"
    requests = {"cpu": f"{EXECUTOR_MILLI_CPU * spec.jobs}m", "memory": "512Mi"}
    return {
        "name": EXECUTOR,
        "image": spec.image,
        "command": ["python", "-m", "benchmark.k8s.pod", "executor", "--done", DONE_FILE],
        "args": ["--uds", SOCKET, "--jobs", str(spec.jobs)],
        "resources": {"requests": requests, "limits": {"memory": memory}},
        "securityContext": HARDENED,
        "volumeMounts": [_mount("shared", SHARED_DIR), _mount("executor-tmp", TMP_DIR)],
    }


def _mount(volume: str, path: str) -> dict[str, str]:
    return {"name": volume, "mountPath": path}


def _labels(spec: JobSpec) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": APP,
        "app.kubernetes.io/component": COMPONENT,
        "app.kubernetes.io/instance": spec.name,
    }


def same_work(one: dict[str, Any], arguments: Sequence[str]) -> bool:
    """Whether a Job of the API does what the runner would be called with now."""
    told = (one["metadata"].get("annotations") or {}).get(ARGUMENTS_ANNOTATION)
    return told == json.dumps(list(arguments))
