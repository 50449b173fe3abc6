"""The values that the chart is applied with: services are found by what they say, not by a DNS."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from pathlib import Path

from tests.charts.rendered_chart import Object, environment, of_kind, pods
from tests.cluster import checks, images, node, release

VALUES = release.values_of(Path("/somewhere/models"), "smollm2-135m")


def test_every_pod_knows_the_address_of_every_service() -> None:
    kept, tests = release.render(VALUES)
    services = of_kind(kept, "Service")
    given = {name: each["spec"]["clusterIP"] for name, each in services.items()}
    assert set(given) == {f"{release.RELEASE}-{name}" for name in release.ADDRESSES}
    for pod in pods([*kept, *tests]).values():
        known = {alias["hostnames"][0]: alias["ip"] for alias in pod.spec["hostAliases"]}
        assert known == given


def test_addresses_are_of_services_and_not_of_pods() -> None:
    for address in release.ADDRESSES.values():
        assert ip_address(address) in ip_network(node.SERVICES)
        assert ip_address(address) not in ip_network(node.PODS)


def test_the_pod_of_helm_test_is_kept_apart() -> None:
    kept, (test,) = release.render(VALUES)
    assert test["kind"] == "Pod"
    assert "Pod" not in {each["kind"] for each in kept}


def test_every_image_is_one_that_is_built() -> None:
    kept, tests = release.render({**VALUES, **checks.BENCHMARK})
    wanted = {container["image"] for pod in pods([*kept, *tests]).values() for container in pod.containers}
    assert wanted == {image.tag for image in images.ALL.values()} - {images.PAUSE}


def test_the_volume_is_the_one_that_redis_claims() -> None:
    kept, _ = release.render(VALUES)
    (redis,) = of_kind(kept, "StatefulSet").values()
    (claim,) = redis["spec"]["volumeClaimTemplates"]
    volume: Object = release.volume(Path("/somewhere/data"))
    name = f"{claim['metadata']['name']}-{redis['metadata']['name']}-0"
    assert volume["spec"]["claimRef"] == {"namespace": release.NAMESPACE, "name": name}
    assert volume["spec"]["capacity"] == claim["spec"]["resources"]["requests"]


def test_the_model_and_its_directory_are_those_that_were_named() -> None:
    kept, _ = release.render(VALUES)
    server = pods(kept)["llama-server"]
    assert environment(server.main)["ATLAS_MODEL"] == "smollm2-135m"
    assert server.spec["volumes"][0]["hostPath"]["path"] == "/somewhere/models"
