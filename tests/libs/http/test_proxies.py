"""Only trusted proxies say who the client is."""

import pytest

from libs.http.proxies import Proxies

TRUSTED = Proxies("10.0.0.0/8, 192.0.2.7, fd00::/8")


def forwarded(*values: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"x-forwarded-for", value) for value in values]


@pytest.mark.parametrize(
    ("peer", "values", "client"),
    [
        ("203.0.113.9", [b"198.51.100.1"], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", [b"198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", [b"1.2.3.4, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", [b"1.2.3.4, 198.51.100.1, 192.0.2.7"], "198.51.100.1"),
        ("10.0.0.1", [b"1.2.3.4", b"198.51.100.1, 10.3.3.3"], "198.51.100.1"),
        ("10.0.0.1", [b"198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", [b"[2001:db8::1]:4711"], "2001:db8::1"),
        ("fd00::1", [b"2001:db8::2"], "2001:db8::2"),
        ("::ffff:10.0.0.1", [b"198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", [b"198.51.100.1, nonsense"], "10.0.0.1"),
        ("", [b"198.51.100.1"], ""),
    ],
)
def test_the_client_is_the_first_from_the_right_that_is_no_proxy(peer: str, values: list[bytes], client: str) -> None:
    assert TRUSTED.client(peer, forwarded(*values)) == client


def test_https_is_believed_only_from_a_trusted_proxy() -> None:
    told = [(b"x-forwarded-proto", b"https")]
    assert TRUSTED.secure("10.0.0.1", told)
    assert not TRUSTED.secure("203.0.113.9", told)
    assert not TRUSTED.secure("10.0.0.1", [(b"x-forwarded-proto", b"https, http")])
    assert not TRUSTED.secure("10.0.0.1", [])


def test_a_network_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError):
        Proxies("10.0.0.0/8, gateway")
