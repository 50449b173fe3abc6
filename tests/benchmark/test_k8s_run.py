"""`--k8s` against a scripted API: what is shown, what is sent, and the exit code."""

from __future__ import annotations

import builtins
import io
import json
from typing import Any, NoReturn

import pytest
from rich.console import Console

from atlas.config import Settings
from benchmark import v3_runner
from benchmark.k8s import api, run, watch
from benchmark.k8s.api import Cluster
from benchmark.k8s.job import job_name
from benchmark.run_summary import RunSummary
from benchmark.v3_runner import parse
from tests.support.scripted_cluster import RUNNING, ScriptedCluster, ended, pod

SUMMARY = RunSummary.model_validate(
    dict.fromkeys(("n", "passed", "errors", "tokens_in", "tokens_out", "tokens_cached", "tokens_late"), 0)
    | dict.fromkeys(("model", "interval", "overhead_share", "model_share", "executor_share"))
    | {"dataset": "d", "condition": "full", "missing": (), "seconds": 1.0, "timed": 0, "seed": 0}
    | {"run_dir": "/data/runs/r", "run_id": "r", "grader": "official", "tokens_error": 0}
)
RESULT = SUMMARY.model_dump_json()
BASE = ["--k8s", "--target", "http://gw:8400", "--run-id", "r", "--limit", "2"]
NAME = job_name("r")
LOG = f"2026-01-01T00:00:01.5Z 1 of 2 tasks done\n2026-01-01T00:00:02Z {RESULT}\n"
DONE = [pod(RUNNING), pod(ended(0, "0"))]


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "POLL_S", 0.01)
    monkeypatch.setattr(run, "POLL_S", 0.01)
    monkeypatch.setattr(watch, "TROUBLE_S", 0.0)
    monkeypatch.setattr(run, "load", lambda path: Settings(api_key="atlas_canary"))


def told(scripted: ScriptedCluster, *more: str) -> tuple[int, str]:
    """The exit code, and what people read."""
    argv = [*BASE, *more]
    options = parse(argv)
    assert options.cluster is not None
    log = io.StringIO()
    with scripted.reached() as cluster:

        def reach(context: str | None, namespace: str | None) -> Cluster:
            return cluster

        err = Console(file=log, soft_wrap=True)
        code = run.run(options, options.cluster, argv, "go on with:  this", err, reach=reach)
    return code, log.getvalue()


def words_of(scripted: ScriptedCluster) -> list[str]:
    """What the runner in the pod is called with."""
    found: list[str] = scripted.jobs[NAME]["spec"]["template"]["spec"]["containers"][0]["args"]
    return found


def test_progress_is_shown_and_the_result_is_the_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    scripted = ScriptedCluster(list(DONE), [LOG])
    code, err = told(scripted, "--json")
    assert code == 0
    assert err.count("1 of 2 tasks done") == 1, "the log is read twice and shown once"
    assert capsys.readouterr().out == RESULT + "\n"
    assert RESULT not in err
    assert words_of(scripted)[:6] == ["--limit", "2", "--run-id", "r", "--target", "http://gw:8400"]
    assert words_of(scripted).count("--json") == 1


def test_without_json_the_result_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(ScriptedCluster(list(DONE), [LOG]))[0] == 0
    assert "tasks graded (n)" in capsys.readouterr().out


@pytest.mark.parametrize("code", [1, 2, 3])
def test_the_exit_code_is_the_runners(code: int) -> None:
    scripted = ScriptedCluster([pod(RUNNING), pod(ended(0, str(code)))], [LOG])
    said = told(scripted)
    assert said[0] == code
    assert f"delete job {NAME}" in said[1]


def test_the_key_is_in_a_secret_only() -> None:
    scripted = ScriptedCluster(list(DONE), [LOG])
    code, err = told(scripted, "--api-key", "atlas_typed")
    assert code == 0
    assert [each["stringData"] for each in scripted.secrets] == [{"api-key": "atlas_typed"}]
    assert scripted.secrets[0]["metadata"]["ownerReferences"][0]["uid"] == "u-1"
    assert "atlas_typed" not in json.dumps(scripted.jobs) + err
    scripted = ScriptedCluster(list(DONE), [LOG])
    told(scripted)
    assert [each["stringData"] for each in scripted.secrets] == [{"api-key": "atlas_canary"}]
    scripted = ScriptedCluster(list(DONE), [LOG])
    told(scripted, "--k8s-secret", "mine")
    assert scripted.secrets == []
    assert '"mine"' in json.dumps(scripted.jobs)


UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/3 nodes: no memory",
}
WAITS = {"waiting": {"reason": "ImagePullBackOff", "message": 'pulling image "atlas:9"'}}


@pytest.mark.parametrize(
    ("stuck", "reason"),
    [
        (pod({}, conditions=[UNSCHEDULABLE]), "Unschedulable: 0/3 nodes: no memory"),
        (pod(WAITS), 'runner: ImagePullBackOff: pulling image "atlas:9"'),
    ],
)
def test_a_pod_that_does_not_start_says_why_and_what_shows_more(stuck: dict[str, Any], reason: str) -> None:
    code, err = told(ScriptedCluster([stuck]), "--k8s-wait", "1")
    assert code == 1
    assert f"waiting: {reason}" in err
    assert f"has not started for 1 s: {reason}" in err
    assert err.count("waiting:") == 1
    assert "see kubectl -n bench describe pod the-pod" in err
    assert "go on with:  this" in err


def test_a_pod_that_starts_late_is_followed() -> None:
    scripted = ScriptedCluster([pod(WAITS), pod(WAITS), pod(WAITS), *DONE], [LOG])
    code, err = told(scripted)
    assert code == 0
    assert "waiting: runner: ImagePullBackOff" in err


def test_a_job_without_a_pod_says_what_the_cluster_complains_of() -> None:
    event = {"reason": "FailedCreate", "message": "exceeded quota", "involvedObject": {}, "metadata": {}}
    code, err = told(ScriptedCluster([None], warnings=[event]), "--k8s-wait", "1")
    assert code == 1
    assert "there is no pod: FailedCreate: exceeded quota; see kubectl -n bench describe job" in err


def test_a_killed_runner_that_is_started_again_goes_on() -> None:
    killed = ended(137, reason="OOMKilled")
    again = pod(RUNNING, restarts=1, last=killed)
    scripted = ScriptedCluster(
        [pod(RUNNING), pod(killed), again, again, pod(ended(0, "0"), restarts=1, last=killed)],
        ["2026-01-01T00:00:01Z first\n", LOG.replace("00:01.5", "00:01.7")],
    )
    code, err = told(scripted)
    assert code == 0
    assert "started again (1x; the last one: OOMKilled, exit code 137)" in err
    assert err.index("first") < err.index("started again") < err.index("1 of 2 tasks done")


def test_an_api_that_is_away_for_a_moment_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted = ScriptedCluster(list(DONE), [LOG], away=3)
    code, err = told(scripted)
    assert code == 0
    assert err.count("asking again: the cluster's API answers 503: away") == 1
    monkeypatch.setattr(watch, "PATIENCE_S", 0.05)
    code, err = told(ScriptedCluster(list(DONE), [LOG], away=10_000))
    assert code == 1
    assert "go on with:  this" in err


def test_a_job_that_failed_says_why() -> None:
    failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "7 times"}
    code, err = told(ScriptedCluster([pod(ended(137))], conditions=[failed]))
    assert code == 1
    assert "failed: BackoffLimitExceeded: 7 times; see kubectl -n bench describe pod the-pod" in err


def test_an_image_of_another_version_is_told() -> None:
    code, err = told(ScriptedCluster([pod(ended(0, ""))], [LOG]))
    assert code == 1
    assert "is its image one of this version?" in err


def test_the_same_command_watches_a_job_that_runs_and_replaces_one_that_has_ended() -> None:
    scripted = ScriptedCluster(list(DONE), [LOG])
    told(scripted)
    scripted.pods = list(DONE)
    code, err = told(scripted)
    assert code == 0
    assert f"job/{NAME} runs already: watching it" in err
    scripted.pods = list(DONE)
    code, err = told(scripted, "--seed", "1")
    assert code == 1
    assert "with other arguments" in err
    scripted.conditions = [{"type": "Complete", "status": "True"}]
    code, err = told(scripted, "--seed", "1")
    assert code == 0
    assert "had ended: a new one goes on" in err
    assert scripted.deleted == [NAME]
    assert "--seed" in words_of(scripted)


def test_an_interruption_leaves_the_job_and_says_how_to_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: Cluster, pod: str) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(Cluster, "log", interrupted)
    scripted = ScriptedCluster([pod(RUNNING)])
    code, err = told(scripted)
    assert code == 130
    assert "interrupted here; the Job goes on\ngo on with:  this" in err
    assert f"kubectl -n bench logs -f job/{NAME} -c runner" in err
    assert f"kubectl -n bench delete job {NAME}" in err
    assert NAME in scripted.jobs


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (422, "the cluster's API answers 422: image is no name"),
        (403, "see `kubectl auth can-i create jobs`"),
        (500, "go on with:  this"),
    ],
)
def test_a_refusal_is_told_in_the_clusters_words(status: int, says: str) -> None:
    code, err = told(ScriptedCluster([None], refusal=(status, "image is no name")))
    assert code == 1
    assert says in err
    assert "image is no name" in err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--k8s"], "--k8s needs --target"),
        ([*BASE, "--grading-executor", "unix:/x"], "brings its own grading executor"),
        ([*BASE, "--k8s-jobs", "0"], "--k8s-jobs"),
    ],
)
def test_options_that_do_not_go_together(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ending:
        parse(arguments)
    assert ending.value.code == 2
    assert says in capsys.readouterr().err


def test_without_the_package_it_says_how_to_install_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.split(".")[0] == "kubernetes":
            raise ModuleNotFoundError("No module named 'kubernetes'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    assert v3_runner.main(BASE) == 1
    assert "pip install 'kubernetes>=31'" in capsys.readouterr().err


def test_without_a_kubeconfig_it_says_what_to_look_at(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from kubernetes.config import kube_config

    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", "/nonexistent/kubeconfig")
    assert v3_runner.main(BASE) == 1
    assert "kubectl config get-contexts" in capsys.readouterr().err


def test_a_log_that_breaks_off_ends_there() -> None:
    from urllib3.exceptions import ProtocolError

    class Broken:
        def stream(self) -> Any:
            yield b"one\ntw"
            raise ProtocolError("gone")

        def release_conn(self) -> None:
            """Nothing to release."""

    assert list(api._lines(Broken())) == ["one"]  # type: ignore[arg-type]
