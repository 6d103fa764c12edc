"""The documentation for people, made from the API's own description: each endpoint with a line to paste."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from services.web.samples import PLACEHOLDER

Document = Mapping[str, Any]
_METHODS = ("get", "post", "put", "patch", "delete")
_KEY_FIELDS = ("ezkey", "ukey", "api_key")
_FORM = "application/x-www-form-urlencoded"
_WIDE = 72  # characters of a line that is not broken
_DEEPEST = 6
_USUAL = {"name": "signups"}  # what stands in a path for a parameter without an example
_ORDER = ("Sending", "Stats", "Dashboard", "Live", "Export and import", "StatFlow", "Keys", "Account", "Sign-in")


@dataclass(frozen=True)
class Parameter:
    name: str
    meaning: str


@dataclass(frozen=True)
class Endpoint:
    method: str
    path: str
    summary: str
    description: str
    parameters: tuple[Parameter, ...]
    curl: str

    @property
    def anchor(self) -> str:
        return _slug(f"{self.method} {self.path}")


@dataclass
class Chapter:
    title: str
    endpoints: list[Endpoint] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        return _slug(self.title)


def chapters(document: Document, base: str) -> list[Chapter]:
    """The endpoints by their first tag, what people come for first; `base` is the address in the lines to paste."""
    found: dict[str, Chapter] = {}
    for path, method, operation in _operations(document):
        title = str((operation.get("tags") or ["Other"])[0])
        title = title[:1].upper() + title[1:]
        found.setdefault(title, Chapter(title)).endpoints.append(_endpoint(document, base, path, method, operation))
    return sorted(found.values(), key=lambda chapter: (_place(chapter.title), chapter.title))


def _place(title: str) -> int:
    return _ORDER.index(title) if title in _ORDER else len(_ORDER)


def _operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    for path, item in document["paths"].items():
        for method in _METHODS:
            if method in item:
                yield path, method, item[method]


def _endpoint(document: Document, base: str, path: str, method: str, operation: Document) -> Endpoint:
    parameters = [_resolved(document, parameter) for parameter in operation.get("parameters", ())]
    return Endpoint(
        method=method.upper(),
        path=path,
        summary=_summary(operation),
        description=operation.get("description", ""),
        parameters=tuple(
            Parameter(parameter["name"], _meaning(parameter)) for parameter in parameters if parameter["in"] == "query"
        ),
        curl=_curl(document, base, path, method, operation, parameters),
    )


def _summary(operation: Document) -> str:
    """What somebody wrote; a summary that the framework made of a function's name is only better than nothing."""
    summary: str = operation.get("summary", "").rstrip(".")
    made = operation.get("operationId", "").startswith(summary.lower().replace(" ", "_") + "_")
    if made and operation.get("description"):
        return ""
    return summary.capitalize() if made else summary


def _meaning(parameter: Document) -> str:
    """What a parameter may be, in words."""
    schema = parameter.get("schema", {})
    text = parameter.get("description", "")
    options = schema.get("enum")
    if options:
        text = f"{text} ({', '.join(map(str, options))})" if text else ", ".join(map(str, options))
    default = schema.get("default")
    if default not in (None, "", False):
        text = f"{text}; {default} by default" if text else f"{default} by default"
    return text or ("required" if parameter.get("required") else "optional")


# -- a line to paste


def _curl(
    document: Document, base: str, path: str, method: str, operation: Document, parameters: list[Document]
) -> str:
    url = base + _filled_path(path, parameters) + _query(document, parameters)
    media, body = _body(document, operation)
    parts: list[str] = []
    if method not in ("get", "post") or (method == "post" and body is None):
        parts.append(f"-X {method.upper()}")
    parts += _credential(operation, body)
    if isinstance(body, Mapping) and media == _FORM:
        parts += [f"-d {shlex.quote(f'{name}={_with_key(name, value)}')}" for name, value in body.items()]
    elif body is not None:
        sent = shlex.quote(json.dumps(body, ensure_ascii=False))
        parts += ["-H 'Content-Type: application/json'", f"-d {sent}"]
    return _joined(["curl", *parts, shlex.quote(url)])


def _joined(parts: list[str]) -> str:
    line = " ".join(parts)
    if len(line) <= _WIDE:
        return line
    return f"{parts[0]} " + " \\\n     ".join(parts[1:])


def _filled_path(path: str, parameters: list[Document]) -> str:
    known = {parameter["name"]: parameter for parameter in parameters if parameter["in"] == "path"}

    def fill(found: re.Match[str]) -> str:
        name = found[1]
        example = _first_example(known.get(name, {}))
        return _USUAL.get(name, name.upper()) if example is None else quote(str(example), safe="")

    return re.sub(r"\{(\w+)(?::\w+)?\}", fill, path)


def _query(document: Document, parameters: list[Document]) -> str:
    shown = {
        parameter["name"]: _first_example(parameter)
        for parameter in parameters
        if parameter["in"] == "query" and (parameter.get("required") or _first_example(parameter) is not None)
    }
    return f"?{urlencode({name: _with_key(name, value) for name, value in shown.items()})}" if shown else ""


def _first_example(parameter: Document) -> Any:
    schema = parameter.get("schema", {})
    if "example" in parameter:
        return parameter["example"]
    for examples in (parameter.get("examples"), schema.get("examples")):
        if examples:
            first = next(iter(examples.values() if isinstance(examples, Mapping) else examples))
            return first["value"] if isinstance(first, Mapping) and "value" in first else first
    return None


def _with_key(name: str, value: Any) -> Any:
    return PLACEHOLDER if name in _KEY_FIELDS else "" if value is None else value


def _credential(operation: Document, body: Any) -> list[str]:
    schemes = {name.lower() for each in operation.get("security", ()) for name in each}
    if any("bearer" in name for name in schemes):
        return [f"-H 'Authorization: Bearer {PLACEHOLDER}'"]
    if schemes:
        return ["-b 'ezstat_session=…'"]
    return []


def _body(document: Document, operation: Document) -> tuple[str, Any]:
    """The media type and an example of the body; None without one."""
    content = operation.get("requestBody", {}).get("content", {})
    for media in (_FORM, "application/json"):
        if media in content:
            described = content[media]
            if "example" in described:
                return media, described["example"]
            return media, example_of(document, described.get("schema", {}))
    return "", None


def example_of(document: Document, schema: Document, depth: int = 0) -> Any:
    """A value that fits a schema: its own example, or one put together from its parts that are required."""
    schema = _resolved(document, schema)
    for name in ("example", "default", "const"):
        if schema.get(name) is not None:
            return schema[name]
    if schema.get("examples"):
        return schema["examples"][0]
    if schema.get("enum"):
        return schema["enum"][0]
    for choice in (*schema.get("anyOf", ()), *schema.get("oneOf", ()), *schema.get("allOf", ())):
        return example_of(document, choice, depth + 1)
    if schema.get("type") == "array":
        return [example_of(document, schema.get("items", {}), depth + 1)] if depth < _DEEPEST else []
    if schema.get("type") == "object" or "properties" in schema:
        return _example_object(document, schema, depth)
    plain = {"integer": 1, "number": 1, "boolean": True}
    return plain.get(str(schema.get("type")), "…")


def _example_object(document: Document, schema: Document, depth: int) -> dict[str, Any]:
    required = schema.get("required", ())
    return {
        name: example_of(document, part, depth + 1)
        for name, part in schema.get("properties", {}).items()
        if depth < _DEEPEST and (name in required or part.get("examples"))
    }


def _resolved(document: Document, part: Document) -> Document:
    """A part of the document, behind its reference."""
    reference = part.get("$ref", "")
    for step in reference.removeprefix("#/").split("/") if reference else ():
        document = document[step]
    return document if reference else part


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
