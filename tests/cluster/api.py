"""The Kubernetes API as the test uses it: JSON in, JSON out, over the client that ATLAS has anyway.

The official Python client is not used: the server is six years older, and what is asked is five paths.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from atlas.errors import BadInput, InfrastructureError, NotFound

Object = dict[str, Any]
FIELD_MANAGER = "atlas-cluster-test"
TIMEOUT_S = 60.0
APPLY = {"content-type": "application/apply-patch+yaml"}  # of which JSON is a part


class Api:
    """One cluster, as a user with a token sees it.

    Every method but `ready` raises `BadInput` (refused, with the server's own words), `NotFound` or
    `InfrastructureError` (not reached).
    """

    def __init__(self, server: str, token: str, authority: Path) -> None:
        self._http = httpx.Client(
            base_url=server,
            headers={"authorization": f"Bearer {token}"},
            verify=ssl.create_default_context(cafile=str(authority)),
            timeout=TIMEOUT_S,
            trust_env=False,
        )
        self._kinds: dict[str, dict[str, tuple[str, bool]]] = {}

    def ready(self) -> bool:
        try:
            return self._http.get("/readyz", timeout=5).status_code == 200
        except httpx.RequestError:
            return False

    def version(self) -> str:
        return str(self._ask("GET", "/version")["gitVersion"])

    def node_ready(self, name: str) -> bool:
        """Whether a node is known and Ready."""
        try:
            conditions = self.get("v1", "Node", name)["status"].get("conditions", ())
        except NotFound:
            return False
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    def apply(self, object_: Object, namespace: str = "", *, try_only: bool = False) -> Object:
        """Have the server create or change an object (server-side apply), or only say whether it would."""
        name = object_["metadata"]["name"]
        parameters = {
            "fieldManager": FIELD_MANAGER,
            "force": "true",
            **({"dryRun": "All"} if try_only else {}),
        }
        path = self._path(object_["apiVersion"], object_["kind"], namespace, name)
        try:
            return self._ask("PATCH", path, params=parameters, json=object_, headers=APPLY)
        except BadInput as error:
            raise BadInput(f"{object_['kind']} {name}: {error}") from error

    def get(self, version: str, kind: str, name: str, namespace: str = "") -> Object:
        return self._ask("GET", self._path(version, kind, namespace, name))

    def exists(self, version: str, kind: str, name: str, namespace: str = "") -> bool:
        try:
            self.get(version, kind, name, namespace)
        except NotFound:
            return False
        return True

    def objects(self, version: str, kind: str, namespace: str, **selectors: str) -> list[Object]:
        """Return objects; `selectors` are labelSelector and fieldSelector."""
        items = self._ask("GET", self._path(version, kind, namespace), params=selectors)["items"]
        return [dict(each) for each in items]

    def pods(self, namespace: str, component: str = "") -> list[Object]:
        selector = f"app.kubernetes.io/component={component}" if component else ""
        return self.objects("v1", "Pod", namespace, labelSelector=selector)

    def kill_pod(self, namespace: str, name: str) -> None:
        """Delete a pod as `kubectl delete pod --force --grace-period=0` does."""
        self._ask("DELETE", self._path("v1", "Pod", namespace, name), params={"gracePeriodSeconds": "0"})

    def log(self, namespace: str, pod: str, container: str, lines: int = 40) -> str:
        """Return the end of a container's log, or why there is none."""
        path = self._path("v1", "Pod", namespace, pod) + "/log"
        answer = self._http.get(path, params={"container": container, "tailLines": str(lines)})
        return answer.text if answer.is_success else f"(no log: {answer.status_code} {answer.text})"

    def warnings(self, namespace: str) -> list[str]:
        """Return what the cluster complains of."""
        events = self.objects("v1", "Event", namespace, fieldSelector="type=Warning")
        return [f"{each['involvedObject']['name']}: {each['reason']}: {each['message']}" for each in events]

    def _path(self, version: str, kind: str, namespace: str, name: str = "") -> str:
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if version not in self._kinds:
            self._kinds[version] = {
                each["kind"]: (each["name"], each["namespaced"])
                for each in self._ask("GET", root)["resources"]
                if "/" not in each["name"]
            }
        if kind not in self._kinds[version]:
            raise BadInput(f"the server knows no {kind} of {version}")
        plural, namespaced = self._kinds[version][kind]
        where = f"/namespaces/{quote(namespace)}" if namespaced else ""
        return f"{root}{where}/{plural}" + (f"/{quote(name)}" if name else "")

    def _ask(self, method: str, path: str, **rest: Any) -> Object:
        try:
            answer = self._http.request(method, path, **rest)
        except httpx.RequestError as error:
            raise InfrastructureError(f"the API server does not answer: {error!r}") from error
        if answer.is_success:
            return dict(answer.json())
        said = f"{answer.status_code} {answer.text}"
        if answer.status_code == 404:
            raise NotFound(said)
        raise BadInput(said) if answer.is_client_error else InfrastructureError(said)
