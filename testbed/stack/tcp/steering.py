"""A plan's hand on a live connection; each wish is one line."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from testbed.stack.tcp.override import Override
from testbed.stack.tcp.tcb import MODULUS, Tcb, Timer
from testbed.stack.tcp.timers import Timers
from testbed.stack.tcp.transmit import ACK, Transmitter
from testbed.timing import Duration, Instant
from testbed.wire.tcp import TcpFlags, TcpSegment
from testbed.wire.tcp_options import Sack, TcpOption, Timestamps

__all__ = ["Steering"]


class Steering:
    """What ``connection.steer`` gives. Sequence numbers are as on the wire, modulo 2**32."""

    __slots__ = ("_c", "_timers", "_transmit")

    def __init__(self, c: Tcb, transmit: Transmitter, timers: Timers) -> None:
        self._c = c
        self._transmit = transmit
        self._timers = timers

    @property
    def _wishes(self) -> Override:
        if self._c.override is None:
            self._c.override = Override()
        return self._c.override

    def give_back(self) -> None:
        """Leave the connection to itself again."""
        self._c.override = None

    # ACKs

    def withhold_acks(self, count: int | None = None) -> None:
        """Keep the next ``count`` bare ACKs back, or all from now on; 0 ends it.

        Segments with data still acknowledge.
        """
        self._wishes.withhold = count

    def delay_acks(self, span: Duration | None) -> None:
        """Send bare ACKs ``span`` after they are due, one for all that came meanwhile."""
        self._wishes.ack_delay = span

    def ack_now(self, now: Instant) -> None:
        """Send an ACK with the right values at once, withheld or not."""
        self.send(now)

    def forge_ack(
        self,
        now: Instant,
        ack: int | None = None,
        *,
        sack: Iterable[tuple[int, int]] | None = None,
        window: int | None = None,
    ) -> None:
        """Send a bare ACK of whatever number, with whatever SACK blocks."""
        self.send(now, ack=ack, sack=sack, window=window)

    def sack_blocks(self, blocks: Iterable[tuple[int, int]] | None) -> None:
        """Report these blocks in every segment, whatever came; None ends it."""
        self._wishes.sack = None if blocks is None else tuple(blocks)

    # Window

    def window(self, size: int | None, now: Instant | None = None) -> None:
        """Offer this window from now on, even if it shrinks; None gives it back.

        With ``now``, an ACK tells it at once.
        """
        self._wishes.window = size
        if now is not None:
            self.ack_now(now)

    # Segments

    def ignore(self, matching: Callable[[TcpSegment], bool] | None) -> None:
        """Take no notice of segments for which ``matching`` is true; None ends it."""
        self._wishes.ignore = matching

    def mute(self, *, on: bool = True) -> None:
        """Send nothing at all any more, or with ``on=False`` speak again."""
        self._wishes.mute = on

    def send(
        self,
        now: Instant,
        flags: TcpFlags | int = ACK,
        payload: bytes = b"",
        *,
        seq: int | None = None,
        ack: int | None = None,
        window: int | None = None,
        options: tuple[TcpOption, ...] | None = None,
        sack: Iterable[tuple[int, int]] | None = None,
        urgent: int = 0,
        advance: bool = False,
    ) -> None:
        """Send one segment by hand; whatever is not given has the value that is right.

        ``window`` is the header's, unscaled. The connection does not count the segment as sent,
        unless ``advance`` moves SND.NXT over it: its bytes are then forgotten, not resent.
        """
        c = self._c
        field = self._transmit.window.field(c) if window is None else window
        if options is None:
            options = (Timestamps(self._transmit.clock(c, now), c.ts_recent),) if c.ts_on else ()
            blocks = (
                tuple(sack) if sack is not None else self._transmit.blocks(c, data=bool(payload))
            )
            if blocks:
                edges = tuple((a % MODULUS, b % MODULUS) for a, b in blocks)
                options = (*options, Sack(edges))
        start = c.snd_nxt if seq is None else seq
        number = (c.rcv_nxt if flags & ACK else 0) if ack is None else ack
        self._transmit.put(
            c,
            now,
            start,
            number,
            int(flags),
            window=field,
            options=options,
            payload=payload,
            urgent=urgent,
        )
        if advance:
            self._skip(len(payload) + bool(flags & TcpFlags.FIN) + bool(flags & TcpFlags.SYN))
        c.due.pop(Timer.STEERED, None)
        self._timers.settle(c)

    def _skip(self, count: int) -> None:
        """Count numbers as sent and acknowledged that the connection never had."""
        c = self._c
        if c.snd_nxt == c.sending.end and c.snd_nxt == c.snd_una:
            c.sending.append(bytes(count))
            c.recovery.sent(c.snd_nxt, c.snd_nxt + count, c.sent_at)
            c.snd_nxt += count
