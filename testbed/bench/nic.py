"""A controller NIC as plans see it: it injects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from testbed.bench import streams
from testbed.bench.playing import PlayingNic
from testbed.bench.recordings import NicRecording
from testbed.bench.sending import Sending
from testbed.bench.streams import Stream
from testbed.bench.tallies import ReceiveTally
from testbed.errors import PlanError, Unsupported
from testbed.hosts import Loop, Tap
from testbed.link.port import FlawedSender
from testbed.link.recorder import FilterLike, Limits, Wish, as_filter
from testbed.link.recorder.wish import RING, SNAP
from testbed.link.streams import Blend, Job, Pace, Values
from testbed.timing import Duration, Instant
from testbed.wire import EtherType, EthFrame, MacAddr, dissect, summary, to_bytes

__all__ = ["BenchNic"]


class BenchNic(PlayingNic):
    """One controller NIC in one plan."""

    def __init__(
        self,
        role: str,
        tap: Tap,
        loop: Loop,
        *,
        management: tuple[IPv4Network, ...],
        max_rate: int | None,
        on_inject: Callable[[], None],
    ) -> None:
        self.role = role
        self.tap = tap
        self._loop = loop
        self._management = management
        self._gap = Duration(1_000_000_000 // max_rate) if max_rate else Duration(0)
        self._max_rate = max_rate
        self._next = Instant(0)
        self._on_inject = on_inject
        self._streams: list[Sending] = []
        self._recordings: list[NicRecording] = []

    @property
    def mac(self) -> MacAddr:
        """The NIC's own address."""
        return self.tap.port.mac

    @property
    def mtu(self) -> int:
        """The largest payload of an untagged frame, in bytes."""
        return self.tap.port.mtu

    def inject(self, *frames: Any) -> None:
        """Send frames, in order: wire values, bytes from the destination MAC on, scapy packets.

        An EthFrame is filled up to the least length, as a NIC would; bytes go as they are, unless
        the NIC itself fills them up. A frame for an address that the bench file calls management
        is refused (PlanError), and frames leave no faster than its ``limits.max_rate``.
        """
        self._inject(frames, self.tap.send)

    def inject_damaged(self, *frames: Any) -> None:
        """Send frames whose check sequence is wrong; Unsupported on a NIC that cannot."""
        port = self.tap.port
        if not isinstance(port, FlawedSender):
            raise Unsupported(f"{self.role}: this NIC cannot send a wrong frame check sequence")
        self._inject(frames, port.send_damaged)

    def inject_runt(self, *frames: Any) -> None:
        """Send frames as short as they are, below 60 bytes; Unsupported on a NIC that cannot."""
        port = self.tap.port
        if not isinstance(port, FlawedSender):
            raise Unsupported(f"{self.role}: this NIC cannot send a frame below the least length")
        self._inject(frames, port.send_runt, pad=False)

    @property
    def sends_flawed(self) -> bool:
        """Whether the NIC can send runts and wrong check sequences."""
        return isinstance(self.tap.port, FlawedSender)

    def stream(
        self,
        *what: Any,
        vary: Mapping[str, Values] | None = None,
        pps: float | None = None,
        bits_per_second: float | None = None,
        line_share: float | None = None,
        burst: int = 1,
        count: int | None = None,
        duration: Duration | None = None,
        captured: bool = False,
    ) -> Stream:
        """Frames that the NIC sends by itself, at a rate; not started yet.

        ``what`` are frames as inject() takes them, or the Path of a capture, sent in turn with the
        fields of ``vary`` new in each; or ``Frames(...)``, which are mixed by their shares.
        At most one rate is given: ``pps``, ``bits_per_second`` of whole frames with their FCS, or
        ``line_share`` from 0 to 1; with none it is as fast as the NIC and this machine can.
        ``burst`` frames leave together. It ends after ``count`` frames, after ``duration``, or
        with stop().

        The frames go the fastest way that there is, on which captures of this very NIC may miss
        them; with ``captured`` they do not. Management addresses and ``limits.max_rate`` hold as
        for inject().
        """
        blend = Blend(streams.as_flows(self.role, what, vary))
        streams.refuse_management(self.role, blend, self._management)

        def pace_of(**rate: float | None) -> Pace:
            line_rate = streams.line_rate(self.tap)
            pace = Pace.of(blend.mean_length, **rate, line_rate=line_rate, burst=burst)
            if self._max_rate and (pace.pps is None or pace.pps > self._max_rate):
                return Pace(self._max_rate, burst)
            return pace

        pace = pace_of(pps=pps, bits_per_second=bits_per_second, line_share=line_share)
        stream = streams.Stream(
            self.role,
            blend,
            Job(blend, pace, count, duration),
            loop=self._loop,
            pace_of=pace_of,
            opener=partial(streams.open_sender, self.tap, self._loop, captured=captured),
            on_change=self._on_inject,
        )
        self._streams.append(stream)
        return stream

    def tally(self, *, captured: bool = False) -> ReceiveTally:
        """Counts what arrives of signed streams (``signed(...)``), within a ``with`` block.

        In the fastest way that there is, which keeps these frames from captures of this NIC; with
        ``captured`` they see them.
        """
        return ReceiveTally(self.role, self.tap, self._loop, captured=captured)

    def record(
        self,
        wanted: FilterLike | None = None,
        *,
        until: FilterLike | None = None,
        count: int | None = None,
        size: int | None = None,
        duration: Duration | None = None,
        path: Path | None = None,
        keep: int | None = None,
        snap: int = SNAP,
        ring: int = RING,
        take: bool = False,
        lossy: bool = False,
    ) -> NicRecording:
        """Record what comes to the NIC, at full rate, within a ``with`` block.

        ``wanted`` frames, all by default: an expression as tcpdump takes it, or values by fields,
        ``{"udp.dst_port": 53}``. It ends with the block, or with the first frame of ``until``,
        after ``count`` frames, before it has more than ``size`` bytes, after ``duration``. The
        frames go to the pcapng file ``path`` as they come, or stay in memory, of which the latest
        ``keep`` bytes. Of each the first ``snap`` bytes are kept.

        ``take`` keeps the frames from all others on this NIC, captures too, where that can be: the
        greatest rates need it. ``ring`` is the memory for what waits to be written; when that is
        full, frames are lost, and the block ends in a CaptureError unless it may be ``lossy``.
        """
        wish = Wish(
            wanted=as_filter(wanted),
            until=as_filter(until),
            limits=Limits(count, size, duration),
            snap=snap,
            take=take,
            ring=ring,
            path=path,
            keep=keep,
        )
        recording = NicRecording(self.role, wish, self.tap, self._loop, lossy=lossy)
        self._recordings.append(recording)
        return recording

    def end_recordings(self) -> list[str]:
        """Stop every recording that still runs; what was lost in any of them, in words."""
        for recording in self._recordings:
            recording.abandon()
        return [
            f"{each.role}: {each.losses}" for each in self._recordings if each.begun and each.lost
        ]

    def end_streams(self) -> None:
        """Stop every stream that still runs, as the plan ends."""
        for stream in self._streams:
            stream.abandon()

    def _inject(
        self, frames: tuple[Any, ...], send: Callable[[bytes], None], *, pad: bool = True
    ) -> None:
        for frame in frames:
            data = frame.emit(pad=pad) if isinstance(frame, EthFrame) else to_bytes(frame)
            self._refuse_management(data)
            if self._gap:
                now = self._loop.now()
                if now < self._next:
                    self._loop.run_until(lambda: False, Duration(self._next - now))
                self._next = Instant(max(now, self._next) + self._gap)
            send(data)
            self._on_inject()

    def _refuse_management(self, data: bytes) -> None:
        target = _target(data) if self._management else None
        for network in self._management:
            if target is not None and target in network:
                raise PlanError(
                    f"{self.role}: not injected, {target} is in the bench's management network "
                    f"{network} (limits.management): {summary(data)}"
                )


def _target(data: bytes) -> IPv4Address | None:
    """Whom a frame is for: the IPv4 destination or the ARP target, however broken the rest is."""
    eth = dissect(data).eth
    if eth is None:
        return None
    at = {EtherType.IPV4: 16, EtherType.ARP: 24}.get(eth.ethertype)  # RFC 791 3.1, RFC 826
    if at is None or len(eth.payload) < at + 4:
        return None
    return IPv4Address(eth.payload[at : at + 4])
