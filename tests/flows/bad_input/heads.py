"""Requests that are not quite HTTP."""

from collections.abc import Iterator

from tests.flows.bad_input import NAME, Case

BODY = f"ezkey=KEY&stat={NAME}".encode()


def _post(path: bytes, *lines: bytes, body: bytes = BODY, first: bytes = b"") -> bytes:
    start = first or b"POST %s HTTP/1.1" % path
    return b"\r\n".join([start, b"Host: localhost", *lines, b"", b""]) + body


def cases() -> Iterator[Case]:
    for path in (b"/ez", b"/v1/stat", b"/api/v1/stats"):
        where = path.decode()
        heads: dict[str, tuple[bytes, int]] = {
            "two lengths": (_post(path, b"Content-Length: 5", b"Content-Length: 6"), 400),
            "length and chunked":
                (_post(path, b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400),
            "a negative length": (_post(path, b"Content-Length: -5"), 400),
            "a length with a sign": (_post(path, b"Content-Length: +5"), 400),
            "a length in hex": (_post(path, b"Content-Length: 0x10"), 400),
            "a length with an underscore": (_post(path, b"Content-Length: 1_0"), 400),
            "a length that is a word": (_post(path, b"Content-Length: zqzq"), 400),
            "a length of 30 digits": (_post(path, b"Content-Length: " + b"9" * 30), 400),
            "an empty length": (_post(path, b"Content-Length: "), 400),
            "chunked, not last": (_post(path, b"Transfer-Encoding: chunked, gzip"), 400),
            "an unknown transfer coding": (_post(path, b"Transfer-Encoding: zqzip"), 400),
            "xchunked": (_post(path, b"Transfer-Encoding: xchunked"), 400),
            "a bad chunk size": (_post(path, b"Transfer-Encoding: chunked", body=b"zq\r\nabc\r\n0\r\n\r\n"), 400),
            "a negative chunk": (_post(path, b"Transfer-Encoding: chunked", body=b"-5\r\nabcde\r\n0\r\n\r\n"), 400),
            "a huge chunk size": (_post(path, b"Transfer-Encoding: chunked", body=b"f" * 20 + b"\r\nabc"), 400),
            "a chunk that is longer":
                (_post(path, b"Transfer-Encoding: chunked", body=b"2\r\nabcdef\r\n0\r\n\r\n"), 400),
            "a space before the colon": (_post(path, b"Content-Length : 5"), 400),
            "a folded header": (_post(path, b"X-A: b\r\n zq: c", b"Content-Length: 0"), 400),
            "a header without colon": (_post(path, b"zqzqzq", b"Content-Length: 0"), 400),
            "an empty header name": (_post(path, b": zq", b"Content-Length: 0"), 400),
            "NUL in a header": (_post(path, b"X-A: zq\0zq", b"Content-Length: 0"), 400),
            "a bare line feed": (b"POST %s HTTP/1.1\nHost: x\nContent-Length: 0\n\n" % path, 400),
            "a carriage return in a header": (_post(path, b"X-A: zq\rX-B: c", b"Content-Length: 0"), 400),
            "HTTP/9.9": (_post(path, b"Content-Length: 0", first=b"POST %s HTTP/9.9" % path), 400),
            "no protocol": (_post(path, b"Content-Length: 0", first=b"POST %s ZQZQ/1.1" % path), 400),
            "a head of 20 kB": (_post(path, b"X-A: " + b"z" * 20_000, b"Content-Length: 0"), 431),
            "a head of 300 lines": (_post(path, *[b"X-A: " + b"z" * 100] * 300), 431),
            "a query of 20 kB":
                (_post(path, b"Content-Length: 0", first=b"POST %s?%s HTTP/1.1" % (path, b"z" * 20_000)), 431),
            "a header name of 20 kB": (_post(path, b"z" * 20_000 + b": a", b"Content-Length: 0"), 431),
        }  # fmt: skip
        for what, (raw, status) in heads.items():
            yield Case(f"{where}: {what}", raw, status, path=where)
    spaced = b"GET /ez?stat=a b HTTP/1.1\r\nHost: x\r\n\r\n"
    yield Case("no HTTP: a space in the target", spaced, path="/ez")
    others: dict[str, bytes] = {
        "an unknown method": b"ZQZQ /ez HTTP/1.1\r\nHost: x\r\n\r\n",
        "a lower-case method": b"post /ez HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        "no target": b"GET HTTP/1.1\r\nHost: x\r\n\r\n",
        "CONNECT": b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n",
        "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "TLS": bytes.fromhex("16030100c8010000c40303") + bytes(range(200)),
        "random bytes": bytes(range(128, 256)) + b"\r\n\r\n",
        "a line of text": b"hello zqzq\r\n\r\n",
        "SMTP": b"EHLO example.org\r\nMAIL FROM:<zqzq@example.org>\r\n\r\n",
        "JSON without a head": b'{"stat":"zqstat","count":1}\r\n\r\n',
    }
    for what, raw in others.items():
        yield Case(f"no HTTP: {what}", raw, 400)


CASES = list(cases())
