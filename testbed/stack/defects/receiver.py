"""Faults of acknowledging, windows, timestamps and segment sizes."""

from __future__ import annotations

from testbed.stack.lower import Path
from testbed.stack.tcp.delivery import Delivery
from testbed.stack.tcp.factory import Factory
from testbed.stack.tcp.guard import Guard
from testbed.stack.tcp.input import Input
from testbed.stack.tcp.options import SocketOptions
from testbed.stack.tcp.output import Output
from testbed.stack.tcp.tcb import Tcb, Timer
from testbed.stack.variants import Defect
from testbed.timing import Instant, seconds
from testbed.wire.tcp import TcpSegment
from testbed.wire.tcp_options import Timestamps

__all__ = [
    "ACKS_A_SECOND_LATE",
    "ACKS_EVERY_FOURTH",
    "ACKS_PAIRS_ONLY",
    "ANNOUNCES_1460",
    "DELAYS_DUPLICATE_ACKS",
    "FORGETS_OPTIONS",
    "IGNORES_PEER_MSS",
    "NO_PAWS",
    "PAWS_ON_RESETS",
    "PLAIN_TIMESTAMPS",
    "ROUNDS_UP_SIZES",
    "SILENT_PAWS",
    "TIMESTAMPS_FROM_ANYWHERE",
]


# Acknowledging


class _SlowTimer(Delivery):
    __slots__ = ()

    def schedule_ack(self, c: Tcb, size: int, now: Instant) -> None:
        waits = Timer.DELAYED_ACK in c.due
        super().schedule_ack(c, size, now)
        if not waits and Timer.DELAYED_ACK in c.due:
            c.due[Timer.DELAYED_ACK] = Instant(now + seconds(1))


class _NoTimer(Delivery):
    __slots__ = ()

    def schedule_ack(self, c: Tcb, size: int, now: Instant) -> None:
        super().schedule_ack(c, size, now)
        c.due.pop(Timer.DELAYED_ACK, None)


class _Stretches(Delivery):
    __slots__ = ()

    def schedule_ack(self, c: Tcb, size: int, now: Instant) -> None:
        super().schedule_ack(c, size, now)
        if c.ack_now and not c.quick and c.delayed_full < 4:
            c.ack_now = False
            delay = self._config.delayed_ack_timeout
            c.due.setdefault(Timer.DELAYED_ACK, Instant(now + delay))


class _NeverAtOnce(Delivery):
    __slots__ = ()

    def _odd_data(self, c: Tcb, seq: int, payload: bytes, now: Instant) -> None:
        super()._odd_data(c, seq, payload, now)
        c.ack_now = False
        c.due.setdefault(Timer.DELAYED_ACK, Instant(now + self._config.delayed_ack_timeout))


ACKS_A_SECOND_LATE = Defect(
    "1 s late",
    "TC-15",
    "A stack takes the delayed-ACK timer for one of seconds: senders with a timeout of a second "
    "resend every lone segment.",
    {Delivery: _SlowTimer},
)

ACKS_PAIRS_ONLY = Defect(
    "no timer for a lone segment",
    "TC-15",
    "A stack acknowledges every second segment and has no timer: the last segment of each odd "
    "burst is resent until the peer gives up.",
    {Delivery: _NoTimer},
)

ACKS_EVERY_FOURTH = Defect(
    "acknowledges every fourth segment",
    "TC-15",
    "A stack saves ACKs: senders in slow start crawl, and those with few segments in flight wait "
    "for the timer each time.",
    {Delivery: _Stretches},
)

DELAYS_DUPLICATE_ACKS = Defect(
    "delays duplicate ACKs",
    "TC-15",
    "A stack delays the ACKs of segments out of order like all others: fast retransmit has too "
    "few of them to count, and each loss costs a timeout.",
    {Delivery: _NeverAtOnce},
)

# Segment sizes


class _Announces1460(Factory):
    __slots__ = ()

    def offered_mss(self, path: Path, options: SocketOptions) -> int:
        del path, options
        return 1460


class _DeafToMss(Factory):
    __slots__ = ()

    def hear_syn(self, c: Tcb, segment: TcpSegment, now: Instant) -> None:
        super().hear_syn(c, segment, now)
        c.peer_mss = c.told_mss


class _CountsDataOnly(Output):
    __slots__ = ()

    def room(self, c: Tcb) -> int:
        return c.mss


class _RoundsUp(Factory):
    __slots__ = ()

    def set_mss(self, c: Tcb, now: Instant) -> bool:
        changed = super().set_mss(c, now)
        c.mss += c.mss % 2
        return changed


ANNOUNCES_1460 = Defect(
    "1460 always",
    "TC-31",
    "A stack that only ever met Ethernet announces 1460 on links with a smaller MTU: all that is "
    "sent to it has to be cut into fragments, or is lost.",
    {Factory: _Announces1460},
)

IGNORES_PEER_MSS = Defect(
    "ignores the peer's MSS",
    "TC-31",
    "A stack sends what its own link carries, to peers behind tunnels that announced less.",
    {Factory: _DeafToMss},
)

FORGETS_OPTIONS = Defect(
    "forgets its options",
    "TC-31",
    "A stack fills segments with as much data as the MSS and adds timestamps on top: packets are "
    "12 bytes larger than the link, and are cut or lost.",
    {Output: _CountsDataOnly},
)

ROUNDS_UP_SIZES = Defect(
    "rounds up odd sizes",
    "TC-31",
    "A stack rounds the size of its segments up to whole words of its checksum code: to a peer "
    "behind a tunnel of an odd size each full one is a byte too large.",
    {Factory: _RoundsUp},
)

# Timestamps


class _NoPaws(Guard):
    __slots__ = ()

    def old_timestamp(self, c: Tcb, stamp: Timestamps, now: Instant) -> bool:
        del c, stamp, now
        return False


class _SilentPaws(Input):
    __slots__ = ()

    def _stale(self, c: Tcb, seq: int, length: int, now: Instant) -> None:
        super()._stale(c, seq, length, now)
        c.ack_now = False


class _PlainStamps(Guard):
    __slots__ = ()

    def old_timestamp(self, c: Tcb, stamp: Timestamps, now: Instant) -> bool:
        del now
        return stamp.value < c.ts_recent


class _StampsFromAnywhere(Guard):
    __slots__ = ()

    def note_timestamp(self, c: Tcb, stamp: Timestamps, seq: int, now: Instant) -> None:
        super().note_timestamp(c, stamp, min(seq, c.last_ack_sent), now)


class _PawsOnResets(Input):
    __slots__ = ()

    def _controls(self, c: Tcb, segment: TcpSegment, seq: int, length: int, now: Instant) -> bool:
        stamp = self._stamp(segment)
        if stamp is not None and self._guard.old_timestamp(c, stamp, now):
            self._stale(c, seq, length, now)
            return True
        return super()._controls(c, segment, seq, length, now)


NO_PAWS = Defect(
    "accepts",
    "TC-30",
    "A stack has timestamps and looks at their echo only: on a fast path, where numbers come round "
    "within seconds, old duplicates get into the stream.",
    {Guard: _NoPaws},
)

SILENT_PAWS = Defect(
    "drops without a word",
    "TC-30",
    "A stack drops what PAWS rejects and does not answer: a peer whose timestamps went wrong "
    "resends until it gives up, and nobody sees why.",
    {Input: _SilentPaws},
)

PLAIN_TIMESTAMPS = Defect(
    "compares timestamps as plain numbers",
    "TC-30",
    "A stack compares timestamps as plain numbers: connections that are open when the peer's clock "
    "goes round, every 49 days, hang.",
    {Guard: _PlainStamps},
)

TIMESTAMPS_FROM_ANYWHERE = Defect(
    "remembers timestamps from behind a hole",
    "TC-30",
    "A stack takes the timestamp of any segment for the latest: a retransmission that fills a hole "
    "is then older, and dropped as a duplicate.",
    {Guard: _StampsFromAnywhere},
)

PAWS_ON_RESETS = Defect(
    "judges resets by their timestamps",
    "TC-30",
    "A stack drops resets with an old timestamp: as many hosts make them without state, dead "
    "connections stay half open.",
    {Input: _PawsOnResets},
)
