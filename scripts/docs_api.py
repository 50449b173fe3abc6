"""docs/API.md from the gateway's OpenAPI schema: routes by tag, then every model that they speak of.

Only what ATLAS itself decides is read (paths, parameters, bodies, docstrings, fields), nothing that a version
of FastAPI or Pydantic words in its own way, so that the document changes when the API does.
"""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from atlas.events import Entry
from atlas.openai_api import ChatChunk
from atlas.policy import SUMMARIES

Schema = Mapping[str, Any]
INTRODUCTION = """\
# The REST API

Generated from the code by `scripts/generate_docs.py`. A running gateway describes itself at `/docs` and
`/openapi.json`. Bodies and answers are JSON in UTF-8; a field that is not listed is refused, but in requests
of OpenAI's form.

A gateway that listens beyond its own machine wants a key (`atlas keys create NAME`) in each request:
`Authorization: Bearer KEY`.

Errors are problem+json (RFC 9457): `title`, `status`, and a `detail` that says what to mend; 422 lists
`errors` by field. The OpenAI-compatible routes answer them in OpenAI's form. 401: no valid key; 404: no
such thing; 409: an Idempotency-Key used for something else; 413: a body over 4 MB; 422: not what is
described here; 503: Redis or the model server is away, ask again.
"""
EXAMPLES = {
    ("post", "/v1/tasks"): """\
curl -s localhost:8400/v1/tasks -H 'content-type: application/json' -H 'Idempotency-Key: my-first-task' -d '{
  "problem": {
    "statement": "Read two integers from one line and print their sum.",
    "examples": [{"input": "1 2\\n", "output": "3\\n"}]
  },
  "policy": "full"
}'""",
    ("get", "/v1/tasks"): "curl -s 'localhost:8400/v1/tasks?limit=5'",
    ("get", "/v1/tasks/{task}"): "curl -s localhost:8400/v1/tasks/TASK_ID",
    ("post", "/v1/tasks/{task}/cancel"): "curl -s -X POST localhost:8400/v1/tasks/TASK_ID/cancel",
    ("get", "/v1/tasks/{task}/events"): (
        "curl -N localhost:8400/v1/tasks/TASK_ID/events -H 'Last-Event-ID: 3'"
    ),
    ("get", "/v1/tasks/{task}/journal"): "curl -s localhost:8400/v1/tasks/TASK_ID/journal",
    ("get", "/v1/status"): "curl -s localhost:8400/v1/status",
    ("get", "/v1/model"): "curl -s localhost:8400/v1/model",
    ("post", "/v1/dead-letters/{letter}/retry"): (
        "curl -s -X POST localhost:8400/v1/dead-letters/LETTER_ID/retry"
    ),
    ("post", "/v1/chat/completions"): """\
curl -s localhost:8400/v1/chat/completions -H 'content-type: application/json' -d '{
  "model": "atlas",
  "messages": [{"role": "user", "content": "Read two integers from one line and print their sum."}]
}'""",
}
METHODS = ("get", "post", "put", "patch", "delete")
REFERENCE = re.compile(r"#/(?:components/schemas|\$defs)/(\w+)")
RANGES = (  # (lower bound, upper bound, of what)
    ("minimum", "maximum", ""),
    ("minLength", "maxLength", " characters"),
    ("minItems", "maxItems", " items"),
)
LAST_TAG = "health"
TITLES = {"openai": "OpenAI-compatible"}


def markdown(openapi: Schema) -> str:
    """Return the whole document."""
    routes = [
        (path, method, route)
        for path, methods in openapi["paths"].items()
        for method, route in methods.items()
        if method in METHODS
    ]
    routes.sort(key=lambda route: _tag(route[2]) == LAST_TAG)
    sections = [INTRODUCTION, _contents(routes)]
    tags = dict.fromkeys(_tag(route) for _, _, route in routes)
    for tag in tags:
        sections.append(f"## {TITLES.get(tag, tag.capitalize())}")
        sections += [_route(*route) for route in routes if _tag(route[2]) == tag]
    # What is streamed is in no OpenAPI schema.
    events = TypeAdapter(Entry).json_schema(mode="serialization")
    chunks = TypeAdapter(ChatChunk).json_schema(mode="serialization")
    models = {**events["$defs"], **chunks["$defs"], **openapi["components"]["schemas"]}
    models |= {"Entry": events, "ChatChunk": chunks}
    answered = _reached(models, [chunks, *(route for _, _, route in routes)]) | {"ChatChunk"}
    sections.append("## Models")
    sections += [_model(name, models[name]) for name in sorted(answered)]
    journalled = [name for name in sorted(_reached(models, [events])) if name not in answered]
    sections.append(EVENTS)
    sections += [_model(name, models[name]) for name in ["Entry", *journalled]]
    return "\n\n".join(section.strip() for section in sections) + "\n"


EVENTS = """\
## The journal

`/v1/tasks/{task}/journal` is one `Entry` a line. In `/v1/tasks/{task}/events` each server-sent event has an
entry as its `data`, the entry's `seq` as its `id` (send the last one seen as `Last-Event-ID` to go on after
it) and the type of the entry's event as its `event`. The stream ends after `TaskDecided`, `TaskAbstained`,
`TaskFailed` or `TaskCancelled`."""


def _tag(route: Schema) -> str:
    return str(next(iter(route.get("tags", [])), "other"))


def _contents(routes: list[tuple[str, str, Schema]]) -> str:
    rows = ["| route | |", "|---|---|"]
    for path, method, route in routes:
        title = f"{method.upper()} {path}"
        anchor = re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        rows.append(f"| [`{title}`](#{anchor}) | {_cell(_first(route.get('description', '')))} |")
    return "\n".join(rows)


def _route(path: str, method: str, route: Schema) -> str:
    parts = [f"### {method.upper()} {path}", _prose(route.get("description", ""))]
    rows = [_parameter(each) for each in route.get("parameters", []) if each["in"] != "path"]
    if rows:
        parts.append("\n".join(["| parameter | in | type | |", "|---|---|---|---|", *rows]))
    body = _content(route.get("requestBody", {}))
    if body is not None:
        parts.append(f"Body: {_type(body)}.")
    parts.append(_answers(route))
    if (method, path) == ("get", "/v1/policies"):
        parts.append(_policies())
    if example := EXAMPLES.get((method, path)):
        parts.append(f"```bash\n{example}\n```")
    return "\n\n".join(parts)


def _policies() -> str:
    rows = [f"| `{name}` | {_cell(summary)} |" for name, summary in SUMMARIES.items()]
    return "\n".join(["| policy | |", "|---|---|", *rows])


def _parameter(parameter: Schema) -> str:
    schema = parameter["schema"]
    meaning = parameter.get("description") or schema.get("description", "")
    told = [meaning, _default(schema)] if not parameter.get("required") else [meaning]
    kind = _type(schema, nullable=False)
    return f"| `{parameter['name']}` | {parameter['in']} | {kind} | {_cell(', '.join(filter(None, told)))} |"


def _answers(route: Schema) -> str:
    """Return what a call answers with; errors are the same everywhere and told once."""
    told = []
    for status, answer in route["responses"].items():
        if not status.startswith("2"):
            continue
        schema = _content(answer)
        media = next(iter(answer.get("content", {})), "")
        what = _type(schema) if schema else ("" if not media or media == "application/json" else f"`{media}`")
        told.append(f"{status}{', ' + what if what else ''}")
    return f"Answer: {'; '.join(told)}."


def _content(holder: Schema) -> Schema | None:
    schema: Schema | None = holder.get("content", {}).get("application/json", {}).get("schema")
    return schema or None


def _reached(models: Mapping[str, Schema], roots: list[Schema]) -> set[str]:
    """Return the names of all models that the roots speak of, and those speak of; not FastAPI's own."""
    found: set[str] = set()
    waiting: list[Schema] = list(roots)
    while waiting:
        names = set(REFERENCE.findall(json.dumps(waiting.pop()))) - found
        fresh = {name for name in names if name in models and not name.endswith("ValidationError")}
        found |= fresh
        waiting += [models[name] for name in fresh]
    return found


def _model(name: str, model: Schema) -> str:
    parts = [f"### {name}", _prose(model.get("description", ""))]
    if "enum" in model:
        parts.append(f"One of {', '.join(f'`{value}`' for value in model['enum'])}.")
    if fields := model.get("properties"):
        rows = [_field(field, schema, model.get("required", ())) for field, schema in fields.items()]
        parts.append("\n".join(["| field | type | |", "|---|---|---|", *rows]))
    return "\n\n".join(part for part in parts if part)


def _field(name: str, schema: Schema, required: list[str]) -> str:
    told = [schema.get("description", ""), "" if name in required else _default(schema)]
    return f"| `{name}` | {_type(schema)} | {_cell(', '.join(filter(None, told)))} |"


def _default(schema: Schema) -> str:
    default = schema.get("default")
    if "const" in schema:
        return ""
    if default is None:
        return "optional"
    return "default: empty" if default in ("", [], {}) else f"default `{json.dumps(default)}`"


def _type(schema: Schema, *, nullable: bool = True) -> str:
    """Return a schema in words: its type or model, and its bounds."""
    if reference := REFERENCE.fullmatch(schema.get("$ref", "")):
        return f"[{reference[1]}](#{reference[1].lower()})"
    if several := schema.get("anyOf") or schema.get("oneOf"):
        kinds = [_type(each) for each in several if nullable or each.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`".replace('"', "")
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    kind = str(schema.get("type", "any"))
    if fixed := schema.get("prefixItems"):
        return f"list of one {' and one '.join(_type(each) for each in fixed)}"
    if kind == "array":
        kind = f"list of {_type(schema.get('items', {}))}"
    elif kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        kind = f"object of {_type(schema['additionalProperties'])}"
    return ", ".join([kind, *_bounds(schema)])


def _bounds(schema: Schema) -> list[str]:
    """Return what bounds a number, the length of a string or a list: `0 to 2`, `> 0 and ≤ 60`."""
    signs = (("exclusiveMinimum", ">"), ("exclusiveMaximum", "<"))
    found = [f"{sign} {_number(schema[key])}" for key, sign in signs if key in schema]
    for low, high, unit in RANGES:
        if low in schema and high in schema:
            found.append(f"{_number(schema[low])} to {_number(schema[high])}{unit}")
        else:
            found += [f"≥ {_number(schema[low])}{unit}"] if low in schema else []
            found += [f"≤ {_number(schema[high])}{unit}"] if high in schema else []
    return found


def _number(value: float) -> str:
    """Return a number as JSON has it where it is whole, whichever type a version of Pydantic gave it."""
    return f"{int(value):,}" if value == int(value) else str(value)


def _prose(text: str) -> str:
    return "\n\n".join(_wrapped(paragraph) for paragraph in text.strip().split("\n\n"))


def _wrapped(text: str) -> str:
    joined = " ".join(text.split())
    return "\n".join(textwrap.wrap(joined, 110, break_long_words=False, break_on_hyphens=False))


def _first(text: str) -> str:
    return " ".join(text.split("\n\n")[0].split())


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
