"""What a task drew on its way to its one program: its candidates in order, as its journal tells them."""

from __future__ import annotations

from collections.abc import Sequence

from atlas.contracts import Candidate, Contract
from atlas.events import CandidateGenerated, Entry, TaskSubmitted
from benchmark.grades import Program
from benchmark.results import RunResults, TaskResult, load_journal, program_sha256


class Drawn(Contract):
    """One task's candidates, in the order in which they were generated; `examples`: its public ones."""

    task: str
    examples: int
    candidates: tuple[Candidate, ...]

    @property
    def first_draws(self) -> tuple[Candidate, ...]:
        """Those that are no repair of another."""
        return tuple(each for each in self.candidates if each.origin != "repair")


def drawn(result: TaskResult) -> Drawn | None:
    """Read a task's candidates; None where the run kept no journal of it.

    Raises:
        InfrastructureError: the journal cannot be read.
    """
    return _drawn(result.task, load_journal(result))


def _drawn(task: str, entries: Sequence[Entry]) -> Drawn | None:
    if not entries:
        return None
    events = [entry.event for entry in entries]
    examples = next((len(e.problem.examples) for e in events if isinstance(e, TaskSubmitted)), 0)
    candidates = tuple(e.candidate for e in events if isinstance(e, CandidateGenerated))
    return Drawn(task=task, examples=examples, candidates=candidates)


def programs(run: RunResults) -> dict[Program, str]:
    """Return every distinct program of the run's results, by name: submissions, candidates, repairs.

    Tasks that ended in `error` have none yet: a resume tries them again.

    Raises:
        InfrastructureError: a journal cannot be read.
    """
    found: dict[Program, str] = {}
    for result in run.graded:
        read = drawn(result)
        codes = [candidate.code for candidate in read.candidates] if read else []
        for code in (result.program, *codes):
            if code is not None:
                found[Program(result.task, program_sha256(code))] = code
    return found
