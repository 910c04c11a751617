"""Faults of the datagrams that a stack sends: their identifications and their sizes."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Final

from testbed.stack.identification import Identifications
from testbed.stack.refusals import Refused
from testbed.stack.udp import UdpLayer
from testbed.stack.udp_socket import Endpoint, UdpSocket
from testbed.stack.variants import Defect
from testbed.timing import Instant

__all__ = [
    "CONSTANT_ID",
    "EIGHT_BIT_ID",
    "RANDOM_ID",
    "SENDS_9216",
    "WRAPS",
]

_LARGEST: Final = 65535
_HEADERS: Final = 28


class _Constant(Identifications):
    __slots__ = ()

    def next(self, src: IPv4Address, dst: IPv4Address, protocol: int) -> int:  # noqa: ARG002
        """Always the same."""
        return 0


class _Random(Identifications):
    __slots__ = ()

    def next(self, src: IPv4Address, dst: IPv4Address, protocol: int) -> int:  # noqa: ARG002
        """Any."""
        return self._entropy.below(1 << 16)


class _EightBits(Identifications):
    __slots__ = ()

    def next(self, src: IPv4Address, dst: IPv4Address, protocol: int) -> int:
        """What a byte can count."""
        return super().next(src, dst, protocol) & 0xFF


class _Wraps(UdpLayer):
    __slots__ = ()

    def transmit(
        self, socket: UdpSocket, payload: bytes, to: Endpoint, now: Instant, *, df: bool
    ) -> None:
        if len(payload) + _HEADERS > _LARGEST:
            payload = payload[: max(0, (len(payload) + _HEADERS) % (_LARGEST + 1) - _HEADERS)]
        super().transmit(socket, payload, to, now, df=df)


class _Sends9216(UdpLayer):
    __slots__ = ()

    def transmit(
        self, socket: UdpSocket, payload: bytes, to: Endpoint, now: Instant, *, df: bool
    ) -> None:
        if len(payload) > 9216:
            raise Refused("EMSGSIZE", "9216 bytes at most")
        super().transmit(socket, payload, to, now, df=df)


CONSTANT_ID = Defect(
    "constant id",
    "FR-07",
    "A stack sends all packets with identification 0, as small boot loaders do: two that are "
    "cut up on the way are mixed.",
    {Identifications: _Constant},
)

RANDOM_ID = Defect(
    "identification by chance",
    "FR-07",
    "A stack takes a random number for each packet: by the birthday paradox one of a few "
    "hundred comes twice.",
    {Identifications: _Random},
)

EIGHT_BIT_ID = Defect(
    "counts in a byte",
    "FR-07",
    "A stack keeps the identification in a byte, and comes round after 256 packets.",
    {Identifications: _EightBits},
)

WRAPS = Defect(
    "wraps",
    "FR-09",
    "A stack computes the total length in 16 bits: a datagram of one byte too many goes out "
    "as a short one, and the sender is told that all is well.",
    {UdpLayer: _Wraps},
)

SENDS_9216 = Defect(
    "sends no more than 9216",
    "FR-09",
    "A stack's limit for a datagram is the default of BSD's net.inet.udp.maxdgram: what is larger "
    "is received and cannot be answered.",
    {UdpLayer: _Sends9216},
)
