"""Proof that a capture sees: the bench's own frames, sent over the paths that a plan uses.

A capture point is alive when a canary reached it before the plan's frames and a barrier after,
and settled when two rounds of barriers came through. Two rounds, because what a device emits at
port B on account of a frame that came in at port A left before the device could have handled the
second round's frame to B, which is sent only once the first round from A has arrived.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from testbed.capture import ArpProbe, Beacon, BeaconKind, parse_beacon
from testbed.errors import LinkError
from testbed.hosts import Loop, Station, Subscription, Tap
from testbed.timing import Duration, milliseconds
from testbed.wire import Direction, Frame, MacAddr, VlanTag

__all__ = ["ArpPath", "BeaconPath", "Beacons", "EthPath", "UdpPath"]

ROUND_WITHIN = milliseconds(600)
"""How long a round may take: a store-and-forward path takes microseconds, a busy lab machine ms."""


@dataclass(frozen=True, slots=True)
class EthPath:
    """A broadcast from one NIC to another, over a switch; ``vid`` where the sender tags it."""

    sender: Tap
    receiver: Tap
    vid: int | None = None

    def key(self) -> tuple[str, int | None]:
        """Paths with the same key share one frame."""
        return (self.sender.port.name, self.vid)

    def frame(self, beacon: Beacon) -> bytes:
        """What the sender puts on the wire."""
        tags = () if self.vid is None else (VlanTag(vid=self.vid),)
        return beacon.emit_broadcast(self.sender.port.mac, tags)

    def arrived(self, frame: Frame, beacon: Beacon) -> bool:
        """Whether ``frame``, seen at the receiver, is that beacon."""
        return frame.direction is Direction.IN and parse_beacon(frame.data) == beacon

    def __str__(self) -> str:
        tagged = "" if self.vid is None else f" in VLAN {self.vid}"
        return f"a broadcast from {self.sender.port.name} to {self.receiver.port.name}{tagged}"


@dataclass(frozen=True, slots=True)
class UdpPath:
    """A datagram from one station to another, over routers."""

    source: Station
    destination: Station
    next_hop: MacAddr

    @property
    def sender(self) -> Tap:
        """The NIC that sends it."""
        return self.source.tap

    @property
    def receiver(self) -> Tap:
        """The NIC that must see it."""
        return self.destination.tap

    def key(self) -> tuple[str, str]:
        """Paths with the same key share one frame."""
        return (str(self.source.address), str(self.destination.address))

    def frame(self, beacon: Beacon) -> bytes:
        """What the sender puts on the wire."""
        ends = self.source.address, self.destination.address
        return beacon.emit_udp(self.source.mac, self.next_hop, *ends)

    def arrived(self, frame: Frame, beacon: Beacon) -> bool:
        """Whether ``frame``, seen at the receiver, is that beacon."""
        return frame.direction is Direction.IN and parse_beacon(frame.data) == beacon

    def __str__(self) -> str:
        return f"a datagram from {self.source.address} to {self.destination.address}"


@dataclass(frozen=True, slots=True)
class ArpPath:
    """An ARP probe to the neighbour on a cable, and its answer: there and back on one NIC."""

    sender: Tap
    probe: ArpProbe

    @property
    def receiver(self) -> Tap:
        """The NIC that must see the answer."""
        return self.sender

    def key(self) -> tuple[str, str]:
        """Paths with the same key share one frame."""
        return (self.sender.port.name, str(self.probe.target))

    def frame(self, beacon: Beacon) -> bytes:
        """What the sender puts on the wire; there is no room in it for ``beacon``."""
        del beacon
        return self.probe.emit()

    def arrived(self, frame: Frame, beacon: Beacon) -> bool:
        """Whether ``frame`` is the neighbour's answer to the probe."""
        del beacon
        return frame.direction is Direction.IN and self.probe.is_answer(frame.data)

    def __str__(self) -> str:
        return f"an ARP answer of {self.probe.target} at {self.sender.port.name}"


BeaconPath = EthPath | UdpPath | ArpPath


class Beacons:
    """Sends rounds of beacons over given paths and tells which did not arrive."""

    def __init__(self, loop: Loop, nonce: bytes) -> None:
        self._loop = loop
        self._nonce = nonce
        self._sequence = 0

    def round(
        self, kind: BeaconKind, paths: Iterable[BeaconPath], within: Duration = ROUND_WITHIN
    ) -> list[BeaconPath]:
        """Send one beacon over every path at once; returns the paths over which none came."""
        waiting = list(paths)
        self._sequence += 1
        sent: dict[object, Beacon] = {}
        subscriptions: list[Subscription] = []

        def watch(receiver: Tap) -> Callable[[Frame], None]:
            def saw(frame: Frame) -> None:
                waiting[:] = [
                    path
                    for path in waiting
                    if path.receiver is not receiver or not path.arrived(frame, sent[path.key()])
                ]

            return saw

        for path in waiting:
            sent[path.key()] = Beacon(kind, self._nonce, self._sequence, path.sender.port.name)
        try:
            receivers = {id(path.receiver): path.receiver for path in waiting}.values()
            subscriptions.extend(receiver.subscribe(watch(receiver)) for receiver in receivers)
            emitted: set[object] = set()
            for path in list(waiting):
                if path.key() not in emitted:
                    emitted.add(path.key())
                    self._send(path, sent[path.key()])
            self._loop.run_until(lambda: not waiting, within)
        finally:
            for subscription in subscriptions:
                subscription.close()
        return waiting

    def _send(self, path: BeaconPath, beacon: Beacon) -> None:
        try:
            path.sender.send(path.frame(beacon))
        except LinkError:
            return  # a dead link: the path stays among those over which nothing came
