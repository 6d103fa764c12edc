"""Documentation for people, out of the API's description."""

from typing import Any

import pytest

from services.web import reference

BASE = "http://stats.example"
JSON = "curl -H 'Content-Type: application/json' \\\n     -d '{\"count\": 1}' \\\n     http://stats.example/x"


def curl(operation: dict[str, Any], path: str = "/x", method: str = "get", **components: Any) -> str:
    document = {"paths": {path: {method: operation}}, "components": {"schemas": components}}
    (chapter,) = reference.chapters(document, BASE)
    return chapter.endpoints[0].curl


def body(media: str, **described: Any) -> dict[str, Any]:
    return {"requestBody": {"content": {media: described}}}


@pytest.mark.parametrize(
    ("operation", "method", "line"),
    [
        ({}, "get", "curl http://stats.example/x"),
        ({}, "delete", "curl -X DELETE http://stats.example/x"),
        ({}, "post", "curl -X POST http://stats.example/x"),
        ({"security": [{"bearer": []}]}, "get", "curl -H 'Authorization: Bearer YOUR_KEY' http://stats.example/x"),
        ({"security": [{"session": []}]}, "get", "curl -b 'ezstat_session=…' http://stats.example/x"),
        (body("application/json", example={"count": 1}), "post", JSON),
        (
            body("application/x-www-form-urlencoded", example={"ezkey": "k", "stat": "it's"}),
            "post",
            "curl -d ezkey=YOUR_KEY -d 'stat=it'\"'\"'s' http://stats.example/x",
        ),
    ],
)
def test_a_line_to_paste_says_what_the_description_says(operation: dict[str, Any], method: str, line: str) -> None:
    assert curl(operation, method=method) == line


def test_an_example_body_is_made_of_what_is_required() -> None:
    schema = {
        "type": "object",
        "required": ["name", "type"],
        "properties": {
            "name": {"type": "string", "examples": ["new_stat"]},
            "type": {"enum": ["counter", "gauge"]},
            "unit": {"type": "string"},
        },
    }
    line = curl(body("application/json", schema={"$ref": "#/components/schemas/New"}), method="put", New=schema)
    assert '{"name": "new_stat", "type": "counter"}' in line


def test_a_schema_that_holds_itself_ends() -> None:
    tree = {"type": "object", "required": ["children"], "properties": {"children": {"type": "array", "items": {}}}}
    tree["properties"]["children"]["items"] = {"$ref": "#/components/schemas/Tree"}
    assert "children" in curl(body("application/json", schema=tree), method="post", Tree=tree)


def test_parts_of_a_path_are_filled_in_and_encoded() -> None:
    name = {"name": "name", "in": "path", "schema": {"examples": ["a/b c"]}}
    assert curl({"parameters": [name]}, "/stats/{name}/{other}") == "curl http://stats.example/stats/a%2Fb%20c/OTHER"


def test_what_the_framework_made_of_a_name_is_no_summary() -> None:
    made = {"summary": "Show Account", "operationId": "show_account_api_get", "description": "Who pays."}
    written = {"summary": "List stats", "operationId": "list_api_get", "description": "By name."}
    alone = {"summary": "Show Account", "operationId": "show_account_api_get"}
    document = {"paths": {"/x": {"get": made, "post": written, "put": alone}}}
    (chapter,) = reference.chapters(document, BASE)
    assert [endpoint.summary for endpoint in chapter.endpoints] == ["", "List stats", "Show account"]


def test_parameters_say_what_they_may_be() -> None:
    parameters = [
        {"name": "range", "in": "query", "schema": {"enum": ["1h", "24h"], "default": "24h"}},
        {"name": "q", "in": "query", "required": True, "schema": {}},
    ]
    document = {"paths": {"/x": {"get": {"parameters": parameters, "tags": ["stats"]}}}}
    (chapter,) = reference.chapters(document, BASE)
    assert chapter.title == "Stats"
    assert [(each.name, each.meaning) for each in chapter.endpoints[0].parameters] == [
        ("range", "1h, 24h; 24h by default"),
        ("q", "required"),
    ]
