"""The JSON schema that inputs written by the model are held to, and what its answers hold. Pure.

For `function` problems each input is an array of arguments. The type of an argument is what the public
examples show in its place; what they leave open (an empty list's elements), or all of it where there is no
example, is what the signature in the starter code says; failing both, any shallow JSON value. For `stdin`
problems each input is a string.

Everything is bounded, since an answer is short: lists of at most 12 elements, 6 within lists, strings of at
most 32 characters, and of 400 for a whole text. Larger inputs are the generator program's to make. Ranges of
numbers are not looked for: the prompt asks for the statement's constraints and the validator checks them.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Sequence
from typing import Any

from atlas.contracts import Problem
from atlas.generated_inputs import MAX_INPUT_CHARS
from atlas.input_shape import arguments, signature
from atlas.json_schema import Schema, list_of, object_of

MAX_ITEMS, MAX_INNER_ITEMS = 12, 6
MAX_STRING_CHARS = 32
MAX_TEXT_CHARS = 400
LEAST_INPUTS = 4  # a small model would stop after the example it was shown
MAX_ARGUMENTS = 8  # of a function whose signature nobody knows

INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
BOOLEAN: Schema = {"type": "boolean"}
NULL: Schema = {"type": "null"}
STRING: Schema = {"type": "string", "maxLength": MAX_STRING_CHARS}
_SCALAR: Schema = {"anyOf": [INTEGER, STRING, BOOLEAN, NULL]}
_ROW: Schema = {"type": "array", "items": _SCALAR, "maxItems": MAX_INNER_ITEMS}
ANY: Schema = {"anyOf": [*_SCALAR["anyOf"], _ROW]}

_NAMED: dict[str, Schema] = {"int": INTEGER, "float": NUMBER, "bool": BOOLEAN, "str": STRING, "None": NULL}
_LISTS = {"list", "List", "Sequence", "Iterable", "Collection", "Tuple", "tuple", "Set", "set"}
_DICTS = {"dict", "Dict", "Mapping"}


def schema(problem: Problem, n: int) -> Schema:
    """Return the schema of an answer with at most `n` inputs for a `stdin` or `function` problem."""
    each: Schema = {"type": "string", "minLength": 1, "maxLength": MAX_TEXT_CHARS}
    if problem.kind == "function":
        places = argument_schemas(problem)
        if places is None:
            each = {"type": "array", "items": ANY, "minItems": 1, "maxItems": MAX_ARGUMENTS}
        else:
            each = {"type": "array", "prefixItems": places, "minItems": len(places), "maxItems": len(places)}
    return object_of({"inputs": list_of(each, min(n, LEAST_INPUTS), n)})


def argument_schemas(problem: Problem) -> list[Schema] | None:
    """Return a schema for each argument of a `function` problem, or None if not even their number shows."""
    shown = [values for e in problem.examples if (values := arguments(e.input))]
    known = signature(problem)
    if shown and all(len(values) == len(shown[0]) for values in shown):
        declared = known if known and len(known) == len(shown[0]) else []
        open_ = [_annotated(a.annotation) for a in declared] or [ANY] * len(shown[0])
        return [_shown([v[place] for v in shown], open_[place]) for place in range(len(shown[0]))]
    return [_annotated(a.annotation) for a in known] if known else None


def parameters(problem: Problem) -> tuple[str, ...]:
    """Return names for a function's arguments: the signature's, or `a1`, `a2`, … by the examples."""
    shown = [values for e in problem.examples if (values := arguments(e.input))]
    names = tuple(a.arg for a in signature(problem) or [])
    if shown and len(names) != len(shown[0]):
        return tuple(f"a{place + 1}" for place in range(len(shown[0])))
    return names


def form(problem: Problem) -> str | None:
    """Return the shortest public example's input as JSON, in the form that an answer's inputs have.

    None where there is no example, or none of at most MAX_TEXT_CHARS: a form is shown, not a size.
    """
    values = [arguments(e.input) if problem.kind == "function" else e.input for e in problem.examples]
    forms = [json.dumps(each, ensure_ascii=False) for each in values if each]
    return min((each for each in forms if len(each) <= MAX_TEXT_CHARS), key=len, default=None)


def texts(problem: Problem, answer: str) -> list[str]:
    """Return the inputs of an answer in the form of `Example.input`, in their order, each once.

    An answer that its token limit cut off gives the inputs before the cut. What is empty, longer than
    MAX_INPUT_CHARS, or a public example's is left out; so is a function's input without an argument.
    """
    known = {_canonical(problem, example.input) for example in problem.examples}
    found: dict[str, str] = {}
    for value in _elements(answer):
        text = _text(problem, value)
        if text is not None and text.strip() and len(text) <= MAX_INPUT_CHARS:
            found.setdefault(_canonical(problem, text), text)
    return [text for canonical, text in found.items() if canonical not in known]


def _text(problem: Problem, value: object) -> str | None:
    if problem.kind == "function":
        return "\n".join(json.dumps(each) for each in value) if isinstance(value, list) and value else None
    return value if isinstance(value, str) else None


def _canonical(problem: Problem, text: str) -> str:
    """The same for texts that differ in nothing a program would see."""
    if problem.kind == "function" and (values := arguments(text)) is not None:
        return "\n".join(json.dumps(each) for each in values)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def _elements(answer: str) -> Iterable[object]:
    """The whole elements of the answer's array, as far as they go."""
    decoder = json.JSONDecoder()
    at = answer.find("[") + 1
    while 0 < at < len(answer):
        while at < len(answer) and answer[at] in " \t\r\n,":
            at += 1
        try:
            value, at = decoder.raw_decode(answer, at)
        except (ValueError, RecursionError):
            return
        yield value


def _shown(values: Sequence[Any], declared: Schema) -> Schema:
    """The schema of values seen in one place; `declared` stands for what they leave open."""
    kinds: list[Schema] = []
    names = {type(value).__name__ for value in values}
    if names & {"int", "float"}:
        kinds.append(NUMBER if "float" in names else INTEGER)
    kinds += [_NAMED[name] for name in ("str", "bool") if name in names]
    if "NoneType" in names:
        kinds.append(NULL)
    if "list" in names:
        elements = [element for value in values if isinstance(value, list) for element in value]
        inner = declared.get("items", ANY)
        kinds.append(_list(_shown(elements, inner) if elements else inner))
    if "dict" in names:
        inside = [inner for value in values if isinstance(value, dict) for inner in value.values()]
        kinds.append({"type": "object", "additionalProperties": _shown(inside, ANY) if inside else ANY})
    return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}


def _list(items: Schema) -> Schema:
    nested = _bounded(items)
    return {"type": "array", "items": nested, "maxItems": MAX_ITEMS}


def _bounded(inner: Schema) -> Schema:
    """The schema within a list: lists in it are shorter."""
    if inner.get("type") == "array":
        return inner | {"maxItems": MAX_INNER_ITEMS}
    if "anyOf" in inner:
        return {"anyOf": [_bounded(each) for each in inner["anyOf"]]}
    return inner


def _annotated(node: ast.expr | None) -> Schema:
    """The schema of an annotation: builtin and typing names, bare or subscripted, unions, quoted ones."""
    if isinstance(node, ast.Constant):
        return NULL if node.value is None else _quoted(node.value)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return _union([node.left, node.right])
    if not isinstance(node, ast.Subscript):
        name = _name(node)
        return _NAMED.get(name) or (_list(ANY) if name in _LISTS else _object(ANY) if name in _DICTS else ANY)
    name = _name(node.value)
    inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
    if name == "Optional":
        return _union([*inner, ast.Constant(None)])
    if name == "Union":
        return _union(inner)
    if name in _DICTS:
        return _object(_annotated(inner[-1]))
    if name in _LISTS:
        return _list(_union([i for i in inner if not _is_ellipsis(i)]))
    return ANY


def _union(nodes: Sequence[ast.expr]) -> Schema:
    found: list[Schema] = []
    for each in map(_annotated, nodes):
        found += [e for e in each.get("anyOf", [each]) if e not in found]
    return found[0] if len(found) == 1 else {"anyOf": found}


def _object(values: Schema) -> Schema:
    return {"type": "object", "additionalProperties": values}


def _quoted(value: object) -> Schema:
    if not isinstance(value, str):
        return ANY
    try:
        return _annotated(ast.parse(value, mode="eval").body)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ANY


def _name(node: ast.expr | None) -> str:
    """The last part of a name: `List` of `typing.List`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _is_ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is Ellipsis
