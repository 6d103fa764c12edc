"""Bad numbers, times and names, in every way that a point can be sent."""

import json
from collections.abc import Callable, Iterator
from urllib.parse import quote_plus

from tests.flows.bad_input import NAME, Case
from tests.wire import JSON, Request, get, post

AUTH = ("Authorization", "Bearer KEY")
NDJSON = "application/x-ndjson"

NUMBERS = {
    "decimal comma": "1,5", "thousands": "1.000,5", "grouped": "1 000", "underscore": "1_000", "NaN": "NaN",
    "nan": "nan", "infinity": "inf", "minus infinity": "-Infinity", "overflow": "1e999", "negative overflow": "-1e999",
    "huge exponent": "1e99999999", "very many digits": "9" * 400, "hex": "0x1F", "two signs": "--17", "no digits": "e5",
    "only a point": ".", "open exponent": "17e", "full-width digits": "１７", "Arabic digits": "٣٤",
    "currency": "$17", "word": "true", "an object": "{}", "NUL behind": "17\0", "line break inside": "1\n7",
}  # fmt: skip
LITERALS = {
    "NaN": "NaN", "Infinity": "Infinity", "-Infinity": "-Infinity", "overflow": "1e999", "leading zero": "017",
    "plus": "+17", "no leading digit": ".5", "no following digit": "17.", "hex": "0x1F", "true": "true", "list": "[17]",
    "object": '{"n":17}', "integer of 400 digits": "9" * 400, "two numbers": "1 7",
}  # fmt: skip
TIMES = {
    "a word": "tomorrow", "a date": "2026-01-01", "milliseconds": "1900000000000", "far future": "1e300",
    "far past": "-1e300", "before year 1": "-62135596801", "NaN": "NaN", "infinity": "inf",
    "tomorrow and a bit": "9999999999",
}  # fmt: skip
NAMES = {
    "spaces": "   ", "256 characters": "x" * 256, "256 emoji": "😀" * 256, "line break": f"{NAME}\n1",
    "carriage return": f"{NAME}\r\nX-Evil: 1", "NUL": f"{NAME}\0", "escape": f"{NAME}\x1b[31m", "delete": f"{NAME}\x7f",
    "C1 control": f"{NAME}\x85y", "line separator": f"{NAME}\u2028y",
}  # fmt: skip
TILDES = {
    "nothing before the tilde": f"~{NAME}", "nothing behind it": f"{NAME}~", "an empty part": f"{NAME}~a,,b",
    "101 names": f"{NAME}~" + ",".join(f"n{i}" for i in range(101)), "a long joined name": f"{NAME}~" + "x" * 252,
}  # fmt: skip
BYTES = {
    "a lone FF": b"\xff", "a bad continuation": b"\xc3\x28", "an overlong slash": b"\xc0\xaf",
    "a surrogate": b"\xed\xa0\x80", "a cut-off emoji": b"\xf0\x9f\x98", "Latin-1": "größe".encode("latin-1"),
}  # fmt: skip

Fields = dict[str, str]


def _form(target: str, key: str) -> Callable[[Fields], Request]:
    def make(fields: Fields) -> Request:
        return post(target, f"{key}=KEY&" + "&".join(f"{name}={quote_plus(v)}" for name, v in fields.items()))

    return make


def _query(target: str, key: str) -> Callable[[Fields], Request]:
    def make(fields: Fields) -> Request:
        return get(f"{target}?{key}=KEY&" + "&".join(f"{name}={quote_plus(v)}" for name, v in fields.items()))

    return make


FORMS: dict[str, tuple[Callable[[Fields], Request], str, tuple[str, ...]]] = {
    "/ez form": (_form("/ez", "ezkey"), "stat", ("count", "value")),
    "/ez query": (_query("/ez", "ezkey"), "stat", ("count",)),
    "/c form": (_form("/c", "ukey"), "key", ("count",)),
    "/c pixel": (_query("/c", "ukey"), "key", ("count",)),
    "/v form": (_form("/v", "ukey"), "key", ("value",)),
    "/v query": (_query("/v", "ukey"), "key", ("value",)),
}
"""How to send a form: (request of fields, the field of the name, the fields of numbers)."""


def _ez(row: str) -> Request:
    return post("/ez", '{"ezkey":"KEY",' + row[1:], JSON)


def _ez_batch(row: str) -> Request:
    return post("/ez", f'{{"ezkey":"KEY","data":[{{"stat":"{NAME} good","count":1}},{row}]}}', JSON)


def _v1(target: str) -> Callable[[str], Request]:
    return lambda row: post(target, row, JSON, [AUTH])


def _v1_stats(row: str) -> Request:
    return post("/v1/stats", f'{{"stats":[{{"stat":"{NAME} good","count":1}},{row}]}}', JSON, [AUTH])


def _array(row: str) -> Request:
    return post("/api/v1/batch", f'[{{"stat":"{NAME} good","count":1}},{row}]', JSON, [AUTH])


def _ndjson(row: str) -> Request:
    line = row.replace("\n", "\\n")
    return post("/api/v1/batch", f'{{"stat":"{NAME} good","count":1}}\n{line}\n', NDJSON, [AUTH])


ROWS: dict[str, tuple[Callable[[str], Request], str]] = {
    "/ez JSON": (_ez, "count"),
    "/ez JSON batch": (_ez_batch, "value"),
    "/v1/stat": (_v1("/v1/stat"), "count"),
    "/v1/stat/count": (_v1("/v1/stat/count"), "count"),
    "/v1/stat/value": (_v1("/v1/stat/value"), "value"),
    "/v1/stats": (_v1_stats, "value"),
    "batch array": (_array, "count"),
    "batch NDJSON": (_ndjson, "count"),
}
"""How to send a JSON row: (request of a row, which number it has)."""

REST = {"count": "/api/v1/stats/zqstat%20rest/count", "value": "/api/v1/stats/zqstat%20rest%20v/value"}


def _echo(text: str) -> tuple[str, ...]:
    """Texts this long do not stand in a message by chance."""
    return (text,) if len(text) > 7 else ()


def form_cases() -> Iterator[Case]:
    for where, (make, stat, numbers) in FORMS.items():
        for what, text in NUMBERS.items():
            for number in numbers:
                yield Case(f"{where}: {number}, {what}", make({stat: NAME, number: text}), secret=_echo(text))
        for what, text in TIMES.items():
            yield Case(f"{where}: t, {what}", make({stat: NAME, numbers[0]: "1", "t": text}), secret=_echo(text))
        for what, text in (NAMES | TILDES if stat == "stat" else NAMES).items():
            yield Case(f"{where}: name, {what}", make({stat: text, numbers[0]: "1"}), secret=_echo(text[:20]))
        for what, raw in BYTES.items():
            escaped = "".join(f"%{byte:02X}" for byte in NAME.encode() + raw)
            good = make({stat: "HERE", numbers[0]: "1"})
            target = good.target if isinstance(good.target, str) else ""
            bad = Request(good.method, target.replace("HERE", escaped), good.body, good.headers)
            bad = Request(bad.method, bad.target, bad.body.replace(b"HERE", escaped.encode()), bad.headers)
            yield Case(f"{where}: name of {what}", bad)


def _row(fields: dict[str, object]) -> str:
    return json.dumps(fields, ensure_ascii=False)


def json_cases() -> Iterator[Case]:
    for where, (make, number) in ROWS.items():
        for what, text in NUMBERS.items():
            yield Case(f"{where}: string, {what}", make(_row({"stat": NAME, number: text})), secret=_echo(text))
        for what, text in LITERALS.items():
            yield Case(f"{where}: literal, {what}", make(f'{{"stat":"{NAME}","{number}":{text}}}'), secret=_echo(text))
        for what, text in TIMES.items():
            yield Case(f"{where}: t, {what}", make(_row({"stat": NAME, number: 1, "t": text})), secret=_echo(text))
        for what, text in (NAMES | TILDES).items():
            yield Case(f"{where}: name, {what}", make(_row({"stat": text, number: 1})), secret=_echo(text[:20]))
        for what, text in {
            "a number": "5",
            "null": "null",
            "a list": '["a"]',
            "an object": "{}",
            "true": "true",
        }.items():
            yield Case(f"{where}: name is {what}", make(f'{{"stat":{text},"{number}":1}}'))
        yield Case(f"{where}: a lone surrogate", make(f'{{"stat":"{NAME}\\ud800","{number}":1}}'))
        yield Case(f"{where}: a bad escape", make(f'{{"stat":"{NAME}\\x41","{number}":1}}'))
        yield Case(f"{where}: id of 65 characters", make(_row({"stat": NAME, number: 1, "id": "i" * 65})))
        yield Case(f"{where}: empty id", make(_row({"stat": NAME, number: 1, "id": ""})))
        yield Case(f"{where}: id is a number", make(f'{{"stat":"{NAME}","{number}":1,"id":7}}'))
        for what, raw in BYTES.items():
            good = make(f'{{"stat":"HERE","{number}":1}}')
            yield Case(
                f"{where}: name of {what}",
                Request(good.method, good.target, good.body.replace(b"HERE", NAME.encode() + raw), good.headers),
            )


def rest_cases() -> Iterator[Case]:
    for number, target in REST.items():
        for what, text in NUMBERS.items():
            request = post(target, json.dumps({number: text}), JSON, [AUTH])
            yield Case(f"REST {number}: string, {what}", request, secret=_echo(text))
        for what, text in LITERALS.items():
            request = post(target, f'{{"{number}":{text}}}', JSON, [AUTH])
            yield Case(f"REST {number}: literal, {what}", request, secret=_echo(text))
        for what, text in TIMES.items():
            request = post(target, json.dumps({number: 1, "t": text}), JSON, [AUTH])
            yield Case(f"REST {number}: t, {what}", request, secret=_echo(text))
        for what, text in NAMES.items():
            name = "".join(f"%{byte:02X}" for byte in text.encode())
            request = post(f"/api/v1/stats/{name}/{number}", f'{{"{number}":1}}', JSON, [AUTH])
            yield Case(f"REST {number}: name, {what}", request)
        for what, raw in BYTES.items():
            name = "".join(f"%{byte:02X}" for byte in raw)
            request = post(f"/api/v1/stats/{name}/{number}", f'{{"{number}":1}}', JSON, [AUTH])
            yield Case(f"REST {number}: name of {what}", request)
        yield Case(f"REST {number}: nothing", post(target, "{}", JSON, [AUTH]))
        yield Case(f"REST {number}: null", post(target, f'{{"{number}":null}}', JSON, [AUTH]))


def public_cases() -> Iterator[Case]:
    """Points without a key."""

    def sent(fields: str) -> Request:
        return post("/api/public", f'{{"mvp":"zq-mvp",{fields}}}', JSON)

    for number in ("count", "value"):
        for what, text in NUMBERS.items():
            request = sent(f'"stat":"{NAME}","{number}":{json.dumps(text)}')
            yield Case(f"public {number}: string, {what}", request, secret=_echo(text))
        for what, text in LITERALS.items():
            request = sent(f'"stat":"{NAME}","{number}":{text}')
            yield Case(f"public {number}: literal, {what}", request, secret=_echo(text))
    for what, text in TIMES.items():
        request = sent(f'"stat":"{NAME}","count":1,"t":{json.dumps(text)}')
        yield Case(f"public: t, {what}", request, secret=_echo(text))
    for what, text in NAMES.items():
        request = sent(f'"count":1,"stat":{json.dumps(text, ensure_ascii=False)}')
        yield Case(f"public: name, {what}", request, secret=_echo(text[:20]))
    for what, mvp in {
        "none": "",
        "a space": "a b",
        "65": "m" * 65,
        "a slash": "a/b",
        "NUL": "a\0",
    }.items():
        request = post("/api/public", json.dumps({"mvp": mvp, "stat": NAME, "count": 1}), JSON)
        yield Case(f"public: mvp is {what}", request, secret=_echo(mvp))
    yield Case("public: no mvp", post("/api/public", f'{{"stat":"{NAME}","count":1}}', JSON))
    yield Case("public: no number", sent(f'"stat":"{NAME}"'))
    yield Case("public: both", sent(f'"stat":"{NAME}","count":1,"value":2'))
    yield Case("public: a short claim", sent(f'"stat":"{NAME}","count":1,"claim":"short"'))
    yield Case("public: no JSON", post("/api/public", "{", JSON))
    yield Case("public: GET", get("/api/public"), 405)


CASES = [*form_cases(), *json_cases(), *rest_cases(), *public_cases()]
