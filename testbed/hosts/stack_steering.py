"""A plan's hand on a live connection: each wish is one line, and on the cable at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from testbed.hosts.pump import StackPump
from testbed.stack.tcp.connection import Connection
from testbed.timing import Duration
from testbed.wire.tcp import TcpFlags, TcpSegment
from testbed.wire.tcp_options import TcpOption

__all__ = ["Steer"]


class Steer:
    """What ``connection.steer`` gives; sequence numbers are as on the wire, modulo 2**32."""

    def __init__(self, host: StackPump, tcp: Connection) -> None:
        self._host = host
        self._steering = tcp.steer

    def give_back(self) -> None:
        """Leave the connection to itself again."""
        self._steering.give_back()

    def withhold_acks(self, count: int | None = None) -> None:
        """Keep the next ``count`` bare ACKs back, or all from now on; 0 ends it."""
        self._steering.withhold_acks(count)

    def delay_acks(self, span: Duration | None) -> None:
        """Send bare ACKs ``span`` after they are due, one for all that came meanwhile."""
        self._steering.delay_acks(span)

    def ack_now(self) -> None:
        """Send an ACK with the right values at once, withheld or not."""
        self._steering.ack_now(self._host.now())
        self._host.flush()

    def forge_ack(
        self,
        ack: int | None = None,
        *,
        sack: Iterable[tuple[int, int]] | None = None,
        window: int | None = None,
    ) -> None:
        """Send a bare ACK of whatever number, with whatever SACK blocks."""
        self._steering.forge_ack(self._host.now(), ack, sack=sack, window=window)
        self._host.flush()

    def sack_blocks(self, blocks: Iterable[tuple[int, int]] | None) -> None:
        """Report these blocks in every segment, whatever came; None ends it."""
        self._steering.sack_blocks(blocks)

    def window(self, size: int | None, *, tell: bool = True) -> None:
        """Offer this window from now on, even if it shrinks; None gives it back.

        An ACK tells it at once, unless not to ``tell``: then the next segment does.
        """
        self._steering.window(size, self._host.now() if tell else None)
        self._host.flush()

    def ignore(self, matching: Callable[[TcpSegment], bool] | None) -> None:
        """Take no notice of segments for which ``matching`` is true; None ends it."""
        self._steering.ignore(matching)

    def mute(self, *, on: bool = True) -> None:
        """Send nothing at all any more, or with ``on=False`` speak again."""
        self._steering.mute(on=on)

    def send(
        self,
        flags: TcpFlags = TcpFlags.ACK,
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

        ``window`` is the header's field, unscaled. The connection does not count the segment as
        sent, unless ``advance`` moves SND.NXT over it: its bytes are then forgotten, not resent.
        """
        self._steering.send(
            self._host.now(),
            flags,
            payload,
            seq=seq,
            ack=ack,
            window=window,
            options=options,
            sack=sack,
            urgent=urgent,
            advance=advance,
        )
        self._host.flush()
