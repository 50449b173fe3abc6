"""A native llama-server of a given binary, model and flags, on one core, and the CPU time it has used."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil  # type: ignore[import-untyped]
from numpy.typing import NDArray

from atlas.embedded.own_stack import free_ports
from atlas.errors import InfrastructureError, StartupError

LOADED_WITHIN_S = 120.0
SLOTS = 4
ONE_CORE = ("--threads", "1", "--threads-batch", "1")


class NativeLlama:
    """A running server. Every call is one HTTP request and waits for its answer."""

    def __init__(self, process: subprocess.Popen[bytes], url: str) -> None:
        self.url = url
        self._process = psutil.Process(process.pid)
        self._http = httpx.Client(base_url=url, timeout=600, trust_env=False)

    @property
    def cpu_s(self) -> float:
        """CPU seconds it has used so far, of all its threads."""
        used = self._process.cpu_times()
        return float(used.user + used.system)

    def get(self, path: str) -> dict[str, Any]:
        """Return the JSON object at a path.

        Raises:
            InfrastructureError: it does not answer 200.
        """
        answer: dict[str, Any] = _checked(self._http.get(path)).json()
        return answer

    def post(self, path: str, body: object) -> dict[str, Any]:
        """Return the JSON object that answers a body.

        Raises:
            InfrastructureError: it does not answer 200.
        """
        answer: dict[str, Any] = _checked(self._http.post(path, json=body)).json()
        return answer

    def complete(self, body: object) -> list[dict[str, Any]]:
        """Return the choices of a /completion that is not streamed, however many there are.

        Raises:
            InfrastructureError: it does not answer 200.
        """
        answer = _checked(self._http.post("/completion", json=body)).json()
        return answer if isinstance(answer, list) else [answer]

    def embed(self, content: str | list[int], **fields: object) -> NDArray[np.float64]:
        """Return the rows of one text (or its tokens) from /embedding, shape (1 or tokens, n_embd).

        Raises:
            InfrastructureError: it does not answer 200.
        """
        answer = _checked(self._http.post("/embedding", json={"content": content, **fields})).json()
        return np.asarray(answer[0]["embedding"], dtype=np.float64)

    def prompt(self, text: str) -> str:
        """Return a question in the model's own chat template."""
        body = {"messages": [{"role": "user", "content": text}]}
        return str(self.post("/apply-template", body)["prompt"])

    def tokens(self, prompt: str) -> list[int]:
        """Return the tokens of a prompt as /completion makes them."""
        body = {"content": prompt, "add_special": True, "parse_special": True}
        return [int(token) for token in self.post("/tokenize", body)["tokens"]]

    def close(self) -> None:
        """Close the connections."""
        self._http.close()


@contextlib.contextmanager
def serve(
    binary: Path,
    model: Path,
    log: Path,
    *flags: str,
    slots: int = SLOTS,
    embeddings: bool = True,
    one_core: bool = False,
) -> Iterator[NativeLlama]:
    """Run a server on one thread until the block ends; 2048 tokens of context a slot.

    `one_core` keeps its other threads (HTTP) on the same core too.

    Raises:
        StartupError: it ended or has not loaded the model in time; quotes the end of its log.
    """
    port = free_ports(1)
    command = [str(binary), "--model", str(model), "--host", "127.0.0.1", "--port", str(port), *ONE_CORE]
    command += ["--parallel", str(slots), "--ctx-size", str(2048 * slots), *flags]
    command += ["--embeddings"] if embeddings else []
    environment = {"PATH": os.environ.get("PATH", ""), "OMP_WAIT_POLICY": "passive"}
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment)
    if one_core:
        psutil.Process(process.pid).cpu_affinity([max(os.sched_getaffinity(0))])
    server = NativeLlama(process, f"http://127.0.0.1:{port}")
    try:
        _wait(process, server.url, log)
        yield server
    finally:
        server.close()
        process.terminate()
        process.wait()


def _checked(response: httpx.Response) -> httpx.Response:
    if response.status_code != 200:
        url, text = response.request.url, response.text[:300]
        raise InfrastructureError(f"{url} answers {response.status_code}: {text}")
    return response


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + LOADED_WITHIN_S
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{url}/health", timeout=5, trust_env=False).status_code == 200:
                return
        time.sleep(0.05)
    end: Sequence[str] = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
    raise StartupError("llama-server does not serve; the end of its log:\n" + "\n".join(end))
