"""Pages out of templates: escaped, translated, with what every page needs."""

import re
from dataclasses import dataclass, field
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse

from services.web import figures
from services.web.assets import Assets
from services.web.translation import TRANSLATIONS

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": PAGE_POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@dataclass(frozen=True)
class Person:
    """Who is signed in."""

    email: str
    organisation: str

    @property
    def initials(self) -> str:
        return figures.initials(self.email)


@dataclass
class Form:
    """What was sent in a form and what is wrong with it: by field, and as a whole (`problem`)."""

    values: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What surrounds the content of every page. `here` is the path, `theme` "" (as the system), light or dark."""

    here: str
    base: str
    csrf: str = ""
    theme: str = ""
    person: Person | None = None


def prose(text: str) -> Markup:
    """Text of the API's description, where backticks mean code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704  (escaped before)


class Renderer:
    """The templates, compiled once each."""

    def __init__(self, assets: Assets) -> None:
        self._environment = Environment(
            loader=PackageLoader(__package__),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
            extensions=["jinja2.ext.i18n"],
        )
        # The i18n extension adds these methods to an environment.
        self._environment.install_gettext_translations(TRANSLATIONS, newstyle=True)  # type: ignore[attr-defined]
        self._environment.globals["asset"] = assets.url
        self._environment.filters["ago"] = figures.ago
        self._environment.filters["prose"] = prose

    def text(self, template: str, frame: Frame, **values: Any) -> str:
        return self._environment.get_template(template).render(
            here=frame.here, base=frame.base, csrf=frame.csrf, theme=frame.theme, person=frame.person, **values
        )

    def page(self, template: str, frame: Frame, status: int = 200, **values: Any) -> HTMLResponse:
        """A page, with the headers that keep foreign content out of it."""
        return HTMLResponse(self.text(template, frame, **values), status, headers=_HEADERS)
