"""Tail loss probes (RFC 8985 7)."""

from __future__ import annotations

from testbed.stack.tcp.rtt import RttEstimator
from testbed.stack.tcp_config import TcpConfig
from testbed.timing import Duration, Instant

__all__ = ["TailLossProbe"]


class TailLossProbe:
    """One probe at a time, in place of waiting for the RTO."""

    __slots__ = ("_config", "_rtt", "_sampled", "armed_at", "end_seq", "is_retrans", "single")

    armed_at: Instant | None
    """From when the probe timeout counts; None while none is due."""
    single: bool
    """Whether one segment alone is outstanding: its ACK may be delayed."""
    end_seq: int | None
    """SND.NXT when the probe went out, while its fate is open."""

    def __init__(self, config: TcpConfig, rtt: RttEstimator) -> None:
        self._config = config
        self._rtt = rtt
        self._sampled = True
        self.armed_at = None
        self.single = False
        self.end_seq = None
        self.is_retrans = False

    def arm(self, now: Instant, *, single: bool) -> None:
        """New data was sent, or some was acknowledged: count from now (7.2)."""
        # 7.3: no probe while another is out, "and the sender has taken a new RTT measurement since
        # the last probe".
        if self.end_seq is None and self._sampled:
            self.armed_at = now
            self.single = single
        else:
            self.armed_at = None

    def disarm(self) -> None:
        """No probe is due: all is acknowledged, or a recovery is going on."""
        self.armed_at = None

    def deadline(self) -> Instant | None:
        """When to probe; the RTO, where that is sooner, is the caller's."""
        if self.armed_at is None:
            return None
        srtt = self._rtt.srtt
        if srtt is None:
            return Instant(self.armed_at + self._config.tlp_unmeasured)
        return Instant(self.armed_at + self.interval(srtt))

    def interval(self, srtt: Duration) -> int:
        """PTO (7.2): ``2 * SRTT``, and the time that a receiver may delay a lone ACK."""
        config = self._config
        return 2 * srtt + (config.tlp_max_ack_delay if self.single else config.tlp_margin)

    def sent(self, end_seq: int, *, is_retrans: bool) -> None:
        """A probe went out; ``end_seq`` is SND.NXT after it."""
        self.end_seq = end_seq
        self.is_retrans = is_retrans
        self._sampled = False
        self.armed_at = None

    def measured(self) -> None:
        """A round-trip time was measured: another probe may follow."""
        self._sampled = True

    def on_ack(
        self, ack: int, *, dsack: tuple[int, int] | None, duplicate: bool, has_sack: bool
    ) -> bool:
        """7.4.2: whether this ACK tells that the probe mended a loss, so cwnd is to be reduced."""
        if self.end_seq is None or ack < self.end_seq:
            return False
        if not self.is_retrans:
            self.end_seq = None
            return False
        if dsack is not None and dsack[1] == self.end_seq:
            self.end_seq = None  # original and probe both arrived
            return False
        if ack > self.end_seq:
            self.end_seq = None
            return True
        if duplicate and not has_sack:
            self.end_seq = None  # both arrived, and the receiver knows no DSACK
        return False

    def reset(self) -> None:
        """A recovery begins (7.1)."""
        self.end_seq = None
        self.is_retrans = False
        self.armed_at = None
