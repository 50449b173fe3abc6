"""Choosing the one program without an answer key: a pure function over the journal.

Nothing here has ever seen a hidden test. By the policy's `selector`:

- `examples`: the program that passes most public examples; ties by whether it compiles, then by energy where
  there is one, then by mean log-probability, then by the order in which they were drawn.
- `majority`: of the programs that pass every public example, the shortest of the largest cluster.
- `calibrated`: of these, the shortest of the cluster that is most probably right.

The last two fall back on the program that passes most where none passes all (the orders are told in
`services/lens/clustering.py`). Whatever chose it, the program's confidence is the calibrated probability of
its cluster, and below the policy's `abstain_below` nothing is handed back.

A deadline may come while programs are being compared: then they are clustered on the inputs that all the
compared ones were run on (`services/lens/signatures.py`).

Letters of a `choice` problem are put to the vote: most candidates, then the candidates' mean log-probability
(self-consistency, Wang et al. 2022, arXiv:2203.11171, which votes over final answers in the same way).
Programs of `steps` are chosen as by `examples`. Nothing calibrates either, so their confidence is None.
"""

from __future__ import annotations

from collections import Counter

from atlas.contracts import Candidate
from atlas.errors import BadInput
from atlas.events import TaskAbstained, TaskDecided
from atlas.evidence import Agreement, Basis, Evidence
from atlas.pipeline import entrants, programs, stop, survivors
from atlas.selector import SELECTOR, SelectorWeights
from atlas.state import TaskState
from services.lens.clustering import Clustering, clusters, examples_rank, mean_logprob, partial_rank


def select(
    state: TaskState, command: str, weights: SelectorWeights = SELECTOR
) -> TaskDecided | TaskAbstained:
    """Answer Select.

    Raises:
        BadInput: if no candidate holds a program or a letter.
    """
    return decision(state, command, compared(state, weights))


def compared(state: TaskState, weights: SelectorWeights = SELECTOR) -> Clustering | None:
    """Return the clusters to choose from; None for letters and for programs of steps, which form none.

    Raises:
        BadInput: if no candidate holds a program or a letter.
    """
    if not programs(state):
        raise BadInput("there is no program to choose from")
    return clusters(state, weights) if state.task.problem.kind in ("stdin", "function") else None


def decision(state: TaskState, command: str, found: Clustering | None) -> TaskDecided | TaskAbstained:
    """Return the answer that follows from what `compared` found."""
    candidates = programs(state)
    if state.is_choice:
        return _voted(state, command, candidates)
    best = _best(state, candidates, found)
    evidence = _evidence(state, best, found)
    if evidence.confidence is not None and evidence.confidence < state.task.policy.abstain_below:
        return TaskAbstained(command=command, candidate=best.id, evidence=evidence)
    return TaskDecided(command=command, candidate=best.id, evidence=evidence)


def _best(state: TaskState, candidates: list[Candidate], found: Clustering | None) -> Candidate:
    if found is None or state.task.policy.selector == "examples":
        return min(candidates, key=lambda c: examples_rank(state, c))
    leading = found.ranked[0].cluster
    if not entrants(state):
        return min(leading.members, key=lambda c: partial_rank(state, c))
    return leading.program


def _voted(state: TaskState, command: str, candidates: list[Candidate]) -> TaskDecided:
    """The letter with most votes; of its candidates the one the model was surest of stands for it."""
    votes = Counter(str(c.code) for c in candidates)

    def sureness(letter: str) -> float:
        known = [mean_logprob(c) for c in candidates if c.code == letter]
        return sum(known) / len(known)

    order = sorted(votes, key=lambda letter: (-votes[letter], -sureness(letter)))  # stable: first drawn first
    best = max((c for c in candidates if c.code == order[0]), key=mean_logprob)
    evidence = Evidence(
        basis="majority_vote",
        public_passed=0,
        public_total=0,
        candidates=len(state.candidates),
        survivors=0,
        mean_logprob=best.logprob.mean if best.logprob else None,
        stopped=stop(state),
        votes={letter: votes[letter] for letter in order},
    )
    return TaskDecided(command=command, candidate=best.id, evidence=evidence)


def _evidence(state: TaskState, best: Candidate, found: Clustering | None) -> Evidence:
    execution = state.executions.get(best.id)
    return Evidence(
        basis=_basis(state, best),
        public_passed=execution.passed if execution else 0,
        public_total=len(state.task.problem.examples),
        candidates=len(state.candidates),
        survivors=len(survivors(state)),
        energy=best.energy,
        mean_logprob=best.logprob.mean if best.logprob else None,
        isolation=execution.isolation if execution else None,
        confidence=found.of(best.id).probability if found else None,
        agreement=_agreement(best, found) if found else None,
        stopped=stop(state),
    )


def _agreement(best: Candidate, found: Clustering) -> Agreement:
    """How the others compare with the chosen one; without a comparison, how many share its very text."""
    chosen = found.of(best.id).cluster
    others = [len(w.cluster.members) for w in found.ranked if w.cluster is not chosen]
    compared = found.groups.comparison == "compared"
    return Agreement(
        comparison=found.groups.comparison,
        inputs=found.groups.inputs,
        agreeing=len(chosen.members),
        clusters=(len(chosen.members), *sorted(others, reverse=True)) if compared else (),
    )


def _basis(state: TaskState, best: Candidate) -> Basis:
    execution = state.executions.get(best.id)
    if not state.task.problem.examples:
        return "no_public_examples"
    if execution is None:
        return "not_executed"
    return "passed_public_examples" if execution.all_passed else "best_partial"
