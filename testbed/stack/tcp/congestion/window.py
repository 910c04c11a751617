"""What the window-based algorithms have in common (RFC 5681, RFC 6928, RFC 3465)."""

from __future__ import annotations

from testbed.stack.tcp_config import TcpConfig
from testbed.timing import Duration, Instant

__all__ = ["LARGE", "Window"]

LARGE = 1 << 62
"""ssthresh at first: RFC 5681 3.1 'SHOULD be set arbitrarily high'."""


class Window:
    """Slow start, and the answers to timeouts and idleness; subclasses do the rest."""

    __slots__ = ("_after_timeout", "_config", "_saved", "cwnd", "smss", "ssthresh")

    name = ""
    partial_acks = True

    smss: int
    cwnd: int
    ssthresh: int

    def __init__(self, config: TcpConfig, smss: int) -> None:
        self._config = config
        self.smss = smss
        self.cwnd = self.initial_window()
        self.ssthresh = LARGE
        self._after_timeout = False
        self._saved: tuple[int, int] | None = None

    def initial_window(self) -> int:
        """RFC 6928 2: ``min (10*MSS, max (2*MSS, 14600))``, where 10 segments are configured."""
        segments = self._config.initial_window_segments
        return min(segments * self.smss, max(min(segments, 2) * self.smss, segments * 1460))

    def on_ack(
        self, acked: int, now: Instant, srtt: Duration | None, flight: int, *, limited: bool
    ) -> None:
        """``acked`` bytes were acknowledged outside fast recovery."""
        if self.cwnd < self.ssthresh:
            # A window of which less than half was used says nothing about the path (RFC 7661
            # 4.1); in slow start half is enough, as each round doubles it.
            if not limited or 2 * flight >= self.cwnd:
                self.slow_start(acked)
        elif not limited:
            self.avoid_congestion(acked, now, srtt)

    def slow_start(self, acked: int) -> None:
        """Grow by what was acknowledged, L*SMSS at most (RFC 5681 3.1, RFC 3465 2.2)."""
        # RFC 3465 2.3: after a timeout "the use of L=1*SMSS" is a MUST, as the ACKs then tell of
        # segments that left the network before.
        limit = 1 if self._after_timeout else self._config.abc_limit
        self.cwnd += min(acked, limit * self.smss)

    def avoid_congestion(self, acked: int, now: Instant, srtt: Duration | None) -> None:
        """Grow by the algorithm's own rule: ``cwnd`` is ``ssthresh`` at least."""
        raise NotImplementedError

    def reduced(self, flight: int) -> int:
        """The new ssthresh after a loss (RFC 5681 3.1 equation 4)."""
        return max(flight // 2, 2 * self.smss)

    def on_congestion(self, flight: int, now: Instant) -> None:  # noqa: ARG002 - Cubic's
        """A loss was found, other than by timeout: reduce ssthresh and cwnd."""
        self.save()
        self.ssthresh = self.reduced(flight)
        self.cwnd = self.ssthresh

    def on_timeout(self, flight: int, now: Instant, *, first: bool) -> None:  # noqa: ARG002 - Cubic's
        """The RTO expired; ``first``: for the first time for this segment."""
        # RFC 5681 3.1: where the segment was retransmitted by timeout before, "the value of
        # ssthresh is held constant".
        if first:
            self.save()
            self.ssthresh = self.reduced(flight)
        self.cwnd = self.smss  # RFC 5681 3.1: the loss window is one full-sized segment
        self._after_timeout = True

    def save(self) -> None:
        """Remember what ``undo`` is to bring back."""
        self._saved = (self.cwnd, self.ssthresh)

    def undo(self, now: Instant) -> None:  # noqa: ARG002 - Cubic's
        """The last reduction was for nothing: nothing was lost."""
        if self._saved is not None:
            cwnd, ssthresh = self._saved
            self.cwnd = max(self.cwnd, cwnd)
            self.ssthresh = max(self.ssthresh, ssthresh)
            self._saved = None
        self._after_timeout = False

    def leave_timeout(self) -> None:
        """All that was outstanding at the timeout is acknowledged."""
        self._after_timeout = False

    def on_idle(self, now: Instant) -> None:  # noqa: ARG002 - Cubic's
        """RFC 5681 4.1: ``RW = min(IW,cwnd)``."""
        self.cwnd = min(self.cwnd, self.initial_window())

    def on_syn_lost(self) -> None:
        """RFC 5681 3.1: then the initial window "MUST be one segment"."""
        self.cwnd = self.smss

    def on_smss(self, smss: int) -> None:
        """The segment size changed; windows keep their bytes, one segment at least.

        The loss window stays what RFC 5681 3.1 has it, one segment: of the new size.
        """
        alone = self._after_timeout and self.cwnd == self.smss
        self.smss = smss
        self.cwnd = smss if alone else max(self.cwnd, smss)
