"""`v3_runner --k8s`: the run as a Job of a cluster, its progress and its result here.

The Job is named after the run id, so the same command attaches to a Job that runs, and goes on with a run
whose Job has ended. Ctrl-C leaves the Job alone.
"""

from __future__ import annotations

import argparse
import shlex
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from rich.console import Console

from atlas.config import load
from atlas.errors import AtlasError, BadInput, Conflict, InfrastructureError, NotFound
from benchmark.command import COMPLETE, FAILED, INTERRUPTED, whole
from benchmark.k8s.api import Cluster, connect
from benchmark.k8s.job import IMAGE, RUNNER, JobSpec, job, job_name, runner_arguments, same_work, secret
from benchmark.k8s.watch import Follower, has_ended
from benchmark.run_summary import table

GONE_S = 120.0
POLL_S = 1.0
# Of v3_runner's options, those that say where things are on this machine.
_HERE = ("--run-id", "--target", "--api-key", "--config", "--runs-dir")


class Asked(Protocol):
    """What this needs of v3_runner's options."""

    @property
    def run_id(self) -> str:
        """Name of the run."""

    @property
    def json(self) -> bool:
        """Whether stdout ends with the result as one JSON object."""

    @property
    def target(self) -> str | None:
        """The gateway, as the pod reaches it."""

    @property
    def api_key(self) -> str | None:
        """The key given on the command line."""

    @property
    def config(self) -> Path | None:
        """The settings file."""


@dataclass(frozen=True)
class Place:
    """Where in which cluster the Job runs, and with what; `wait_s` is for its pod to start."""

    context: str | None
    namespace: str | None
    image: str
    claim: str | None
    secret: str | None
    jobs: int
    wait_s: float


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that have a run measured in a cluster."""
    group = parser.add_argument_group("in a Kubernetes cluster (docs/RUNNING_ON_A_CLUSTER.md)")
    add = group.add_argument
    add("--k8s", action="store_true", help="run as a Job there; needs --target, as its pod reaches it")
    add("--k8s-context", metavar="NAME", help="context of the kubeconfig [the current one]")
    add("--k8s-namespace", metavar="NAME", help="namespace of the Job [the context's]")
    add("--k8s-image", default=IMAGE, metavar="IMAGE", help=f"image of its two containers [{IMAGE}]")
    add("--k8s-claim", metavar="NAME", help="volume claim for runs and data sets [none: gone with the pod]")
    add("--k8s-secret", metavar="NAME", help="Secret with the API key as `api-key` [made of the key here]")
    add("--k8s-jobs", type=whole(1, 64), default=2, metavar="N", help="programs graded at once [2]")
    add("--k8s-wait", type=whole(1), default=600, metavar="S", help="seconds for the pod to start [600]")


def place(read: argparse.Namespace) -> Place | None:
    """Return where the Job runs by the options that were read; None without --k8s.

    Raises:
        BadInput: the options do not go together.
    """
    if not read.k8s:
        return None
    if read.target is None:
        raise BadInput("--k8s needs --target: the gateway's URL as the Job's pod reaches it")
    if read.grading_executor is not None:
        raise BadInput("--k8s brings its own grading executor; leave --grading-executor out")
    return Place(
        context=read.k8s_context,
        namespace=read.k8s_namespace,
        image=read.k8s_image,
        claim=read.k8s_claim,
        secret=read.k8s_secret,
        jobs=read.k8s_jobs,
        wait_s=read.k8s_wait,
    )


def run(
    options: Asked,
    place: Place,
    argv: Sequence[str],
    again: str,
    err: Console,
    *,
    reach: Callable[[str | None, str | None], Cluster] = connect,
) -> int:
    """Run `argv` as a Job and return the runner's exit code; 130 when interrupted here, 1 if there is none.

    Args:
        options: what v3_runner was called with.
        place: of the Job.
        argv: the same as `options`, as words.
        again: the command that goes on with this run.
        err: where the progress is shown.
        reach: gives the cluster of a context and a namespace; another one in tests.
    """
    try:
        key = None if place.secret else options.api_key or load(options.config).api_key
        cluster = reach(place.context, place.namespace)
        spec = JobSpec(
            run_id=options.run_id,
            namespace=cluster.namespace,
            gateway=str(options.target),
            image=place.image,
            arguments=tuple(_forwarded(argv)),
            claim=place.claim,
            secret=place.secret or (key and job_name(options.run_id)),
            jobs=place.jobs,
        )
    except AtlasError as error:
        _tell(err, error)
        return FAILED
    kubectl = _kubectl(place, cluster)
    help_ = (
        f"{again}\n"
        f"its log:     {kubectl} logs -f job/{spec.name} -c {RUNNER}\n"
        f"clean up:    {kubectl} delete job {spec.name}"
    )
    try:
        _begin(cluster, spec, key, kubectl, err)
        follower = Follower(cluster, spec.name, kubectl, err, place.wait_s)
        code = follower.follow()
    except KeyboardInterrupt:
        err.print(f"interrupted here; the Job goes on\n{help_}", markup=False, highlight=False)
        return INTERRUPTED
    except AtlasError as error:
        _tell(err, error)
        if isinstance(error, InfrastructureError):
            err.print(help_, markup=False, highlight=False)
        return FAILED
    if code != COMPLETE:
        err.print(help_, markup=False, highlight=False)
    if follower.result is not None:
        if options.json:
            print(follower.result.model_dump_json(), flush=True)
        else:
            Console(soft_wrap=True).print(table(follower.result))
    return code


def _tell(err: Console, error: AtlasError) -> None:
    err.print(f"{error.title}: {error}", style="red", markup=False, highlight=False)


def _begin(cluster: Cluster, spec: JobSpec, key: str | None, kubectl: str, err: Console) -> None:
    """Create the Job, or find the one that does this very work.

    Raises:
        Conflict: a Job of this run does something else just now.
    """
    if spec.claim is None:
        said = "no --k8s-claim: the run's directory is gone with its pod; what stays is the result shown here"
        err.print(said, style="yellow", markup=False, highlight=False)
    body = job(spec)
    try:
        made = cluster.create_job(body)
        said = f"job/{spec.name} in namespace {spec.namespace}: {spec.image}, gateway {spec.gateway}"
    except Conflict:
        made = cluster.job(spec.name)
        if has_ended(made):
            said = f"job/{spec.name} had ended: a new one goes on"
            _remove(cluster, spec.name)
            made = cluster.create_job(body)
        elif same_work(made, runner_arguments(spec)):
            said = f"job/{spec.name} runs already: watching it"
        else:
            raise Conflict(
                f"job/{spec.name} works on run '{spec.run_id}' with other arguments; wait for it, or end it: "
                f"{kubectl} delete job {spec.name}"
            ) from None
    # After the Job, so that the Job owns it; the pod waits for it.
    if key is not None:
        cluster.create_secret(secret(spec.name, spec.namespace, key, made))
    err.print(said, markup=False, highlight=False)


def _remove(cluster: Cluster, name: str) -> None:
    cluster.delete_job(name)
    deadline = time.monotonic() + GONE_S
    while True:
        try:
            cluster.job(name)
        except NotFound:
            return
        if time.monotonic() > deadline:
            raise InfrastructureError(f"job/{name} is not gone {GONE_S:.0f} s after it was deleted")
        time.sleep(POLL_S)


def _forwarded(argv: Sequence[str]) -> list[str]:
    """Return the arguments that are the runner's in the pod too."""
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
    add_options(parser)
    for name in _HERE:
        parser.add_argument(name)
    parser.add_argument("--json", action="store_true")
    return parser.parse_known_args(argv)[1]


def _kubectl(place: Place, cluster: Cluster) -> str:
    context = ["--context", place.context] if place.context else []
    return shlex.join(["kubectl", *context, "-n", cluster.namespace])
