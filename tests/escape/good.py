"""Programs with known right answers, of both kinds."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass

from atlas.contracts import Limits
from atlas.executor import ExecuteRequest, ExecuteResponse, RunStatus

LIMITS = Limits(time_s=2, memory_mb=64, output_kb=64)
_STDIN = """import sys
numbers = [int(word) for word in sys.stdin.read().split()]
print(sum(n * n for n in numbers), max(numbers))
"""
_FUNCTION = """class Solution:
    def solve(self, words: List[str], k: int) -> List[str]:
        counted = Counter(words)
        return sorted(counted, key=lambda word: (-counted[word], word))[:k]
"""


@dataclass(frozen=True)
class Good:
    """A request and the outputs it must have."""

    request: ExecuteRequest
    outputs: tuple[str, ...]

    def wrong(self, response: ExecuteResponse) -> str:
        """What is wrong with the response; "" if nothing is."""
        found = [run.output.strip() for run in response.runs if run.status is RunStatus.OK]
        return "" if found == list(self.outputs) else f"wanted {self.outputs}, got {response.runs}"


def draw(random_: random.Random) -> Good:
    """A good program of either kind, with one to three inputs."""
    return random_.choice((_script, _function))(random_)


def both(random_: random.Random) -> tuple[Good, Good]:
    """One of each kind."""
    return _script(random_), _function(random_)


def _script(random_: random.Random) -> Good:
    inputs, outputs = [], []
    for _ in range(random_.choice((1, 1, 3))):
        numbers = [random_.randrange(-(10**9), 10**9) for _ in range(random_.randrange(1, 50))]
        inputs.append(" ".join(map(str, numbers)))
        outputs.append(f"{sum(n * n for n in numbers)} {max(numbers)}")
    return Good(ExecuteRequest(code=_STDIN, inputs=tuple(inputs), limits=LIMITS), tuple(outputs))


def _function(random_: random.Random) -> Good:
    words = [random_.choice("abcdefg") for _ in range(random_.randrange(1, 40))]
    k = random_.randrange(1, 5)
    right = sorted(set(words), key=lambda word: (-words.count(word), word))[:k]
    request = ExecuteRequest(
        code=_FUNCTION,
        kind="function",
        entry_point="solve",
        inputs=(f"{json.dumps(words)}\n{k}",),
        limits=LIMITS,
    )
    return Good(request, (json.dumps(right),))
