"""`ezstat send`: one data point over HTTP, as any client would send it."""

import urllib.error
import urllib.parse
import urllib.request

from libs.runtime.errors import CannotRun


def send(url: str, key: str, stat: str, number: float, *, is_value: bool) -> str:
    """Posts to `/ez` and answers its text. Raises `CannotRun` when the point was not taken."""
    form = {"ezkey": key, "stat": stat, "value" if is_value else "count": f"{number:.17g}"}
    try:
        with urllib.request.urlopen(f"{url}/ez", urllib.parse.urlencode(form).encode(), timeout=10) as answer:  # noqa: S310
            text: str = answer.read().decode()
            return text
    except urllib.error.HTTPError as error:
        raise CannotRun(f"refused: {error.read().decode(errors='replace')}") from None
    except OSError as error:
        raise CannotRun(f"nobody answers at {url}: {error}") from None
