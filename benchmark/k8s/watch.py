"""Follows a Job to its end: why its pod does not start, the runner's log as it comes, the exit code."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import ValidationError
from rich.console import Console

from atlas.errors import BadInput, InfrastructureError
from benchmark.k8s.api import Cluster, Object
from benchmark.k8s.job import RUNNER
from benchmark.run_summary import RunSummary

T = TypeVar("T")
POLL_S = 1.0
PATIENCE_S = 300.0  # with an API that does not answer
TROUBLE_S = 5.0  # what lasts no longer is the ordinary course of things (a Secret comes after its Job)


class Follower:
    """Shows what becomes of a Job on `err`; `result` is what its runner's last line says."""

    def __init__(self, cluster: Cluster, job: str, kubectl: str, err: Console, wait_s: float) -> None:
        self.result: RunSummary | None = None
        self._cluster, self._job, self._kubectl, self._err = cluster, job, kubectl, err
        self._wait_s = wait_s
        self._shown = ""  # the time of the last line shown
        self._told = ""
        self._trouble: tuple[str, float] = ("", 0.0)

    def follow(self) -> int:
        """Return the runner's exit code.

        Raises:
            NotFound: the Job was deleted.
            InfrastructureError: the Job failed, or its pod does not start in time; says what to look at.
        """
        began = time.monotonic()
        started = False
        while True:
            # The Job before its pods, so that none is missed that it has by now.
            job = self._ask(lambda: self._cluster.job(self._job))
            pods = self._ask(lambda: self._cluster.pods(self._job))
            pod = pods[-1] if pods else None
            status = runner_status(pod)
            if has_started(status):
                started = True
                self._tell_restart(status)
                self._show_log(str(pod and pod["metadata"]["name"]))
            code = answer(runner_status(self._again(pod)))
            if code is not None:
                return code
            if (why := failure(job)) is not None:
                raise InfrastructureError(f"job/{self._job} failed: {why}; {self._look_at(pod)}")
            self._tell_trouble(pod)
            if not started and time.monotonic() - began > self._wait_s:
                raise InfrastructureError(
                    f"the pod of job/{self._job} has not started for {self._wait_s:.0f} s: "
                    f"{trouble(pod) or 'no reason given'}; {self._look_at(pod)}"
                )
            time.sleep(POLL_S)

    def _again(self, pod: Object | None) -> Object | None:
        """The same pod as it is now, after its log; None if it is gone."""
        if pod is None:
            return None
        now = self._ask(lambda: self._cluster.pods(self._job))
        return next((each for each in now if each["metadata"]["uid"] == pod["metadata"]["uid"]), None)

    def _ask(self, question: Callable[[], T]) -> T:
        """Ask until the API answers, for PATIENCE_S: it may be restarted during a long run."""
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return question()
            except InfrastructureError as error:
                if time.monotonic() > deadline:
                    raise
                self._say(f"asking again: {error}")
            time.sleep(POLL_S)

    def _show_log(self, pod: str) -> None:
        """Show what is new in the log, until it ends or falls silent."""
        already = self._shown
        try:
            lines = self._cluster.log(pod)
        except (BadInput, InfrastructureError) as error:  # the pod or its node is away
            self._say(f"no log just now: {error}")
            return
        for line in lines:
            stamp, _, text = line.partition(" ")
            stamp = _sortable(stamp)
            if stamp <= already:
                continue
            self._shown = max(self._shown, stamp)
            if (result := _result(text)) is not None:
                self.result = result
            else:
                self._err.print(text, markup=False, highlight=False)

    def _tell_restart(self, status: Object) -> None:
        if count := int(status.get("restartCount") or 0):
            ended = (status.get("lastState") or {}).get("terminated") or {}
            how = f"{ended.get('reason', 'ended')}, exit code {ended.get('exitCode', 'unknown')}"
            self._say(
                f"the runner was started again ({count}x; the last one: {how}) and goes on with the run"
            )

    def _tell_trouble(self, pod: Object | None) -> None:
        """Say what holds the pod up, once it has done so for a moment."""
        now = time.monotonic()
        found = trouble(pod) if pod else self._no_pod()
        if found != self._trouble[0]:
            self._trouble = (found or "", now)
        if found and now - self._trouble[1] >= TROUBLE_S:
            self._say(f"waiting: {found}; {self._look_at(pod)}")

    def _no_pod(self) -> str | None:
        warnings = self._ask(lambda: self._cluster.warnings(self._job))
        return f"there is no pod: {warnings[-1]}" if warnings else None

    def _say(self, text: str) -> None:
        """Say it, unless it was the last thing said."""
        if text != self._told:
            self._told = text
            self._err.print(text, style="yellow", markup=False, highlight=False)

    def _look_at(self, pod: Object | None) -> str:
        what = f"pod {pod['metadata']['name']}" if pod else f"job {self._job}"
        return f"see {self._kubectl} describe {what}"


def has_ended(job: Object) -> bool:
    """Whether a Job is done or has failed."""
    return any(_is_true(job, kind) for kind in ("Complete", "Failed"))


def failure(job: Object) -> str | None:
    """Why a Job failed; None if it has not."""
    found = _is_true(job, "Failed")
    return None if found is None else f"{found.get('reason', 'no reason')}: {found.get('message', '')}"


def runner_status(pod: Object | None) -> Object:
    """The status of the pod's runner; empty where there is none yet."""
    statuses = ((pod or {}).get("status") or {}).get("containerStatuses") or []
    return next((status for status in statuses if status["name"] == RUNNER), {})


def has_started(status: Object) -> bool:
    """Whether the runner has a log: it runs, or has run."""
    state = status.get("state") or {}
    return bool(state.get("running") or state.get("terminated"))


def answer(status: Object) -> int | None:
    """The exit code that the runner gave as its answer; None while there is none.

    Raises:
        InfrastructureError: the container ended well and says none: the image is of another version.
    """
    ended = (status.get("state") or {}).get("terminated")
    if not ended or ended["exitCode"] != 0:
        return None
    said = str(ended.get("message") or "").strip()
    if not said.isdecimal():
        raise InfrastructureError(
            f"the runner's container ended without an exit code of the runner ({said[:100]!r}): is its image "
            "one of this version?"
        )
    return int(said)


def trouble(pod: Object | None) -> str | None:
    """What holds up a pod, in Kubernetes' words; None if nothing does."""
    status = (pod or {}).get("status") or {}
    for each in status.get("containerStatuses") or []:
        waiting = (each.get("state") or {}).get("waiting")
        if waiting and waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            return f"{each['name']}: {waiting['reason']}: {waiting.get('message') or 'no message'}"
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return f"{condition.get('reason', 'not scheduled')}: {condition.get('message', '')}"
    return None


def _is_true(job: Object, kind: str) -> dict[str, Any] | None:
    conditions = (job.get("status") or {}).get("conditions") or []
    return next((c for c in conditions if c["type"] == kind and c["status"] == "True"), None)


def _result(line: str) -> RunSummary | None:
    """The runner's last line of stdout; None for any other line."""
    try:
        return RunSummary.model_validate_json(line) if line.startswith("{") else None
    except ValidationError:
        return None


def _sortable(stamp: str) -> str:
    """An RFC 3339 time in UTC whose fraction has nine digits, so that text sorts as time does."""
    whole, _, fraction = stamp.rstrip("Z").partition(".")
    return f"{whole}.{fraction:0<9}"
