"""Runs one approach of optillm on one question. For the Python of optillm's own environment: no ATLAS in it.

Reads one JSON object on stdin (approach, system, user, base_url, model, n, max_tokens) and ends stdout with
another: `answer` (null with an `error`) and `seconds`, those of the approach alone.

`import optillm` itself would start with its HTTP server and everything that all its approaches need (torch,
transformers, cloud SDKs). The two approaches are plain modules of the package that take an OpenAI client, so
an empty package of that name is put in place, and their own code is run as it is.
"""

import contextlib
import importlib
import importlib.metadata
import json
import sys
import time
import types
from collections.abc import Callable
from typing import Any

NO_ANSWER = "Error: "  # how both approaches say so, in place of an answer


def approaches() -> dict[str, Callable[..., Any]]:
    """Return optillm's two functions, best_of_n_sampling and plansearch."""
    package: Any = types.ModuleType("optillm")
    package.__path__ = [str(importlib.metadata.distribution("optillm").locate_file("optillm"))]
    sys.modules["optillm"] = package
    package.conversation_logger = importlib.import_module("optillm.conversation_logger")
    bon = importlib.import_module("optillm.bon").best_of_n_sampling
    return {"bon": bon, "plansearch": importlib.import_module("optillm.plansearch").plansearch}


def main() -> None:
    """Answer the question on stdin."""
    asked = json.load(sys.stdin)
    with contextlib.redirect_stdout(sys.stderr):
        openai = importlib.import_module("openai")
        client = openai.OpenAI(base_url=asked["base_url"], api_key="none", max_retries=0, timeout=3600)
        approach = approaches()[asked["approach"]]
        answer = error = None
        began = time.monotonic()
        try:
            said, _ = approach(
                asked["system"],
                f"User: {asked['user']}",  # as optillm's server makes a query of a conversation
                client,
                asked["model"],
                n=asked["n"],
                request_config={"max_tokens": asked["max_tokens"]},
            )
            answer = said[0] if isinstance(said, list) else said
        except openai.OpenAIError as failure:
            error = f"{type(failure).__name__}: {failure}"
        seconds = time.monotonic() - began
    if answer is not None and answer.startswith(NO_ANSWER):
        answer, error = None, answer
    print(json.dumps({"answer": answer, "error": error, "seconds": seconds}))


if __name__ == "__main__":
    main()
