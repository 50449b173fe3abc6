"""Every pod that the chart makes, with every set of values: hardened, limited, and as its values say."""

from __future__ import annotations

import helm_python
import pytest

from benchmark.k8s.job import HARDENED, USER
from tests.charts.rendered_chart import (
    DIGEST,
    EVERYTHING,
    Object,
    Pod,
    cpu_values,
    environment,
    merged,
    notes,
    of_kind,
    one,
    pods,
    render,
    values_sets,
)

SERVICES = {"gateway", "planner", "lens", "sandbox", "repair"}
COMPONENTS = SERVICES | {"executor", "llama-server", "redis", "test"}
GPU = "nvidia.com/gpu"


def every_pod() -> list[tuple[str, Pod]]:
    return [(name, pod) for name, values in values_sets().items() for pod in pods(render(values)).values()]


PODS = every_pod()
each_pod = pytest.mark.parametrize(
    "pod", [pod for _, pod in PODS], ids=[f"{name}: {p.component}" for name, p in PODS]
)


def test_there_is_a_pod_of_each_component() -> None:
    assert set(pods(render())) == COMPONENTS
    assert set(pods(render(EVERYTHING))) == COMPONENTS | {"benchmark", "llama-server-1"}
    assert set(pods(render(values_sets()["external redis"]))) == COMPONENTS - {"redis"}


# ---------------------------------------------------------------- hardening


@each_pod
def test_it_is_an_ordinary_user_under_seccomp(pod: Pod) -> None:
    security = dict(pod.spec["securityContext"])
    profile = security.pop("seccompProfile")
    security.pop("appArmorProfile", None)  # of the executor, by value
    assert security == {"runAsNonRoot": True, "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER}
    if pod.component != "executor":
        assert profile == {"type": "RuntimeDefault"}
    assert profile["type"] in ("RuntimeDefault", "Localhost")


@each_pod
def test_its_containers_can_write_and_gain_nothing(pod: Pod) -> None:
    for container in pod.containers:
        assert container["securityContext"] == HARDENED


@each_pod
def test_it_holds_no_token_and_no_addresses_of_others(pod: Pod) -> None:
    assert pod.spec["automountServiceAccountToken"] is False
    # With service links a Service atlas-gateway becomes ATLAS_GATEWAY_..., which atlas.config refuses.
    assert pod.spec["enableServiceLinks"] is False


@each_pod
def test_it_shares_nothing_with_its_node(pod: Pod) -> None:
    assert not {"hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace"} & set(pod.spec)
    assert not any("hostPort" in port for container in pod.containers for port in container.get("ports", []))
    kinds = {kind for volume in pod.spec["volumes"] for kind in volume if kind != "name"}
    allowed = {"configMap", "secret", "emptyDir", "persistentVolumeClaim"}
    from_node = {"llama-server": "models", "lens": "weights", "gateway": "weights"}
    for volume in pod.spec["volumes"]:
        if "hostPath" in volume:
            assert volume["name"] == from_node.get(pod.component)
    assert kinds <= allowed | {"hostPath"}


@each_pod
def test_what_it_may_write_to_is_its_own(pod: Pod) -> None:
    kinds = {volume["name"]: volume for volume in pod.spec["volumes"]}
    for container in pod.containers:
        for mount in container["volumeMounts"]:
            volume = kinds.get(mount["name"]) or {"claim": pod.owner["spec"]["volumeClaimTemplates"]}
            if "configMap" in volume or "secret" in volume or "hostPath" in volume:
                assert mount["readOnly"] is True
    if pod.component != "benchmark":  # exactly the Job that v3_runner makes, see test_chart_job
        assert all("sizeLimit" in volume["emptyDir"] for volume in kinds.values() if "emptyDir" in volume)


@each_pod
def test_it_asks_for_what_it_needs_and_is_limited(pod: Pod) -> None:
    for container in pod.containers:
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]


@each_pod
def test_its_secrets_are_in_no_argument_and_no_plain_variable(pod: Pod) -> None:
    for container in pod.containers:
        for name, value in environment(container).items():
            if name in ("ATLAS_REDIS_URL", "ATLAS_API_KEY", "REDISCLI_AUTH"):
                assert set(value) == {"secretKeyRef"}
            assert "secret@" not in str(value)


@pytest.mark.parametrize("name", values_sets())
def test_service_accounts_have_no_token_either(name: str) -> None:
    made = render(values_sets()[name])
    accounts = of_kind(made, "ServiceAccount")
    assert all(account["automountServiceAccountToken"] is False for account in accounts.values())
    assert {pod.spec["serviceAccountName"] for pod in pods(made).values()} <= set(accounts)


def test_nothing_is_allowed_to_speak_to_the_api_server() -> None:
    kinds = {each["kind"] for values in values_sets().values() for each in render(values)}
    assert not {kind for kind in kinds if "Role" in kind}


def test_the_executor_holds_no_secret_and_no_setting() -> None:
    for values in values_sets().values():
        executor = pods(render(values))["executor"]
        assert environment(executor.main) == {}
        assert [set(volume) for volume in executor.spec["volumes"]] == [{"name", "emptyDir"}]


# ---------------------------------------------------------------- images


def test_every_image_is_by_digest_where_one_is_given() -> None:
    images = [container["image"] for pod in pods(render(EVERYTHING)).values() for container in pod.containers]
    assert len(images) > len(COMPONENTS)
    assert all(image.endswith(f"@{DIGEST}") and image.count(":") == 1 for image in images)


def test_every_image_has_a_version_where_no_digest_is_given() -> None:
    for pod in pods(render()).values():
        for container in pod.containers:
            tag = container["image"].rpartition(":")[2]
            assert tag
            assert tag != "latest"
            assert "/" not in tag


# ---------------------------------------------------------------- the model server


def test_the_gpu_is_asked_for_by_the_name_and_runtime_of_the_values() -> None:
    server = pods(render())["llama-server"]
    assert server.main["resources"]["limits"][GPU] == "1"
    assert server.spec["runtimeClassName"] == "nvidia"
    assert server.main["image"].endswith("-cuda")
    gpu = {"resourceName": "amd.com/gpu", "count": 2, "runtimeClassName": "other"}
    other = pods(render({"llamaServer": {"gpu": gpu}}))["llama-server"]
    assert other.main["resources"]["limits"]["amd.com/gpu"] == "2"
    assert GPU not in other.main["resources"]["limits"]
    assert other.spec["runtimeClassName"] == "other"
    plain = pods(render({"llamaServer": {"gpu": {"runtimeClassName": ""}}}))["llama-server"]
    assert "runtimeClassName" not in plain.spec


def test_nothing_else_asks_for_the_gpu_and_on_the_cpu_nothing_does() -> None:
    for values in values_sets().values():
        for pod in pods(render(values)).values():
            asks = GPU in str(pod.spec) or pod.spec.get("runtimeClassName") == "nvidia"
            assert asks == (pod.component.startswith("llama-server") and values != cpu_values())
    server = pods(render(cpu_values()))["llama-server"]
    assert environment(server.main)["ATLAS_GPU_DEVICE"] == "none"
    assert server.main["image"].endswith("-cpu")


def test_the_old_model_server_is_gone_before_the_new_one_loads() -> None:
    deployment = one(render(), "Deployment", "atlas-llama-server")
    assert deployment["spec"]["strategy"] == {"type": "Recreate"}
    assert deployment["spec"]["replicas"] == 1


@pytest.mark.parametrize("seconds", [60, 600, 1800, 7200])
def test_loading_may_take_as_long_as_the_values_say(seconds: int) -> None:
    probe = pods(render({"llamaServer": {"startupSeconds": seconds}}))["llama-server"].main["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == seconds


def weights_of(values: Object) -> dict[str, Object]:
    """What is mounted as Lens weights, by component."""
    found = {}
    for name, pod in pods(render({"lens": {"weights": values}})).items():
        for volume in pod.spec["volumes"]:
            if volume["name"] == "weights":
                mounts = {mount["name"]: mount for mount in pod.main["volumeMounts"]}
                assert mounts["weights"] == {"name": "weights", "mountPath": "/data/lens", "readOnly": True}
                assert {"name": "ATLAS_DATA_DIR", "value": "/data"} in pod.main["env"]
                found[name] = volume
    return found


def test_lens_weights_of_ones_own_come_to_who_scores_and_who_pins() -> None:
    assert weights_of({}) == {}
    volume = {"hostPath": {"path": "/srv/lens", "type": "DirectoryOrCreate"}}
    for_both = {name: {"name": "weights", **volume} for name in ("gateway", "lens")}
    assert weights_of({"hostPath": "/srv/lens"}) == for_both
    claim = {"persistentVolumeClaim": {"claimName": "mine", "readOnly": True}}
    for_both = {name: {"name": "weights", **claim} for name in ("gateway", "lens")}
    assert weights_of({"existingClaim": "mine"}) == for_both
    with pytest.raises(helm_python.HelmError, match="hostPath or existingClaim, not both"):
        weights_of({"hostPath": "/srv/lens", "existingClaim": "mine"})


def models_volume(values: Object) -> Object:
    volumes: list[Object] = pods(render({"llamaServer": {"models": values}}))["llama-server"].spec["volumes"]
    return next(volume for volume in volumes if volume["name"] == "models")


def test_models_come_from_where_the_values_say() -> None:
    path = {"source": "hostPath", "hostPath": "/srv/models"}
    assert models_volume(path)["hostPath"] == {"path": "/srv/models", "type": "Directory"}
    theirs = {"source": "existingClaim", "existingClaim": "mine"}
    assert models_volume(theirs)["persistentVolumeClaim"] == {"claimName": "mine"}
    assert models_volume({"source": "claim"})["persistentVolumeClaim"] == {"claimName": "atlas-models"}
    assert not of_kind(render({"llamaServer": {"models": theirs}}), "PersistentVolumeClaim")
    claim = one(render(EVERYTHING), "PersistentVolumeClaim", "atlas-models")
    assert claim["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
    assert claim["spec"]["resources"]["requests"]["storage"] == "50Gi"
    assert claim["spec"]["storageClassName"] == "fast"


def test_the_download_alone_may_write_to_the_models() -> None:
    server = pods(render(EVERYTHING))["llama-server"]
    (download,) = server.spec["initContainers"]
    assert {"name": "models", "mountPath": "/data/models"} in download["volumeMounts"]
    assert {"name": "models", "mountPath": "/data/models", "readOnly": True} in server.main["volumeMounts"]
    assert "initContainers" not in pods(render())["llama-server"].spec


# ---------------------------------------------------------------- the executor


def test_the_executor_is_a_pod_of_its_own_as_large_as_its_jobs() -> None:
    made = render(
        {"executor": {"jobs": 3, "memoryMiBPerJob": 1000, "milliCpuPerJob": 700, "isolation": "pod"}}
    )
    main = pods(made)["executor"].main
    assert main["resources"]["limits"] == {"memory": "3000Mi"}  # no limit on processor time
    assert main["resources"]["requests"]["cpu"] == "2100m"
    assert {"--jobs=3", "--isolation=pod"} <= set(main["args"])
    assert len(pods(made)["executor"].containers) == len(pods(made)["sandbox"].containers) == 1


@pytest.mark.parametrize(
    ("jobs", "executors", "workers", "each"), [(2, 1, 1, 2), (2, 3, 1, 6), (2, 3, 4, 2), (1, 1, 3, 1)]
)
def test_workers_have_as_much_in_hand_as_executors_can_run(
    jobs: int, executors: int, workers: int, each: int
) -> None:
    made = render({"executor": {"jobs": jobs, "replicas": executors}, "sandbox": {"replicas": workers}})
    assert environment(pods(made)["sandbox"].main)["ATLAS_SANDBOX_JOBS"] == str(each)


def test_the_node_may_open_namespaces_to_the_executor() -> None:
    executor = pods(render(merged(EVERYTHING, {"kubeVersion": "1.30.0"})))["executor"]
    security = executor.spec["securityContext"]
    assert security["seccompProfile"] == {"type": "Localhost", "localhostProfile": "atlas/executor.json"}
    assert security["appArmorProfile"] == {"type": "Localhost", "localhostProfile": "atlas-executor"}
    assert executor.spec["runtimeClassName"] == "gvisor"
    older = pods(render(merged(EVERYTHING, {"kubeVersion": "1.29.9"})))["executor"]
    assert "appArmorProfile" not in older.spec["securityContext"]
    annotation = "container.apparmor.security.beta.kubernetes.io/executor"
    assert older.annotations == {annotation: "localhost/atlas-executor"}
    assert executor.annotations == {}


# ---------------------------------------------------------------- all of them


def test_each_may_be_drained_one_at_a_time() -> None:
    for values in values_sets().values():
        made = render(values)
        budgets = of_kind(made, "PodDisruptionBudget").values()
        selected = {
            budget["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"] for budget in budgets
        }
        assert selected == set(pods(made)) - {"benchmark", "test"}
        assert all(budget["spec"]["maxUnavailable"] == 1 for budget in budgets)
        assert all("minAvailable" not in budget["spec"] for budget in budgets)


@pytest.mark.parametrize(
    ("version", "api"), [("1.20.2", "policy/v1beta1"), ("1.21.0", "policy/v1"), ("v1.35.1+k3s1", "policy/v1")]
)
def test_budgets_are_of_an_api_that_the_cluster_has(version: str, api: str) -> None:
    budgets = of_kind(render({"kubeVersion": version}), "PodDisruptionBudget").values()
    assert {budget["apiVersion"] for budget in budgets} == {api}


def test_selectors_choose_their_own_pods_and_no_others() -> None:
    for values in values_sets().values():
        made = render(values)
        found = pods(made)
        for each in made:
            selector = each.get("spec", {}).get("selector")
            if selector:
                labels = (selector.get("matchLabels") or selector).items()
                chosen = {name for name, pod in found.items() if labels <= pod.labels.items()}
                assert chosen == {dict(labels)["app.kubernetes.io/component"]}, each["metadata"]["name"]


def test_placement_and_names_are_by_value() -> None:
    found = pods(render(EVERYTHING))
    assert found["planner"].spec["nodeSelector"] == {"disk": "ssd"}
    assert found["planner"].spec["tolerations"][0]["key"] == "gpu"
    assert "nodeSelector" not in found["lens"].spec
    assert all(pod.spec["hostAliases"][0]["hostnames"] == ["atlas-redis"] for pod in found.values())
    assert all(pod.spec["imagePullSecrets"] == [{"name": "registry-key"}] for pod in found.values())
    assert "mine-gateway" in of_kind(render({"fullnameOverride": "mine"}), "Deployment")
    assert "demo-atlas-gateway" in of_kind(render(release="demo"), "Deployment")


def test_only_the_gateway_has_a_service_that_can_be_reached_from_outside() -> None:
    made = of_kind(render(EVERYTHING), "Service")
    assert made["atlas-gateway"]["spec"]["type"] == "NodePort"
    assert made["atlas-gateway"]["spec"]["ports"][0] == {
        "name": "http",
        "protocol": "TCP",
        "port": 80,
        "targetPort": "http",
        "nodePort": 30840,
    }
    assert {service["spec"]["type"] for name, service in made.items() if name != "atlas-gateway"} == {
        "ClusterIP"
    }
    models = {"atlas-llama-server", "atlas-llama-server-1"}
    assert set(made) == {"atlas-gateway", "atlas-executor", "atlas-redis"} | models


def test_each_of_several_model_servers_is_a_deployment_of_its_own_with_an_address() -> None:
    made = render(merged(EVERYTHING, {"llamaServer": {"service": {"clusterIP": "10.43.0.8"}}}))
    first, second = (one(made, "Deployment", f"atlas-llama-server{n}")["spec"] for n in ("", "-1"))
    assert first["template"]["spec"]["containers"] == second["template"]["spec"]["containers"]
    assert first["selector"] != second["selector"]
    assert first["selector"] == one(render(), "Deployment", "atlas-llama-server")["spec"]["selector"], (
        "a selector cannot be changed: more replicas leave the first as it is"
    )
    ips = {name: service["spec"].get("clusterIP") for name, service in of_kind(made, "Service").items()}
    assert (ips["atlas-llama-server"], ips["atlas-llama-server-1"]) == ("10.43.0.8", None)
    claims = of_kind(made, "PersistentVolumeClaim")
    assert list(claims) == ["atlas-models"], "one, that all of them read"


def test_notes_say_what_to_do_next() -> None:
    said = notes()
    for command in (
        "rollout status deployment/atlas-llama-server",
        "test atlas",
        "get secret atlas-api-key",
        "port-forward",
    ):
        assert command in said
    assert "/var/lib/atlas/models" in said
    assert "download.enabled=false" not in said
    assert "download.enabled=false" in notes(EVERYTHING)
    assert "port-forward" not in notes(EVERYTHING)


@pytest.mark.parametrize("name", values_sets())
def test_every_port_names_its_protocol(name: str) -> None:
    """It is part of a port's key: server-side apply, which is Helm 4's way, refuses it without on 1.20."""
    made = render(values_sets()[name])
    containers = [container for pod in pods(made).values() for container in pod.containers]
    ports = [port for container in containers for port in container.get("ports", [])]
    ports += [port for each in of_kind(made, "Service").values() for port in each["spec"]["ports"]]
    assert len(ports) > 8
    assert {port.get("protocol") for port in ports} == {"TCP"}


@pytest.mark.parametrize("name", values_sets())
def test_every_quantity_is_text(name: str) -> None:
    """A number does as well, but not for the server-side apply of Kubernetes 1.20."""
    containers = [
        container for pod in pods(render(values_sets()[name])).values() for container in pod.containers
    ]
    quantities = [
        quantity
        for container in containers
        for kind in ("requests", "limits")
        for quantity in container["resources"].get(kind, {}).values()
    ]
    assert len(quantities) > 20
    assert {type(quantity) for quantity in quantities} == {str}
