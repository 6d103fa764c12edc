"""Errors in the look of the house, for people; programs get theirs in the dialect of the path."""

from urllib.parse import urlencode

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from libs.http import failures
from libs.http.errors import ApiError, ServiceUnavailable, Unauthorized
from services.web.client import Me, Refused
from services.web.rendering import Form
from services.web.translation import _
from services.web.visit import Visit, find_me, site_of

_PROGRAMS = ("/api/", "/v1/", "/x/", "/ez", "/c", "/v")


def for_people(request: Request) -> bool:
    """Whether the answer is read in a browser."""
    path = request.scope["path"]
    if any(path == prefix or (prefix.endswith("/") and path.startswith(prefix)) for prefix in _PROGRAMS):
        return False
    return "text/html" in request.headers.get("accept", "")


def add_handlers(app: FastAPI) -> None:
    """Answer every error of this app as a page where people read it."""
    for kind in (*failures.EXPECTED, Refused, Exception):
        app.add_exception_handler(kind, handle)


async def handle(request: Request, error: Exception) -> Response:
    api_error = as_api_error(error)
    if not for_people(request):
        return failures.answer(api_error, request.scope)
    if isinstance(api_error, Unauthorized):
        return RedirectResponse(_sign_in_for(request), 303)
    return await _page(request, api_error)


def _sign_in_for(request: Request) -> str:
    """To sign in, and back to the page that wanted it."""
    if request.method != "GET":
        return "/signin"
    return "/signin?" + urlencode({"next": request.scope["path"]})


def as_api_error(error: Exception) -> ApiError:
    if isinstance(error, Refused):
        again = ApiError(error.message, code=error.code)
        again.status = error.status
        return Unauthorized() if error.status == 401 else again
    return failures.as_api_error(error)


async def _page(request: Request, error: ApiError) -> Response:
    title, text = _words(error)
    visit = Visit(site_of(request), request, await _me(request) if error.status < 500 else None)
    answer = visit.page("error.html", error.status, form=Form(), status_text=str(error.status), title=title, text=text)
    answer.headers.update(error.headers)
    return answer


async def _me(request: Request) -> Me | None:
    """Who is signed in, when that can be found out: an error page is shown in any case."""
    try:
        return await find_me(site_of(request), request)
    except (Refused, ServiceUnavailable):
        return None


def _words(error: ApiError) -> tuple[str, str]:
    match error.status:
        case 404:
            return _("There is no such page"), _("It may have moved, or the address has a typo.")
        case 403 if error.code == "csrf":
            return _("This form is too old"), _("Go back, load the page again, and send it once more.")
        case 403:
            return _("Not allowed"), _(error.message)
        case 429:
            return _("Too many requests"), _("Wait a minute, then try again.")
        case 503:
            return _("Not available just now"), _("Something we need is restarting. Try again in a few seconds.")
        case status if status >= 500:
            return _("Something went wrong here"), _("It has been logged. Trying again may help.")
    return _("That can’t be done"), _(error.message)
