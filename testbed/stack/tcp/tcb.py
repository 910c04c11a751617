"""The transmission control block: all that a connection remembers (RFC 9293 3.3.1).

Sequence numbers inside are *unwrapped*: they count on past 2**32 from the ISS and the IRS, so that
they compare as numbers do. On the wire they are modulo 2**32.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from ipaddress import IPv4Address
from typing import Final, TypeAlias

from testbed.stack.lower import Path
from testbed.stack.refusals import Refused
from testbed.stack.tcp.congestion import CongestionControl
from testbed.stack.tcp.options import SocketOptions
from testbed.stack.tcp.override import Override
from testbed.stack.tcp.probing import Probing
from testbed.stack.tcp.receivebuffer import ReceiveBuffer
from testbed.stack.tcp.recovery import LossRecovery
from testbed.stack.tcp.rtt import RttEstimator
from testbed.stack.tcp.sendbuffer import SendBuffer
from testbed.stack.tcp.states import State
from testbed.timing import Instant

__all__ = ["MODULUS", "Key", "Tcb", "Timer", "unwrap"]

MODULUS: Final = 1 << 32
_HALF: Final = 1 << 31
_MASK: Final = MODULUS - 1

Key: TypeAlias = tuple[int, int, int, int]
"""Local address and port, remote address and port, as numbers."""


def unwrap(wire: int, near: int) -> int:
    """The number that ``wire`` stands for: the one nearest to ``near``."""
    return near + ((wire - near + _HALF) & _MASK) - _HALF


class Timer(IntEnum):
    """What a connection may wait for besides loss recovery's deadlines."""

    SYN = 0  # SYN or SYN+ACK unanswered
    DELAYED_ACK = 1
    PERSIST = 2
    OVERRIDE = 3  # of silly-window avoidance
    KEEPALIVE = 4
    USER = 5  # RFC 9293 3.8.3: user time-out
    TIME_WAIT = 6
    FIN_WAIT_2 = 7
    STEERED = 8  # ACKs that a plan delays
    SEARCH = 9  # path-MTU search


class Tcb:
    """State of one connection; the parts of TCP work on it."""

    __slots__ = (
        "__weakref__",
        "accepted",
        "ack_now",
        "armed",
        "bytes_in",
        "bytes_out",
        "congestion",
        "cork_more",
        "delayed",
        "delayed_full",
        "dsack",
        "due",
        "early",
        "error",
        "fin_at",
        "fin_queued",
        "fin_received",
        "heard_at",
        "invalid_at",
        "irs",
        "irs_known",
        "iss",
        "keepalives",
        "key",
        "last_ack_sent",
        "link_limit",
        "local",
        "max_window",
        "mss",
        "mtu_search",
        "on_change",
        "options",
        "orphaned",
        "override",
        "owner",
        "passive",
        "path",
        "peer_mss",
        "persist_from",
        "persists",
        "probing",
        "pushed",
        "quick",
        "rcv_adv",
        "rcv_fin",
        "rcv_largest",
        "rcv_mss",
        "rcv_nxt",
        "rcv_scale",
        "rcv_up",
        "receiving",
        "recovery",
        "remote",
        "rtt",
        "sack_on",
        "segments_in",
        "segments_out",
        "sending",
        "sent_at",
        "small_end",
        "snd_nxt",
        "snd_scale",
        "snd_una",
        "snd_up",
        "snd_wl1",
        "snd_wl2",
        "snd_wnd",
        "soft_error",
        "state",
        "syn_resent",
        "syn_sent_at",
        "syns",
        "syns_resent",
        "timeouts",
        "told_mss",
        "ts_offset",
        "ts_on",
        "ts_recent",
        "ts_recent_at",
        "urgent_at",
        "urgent_byte",
    )

    # Made by the factory, before anything else.
    receiving: ReceiveBuffer
    sending: SendBuffer
    rtt: RttEstimator
    congestion: CongestionControl
    recovery: LossRecovery

    def __init__(
        self, key: Key, path: Path, options: SocketOptions, now: Instant, *, passive: bool
    ) -> None:
        self.key = key
        self.path = path
        self.options = options
        self.local: tuple[IPv4Address, int] = (path.source, key[1])
        self.remote: tuple[IPv4Address, int] = (path.destination, key[3])
        self.state = State.CLOSED
        self.passive = passive
        self.owner: object | None = None
        """The listener, until the connection is accepted."""
        self.accepted = not passive
        self.error: Refused | None = None
        self.soft_error: str | None = None
        self.on_change: Callable[[Instant], None] | None = None
        self._clear_sending()
        self._clear_receiving(now)
        self._clear_timers(now)

    def _clear_sending(self) -> None:
        self.iss = 0
        self.snd_una = 0
        self.snd_nxt = 0
        self.snd_wnd = 0
        self.snd_wl1 = 0
        self.snd_wl2 = 0
        self.snd_up = 0  # one past the urgent data sent; 0: never any
        self.snd_scale = 0  # shift of the windows that come
        self.max_window = 0
        self.small_end = 0  # one past the last segment sent that was not full
        self.cork_more = False  # the user said that more is to come
        self.pushed: dict[int, None] = {}  # ends of unacknowledged segments with PSH
        self.fin_queued = False
        self.fin_at = -1  # the number of the FIN sent
        self.orphaned = False  # closed by the user: nobody reads any more
        self.segments_out = 0
        self.bytes_out = 0
        self.mss = 0  # bytes of data and options that a segment may have
        self.peer_mss = 0
        self.told_mss = 0
        self.link_limit = 0  # what a PMTU search found, 0: none
        self.sack_on = False
        self.mtu_search: Probing | None = None
        self.override: Override | None = None

    def _clear_receiving(self, now: Instant) -> None:
        self.irs = 0
        self.irs_known = False  # the peer's SYN came
        self.early: tuple[bytes, bool] | None = None  # text and FIN that came with it
        self.invalid_at: Instant | None = None  # the last ACK for what was not acceptable
        self.rcv_nxt = 0
        self.rcv_adv = 0  # right edge of the window offered
        self.rcv_largest = 0  # the largest window ever offered
        self.rcv_scale = 0  # shift of the windows sent
        self.rcv_up = 0
        self.rcv_mss = 536  # the peer's full segment, as far as seen
        self.rcv_fin = -1  # the number of the peer's FIN, once seen
        self.fin_received = False
        self.urgent_at = -1  # the number of the urgent byte, while unread
        self.urgent_byte: bytes | None = None
        self.ts_on = False
        self.ts_offset = 0
        self.ts_recent = 0
        self.ts_recent_at = now
        self.last_ack_sent = 0
        self.dsack: tuple[int, int] | None = None
        self.segments_in = 0
        self.bytes_in = 0
        self.ack_now = False
        self.delayed = 0  # bytes not yet acknowledged
        self.delayed_full = 0  # full segments among them
        self.quick = 0  # segments still to be acknowledged at once

    def _clear_timers(self, now: Instant) -> None:
        self.due: dict[Timer, Instant] = {}
        self.armed: Instant | None = None
        self.syns = 0  # SYNs or SYN+ACKs sent by the timer
        self.syn_resent = False
        self.syns_resent: tuple[Instant, ...] = ()
        self.syn_sent_at = now
        self.sent_at = now
        self.heard_at = now
        self.keepalives = 0
        self.timeouts = 0  # in a row, for segments that nothing explains the loss of
        self.persists = 0
        self.persist_from = now
        self.probing = False  # the first byte beyond the window is out

    @property
    def name(self) -> str:
        """``local:port-remote:port``, as events and messages call the connection."""
        return f"{self.local[0]}:{self.local[1]}-{self.remote[0]}:{self.remote[1]}"

    @property
    def unsent(self) -> int:
        """Bytes that wait to be sent."""
        return max(0, self.sending.end - self.snd_nxt)

    def __repr__(self) -> str:
        return f"<{self.name} {self.state}>"
