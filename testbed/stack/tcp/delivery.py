"""The text of segments on its way to the user, and the ACKs for it.

RFC 9293 3.10.7.4, sixth to eighth check; RFC 5681 4.2; RFC 6093.
"""

from __future__ import annotations

from testbed.stack.lower import Lower
from testbed.stack.tcp.lifecycle import Lifecycle
from testbed.stack.tcp.states import Cause, State
from testbed.stack.tcp.tcb import Tcb, Timer
from testbed.stack.tcp.transmit import Transmitter
from testbed.stack.tcp.tuned import Tuned
from testbed.timing import Instant
from testbed.wire.tcp import TcpSegment

__all__ = ["Delivery"]

_RECEIVING = frozenset({State.ESTABLISHED, State.FIN_WAIT_1, State.FIN_WAIT_2})
"""The states in which text may come: the peer has not closed."""


class Delivery(Tuned):
    """Takes text, urgent pointers and FINs in."""

    __slots__ = ("_events", "_lifecycle", "_transmit")

    def __init__(self, lower: Lower, transmit: Transmitter, lifecycle: Lifecycle) -> None:
        super().__init__(lower.config.tcp)
        self._events = lower.events
        self._transmit = transmit
        self._lifecycle = lifecycle

    def text(self, c: Tcb, seq: int, payload: bytes, *, fin: bool, now: Instant) -> None:
        """Take in ``payload`` from ``seq`` on and the FIN after it, as far as they are in window.

        The segment is acceptable: some of it lies in the window, or it takes no numbers.
        """
        if c.state not in _RECEIVING:
            # 3.10.7.4: 'This should not occur since a FIN has been received from the remote side.'
            return
        end = seq + len(payload)
        # The FIN has a number, too: one that lies beyond the window was not taken ('trim off any
        # portions that lie outside the window (including SYN and FIN)').
        if fin and end < c.rcv_adv and c.rcv_fin < 0:
            c.rcv_fin = end
        if payload:
            self._data(c, seq, payload, now)
        if 0 <= c.rcv_fin <= c.rcv_nxt:
            self._fin(c, now)
        elif fin:
            c.ack_now = True

    def _data(self, c: Tcb, seq: int, payload: bytes, now: Instant) -> None:
        size = len(payload)
        if (
            seq == c.rcv_nxt
            and seq + size <= c.rcv_adv
            and c.rcv_fin < 0
            and not c.receiving.out_of_order_bytes
        ):
            if c.urgent_at >= 0:
                self.catch_urgent(c, seq, payload)
            c.receiving.insert(seq, payload)
            c.rcv_nxt = seq + size
            c.bytes_in += size
            self.schedule_ack(c, size, now)
            return
        self._odd_data(c, seq, payload, now)

    def _odd_data(self, c: Tcb, seq: int, payload: bytes, now: Instant) -> None:
        """Text that is out of order, known in part, or reaches beyond the window."""
        whole = len(payload)
        if seq + whole > c.rcv_adv:  # 'trimming off any portions that lie outside'
            payload = payload[: max(0, c.rcv_adv - seq)]
            c.ack_now = True
        if c.rcv_fin >= 0:  # nothing can follow a FIN
            payload = payload[: max(0, c.rcv_fin - seq)]
        if not payload:
            return
        if c.urgent_at >= 0:
            self.catch_urgent(c, seq, payload)
        inserted = c.receiving.insert(seq, payload)
        if inserted.duplicate is not None:
            self.note_duplicate(c, *inserted.duplicate)
            c.ack_now = True
        c.rcv_nxt = c.receiving.next
        c.bytes_in += inserted.advance
        # RFC 5681 4.2: 'A TCP receiver SHOULD send an immediate duplicate ACK when an out-of-order
        # segment arrives [...] SHOULD send an immediate ACK when [it] fills in all or part of a
        # gap in the sequence space.'
        if inserted.filled or not inserted.advance:
            c.ack_now = True
        else:
            self.schedule_ack(c, inserted.advance, now)

    def note_duplicate(self, c: Tcb, start: int, end: int) -> None:
        """The next ACK tells that ``start`` to ``end`` came twice (RFC 2883)."""
        if c.sack_on and self._config.dsack and end > start:
            c.dsack = (start, end)

    def schedule_ack(self, c: Tcb, size: int, now: Instant) -> None:
        """Acknowledge in-order text: every second full segment at once, others soon."""
        if size >= c.rcv_mss:
            c.rcv_mss = min(size, c.told_mss)
            c.delayed_full += 1
        c.delayed += size
        if c.quick > 0:
            c.quick -= 1
            c.ack_now = True
        elif (
            not self._config.delayed_ack
            or c.options.quickack
            or (
                c.delayed_full >= self._config.ack_every
                or c.delayed >= self._config.ack_every * c.rcv_mss
            )
        ):
            c.ack_now = True
        elif Timer.DELAYED_ACK not in c.due:
            c.due[Timer.DELAYED_ACK] = Instant(now + self._config.delayed_ack_timeout)

    def _fin(self, c: Tcb, now: Instant) -> None:
        """The peer's FIN is in order: advance over it and acknowledge it at once."""
        c.fin_received = True
        c.rcv_nxt += 1
        c.rcv_adv = max(c.rcv_adv, c.rcv_nxt)
        c.ack_now = True
        self._lifecycle.move(c, Cause.FIN, now)

    def urgent(self, c: Tcb, segment: TcpSegment, seq: int) -> None:
        """RFC 9293 3.10.7.4, sixth check: 'RCV.UP <- max(RCV.UP, SEG.UP)'.

        The pointer is one past the last urgent byte (RFC 6093 3.1).
        """
        if c.state not in _RECEIVING:
            return
        pointer = seq + segment.urgent
        if pointer <= c.rcv_up or segment.urgent == 0:
            return
        if pointer <= c.rcv_nxt:
            return
        c.rcv_up = pointer
        c.urgent_at = pointer - 1
        c.urgent_byte = None

    def catch_urgent(self, c: Tcb, seq: int, payload: bytes) -> None:
        """Keep the urgent byte where it is in ``payload``."""
        at = c.urgent_at - seq
        if c.urgent_byte is None and 0 <= at < len(payload):
            c.urgent_byte = payload[at : at + 1]
