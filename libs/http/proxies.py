"""Whose word counts about where a request comes from."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

Headers = Iterable[tuple[bytes, bytes]]


class Proxies:
    """The trusted proxies: only they may say who the client is and whether it came by HTTPS.

    `networks` is a comma-separated list of addresses and networks; raises `ValueError` for one that is neither.
    """

    def __init__(self, networks: str = "") -> None:
        self.networks: list[IPv4Network | IPv6Network] = [
            ip_network(text.strip(), strict=False) for text in networks.split(",") if text.strip()
        ]
        self.trusts = lru_cache(4096)(self._trusts)

    def _trusts(self, address: str) -> bool:
        if not self.networks:
            return False
        try:
            ip = ip_address(address)
        except ValueError:
            return False
        mapped = getattr(ip, "ipv4_mapped", None)
        return any((mapped or ip) in network for network in self.networks)

    def client(self, peer: str, headers: Headers) -> str:
        """The client's address: the first from the right of `X-Forwarded-For` that is no trusted proxy.

        What stands further left was sent by the client itself and could say anything.
        """
        if not self.trusts(peer):
            return peer
        for hop in reversed(_list(headers, b"x-forwarded-for")):
            address = _without_port(hop)
            if address is None:
                return peer
            if not self.trusts(address):
                return address
            peer = address
        return peer

    def secure(self, peer: str, headers: Headers) -> bool:
        """Did the client speak HTTPS to the outermost trusted proxy?"""
        if not self.trusts(peer):
            return False
        told = _list(headers, b"x-forwarded-proto")
        return bool(told) and told[-1].lower() == "https"


def _list(headers: Headers, name: bytes) -> list[str]:
    joined = b",".join(value for key, value in headers if key == name)
    return [part.strip() for part in joined.decode("latin-1").split(",") if part.strip()]


def _without_port(hop: str) -> str | None:
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        hop = hop.partition(":")[0]
    try:
        return str(ip_address(hop))
    except ValueError:
        return None
