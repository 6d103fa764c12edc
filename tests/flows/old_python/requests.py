"""As much of the `requests` of 2012 as a client of that time needs; later ones do not know `prefetch`."""

from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import Request, urlopen


class Answer:
    def __init__(self, status: int) -> None:
        self.status_code = status
        self.ok = status < 400


class Session:
    def post(self, url: str, data: dict[str, object], prefetch: bool) -> Answer:
        request = Request(url, urlencode(data).encode(), {"Accept": "*/*", "User-Agent": "python-requests/0.14"})
        try:
            with urlopen(request, timeout=10) as answer:
                return Answer(answer.status)
        except HTTPError as error:
            return Answer(error.code)


def session() -> Session:
    return Session()
