"""A sender without TCP around it: loss recovery, an endless file, and who is told what to send."""

from __future__ import annotations

from typing import Any, NamedTuple

from testbed.stack.events import EventLog
from testbed.stack.tcp.congestion import make
from testbed.stack.tcp.reasons import Reason
from testbed.stack.tcp.recovery import Fired, LossRecovery
from testbed.stack.tcp.rtt import RttEstimator
from testbed.stack.tcp_config import TcpConfig
from testbed.timing import Duration, Instant, milliseconds

SMSS = 1000
RTT = milliseconds(100)


class Sent(NamedTuple):
    seq: int
    end: int
    reason: Reason | None


class Rig:
    """Segments are numbered from 0, each of SMSS bytes: ``rig.send()`` tells which went out."""

    def __init__(
        self,
        *,
        sack: bool = True,
        control: str = "newreno",
        unsent: int = 10,
        rtt: Duration | None = RTT,
        **config: Any,
    ) -> None:
        self.config = TcpConfig(congestion_control=control, **config)
        self.rtt = RttEstimator(self.config)
        self.cc = make(control, self.config, SMSS)
        self.events = EventLog(1000)
        self.recovery = LossRecovery(self.config, self.cc, self.rtt, 0, self.events, "rig")
        self.recovery.sack_enabled = sack
        self.now = Instant(0)
        self.end = unsent * SMSS
        if rtt is not None:
            self.rtt.sample(rtt, self.now)

    def at(self, milliseconds_: float) -> None:
        self.now = Instant(milliseconds(milliseconds_))

    def send(self) -> list[Sent]:
        recovery = self.recovery
        out: list[Sent] = []
        recovery.before_sending(self.now)
        while len(out) < 10_000:
            size = min(self.cc.smss, self.end - recovery.highest_sent)
            resend = recovery.next_retransmission(fresh=size > 0)
            if resend is not None:
                out.append(Sent(resend.seq, resend.end, resend.reason))
            elif 0 < size <= recovery.allowance():
                out.append(Sent(recovery.highest_sent, recovery.highest_sent + size, None))
            else:
                break
            recovery.sent(out[-1].seq, out[-1].end, self.now, out[-1].reason)
        return out

    def segments(self) -> list[int]:
        """As ``send``, by segment number."""
        return [sent.seq // SMSS for sent in self.send()]

    def ack(self, segment: int, *blocks: tuple[int, int], **how: Any) -> Any:
        """ACK all below ``segment``, and SACK ``blocks``: (first, one past the last)."""
        return self.recovery.on_ack(
            segment * SMSS, tuple((a * SMSS, b * SMSS) for a, b in blocks), self.now, **how
        )

    def fire(self) -> Fired | None:
        """Go to the next deadline and let it happen."""
        deadline = self.recovery.next_deadline()
        assert deadline is not None
        self.now = max(self.now, deadline)
        return self.recovery.on_deadline(self.now)
