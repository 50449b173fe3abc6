"""The Kubernetes API as the test uses it: JSON in, JSON out."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from kubernetes import client, config, dynamic
from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

from atlas.errors import BadInput

Object = dict[str, Any]
FIELD_MANAGER = "atlas-cluster-test"
TIMEOUT_S = (5.0, 60.0)


class Api:
    """One cluster, as its kubeconfig's user sees it."""

    def __init__(self, kubeconfig: Path) -> None:
        # It warns of every attempt while the server starts.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
        # Untyped: much of the package has no annotations, and some has wrong ones.
        self._client: Any = _untyped(config).new_client_from_config(str(kubeconfig))
        self._core: Any = client.CoreV1Api(self._client)
        self._resources: Any = None

    def ready(self) -> bool:
        try:
            self._client.call_api("/readyz", "GET", auth_settings=["BearerToken"], _request_timeout=5)
        except (ApiException, HTTPError, OSError):
            return False
        return True

    def version(self) -> str:
        return str(client.VersionApi(self._client).get_code().git_version)

    def node_ready(self, name: str) -> bool:
        try:
            node = self._core.read_node(name)
        except ApiException as error:
            if error.status == 404:
                return False
            raise
        return any(each.type == "Ready" and each.status == "True" for each in node.status.conditions or ())

    def create_namespace(self, name: str) -> None:
        self.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}, namespace="")

    def apply(self, object_: Object, namespace: str, *, try_only: bool = False) -> Object:
        """Have the server create or change an object (server-side apply), or only say whether it would.

        Raises:
            BadInput: the server refuses it; the message says why.
        """
        about = f"{object_['kind']} {object_['metadata']['name']}"
        try:
            resource = self._resource(object_["apiVersion"], object_["kind"])
            made = resource.server_side_apply(
                body=object_,
                namespace=namespace if resource.namespaced else None,
                field_manager=FIELD_MANAGER,
                force_conflicts=True,
                **({"dry_run": "All"} if try_only else {}),
            )
        except dynamic.exceptions.ResourceNotFoundError as error:
            raise BadInput(f"{about}: the server knows no {object_['apiVersion']}: {error}") from error
        except ApiException as error:
            raise BadInput(f"{about}: {error.status} {error.body!r}") from error
        return dict(made.to_dict())

    def get(self, api_version: str, kind: str, name: str, namespace: str) -> Object:
        """Return an object.

        Raises:
            ApiException: there is none.
        """
        return dict(self._resource(api_version, kind).get(name=name, namespace=namespace).to_dict())

    def pods(self, namespace: str, component: str = "") -> list[Object]:
        selector = f"app.kubernetes.io/component={component}" if component else ""
        listed = self._resource("v1", "Pod").get(namespace=namespace, label_selector=selector)
        return [dict(pod) for pod in listed.to_dict()["items"]]

    def kill_pod(self, namespace: str, name: str) -> None:
        """Delete a pod as `kubectl delete pod --force --grace-period=0` does."""
        self._core.delete_namespaced_pod(name, namespace, grace_period_seconds=0)

    def log(self, namespace: str, pod: str, container: str, lines: int = 40) -> str:
        """Return the end of a container's log, or why there is none."""
        try:
            return str(
                self._core.read_namespaced_pod_log(
                    pod, namespace, container=container, tail_lines=lines, _request_timeout=TIMEOUT_S
                )
            )
        except ApiException as error:
            return f"(no log: {error.status} {error.reason})"

    def events(self, namespace: str) -> list[str]:
        """Return what the cluster warns of."""
        listed = self._core.list_namespaced_event(namespace, field_selector="type=Warning").items
        return [f"{each.involved_object.name}: {each.reason}: {each.message}" for each in listed]

    def _resource(self, api_version: str, kind: str) -> Any:
        if self._resources is None:
            self._resources = _untyped(dynamic).DynamicClient(self._client)
        return self._resources.resources.get(api_version=api_version, kind=kind)


def _untyped(module: Any) -> Any:
    return module
