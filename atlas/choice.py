r"""The one place that takes a letter out of a model's answer to a multiple-choice question.

The prompt asks for a last line `Answer: X`; models also write "the correct option is (C)", \boxed{C}, bold
type, or nothing but the letter. What they state outright counts most, and the last statement counts, since
they change their minds as they write. A statement that names several choices is no answer: guessing one of
them would turn not knowing into luck.
"""

from __future__ import annotations

import re

from atlas.contracts import LETTERS
from atlas.extract import after_thinking

# Markup around a letter: Markdown's emphasis and code, TeX's maths and its font commands.
_MARKUP = re.compile(r"\\(?:text|textbf|mathrm|mathbf)\b|\\[()\[\]]|[*`$\"{}]|(?<!\w)_+|_+(?!\w)")
_LETTER = r"(?:(?i:option|choice|letter)\s+)?[(\[]?([A-Z])[)\]]?"
# After the letter a statement ends or gives its reason; "A metal compound" is no statement of the letter A.
_END = r"(?=\s*(?:$|[.,:;)\]/&\n—–]|\s-\s|because\b|since\b|as\b|or\b|and\b|\())"
_STATEMENTS = (
    re.compile(rf"\b(?i:answer|choice|option)\b[^.:=\n]{{0,40}}?(?i:\bis|\bbe|[:=])\s*:?\s*{_LETTER}{_END}"),
    re.compile(rf"\b(?i:answer)\s*:?\s*\n+\s*{_LETTER}{_END}"),
    re.compile(rf"\b(?i:choose|pick|select|go with)\s+{_LETTER}{_END}"),
    re.compile(r"(?<!\w)[(\[]?([A-Z])[)\]]?\s+(?i:is|seems)\s+(?i:the\s+)?(?i:correct|right|best)\b"),
    re.compile(rf"\\boxed\s*{_LETTER}(?!\w)"),
)
_ANOTHER = re.compile(r"\s*(?:,|/|&|or\b|and\b)\s*(?:(?i:option|choice)\s+)?[(\[]?([A-Z])[)\]]?(?!\w)")
_LAST_LINE = re.compile(r"[(\[]?([A-Z])(?:[)\].:].*)?")
_BOLD = re.compile(r"\*\*\s*\(?([A-Z])(?:[).:][^*\n]*)?\s*\*\*")


def letter(answer: str, choices: int) -> str | None:
    """Return the letter a model's answer chooses of the first `choices` letters, or None if it chooses none.

    Thinking is dropped first (left open, it leaves no answer). Then, in this order: the last outright
    statement (none, if that one names several); a last line that is a letter, or begins with a letter as
    lists do; the only letter in bold type.
    """
    text = after_thinking(answer).replace("\r\n", "\n").strip()
    there = LETTERS[:choices]
    plain = _MARKUP.sub("", text)
    stated = [
        found for pattern in _STATEMENTS for found in pattern.finditer(plain) if found.group(1) in there
    ]
    if stated:
        last = max(stated, key=lambda found: found.start(1))
        return None if _goes_on(plain, last, there) else last.group(1)
    lines = plain.splitlines()
    alone = _LAST_LINE.fullmatch(lines[-1].strip()) if lines else None
    if alone and alone.group(1) in there:
        return alone.group(1)
    bold = set(_BOLD.findall(text)) & set(there)
    return bold.pop() if len(bold) == 1 else None


def _goes_on(text: str, statement: re.Match[str], there: str) -> bool:
    """Whether a statement names another choice right after its letter: "A or B"."""
    end = statement.end(1) + (text[statement.end(1) : statement.end(1) + 1] in (")", "]"))
    another = _ANOTHER.match(text, end)
    return another is not None and another.group(1) in there and another.group(1) != statement.group(1)
