"""How numbers, changes and ages are written for people."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from services.web.translation import _

_COMPACT = ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"))
_LONGEST = 1e7  # from here on a number is written with a letter


@dataclass(frozen=True)
class Change:
    """How a figure compares with the period before. `text` has no sign: the direction is shown beside it. More of a
    count is good news; whether a higher value is, nobody told us (`judged`)."""

    direction: Literal["up", "down", "even"]
    text: str
    judged: bool = True


def number(value: float) -> str:
    """At most four significant digits behind whole ones: 48,213; 12.35 M; 0.4212; 131."""
    size = abs(value)
    for unit, letter in _COMPACT:
        if size >= max(unit, _LONGEST):
            return f"{value / unit:,.2f} {letter}" if size < 1e18 else f"{value:.3g}"
    if float(value).is_integer():
        return f"{int(value):,}"
    if size < 1e-4:
        return f"{value:.3g}"
    decimals = 4 if size < 1 else 2 if size < 1000 else 1 if size < 10_000 else 0
    return _without_zeros(f"{value:,.{decimals}f}")


def _without_zeros(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def change(percent: float | None, *, judged: bool) -> Change | None:
    """From per cent against the period before; None stays None: there was nothing before."""
    if percent is None:
        return None
    size = abs(percent)
    if size < 0.05:
        return Change("even", "0 %")
    text = f"{size:,.0f} %" if size >= 100 else f"{size:.1f} %"
    return Change("up" if percent > 0 else "down", text, judged)


def ago(at: datetime, now: datetime | None = None) -> str:
    """`3 s ago`, up to days; a time in the future is `just now` (clocks differ)."""
    seconds = ((now or datetime.now(UTC)) - at).total_seconds()
    if seconds < 1:
        return _("just now")
    for size, unit in ((86_400, _("d")), (3600, _("h")), (60, _("min"))):
        if seconds >= size:
            return _("%(count)s %(unit)s ago") % {"count": int(seconds // size), "unit": unit}
    return _("%(count)s %(unit)s ago") % {"count": int(seconds), "unit": _("s")}


def initials(email: str) -> str:
    """One or two letters that stand for a person."""
    words = [word for word in email.partition("@")[0].replace("_", ".").replace("-", ".").split(".") if word]
    return "".join(word[0] for word in words[:2]) or "?"
