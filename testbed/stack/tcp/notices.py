"""What TCP notes in the stack's log. Sequence numbers are as on the wire, modulo 2**32."""

from __future__ import annotations

from dataclasses import dataclass

from testbed.stack.events import Event
from testbed.stack.tcp.reasons import Reason
from testbed.stack.tcp.states import Cause, State

__all__ = [
    "ChallengeAck",
    "ConnectionFailed",
    "CookieAccepted",
    "CookieSent",
    "ProbeSent",
    "ResetReceived",
    "ResetSent",
    "SegmentDropped",
    "SegmentResent",
    "StateChanged",
    "SynDropped",
    "TcpEvent",
    "WindowClosed",
    "WindowOpened",
]


@dataclass(frozen=True, slots=True)
class TcpEvent(Event):
    """Something about one connection: ``local:port-remote:port``."""

    connection: str


@dataclass(frozen=True, slots=True)
class StateChanged(TcpEvent):
    """The connection moved from one state to the next."""

    before: State
    after: State
    cause: Cause


@dataclass(frozen=True, slots=True)
class SegmentResent(TcpEvent):
    """``length`` sequence numbers from ``seq`` on went out again."""

    seq: int
    length: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class ProbeSent(TcpEvent):
    """A zero-window probe or a keepalive, the ``count``-th without an answer."""

    reason: Reason
    count: int


@dataclass(frozen=True, slots=True)
class SegmentDropped(TcpEvent):
    """A segment for the connection was not taken."""

    seq: int
    length: int
    reason: str


@dataclass(frozen=True, slots=True)
class ChallengeAck(TcpEvent):
    """A segment that might be forged was answered with an ACK (RFC 5961)."""

    why: str


@dataclass(frozen=True, slots=True)
class ResetReceived(TcpEvent):
    """The peer reset the connection."""


@dataclass(frozen=True, slots=True)
class ResetSent(TcpEvent):
    """The stack reset the connection, or refused a segment that belongs to none."""


@dataclass(frozen=True, slots=True)
class ConnectionFailed(TcpEvent):
    """The connection ended with ``error``, an errno's name."""

    error: str


@dataclass(frozen=True, slots=True)
class WindowClosed(TcpEvent):
    """The peer offers no window and there is something to send."""


@dataclass(frozen=True, slots=True)
class WindowOpened(TcpEvent):
    """The peer offers a window again."""

    window: int


@dataclass(frozen=True, slots=True)
class SynDropped(TcpEvent):
    """A SYN found the listener's queues full."""


@dataclass(frozen=True, slots=True)
class CookieSent(TcpEvent):
    """A SYN was answered from a full queue, with a cookie in place of an entry (RFC 4987)."""


@dataclass(frozen=True, slots=True)
class CookieAccepted(TcpEvent):
    """An ACK brought back a cookie: the connection exists now."""
