"""Public IP addresses. The service sends webhooks only to these.

The networks are listed here because `ipaddress.is_global` differs between Python versions, and counts 6to4, multicast
and site-local addresses as global.

References:
    IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890).
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

_RESERVED_4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared with a provider
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local; clouds serve credentials there
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)

_GLOBAL_6 = IPv6Network(
    "2000::/3"
)  # all allocated unicast addresses; local, IPv4-mapped and multicast addresses are outside
_RESERVED_6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments, including Teredo
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: carries an IPv4 address
        "3fff::/20",  # documentation
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Return True if the address is reachable on the public internet.

    >>> is_public(IPv4Address("9.9.9.9")), is_public(IPv6Address("::ffff:9.9.9.9"))
    (True, False)
    """
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _RESERVED_4)
    if address.scope_id is not None:
        return False
    if address in _NAT64:  # NAT64 (RFC 6052): the low 32 bits are an IPv4 address
        return is_public(IPv4Address(int(address) & 0xFFFFFFFF))
    return address in _GLOBAL_6 and not any(address in network for network in _RESERVED_6)
