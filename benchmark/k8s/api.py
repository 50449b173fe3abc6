"""The few calls of Kubernetes' API that a Job needs, through its Python client, with errors that help."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from atlas.errors import BadInput, ConfigError, Conflict, InfrastructureError, NotFound, StartupError
from benchmark.k8s.job import RUNNER

if TYPE_CHECKING:  # the package is an extra: what needs it imports it when it runs
    from kubernetes.client import ApiClient, ApiException
    from urllib3 import HTTPResponse

INSTALL = "pip install 'kubernetes>=31' (or install ATLAS with its extra `k8s`)"
TIMEOUT_S = (5.0, 30.0)  # to connect, to answer
LOG_TIMEOUT_S = (5.0, 60.0)  # a log may be silent for as long as a task takes: then it is taken up again

Object = dict[str, Any]


class Cluster:
    """One namespace of a cluster, as `kubectl` with the same context sees it.

    Every method raises `NotFound`, `Conflict`, `BadInput` (refused, with the API's own words) or
    `InfrastructureError` (not reached).
    """

    def __init__(self, api: ApiClient, namespace: str) -> None:
        from kubernetes import client

        self.namespace = namespace
        # Untyped: the package's signatures want its own model classes, and its code takes JSON as well.
        self._api: Any = api
        self._batch: Any = client.BatchV1Api(api)
        self._core: Any = client.CoreV1Api(api)

    def create_job(self, body: Object) -> Object:
        """Create a Job and return it as the API has it."""
        with _told():
            return self._plain(
                self._batch.create_namespaced_job(self.namespace, body, _request_timeout=TIMEOUT_S)
            )

    def job(self, name: str) -> Object:
        """Return a Job."""
        with _told():
            return self._plain(
                self._batch.read_namespaced_job(name, self.namespace, _request_timeout=TIMEOUT_S)
            )

    def delete_job(self, name: str) -> None:
        """Delete a Job; it is there until its pods are gone."""
        with _told():
            self._batch.delete_namespaced_job(
                name, self.namespace, propagation_policy="Foreground", _request_timeout=TIMEOUT_S
            )

    def create_secret(self, body: Object) -> None:
        """Create a Secret; one of that name that is there stays as it is."""
        try:
            with _told():
                self._core.create_namespaced_secret(self.namespace, body, _request_timeout=TIMEOUT_S)
        except Conflict:
            return

    def pods(self, job: str) -> list[Object]:
        """Return the pods of a Job, the newest last."""
        with _told():
            listed = self._core.list_namespaced_pod(
                self.namespace, label_selector=f"job-name={job}", _request_timeout=TIMEOUT_S
            )
        pods: list[Object] = self._plain(listed)["items"]
        return sorted(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp")))

    def warnings(self, job: str) -> list[str]:
        """Return what the cluster complains of about a Job, the newest last."""
        with _told():
            listed = self._core.list_namespaced_event(
                self.namespace,
                field_selector=f"involvedObject.kind=Job,involvedObject.name={job},type=Warning",
                _request_timeout=TIMEOUT_S,
            )
        events: list[Object] = self._plain(listed)["items"]
        events.sort(key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime")))
        return [f"{event.get('reason')}: {event.get('message')}" for event in events]

    def log(self, pod: str) -> Iterator[str]:
        """Yield the runner's log so far and as it comes, each line with its time before it.

        Ends with the container, or when nothing came for a minute. The kubernetes package cannot tell where
        to begin more exactly than in seconds, so it is always read from its beginning.
        """
        with _told():
            answer = self._core.read_namespaced_pod_log(
                pod,
                self.namespace,
                container=RUNNER,
                follow=True,
                timestamps=True,
                _preload_content=False,
                _request_timeout=LOG_TIMEOUT_S,
            )
        return _lines(answer)

    def _plain(self, value: object) -> Object:
        """The API's JSON again."""
        plain: Object = self._api.sanitize_for_serialization(value)
        return plain


def connect(context: str | None, namespace: str | None) -> Cluster:
    """Reach the cluster of a context of the kubeconfig [the current one], in its namespace by default.

    Raises:
        StartupError: the `kubernetes` package is not installed.
        ConfigError: there is no kubeconfig, or no such context.
    """
    try:
        from kubernetes import client, config
    except ImportError as error:
        raise StartupError(f"--k8s needs the `kubernetes` package: {INSTALL}") from error
    kubeconfig: Any = config  # untyped in the package
    settings = client.Configuration()
    try:
        kubeconfig.load_kube_config(context=context, client_configuration=settings)
        contexts, current = kubeconfig.list_kube_config_contexts()
    except config.ConfigException as error:
        raise ConfigError(
            f"no cluster to run on: {error}; `kubectl config get-contexts` shows what there is"
        ) from error
    chosen = current if context is None else next(c for c in contexts if c["name"] == context)
    return Cluster(client.ApiClient(settings), namespace or chosen["context"].get("namespace") or "default")


@contextmanager
def _told() -> Iterator[None]:
    """Turn the package's errors into ours."""
    from kubernetes.client.exceptions import ApiException
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ApiException as error:
        raise _ours(error) from error
    except HTTPError as error:
        raise InfrastructureError(f"the cluster's API does not answer: {error}") from error


def _ours(error: ApiException) -> Exception:
    said = f"the cluster's API answers {error.status}: {_message(error)}"
    if error.status == 404:
        return NotFound(said)
    if error.status == 409:
        return Conflict(said)
    if error.status in (401, 403):
        return ConfigError(f"{said}; see `kubectl auth can-i create jobs`")
    return BadInput(said) if error.status in (400, 422) else InfrastructureError(said)


def _message(error: ApiException) -> str:
    """What a Status object says, else the beginning of the body."""
    try:
        return str(json.loads(error.body or "")["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.body or error.reason)[:300]


def _lines(answer: HTTPResponse) -> Iterator[str]:
    """Split a streamed answer into whole lines; one that breaks off ends there."""
    from urllib3.exceptions import HTTPError

    rest = b""
    try:
        for chunk in answer.stream():
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                yield line.decode("utf-8", "replace")
    except HTTPError:
        return
    finally:
        answer.release_conn()
    if rest:
        yield rest.decode("utf-8", "replace")
