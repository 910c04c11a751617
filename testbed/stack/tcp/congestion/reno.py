"""Reno: RFC 5681 as it stands, without RFC 6582."""

from __future__ import annotations

from testbed.stack.tcp.congestion.window import Window
from testbed.stack.tcp_config import TcpConfig
from testbed.timing import Duration, Instant

__all__ = ["Reno"]


class Reno(Window):
    """Additive increase, multiplicative decrease; a partial ACK ends fast recovery."""

    __slots__ = ("_counted",)

    name = "reno"
    partial_acks = False

    def __init__(self, config: TcpConfig, smss: int) -> None:
        super().__init__(config, smss)
        self._counted = 0

    def avoid_congestion(
        self,
        acked: int,
        now: Instant,  # noqa: ARG002 - Cubic's
        srtt: Duration | None,  # noqa: ARG002 - Cubic's
    ) -> None:
        """One SMSS per window's worth of acknowledged bytes (RFC 5681 3.1, RFC 3465 2.1)."""
        self._counted += acked
        if self._counted >= self.cwnd:
            self._counted -= self.cwnd
            self.cwnd += self.smss

    def on_congestion(self, flight: int, now: Instant) -> None:
        """Half of FlightSize."""
        super().on_congestion(flight, now)
        self._counted = 0

    def on_timeout(self, flight: int, now: Instant, *, first: bool) -> None:
        """Back to one segment."""
        super().on_timeout(flight, now, first=first)
        self._counted = 0
