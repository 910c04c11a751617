"""The retransmission timeout (RFC 6298) and the least round-trip time seen lately (RFC 8985)."""

from __future__ import annotations

from testbed.stack.tcp_config import TcpConfig
from testbed.timing import Duration, Instant

__all__ = ["RttEstimator"]


class RttEstimator:
    """SRTT, RTTVAR and RTO of one connection, all in ns."""

    __slots__ = (
        "_base",
        "_config",
        "_minima",
        "_rttvar",
        "_srtt",
        "backoffs",
        "latest",
    )

    backoffs: int
    """Time-outs since the last valid sample: the RTO is doubled so often."""
    latest: Duration | None
    """The last sample."""

    def __init__(self, config: TcpConfig) -> None:
        self._config = config
        self._srtt: float | None = None
        self._rttvar = 0.0
        self.backoffs = 0
        self.latest = None
        # RFC 6298 2.1: "Until a round-trip time (RTT) measurement has been made ... the sender
        # SHOULD set RTO <- 1 second".
        self._base: float = config.initial_rto
        self._minima: list[tuple[Instant, Duration]] = []

    def sample(self, rtt: Duration, now: Instant, expected: int = 1) -> None:
        """Take in one measurement of a segment that was sent just once (Karn's algorithm).

        ``expected``: samples to come in this round trip; each then weighs less (RFC 7323
        appendix G). A valid sample ends any back-off (RFC 6298 5, note after 5.7).
        """
        config = self._config
        self.backoffs = 0
        self.latest = rtt
        self.note_min(rtt, now)
        if self._srtt is None:  # RFC 6298 2.2
            self._srtt = float(rtt)
            self._rttvar = rtt / 2
        else:  # RFC 6298 2.3: RTTVAR first, by the SRTT before this sample
            alpha = config.rtt_alpha / expected
            beta = config.rtt_beta / expected
            self._rttvar += beta * (abs(self._srtt - rtt) - self._rttvar)
            self._srtt += alpha * (rtt - self._srtt)
        self._base = self._srtt + max(
            config.clock_granularity, config.min_rto_variance, config.rtt_k * self._rttvar
        )

    def note_min(self, rtt: Duration, now: Instant) -> None:
        """Take in a measurement for ``min_rtt`` alone."""
        minima, window = self._minima, self._config.min_rtt_window
        if minima and rtt > minima[-1][1] and now - minima[-1][0] < window // 64:
            return  # its time in the window would be much the same as its predecessor's
        while minima and minima[-1][1] >= rtt:
            minima.pop()
        minima.append((now, rtt))
        while now - minima[0][0] > window:
            del minima[0]

    def back_off(self) -> None:
        """The timer expired: RTO <- RTO * 2 (RFC 6298 5.5)."""
        self.backoffs += 1

    def reset_back_off(self) -> None:
        """Forget the doublings: the last timeout was spurious."""
        self.backoffs = 0

    def syn_was_lost(self) -> None:
        """The timer expired for the SYN (RFC 6298 5.7): data starts with a careful RTO."""
        # "... the RTO MUST be re-initialized to 3 seconds when data transmission begins"
        if self._base < self._config.rto_after_syn_loss:
            self._base = float(self._config.rto_after_syn_loss)
        self.backoffs = 0

    @property
    def rto(self) -> Duration:
        """The retransmission timeout, doublings and bounds included."""
        # RFC 6298 2.4: "Whenever RTO is computed, if it is less than 1 second, then the RTO SHOULD
        # be rounded up to 1 second"; 2.5: "A maximum value MAY be placed on RTO".
        config = self._config
        base = max(self._base, config.min_rto)
        if self.backoffs:
            base *= 2 ** min(self.backoffs, 32)
        return Duration(int(min(base, config.max_rto)))

    @property
    def srtt(self) -> Duration | None:
        """The smoothed round-trip time; None before the first sample."""
        return None if self._srtt is None else Duration(int(self._srtt))

    @property
    def rttvar(self) -> Duration:
        """The round-trip time's smoothed deviation."""
        return Duration(int(self._rttvar))

    @property
    def min_rtt(self) -> Duration | None:
        """The least round-trip time of the last five minutes."""
        return self._minima[0][1] if self._minima else None
