"""What the standard library's ipaddress leaves out: classes, masks, host counts, group MACs."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Literal, TypeAlias

from testbed.errors import WireError
from testbed.wire.addresses import MacAddr

__all__ = [
    "AddressClass",
    "class_network",
    "class_of",
    "directed_broadcast",
    "host_count",
    "host_range",
    "mask_of",
    "multicast_mac",
    "prefix_of",
]

AddressClass: TypeAlias = Literal["A", "B", "C", "D", "E"]

_CLASS_BITS = {"A": 8, "B": 16, "C": 24}


def class_of(ip: IPv4Address) -> AddressClass:
    """The class that the leading bits of an address tell (RFC 791 3.2, RFC 1112 4)."""
    first = int(ip) >> 24
    if first < 128:
        return "A"
    if first < 192:
        return "B"
    if first < 224:
        return "C"
    return "D" if first < 240 else "E"


def class_network(ip: IPv4Address) -> IPv4Network:
    """The network of an address of class A, B or C, by its class; WireError for other classes."""
    kind = class_of(ip)
    if kind not in _CLASS_BITS:
        raise WireError(f"{ip} is of class {kind}, which has no networks")
    return IPv4Network((ip, _CLASS_BITS[kind]), strict=False)


def directed_broadcast(where: IPv4Interface | IPv4Network) -> IPv4Address:
    """The address of all hosts of a network, given by itself or by an interface in it.

    WireError for prefixes of 31 and 32 bits, which have none (RFC 3021 2.1).
    """
    network = where.network if isinstance(where, IPv4Interface) else where
    if network.prefixlen > 30:
        raise WireError(f"{network} has no directed broadcast: its prefix is longer than 30 bits")
    return network.broadcast_address


def mask_of(prefix: int) -> IPv4Address:
    """The subnet mask with ``prefix`` leading ones; WireError unless that is 0 to 32."""
    if not 0 <= prefix <= 32:
        raise WireError(f"a prefix of {prefix} bits, expected 0 to 32")
    return IPv4Address(0xFFFFFFFF << (32 - prefix) & 0xFFFFFFFF)


def prefix_of(mask: IPv4Address) -> int:
    """How many leading ones a subnet mask has.

    WireError where a zero stands before a one: RFC 950 allowed such masks, RFC 1812 2.2.5.2 and
    CIDR (RFC 4632 5.1) do not.
    """
    zeros = int(mask) ^ 0xFFFFFFFF
    if zeros & (zeros + 1):
        raise WireError(f"{mask} is no subnet mask: its ones are not contiguous")
    return 32 - zeros.bit_length()


def host_count(network: IPv4Network) -> int:
    """How many hosts can have an address in a network.

    All addresses but the network's own and its broadcast; both of a prefix of 31 bits, which has
    neither (RFC 3021 2.1); the one of a prefix of 32.
    """
    total = network.num_addresses
    return total if network.prefixlen > 30 else total - 2


def host_range(network: IPv4Network) -> tuple[IPv4Address, IPv4Address]:
    """The first and the last address that a host of a network can have."""
    first, last = network.network_address, network.broadcast_address
    return (first, last) if network.prefixlen > 30 else (first + 1, last - 1)


def multicast_mac(ip: IPv4Address) -> MacAddr:
    """The MAC address that frames to a group go to: 01:00:5e and 23 bits (RFC 1112 6.4).

    32 groups share each. WireError for an address that is no group.
    """
    if not ip.is_multicast:
        raise WireError(f"{ip} is no multicast address, expected 224.0.0.0 to 239.255.255.255")
    return MacAddr(b"\x01\x00\x5e" + (int(ip) & 0x7FFFFF).to_bytes(3, "big"))
