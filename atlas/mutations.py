"""More inputs for a problem's programs, to see where they agree: variations of its public examples.

Nothing here knows a right answer. An input is varied within the types it shows: a whole number stays one, a
list keeps its kind of element, a word its kind of letters. Two things more are kept where they can be read
cheaply: a number that counts what follows it keeps doing so (`atlas.counts`), and limits that the statement
writes down (`atlas.bounds`). Whatever else a statement demands may be broken; programs are compared on what
they make of an input, and one that every program rejects tells nothing.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator, Sequence
from typing import Any

from atlas.bounds import within
from atlas.contracts import Problem
from atlas.counts import Count, counts, holds, in_every, resized

NUMBER = re.compile(r"(?<![\w.])-?\d+(?![\w.])")
WORD = re.compile(r"(?<!\w)[A-Za-z]{2,}(?!\w)")
TRIES = 20  # for each input wanted: a variation is often one that is there already
RESIZE_SHARE = 0.25  # of the variations of a text that counts something: the rest vary what is counted


def mutations(problem: Problem, n: int, seed: int) -> list[str]:
    """Return up to `n` distinct variations of the public examples' inputs, none of them an example's.

    The same for the same problem and seed. Fewer come where the examples allow no more.
    """
    known = {example.input for example in problem.examples}
    origins = sorted(known)
    random_ = random.Random(f"{seed} {problem.kind} {origins!r}")  # noqa: S311 - to be repeated, not guessed
    allowed = within(problem)
    counting = {origin: in_every(counts(origin), origins) for origin in origins}
    found: dict[str, None] = {}
    for _ in range(n * TRIES if origins else 0):
        if len(found) == n:
            break
        origin = random_.choice(origins)
        if problem.kind == "function":
            varied = _function(origin, random_)
        else:
            counted = counting[origin]
            resize = random_.choice(counted) if counted and random_.random() < RESIZE_SHARE else None
            varied = resized(origin, resize, random_) if resize else _text(origin, random_)
            if not all(holds(varied, each) for each in _kept(counted, resize)):
                continue
        if varied not in known and allowed(varied):
            found[varied] = None
    return list(found)


def _kept(counted: Sequence[Count], resize: Count | None) -> list[Count]:
    """The counts that must still hold: where lines come or go, only those of the first line stay in place."""
    moved = resize is not None and resize.of == "lines"
    return [each for each in counted if each != resize and (each.line == 0 or not moved)]


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
    if len(set(map(type, changed))) > 1:  # a record: each of its places has a meaning and a type of its own
        how = "element"
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
