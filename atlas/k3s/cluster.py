"""A cluster, as far as installing, verifying and uninstalling speak to its API.

Requests are plain REST (objects of any kind, as JSON); the `kubernetes` package reads the kubeconfig and runs
commands in pods, which takes a protocol of its own.
"""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx

from atlas.errors import BadInput, ConfigError, InfrastructureError, NotFound, StartupError

Object = dict[str, Any]
MANAGER = "atlas"  # whom the fields belong to that are applied
TIMEOUT_S = 30.0
EXEC_S = 60.0
INSTALL = "pip install 'kubernetes>=31' (or install ATLAS with its extra `k8s`)"
UNNAMESPACED = {"Namespace", "RuntimeClass"}


class Cluster:
    """A client of an API server.

    Every method raises `NotFound`, `BadInput` (refused, in the API's own words), `ConfigError` (not allowed)
    or `InfrastructureError` (not reached, or failed).
    """

    def __init__(self, configuration: Any) -> None:  # noqa: ANN401 - kubernetes.client.Configuration, untyped
        self._configuration = configuration
        # The package's own words for it: its releases keep a token under different names.
        token = configuration.auth_settings().get("BearerToken")
        headers = {"Authorization": str(token["value"])} if token else {}
        self._http = httpx.Client(
            base_url=configuration.host,
            headers=headers,
            verify=_tls(configuration),
            timeout=TIMEOUT_S,
            trust_env=False,
        )

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def get(self, path: str, **query: str) -> Object:
        """Return what the API has at a path, as in /api/v1/nodes."""
        return self._send("GET", path, query)

    def items(self, path: str, **query: str) -> list[Object]:
        """Return the objects of a list."""
        return list(self.get(path, **query).get("items") or [])

    def find(self, path: str) -> Object | None:
        """Return an object, or None if there is none."""
        try:
            return self.get(path)
        except NotFound:
            return None

    def apply(self, wanted: Object) -> None:
        """Make an object be as it is given, whatever is there (server-side apply)."""
        about = wanted["metadata"]
        path = f"{collection(wanted)}/{about['name']}"
        query = {"fieldManager": MANAGER, "force": "true"}
        self._send("PATCH", path, query, wanted, "application/apply-patch+yaml")

    def create(self, wanted: Object) -> bool:
        """Create an object; False, and nothing is changed, if there is one of that name."""
        if self.find(f"{collection(wanted)}/{wanted['metadata']['name']}") is not None:
            return False
        self._send("POST", collection(wanted), {}, wanted)
        return True

    def delete(self, path: str) -> bool:
        """Delete what is at a path, with what it owns; False if there is nothing."""
        try:
            self._send("DELETE", path, {"propagationPolicy": "Background"})
        except NotFound:
            return False
        return True

    def execute(self, namespace: str, pod: str, container: str, command: Sequence[str]) -> str:
        """Run a command in a container and return what it printed."""
        from kubernetes import client, stream
        from kubernetes.client.exceptions import ApiException
        from websocket import WebSocketException

        # An ApiClient of its own: `stream` puts its protocol into the client for as long as it runs.
        with client.ApiClient(self._configuration) as api:
            try:
                running: Any = stream.stream(
                    client.CoreV1Api(api).connect_get_namespaced_pod_exec,
                    pod,
                    namespace,
                    container=container,
                    command=list(command),
                    stdin=False,
                    stdout=True,
                    stderr=True,
                    tty=False,
                    _preload_content=False,
                    _request_timeout=EXEC_S,
                )
                with closing(running.sock.sock):  # it is left open where the server was the first to end
                    running.run_forever(timeout=EXEC_S)
                    out, err = running.read_stdout(timeout=0), running.read_stderr(timeout=0)
                    code = running.returncode
            except (ApiException, WebSocketException, OSError) as error:
                said = str(error).strip().partition("\n")[0]
                raise InfrastructureError(f"cannot run a command in pod {pod}: {said}") from error
        if code:
            said = str(err or out)[-500:]
            raise InfrastructureError(f"{command[0]} in pod {pod} ended with {code}: {said}")
        return str(out or "")

    def version(self) -> str:
        """Return the server's version, as in v1.34.1+k3s1."""
        return str(self.get("/version")["gitVersion"])

    def has_helm_charts(self) -> bool:
        """Whether the cluster has K3s's controller for HelmChart objects."""
        return self.find("/apis/helm.cattle.io/v1") is not None

    def _send(
        self,
        method: str,
        path: str,
        query: dict[str, str],
        body: Object | None = None,
        kind: str = "application/json",
    ) -> Object:
        content = None if body is None else json.dumps(body)
        headers = {} if body is None else {"Content-Type": kind}
        try:
            answer = self._http.request(method, path, params=query, content=content, headers=headers)
        except httpx.HTTPError as error:
            raise InfrastructureError(
                f"the cluster's API at {self._configuration.host} does not answer: {error}"
            ) from error
        if answer.is_success:
            found: Object = answer.json()
            return found
        said = f"the cluster's API answers {answer.status_code} to {method} {path}: {_message(answer)}"
        if answer.status_code == 404:
            raise NotFound(said)
        if answer.status_code in (401, 403):
            raise ConfigError(f"{said}; see `kubectl auth can-i --list`")
        if answer.is_client_error:
            raise BadInput(said)
        raise InfrastructureError(said)


def connect(kubeconfig: Path) -> Cluster:
    """Return the cluster of a kubeconfig's current context.

    Raises:
        StartupError: the `kubernetes` package is not installed.
        ConfigError: the file is not there, or no kubeconfig.
    """
    try:
        from kubernetes import client, config
    except ImportError as error:
        raise StartupError(f"this needs the `kubernetes` package: {INSTALL}") from error
    if kubeconfig.exists() and not os.access(kubeconfig, os.R_OK):
        raise ConfigError(f"{kubeconfig} is not for this user to read: call this with sudo")
    settings = client.Configuration()
    loader: Any = config  # untyped in the package
    try:
        loader.load_kube_config(config_file=str(kubeconfig), client_configuration=settings)
    except (loader.ConfigException, OSError) as error:
        raise ConfigError(f"no cluster by {kubeconfig}: {error}") from error
    return Cluster(settings)


def collection(wanted: Object) -> str:
    """Return the path of the list that an object is in."""
    group, kind = wanted["apiVersion"], wanted["kind"]
    base = f"/apis/{group}" if "/" in group else f"/api/{group}"
    place = "" if kind in UNNAMESPACED else f"/namespaces/{wanted['metadata']['namespace']}"
    return f"{base}{place}/{plural(kind)}"


def plural(kind: str) -> str:
    """Return the name of a kind's list: networkpolicies, runtimeclasses, pods."""
    word = kind.lower()
    if word.endswith("y"):
        return f"{word[:-1]}ies"
    return f"{word}es" if word.endswith("ss") else f"{word}s"


def _tls(configuration: Any) -> ssl.SSLContext | bool:  # noqa: ANN401 - as above
    if not str(configuration.host).startswith("https"):
        return False
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if not configuration.verify_ssl:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    return context


def _message(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["message"])
    except (ValueError, LookupError, TypeError):
        return answer.text[:300]
