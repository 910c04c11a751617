"""Making connections: their buffers and algorithms, and what a handshake agrees on."""

from __future__ import annotations

from typing import Final

from testbed.stack.lower import Lower, Path
from testbed.stack.tcp.congestion import make
from testbed.stack.tcp.options import SocketOptions
from testbed.stack.tcp.receivebuffer import ReceiveBuffer
from testbed.stack.tcp.recovery import LossRecovery
from testbed.stack.tcp.rtt import RttEstimator
from testbed.stack.tcp.sendbuffer import SendBuffer
from testbed.stack.tcp.tcb import MODULUS, Key, Tcb
from testbed.stack.tcp.tuned import Tuned
from testbed.stack.tcp.window import Window
from testbed.timing import Instant
from testbed.wire.tcp import TcpSegment
from testbed.wire.tcp_options import MSS, SackPermitted, Timestamps, WindowScale

__all__ = ["Factory"]

_HEADERS: Final = 40
"""RFC 9293 3.7.1: the MSS announced is the MTU less the fixed IP and TCP headers."""
_ISN_TICK: Final = 4000
"""RFC 6528 3: a clock of 4 microseconds, here in ns."""
_LARGEST_SHIFT: Final = 14


class Factory(Tuned):
    """Fills in what a new connection needs, and what the peer's SYN tells."""

    __slots__ = ("_lower", "_window")

    def __init__(self, lower: Lower, window: Window) -> None:
        super().__init__(lower.config.tcp)
        self._lower = lower
        self._window = window

    def open(self, c: Tcb, now: Instant, *, isn: int | None = None) -> None:
        """Choose numbers, and what to offer in the SYN."""
        config, options = self._config, c.options
        c.iss = self.initial_number(c, now) if isn is None else isn
        c.snd_una = c.iss
        c.snd_nxt = c.iss
        c.ts_offset = self.timestamp_offset(c)
        c.told_mss = self.offered_mss(c.path, options)
        c.peer_mss = config.default_mss
        c.rcv_mss = min(c.told_mss, config.default_mss)
        c.sack_on = config.sack if options.sack is None else options.sack
        c.ts_on = config.timestamps if options.timestamps is None else options.timestamps
        c.quick = config.quick_acks
        buffer = self.receive_limit(options)
        scaling = (
            config.window_scaling if options.window_scaling is None else (options.window_scaling)
        )
        c.rcv_scale = self.scale(buffer, options) if scaling else -1
        variants = self._lower.variants
        c.receiving = variants.of(ReceiveBuffer)(0, buffer, config.out_of_order_limit)
        c.sending = variants.of(SendBuffer)(c.iss + 1)
        c.rtt = variants.of(RttEstimator)(config)

    def renumber(self, c: Tcb, isn: int) -> None:
        """Start with ``isn`` after all."""
        c.iss = c.snd_una = c.snd_nxt = isn
        c.sending = self._lower.variants.of(SendBuffer)(isn + 1)

    def receive_limit(self, options: SocketOptions) -> int:
        """Bytes of the receive buffer."""
        wanted = options.receive_buffer
        return self._config.receive_buffer if wanted is None else wanted

    def send_limit(self, options: SocketOptions) -> int:
        """Bytes of the send buffer."""
        wanted = options.send_buffer
        return self._config.send_buffer if wanted is None else wanted

    def scale(self, buffer: int, options: SocketOptions) -> int:
        """The shift to offer."""
        for wanted in (options.window_scale, self._config.window_scale):
            if wanted is not None:
                return wanted
        return self._window.scale_for(buffer)

    def offered_mss(self, path: Path, options: SocketOptions) -> int:
        """The MSS to announce (RFC 9293 3.7.1, RFC 6691: options are not counted)."""
        for wanted in (options.mss, self._config.mss):
            if wanted is not None:
                return wanted
        mss = min(path.link_mtu() - _HEADERS, 0xFFFF)
        return mss if options.max_segment is None else min(mss, options.max_segment)

    def initial_number(self, c: Tcb, now: Instant) -> int:
        """RFC 6528 3: 'ISN = M + F(localip, localport, remoteip, remoteport, secretkey)'."""
        for wanted in (c.options.isn, self._config.isn):
            if wanted is not None:
                return wanted % MODULUS
        return (now // _ISN_TICK + self.secret(b"isn", c.key)) % MODULUS

    def timestamp_offset(self, c: Tcb) -> int:
        """Where the timestamp clock starts (RFC 7323 7.1: 'a random offset')."""
        if self._config.timestamp_offset is not None:
            return self._config.timestamp_offset
        return self.secret(b"timestamp", c.key) % MODULUS

    def secret(self, use: bytes, key: Key, *more: int) -> int:
        """A keyed hash of a connection's four numbers."""
        numbers = b"".join([part.to_bytes(8, "big") for part in (*key, *more)])
        return self._lower.entropy.keyed(use, numbers)

    # The peer's SYN

    def hear_syn(self, c: Tcb, segment: TcpSegment, now: Instant) -> None:
        """Take in the numbers and offers of the peer's SYN or SYN+ACK."""
        offered = c.rcv_adv - c.rcv_nxt  # in our SYN
        c.irs = segment.seq
        c.irs_known = True
        c.rcv_nxt = c.irs + 1
        c.rcv_adv = c.rcv_nxt + offered
        c.last_ack_sent = c.rcv_nxt
        c.receiving.next = c.rcv_nxt
        mss = segment.option(MSS)
        if mss is not None:
            c.peer_mss = max(mss.value, self._config.min_mss)
        self._agree(c, segment, now)
        c.snd_wnd = c.max_window = segment.window  # never scaled in a SYN
        c.snd_wl1 = segment.seq
        c.snd_wl2 = c.snd_una

    def _agree(self, c: Tcb, segment: TcpSegment, now: Instant) -> None:
        c.sack_on = c.sack_on and segment.option(SackPermitted) is not None
        stamp = segment.option(Timestamps)
        c.ts_on = c.ts_on and stamp is not None
        if stamp is not None:
            c.ts_recent = stamp.value
            c.ts_recent_at = now
        scale = segment.option(WindowScale)
        if scale is None or c.rcv_scale < 0:
            c.rcv_scale = -1
            c.snd_scale = 0
        else:
            # RFC 7323 2.3: above 14 'the TCP MUST use 14'.
            c.snd_scale = min(scale.shift, _LARGEST_SHIFT)

    def start_sending(self, c: Tcb, now: Instant) -> None:
        """Both SYNs are known: make what sends data."""
        config = self._config
        self.set_mss(c, now)
        variants = self._lower.variants
        smss = self.smss(c)
        c.congestion = make(
            c.options.congestion_control or config.congestion_control, config, smss, variants
        )
        c.recovery = variants.of(LossRecovery)(
            config, c.congestion, c.rtt, c.iss + 1, self._lower.events, c.name, variants
        )
        c.recovery.sack_enabled = c.sack_on
        if c.syns > 1:
            c.rtt.syn_was_lost()
        if c.syns > config.small_window_after_syns:
            c.congestion.on_syn_lost()

    def set_mss(self, c: Tcb, now: Instant) -> bool:
        """'Eff.snd.MSS = min(SendMSS+20, MMS_S) - TCPhdrsize - IPoptionsize'; True if it changed.

        RFC 9293 3.7.1 MUST-16; TCP options are taken off each segment.
        """
        mss = min(c.peer_mss, c.path.mtu(now) - _HEADERS)
        if c.options.max_segment is not None:
            mss = min(mss, c.options.max_segment)
        if c.link_limit:
            mss = min(mss, c.link_limit - _HEADERS)
        mss = max(mss, 28)  # RFC 1191 3: no path carries less than 68 bytes
        changed = mss != c.mss
        c.mss = mss
        return changed

    def smss(self, c: Tcb) -> int:
        """Bytes of data in a full segment of this connection."""
        return c.mss - (12 if c.ts_on else 0)
