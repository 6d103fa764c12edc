"""Errors look as the path's readers expect."""

import json

import pytest

from libs.http.dialects import dialect_of
from libs.http.errors import ApiError, BadRequest, Forbidden, NotFound, TooMany, Unauthorized, Unavailable


@pytest.mark.parametrize(
    ("path", "query", "body"),
    [
        ("/api/v1/stats", "", {"error": {"code": "unauthorized", "message": "m"}}),
        ("/api/v1/stats/a%2Fb", "", {"error": {"code": "unauthorized", "message": "m"}}),
        ("/api/sites/1/api-keys", "", {"error": {"code": "unauthorized", "message": "m"}}),
        ("/api/public", "", {"error": {"code": "unauthorized", "message": "m"}}),
        ("/somewhere", "", {"error": {"code": "unauthorized", "message": "m"}}),
        ("/api/v1/trackers/1", "", {"error": "unauthorized", "message": "m"}),
        ("/api/public/collect", "", {"error": "unauthorized", "message": "m"}),
        ("/api/public/stats", "site_id=x", {"error": "unauthorized", "message": "m"}),
        ("/api/v1/stats", "a=b&site_id=ST-1", {"error": "Unauthorized"}),
        ("/ez", "", {"status": 401, "msg": "m"}),
        ("/c", "", {"status": 401, "msg": "m"}),
        ("/v", "", {"status": 401, "msg": "m"}),
        ("/v1/stat", "", {"msg": "m"}),
    ],
)
def test_the_path_decides_the_shape(path: str, query: str, body: object) -> None:
    assert json.loads(dialect_of(path, query).body(Unauthorized("m"))) == body


def test_a_parameter_at_fault_is_named() -> None:
    error = BadRequest("must be a number", param="count")
    assert json.loads(dialect_of("/api/v1/stats").body(error))["error"]["param"] == "count"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFound(), "not_found"),
        (TooMany(1), "rate_limited"),
        (Unavailable(), "server_error"),
        (ApiError(), "server_error"),
        (BadRequest(), "invalid_request"),
        (Forbidden(), "unauthorized"),
    ],
)
def test_trackers_know_five_codes(error: ApiError, code: str) -> None:
    assert json.loads(dialect_of("/api/v1/trackers").body(error))["error"] == code


def test_waiting_times_are_whole_seconds_and_never_zero() -> None:
    assert TooMany(0.01).headers["Retry-After"] == "1"
    assert Unavailable(retry_after=4.2).headers["Retry-After"] == "5"
    assert Unauthorized().headers["WWW-Authenticate"] == "Bearer"
