"""Keys that are missing, malformed, unknown, or not for this."""

from collections.abc import Iterator

from tests.flows.bad_input import NAME, Case
from tests.wire import JSON, Request, get, post

ROW = f'{{"stat":"{NAME}","count":1}}'
NOT_KEYS = {
    "unknown": "ss_live_" + "x" * 43, "unknown sk": "sk_live_" + "y" * 43, "unknown token": "ezi_sk_" + "0" * 64,
    "a word": "hunter2hunter2", "very long": "ss_live_" + "z" * 2000, "with a space": "ss_live_ " + "x" * 43,
    "an e-mail address": "nobody@example.org", "non-ASCII": "schlüssel-ohne-schloss", "NUL": "ss_live_\0zzzzzzzz",
    "quote": "' or '1'='1", "wildcard": "%%%%%%%%", "nearly the real one": "KEYx", "part of the real one": "xKEY",
}  # fmt: skip
BEARER = ("/v1/stat", "/v1/stat/count", "/v1/stats", "/api/v1/batch", "/api/v1/stats/zqstat/count")
READS = (
    "/api/v1/stats", "/api/v1/stats/zqstat", "/api/v1/dashboard", "/v1/stats", "/v1/stat/zqstat",
    "/api/v1/auth/api-keys", "/api/v1/auth/me",
)  # fmt: skip


def _escaped(text: str) -> str:
    return "KEY".join("".join(f"%{byte:02X}" for byte in part.encode()) for part in text.split("KEY"))


def _heads(text: str) -> str:
    return text.encode().decode("latin-1")


def cases() -> Iterator[Case]:
    for what, secret in NOT_KEYS.items():
        shown = () if "KEY" in secret else (secret[:60],)
        yield Case(f"/ez: key is {what}", post("/ez", f"ezkey={_escaped(secret)}&stat={NAME}"), 401, secret=shown)
        yield Case(f"/ez query: key is {what}", get(f"/ez?ezkey={_escaped(secret)}&stat={NAME}"), 401, secret=shown)
        yield Case(f"/c: key is {what}", post("/c", f"ukey={_escaped(secret)}&key={NAME}"), 401, secret=shown)
        yield Case(f"/c pixel: key is {what}", get(f"/c?ukey={_escaped(secret)}&key={NAME}"), 401, secret=shown)
        yield Case(f"/v: key is {what}", post("/v", f"ukey={_escaped(secret)}&key={NAME}&value=1"), 401, secret=shown)
        if "\0" in secret:
            continue  # not a header at all
        auth = ("Authorization", f"Bearer {_heads(secret)}")
        for path in BEARER:
            body = f'{{"stats":[{ROW}]}}' if path == "/v1/stats" else ROW
            yield Case(f"{path}: key is {what}", post(path, body, JSON, [auth]), 401, secret=shown)
        for path in READS:
            yield Case(f"GET {path}: key is {what}", get(path, [auth]), 401, secret=shown)
    schemes = ("", "Basic KEY", "Bearer", "Bearer ", "bearer: KEY", "Token KEY", "KEY", "Bearer KEY KEY")
    shown: dict[str, tuple[tuple[str, str], ...]] = {
        scheme or "nothing": (("Authorization", scheme),) if scheme else () for scheme in schemes
    }
    shown["two of them"] = (("Authorization", "Bearer KEY"),) * 2
    for what, headers in shown.items():
        for path in BEARER:
            body = f'{{"stats":[{ROW}]}}' if path == "/v1/stats" else ROW
            yield Case(f"POST {path}: Authorization is {what}", Request("POST", path, body.encode(), headers), 401)
        for path in READS:
            yield Case(f"GET {path}: Authorization is {what}", Request("GET", path, b"", headers), 401)
    for path in READS:
        yield Case(f"{path}: an account key as api_key in the query", get(f"{path}?api_key=KEY"), 401)
        yield Case(f"{path}: ezkey in the query is no key here", get(f"{path}?ezkey=KEY"), 401)
        yield Case(f"{path}: a cookie of nobody", get(path, [("Cookie", "ezstat_session=zqzqzqzqzqzq")]), 401)


CASES = list(cases())
