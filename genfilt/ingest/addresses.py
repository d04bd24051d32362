"""IP addresses of the open internet, as distinct from IANA's special-purpose ranges."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

NAT64 = IPv6Network("64:ff9b::/96")  # carries an IPv4 address in its last four bytes
GLOBAL_UNICAST = IPv6Network("2000::/3")  # all that is given out of IPv6; RFC 4291, section 2.4
# Parts of the global ranges that do not lead to a public host. The ipaddress module of a Python
# knows the registries as they were when it was released, so all are named here.
SPECIAL_IPV4 = (
    IPv4Network("192.0.0.0/24"),  # protocol assignments
    IPv4Network("192.88.99.0/24"),  # 6to4 relays, deprecated
)
SPECIAL_IPV6 = (
    IPv6Network("2001::/23"),  # protocol assignments: Teredo, ORCHID, benchmarking
    IPv6Network("2001:db8::/32"),  # documentation
    IPv6Network("2002::/16"),  # 6to4, carries any IPv4 address
    IPv6Network("3fff::/20"),  # documentation; RFC 9637
)


def is_public(address: str) -> bool:
    """Tell whether an IP address belongs to the open internet, also where it embeds an IPv4 one.

    Raises:
        ValueError: it is not an IP address.
    """
    found: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
    if isinstance(found, IPv4Address):
        special = any(found in network for network in SPECIAL_IPV4)
        return found.is_global and not found.is_multicast and not special
    if found in NAT64:
        return is_public(str(IPv4Address(int(found) & 0xFFFFFFFF)))
    if found.ipv4_mapped is not None:
        return is_public(str(found.ipv4_mapped))
    special = any(found in network for network in SPECIAL_IPV6)
    return found in GLOBAL_UNICAST and found.is_global and not special
