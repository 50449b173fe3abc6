"""Numbers of an input text that count what follows them: found in an example, kept true when it is varied.

    3            counts the tokens of the next line (or lines, where several have so many)
    1 2 30
    2            counts the lines that follow, or blocks of as many lines each
    ab
    cd

Read off the text alone, so a number that is equal by chance is taken for a count too: it is then left as it
is, which costs variety and breaks nothing.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

_COUNT = re.compile(r"[1-9]\d{0,5}")
# A count of 1 is often a chance (one test case, one number): kept as it is, never made another.
_LEAST_RESIZED = 2
# Below the first line a test case's sizes stand by themselves; a longer line is of numbers to compute with.
_MOST_IN_A_HEAD = 3


@dataclass(frozen=True)
class Count:
    """The number at `token` of `line` (both from 0) is that of what stands from line `start` on.

    `tokens` of each of the `span` lines there, `characters` of the one there, or `lines` to the end of the
    text: blocks of `span` of them.
    """

    line: int
    token: int
    of: Literal["tokens", "characters", "lines"]
    start: int
    span: int = 1


def counts(text: str) -> list[Count]:
    """Return the counts of a text, in the order they stand."""
    lines = _lines(text)
    found: list[Count] = []
    for number, line in enumerate(lines[:-1]):
        tokens = line.split()
        if number and len(tokens) > _MOST_IN_A_HEAD:
            continue
        for at, token in enumerate(tokens):
            if _COUNT.fullmatch(token) and (count := _count(lines, number, at, int(token))):
                found.append(count)
    return found


def in_every(found: Sequence[Count], texts: Sequence[str]) -> list[Count]:
    """Those of `found` that every one of the texts bears out, where they are said of the first line.

    What a first line counts is the same in every example. Further lines differ from one to the next.
    """
    return [each for each in found if each.line or all(_alike(each, counts(text)) for text in texts)]


def holds(text: str, count: Count) -> bool:
    """Whether a text, varied in place, still has as many as the count says."""
    lines = _lines(text)
    if count.start >= len(lines) or count.token >= len(lines[count.line].split()):
        return False
    token = lines[count.line].split()[count.token]
    if not _COUNT.fullmatch(token):
        return False
    said, after = int(token), lines[count.start :]
    if count.of == "lines":
        return len(after) == said * count.span
    if count.of == "characters":
        return len(after[0]) == said
    return all(len(line.split()) == said for line in after[: count.span])


def resized(text: str, count: Count, random_: random.Random) -> str:
    """Return the text with one more or one fewer of what is counted, and the count changed with it.

    The text as it is where the count is 1, or counts a square's columns (and so its rows).
    """
    lines = _lines(text)
    said = int(lines[count.line].split()[count.token])
    square = count.of == "tokens" and count.span == said > 1
    if said < _LEAST_RESIZED or square:
        return text
    change, at = random_.choice((-1, 1)), random_.randrange(said)
    if count.of == "lines":
        first = count.start + at * count.span
        block = lines[first : first + count.span]
        lines[first : first + count.span] = block * (1 + change)
    elif count.of == "characters":
        word = lines[count.start]
        lines[count.start] = word[:at] + word[at] * (1 + change) + word[at + 1 :]
    else:
        for number in range(count.start, count.start + count.span):
            tokens = lines[number].split()
            tokens[at : at + 1] = tokens[at : at + 1] * (1 + change)
            lines[number] = " ".join(tokens)
    head = lines[count.line].split()
    head[count.token] = str(said + change)
    lines[count.line] = " ".join(head)
    return "\n".join(lines) + ("\n" if text.endswith("\n") else "")


def _lines(text: str) -> list[str]:
    return text.rstrip("\n").split("\n")


def _count(lines: Sequence[str], number: int, at: int, said: int) -> Count | None:
    start = number + 1
    span = 0
    for line in lines[start:]:
        if len(line.split()) != said:
            break
        span += 1
    # Lines of one token each are told from one another by nothing: the next one is meant.
    span = min(span, 1) if said == 1 else span
    if span:
        return Count(number, at, "tokens", start, span)
    word = lines[start]
    if said >= _LEAST_RESIZED and len(word) == said and len(word.split()) == 1:
        return Count(number, at, "characters", start)
    return _count_of_lines(lines, number, at, said)


def _count_of_lines(lines: Sequence[str], number: int, at: int, said: int) -> Count | None:
    if number:
        return None
    alone = len(lines[number].split()) == 1
    for start in (number + 1, number + 2):  # the line between: a row of numbers before as many queries
        left = len(lines) - start
        if left == said:
            return Count(number, at, "lines", start)
        if alone and start == number + 1 and left > said and left % said == 0:
            return Count(number, at, "lines", start, left // said)
    return None


def _alike(count: Count, others: Sequence[Count]) -> bool:
    return any((each.line, each.token, each.of) == (count.line, count.token, count.of) for each in others)
