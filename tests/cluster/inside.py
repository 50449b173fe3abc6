"""The part that runs in namespaces of its own: the node, the release on it, the checks."""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from atlas.errors import AtlasError
from tests.cluster import checks
from tests.cluster.images import ALL, archive_of
from tests.cluster.node import OWN, Node
from tests.cluster.processes import Processes
from tests.cluster.release import install, state, try_everything, values_of
from tests.cluster.scratch import REPO, Scratch

# A shell stays as the first process, since children of dead parents are its to wait for.
FIRST = ("sh", "-c", '"$@"; exit $?', "first")
NAMESPACES = (
    "unshare",
    "--mount",
    "--net",
    "--pid",
    "--ipc",
    "--fork",
    "--kill-child",
    "--mount-proc",
    "--propagation=private",
)


def start(scratch: Scratch, models: Path, model: str, wanted: Sequence[str], *, keep: bool) -> int:
    """Run `main` in new namespaces and return its exit code; when it ends, everything in them is killed."""
    command = [*NAMESPACES, *FIRST, sys.executable, "-m", "tests.cluster.inside"]
    command += [f"--scratch={scratch.root}", f"--models={models}", f"--model={model}", *wanted]
    command += ["--keep"] if keep else []
    made = [path for path in map(Path, OWN) if not path.exists()]
    try:
        return subprocess.run(command, cwd=REPO, check=False).returncode
    finally:
        _remove_cgroups()
        for path in made:  # what was mounted over: empty for everybody else
            with contextlib.suppress(FileNotFoundError):
                path.rmdir()


def main(argv: Sequence[str] | None = None) -> int:
    """Start the node, apply the chart, carry out the checks; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster.inside", description=__doc__)
    parser.add_argument("--scratch", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("checks", nargs="*")
    options = parser.parse_args(argv)
    scratch = Scratch(options.scratch)
    processes = Processes(scratch)
    try:
        return _carry_out(scratch, processes, options)
    except AtlasError as error:
        scratch.say(f"failed: {error}")
        if options.keep:
            _keep(scratch)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        processes.stop()


def _carry_out(scratch: Scratch, processes: Processes, options: argparse.Namespace) -> int:
    archives = {name: archive_of(scratch, name) for name in ALL}
    api = Node(scratch, processes).start(archives)
    try_everything(api, scratch)
    release = install(api, scratch, values_of(options.models, options.model))
    failed = []
    for name in options.checks:
        processes.must_live()
        try:
            checks.ALL[name](release, scratch)
        except (AtlasError, OSError) as error:
            scratch.say(f"check {name}: FAILED: {error}")
            failed.append(name)
        else:
            scratch.say(f"check {name}: ok")
    scratch.say(f"{len(options.checks) - len(failed)} passed, {len(failed)} failed")
    if failed:
        scratch.say(state(api))
    if options.keep:
        _keep(scratch)
    return 1 if failed else 0


def _keep(scratch: Scratch) -> None:
    scratch.say(f"kept until Ctrl-C; kubeconfig: {scratch.root / 'node' / 'admin.kubeconfig'}")
    scratch.say("to get in: nsenter --all --target $(pgrep --newest --full tests.cluster.inside)")
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            time.sleep(3600)


def _remove_cgroups() -> None:
    """Remove the kubelet's groups, all empty now, which belong to no namespace."""
    for top in Path("/sys/fs/cgroup").glob("**/kubepods"):
        for group in sorted((*top.rglob("*/"), top), key=lambda path: -len(path.parts)):
            for _ in range(50):  # what was in it may still be dying
                try:
                    group.rmdir()
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.1)


if __name__ == "__main__":
    sys.exit(main())
