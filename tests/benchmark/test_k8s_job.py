from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from benchmark.k8s.job import EXECUTOR, RUNNER, SHARED_DIR, JobSpec, job, job_name, same_work, secret

SPEC = JobSpec(
    run_id="Monday_1", namespace="bench", gateway="http://gw:8400", arguments=("--limit", "2"), claim="runs"
)


def containers(made: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in made["spec"]["template"]["spec"]["containers"]}


def test_the_pod_is_hardened() -> None:
    made = job(SPEC)
    spec = made["spec"]["template"]["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    security = spec["securityContext"]
    assert security["runAsNonRoot"] is True
    assert security["runAsUser"] > 0
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    assert set(containers(made)) == {RUNNER, EXECUTOR}
    for each in containers(made).values():
        own = each["securityContext"]
        assert own["runAsNonRoot"] is True
        assert own["readOnlyRootFilesystem"] is True
        assert own["allowPrivilegeEscalation"] is False
        assert own["capabilities"] == {"drop": ["ALL"]}
        assert "privileged" not in own
        assert "memory" in each["resources"]["limits"]


def test_the_executor_shares_a_socket_with_the_runner_and_nothing_else() -> None:
    made = job(SPEC.model_copy(update={"secret": "key"}))
    both = containers(made)
    mounts = {name: {m["name"]: m["mountPath"] for m in c["volumeMounts"]} for name, c in both.items()}
    volumes = {volume["name"]: volume for volume in made["spec"]["template"]["spec"]["volumes"]}
    assert set(mounts[RUNNER]) & set(mounts[EXECUTOR]) == {"shared"}
    assert volumes["shared"]["emptyDir"] == {}
    assert volumes["data"] == {"name": "data", "persistentVolumeClaim": {"claimName": "runs"}}
    assert "env" not in both[EXECUTOR]
    uds = both[EXECUTOR]["args"][both[EXECUTOR]["args"].index("--uds") + 1]
    assert uds.startswith(SHARED_DIR + "/")
    assert f"unix:{uds}" in both[RUNNER]["args"]


def test_the_key_is_named_and_not_shown() -> None:
    made = job(SPEC.model_copy(update={"secret": "key"}))
    variables = {each["name"]: each for each in containers(made)[RUNNER]["env"]}
    assert variables["ATLAS_API_KEY"] == {
        "name": "ATLAS_API_KEY",
        "valueFrom": {"secretKeyRef": {"name": "key", "key": "api-key"}},
    }
    assert "ATLAS_API_KEY" not in json.dumps(job(SPEC))
    owner = {"metadata": {"name": "j", "uid": "7", "labels": {}}}
    held = secret("key", "bench", "atlas_x", owner)
    assert held["stringData"] == {"api-key": "atlas_x"}
    (reference,) = held["metadata"]["ownerReferences"]
    assert reference["uid"] == "7"
    assert reference["blockOwnerDeletion"] is True


def test_a_killed_runner_is_started_again_with_the_same_run() -> None:
    made = job(SPEC)
    assert made["spec"]["template"]["spec"]["restartPolicy"] == "OnFailure"
    assert made["spec"]["backoffLimit"] == 6
    words = containers(made)[RUNNER]["args"]
    assert words[:4] == ["--limit", "2", "--run-id", "Monday_1"]
    assert words[-1] == "--json"
    assert same_work(made, words)
    assert not same_work(made, [*words, "--seed", "1"])


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", fullmatch=True))
def test_every_run_has_a_name_that_kubernetes_takes(run_id: str) -> None:
    name = job_name(run_id)
    assert len(name) <= 52
    assert name == name.lower()
    assert name.replace("-", "").isalnum()
    assert not name.endswith("-")
    assert job_name(run_id + "x") != name
