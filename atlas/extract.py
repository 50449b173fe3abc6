"""The one place that takes a program out of a model's answer, and says when two programs are the same."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Sequence

# A block ends at a fence at least as long as the one that opened it (CommonMark), or with the text.
_FENCE = re.compile(
    r"^([ \t]*)(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^\n`]*\n(.*?)(?:^[ \t]*\2[`~]*[ \t]*$|\Z)",
    re.DOTALL | re.MULTILINE,
)
# A fence opened twice: one that names a language opens a block, and so does what stands first in markdown.
_DOUBLED = re.compile(
    r"^[ \t]*(?:`{3,}|~{3,})[ \t]*(?:(?:markdown|md)[ \t]*\n(?=[ \t]*(?:`{3,}|~{3,}))"
    r"|[\w+#.-]+[ \t]*\n(?=[ \t]*(?:`{3,}|~{3,})[ \t]*[\w+#.-]+[ \t]*$))",
    re.MULTILINE,
)
# A block in one line that says it is Python.
_ONE_LINE = re.compile(
    r"^[ \t]*```[ \t]*(?:python3?|py3?)[ \t]+([^`\n]+)```[ \t]*$", re.MULTILINE | re.IGNORECASE
)
# Thinking's tags, but for those in a string of one line: a program may handle them too.
_TAG = re.compile(r"""(?<!\w)[BFRUbfru]{0,2}(['"])[^'"\n]*</?think>[^'"\n]*\1|(</?think>)""")
# A line that begins as a statement does; prose seldom does.
_STATEMENT = re.compile(
    r"(?:import|from|def|class|async|for|while|if|elif|else|try|except|finally|with|return)\b"
    r"|@|[\w.]+\(|[\w.\[\], ]+?[-+*/%|&^<>]*="
)
_CUTS = 20  # at most, in a text without a fence: each is another parse
_PYTHON = {"python", "python3", "py", "py3"}
_HEADER = re.compile(r"^(?:async\s+)?(?:def|class)\s+([A-Za-z_]\w*)", re.MULTILINE)
_READS = re.compile(r"\binput\s*\(|\bstdin\b|\bopen\s*\(\s*0")


def program(answer: str, entry_point: str | None = None) -> str | None:
    """Return the program in a model's answer, or None if there is none.

    Thinking is dropped first (left open, it leaves no answer). Of the fenced blocks that are Python, the last
    one that can be the whole program is taken: it defines `entry_point`, or else reads its input; failing
    that the longest that parses, and failing that the longest. Without a fence the whole text is taken if it
    is a program by itself, or else what can be the whole program between prose.
    """
    text = _text(answer)
    fenced = _fenced(text)
    blocks = _python(fenced)
    if not blocks:
        return None if fenced else _unfenced(text, entry_point)
    parsed = [block for block in blocks if syntax_tree(block) is not None]
    whole = [place for place, block in enumerate(parsed) if _is_whole(block, entry_point)]
    if whole and entry_point is None:
        return _reading(parsed, whole)
    chosen = parsed[whole[-1]] if whole else max(parsed or blocks, key=len)
    return chosen.strip("\n") + "\n"


def program_of_steps(answer: str, names: Sequence[str]) -> str | None:
    """Return the one program that defines `names`, or None if the answer holds no program.

    The last Python block that defines all of them at its top level is taken. Where none does, and the blocks
    together define more of them than any one alone, the answer is in pieces (a block a step) and they are put
    together in their order; otherwise as `program` chooses.
    """
    text = _text(answer)
    parsed = [block for block in _python(_fenced(text)) if syntax_tree(block) is not None]
    wanted = set(names)
    defined = [_defined(block) & wanted for block in parsed]
    for block, names_there in zip(reversed(parsed), reversed(defined), strict=True):
        if names_there == wanted:
            return block.strip("\n") + "\n"
    if len(set().union(*defined)) > max(map(len, defined), default=0):
        pieces = [block.strip("\n") for block, there in zip(parsed, defined, strict=True) if there]
        return "\n\n".join(pieces) + "\n"
    return program(answer, names[-1] if names else None)


def name_of(header: str) -> str | None:
    """Return the name of the first function or class that the text of a signature begins, if any."""
    found = _HEADER.search(header)
    return found.group(1) if found else None


def after_thinking(answer: str) -> str:
    """Return an answer without the thinking before it; thinking that was left open leaves nothing."""
    tags = [tag for tag in _TAG.finditer(answer) if tag.group(2)]
    for tag in reversed(tags):
        if tag.group(2) == "</think>":
            return answer[tag.end() :]
    return answer[: tags[0].start()] if tags else answer


def _text(answer: str) -> str:
    """The answer itself: no thinking, one kind of line end, no fence opened twice."""
    return _DOUBLED.sub("", after_thinking(answer).replace("\r\n", "\n"))


def _fenced(text: str) -> list[tuple[str, str]]:
    """The languages (lower case) and texts of all blocks that hold anything."""
    return [
        (language.lower(), _dedented(code, indent))
        for indent, _, language, code in _FENCE.findall(text)
        if code.strip()
    ]


def _python(fenced: list[tuple[str, str]]) -> list[str]:
    """Those that say they are Python, or if none does those that say nothing."""
    return [code for language, code in fenced if language in _PYTHON] or [
        code for language, code in fenced if not language
    ]


def _defined(code: str) -> set[str]:
    """Functions and classes that a program defines at its top level."""
    tree = syntax_tree(code)
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in tree.body if isinstance(node, kinds)} if tree else set()


def _dedented(code: str, indent: str) -> str:
    """Take the indent of the fence off a block that has it throughout (a block in a list)."""
    lines = code.splitlines(keepends=True)
    if not indent or any(line.strip() and not line.startswith(indent) for line in lines):
        return code
    return "".join(line[len(indent) :] if line.strip() else "\n" for line in lines)


def structure(code: str) -> str:
    """Return what a program is apart from its comments, blank lines and formatting: equal where all else is.

    Its text, where it has no syntax tree or none that can be written down.
    """
    tree = syntax_tree(code)
    try:
        return ast.dump(tree) if tree else code
    except (ValueError, RecursionError):  # an integer of too many digits to be shown, or too deep a tree
        return code


def syntax_tree(code: str) -> ast.Module | None:
    """Return a program's syntax tree, or None where it has none."""
    tree = _parsed(code)
    return tree if isinstance(tree, ast.Module) else None


def _parsed(code: str) -> ast.Module | int:
    """A program's syntax tree, or the line (from 0) that is wrong."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a program's own invalid escapes are not our business
            return ast.parse(code)
    except SyntaxError as error:
        return (error.lineno or 1) - 1
    except (ValueError, MemoryError, RecursionError):
        return 0


def _is_whole(code: str, entry_point: str | None) -> bool:
    if entry_point is None:
        return bool(_READS.search(code))
    tree = syntax_tree(code)
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return tree is not None and any(
        isinstance(node, definitions) and node.name == entry_point for node in ast.walk(tree)
    )


def _reading(blocks: list[str], whole: list[int]) -> str:
    """The last block that reads input and stands by itself, or else the last one after what it needs.

    A block that uses what only another before it defines shows how to use that one, or is its second part.
    """
    for place in reversed(whole):
        if not _needs(blocks, place):
            return blocks[place].strip("\n") + "\n"
    before = [block for block in blocks[: whole[-1]] if _defined(block)]
    return "\n\n".join(block.strip("\n") for block in [*before, blocks[whole[-1]]]) + "\n"


def _needs(blocks: list[str], place: int) -> bool:
    """Whether a block uses a function or class that it has not, but one before it defines."""
    defined = set().union(*map(_defined, blocks[:place]))
    tree = syntax_tree(blocks[place])
    if not defined or tree is None:
        return False
    used, bound = set(), set()
    for node in ast.walk(tree):
        match node:
            case ast.Name(name, ast.Load()):
                used.add(name)
            case ast.Name(name) | ast.arg(name):
                bound.add(name)
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name):
                bound.add(name)
            case ast.alias(name, other):
                bound.add(other or name)
    return bool(defined & (used - bound))


def _unfenced(text: str, entry_point: str | None) -> str | None:
    """The program in a text without a block: all of it, a block in one line, or what stands between prose."""
    if _defines_anything(text):
        return text.strip() + "\n"
    lines: list[str] = [code.strip() for code in _ONE_LINE.findall(text)]
    if parsed := [code for code in lines if syntax_tree(code) is not None]:
        return parsed[-1] + "\n"
    if "```" in text:  # a fence that opens nothing: what it belongs to, nobody can tell
        return None
    code = _between_prose(text.split("\n"))
    return code if code is not None and _is_whole(code, entry_point) else None


def _between_prose(lines: list[str]) -> str | None:
    """The first lines that parse, from one that begins as a statement does up to prose.

    A program that breaks off is none: what follows it would not be prose.
    """
    start, end = 0, len(lines)
    for _ in range(_CUTS):
        while start < end and not _STATEMENT.match(lines[start]):
            start += 1
        code = "\n".join(lines[start:end]).strip("\n") + "\n"
        wrong = _parsed(code)
        if isinstance(wrong, ast.Module):
            return code
        cut = lines[start + wrong : end]
        if wrong == 0:
            start, end = start + 1, len(lines)
        elif not cut or cut[0][:1].isspace() or _STATEMENT.match(cut[0]):
            return None
        else:
            end = start + wrong
    return None


def _defines_anything(text: str) -> bool:
    tree = syntax_tree(text)
    kinds = (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assign, ast.For, ast.While)
    return tree is not None and any(isinstance(node, kinds) for node in tree.body)
