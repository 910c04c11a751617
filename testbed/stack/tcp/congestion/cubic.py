"""CUBIC (RFC 9438), in bytes and nanoseconds outside, in segments and seconds inside."""

from __future__ import annotations

from testbed.stack.tcp.congestion.window import Window
from testbed.stack.tcp_config import TcpConfig
from testbed.timing import Duration, Instant

__all__ = ["Cubic"]

_NS = 1e-9


class Cubic(Window):
    """The window grows as a cubic function of the time since the last loss."""

    __slots__ = (
        "_alpha",
        "_beta",
        "_c",
        "_epoch",
        "_fraction",
        "_k",
        "_last_ack",
        "_prior",
        "_saved_cubic",
        "_timed_out",
        "_w_est",
        "_w_max",
    )

    name = "cubic"

    def __init__(self, config: TcpConfig, smss: int) -> None:
        super().__init__(config, smss)
        self._c = config.cubic_c
        self._beta = beta = config.cubic_beta
        # RFC 9438 4.3: what gives the Reno-friendly window the throughput of Reno.
        self._alpha = 3 * (1 - beta) / (1 + beta)
        self._epoch: int | None = None  # when this stage of congestion avoidance began
        self._k = 0.0
        self._w_max = 0.0
        self._w_est = 0.0
        self._prior = 0.0  # RFC 9438's cwnd_prior
        self._fraction = 0.0  # growth that is not yet a whole byte
        self._last_ack = 0
        self._timed_out = False
        self._saved_cubic: tuple[float, float, int | None, float, float] | None = None

    def on_ack(
        self, acked: int, now: Instant, srtt: Duration | None, flight: int, *, limited: bool
    ) -> None:
        """``acked`` bytes were acknowledged outside fast recovery."""
        # RFC 9438 4.2, 5.8: t "MUST NOT include periods during which cwnd has not been updated
        # due to application-limited behavior".
        if limited and self._epoch is not None and self.cwnd >= self.ssthresh:
            self._epoch += now - self._last_ack
        self._last_ack = now
        super().on_ack(acked, now, srtt, flight, limited=limited)

    def avoid_congestion(self, acked: int, now: Instant, srtt: Duration | None) -> None:
        """RFC 9438 4.2 to 4.5."""
        if self._epoch is None:
            self.begin_epoch(now)
        cwnd = self.cwnd / self.smss
        segments = acked / self.smss
        elapsed = (now - (self._epoch or 0)) * _NS
        self._w_est += self.alpha() * segments / cwnd
        if self.w_cubic(elapsed) < self._w_est:
            grown = max(cwnd, self._w_est)  # 4.3: Reno-friendly
        else:
            target = self.w_cubic(elapsed + (srtt or 0) * _NS)
            # 4.2: no less than cwnd, no more than one and a half of it.
            target = min(max(target, cwnd), 1.5 * cwnd)
            grown = cwnd + (target - cwnd) / cwnd * segments
        exact = grown * self.smss + self._fraction
        self.cwnd = int(exact)
        self._fraction = exact - self.cwnd

    def begin_epoch(self, now: Instant) -> None:
        """A stage of congestion avoidance begins at ``now``."""
        cwnd = self.cwnd / self.smss
        self._epoch = now
        self._w_est = cwnd
        self._fraction = 0.0
        if self._timed_out or self._w_max < cwnd:
            # 4.8 and 4.10: after a timeout, or slow start left without a loss, K is 0 and W_max
            # "is set to the cwnd size at the beginning of the current congestion avoidance stage".
            self._w_max = cwnd
            self._timed_out = False
        self._k = ((self._w_max - cwnd) / self._c) ** (1 / 3)

    def w_cubic(self, elapsed: float) -> float:
        """Figure 1: the window in segments, ``elapsed`` seconds into the stage."""
        return self._c * (elapsed - self._k) ** 3 + self._w_max

    def alpha(self) -> float:
        """4.3: alpha_cubic, and 1 once W_est has come to where cwnd was before the loss."""
        return 1.0 if self._w_est >= self._prior else self._alpha

    def reduced(self, flight: int) -> int:
        """4.6: ``ssthresh = flight_size * beta_cubic``, two segments at least."""
        return max(int(flight * self._beta), 2 * self.smss)

    def on_congestion(self, flight: int, now: Instant) -> None:
        """4.6, 4.7."""
        self._remember()
        super().on_congestion(flight, now)

    def on_timeout(self, flight: int, now: Instant, *, first: bool) -> None:
        """4.8: as Reno, but with beta_cubic for ssthresh."""
        if first:
            self._remember()
        self._timed_out = True
        self._epoch = None
        super().on_timeout(flight, now, first=first)

    def undo(self, now: Instant) -> None:
        """4.9: bring back what was before the needless reduction."""
        if self._saved is not None and self._saved_cubic is not None:
            self._w_max, self._k, self._epoch, self._w_est, self._prior = self._saved_cubic
            self._saved_cubic = None
            self._timed_out = False
        super().undo(now)

    def on_idle(self, now: Instant) -> None:
        """A new stage begins with what is sent next."""
        self._epoch = None
        super().on_idle(now)

    def _remember(self) -> None:
        cwnd = self.cwnd / self.smss
        self._saved_cubic = (self._w_max, self._k, self._epoch, self._w_est, self._prior)
        # 4.7 fast convergence: a flow whose window was on its way down gives way to newcomers.
        self._w_max = cwnd * (1 + self._beta) / 2 if cwnd < self._w_max else cwnd
        self._prior = cwnd
        self._epoch = None
