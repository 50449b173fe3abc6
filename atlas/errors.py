"""Every exception ATLAS raises on purpose.

AtlasError
├── BadInput                the caller's request cannot be served as it stands (HTTP 4xx)
│   ├── NotFound            no such task, model or policy (404)
│   └── Conflict            the same idempotency key with another body (409)
├── BadOutput               the model's answer cannot be used; CommandFailed(bad_output) in a task
│   └── BudgetSpent         the task's token budget has nothing left for this call
├── ConfigError             atlas.conf or the environment is wrong: names the key and the line
├── StartupError            a part of the stack cannot start: says what to do next
├── ModelFileError          a model file is missing, partial or not what its hash promises
└── InfrastructureError     something that is not the program's fault; retried or shown as `error`
    ├── ModelServerError    llama-server refused or failed a call
    │   └── CallTimeout     a call took longer than it was given
    ├── ExecutorError       the sandbox executor refused or failed a run
    └── SchemaTooNew        a later release wrote what this one is to read
"""

from __future__ import annotations


class AtlasError(Exception):
    """Base of all of ours. `title` and `status` are what a REST answer shows."""

    title = "Internal error"
    status = 500


class BadInput(AtlasError):
    """The request is wrong; the message says what to mend."""

    title = "Bad input"
    status = 422


class NotFound(BadInput):
    """The thing named does not exist."""

    title = "Not found"
    status = 404


class Conflict(BadInput):
    """The request contradicts an earlier one that was accepted."""

    title = "Conflict"
    status = 409


class BadOutput(AtlasError):
    """The model's answer cannot be used. In a task this becomes CommandFailed(bad_output)."""

    title = "The model's answer cannot be used"
    status = 502


class BudgetSpent(BadOutput):
    """The task's token budget has nothing left for a call."""

    title = "The token budget is spent"


class ConfigError(AtlasError):
    """A setting is wrong; the message names its key and where it was read."""

    title = "Configuration error"


class StartupError(AtlasError):
    """A part of the stack cannot start; the message ends with what to do next."""

    title = "Cannot start"


class ModelFileError(AtlasError):
    """A model file is missing, partial, or its hash is wrong."""

    title = "Model file problem"


class ModelSizeUnknown(ModelFileError):
    """A model may work, but how much memory it takes cannot be told from its header."""


class InfrastructureError(AtlasError):
    """A failure of the machinery, never counted as a wrong answer.

    `retryable` is false where asking again would fail again (a refused request): then it is surfaced.
    """

    title = "Infrastructure failure"
    status = 503

    def __init__(self, message: str, *, retryable: bool = True) -> None:
        super().__init__(message)
        self.retryable = retryable


class ModelServerError(InfrastructureError):
    """llama-server refused or failed a call."""

    title = "Model server failure"


class CallTimeout(ModelServerError):
    """A call was given up at the time it was given, and its slot freed; never worth the same call again."""

    def __init__(self, message: str) -> None:
        super().__init__(message, retryable=False)


class ExecutorError(InfrastructureError):
    """The sandbox executor refused or failed a run."""

    title = "Executor failure"


class SchemaTooNew(InfrastructureError):
    """What is stored was written by a later release than this one, as during an upgrade."""

    title = "Written by a newer release"
