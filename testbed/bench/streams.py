"""Streams as plans see them: started, watched, slowed down, stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from testbed.bench.sending import PATIENCE, Sending
from testbed.errors import PlanError
from testbed.hosts import Loop, Tap
from testbed.hosts.loop_sender import LoopSender
from testbed.link.port import KernelPort, RatedPort
from testbed.link.streams import Blend, Frames, Job, Listed, Pace, Sender
from testbed.link.streams.places import lay_out
from testbed.link.streams.values import as_number
from testbed.timing import Duration, seconds

__all__ = [
    "SLOWEST",
    "Stream",
    "as_flows",
    "frames_of",
    "line_rate",
    "open_sender",
    "refuse_management",
]

ETHERNET = 1
"""LINKTYPE_ETHERNET (https://www.tcpdump.org/linktypes.html)."""

SLOWEST = 50_000
"""Frames a second that any sender reaches, where none is asked for."""

Opener = Callable[[Job], tuple[Sender, str]]


class Stream(Sending):
    """Frames that a NIC sends by itself, while the plan goes on; made by ``nic.stream(...)``.

    As a context manager it runs within the ``with`` block::

        with nic.stream(frame, vary={"eth.src": Increment(count=100)}, pps=10_000) as stream:
            ...
        assert other.received == stream.sent
    """

    def __init__(
        self,
        role: str,
        blend: Blend,
        job: Job,
        *,
        loop: Loop,
        pace_of: Callable[..., Pace],
        opener: Opener,
        on_change: Callable[[], None],
    ) -> None:
        super().__init__(role, loop=loop, on_change=on_change)
        self.blend = blend
        self.job = job
        self.pace = job.pace
        """How fast it goes, or is to go."""
        self._pace_of = pace_of
        self._opener = opener

    @property
    def sent_by_flow(self) -> dict[str, int]:
        """Frames sent so far of each flow, by its name; ``flow 1`` and so on have none."""
        return dict(zip(self.blend.names, self.blend.split(self.sent), strict=True))

    @property
    def sent_bytes(self) -> int:
        """Bytes of the frames sent so far, about right where their lengths differ."""
        return round(self.sent * self.blend.mean_length)

    @property
    def total(self) -> int | None:
        """Frames in all; None where nobody knows."""
        return self.job.count

    def _open(self) -> tuple[Sender, str]:
        return self._opener(Job(self.blend, self.pace, self.job.count, self.job.duration))

    def set_rate(
        self,
        *,
        pps: float | None = None,
        bits_per_second: float | None = None,
        line_share: float | None = None,
    ) -> None:
        """Go on at another rate, from now on; without one, as fast as can be."""
        pace = self._pace_of(pps=pps, bits_per_second=bits_per_second, line_share=line_share)
        if self._sender is not None and self._running:
            self._sender.set_pace(pace)
        self.pace = pace

    def _should_take(self) -> Duration:
        if self.job.duration is not None:
            return Duration(self.job.duration + PATIENCE)
        if self.job.count is None:
            raise PlanError(f"{self.role}: the stream has no end: give it a count or a duration")
        rate = SLOWEST if self.pace.pps is None else min(self.pace.pps, SLOWEST)
        return Duration(seconds(self.job.count / rate) + PATIENCE)


def as_flows(role: str, what: Sequence[Any], vary: Any) -> list[Frames]:
    """What a plan gave as flows: flows, or frames that make one."""
    flows = [each for each in what if isinstance(each, Frames)]
    if flows and len(flows) < len(what):
        raise PlanError(f"{role}: a stream is of frames or of Frames(...), not of both")
    if flows and vary:
        raise PlanError(f"{role}: say in each Frames(...) what varies in it")
    if flows:
        return flows
    frames: list[Any] = []
    for each in what:
        frames.extend(frames_of(each) if isinstance(each, Path) else (each,))
    return [Frames(*frames, vary=vary)]


def frames_of(capture: Path) -> tuple[bytes, ...]:
    """The Ethernet frames of a pcap or pcapng file, in its order.

    PlanError where it has none, or others besides, or was made with a snap length that cut them;
    WireError where it is no capture.
    """
    # numpy is loaded where it is needed.
    from testbed.capture.columns import read_columns  # noqa: PLC0415

    columns = read_columns(capture.read_bytes())
    if not len(columns) or (columns.linktype() != ETHERNET).any():
        raise PlanError(f"{capture} cannot be sent: it is not of Ethernet frames alone")
    if (columns.captured < columns.length).any():
        raise PlanError(f"{capture} cannot be sent: some of its frames were cut by a snap length")
    return tuple(columns.packet(row) for row in range(len(columns)))


def line_rate(tap: Tap) -> int | None:
    """The rate of a NIC's line in bit/s; None where it does not tell."""
    return tap.port.line_rate if isinstance(tap.port, RatedPort) else None


def open_sender(tap: Tap, loop: Loop, job: Job, *, captured: bool) -> tuple[Sender, str]:
    """The fastest sender for a port, and why it is this one."""
    if not isinstance(tap.port, KernelPort):
        return LoopSender(job, tap, loop, line_rate(tap)), "it keeps the lab's own time"
    # numpy, and what only Linux has, are loaded where they are needed.
    from testbed.link.streams.choosing import choose  # noqa: PLC0415

    choice = choose(job, tap.port.interface, captured=captured)
    return choice.sender, choice.why


def refuse_management(role: str, blend: Blend, networks: Iterable[IPv4Network]) -> None:
    """PlanError when a frame of the stream can be for an address that is kept for management."""
    for network in networks:
        for flow in blend.flows:
            for template in flow.templates:
                fields = lay_out(template).fields
                for name in ("ipv4.dst", "arp.target_ip"):
                    if name in fields and any(
                        low <= int(network.broadcast_address) and int(network[0]) <= high
                        for low, high in _spans(flow, template, fields[name])
                    ):
                        raise PlanError(
                            f"{role}: no stream, its {name} can be in the bench's management "
                            f"network {network} (limits.management)"
                        )


def _spans(flow: Any, template: bytes, place: Any) -> list[tuple[int, int]]:
    """What the address at ``place`` can be, from and to."""
    everything = (0, int(IPv4Address("255.255.255.255")))
    for each in flow.fields:
        if each.place == place:
            if isinstance(each.values, Listed):
                return [(number, number) for number in map(as_number, each.values.values)]
            return [each.values.bounds(32)]
        if each.place.offset < place.end and place.offset < each.place.end:
            return [everything]
    address = place.read(template)
    return [(address, address)]
