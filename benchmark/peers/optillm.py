"""optillm, from the package index, in an environment of its own; nothing of it is imported here."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from atlas.contracts import Contract
from atlas.embedded.process import plain_environment
from atlas.errors import InfrastructureError, StartupError
from atlas.files import sync_directory

Approach = Literal["bon", "plansearch"]

VERSION = "0.4.0"
SHA256 = "0ace894b9cf953953b6c869c4faa0b5112e5e385c40a3770fa59cd491a3abfee"
OPENAI = "openai>=2,<4"
CHILD = Path(__file__).with_name("optillm_child.py")
SAYS_VERSIONS = (
    "import importlib.metadata as m, json;print(json.dumps({p: m.version(p) for p in ('optillm', 'openai')}))"
)


class Question(Contract):
    """What the child is asked."""

    approach: Approach
    system: str
    user: str
    base_url: str
    model: str
    n: int
    max_tokens: int


class Reply(Contract):
    """What the child says: an answer, or why there is none. `seconds` are those of the approach alone."""

    answer: str | None
    error: str | None
    seconds: float


class Versions(Contract):
    """What is installed in the environment."""

    optillm: str
    openai: str


class Optillm:
    """An environment with optillm, and its two approaches run in it, a process for each question.

    Args:
        directory: where the environment is, or will be: a virtual environment that `install` makes.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._stamp = directory / "installed.json"

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.directory / "bin" / "python"

    async def install(self) -> Versions:
        """Make the environment, unless it is there, and return what is in it.

        optillm is pinned by hash and comes without its requirements (gigabytes, none of them used by the two
        approaches) but the OpenAI client.

        Raises:
            StartupError: it cannot be made; quotes pip.
        """
        if not self._stamp.exists():
            await _run([sys.executable, "-m", "venv", "--clear", str(self.directory)])
            pinned = self.directory / "optillm.txt"
            pinned.write_text(f"optillm=={VERSION} --hash=sha256:{SHA256}\n", encoding="ascii")
            pip = [str(self.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
            await _run([*pip, "--no-deps", "--require-hashes", "--requirement", str(pinned)])
            await _run([*pip, OPENAI])
            said = await _run([str(self.python), "-I", "-c", SAYS_VERSIONS])
            self._stamp.write_text(said, encoding="utf-8")
            sync_directory(self.directory)
        try:
            return Versions.model_validate_json(self._stamp.read_bytes())
        except ValidationError as error:
            raise StartupError(f"{self._stamp} is unreadable: delete {self.directory}") from error

    async def ask(self, question: Question, timeout_s: float) -> Reply:
        """Have the question answered. A child that takes longer than `timeout_s` is killed: no answer.

        Raises:
            InfrastructureError: the child cannot be started, or ends without a word.
        """
        try:
            child = await asyncio.create_subprocess_exec(
                *[str(self.python), "-I", str(CHILD)],
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=plain_environment(),
            )
        except OSError as error:
            raise InfrastructureError(f"cannot run {self.python}: {error}") from error
        try:
            asked = question.model_dump_json().encode()
            out, err = await asyncio.wait_for(child.communicate(asked), timeout_s)
        except asyncio.TimeoutError:
            return Reply(answer=None, error=f"no answer after {timeout_s:g} s", seconds=timeout_s)
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()
        lines = out.decode("utf-8", "replace").splitlines()
        try:
            return Reply.model_validate_json(lines[-1] if lines else "")
        except ValidationError as error:
            said = err.decode("utf-8", "replace").strip()[-500:]
            raise InfrastructureError(f"optillm ended with {child.returncode}: {said}") from error


async def _run(command: Sequence[str]) -> str:
    """Run a command to its end and return its output.

    Raises:
        StartupError: it fails.
    """
    child = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await child.communicate()
    if child.returncode:
        said = (err or out).decode("utf-8", "replace").strip()[-500:]
        raise StartupError(f"optillm's environment cannot be made ({' '.join(command[:4])} ...): {said}")
    return out.decode("utf-8", "replace")
