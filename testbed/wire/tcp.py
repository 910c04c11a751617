"""TCP segments (RFC 9293 3.1)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntFlag
from ipaddress import IPv4Address
from struct import Struct
from typing import Final, TypeVar

from testbed.errors import WireError
from testbed.wire.checksum import checksum_ok, fold, ones_sum, pseudo_header_sum
from testbed.wire.ipv4 import IpProtocol
from testbed.wire.ranges import not_bytes, out_of_range
from testbed.wire.tcp_options import (
    MAX_OPTIONS,
    TcpOption,
    emit_options,
    options_size,
    parse_options,
    timestamps_at,
)
from testbed.wire.trusted import quickly_made, trusted

__all__ = ["TcpFlags", "TcpSegment"]

_HEADER = Struct("!HHIIHHHH")

Option = TypeVar("Option", bound=TcpOption)


class TcpFlags(IntFlag):
    """Control bits; ECE and CWR are RFC 3168's, AE is RFC 9768's (once NS)."""

    FIN = 0x001
    SYN = 0x002
    RST = 0x004
    PSH = 0x008
    ACK = 0x010
    URG = 0x020
    ECE = 0x040
    CWR = 0x080
    AE = 0x100


# Making an IntFlag from a number costs as much as parsing the rest of the header.
_FLAGS: Final = tuple(TcpFlags(bits) for bits in range(512))
_NO_FLAGS: Final = _FLAGS[0]


@quickly_made
@dataclass(frozen=True, slots=True)
class TcpSegment:
    """A TCP segment. It knows no addresses: they are the IP packet's, and its checksum's.

    ``ack`` and ``urgent`` hold what the header holds, whether or not ACK and URG give them a
    meaning; ``window`` is as sent, unscaled. ``reserved`` are the three bits after the data offset.
    """

    src_port: int
    dst_port: int
    seq: int = 0
    ack: int = 0
    flags: TcpFlags = _NO_FLAGS
    window: int = 65535
    urgent: int = 0
    options: tuple[TcpOption, ...] = ()
    payload: bytes = b""
    reserved: int = 0

    def __post_init__(self) -> None:
        if (
            (self.src_port | self.dst_port | self.window | self.urgent) >> 16
            or (self.seq | self.ack) >> 32
            or self.reserved >> 3
        ):
            raise self._misfit()
        if type(self.flags) is not TcpFlags or not 0 <= self.flags <= 0x1FF:
            raise WireError("TCP segment: flags must be TcpFlags, of the nine bits that it names")
        if type(self.payload) is not bytes:
            raise not_bytes("TCP segment", "payload", self.payload)
        # One option alone always fits.
        if len(self.options) > 1 and options_size(self.options) > MAX_OPTIONS:
            size = options_size(self.options)
            raise WireError(f"TCP segment: {size} bytes of options, expected at most {MAX_OPTIONS}")

    def _misfit(self) -> WireError:
        return out_of_range(
            "TCP segment",
            src_port=(self.src_port, 16),
            dst_port=(self.dst_port, 16),
            seq=(self.seq, 32),
            ack=(self.ack, 32),
            window=(self.window, 16),
            urgent=(self.urgent, 16),
            reserved=(self.reserved, 3),
        )

    @property
    def span(self) -> int:
        """Sequence numbers that the segment takes: its payload, and one each for SYN and FIN."""
        bits = int(self.flags)
        return len(self.payload) + (bits & 1) + (bits >> 1 & 1)

    def option(self, kind: type[Option]) -> Option | None:
        """The first option of the class ``kind``, or None."""
        return next((option for option in self.options if isinstance(option, kind)), None)

    def emit(
        self, src_ip: IPv4Address, dst_ip: IPv4Address, *, checksum: int | None = None
    ) -> bytes:
        """The segment's bytes between two addresses; ``checksum`` replaces the right one."""
        rest = emit_options(self.options) if self.options else b""
        # Adding, not or-ing: IntFlag makes a slow business of its bit operators.
        control = (0x5000 + (len(rest) << 10) | self.reserved << 9) + self.flags
        rest += self.payload
        src_port, dst_port, seq, ack = self.src_port, self.dst_port, self.seq, self.ack
        window, urgent = self.window, self.urgent
        if checksum is None:
            words = pseudo_header_sum(src_ip, dst_ip, IpProtocol.TCP, 20 + len(rest))
            words += src_port + dst_port + seq + ack + control + window + urgent + ones_sum(rest)
            checksum = fold(words)
        elif checksum >> 16:
            raise out_of_range("TCP segment", checksum=(checksum, 16))
        head = _HEADER.pack(src_port, dst_port, seq, ack, control, window, checksum, urgent)
        return head + rest

    @staticmethod
    def parse(
        data: bytes, src_ip: IPv4Address, dst_ip: IPv4Address, *, verify: bool = True
    ) -> TcpSegment:
        """The segment that ``data`` is, to its end, sent from ``src_ip`` to ``dst_ip``.

        ``verify`` refuses a wrong checksum. Raises WireError where the header is cut short, its
        length impossible, or an option runs out of it.
        """
        if len(data) < 20:
            raise WireError(f"a TCP header has 20 bytes or more, {len(data)} came", len(data))
        src_port, dst_port, seq, ack, control, window, _, urgent = _HEADER.unpack_from(data)
        length = control >> 12 << 2
        if not 20 <= length <= len(data):
            raise WireError(f"TCP header length {length}, expected 20 to {min(60, len(data))}", 12)
        if verify:
            covered = pseudo_header_sum(src_ip, dst_ip, IpProtocol.TCP, len(data))
            if not checksum_ok(data, covered):
                raise WireError("TCP checksum is wrong", 16)
        options: tuple[TcpOption, ...] = ()
        if length > 20:
            options = (timestamps_at(data, 20) if length == 32 else None) or _options(data, length)
        return _trusted(
            src_port,
            dst_port,
            seq,
            ack,
            _FLAGS[control & 0x1FF],
            window,
            urgent,
            options,
            data[length:],
            control >> 9 & 7,
        )


_trusted = trusted(TcpSegment)


def _options(data: bytes, length: int) -> tuple[TcpOption, ...]:
    """The options in a header of ``length``; their errors count from the segment's start."""
    try:
        return parse_options(data[20:length])
    except WireError as error:
        raise WireError(error.reason, 20 + (error.offset or 0)) from None
