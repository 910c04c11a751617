"""What loss recovery asks of a congestion control algorithm."""

from __future__ import annotations

from typing import Protocol

from testbed.timing import Duration, Instant

__all__ = ["CongestionControl"]


class CongestionControl(Protocol):
    """One algorithm at work on one connection. Sizes are bytes; ``flight`` is FlightSize."""

    name: str
    """As ``TcpConfig.congestion_control`` calls it."""
    smss: int
    """Sender maximum segment size: payload of a full segment."""
    cwnd: int
    """Congestion window; loss recovery inflates and deflates it by RFC 6582 where SACK is off."""
    ssthresh: int
    """Slow start threshold; at first above any window."""
    partial_acks: bool
    """Whether a partial ACK keeps fast recovery going (RFC 6582) or ends it (RFC 5681)."""

    def on_ack(
        self, acked: int, now: Instant, srtt: Duration | None, flight: int, *, limited: bool
    ) -> None:
        """``acked`` bytes were acknowledged outside fast recovery.

        ``flight`` is what was outstanding before; ``limited``: the window was not made use of.
        """

    def on_congestion(self, flight: int, now: Instant) -> None:
        """A loss was found, other than by timeout: reduce ssthresh and cwnd."""

    def on_timeout(self, flight: int, now: Instant, *, first: bool) -> None:
        """The RTO expired; ``first``: for the first time for this segment."""

    def undo(self, now: Instant) -> None:
        """The last reduction was for nothing: nothing was lost."""

    def leave_timeout(self) -> None:
        """All that was outstanding at the timeout is acknowledged."""

    def on_idle(self, now: Instant) -> None:
        """Nothing was sent for an RTO: RFC 5681 4.1's restart window."""

    def on_syn_lost(self) -> None:
        """SYNs or SYN+ACKs were lost: begin with one segment (RFC 5681 3.1, RFC 6928 2)."""

    def on_smss(self, smss: int) -> None:
        """The segment size changed (path MTU, or agreed by the handshake)."""
