"""SYN cookies: a half-open connection kept in its own SYN+ACK (RFC 4987 3.6)."""

from __future__ import annotations

from typing import Final, NamedTuple

from testbed.stack.tcp.factory import Factory
from testbed.stack.tcp.tcb import MODULUS, Key
from testbed.timing import Instant, seconds
from testbed.wire.tcp import TcpSegment
from testbed.wire.tcp_options import MSS, SackPermitted, TcpOption, Timestamps, WindowScale

__all__ = ["Cookies", "Kept"]

_PERIOD: Final = seconds(64)
_LIFE: Final = 2
"""Periods in which a cookie is good."""
_MSS: Final = (216, 536, 1024, 1220, 1300, 1400, 1440, 1460)
"""Three bits for the peer's MSS: the largest of these not above it."""
_NO_SCALE: Final = 15
_STAMP_BITS: Final = 6
"""What timestamps keep besides: the peer's shift, and whether it offered SACK."""


class Kept(NamedTuple):
    """What a cookie brought back of the peer's SYN."""

    mss: int
    options: tuple[TcpOption, ...]


class Cookies:
    """Makes cookies, and knows its own again."""

    __slots__ = ("_factory",)

    def __init__(self, factory: Factory) -> None:
        self._factory = factory

    def make(self, key: Key, segment: TcpSegment, now: Instant) -> int:
        """The initial sequence number that keeps what ``segment``, a SYN, asked for."""
        option = segment.option(MSS)
        offered = option.value if option is not None else 536
        index = max([at for at, mss in enumerate(_MSS) if mss <= offered], default=0)
        period = now // _PERIOD
        return self._number(key, segment.seq, index, period)

    def _number(self, key: Key, irs: int, index: int, period: int) -> int:
        digest = self._factory.secret(b"cookie", key, irs, index, period) & 0xFFFFFF
        return (period & 31) << 27 | index << 24 | digest

    def stamp(self, segment: TcpSegment, clock: int) -> int:
        """A timestamp not later than ``clock`` that keeps the options of ``segment``."""
        scale = segment.option(WindowScale)
        bits = _NO_SCALE if scale is None else min(scale.shift, 14)
        if segment.option(SackPermitted) is not None:
            bits |= 16
        value = clock >> _STAMP_BITS << _STAMP_BITS | bits
        return (value if value <= clock else value - (1 << _STAMP_BITS)) % MODULUS

    def check(self, key: Key, segment: TcpSegment, now: Instant) -> Kept | None:
        """What the cookie that ``segment`` acknowledges has kept; None if it is none."""
        number = (segment.ack - 1) % MODULUS
        irs = (segment.seq - 1) % MODULUS
        index = number >> 24 & 7
        for age in range(_LIFE):
            period = now // _PERIOD - age
            if period >= 0 and self._number(key, irs, index, period) == number:
                return Kept(_MSS[index], self._options(segment, index))
        return None

    def _options(self, segment: TcpSegment, index: int) -> tuple[TcpOption, ...]:
        options: list[TcpOption] = [MSS(_MSS[index])]
        stamp = segment.option(Timestamps)
        if stamp is None:
            return tuple(options)
        options.append(Timestamps(stamp.value))
        bits = stamp.echo & (1 << _STAMP_BITS) - 1
        if bits & 16:
            options.append(SackPermitted())
        if bits & 15 != _NO_SCALE:
            options.append(WindowScale(bits & 15))
        return tuple(options)
