"""ICMP messages (RFC 792), with the next-hop MTU of RFC 1191.

Each message has ``type`` and ``code``, as class constants where the kind of message fixes them, so
that a matcher can ask any of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import ClassVar, Final, TypeAlias

from testbed.errors import WireError
from testbed.wire.addresses import ipv4_from_int
from testbed.wire.checksum import checksum_ok
from testbed.wire.icmp_info import (
    MaskReply,
    MaskRequest,
    RouterAdvertisement,
    RouterSolicitation,
    TimestampReply,
    TimestampRequest,
    mask_fields,
    router_fields,
    timestamp_fields,
)
from testbed.wire.icmp_message import ICMP_HEADER, IcmpMessage, IcmpType
from testbed.wire.ranges import not_bytes, out_of_range

__all__ = [
    "DestinationUnreachable",
    "EchoReply",
    "EchoRequest",
    "IcmpType",
    "IcmpUnknown",
    "Icmpv4",
    "ParameterProblem",
    "Redirect",
    "RedirectCode",
    "SourceQuench",
    "TimeExceeded",
    "TimeExceededCode",
    "UnreachableCode",
    "parse_icmpv4",
]


class UnreachableCode:
    """Codes of destination unreachable (RFC 792; from 9 on RFC 1812 5.2.7.1)."""

    NET: Final = 0
    HOST: Final = 1
    PROTOCOL: Final = 2
    PORT: Final = 3
    FRAGMENTATION_NEEDED: Final = 4
    SOURCE_ROUTE_FAILED: Final = 5
    NET_PROHIBITED: Final = 9
    HOST_PROHIBITED: Final = 10
    ADMIN_PROHIBITED: Final = 13


class TimeExceededCode:
    """Codes of time exceeded."""

    TTL: Final = 0
    REASSEMBLY: Final = 1


class RedirectCode:
    """Codes of redirect: what is to go another way."""

    NET: Final = 0
    HOST: Final = 1
    TOS_NET: Final = 2
    TOS_HOST: Final = 3


@dataclass(frozen=True, slots=True)
class _Echo(IcmpMessage):
    ident: int
    sequence: int
    data: bytes = b""

    def __post_init__(self) -> None:
        if (self.ident | self.sequence) >> 16:
            raise out_of_range("ICMP echo", ident=(self.ident, 16), sequence=(self.sequence, 16))
        if type(self.data) is not bytes:
            raise not_bytes("ICMP echo", "data", self.data)


@dataclass(frozen=True, slots=True)
class EchoRequest(_Echo):
    """Echo: whoever has the address sends ``data`` back."""

    type: ClassVar[int] = IcmpType.ECHO_REQUEST
    code: ClassVar[int] = 0

    def _parts(self) -> tuple[int, int, int, bytes]:
        return 8, 0, self.ident << 16 | self.sequence, self.data


@dataclass(frozen=True, slots=True)
class EchoReply(_Echo):
    """The answer to an echo, with its identifier, sequence number and data."""

    type: ClassVar[int] = IcmpType.ECHO_REPLY
    code: ClassVar[int] = 0

    def _parts(self) -> tuple[int, int, int, bytes]:
        return 0, 0, self.ident << 16 | self.sequence, self.data


@dataclass(frozen=True, slots=True)
class DestinationUnreachable(IcmpMessage):
    """A packet could not be delivered; ``quoted`` is its header and the first of its payload.

    ``next_hop_mtu`` has a meaning with code 4, fragmentation needed (RFC 1191 4), and is zero from
    routers that do not know of it.
    """

    code: int
    quoted: bytes = b""
    next_hop_mtu: int = 0
    type: ClassVar[int] = IcmpType.DESTINATION_UNREACHABLE

    def __post_init__(self) -> None:
        if self.code >> 8 or self.next_hop_mtu >> 16:
            raise out_of_range(
                "ICMP unreachable", code=(self.code, 8), next_hop_mtu=(self.next_hop_mtu, 16)
            )
        if type(self.quoted) is not bytes:
            raise not_bytes("ICMP unreachable", "quoted", self.quoted)

    def _parts(self) -> tuple[int, int, int, bytes]:
        return 3, self.code, self.next_hop_mtu, self.quoted


@dataclass(frozen=True, slots=True)
class TimeExceeded(IcmpMessage):
    """A packet's TTL ran out on its way (code 0), or the wait for its fragments (code 1)."""

    code: int = TimeExceededCode.TTL
    quoted: bytes = b""
    type: ClassVar[int] = IcmpType.TIME_EXCEEDED

    def __post_init__(self) -> None:
        if self.code >> 8:
            raise out_of_range("ICMP time exceeded", code=(self.code, 8))
        if type(self.quoted) is not bytes:
            raise not_bytes("ICMP time exceeded", "quoted", self.quoted)

    def _parts(self) -> tuple[int, int, int, bytes]:
        return 11, self.code, 0, self.quoted


@dataclass(frozen=True, slots=True)
class SourceQuench(IcmpMessage):
    """A request to send more slowly, which nobody is to send or to obey any more (RFC 6633)."""

    quoted: bytes = b""
    code: int = 0
    type: ClassVar[int] = IcmpType.SOURCE_QUENCH

    def __post_init__(self) -> None:
        if self.code >> 8:
            raise out_of_range("ICMP source quench", code=(self.code, 8))
        if type(self.quoted) is not bytes:
            raise not_bytes("ICMP source quench", "quoted", self.quoted)

    def _parts(self) -> tuple[int, int, int, bytes]:
        return 4, self.code, 0, self.quoted


@dataclass(frozen=True, slots=True)
class Redirect(IcmpMessage):
    """Packets like the quoted one had better go to ``gateway``."""

    code: int
    gateway: IPv4Address
    quoted: bytes = b""
    type: ClassVar[int] = IcmpType.REDIRECT

    def __post_init__(self) -> None:
        if self.code >> 8:
            raise out_of_range("ICMP redirect", code=(self.code, 8))
        if type(self.gateway) is not IPv4Address:
            raise WireError("ICMP redirect: gateway must be an IPv4Address value")
        if type(self.quoted) is not bytes:
            raise not_bytes("ICMP redirect", "quoted", self.quoted)

    def _parts(self) -> tuple[int, int, int, bytes]:
        return 5, self.code, int(self.gateway), self.quoted


@dataclass(frozen=True, slots=True)
class ParameterProblem(IcmpMessage):
    """A packet's header is wrong at byte ``pointer``; code 1 is a missing option (RFC 1108)."""

    pointer: int
    quoted: bytes = b""
    code: int = 0
    type: ClassVar[int] = IcmpType.PARAMETER_PROBLEM

    def __post_init__(self) -> None:
        if (self.pointer | self.code) >> 8:
            raise out_of_range(
                "ICMP parameter problem", pointer=(self.pointer, 8), code=(self.code, 8)
            )
        if type(self.quoted) is not bytes:
            raise not_bytes("ICMP parameter problem", "quoted", self.quoted)

    def _parts(self) -> tuple[int, int, int, bytes]:
        return 12, self.code, self.pointer << 24, self.quoted


@dataclass(frozen=True, slots=True)
class IcmpUnknown(IcmpMessage):
    """A message of any other type: ``word`` is the header's second word, ``data`` what follows.

    A query or its answer whose code is not 0 is of no known kind either.
    """

    type: int
    code: int = 0
    word: int = 0
    data: bytes = b""

    def __post_init__(self) -> None:
        if (self.type | self.code) >> 8 or self.word >> 32:
            raise out_of_range(
                "ICMP message", type=(self.type, 8), code=(self.code, 8), word=(self.word, 32)
            )
        if type(self.data) is not bytes:
            raise not_bytes("ICMP message", "data", self.data)
        if _reader(self.type, self.code):
            raise WireError(f"ICMP type {self.type} code {self.code} has a class of its own")

    def _parts(self) -> tuple[int, int, int, bytes]:
        return self.type, self.code, self.word, self.data


Icmpv4: TypeAlias = (
    EchoRequest
    | EchoReply
    | DestinationUnreachable
    | TimeExceeded
    | SourceQuench
    | Redirect
    | ParameterProblem
    | RouterAdvertisement
    | RouterSolicitation
    | TimestampRequest
    | TimestampReply
    | MaskRequest
    | MaskReply
    | IcmpUnknown
)
"""Any ICMP message; fit for ``isinstance`` too."""

_Reader: TypeAlias = Callable[[int, int, bytes], Icmpv4]

_READERS: Final[dict[int, _Reader]] = {
    IcmpType.ECHO_REPLY: lambda _, word, body: EchoReply(word >> 16, word & 0xFFFF, body),
    IcmpType.ECHO_REQUEST: lambda _, word, body: EchoRequest(word >> 16, word & 0xFFFF, body),
    # The upper half of the word is unused but for RFC 4884's length, which no quotation needs.
    IcmpType.DESTINATION_UNREACHABLE: lambda code, word, body: DestinationUnreachable(
        code, body, word & 0xFFFF
    ),
    IcmpType.TIME_EXCEEDED: lambda code, _, body: TimeExceeded(code, body),
    IcmpType.REDIRECT: lambda code, word, body: Redirect(code, ipv4_from_int(word), body),
    IcmpType.PARAMETER_PROBLEM: lambda code, word, body: ParameterProblem(word >> 24, body, code),
    IcmpType.SOURCE_QUENCH: lambda code, _, body: SourceQuench(body, code),
    IcmpType.ROUTER_ADVERTISEMENT: lambda _, word, body: RouterAdvertisement(
        *router_fields(word, body)
    ),
    IcmpType.ROUTER_SOLICITATION: lambda _, __, ___: RouterSolicitation(),
    IcmpType.TIMESTAMP: lambda _, word, body: TimestampRequest(*timestamp_fields(word, body)),
    IcmpType.TIMESTAMP_REPLY: lambda _, word, body: TimestampReply(*timestamp_fields(word, body)),
    IcmpType.MASK_REQUEST: lambda _, word, body: MaskRequest(*mask_fields(word, body)),
    IcmpType.MASK_REPLY: lambda _, word, body: MaskReply(*mask_fields(word, body)),
}

_CODELESS: Final = frozenset({0, 8, 9, 10, 13, 14, 17, 18})
"""Types whose code is always 0; with another code a message is of a kind unknown here."""


def _reader(kind: int, code: int) -> _Reader | None:
    """What reads messages of this type and code, None if IcmpUnknown is to hold them."""
    if code and kind in _CODELESS:
        return None
    return _READERS.get(kind)


def parse_icmpv4(data: bytes, *, verify: bool = True) -> Icmpv4:
    """The message that ``data`` is, to its end.

    ``verify`` refuses a wrong checksum. Raises WireError where it is cut short, and for a router
    advertisement that RFC 1256 5.2 has hosts discard.
    """
    if len(data) < 8:
        raise WireError(f"an ICMP header has 8 bytes, {len(data)} came", len(data))
    kind, code, _, word = ICMP_HEADER.unpack_from(data)
    if verify and not checksum_ok(data):
        raise WireError("ICMP checksum is wrong", 2)
    reader = _reader(kind, code)
    return reader(code, word, data[8:]) if reader else IcmpUnknown(kind, code, word, data[8:])
