"""One request of a visitor: who it is, what surrounds the page, and the answers a page can give."""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from libs.http.credentials import session_secret
from libs.http.errors import ServiceUnavailable, Unauthorized
from libs.http.exchange import exchange_of
from libs.runtime.settings import Settings
from services.web.assets import Assets
from services.web.client import Api, Me, Refused, SetUp
from services.web.forms import Forms
from services.web.once import Once
from services.web.rendering import Form, Frame, Person, Renderer

THEME_COOKIE = "ezstat_theme"
_THEMES = ("light", "dark")
_HOST = re.compile(r"(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?")


@dataclass(frozen=True, kw_only=True)
class Site:
    """What all visits have in common."""

    settings: Settings
    api: Api
    assets: Assets
    renderer: Renderer
    forms: Forms
    once: Once


class Visit:
    """`me` is None for strangers."""

    def __init__(self, site: Site, request: Request, me: Me | None) -> None:
        self.site = site
        self.request = request
        self.me = me
        self._stranger = "" if me else site.forms.stranger(request)

    @property
    def api(self) -> Api:
        return self.site.api

    @property
    def base(self) -> str:
        """The address people reach us at, for lines to paste: the configured one, else the one they came by."""
        settings, host = self.site.settings, self.request.headers.get("host", "")
        if settings.public_url or not _HOST.fullmatch(host):
            return settings.url
        return f"{'https' if exchange_of(self.request).secure else 'http'}://{host}"

    @property
    def frame(self) -> Frame:
        theme = self.request.cookies.get(THEME_COOKIE, "")
        return Frame(
            here=self.request.url.path,
            base=self.base,
            csrf=self.me.csrf_token if self.me else self.site.forms.token(self._stranger),
            theme=theme if theme in _THEMES else "",
            person=Person(self.me.user.email, self.me.account.name) if self.me else None,
        )

    def page(self, template: str, status: int = 200, *, form: Form | None = None, **values: Any) -> HTMLResponse:
        """A page around `template`. A page with a form for strangers gives them the cookie that belongs to it."""
        answer = self.site.renderer.page(template, self.frame, status, form=form or Form(), **values)
        if form is not None and self.me is None:
            self.site.forms.remember(self.request, answer, self._stranger)
        return answer

    def require_me(self) -> Me:
        """Who is signed in. Raises `Unauthorized`."""
        if self.me is None:
            raise Unauthorized
        return self.me

    async def setup(self) -> SetUp:
        """Whether one can sign up or has to set up; nobody can while accounts are away."""
        try:
            return await self.api.setup(self.request)
        except (ServiceUnavailable, Refused):
            return SetUp(open=False, signup=False)


def go(path: str, cookies: tuple[str, ...] = ()) -> Response:
    """To another page, with cookies that the API set."""
    answer = RedirectResponse(path, 303)
    for cookie in cookies:
        answer.headers.append("set-cookie", cookie)
    return answer


def site_of(request: Request) -> Site:
    site: Site = request.app.state.site
    return site


async def find_me(site: Site, request: Request) -> Me | None:
    """Who is signed in, as the API says. Raises `ServiceUnavailable`."""
    if session_secret(request) is None:
        return None
    try:
        return await site.api.me(request)
    except Refused as refused:
        if refused.status in (401, 403, 404):
            return None
        raise


async def _visit(request: Request) -> Visit:
    site = site_of(request)
    return Visit(site, request, await find_me(site, request))


async def _sent(request: Request) -> dict[str, str]:
    return await site_of(request).forms.read(request)


VisitNow = Annotated[Visit, Depends(_visit)]
Sent = Annotated[dict[str, str], Depends(_sent)]
"""The fields of a form of ours, checked."""
