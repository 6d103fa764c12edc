"""What refused commands mean over HTTP, in one place."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from libs.eventstore.store import NotFound, StaleAggregate
from libs.http import errors
from services.accounts.application.errands import TicketGone
from services.accounts.application.keys import NotYours
from services.accounts.application.opening import SetupRefused
from services.accounts.application.signing import WrongCredentials
from services.accounts.application.team import InvitationGone, PasswordNeeded
from services.accounts.domain import Invalid, Refused


def meaning(error: Exception) -> errors.ApiError | None:
    """The answer to a refused command; None for an error that is ours."""
    match error:
        case Invalid():
            return errors.BadRequest(str(error), param=error.field)
        case Refused():
            return errors.Conflict(str(error), code=error.code)
        case NotFound():
            return errors.NotFound()
        case NotYours():
            return errors.Forbidden("A key can't be given more than its maker has.")
        case WrongCredentials() | PasswordNeeded():
            return _code(errors.Unauthorized("E-mail or password is wrong."), "invalid_credentials")
        case SetupRefused():
            return errors.Forbidden("This set-up link is wrong or was used.", code="link_gone")
        case TicketGone() | InvitationGone():
            return errors.Forbidden("This link is wrong, used or too old.", code="link_gone")
        case StaleAggregate():
            return errors.Conflict("Somebody else changed this at the same moment; try again.", code="try_again")
    return None


def _code(error: errors.ApiError, code: str) -> errors.ApiError:
    error.code = code
    return error


class Meaningful(APIRoute):
    """A route whose refused commands become answers."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_and_translate(request: Request) -> Response:
            try:
                return await handle(request)
            except Exception as error:
                answer = meaning(error)
                if answer is None:
                    raise
                raise answer from error

        return handle_and_translate
