"""Why a segment was sent again."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from testbed.timing import Instant

__all__ = ["Reason", "Retransmission"]


class Reason(Enum):
    """What made the sender send again what it had sent."""

    RTO = "retransmission timeout"  # RFC 6298
    FAST = "duplicate acknowledgements"  # RFC 5681 3.2, RFC 6582, RFC 6675
    RACK = "sent before what was delivered"  # RFC 8985 6
    TLP = "tail loss probe"  # RFC 8985 7
    PMTU = "smaller path MTU"  # RFC 1191 6.4
    SYN = "handshake timeout"
    PERSIST = "zero-window probe"  # RFC 9293 3.8.6.1
    KEEPALIVE = "keepalive"  # RFC 9293 3.8.4


@dataclass(frozen=True, slots=True)
class Retransmission:
    """At ``at``, sequence numbers ``seq`` up to but not including ``end`` were sent again."""

    at: Instant
    seq: int
    end: int
    reason: Reason
