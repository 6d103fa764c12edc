"""Names, numbers, times and forms, as senders write them."""

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest import parse
from services.ingest.parse import Refused

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("text", "number"),
    [("1", 1), ("1.0", 1), ("1e+06", 1e6), ("-2.5", -2.5), ("+3", 3), (".5", 0.5), ("5.", 5), ("1E3", 1000), ("0", 0)],
)
def test_numbers_that_real_clients_send_are_taken(text: str, number: float) -> None:
    assert parse.number(text.encode(), "count") == number


@pytest.mark.parametrize(
    "text", ["", "1,5", "nan", "inf", "-inf", "0x10", "1_000", "١", "1e999", "--1", "1 2", "e5", "1e", "."]
)
def test_what_is_no_finite_decimal_number_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        parse.number(text.encode(), "count")


@given(st.binary(max_size=60))
def test_any_bytes_are_a_finite_number_or_refused(raw: bytes) -> None:
    with suppress(Refused):
        assert math.isfinite(parse.number(raw, "count"))


def test_a_tilde_spreads_a_point_over_several_stats() -> None:
    assert parse.names(b"messages sent~total,female,europe", "~") == (
        "messages sent~total",
        "messages sent~female",
        "messages sent~europe",
    )


def test_an_account_may_join_with_a_space_as_stathat_did() -> None:
    assert parse.names(b"messages sent~total,female", " ") == ("messages sent total", "messages sent female")


def test_only_the_first_tilde_splits() -> None:
    assert parse.names(b"a~b~c,d", "~") == ("a~b~c", "a~d")


@pytest.mark.parametrize(
    "raw",
    [b"", b"   ", b"a\x00b", b"a\nb", "x\u2028y".encode(), b"\xff\xfe", b"x" * 256, b"~a", b"a~", b"a~b,,c",
     b"a~" + b",".join(b"n%d" % i for i in range(101))],
)  # fmt: skip
def test_bad_names_are_refused(raw: bytes) -> None:
    with pytest.raises(Refused):
        parse.names(raw, "~")


@pytest.mark.parametrize("name", ["a/b", "<b>", "😀" * 255, "שלום", "a\u00a0b", "'; drop table", "%2F", "=1+1"])
def test_names_of_any_script_stay_as_they_are(name: str) -> None:
    assert parse.names(name.encode(), "~") == (name,)


def test_names_are_trimmed_and_composed() -> None:
    assert parse.names("  cafe\u0301 ".encode(), "~") == ("café",)


def test_unescaped_forms_of_old_clients_are_read() -> None:
    fields = parse.form("ezkey=a@b.c&stat=page views 100% ü&count=1".encode())
    assert parse.unescape(fields[b"stat"]).decode() == "page views 100% ü"


def test_of_a_repeated_field_the_first_counts() -> None:
    assert parse.form(b"stat=a&stat=b")[b"stat"] == b"a"


@given(st.text(max_size=50))
def test_escape_is_the_inverse_of_unescape(text: str) -> None:
    assert parse.unescape(parse.escape(text)).decode(errors="surrogatepass") == text


def test_the_past_is_free_and_tomorrow_is_the_limit() -> None:
    assert parse.moment(0, NOW) == 0
    assert parse.moment(NOW + 86_399, NOW) == (NOW + 86_399) * 1e6
    with pytest.raises(Refused):
        parse.moment(NOW + 86_401, NOW)
    with pytest.raises(Refused):
        parse.moment(-1e15, NOW)
