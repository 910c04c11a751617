"""A NIC of the sim lab: the tester's end of a simulated cable, or a simulated host's."""

from __future__ import annotations

from testbed.errors import LinkError
from testbed.link.inbox import InboxPort
from testbed.link.size import HEADER
from testbed.sim.frames import LEAST, BadFcs, as_bytes
from testbed.sim.network import Node
from testbed.sim.nic import MacFilter
from testbed.stack.output import Outgoing
from testbed.timing import Instant
from testbed.wire.addresses import MacAddr
from testbed.wire.frame import Direction, Frame

__all__ = ["WIRE", "SimPort", "Socket"]

WIRE = ""
"""The name of the one port of a NIC in the network."""

CAPACITY = 1_000_000
"""Frames that may wait to be read: more than any plan sends between two turns of the loop."""

LONGEST = 9216 + HEADER + 4
"""Bytes of the longest frame that the NIC's MAC sends or takes, whatever its MTU."""


class SimPort(InboxPort):
    """``Port`` on a simulated cable: what it brings waits to be read, what is sent goes at once.

    A tester's card takes everything, as capture cards do: frames with a bad FCS are marked, runts
    kept. That of a host drops them.
    """

    def __init__(self, name: str, card: MacFilter, epoch: Instant) -> None:
        super().__init__(name, CAPACITY, linked=False)
        self.node: Node
        """Its place in the network; set by whoever puts it there."""
        self._card = card
        self._epoch = epoch

    @property
    def mac(self) -> MacAddr:
        """Its own address."""
        return self._card.mac

    @property
    def mtu(self) -> int:
        """The largest payload of an untagged frame, in bytes, that the bench file allows."""
        return self._card.mtu

    @property
    def clock(self) -> str:
        """What stamps frames here."""
        return "virtual time: the lab's own, which no real clock is part of"

    @property
    def line_rate(self) -> int:
        """The cable's rate, in bit/s."""
        return self.node.lanes[WIRE].rate

    def send(self, frame: bytes) -> None:
        """Put a frame on the wire, filled up to the least length as the MAC of any NIC does it.

        LinkError without a link, or where no NIC could send it.
        """
        self._send(frame, frame if len(frame) >= LEAST else frame.ljust(LEAST, b"\0"))

    def send_runt(self, frame: bytes) -> None:
        """Put a frame on the wire as it is, however short; LinkError as send()."""
        self._send(frame, frame)

    def send_damaged(self, frame: bytes) -> None:
        """Put a frame on the wire whose check sequence is wrong; LinkError as send()."""
        self._send(frame, BadFcs(frame))

    def _send(self, frame: bytes, on_wire: bytes) -> None:
        self.check_sendable()
        if not HEADER <= len(frame) <= LONGEST:
            raise LinkError(
                f"{self.name}: a frame of {len(frame)} bytes cannot be sent: expected {HEADER} "
                f"to {LONGEST}"
            )
        lane = self.node.lanes[WIRE]
        self._take(frame, lane.network.instant, Direction.OUT)
        lane.send(on_wire)

    def hear(self, frame: bytes, now: Instant) -> None:
        """Take a frame from the cable."""
        if self._card.takes(frame):
            self._take(frame, now, Direction.IN)

    def _take(self, frame: bytes, now: Instant, direction: Direction) -> None:
        damaged = isinstance(frame, BadFcs)
        seen = as_bytes(frame)
        self.keep(Frame(seen, Instant(self._epoch + now), direction, damaged=damaged))


class Socket:
    """A NIC's place in the network: ``Face`` to the cable, for the port behind it."""

    def __init__(self, name: str, port: SimPort) -> None:
        self.name = name
        self.port = port

    def receive(self, frame: bytes, now: Instant, interface: str | None = None) -> None:
        """Hand the port a frame."""
        del interface
        self.port.hear(frame, now)

    def handle_timeout(self, now: Instant) -> None:
        """Nothing is ever due."""

    def poll_timeout(self) -> Instant | None:
        """Nothing is ever due."""
        return None

    def poll_transmit(self, now: Instant) -> Outgoing | None:
        """What is sent has gone already."""
        del now
        return None

    def set_link(self, port: str, up: bool, now: Instant) -> None:
        """The link came or went."""
        del port, now
        self.port.set_link(up)

    def is_enabled(self, port: str) -> bool:
        """A NIC is always on."""
        del port
        return True
