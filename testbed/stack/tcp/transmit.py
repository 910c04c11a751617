"""Putting segments on the wire: headers, options, windows."""

from __future__ import annotations

from struct import Struct
from typing import Final

from testbed.stack.lower import Lower, Path
from testbed.stack.tcp.notices import ResetSent
from testbed.stack.tcp.tcb import Tcb, Timer
from testbed.stack.tcp.tuned import Tuned
from testbed.stack.tcp.window import Window
from testbed.timing import Instant
from testbed.wire.checksum import fold, ones_sum, pseudo_header_sum
from testbed.wire.ipv4 import IpProtocol, IPv4Packet
from testbed.wire.tcp import TcpFlags, TcpSegment
from testbed.wire.tcp_options import (
    MSS,
    Sack,
    SackPermitted,
    TcpOption,
    Timestamps,
    WindowScale,
)

__all__ = ["ACK", "FIN", "PSH", "RST", "SYN", "URG", "Transmitter"]

FIN: Final = int(TcpFlags.FIN)
SYN: Final = int(TcpFlags.SYN)
RST: Final = int(TcpFlags.RST)
PSH: Final = int(TcpFlags.PSH)
ACK: Final = int(TcpFlags.ACK)
URG: Final = int(TcpFlags.URG)

_MASK: Final = 0xFFFFFFFF
_LEAST_DATA: Final = 8
"""Bytes of data for which options leave room in a full segment, however small."""
_PLAIN = Struct("!HHIIHHHH")
_STAMPED = Struct("!HHIIHHHHIII")
_STAMP_HEAD: Final = 0x0101080A  # NOP, NOP, kind 8, length 10 (RFC 7323 appendix A)
_PLAIN_CONTROL: Final = 0x5000
_STAMPED_CONTROL: Final = 0x8000


class Transmitter(Tuned):
    """Makes a connection's segments and hands them to IP."""

    __slots__ = ("_entropy", "_events", "_lower", "window")

    def __init__(self, lower: Lower) -> None:
        super().__init__(lower.config.tcp)
        self._lower = lower
        self._entropy = lower.entropy
        self._events = lower.events
        self.window = lower.variants.of(Window)(self._config)

    # Options

    def clock(self, c: Tcb, now: Instant) -> int:
        """The timestamp clock of ``c`` (RFC 7323 5.4)."""
        return (now // self._config.timestamp_tick + c.ts_offset) & _MASK

    def blocks(self, c: Tcb, *, data: bool) -> tuple[tuple[int, int], ...]:
        """What the next segment's SACK option reports (RFC 2018 3, RFC 2883 4), unwrapped.

        With ``data`` it leaves room for some in the segment.
        """
        if c.override is not None and c.override.sack is not None:
            return c.override.sack
        if not c.sack_on or not (c.receiving.out_of_order_bytes or c.dsack):
            return ()
        # RFC 2018 3: 4 blocks fit, 3 besides timestamps; fewer where the path carries so little
        # that no data would fit beside them (each takes 8 bytes, the option's head 4).
        stamps, most = (12, 3) if c.ts_on else (0, 4)
        most = min(most, (c.mss - stamps - 4 - (_LEAST_DATA if data else 0)) // 8)
        if most <= 0:
            return ()
        blocks = c.receiving.sack_blocks(most, c.dsack)
        if c.rcv_fin <= c.rcv_nxt:
            return blocks
        # A FIN behind a hole has come, too: unless the block tells, the peer sends it again.
        fin = c.rcv_fin
        return tuple([(left, right + (right == fin)) for left, right in blocks])

    def options_size(self, c: Tcb) -> int:
        """Bytes that options take of the next segment (RFC 6691)."""
        size = 12 if c.ts_on else 0
        if (c.dsack or c.receiving.out_of_order_bytes or c.override) and (
            blocks := self.blocks(c, data=True)
        ):
            size += 4 + 8 * len(blocks)
        return size

    def _options(self, c: Tcb, now: Instant, *, data: bool) -> tuple[TcpOption, ...]:
        options: list[TcpOption] = []
        if c.ts_on:
            options.append(Timestamps(self.clock(c, now), c.ts_recent))
        if blocks := self.blocks(c, data=data):
            edges = tuple((left & _MASK, right & _MASK) for left, right in blocks)
            options.append(Sack(edges))
        return tuple(options)

    def syn_options(self, c: Tcb, now: Instant, *, answer: bool) -> tuple[TcpOption, ...]:
        """What a SYN, or with ``answer`` a SYN+ACK, offers; ordered and aligned as Linux does."""
        sack, stamps, scale = c.sack_on, c.ts_on, c.rcv_scale
        options: list[TcpOption] = [MSS(c.told_mss)]
        if sack:
            options.append(SackPermitted())
        if stamps:
            options.append(Timestamps(self.clock(c, now), c.ts_recent if answer else 0))
        if scale >= 0:
            options.append(WindowScale(scale))
        return tuple(options)

    # Segments of a connection

    def send(self, c: Tcb, now: Instant, seq: int, flags: int, payload: bytes = b"") -> None:
        """Send one segment with ACK, window and options as they are now."""
        if c.override is not None and self._kept_back(c, now, flags, payload):
            return
        window = self.window.field(c)
        if c.snd_up > seq:
            flags |= URG
        self._acknowledged(c)
        c.segments_out += 1
        c.bytes_out += len(payload)
        c.sent_at = now
        if flags & URG or c.dsack or c.receiving.out_of_order_bytes or c.override is not None:
            urgent = min(c.snd_up - seq, 0xFFFF) if flags & URG else 0
            options = self._options(c, now, data=bool(payload))
            c.dsack = None
            self.put(
                c,
                now,
                seq,
                c.rcv_nxt,
                flags,
                window=window,
                options=options,
                payload=payload,
                urgent=urgent,
            )
            return
        self._put_fast(c, now, seq, flags, payload, window=window)

    def ack(self, c: Tcb, now: Instant) -> None:
        """Send a bare ACK."""
        self.send(c, now, self.next_number(c), ACK)

    def next_number(self, c: Tcb) -> int:
        """SND.NXT for segments without data, but not beyond the peer's window.

        A window probe, and a peer that took back what it had offered, leave SND.NXT beyond it: the
        peer would drop an ACK or reset that is numbered so, and both sides could wait for ever.
        """
        edge = c.snd_una + c.snd_wnd
        return c.snd_nxt if c.snd_nxt <= edge or not c.irs_known else edge

    def syn(self, c: Tcb, now: Instant) -> None:
        """Send the SYN, or the SYN+ACK once the peer's SYN came."""
        answer = c.irs_known
        flags = SYN | ACK if answer else SYN
        window = self.window.unscaled(c)
        options = self.syn_options(c, now, answer=answer)
        if c.override is not None and c.override.mute:
            return
        if answer:
            self._acknowledged(c)
        c.segments_out += 1
        c.sent_at = now
        self.put(c, now, c.iss, c.rcv_nxt if answer else 0, flags, window=window, options=options)

    def reset(self, c: Tcb, now: Instant) -> None:
        """Abort: <SEQ=SND.NXT><CTL=RST> (RFC 9293 3.10.5)."""
        self._events.add(ResetSent(now, c.name))
        if c.override is not None and c.override.mute:
            return
        c.segments_out += 1
        acks = self._config.reset_with_ack
        flags, ack = (RST | ACK, c.rcv_nxt) if acks else (RST, 0)
        options = self._reset_options(c, now, acks=acks)
        self.put(c, now, self.next_number(c), ack, flags, window=0, options=options)

    def _reset_options(self, c: Tcb, now: Instant, *, acks: bool = False) -> tuple[TcpOption, ...]:
        # RFC 7323 3.2: TSopt 'SHOULD be sent in an <RST> segment'; 'If the ACK bit is not set in
        # the outgoing TCP header, the sender of that segment SHOULD set the TSecr field to zero.'
        if not (c.ts_on and c.irs_known):
            return ()
        return (Timestamps(self.clock(c, now), c.ts_recent if acks else 0),)

    def _acknowledged(self, c: Tcb) -> None:
        c.last_ack_sent = c.rcv_nxt
        c.ack_now = False
        if c.delayed or Timer.DELAYED_ACK in c.due:
            c.delayed = c.delayed_full = 0
            c.due.pop(Timer.DELAYED_ACK, None)

    def _kept_back(self, c: Tcb, now: Instant, flags: int, payload: bytes) -> bool:
        """Whether a plan keeps this segment back: all of them, or a bare ACK."""
        override = c.override
        if override is None or override.mute:
            return True
        if flags != ACK or payload:
            return False
        if override.withhold is None or override.withhold > 0:
            if override.withhold:
                override.withhold -= 1
            self._acknowledged(c)
            return True
        if override.ack_delay is not None and Timer.STEERED not in c.due:
            c.due[Timer.STEERED] = Instant(now + override.ack_delay)
            self._acknowledged(c)
            return True
        return override.ack_delay is not None and c.due[Timer.STEERED] > now

    def put(
        self,
        c: Tcb,
        now: Instant,
        seq: int,
        ack: int,
        flags: int,
        *,
        window: int,
        options: tuple[TcpOption, ...] = (),
        payload: bytes = b"",
        urgent: int = 0,
    ) -> None:
        """Send exactly this on the connection's path; numbers may be unwrapped."""
        segment = TcpSegment(
            src_port=c.local[1],
            dst_port=c.remote[1],
            seq=seq & _MASK,
            ack=ack & _MASK,
            flags=TcpFlags(flags),
            window=window,
            urgent=urgent,
            options=options,
            payload=payload,
        )
        data = segment.emit(c.local[0], c.remote[0])
        self._to_path(c, data, now)

    def _put_fast(
        self, c: Tcb, now: Instant, seq: int, flags: int, payload: bytes, *, window: int
    ) -> None:
        """As ``put`` with no option but timestamps, at a fifth of the cost."""
        seq &= _MASK
        ack = c.rcv_nxt & _MASK
        source, here = c.local
        destination, there = c.remote
        if c.ts_on:
            value = (now // self._config.timestamp_tick + c.ts_offset) & _MASK
            recent = c.ts_recent
            control = _STAMPED_CONTROL | flags
            words = _STAMP_HEAD + value + recent
            words += c.key[0] + c.key[2] + IpProtocol.TCP + 32 + len(payload)
            words += here + there + seq + ack + control + window
            if payload:
                words += ones_sum(payload)
            data = _STAMPED.pack(
                here, there, seq, ack, control, window, fold(words), 0, _STAMP_HEAD, value, recent
            )
        else:
            control = _PLAIN_CONTROL | flags
            words = pseudo_header_sum(source, destination, IpProtocol.TCP, 20 + len(payload))
            words += here + there + seq + ack + control + window
            if payload:
                words += ones_sum(payload)
            data = _PLAIN.pack(here, there, seq, ack, control, window, fold(words), 0)
        self._to_path(c, data + payload if payload else data, now)

    @property
    def _df(self) -> bool:
        return self._lower.config.pmtu.enabled

    def _to_path(self, c: Tcb, data: bytes, now: Instant) -> None:
        options = c.options
        c.path.send(
            data,
            IpProtocol.TCP,
            now,
            ttl=options.ttl,
            tos=options.tos,
            df=self._df,
        )

    # Segments of no connection

    def refuse(self, packet: IPv4Packet, segment: TcpSegment, path: Path, now: Instant) -> None:
        """Answer a segment that belongs to no connection with a reset (RFC 9293 3.10.7.1)."""
        flags = int(segment.flags)
        if flags & ACK:
            answer = TcpSegment(segment.dst_port, segment.src_port, segment.ack, 0, TcpFlags.RST, 0)
        else:
            ack = (segment.seq + segment.span) & _MASK
            answer = TcpSegment(
                segment.dst_port, segment.src_port, 0, ack, TcpFlags.RST | TcpFlags.ACK, 0
            )
        name = f"{packet.dst}:{segment.dst_port}-{packet.src}:{segment.src_port}"
        self._events.add(ResetSent(now, name))
        path.send(
            answer.emit(packet.dst, packet.src),
            IpProtocol.TCP,
            now,
            df=self._df,
        )

    def refuse_ack(self, c: Tcb, segment: TcpSegment, now: Instant) -> None:
        """<SEQ=SEG.ACK><CTL=RST>: an ACK for what this connection never sent."""
        self._events.add(ResetSent(now, c.name))
        if c.override is not None and c.override.mute:
            return
        self.put(c, now, segment.ack, 0, RST, window=0, options=self._reset_options(c, now))
