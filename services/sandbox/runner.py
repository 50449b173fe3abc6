"""Runs requests over a fixed number of slots, at the isolation level that was proved to hold here."""

from __future__ import annotations

import contextlib
import os
import queue
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Event, Lock

from atlas.errors import StartupError
from atlas.executor import ExecuteRequest, ExecuteResponse, Run, RunStatus
from services.sandbox import cgroups, host, isolation
from services.sandbox.batch import Batch
from services.sandbox.fork_server import ForkServer, LostError
from services.sandbox.isolation import Choice, choose
from services.sandbox.languages import PLAIN, Python
from services.sandbox.runs import KIBIBYTE, disturbed, to_run
from services.sandbox.slot import CGROUP_EXTRA_BYTES, CGROUP_TASKS, Job, Slot

MEBIBYTE = 1 << 20
COMPILED_BYTES = 64 * MEBIBYTE
TRIES = 2
TURN_S = 0.05  # so that a long request does not starve the next
# Measured: a run costs as much CPU as compiling about this many characters.
WORTH_COMPILING_CHARS = 16_000


class _Launchers:
    """The living launcher of each flavour, started when it is first needed."""

    def __init__(self, level: isolation.Level, language: Python, jobs: int) -> None:
        self._level, self._language, self._jobs = level, language, jobs
        self._running: dict[str, ForkServer] = {}
        self._lock = Lock()
        self._closed = False
        self.restarts = 0

    def get(self, flavour: str) -> ForkServer:
        """The launcher, a new one if the old has died.

        Raises:
            LostError: it cannot be started.
        """
        with self._lock:
            if self._closed:
                raise LostError("the executor is stopping")
            old = self._running.get(flavour)
            if old is not None and old.alive:
                return old
            if old is not None:
                del self._running[flavour]
                old.close()
                self.restarts += 1
            order = isolation.order(self._level, self._jobs, self._language.flavours()[flavour])
            try:
                self._running[flavour] = ForkServer(order)
            except StartupError as error:
                raise LostError(str(error)) from error
            return self._running[flavour]

    def adopt(self, server: ForkServer) -> None:
        """Keep a launcher that was started elsewhere as the plain one."""
        self._running[PLAIN] = server

    def close(self) -> None:
        """End them all."""
        with self._lock:
            self._closed = True
            while self._running:
                self._running.popitem()[1].close()


class _Place:
    """A slot of each flavour: where one run happens at a time."""

    def __init__(
        self, launchers: _Launchers, cgroup: cgroups.Slot | None, on_restart: Callable[[], None]
    ) -> None:
        self._launchers, self._cgroup, self._on_restart = launchers, cgroup, on_restart
        self._slots: dict[str, Slot] = {}

    def slot(self, flavour: str) -> Slot:
        """The slot of that flavour."""
        if flavour not in self._slots:
            self._slots[flavour] = Slot(lambda: self._launchers.get(flavour), self._cgroup, self._on_restart)
        return self._slots[flavour]

    def close(self) -> None:
        """End its slot servers."""
        for slot in self._slots.values():
            slot.close()
        if self._cgroup is not None:
            self._cgroup.remove()


class Runner:
    """Runs requests; thread-safe. `restarts` and `retried` count what went wrong and was mended."""

    def __init__(self, jobs: int, choice: Choice, language: Python) -> None:
        self.jobs, self.isolation, self.packages = jobs, choice.level, language.packages()
        self.why_not_stronger = choice.why_not_stronger
        self.retried = 0
        self._restarts = 0
        self._language = language
        self._launchers = _Launchers(choice.level, language, jobs)
        self._launchers.adopt(choice.server)
        self._cgroups = cgroups.find()
        self._places: queue.LifoQueue[_Place] = queue.LifoQueue()
        for number in range(jobs):
            group = None
            if self._cgroups is not None:
                group = self._cgroups.slot(
                    f"slot-{number}", memory_bytes=CGROUP_EXTRA_BYTES, tasks=CGROUP_TASKS
                )
            self._places.put(_Place(self._launchers, group, self._restarted))
        self._threads = ThreadPoolExecutor(jobs, thread_name_prefix="run")
        self._steal = host.StealMeter()
        self._closing = Event()
        self._closed = False

    @classmethod
    def start(cls, *, jobs: int = 0, isolation: isolation.Wanted = "auto") -> Runner:
        """A runner whose limits have been tried.

        Args:
            jobs: runs at once; 0: one per core. At the `gvisor` level always one.
            isolation: the level to have; `auto`: the strongest that holds here.

        Raises:
            StartupError: a limit did not take: the machine must not run untrusted programs.
        """
        jobs = max(1, jobs or os.cpu_count() or 1)
        choice = choose(isolation, jobs)
        if choice.level == "gvisor":  # which does not keep runs apart from each other (docs/SANDBOX.md)
            jobs = 1
        return cls(jobs, choice, Python())

    @property
    def busy(self) -> int:
        """Slots that hold a run now."""
        return self.jobs - self._places.qsize()

    @property
    def restarts(self) -> int:
        """Launchers and slot servers replaced because they had died or were suspect."""
        return self._restarts + self._launchers.restarts

    def execute(self, request: ExecuteRequest) -> ExecuteResponse:
        """Run every input, or up to the first run that is not ok if `stop_on_error`. Blocks.

        A program is compiled once for all its inputs, in a run of its own, unless it is so short that a run
        costs more than compiling it each time.
        """
        program = _Program(request, self._language)
        try:
            if len(request.code) * (len(request.inputs) - 1) > WORTH_COMPILING_CHARS:
                failed = self._compile(program)
                if failed is not None:
                    count = 1 if request.stop_on_error else len(request.inputs)
                    return ExecuteResponse(runs=(failed,) * count, isolation=self.isolation)
            return ExecuteResponse(runs=tuple(self._run_all(program)), isolation=self.isolation)
        finally:
            program.close()

    def close(self) -> None:
        """Kill what runs; every waiting run ends as `infrastructure_error`."""
        if self._closed:
            return
        self._closed = True
        self._closing.set()
        self._threads.shutdown(wait=True)
        while not self._places.empty():
            self._places.get().close()
        self._launchers.close()
        if self._cgroups is not None:
            self._cgroups.remove()

    def _compile(self, program: _Program) -> Run | None:
        """Compile a program for its runs to come; how that failed, if it did."""
        try:
            compiling = self._threads.submit(self._compile_run, program)
        except RuntimeError:  # closed meanwhile
            return Run(status=RunStatus.INFRASTRUCTURE_ERROR, error="the executor is stopping")
        run, output = compiling.result()
        if run.status is not RunStatus.OK:
            return run
        program.compiled(output)
        return None

    def _compile_run(self, program: _Program) -> tuple[Run, bytes]:
        with self._place() as place:
            return self._run(place.slot(program.flavour), program.compile_job())

    def _run_all(self, program: _Program) -> list[Run]:
        inputs, stop = program.request.inputs, program.request.stop_on_error
        batch = Batch(inputs, min(self.jobs, len(inputs)), stop_on_error=stop)
        for _ in range(batch.workers):
            self._submit(program, batch)
        return batch.wait()

    def _submit(self, program: _Program, batch: Batch) -> None:
        try:
            self._threads.submit(self._turn, program, batch)
        except RuntimeError:  # closed meanwhile
            batch.leave()

    def _turn(self, program: _Program, batch: Batch) -> None:
        """Run inputs for a while, then queue again behind other requests' turns."""
        until = time.monotonic() + TURN_S
        try:
            with self._place() as place:
                while (taken := batch.take()) is not None:
                    number, text = taken
                    batch.put(number, self._run(place.slot(program.flavour), program.job(text))[0])
                    if time.monotonic() > until:
                        break
        except BaseException as error:  # noqa: BLE001 - raised again where the request waits
            batch.leave(error)
            return
        if taken is None:
            batch.leave()
        else:
            self._submit(program, batch)

    @contextlib.contextmanager
    def _place(self) -> Iterator[_Place]:
        """A place of one's own for a while: there are as many as threads."""
        place = self._places.get()
        try:
            yield place
        finally:
            self._places.put(place)

    def _run(self, slot: Slot, job: Job) -> tuple[Run, bytes]:
        """One run; once more if the machinery failed or the host disturbed it."""
        for _ in range(TRIES):
            run, output, again = self._try(slot, job)
            if not again or self._closing.is_set():
                break
            self.retried += 1
        return run, output

    def _try(self, slot: Slot, job: Job) -> tuple[Run, bytes, bool]:
        baseline = self._steal.begin()
        try:
            ended = slot.run(job, self._closing)
        except (LostError, OSError) as error:
            text = f"cannot run a program: {error}"
            return Run(status=RunStatus.INFRASTRUCTURE_ERROR, error=text), b"", True
        run = to_run(job, ended)
        again = run.status is RunStatus.INFRASTRUCTURE_ERROR
        if run.status is RunStatus.TIME_LIMIT:
            again = disturbed(job, ended, self._steal.share(baseline))
        return run, ended.output, again

    def _restarted(self) -> None:
        self._restarts += 1


class _Program:
    """A program on its way through a request: a memory file that all its runs read."""

    def __init__(self, request: ExecuteRequest, language: Python) -> None:
        self.request = request
        self.flavour = language.flavour(request.code)
        self._fd = _memory_file(request.code.encode("utf-8", "surrogatepass"))
        limits = request.limits
        self._job = Job(
            code=self._fd,
            compiled=False,
            kind=request.kind,
            entry_point=request.entry_point or "",
            input=b"",
            time_s=limits.time_s,
            wall_s=2 * limits.time_s + 2,
            memory_bytes=limits.memory_mb * MEBIBYTE,
            output_bytes=limits.output_kb * KIBIBYTE,
        )

    def job(self, text: str) -> Job:
        """A run on one input."""
        return replace(self._job, input=text.encode("utf-8", "surrogatepass"))

    def compile_job(self) -> Job:
        """A run that only compiles."""
        return replace(self._job, kind="compile", output_bytes=COMPILED_BYTES)

    def compiled(self, code: bytes) -> None:
        """Let the runs to come start from this."""
        self.close()
        self._fd = _memory_file(code)
        self._job = replace(self._job, code=self._fd, compiled=True)

    def close(self) -> None:
        """Let go of the memory file."""
        os.close(self._fd)


def _memory_file(data: bytes) -> int:
    fd = os.memfd_create("atlas-code", os.MFD_CLOEXEC)
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(data)
    return fd
