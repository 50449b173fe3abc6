"""Who can reach whom, worked out from the rendered NetworkPolicies, against a table written by hand."""

from __future__ import annotations

import itertools

import pytest

from benchmark.k8s.job import JobSpec, job
from tests.charts.network_rules import Network, Party
from tests.charts.rendered_chart import (
    EVERYTHING,
    EXTERNAL_REDIS,
    NAMESPACE,
    Object,
    cpu_values,
    merged,
    of_kind,
    pods,
    render,
)

Edge = tuple[str, str, str, int]
HERE = {"kubernetes.io/metadata.name": NAMESPACE}
SYSTEM = {"kubernetes.io/metadata.name": "kube-system"}
ELSEWHERE = {"kubernetes.io/metadata.name": "elsewhere"}
INSIDE = {"gateway": 8400, "redis": 6379, "llama-server": 8080, "executor": 8500}
PORTS = [*INSIDE.values(), *range(8401, 8405), 22, 80, 443, 6380, 6443, 10250]
BENCHMARK = {"benchmark": {"enabled": True}}

# The whole table.
CALLS: set[Edge] = {
    *((caller, "redis", "TCP", 6379) for caller in ("gateway", "planner", "lens", "repair", "sandbox")),
    *((caller, "llama-server", "TCP", 8080) for caller in ("gateway", "planner", "lens", "repair")),
    ("sandbox", "executor", "TCP", 8500),
    *((caller, "gateway", "TCP", 8400) for caller in ("test", "benchmark", "a run of v3_runner")),
}
# Who looks up names: whoever calls.
DNS: set[Edge] = {(caller, "dns", protocol, 53) for caller, *_ in CALLS for protocol in ("TCP", "UDP")}
# The one door. Strangers are pods of other applications, in this namespace and in another, and machines.
STRANGERS = ("a pod beside it", "a pod elsewhere", "dns", "internet", "a machine next door")
DOOR: set[Edge] = {(stranger, "gateway", "TCP", 8400) for stranger in STRANGERS}


def parties(made: list[Object]) -> list[Party]:
    ours = [Party(name, pod.labels, NAMESPACE, HERE) for name, pod in pods(made).items()]
    run = job(JobSpec(run_id="monday", namespace=NAMESPACE, gateway="http://atlas-gateway:8400"))
    name = {"app.kubernetes.io/name": "atlas"}
    return [
        *ours,
        Party("a run of v3_runner", run["spec"]["template"]["metadata"]["labels"], NAMESPACE, HERE),
        # A component that a later version adds without a policy.
        Party(
            "a component without a policy", {**name, "app.kubernetes.io/component": "new"}, NAMESPACE, HERE
        ),
        Party(
            "a planner of another release", pods(render(release="other"))["planner"].labels, NAMESPACE, HERE
        ),
        Party(
            "an executor of another release",
            pods(render(release="other"))["executor"].labels,
            NAMESPACE,
            HERE,
        ),
        Party("a pod beside it", {"app": "web"}, NAMESPACE, HERE),
        Party("a pod elsewhere", {"app": "web"}, "elsewhere", ELSEWHERE),
        Party("a planner elsewhere", pods(made)["planner"].labels, "elsewhere", ELSEWHERE),
        Party("dns", {"k8s-app": "kube-dns"}, "kube-system", SYSTEM),
        Party("not dns", {"k8s-app": "metrics-server"}, "kube-system", SYSTEM),
        Party("internet", address="93.184.216.34"),
        Party("a machine next door", address="192.168.1.10"),
        Party("redis elsewhere", address="10.1.2.3"),
        Party("metadata service", address="169.254.169.254"),
    ]


def reachable(values: Object, policies: list[Object] | None = None) -> set[Edge]:
    """Return every connection that is allowed from or to one of the chart's pods."""
    made = render(values)
    network = Network(of_kind(made, "NetworkPolicy").values() if policies is None else policies, NAMESPACE)
    ours = {*pods(made), "a run of v3_runner", "a component without a policy"}
    everyone = parties(made)
    calls = [("TCP", port) for port in PORTS] + [("TCP", 53), ("UDP", 53), ("UDP", 443)]
    return {
        (one.name, other.name, protocol, port)
        for one, other in itertools.permutations(everyone, 2)
        if one.name in ours or other.name in ours
        for protocol, port in calls
        if network.allows(one, other, protocol, port)
    }


# Not of this release, nor of any with a policy here: they are as free as their own namespace leaves them.
FREE = {("a planner elsewhere", "gateway", "TCP", 8400), ("not dns", "gateway", "TCP", 8400)}
FREE |= {(name, "gateway", "TCP", 8400) for name in ("redis elsewhere", "metadata service")}


@pytest.mark.parametrize("values", [BENCHMARK, merged(cpu_values(), BENCHMARK)], ids=["default", "cpu"])
def test_the_edges_are_exactly_these(values: Object) -> None:
    assert reachable(values) == CALLS | DNS | DOOR | FREE


def test_a_download_opens_the_model_server_to_the_internet_and_nothing_else() -> None:
    values = merged(BENCHMARK, {"llamaServer": {"models": {"download": {"enabled": True}}}})
    opened: set[Edge] = {("llama-server", "internet", "TCP", 443)}
    opened |= {("llama-server", "dns", protocol, 53) for protocol in ("TCP", "UDP")}
    assert reachable(values) - reachable(BENCHMARK) == opened
    assert reachable(BENCHMARK) <= reachable(values)


def test_each_of_several_model_servers_is_reached_as_one_is() -> None:
    more: set[Edge] = {
        (caller, f"llama-server-{number}", "TCP", 8080)
        for caller in ("gateway", "planner", "lens", "repair")
        for number in (1, 2)
    }
    assert reachable(merged(BENCHMARK, {"llamaServer": {"replicas": 3}})) == CALLS | more | DNS | DOOR | FREE


def test_an_external_redis_is_reached_where_the_values_say_and_no_other_address_is() -> None:
    callers = ("gateway", "planner", "lens", "repair", "sandbox")
    outside: set[Edge] = {(caller, "redis elsewhere", "TCP", 6380) for caller in callers}
    inside = {edge for edge in CALLS if edge[1] != "redis"}
    assert reachable(merged(BENCHMARK, EXTERNAL_REDIS)) == inside | outside | DNS | DOOR | FREE


def test_the_door_can_be_narrowed() -> None:
    # EVERYTHING names 192.168.0.0/16, and downloads.
    came = {one for one, other, _, port in reachable(EVERYTHING) if (other, port) == ("gateway", 8400)}
    assert came == {"test", "benchmark", "a run of v3_runner", "a machine next door"}


def test_nothing_is_allowed_to_a_pod_without_a_policy_of_its_own() -> None:
    assert not [edge for edge in reachable(BENCHMARK) if "a component without a policy" in edge]


def test_releases_do_not_reach_each_other() -> None:
    ours = of_kind(render(BENCHMARK), "NetworkPolicy")
    theirs = of_kind(render(release="other"), "NetworkPolicy")
    assert not set(ours) & set(theirs)
    both = [*ours.values(), *theirs.values()]
    crossing = {edge for edge in reachable(BENCHMARK, both) if "of another release" in edge[0] + edge[1]}
    assert crossing == set()


def test_every_pod_is_under_a_policy_for_both_directions() -> None:
    for policy in of_kind(render(EVERYTHING), "NetworkPolicy").values():
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]


@pytest.mark.parametrize("gone", ["atlas-nothing", "atlas-executor", "atlas-redis", "atlas-sandbox"])
def test_the_table_notices_a_policy_that_is_gone(gone: str) -> None:
    policies = of_kind(render(BENCHMARK), "NetworkPolicy")
    del policies[gone]
    assert reachable(BENCHMARK, list(policies.values())) != CALLS | DNS | DOOR | FREE
