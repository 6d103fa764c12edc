"""Python 2's `urllib2` and `urllib.urlencode` by Python 3's, for a client of that time."""

import urllib
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen as _urlopen

__all__ = ["URLError", "urlopen"]

urllib.urlencode = urlencode  # type: ignore[attr-defined]


def urlopen(url: str, data: str) -> object:
    return _urlopen(url, data.encode(), timeout=10)
