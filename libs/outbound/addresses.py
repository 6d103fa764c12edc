"""Which addresses may be dialled for somebody who only gave us a URL.

The text of a URL says nothing: `2130706433`, `127.1` and circled digits are all 127.0.0.1 to the resolver. So addresses
are checked after they were resolved, and the checked address is the one that is dialled.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# What Python 3.11 takes for global, and is not, or leads to something that is not.
_NEVER = tuple(
    ip_network(text)
    for text in (
        "64:ff9b:1::/48", "2001::/23", "fec0::/10", "192.88.99.0/24", "192.0.0.0/24", "5f00::/16", "100.64.0.0/10"
    )
)  # fmt: skip
_NAT64 = ip_network("64:ff9b::/96")
_COMPATIBLE = ip_network("::/96")


def is_public(address: str, allowed: Iterable[Network] = ()) -> bool:
    """Whether an address is on the public internet, or in one of the networks that the operator allows."""
    ip = unmapped(ip_address(address.partition("%")[0]))
    if any(ip in network for network in allowed):
        return True
    return (
        ip.is_global
        and not ip.is_multicast
        and not ip.is_reserved
        and not any(ip in network for network in _NEVER if ip.version == network.version)
    )


def unmapped(ip: Address) -> Address:
    """The IPv4 address inside a mapped, 6to4, NAT64 or compatible one: that is where packets to it end up."""
    if isinstance(ip, IPv4Address):
        return ip
    if inside := ip.ipv4_mapped or ip.sixtofour:
        return inside
    if ip in _NAT64 or ip in _COMPATIBLE:
        return IPv4Address(int(ip) & 0xFFFF_FFFF)
    return ip


def networks(text: str) -> tuple[Network, ...]:
    """Comma-separated networks. Raises `ValueError` for one that is none."""
    return tuple(ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())
