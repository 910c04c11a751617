"""A cable and what it does to frames: rate, delay, loss, duplex, room for those that wait."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from testbed.sim.journey import Journal
from testbed.stack.entropy import Entropy
from testbed.stack.variants import Defect, Variants
from testbed.timing import Duration, Instant, microseconds

__all__ = ["OVERHEAD", "End", "Ether", "Lane", "Link", "LinkSpec", "Medium", "Sink"]

OVERHEAD: Final = 24
"""Bytes that a frame takes on the wire besides its own: preamble and SFD 8, FCS 4, gap 12 (IEEE
802.3 4.4.2 and 35.2.3.2)."""

_NS_PER_SECOND: Final = 1_000_000_000
_MILLION: Final = 1_000_000
_HEADER_AND_TAGS: Final = 22


class Sink(Protocol):
    """A device at an end of a link, as the link sees it."""

    @property
    def name(self) -> str:
        """The device's name."""

    @property
    def lanes(self) -> dict[str, Lane]:
        """The ways out, by port."""

    def deliver(self, port: str, frame: bytes) -> None:
        """Hand the device a frame."""

    def set_link(self, port: str, up: bool) -> None:
        """Tell the device that a link came or went."""

    def is_enabled(self, port: str) -> bool:
        """Whether the device has the port switched on."""


class Ether(Protocol):
    """The network, as its links see it."""

    instant: Instant
    journal: Journal

    def schedule(self, at: Instant, whom: Lane, frame: bytes) -> None:
        """Have ``whom.arrive(frame, cause)`` called at ``at``."""


End = tuple[Sink, str]
"""A device, and the port."""


@dataclass(frozen=True, slots=True)
class LinkSpec:
    """What a cable is like.

    ``rate`` is in bit/s, ``delay`` the propagation delay one way, ``loss`` the share of frames that
    vanish, ``queue`` how many bytes may wait at each end for their turn. ``mtu`` is the largest
    payload of an untagged frame that the sockets at its ends let through, in bytes.
    """

    rate: int = 1_000_000_000
    delay: Duration = microseconds(1)
    loss: float = 0.0
    mtu: int = 16_384
    half_duplex: bool = False
    queue: int = 16_000_000


class Medium:
    """What one sender at a time may use: until when it is in use. Half duplex has one both ways."""

    __slots__ = ("busy_until",)

    def __init__(self) -> None:
        self.busy_until = Instant(0)


class Lane:
    """One way of a link: from one end's queue to the other end."""

    __slots__ = (
        "_delay",
        "_entropy",
        "_longest_wait",
        "_loss",
        "_mtu",
        "_ns_per_byte",
        "end",
        "lost",
        "medium",
        "name",
        "network",
        "opposite",
        "sent",
        "target",
        "target_port",
        "up",
    )

    def __init__(  # noqa: PLR0917 - a link makes its two lanes, alike
        self,
        name: str,
        network: Ether,
        spec: LinkSpec,
        medium: Medium,
        target: End,
        entropy: Entropy,
    ) -> None:
        self.name = name
        """From where to where: ``a>sw1:p1``."""
        self.network = network
        self.opposite = self
        """The other way of the same link."""
        self.target, self.target_port = target
        self.medium = medium
        self.up = False
        self.sent = 0
        """Frames that reached the far end."""
        self.lost = 0
        """Frames that did not."""
        self._ns_per_byte = 8 * _NS_PER_SECOND / spec.rate
        self._delay = spec.delay
        self._longest_wait = round(spec.queue * self._ns_per_byte)
        self._mtu = spec.mtu
        self._loss = round(spec.loss * _MILLION)
        self._entropy = entropy

    def send(self, frame: bytes) -> None:
        """Queue a frame: it arrives whole once all before it, and itself, have been on the wire."""
        network = self.network
        now = network.instant
        if not self.up:
            self._lose(frame, "no link")
            return
        medium = self.medium
        start = medium.busy_until
        if start < now:
            start = now
        elif start - now > self._longest_wait:
            self._lose(frame, "queue full")
            return
        size = len(frame)
        # Whole nanoseconds: the same on every machine.
        end = Instant(start + self.time_on_wire(size))
        medium.busy_until = end
        if size > self._mtu + _HEADER_AND_TAGS:
            self._lose(frame, "too long for the cable")
            return
        if self._loss and self._entropy.below(_MILLION) < self._loss:
            self._lose(frame, "lost on the cable")
            return
        network.schedule(Instant(end + self._delay), self, frame)

    @property
    def rate(self) -> int:
        """How fast it is, in bit/s."""
        return round(8 * _NS_PER_SECOND / self._ns_per_byte)

    def time_on_wire(self, size: int) -> int:
        """Nanoseconds that a frame of ``size`` bytes, preamble, FCS and gap take."""
        return int((size + OVERHEAD) * self._ns_per_byte)

    def arrive(self, frame: bytes, cause: int) -> None:
        """The frame is at the far end, unless the cable was pulled meanwhile."""
        if not self.up:
            self._lose(frame, "cable pulled")
            return
        self.sent += 1
        network = self.network
        network.journal.arrive(network.instant, self.name, frame, cause)
        self.target.deliver(self.target_port, frame)

    def _lose(self, frame: bytes, why: str) -> None:
        self.lost += 1
        self.network.journal.lose(self.network.instant, self.name, frame, why)


class Link:
    """A cable between two ports. It has a link when it is plugged in and both ports are on."""

    def __init__(
        self,
        network: Ether,
        spec: LinkSpec,
        ends: tuple[End, End],
        entropy: Entropy,
        defects: Iterable[Defect] = (),
    ) -> None:
        self.spec = spec
        self.ends = ends
        self._network = network
        self._entropy = entropy
        self.plugged = True
        self.up = False
        (left, left_port), (right, right_port) = ends
        there = Medium()
        back = there if spec.half_duplex else Medium()
        lane = Variants(defects).of(Lane)
        names = [f"{node.name}:{port}" if port else node.name for node, port in ends]
        self.lanes = (
            lane(f"{names[0]}>{names[1]}", network, spec, there, ends[1], entropy),
            lane(f"{names[1]}>{names[0]}", network, spec, back, ends[0], entropy),
        )
        self.lanes[0].opposite, self.lanes[1].opposite = self.lanes[1], self.lanes[0]
        left.lanes[left_port] = self.lanes[0]
        right.lanes[right_port] = self.lanes[1]

    def remade(self, defects: Iterable[Defect]) -> Link:
        """The same cable with these defects, in its place."""
        made = Link(self._network, self.spec, self.ends, self._entropy, defects)
        made.plugged, made.up = self.plugged, self.up
        for lane in made.lanes:
            lane.up = self.up
        return made

    def set_plugged(self, plugged: bool) -> None:
        """Pull the cable out, or put it back: both ends notice."""
        self.plugged = plugged
        self.refresh()

    def refresh(self) -> None:
        """See whether there is a link, and tell both ends where that changed."""
        up = self.plugged and all(node.is_enabled(port) for node, port in self.ends)
        if up == self.up:
            return
        self.up = up
        for lane in self.lanes:
            lane.up = up
        for node, port in self.ends:
            node.set_link(port, up)
