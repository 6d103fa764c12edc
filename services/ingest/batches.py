"""Rows of a batch as columns: what a group needs, checked row by row, or all at once where nothing is unusual."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple, cast

import msgspec

from libs.contracts.ingest import Kind
from libs.http.errors import BadRequest
from libs.http.principal import Principal
from services.ingest import parse
from services.ingest.catalog import Entry
from services.ingest.parse import Refused


class Row(msgspec.Struct):
    """A point in JSON. Numbers may be strings; `t` may be null; `id` makes a retry count once. `type` decides nothing:
    exports say it of a stat."""

    stat: str
    count: float | str | None = None
    value: float | str | None = None
    t: float | str | None = None
    id: str | None = None
    type: str | None = None


def item_id(principal: Principal, text: str) -> bytes:
    """16 bytes for the id that a client gave its item: the same text of another account is another item."""
    facts = principal.facts
    return hashlib.blake2b(f"{facts.account}|{facts.mode}|{text}".encode(), digest_size=16).digest()


def one_of(count: float | None, value: float | None, *, otherwise: Kind | None = None) -> tuple[Kind | None, float]:
    """Which of count and value is meant: of two given, the one that is not zero. (None, 0): both are zero, the
    existing stat decides. `otherwise` is what neither means (a counter counts 1)."""
    if count is None and value is None:
        if otherwise is None:
            raise Refused("count", "count or value is required")
        return otherwise, 1.0
    if value is None:
        assert count is not None
        return "counter", count
    if count is None:
        return "gauge", value
    if count and value:
        raise Refused("count", "send count or value, not both")
    if count:
        return "counter", count
    return ("gauge", value) if value else (None, 0.0)


class Plain(NamedTuple):
    """A batch that needs no second look."""

    entries: list[Entry]
    times: list[int]
    values: list[float]


def plain(principal: Principal, rows: Sequence[Row], now: float) -> Plain | None:
    """The columns of a batch like most: known names, one number each, no ids. None: it has to be read row by row.

    Whole columns at a time: a loop over rows costs several times as much.
    """
    memo = principal.memo
    try:
        entries: list[Entry] = [memo[row.stat] for row in rows]
    except KeyError:
        return None
    gauges = [row.value is not None for row in rows]
    numbers = [row.count if row.value is None else row.value for row in rows]
    if (
        [row.count is None for row in rows] != gauges
        or [entry.gauge for entry in entries] != gauges
        or set(map(type, numbers)) != {float}
        or any(row.id is not None for row in rows)
        or any(entry.series.gone or entry.series.id is None for entry in set(entries))
    ):
        return None
    times = _moments([row.t for row in rows], now)
    return None if times is None else Plain(entries, times, cast("list[float]", numbers))


def _moments(times: list[float | str | None], now: float) -> list[int] | None:
    """Unix microseconds, where all are left out or all are numbers that are right."""
    kinds = set(map(type, times))
    if kinds == {type(None)}:
        return [round(now * 1e6)] * len(times)
    if kinds != {float}:
        return None
    seconds = cast("list[float]", times)
    if not parse.EARLIEST <= min(seconds) <= max(seconds) <= now + parse.DAY:
        return None
    return [round(second * 1e6) for second in seconds]


class Batch:
    """Rows as columns, tilde names spread out. Raises `BadRequest` naming the row."""

    def __init__(
        self, principal: Principal, rows: Sequence[Row], now: float, otherwise: Kind | None, request_id: str
    ) -> None:
        self.names: list[str] = []
        self.kinds: list[Kind | None] = []
        self.times: list[int] = []
        self.values: list[float] = []
        self.items: list[bytes] = []
        self._spread: list[tuple[int, int]] = []
        present = round(now * 1e6)
        identified = bool(request_id) or any(row.id is not None for row in rows)
        memo = principal.memo
        for number, row in enumerate(rows):
            try:
                if row.value is None and type(row.count) is float:
                    kind: Kind | None = "counter"
                    value = row.count
                elif row.count is None and type(row.value) is float:
                    kind, value = "gauge", row.value
                else:
                    kind, value = one_of(_float(row.count, "count"), _float(row.value, "value"), otherwise=otherwise)
                time = present if row.t is None else parse.moment(_float(row.t, "t") or 0.0, now)
                names = (
                    (row.stat,)
                    if row.stat in memo and "~" not in row.stat
                    else parse.names_of(row.stat, principal.facts.joiner)
                )
                ids = self._ids(principal, row, number, len(names), request_id) if identified else ()
            except Refused as error:
                raise BadRequest(f"row {number}: {error}", param=f"data[{number}].{error.param}") from None
            if len(names) > 1:
                self._spread.append((len(self.names), len(names) - 1))
            for name in names:
                self.names.append(name)
                self.kinds.append(kind)
                self.times.append(time)
                self.values.append(value)
            self.items.extend(ids)

    @staticmethod
    def _ids(principal: Principal, row: Row, number: int, n: int, request_id: str) -> Sequence[bytes]:
        if row.id is not None:
            if not 1 <= len(row.id) <= 64:
                raise Refused("id", "id has 1 to 64 characters")
            text = f"id:{row.id}"
        elif request_id:
            text = f"request:{request_id}:{number}"
        else:
            return (b"",) * n
        return [item_id(principal, text if i == 0 else f"{text}:{i}") for i in range(n)]

    def row_of(self, i: int) -> int:
        """The row that the i-th point came from."""
        for start, more in reversed(self._spread):
            if i > start:
                i -= min(more, i - start)
        return i


def _float(number: float | str | None, param: str) -> float | None:
    if number is None or type(number) is float:
        return number
    if isinstance(number, str):
        return parse.number(number.encode(errors="replace"), param)
    return parse.finite(float(number), param)
