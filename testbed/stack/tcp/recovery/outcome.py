"""What loss recovery answers to its caller."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from testbed.stack.tcp.reasons import Reason

__all__ = ["AckOutcome", "Fired", "Resend"]


class Fired(Enum):
    """Which deadline of loss recovery fell due."""

    RTO = "retransmission timeout"  # send what ``next_retransmission`` gives
    PROBE = "probe timeout"  # send one segment of new data, or else what ``probe_segment`` gives
    REORDER = "reordering window over"  # send what ``next_retransmission`` gives


class Resend(NamedTuple):
    """Send ``seq`` up to but not including ``end`` again, for ``reason``."""

    seq: int
    end: int
    reason: Reason


class AckOutcome(NamedTuple):
    """What one acknowledgement told.

    ``acked``: sequence numbers by which SND.UNA moved. ``sacked``: newly reported by SACK.
    ``duplicate``: it counted as a duplicate ACK. ``dsack``: the stretch that the receiver got twice
    (RFC 2883). ``spurious``: the kind of retransmission that just turned out to be needless, and
    was undone.
    """

    acked: int
    sacked: int
    duplicate: bool
    dsack: tuple[int, int] | None
    spurious: Reason | None
