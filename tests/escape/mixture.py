"""Attacks and good programs at once on one runner, while its processes are killed; and what is left."""

from __future__ import annotations

import os
import random
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import psutil

from atlas.executor import RunStatus
from services.sandbox.forkserver.root import DEVICES
from services.sandbox.runner import Runner
from tests.escape import good, scene
from tests.escape.attempts import attempt
from tests.escape.corpus import ATTACKS, TIME, Attack
from tests.escape.good import Good
from tests.escape.scene import Scene

Level = Literal["auto", "namespaces", "pod", "gvisor"]
LOST = RunStatus.INFRASTRUCTURE_ERROR.value
GOOD_SHARE = 0.6
SLOW_WEIGHT = 0.05  # of attacks that use up their time
_SETTLE_S = 10.0
# What is killed, how often, and how: a stopped process is worse than a dead one, it still looks alive. Runs
# are not stopped: one that stands still to its wall limit is rightly a time limit.
_VICTIMS = (("slot server", 5), ("launcher", 3), ("run", 2))
_SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGSTOP)


@dataclass
class Outcome:
    """What happened. `wrong` and `escaped` describe each case; `left` counts by kind."""

    level: str = ""
    executions: int = 0
    good: int = 0
    attacks: int = 0
    wrong: list[str] = field(default_factory=list)
    escaped: list[str] = field(default_factory=list)
    kills: list[str] = field(default_factory=list)
    left: dict[str, int] = field(default_factory=dict)
    restarts: int = 0
    retried: int = 0
    wall_s: float = 0.0


def plan(executions: int, seed: int) -> list[Good | Attack]:
    """At least that many runs, drawn from the seed."""
    random_ = random.Random(seed)
    weights = [SLOW_WEIGHT if TIME in attack.statuses else 1.0 for attack in ATTACKS]
    found: list[Good | Attack] = []
    while executions > 0:
        if random_.random() < GOOD_SHARE:
            program = good.draw(random_)
            found.append(program)
            executions -= len(program.request.inputs)
        else:
            found += (attack := random_.choices(ATTACKS, weights))
            executions -= attack[0].inputs
    return found


def run(
    executions: int,
    kills: int,
    seed: int,
    *,
    level: Level = "auto",
    jobs: int = 2,
    progress: Callable[[Outcome], None] = lambda _: None,
) -> Outcome:
    """Carry a plan out, and count what is left afterwards.

    Args:
        executions: runs, at least.
        kills: how many processes of the fork server are killed or stopped, spread over the plan.
        seed: of the plan and the kills.
        level: of the sandbox.
        jobs: slots; twice as many requests are under way at any time.
        progress: called after each request.

    Raises:
        StartupError: the level does not hold here.
    """
    scene.adopt_orphans()
    todo, outcome, lock = plan(executions, seed), Outcome(), threading.Lock()
    with Scene() as stage, _directory_of_its_own(stage) as temporary:
        before = _host()
        runner = Runner.start(jobs=jobs, isolation=level)
        began = time.monotonic()
        outcome.level = runner.isolation
        shots = _shots(len(todo), kills, seed)

        def one(number: int, item: Good | Attack) -> None:
            if number in shots:
                shot = _shoot(random.Random(f"{seed} {number}"))
                with lock:
                    outcome.kills += shot
            if isinstance(item, Good):
                wrong, escaped = [item.wrong(runner.execute(item.request))], []
            else:
                wrong, escaped = [], attempt(item, runner, stage, alone=False)
            with lock:
                _count(outcome, item, [text for text in wrong if text], escaped)
                progress(outcome)

        with ThreadPoolExecutor(2 * jobs) as clients:
            for future in [clients.submit(one, number, item) for number, item in enumerate(todo)]:
                future.result()
        outcome.wall_s = round(time.monotonic() - began, 1)
        outcome.restarts, outcome.retried = runner.restarts, runner.retried
        runner.close()
        outcome.escaped += [f"{witness}: {text}" for witness, text in stage.broken().items()]
        outcome.left = _left(before, temporary)
    return outcome


def _count(outcome: Outcome, item: Good | Attack, wrong: list[str], escaped: list[str]) -> None:
    if isinstance(item, Good):
        outcome.good += len(item.request.inputs)
        outcome.executions += len(item.request.inputs)
    else:
        outcome.attacks += item.inputs
        outcome.executions += item.inputs
        # Killed twice, a run is the machinery's failure: no answer, but no escape either.
        escaped = [text for text in escaped if not text.startswith(f"ended as {LOST}")]
        outcome.escaped += [f"{item.name}: {text}" for text in escaped]
    outcome.wrong += wrong


# ---------------------------------------------------------------- kills


def _shots(length: int, kills: int, seed: int) -> set[int]:
    """Before which items of the plan something is killed."""
    return set(random.Random(f"kills {seed}").sample(range(length // 20, length), kills))


def _shoot(random_: random.Random) -> list[str]:
    """Kill or stop one process of the fork server; says which ([] if there was none, which is no kill)."""
    number = random_.choice(_SIGNALS)
    names = [name for name, count in _VICTIMS for _ in range(count)]
    random_.shuffle(names)
    for name in names:
        processes = _processes(name)
        how = signal.SIGKILL if name == "run" else number
        if processes and scene.kill(random_.choice(processes), how):
            return [f"{how.name} {name}"]
    return []


def _processes(name: str) -> list[psutil.Process]:
    if name == "launcher":
        return scene.launchers()
    return scene.slot_servers() if name == "slot server" else scene.runs()


# ---------------------------------------------------------------- what is left


@dataclass(frozen=True)
class _Host:
    """What this process and the machine have, of what a runner may leave behind."""

    children: frozenset[int]
    mounts: frozenset[str]
    descriptors: int
    threads: int


def _host() -> _Host:
    return _Host(
        children=frozenset(child.pid for child in psutil.Process().children(recursive=True)),
        mounts=frozenset(_mounts()),
        descriptors=len(list(Path("/proc/self/fd").iterdir())),
        threads=threading.active_count(),
    )


def _left(before: _Host, temporary: Path) -> dict[str, int]:
    """Counts of what was not there before; waits for what is on its way out."""
    deadline = time.monotonic() + _SETTLE_S
    while True:
        after = _host()
        found = {
            "processes": len(_living(after.children - before.children)),
            "mounts": len(after.mounts - before.mounts),
            "cgroups": len(_cgroups()),
            "files": len(list(temporary.iterdir())) + len(_attack_files()),
            "descriptors": max(0, after.descriptors - before.descriptors),
            "threads": max(0, after.threads - before.threads),
        }
        if not any(found.values()) or time.monotonic() > deadline:
            return found
        time.sleep(0.05)


def _living(pids: frozenset[int]) -> list[int]:
    """Those that are not dead; those that came to us when their parent was killed are buried here."""
    found = []
    for pid in pids:
        try:
            dead = psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
            if not dead or os.waitpid(pid, os.WNOHANG) == (0, 0):
                found.append(pid)
        except (psutil.NoSuchProcess, ChildProcessError):
            continue
    return found


def _mounts() -> list[str]:
    """Mounts of the host that are of the kind the launcher makes (proc(5), mountinfo)."""
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if " - tmpfs atlas " in line or line.split()[4].endswith(DEVICES)]


def _cgroups() -> list[Path]:
    lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    hierarchies = {line.split()[4] for line in lines if " - cgroup" in line}
    return [found for where in hierarchies for found in Path(where).rglob(f"atlas-sandbox-{os.getpid()}*")]


def _attack_files() -> list[Path]:
    patterns = ("atlas-fill-*", "atlas-inode-*", "atlas-node", "atlas_left.py", "sitecustomize.py")
    places = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"), Path("/"))
    return [path for place in places for pattern in patterns for path in place.glob(pattern)]


@contextmanager
def _directory_of_its_own(stage: Scene) -> Iterator[Path]:
    """All temporary files of this process go to one new directory meanwhile."""
    with tempfile.TemporaryDirectory(prefix="atlas-mixture-") as name:
        before, tempfile.tempdir = tempfile.tempdir, name
        try:
            yield Path(name)
        finally:
            tempfile.tempdir = before
