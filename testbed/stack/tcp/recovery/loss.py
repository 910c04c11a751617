"""Loss recovery of one connection: the face that the connection talks to."""

from __future__ import annotations

from collections.abc import Sequence

from testbed.stack.events import EventLog
from testbed.stack.tcp.congestion import CongestionControl
from testbed.stack.tcp.reasons import Reason, Retransmission
from testbed.stack.tcp.recovery.outcome import AckOutcome, Fired, Resend
from testbed.stack.tcp.rtt import RttEstimator
from testbed.stack.tcp_config import TcpConfig
from testbed.stack.variants import Variants
from testbed.timing import Duration, Instant

__all__ = ["LossRecovery"]


class LossRecovery:
    """Everything sent and unacknowledged, with its RTO, probe and reordering deadlines.

    Sequence numbers are unwrapped and count SYN and FIN as one. SND.NXT never goes back: what must
    be sent again comes from ``next_retransmission``. The caller's output is::

        while True:
            fresh = unsent data is there and the peer's window takes a segment of it
            if resend := recovery.next_retransmission(fresh=fresh):
                put it on the wire; recovery.sent(resend.seq, resend.end, now, resend.reason)
            elif fresh and size <= recovery.allowance():
                put it on the wire; recovery.sent(snd_nxt, snd_nxt + size, now)
            else:
                break

    and after each ``sent``, ``on_ack``, ``on_deadline`` it looks at ``next_deadline``.
    """

    una: int
    """SND.UNA."""
    highest_sent: int
    """One past the highest sequence number ever sent: SND.NXT, and RFC 6675's HighData + 1."""
    sack_enabled: bool
    """Set by the connection once SACK was agreed; False at first."""
    history: "deque[Retransmission]"
    """The latest retransmissions, oldest first."""
    retransmissions: int
    """Segments sent again, ever."""

    def __init__(
        self,
        config: TcpConfig,
        congestion: CongestionControl,
        rtt: RttEstimator,
        start: int,
        events: EventLog,
        name: str,
        variants: Variants | None = None,
    ) -> None:
        """Nothing sent yet; ``start`` is the first number that will be."""

    def sent(self, seq: int, end: int, now: Instant, reason: Reason | None = None) -> None:
        """``seq`` up to ``end`` went out: new data, or, with a ``reason``, again.

        A probe of new data is new data with ``Reason.TLP``; zero-window probes and keepalives of
        numbers that lie below ``una`` are not to be told.
        """

    def on_ack(
        self,
        ack: int,
        sack_blocks: Sequence[tuple[int, int]],
        now: Instant,
        *,
        rtt_sample: Duration | None = None,
        pure: bool = True,
        window_moved: bool = False,
    ) -> AckOutcome:
        """A segment acknowledged ``ack`` and reported ``sack_blocks``, in the order it had them.

        The caller has checked that ``ack`` is not above ``highest_sent``. ``rtt_sample`` is RTTM's
        (RFC 7323 4.1), where timestamps are agreed: used where no segment acknowledged was sent
        just once. ``pure``: no payload, SYN or FIN. ``window_moved``: the segment changed SND.WND.
        An ``ack`` below ``una`` is looked at for its DSACK only.
        """

    def on_path_mtu(self, smss: int, now: Instant) -> None:
        """Segments carry ``smss`` bytes from now on; larger ones in flight are to be sent again.

        That is no sign of congestion (RFC 1191 6.4): ssthresh stays.
        """

    def next_deadline(self) -> Instant | None:
        """When ``on_deadline`` is to be called, None while nothing is outstanding."""

    def on_deadline(self, now: Instant) -> Fired | None:
        """Act on the deadline that is due at ``now``; None where none is due yet."""

    def next_retransmission(self, *, fresh: bool = False) -> Resend | None:
        """What is to be sent again now, at most one SMSS; None where nothing is or may be.

        ``fresh``: new data could be sent in its place (there is some, and the peer's window takes
        it), which comes before RFC 6675 NextSeg rules 3 and 4 and, with F-RTO, before going back.
        Asking changes nothing: it is ``sent`` that counts.
        """

    def probe_segment(self) -> Resend | None:
        """The last segment sent, for a tail loss probe where no new data can be sent."""

    def allowance(self) -> int:
        """Bytes of new data that congestion control allows now; never below 0.

        A segment goes where it fits wholly.
        """

    @property
    def flight(self) -> int:
        """FlightSize: bytes sent and not cumulatively acknowledged."""

    @property
    def pipe(self) -> int:
        """Bytes believed to be in the network (RFC 6675 4, as refined by RFC 8985's losses)."""

    @property
    def in_recovery(self) -> bool:
        """Whether a fast recovery, or the recovery from a timeout, is going on."""

    @property
    def oldest_sent_at(self) -> Instant | None:
        """When the oldest unacknowledged byte went out first; None where all is acknowledged."""
