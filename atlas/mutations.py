"""More inputs for a problem's programs, to see where they agree: variations of its public examples.

Nothing here knows a right answer. An input is varied within the types it shows: a whole number stays one, a
list keeps its kind of element, a word its kind of letters. What a statement demands beyond that (a count that
must fit the line after it) may be broken; programs are compared on what they make of an input, and one that
every program rejects tells nothing.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

from atlas.contracts import Problem

NUMBER = re.compile(r"(?<![\w.])-?\d+(?![\w.])")
WORD = re.compile(r"(?<!\w)[A-Za-z]{2,}(?!\w)")
TRIES = 20  # for each input wanted: a variation is often one that is there already
# What makes inputs of a problem: so many at most, by a seed. Others may come beside `mutations`.
Source = Callable[[Problem, int, int], "list[str]"]


def mutations(problem: Problem, n: int, seed: int) -> list[str]:
    """Return up to `n` distinct variations of the public examples' inputs, none of them an example's.

    The same for the same problem and seed. Fewer come where the examples allow no more.
    """
    known = {example.input for example in problem.examples}
    origins = sorted(known)
    random_ = random.Random(f"{seed} {problem.kind} {origins!r}")  # noqa: S311 - to be repeated, not guessed
    found: dict[str, None] = {}
    for _ in range(n * TRIES if origins else 0):
        if len(found) == n:
            break
        origin = random_.choice(origins)
        varied = _function(origin, random_) if problem.kind == "function" else _text(origin, random_)
        if varied not in known:
            found[varied] = None
    return list(found)


def _function(text: str, random_: random.Random) -> str:
    """Vary one of the arguments, JSON values a line; text that is none is varied as text."""
    lines = text.splitlines()
    try:
        values = [json.loads(line) for line in lines]
    except ValueError:
        return _text(text, random_)
    if not values:
        return text
    chosen = random_.randrange(len(values))
    values[chosen] = _value(values[chosen], random_)
    return "\n".join(json.dumps(value) for value in values)


def _value(value: Any, random_: random.Random) -> Any:  # noqa: ANN401 - JSON is any
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return _whole(value, random_)
    if isinstance(value, float):
        return round(value * random_.uniform(0.5, 1.5) + random_.choice((-1, 0, 1)), 6)
    if isinstance(value, str):
        return _word(value, random_)
    if isinstance(value, list):
        return _list(value, random_)
    if isinstance(value, dict) and value:
        key = random_.choice(sorted(value))
        return value | {key: _value(value[key], random_)}
    return value


def _list(values: list[Any], random_: random.Random) -> list[Any]:
    changed = list(values)
    if not changed:
        return changed
    how = random_.choice(("element", "element", "swap", "drop", "repeat"))
    at = random_.randrange(len(changed))
    if how == "swap":
        other = random_.randrange(len(changed))
        changed[at], changed[other] = changed[other], changed[at]
    elif how == "drop" and len(changed) > 1:
        del changed[at]
    elif how == "repeat":
        changed.insert(at, changed[random_.randrange(len(changed))])
    else:
        changed[at] = _value(changed[at], random_)
    return changed


def _whole(value: int, random_: random.Random) -> int:
    """Return another whole number of about the size; one that was not negative stays so."""
    varied = random_.choice(
        (value + 1, value - 1, value * 2, value // 2, random_.randint(0, 2 * abs(value) + 1))
    )
    return abs(varied) if value >= 0 else varied


def _word(text: str, random_: random.Random) -> str:
    if not text:
        return text
    letters = list(text)
    at = random_.randrange(len(letters))
    how = random_.choice(("letter", "letter", "swap", "drop", "repeat"))
    if how == "swap":
        other = random_.randrange(len(letters))
        letters[at], letters[other] = letters[other], letters[at]
    elif how == "drop" and len(letters) > 1:
        del letters[at]
    elif how == "repeat":
        letters.insert(at, letters[at])
    else:
        letters[at] = random_.choice(sorted(set(text)))
    return "".join(letters)


def _text(text: str, random_: random.Random) -> str:
    """Vary one number or one word of a text, wherever it stands."""
    parts = list(_parts(text))
    if not parts:
        return text
    start, end, number = random_.choice(parts)
    part = text[start:end]
    varied = str(_whole(int(part), random_)) if number else _word(part, random_)
    return text[:start] + varied + text[end:]


def _parts(text: str) -> Iterator[tuple[int, int, bool]]:
    for pattern, number in ((NUMBER, True), (WORD, False)):
        for match in pattern.finditer(text):
            yield match.start(), match.end(), number


SOURCES: dict[str, Source] = {"mutation": mutations}
