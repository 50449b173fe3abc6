"""The systems that are compared: a policy of ATLAS, and an approach of optillm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pydantic import JsonValue

from atlas.api import SubmitRequest, TaskView
from atlas.client import Gateway, GatewayRefused
from atlas.contracts import Contract, Usage
from atlas.errors import InfrastructureError
from atlas.extract import program
from atlas.policy import Policy
from atlas.prompts import messages
from benchmark.peers.ledger import Ledger, PeerCall
from benchmark.peers.optillm import Approach, Question, Reply, Versions
from benchmark.peers.proxy import MeteringProxy
from benchmark.peers.store import PeerStore
from benchmark.solve import key
from benchmark.tasks import Task

ANSWER_TOKENS = 1024  # the most one answer of a peer's may have: what ATLAS's policies give a candidate
BEST_OF = 3  # optillm's own default


class Answer(Contract):
    """What a system made of a task. `broken`: failures of the machinery on the way, if any.

    They count only where the program turns out not to be right, as in a run of ATLAS (`benchmark.solve`).
    """

    program: str | None
    usage: Usage
    seconds: float
    note: str = ""
    budget_spent: bool = False
    calls: tuple[PeerCall, ...] = ()
    journal: str | None = None
    broken: str | None = None


class System(Protocol):
    """One of those compared."""

    name: str

    @property
    def what(self) -> dict[str, JsonValue]:
        """What it is, in every respect that may change its answers."""
        ...

    async def answer(self, task: Task, attempt: int) -> Answer:
        """Solve the task.

        Raises:
            InfrastructureError: the machinery failed; this is no answer.
        """
        ...


class AtlasSystem:
    """A policy of ATLAS, through its gateway."""

    def __init__(self, gateway: Gateway, policy: Policy, store: PeerStore) -> None:
        self.name = policy.name
        self._gateway, self._policy, self._store = gateway, policy, store

    @property
    def what(self) -> dict[str, JsonValue]:
        """The policy."""
        return {"policy": self._policy.model_dump(mode="json")}

    async def answer(self, task: Task, attempt: int) -> Answer:
        """Submit the task, or find the one that an earlier command submitted, and wait for its end.

        Raises:
            InfrastructureError: the gateway or the stack failed.
            Conflict: the stack is not the one that the comparison began on.
        """
        request = SubmitRequest(problem=task.problem, policy=self._policy)
        name = key(f"{self._store.directory.name}.{self.name}", task.id, self._policy.seed, attempt)
        try:
            view, _ = await self._gateway.submit(request, name)
            self._store.bind_pins(await self._gateway.pins(view.id))
            view = await self._gateway.wait(view.id)
            journal = await self._gateway.journal(view.id)
        except GatewayRefused as error:
            raise InfrastructureError(str(error)) from error
        if view.status == "cancelled" or view.infrastructure:
            raise InfrastructureError(view.error or "the task was cancelled")
        return Answer(
            program=view.program,
            usage=view.usage,
            seconds=view.seconds,
            note="" if view.program is not None else view.error or "no program",
            journal=self._store.save_journal(self.name, task.id, journal),
            broken=_broken(view),
        )


class Asks(Protocol):
    """What this needs of optillm's environment."""

    async def ask(self, question: Question, timeout_s: float) -> Reply:
        """Have a question answered."""


class OptillmSystem:
    """An approach of optillm behind the metering proxy; docs/PEERS.md says what is equal, and what is not.

    Args:
        budget: tokens the model may generate for one task, in all calls.
        timeout_s: the longest a task may take.
    """

    def __init__(
        self,
        approach: Approach,
        *,
        optillm: Asks,
        versions: Versions,
        proxy: MeteringProxy,
        model: str,
        budget: int,
        seed: int,
        timeout_s: float,
    ) -> None:
        self.name = f"optillm-{approach}"
        self._approach: Approach = approach
        self._optillm, self._versions, self._proxy = optillm, versions, proxy
        self._model, self._budget, self._seed, self._timeout_s = model, budget, seed, timeout_s

    @property
    def what(self) -> dict[str, JsonValue]:
        """Approach, versions, and what it is configured to."""
        return {
            "approach": self._approach,
            "n": self._n,
            "max_tokens": ANSWER_TOKENS,
            "token_budget": self._budget,
            "versions": self._versions.model_dump(),
        }

    @property
    def _n(self) -> int:
        return BEST_OF if self._approach == "bon" else 1

    async def answer(self, task: Task, attempt: int) -> Answer:
        """Ask optillm what ATLAS's own prompt asks, and take the program out of its answer.

        Best-of-n that ran out of tokens while it was rating gets the first program that it had completed:
        what it returns itself when no rating can be read. PlanSearch writes its program last: it has none.

        Raises:
            InfrastructureError: the model server or the child failed.
        """
        system, user = (message["content"] for message in messages("solve", task.problem))
        ledger = Ledger(self._budget)
        # Attempts differ in their seeds, as do the calls of one.
        async with self._proxy.metered(ledger, self._seed + 1000 * (attempt - 1)) as base_url:
            question = Question(
                approach=self._approach,
                system=system,
                user=user,
                base_url=base_url,
                model=self._model,
                n=self._n,
                max_tokens=ANSWER_TOKENS,
            )
            reply = await self._optillm.ask(question, self._timeout_s)
        if ledger.trouble is not None:
            raise InfrastructureError(ledger.trouble)
        code, note = self._program(task, reply, ledger.calls)
        return Answer(
            program=code,
            usage=ledger.usage,
            seconds=reply.seconds,
            note=note,
            budget_spent=ledger.refusals > 0,
            calls=tuple(ledger.calls),
        )

    def _program(self, task: Task, reply: Reply, calls: Sequence[PeerCall]) -> tuple[str | None, str]:
        entry = task.problem.entry_point
        if reply.answer is not None:
            code = program(reply.answer, entry)
            return code, "" if code is not None else "no program in its answer"
        why = (reply.error or "no answer")[:300]
        if self._approach != "bon":
            return None, why
        completed = [c for call in calls for c in call.completions if c.finish == "stop"]
        code = next(filter(None, (program(choice.text, entry) for choice in completed)), None)
        return code, why if code is None else f"the first program completed, since: {why}"


def _broken(view: TaskView) -> str | None:
    failed = [failure for failure in view.failures if failure.infrastructure]
    return f"{failed[0].command} failed: {failed[0].reason}: {failed[0].detail}" if failed else None
