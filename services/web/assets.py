"""Static files under addresses that hold a hash of their content, so that browsers may keep them for ever."""

import gzip
import hashlib
from dataclasses import dataclass
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import Response

PREFIX = "/assets/"
_TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
_FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class Asset:
    """A file. `name` is what the address ends with: `app.3f2a91c04b7d.css`."""

    name: str
    media_type: str
    body: bytes
    packed: bytes


class Assets:
    """All files of the folder `assets`, read once."""

    def __init__(self) -> None:
        folder = files(__package__).joinpath("assets")
        self._by_file = {entry.name: _read(entry.name, entry.read_bytes()) for entry in folder.iterdir()}
        self._by_name = {asset.name: asset for asset in self._by_file.values()}

    def url(self, file: str) -> str:
        """The address of a file of the folder."""
        return PREFIX + self._by_file[file].name

    def answer(self, request: Request, name: str) -> Response | None:
        """The file of that name; None: there is no such, or not any more."""
        asset = self._by_name.get(name)
        if asset is None:
            return None
        headers = {"Cache-Control": _FOR_EVER, "Vary": "Accept-Encoding"}
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(asset.body, headers=headers, media_type=asset.media_type)
        return Response(asset.packed, headers=headers | {"Content-Encoding": "gzip"}, media_type=asset.media_type)


def _read(file: str, body: bytes) -> Asset:
    stem, _, suffix = file.rpartition(".")
    name = f"{stem}.{hashlib.sha256(body).hexdigest()[:12]}.{suffix}"
    return Asset(name, _TYPES[suffix], body, gzip.compress(body, 9, mtime=0))
