"""When to kill what: drawn from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass

# The services and servers of the stack, the model server, and `atlas up` itself (with all its children).
CHILDREN = ("redis", "executor", "gateway", "planner", "lens", "sandbox", "repair")
MODEL, STACK = "llama", "stack"
TARGETS = (*CHILDREN, MODEL, STACK)
DELAY_MOST_S = 0.5


@dataclass(frozen=True)
class Kill:
    """kill -9 of `target`, `delay_s` after the model server has been asked `after` completions."""

    target: str
    after: int
    delay_s: float


@dataclass(frozen=True)
class Killed:
    """A kill that took place; `time` is seconds of the machine's clock."""

    target: str
    time: float


def schedule(kills: int, seed: int, requests: int) -> list[Kill]:
    """Return `kills` kills for tasks that ask for `requests` completions in all, in order.

    Targets come round by round, each round all of them in a new order, so that each has its turn and none is
    killed so often in a row that the stack takes it for a crash loop.
    """
    random_ = random.Random(f"kills {seed}")
    targets: list[str] = []
    while len(targets) < kills:
        targets += random_.sample(TARGETS, len(TARGETS))
    moments = sorted(random_.randint(1, max(1, requests * 9 // 10)) for _ in range(kills))
    return [
        Kill(target, after, random_.uniform(0, DELAY_MOST_S))
        for target, after in zip(targets, moments, strict=False)
    ]
