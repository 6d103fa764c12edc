"""How values inside stored events become JSON and come back as what they were."""

from base64 import b64decode, b64encode
from typing import Any

from eventsourcing.persistence import DatetimeAsISO, DecimalAsStr, JSONTranscoder, Transcoding, UUIDAsHex


class BytesAsBase64(Transcoding):
    """`bytes`."""

    type = bytes
    name = "bytes_base64"

    def encode(self, obj: bytes) -> str:
        return b64encode(obj).decode()

    def decode(self, data: str) -> bytes:
        return b64decode(data)


class FrozensetAsList(Transcoding):
    """`frozenset` of values that can be sorted, so that equal sets are stored equally."""

    type = frozenset
    name = "frozenset_list"

    def encode(self, obj: frozenset[Any]) -> list[Any]:
        return sorted(obj)

    def decode(self, data: list[Any]) -> frozenset[Any]:
        return frozenset(data)


def transcoder() -> JSONTranscoder:
    """JSON that also holds UUID, Decimal, datetime, bytes and frozenset. Tuples become lists."""
    json = JSONTranscoder()
    for transcoding in (UUIDAsHex(), DecimalAsStr(), DatetimeAsISO(), BytesAsBase64(), FrozensetAsList()):
        json.register(transcoding)
    return json
