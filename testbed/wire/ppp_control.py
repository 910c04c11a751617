"""Packets of PPP's control protocols (RFC 1661 5): LCP's, and of the same form, IPCP's.

One form serves all of them: code, identifier, length, data. What the data is depends on the code:
configuration options, or a magic number, or a packet that was refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from testbed.errors import WireError
from testbed.wire.ranges import not_bytes, out_of_range

__all__ = [
    "CODE_NAMES",
    "ControlCode",
    "ControlPacket",
    "IpcpOption",
    "LcpOption",
    "PppOption",
    "emit_ppp_options",
    "parse_ppp_options",
]


class ControlCode:
    """What a control packet is (RFC 1661 5); IPCP uses the first seven (RFC 1332 2)."""

    CONFIGURE_REQUEST: Final = 1
    CONFIGURE_ACK: Final = 2
    CONFIGURE_NAK: Final = 3
    CONFIGURE_REJECT: Final = 4
    TERMINATE_REQUEST: Final = 5
    TERMINATE_ACK: Final = 6
    CODE_REJECT: Final = 7
    PROTOCOL_REJECT: Final = 8
    ECHO_REQUEST: Final = 9
    ECHO_REPLY: Final = 10
    DISCARD_REQUEST: Final = 11


CODE_NAMES: Final = (
    "code 0",
    "Configure-Request",
    "Configure-Ack",
    "Configure-Nak",
    "Configure-Reject",
    "Terminate-Request",
    "Terminate-Ack",
    "Code-Reject",
    "Protocol-Reject",
    "Echo-Request",
    "Echo-Reply",
    "Discard-Request",
)
"""What RFC 1661 calls each code."""


class LcpOption:
    """Types of LCP's options (RFC 1661 6, RFC 1662 7)."""

    MRU: Final = 1
    ACCM: Final = 2
    AUTHENTICATION: Final = 3
    QUALITY: Final = 4
    MAGIC: Final = 5
    PFC: Final = 7
    ACFC: Final = 8
    FCS_ALTERNATIVES: Final = 9


class IpcpOption:
    """Types of IPCP's options (RFC 1332 3, RFC 1877 1)."""

    ADDRESSES: Final = 1
    COMPRESSION: Final = 2
    ADDRESS: Final = 3
    PRIMARY_DNS: Final = 129
    SECONDARY_DNS: Final = 131


@dataclass(frozen=True, slots=True)
class PppOption:
    """A configuration option: its type and its data, raw, for only its protocol knows it."""

    kind: int
    data: bytes = b""

    def __post_init__(self) -> None:
        if self.kind >> 8:
            raise out_of_range("PPP option", kind=(self.kind, 8))
        if type(self.data) is not bytes:
            raise not_bytes("PPP option", "data", self.data)
        if len(self.data) > 253:
            raise WireError(f"PPP option: {len(self.data)} bytes of data, expected at most 253")

    @classmethod
    def number(cls, kind: int, value: int, size: int) -> PppOption:
        """An option whose data is a number of ``size`` bytes: an MRU, a magic number."""
        if value >> (8 * size):
            raise out_of_range("PPP option", value=(value, 8 * size))
        return cls(kind, value.to_bytes(size, "big"))

    @classmethod
    def address(cls, kind: int, ip: IPv4Address) -> PppOption:
        """An option whose data is an IPv4 address."""
        return cls(kind, ip.packed)

    @property
    def value(self) -> int:
        """The data as a number."""
        return int.from_bytes(self.data, "big")

    def emit(self) -> bytes:
        """The option's bytes."""
        return bytes((self.kind, 2 + len(self.data))) + self.data


def emit_ppp_options(options: Iterable[PppOption]) -> bytes:
    """The bytes of ``options``, one after the other; PPP has no padding between them."""
    return b"".join([option.emit() for option in options])


def parse_ppp_options(data: bytes) -> tuple[PppOption, ...]:
    """The options that ``data`` is, to its end; WireError where a length is impossible."""
    options: list[PppOption] = []
    at = 0
    while at < len(data):
        if at + 1 >= len(data):
            raise WireError(f"PPP option {data[at]} ends before its length", at)
        length = data[at + 1]
        if length < 2 or at + length > len(data):
            raise WireError(
                f"PPP option {data[at]} of length {length}, expected 2 to {len(data) - at}", at + 1
            )
        options.append(PppOption(data[at], data[at + 2 : at + length]))
        at += length
    return tuple(options)


@dataclass(frozen=True, slots=True)
class ControlPacket:
    """A packet of LCP, IPCP, PAP or CHAP. ``ident`` matches replies to requests."""

    code: int
    ident: int = 0
    data: bytes = b""

    def __post_init__(self) -> None:
        if (self.code | self.ident) >> 8:
            raise out_of_range("PPP control packet", code=(self.code, 8), ident=(self.ident, 8))
        if type(self.data) is not bytes:
            raise not_bytes("PPP control packet", "data", self.data)
        if len(self.data) > 65531:
            size = len(self.data)
            raise WireError(f"PPP control packet: {size} bytes of data, expected at most 65531")

    @classmethod
    def configure(cls, code: int, ident: int, options: Iterable[PppOption]) -> ControlPacket:
        """A packet that carries ``options``: a Configure-Request, -Ack, -Nak or -Reject."""
        return cls(code, ident, emit_ppp_options(options))

    @classmethod
    def echo(cls, code: int, ident: int, magic: int, data: bytes = b"") -> ControlPacket:
        """An Echo-Request, Echo-Reply or Discard-Request (RFC 1661 5.8, 5.9)."""
        if magic >> 32:
            raise out_of_range("PPP control packet", magic=(magic, 32))
        return cls(code, ident, magic.to_bytes(4, "big") + data)

    @classmethod
    def protocol_reject(cls, ident: int, protocol: int, refused: bytes) -> ControlPacket:
        """A Protocol-Reject with the information of the frame that it refuses (RFC 1661 5.7)."""
        return cls(ControlCode.PROTOCOL_REJECT, ident, protocol.to_bytes(2, "big") + refused)

    @property
    def options(self) -> tuple[PppOption, ...]:
        """The options in the data; WireError where they are none. Offsets count from the data."""
        return parse_ppp_options(self.data)

    @property
    def magic(self) -> int:
        """The magic number that the data starts with; WireError where it is too short."""
        if len(self.data) < 4:
            raise WireError(f"a magic number has 4 bytes, {len(self.data)} came", len(self.data))
        return int.from_bytes(self.data[:4], "big")

    def emit(self) -> bytes:
        """The packet's bytes."""
        return bytes((self.code, self.ident)) + (4 + len(self.data)).to_bytes(2, "big") + self.data

    @staticmethod
    def parse(data: bytes) -> ControlPacket:
        """The packet at the start of ``data``; what follows its length is padding (RFC 1661 5).

        Raises WireError where it is cut short or its length impossible.
        """
        if len(data) < 4:
            raise WireError(
                f"a PPP control packet has 4 bytes or more, {len(data)} came", len(data)
            )
        length = int.from_bytes(data[2:4], "big")
        if not 4 <= length <= len(data):
            raise WireError(f"PPP control packet length {length}, expected 4 to {len(data)}", 2)
        return ControlPacket(data[0], data[1], data[4:length])
