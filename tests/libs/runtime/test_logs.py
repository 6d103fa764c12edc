"""No secret comes through a log line, whatever way it got into the record."""

import io
import json
import logging
import re

import pytest

from libs.runtime.logs import HIDDEN, HumanFormatter, JsonFormatter, Redaction, redact

LIVE = "ss_live_9aZ8bY7cX6dW5eV4fU3gT2hS1iR0jQ"
CANARY = "canary-5f3c9e71d2b84a60"

SECRET_LINES = [
    f"GET /ez?ezkey={CANARY}&stat=x",
    f"GET /c?key=signups&ukey={CANARY}&count=1",
    f"GET /api/v1/stats?api_key={CANARY}",
    f"GET /set-up?token={CANARY}",
    f"GET /c?KEY=1&UKEY={CANARY}",
    f"ezkey%3D{CANARY}",
    f'{{"ezkey": "{CANARY}", "stat": "x"}}',
    f"{{'ezkey': '{CANARY}', 'stat': 'x'}}",
    f"{{b'ezkey': b'{CANARY}'}}",
    f'{{"password":"{CANARY} with blanks {CANARY}"}}',
    f"new_password={CANARY}",
    f"csrf_token={CANARY}&x=1",
    f"Authorization: Bearer {CANARY}",
    f"authorization: Basic {CANARY}",
    f"(b'authorization', b'Bearer {CANARY}')",
    f"Cookie: theme=dark; ezstat_session={CANARY}",
    f"(b'cookie', b'a=b; __Host-ezstat_session={CANARY}')",
    f"Set-Cookie: ezstat_session={CANARY}; HttpOnly",
    f"Stripe-Signature: t=1,v1={CANARY}",
    f"postgresql://ezstat:{CANARY}@127.0.0.1:5432/postgres",
    f"redis://:{CANARY}@127.0.0.1:6379/0",
    f"smtp://user%40host:{CANARY}@mail.example:587",
    f"GET /x/{CANARY}/statlist",
    f"GET /c?key={CANARY}&count=1",
]


@pytest.mark.parametrize("line", SECRET_LINES)
def test_a_secret_in_a_line_is_hidden(line: str) -> None:
    shown = redact(line)
    assert CANARY not in shown
    assert HIDDEN in shown


@pytest.mark.parametrize(
    "key",
    [
        LIVE, LIVE.replace("live", "test"), LIVE.replace("ss", "sk"), "ezi_sk_" + "0f" * 32, "st_" + "0f" * 32,
        "aiz_live_k1_c2VjcmV0LXNlY3JldA", "shr_" + "Ab3" * 10, "whsec_" + "Ab3" * 10,
    ],
)  # fmt: skip
def test_a_key_is_known_by_its_look_wherever_it_stands(key: str) -> None:
    assert key[10:] not in redact(f"no such key: '{key}', said accounts")


@pytest.mark.parametrize(
    "line",
    [
        "GET /c?key=signups&count=1",
        "GET /c?key=messages+sent~total&count=1",
        "stat signups created for account 01890a5d-ac96-774b-bcce-b302099a8057",
        "http://localhost:8000 answers",
        "postgres (process 4711) ended with -9 and is started again",
        "writer: 1000 points in 0.012 s, lag 3",
        "the key ring knows 12 keys",
    ],
)
def test_ordinary_lines_stay_as_they_are(line: str) -> None:
    assert redact(line) == line


@pytest.fixture
def written() -> io.StringIO:
    return io.StringIO()


def logger(written: io.StringIO, formatter: logging.Formatter) -> logging.Logger:
    handler = logging.StreamHandler(written)
    handler.addFilter(Redaction())
    handler.setFormatter(formatter)
    made = logging.Logger("ezstat.test")
    made.addHandler(handler)
    return made


@pytest.mark.parametrize("formatter", [HumanFormatter("http-1"), JsonFormatter("http-1")])
def test_arguments_exceptions_stacks_and_extras_are_searched_too(
    written: io.StringIO, formatter: logging.Formatter
) -> None:
    log = logger(written, formatter)
    try:
        raise ValueError(f"ukey={CANARY}")
    except ValueError:
        log.exception("failed with %s", {"ezkey": CANARY}, extra={"path": f"/c?ukey={CANARY}"}, stack_info=True)
    text = written.getvalue()
    assert CANARY not in text.replace("{CANARY}", "")
    assert "ValueError" in text
    assert text.count(HIDDEN) >= 3


def test_json_lines_hold_one_object_each(written: io.StringIO) -> None:
    log = logger(written, JsonFormatter("work-1"))
    log.warning("two\nlines", extra={"lag": 3})
    (line,) = written.getvalue().splitlines()
    row = json.loads(line)
    assert row["message"] == "two\nlines"
    assert row["process"] == "work-1"
    assert row["level"] == "warning"
    assert row["lag"] == 3
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", row["time"])


def test_human_lines_begin_with_time_level_and_process(written: io.StringIO) -> None:
    logger(written, HumanFormatter("http-1")).info("hello", extra={"lag": 3})
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} INFO    http-1   hello lag=3\n", written.getvalue())
