"""The life of a task as clients see it: submitted once, looked at, cancelled, ended."""

from __future__ import annotations

import hashlib
import uuid

from atlas.api import SubmitRequest, TaskList, TaskView, view
from atlas.config import Settings
from atlas.contracts import Problem
from atlas.errors import Conflict, NotFound
from atlas.events import TaskCancelled, TaskSubmitted
from atlas.journal import Journal
from atlas.lens.served import weights_for
from atlas.llama import ModelServer
from atlas.pins import current_pins
from atlas.policy import Policy, named
from atlas.statement_examples import statement_examples


class Tasks:
    """Task operations over the journal."""

    def __init__(self, journal: Journal, server: ModelServer, settings: Settings) -> None:
        self.journal = journal
        self._server = server
        self._settings = settings
        self._deadline_s = settings.task_deadline_seconds

    async def submit(self, body: SubmitRequest, key: str | None) -> tuple[TaskView, bool]:
        """Begin a task, or find the one this idempotency key began; True if it is new.

        Raises:
            Conflict: if the key was used with another body.
            NotFound: if there is no policy of that name.
            ModelServerError: if the model server, whose model is pinned, cannot be asked.
        """
        task = begun_by(key) if key else uuid.uuid4().hex
        if known := await self._submission(task):
            _same(known, body, self._deadline_s)
            return await self.get(task), False
        policy = _policy(body)
        asked = _asked(body, policy, self._deadline_s)
        weights = await weights_for(self._server, self._settings, policy)
        event = TaskSubmitted(pins=await current_pins(self._server, weights), **asked)
        new = await self.journal.submit(task, event)
        if not new and (known := await self._submission(task)):
            _same(known, body, self._deadline_s)
        return await self.get(task), new

    async def submit_again(self, task: str, key: str) -> TaskView:
        """Begin a task like this one, or find the one this idempotency key began.

        Raises:
            NotFound: if there is no task of that id.
        """
        known = await self._submission(task)
        if known is None:
            raise NotFound(f"no task '{task}'")
        body = SubmitRequest(
            problem=known.problem, policy=known.policy, priority=known.priority, deadline_s=known.deadline_s
        )
        return (await self.submit(body, key))[0]

    async def _submission(self, task: str) -> TaskSubmitted | None:
        return (await self.journal.state(task)).submitted

    async def get(self, task: str) -> TaskView:
        """Return a task.

        Raises:
            NotFound: if there is none of that id.
        """
        entries = await self.journal.read(task)
        if not entries:
            raise NotFound(f"no task '{task}'")
        return view(task, entries, await self.journal.late_tokens(task))

    async def list(self, limit: int, before: float | None) -> TaskList:
        """Return tasks, newest first."""
        rows = await self.journal.tasks(limit, before)
        tasks = tuple([await self.get(task) for task, _ in rows])
        return TaskList(tasks=tasks, next_before=rows[-1][1] if len(rows) == limit else None)

    async def cancel(self, task: str) -> TaskView:
        """End a task; a task that has ended stays as it is.

        Raises:
            NotFound: if there is none of that id.
        """
        await self.get(task)
        await self.journal.record(task, TaskCancelled(), once="cancel")
        return await self.get(task)


def begun_by(key: str) -> str:
    """Return the id of the task that an idempotency key begins."""
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def _asked(body: SubmitRequest, policy: Policy, deadline_s: float) -> dict[str, object]:
    """Return the part of TaskSubmitted that the caller decides."""
    return {
        "problem": _with_examples(body.problem) if policy.statement_examples else body.problem,
        "policy": policy,
        "priority": body.priority,
        "deadline_s": body.deadline_s or deadline_s,
    }


def _policy(body: SubmitRequest) -> Policy:
    policy: Policy = named(body.policy) if isinstance(body.policy, str) else body.policy
    own = {"seed": body.seed, "abstain_below": body.abstain_below}
    return policy.model_copy(update={name: value for name, value in own.items() if value is not None})


def _with_examples(problem: Problem) -> Problem:
    """Return the problem with the public examples that its statement shows, where it lists none."""
    shown = () if problem.examples else statement_examples(problem)
    return problem.model_copy(update={"examples": shown, "examples_in_statement": True}) if shown else problem


def _same(known: TaskSubmitted, body: SubmitRequest, deadline_s: float) -> None:
    asked = _asked(body, _policy(body), deadline_s)
    if body.deadline_s is None:
        del asked["deadline_s"]  # the gateway's own, which an operator may have changed since
    differ = sorted(key for key, value in asked.items() if getattr(known, key) != value)
    if differ:
        raise Conflict(f"this Idempotency-Key was used with another {', '.join(differ)}; use a new key")
