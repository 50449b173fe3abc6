"""The chart's benchmark Job is the one that `v3_runner.py --k8s` makes, so that it can watch it."""

from __future__ import annotations

import pytest

from benchmark.k8s.job import (
    API_KEY_FIELD,
    EXECUTOR_MEMORY_MIB,
    EXECUTOR_MILLI_CPU,
    JobSpec,
    job,
    job_name,
    runner_arguments,
    same_work,
)
from tests.charts.rendered_chart import (
    NAMESPACE,
    Object,
    chart,
    cpu_values,
    environment,
    merged,
    of_kind,
    pods,
    render,
)

ARGUMENTS = ("--condition", "A", "--dataset", "/data/a 'b' \"c\" <d> & e.jsonl", "--limit", "8")


def ours(run_id: str = "monday", **benchmark: object) -> Object:
    values = {"benchmark": {"enabled": True, "runId": run_id, "arguments": list(ARGUMENTS), **benchmark}}
    (made,) = of_kind(render(values), "Job").values()
    return made


def theirs(run_id: str = "monday", **rest: object) -> tuple[JobSpec, Object]:
    spec = JobSpec.model_validate(
        {
            "run_id": run_id,
            "namespace": NAMESPACE,
            "gateway": "http://atlas-gateway:8400",
            "image": pods(render())["planner"].main["image"],
            "arguments": ARGUMENTS,
            "secret": "atlas-api-key",
            **rest,
        }
    )
    return spec, job(spec)


def without_what_helm_adds(made: Object) -> Object:
    """Drop a service account, a policy of pulling and a namespace, which theirs leaves to the cluster."""
    pod = made["spec"]["template"]["spec"]
    assert pod.pop("serviceAccountName") == "atlas-benchmark"
    for container in pod["containers"]:
        assert container.pop("imagePullPolicy") == "IfNotPresent"
    made["metadata"]["namespace"] = NAMESPACE
    return made


@pytest.mark.parametrize("claim", [None, "atlas-runs"])
@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_it_is_the_same_job(claim: str | None, jobs: int) -> None:
    spec, made = theirs(claim=claim, jobs=jobs)
    assert without_what_helm_adds(ours(claim=claim or "", jobs=jobs)) == made
    assert same_work(ours(claim=claim or "", jobs=jobs), runner_arguments(spec))


@pytest.mark.parametrize(
    "run_id", ["monday", "A", "2026-11-28T17.00_full", "x" * 100, "a" * 26 + ".b", "Z--", "full_s0.1", "0"]
)
def test_it_has_the_same_name(run_id: str) -> None:
    assert ours(run_id)["metadata"]["name"] == job_name(run_id)


def test_there_is_none_unless_it_is_asked_for() -> None:
    assert not of_kind(render(), "Job")


def test_its_executor_holds_no_key_and_none_of_the_runs() -> None:
    runner, executor = ours()["spec"]["template"]["spec"]["containers"]
    assert environment(runner)["ATLAS_API_KEY"] == {
        "secretKeyRef": {"name": "atlas-api-key", "key": API_KEY_FIELD}
    }
    assert environment(executor) == {}
    assert {mount["name"] for mount in executor["volumeMounts"]} == {"shared", "executor-tmp"}


def test_executors_have_the_same_memory_and_processor_time_for_each_program() -> None:
    assert chart().values["executor"]["memoryMiBPerJob"] == EXECUTOR_MEMORY_MIB
    assert chart().values["executor"]["milliCpuPerJob"] == EXECUTOR_MILLI_CPU


def test_a_machine_of_two_cores_has_room_for_all_pods_at_once() -> None:
    made = pods(render(merged(cpu_values(), {"benchmark": {"enabled": True}})))
    assert {"benchmark", "test", "llama-server"} <= set(made)
    running = [container for pod in made.values() for container in pod.main_ones]
    asked = [container["resources"]["requests"]["cpu"] for container in running]
    k3s_itself = 200  # thousandths of a core: CoreDNS and the metrics server
    assert sum(thousandths(cpu) for cpu in asked) <= 2000 - k3s_itself


def thousandths(cpu: str) -> int:
    return int(cpu.removesuffix("m")) if cpu.endswith("m") else 1000 * int(cpu)
