"""DHCP options (RFC 2132): their numbers, what values they take, and their layout in a message."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Final, TypeAlias

from testbed.errors import WireError
from testbed.wire.ranges import not_bytes

__all__ = [
    "DhcpCode",
    "DhcpOption",
    "DhcpRoute",
    "DhcpType",
    "lay_out",
    "option_size",
    "read_options",
]

DhcpRoute: TypeAlias = tuple[IPv4Network, IPv4Address]
"""A classless static route: where to, and by which router (RFC 3442)."""


class DhcpType:
    """Message types (RFC 2132 9.6)."""

    DISCOVER: Final = 1
    OFFER: Final = 2
    REQUEST: Final = 3
    DECLINE: Final = 4
    ACK: Final = 5
    NAK: Final = 6
    RELEASE: Final = 7
    INFORM: Final = 8


class DhcpCode:
    """Option codes (IANA, BOOTP Vendor Extensions and DHCP Options)."""

    PAD: Final = 0
    SUBNET_MASK: Final = 1
    ROUTERS: Final = 3
    DNS_SERVERS: Final = 6
    HOST_NAME: Final = 12
    DOMAIN_NAME: Final = 15
    IP_FORWARDING: Final = 19
    DEFAULT_TTL: Final = 23
    INTERFACE_MTU: Final = 26
    BROADCAST: Final = 28
    ROUTER_DISCOVERY: Final = 31
    STATIC_ROUTES: Final = 33
    ARP_TIMEOUT: Final = 35
    NTP_SERVERS: Final = 42
    VENDOR_SPECIFIC: Final = 43
    REQUESTED_ADDRESS: Final = 50
    LEASE_TIME: Final = 51
    OVERLOAD: Final = 52
    MESSAGE_TYPE: Final = 53
    SERVER_ID: Final = 54
    PARAMETERS: Final = 55
    MESSAGE: Final = 56
    MAX_SIZE: Final = 57
    RENEWAL_TIME: Final = 58
    REBINDING_TIME: Final = 59
    VENDOR_CLASS: Final = 60
    CLIENT_ID: Final = 61
    TFTP_SERVER: Final = 66
    BOOT_FILE: Final = 67
    RAPID_COMMIT: Final = 80
    RELAY_AGENT: Final = 82
    CLASSLESS_ROUTES: Final = 121
    END: Final = 255


_ADDRESS: Final = frozenset(
    {
        DhcpCode.SUBNET_MASK,
        DhcpCode.BROADCAST,
        DhcpCode.REQUESTED_ADDRESS,
        DhcpCode.SERVER_ID,
    }
)
_ADDRESSES: Final = frozenset(
    {
        DhcpCode.ROUTERS,
        DhcpCode.DNS_SERVERS,
        DhcpCode.STATIC_ROUTES,
        DhcpCode.NTP_SERVERS,
    }
)
_NUMBER: Final = {
    DhcpCode.IP_FORWARDING: 1,
    DhcpCode.DEFAULT_TTL: 1,
    DhcpCode.INTERFACE_MTU: 2,
    DhcpCode.ROUTER_DISCOVERY: 1,
    DhcpCode.ARP_TIMEOUT: 4,
    DhcpCode.LEASE_TIME: 4,
    DhcpCode.MESSAGE_TYPE: 1,
    DhcpCode.MAX_SIZE: 2,
    DhcpCode.RENEWAL_TIME: 4,
    DhcpCode.REBINDING_TIME: 4,
}
"""Codes whose value is a whole number, and its width in bytes."""
_TEXT: Final = frozenset(
    {
        DhcpCode.HOST_NAME,
        DhcpCode.DOMAIN_NAME,
        DhcpCode.MESSAGE,
        DhcpCode.VENDOR_CLASS,
        DhcpCode.TFTP_SERVER,
        DhcpCode.BOOT_FILE,
    }
)
_LAYOUT_ONLY: Final = frozenset({DhcpCode.PAD, DhcpCode.OVERLOAD, DhcpCode.END})
"""Codes that say how options are laid out and are none themselves."""


@dataclass(frozen=True, slots=True)
class DhcpOption:
    """An option: its code and its bytes, however long (RFC 3396 splits what exceeds 255).

    ``of`` makes one from a value of the kind that its code has, ``value`` gives that back.
    """

    code: int
    data: bytes = b""

    def __post_init__(self) -> None:
        if not 0 <= self.code <= 255 or self.code in _LAYOUT_ONLY:
            raise WireError(f"DHCP option: code {self.code} is no option, expected 1 to 254")
        if type(self.data) is not bytes:
            raise not_bytes("DHCP option", "data", self.data)

    @classmethod
    def of(cls, code: int, value: Any) -> DhcpOption:
        """The option with this value: an address, several, a number, text, routes, or bytes."""
        if isinstance(value, bytes):
            return cls(code, value)
        try:
            return cls(code, _encoded(code, value))
        except (TypeError, ValueError, OverflowError, AttributeError):
            raise WireError(f"DHCP option {code}: {value!r} is no value for it") from None

    @property
    def value(self) -> Any:
        """The value of the kind that the code has; None where the bytes are none.

        Bytes for codes that have no kind.
        """
        code, data = self.code, self.data
        if code in _ADDRESS:
            return IPv4Address(data) if len(data) == 4 else None
        if code in _ADDRESSES:
            return _addresses(data)
        if code in _NUMBER:
            return int.from_bytes(data, "big") if len(data) == _NUMBER[code] else None
        if code in _TEXT:
            # Trailing NULs of NVT ASCII strings are to be put up with (RFC 2132 2).
            return data.rstrip(b"\0").decode("latin-1")
        if code == DhcpCode.CLASSLESS_ROUTES:
            return _routes(data)
        return data


def _encoded(code: int, value: Any) -> bytes:
    if code in _ADDRESS:
        return IPv4Address(value).packed
    if code in _ADDRESSES:
        return b"".join(IPv4Address(each).packed for each in value)
    if code in _NUMBER:
        return int(value).to_bytes(_NUMBER[code], "big")
    if code in _TEXT:
        return bytes(value.encode("latin-1"))
    if code == DhcpCode.CLASSLESS_ROUTES:
        return b"".join(_route(network, router) for network, router in value)
    return bytes(tuple(value))


def _addresses(data: bytes) -> tuple[IPv4Address, ...] | None:
    if not data or len(data) % 4:
        return None
    return tuple(IPv4Address(data[at : at + 4]) for at in range(0, len(data), 4))


def _route(network: IPv4Network, router: IPv4Address) -> bytes:
    """Width of the mask, as many bytes of the network as it covers, router (RFC 3442)."""
    significant = (network.prefixlen + 7) // 8
    head = bytes((network.prefixlen,)) + network.network_address.packed[:significant]
    return head + router.packed


def _routes(data: bytes) -> tuple[DhcpRoute, ...] | None:
    routes, at = [], 0
    while at < len(data):
        width = data[at]
        end = at + 1 + (width + 7) // 8
        if width > 32 or end + 4 > len(data):
            return None
        start = data[at + 1 : end].ljust(4, b"\0")
        # Bits beyond the mask are taken for zeros (RFC 3442).
        network = IPv4Network((IPv4Address(start), width), strict=False)
        routes.append((network, IPv4Address(data[end : end + 4])))
        at = end + 4
    return tuple(routes) if routes else None


def option_size(option: DhcpOption) -> int:
    """Bytes that ``option`` takes in a message, split where it must be."""
    pieces = max(1, -(-len(option.data) // 255))
    return len(option.data) + 2 * pieces


def lay_out(options: Iterable[DhcpOption]) -> bytes:
    """The bytes of ``options``, without an end."""
    out = b""
    for option in options:
        for at in range(0, len(option.data) or 1, 255):
            piece = option.data[at : at + 255]
            out += bytes((option.code, len(piece))) + piece
    return out


def read_options(data: bytes, at: int, found: dict[int, bytes]) -> None:
    """Gather the options of one field into ``found``; ``at`` is where it is in the message.

    The pieces of an option that comes more than once are joined (RFC 3396 7). The field ends at
    its end option, or with its last byte where somebody left that out. WireError for an option that
    reaches beyond the field.
    """
    here = 0
    while here < len(data):
        code = data[here]
        if code == DhcpCode.END:
            return
        if code == DhcpCode.PAD:
            here += 1
            continue
        if here + 2 > len(data):
            raise WireError(f"DHCP option {code} without a length", at + here)
        end = here + 2 + data[here + 1]
        if end > len(data):
            length, left = data[here + 1], len(data) - here - 2
            raise WireError(f"DHCP option {code} of {length} bytes, {left} left", at + here + 1)
        found[code] = found.get(code, b"") + data[here + 2 : end]
        here = end
