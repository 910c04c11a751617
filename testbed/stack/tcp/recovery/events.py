"""What loss recovery notes in the stack's log. ``connection`` is the connection's name."""

from __future__ import annotations

from dataclasses import dataclass

from testbed.stack.events import Event
from testbed.stack.tcp.reasons import Reason
from testbed.timing import Duration

__all__ = [
    "RecoveryEntered",
    "RecoveryLeft",
    "RetransmissionTimeout",
    "SpuriousRetransmission",
    "TailLossRepaired",
]


@dataclass(frozen=True, slots=True)
class RecoveryEntered(Event):
    """A loss was noticed, and ends when ``recover`` is acknowledged. Windows are the new ones."""

    connection: str
    reason: Reason
    recover: int
    cwnd: int
    ssthresh: int


@dataclass(frozen=True, slots=True)
class RecoveryLeft(Event):
    """All that was outstanding when the loss was noticed is acknowledged."""

    connection: str
    cwnd: int
    ssthresh: int


@dataclass(frozen=True, slots=True)
class RetransmissionTimeout(Event):
    """The timer expired for ``seq``; the next one waits for ``rto``."""

    connection: str
    seq: int
    rto: Duration
    backoffs: int
    cwnd: int
    ssthresh: int


@dataclass(frozen=True, slots=True)
class SpuriousRetransmission(Event):
    """What was taken for a loss was none; the windows are back to what they were."""

    connection: str
    reason: Reason
    cwnd: int
    ssthresh: int


@dataclass(frozen=True, slots=True)
class TailLossRepaired(Event):
    """A tail loss probe itself mended a loss (RFC 8985 7.4.2): the window was reduced for it."""

    connection: str
    cwnd: int
    ssthresh: int
