"""What the executor counts, for Prometheus: a registry of its own, read by its `/metrics`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from atlas.executor import Run
from services.sandbox.runner import Runner

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120)


class Metrics:
    """Counters of the runs that were answered, and the runner's own figures."""

    def __init__(self, runner: Runner) -> None:
        self.registry = CollectorRegistry()
        self._runs = Counter(
            "atlas_sandbox_runs",
            "Runs that were answered, by how they ended",
            ["status"],
            registry=self.registry,
        )
        self._cpu = self._histogram("cpu", "CPU time of one run, in seconds")
        self._wall = self._histogram("wall", "Wall time of one run with its start, in seconds")
        self.registry.register(_Figures(runner))
        ProcessCollector(namespace="atlas_sandbox", registry=self.registry)

    def count(self, runs: Iterable[Run]) -> None:
        """Count runs that have ended."""
        for run in runs:
            self._runs.labels(run.status.value).inc()
            self._cpu.observe(run.cpu_s)
            self._wall.observe(run.wall_s)

    def _histogram(self, clock: str, text: str) -> Histogram:
        return Histogram(f"atlas_sandbox_run_{clock}_seconds", text, buckets=_SECONDS, registry=self.registry)


class _Figures(Collector):
    """Read from the runner whenever someone looks."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def collect(self) -> Iterator[Metric]:
        """The runner's figures now."""
        runner = self._runner
        yield InfoMetricFamily(
            "atlas_sandbox_isolation", "The isolation level of every run", value={"level": runner.isolation}
        )
        yield GaugeMetricFamily("atlas_sandbox_slots", "Runs at once, at most", value=runner.jobs)
        yield GaugeMetricFamily("atlas_sandbox_slots_busy", "Slots that hold a run now", value=runner.busy)
        yield CounterMetricFamily(
            "atlas_sandbox_fork_server_restarts",
            "Fork servers replaced before their time",
            value=runner.restarts,
        )
        yield CounterMetricFamily(
            "atlas_sandbox_retried_runs", "Runs made again: the host disturbed them", value=runner.retried
        )
