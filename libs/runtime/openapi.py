"""One OpenAPI document for people and their tools, out of the documents of the services."""

import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import FastAPI


class DocumentConflict(ValueError):
    """Two services describe different things under one name."""


def merge(documents: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The document of all services. Raises `DocumentConflict` for an operation or component described twice."""
    paths: dict[str, dict[str, Any]] = {}
    components: dict[str, dict[str, Any]] = {}
    for service, document in documents.items():
        for path, item in document.get("paths", {}).items():
            for method, operation in item.items():
                _add(paths.setdefault(path, {}), method, operation, f"{method} {path} of {service}")
        for kind, members in document.get("components", {}).items():
            for name, member in members.items():
                _add(components.setdefault(kind, {}), name, member, f"{name} of {service}")
    return {
        "openapi": "3.1.0",
        "info": {"title": "EzStat", "version": version("ezstat")},
        "paths": dict(sorted(paths.items())),
        "components": components,
    }


def _add(into: dict[str, Any], name: str, member: Any, what: str) -> None:
    if into.setdefault(name, member) != member:
        raise DocumentConflict(f"{what} is described differently by another service")


def document(apps: "Mapping[str, FastAPI]") -> bytes:
    """JSON bytes of the merged document, a line for each thing, so that differences can be read."""
    merged = merge({name: app.openapi() for name, app in apps.items()})
    return json.dumps(merged, indent=1, ensure_ascii=False).encode()
