"""Two ports joined by nothing but memory: for tests, and for labs without a kernel."""

from __future__ import annotations

from testbed.errors import LinkError
from testbed.link.inbox import InboxPort
from testbed.link.size import HEADER, room
from testbed.timing import Clock
from testbed.wire.addresses import MacAddr
from testbed.wire.frame import Direction, Frame

__all__ = ["MemoryPort", "memory_pair"]


class MemoryPort(InboxPort):
    """``Port`` whose cable ends in another one; made by memory_pair()."""

    def __init__(self, name: str, mac: MacAddr, clock: Clock, mtu: int, capacity: int) -> None:
        super().__init__(name, capacity, linked=True)
        self._mac = mac
        self._clock = clock
        self._mtu = mtu
        self._peer: MemoryPort | None = None

    @property
    def mac(self) -> MacAddr:
        """Its own address."""
        return self._mac

    @property
    def mtu(self) -> int:
        """The largest payload of an untagged frame, in bytes."""
        return self._mtu

    def send(self, frame: bytes) -> None:
        """Hand the frame to the other port, at once; LinkError when unplugged or too long."""
        self.check_sendable()
        longest = room(frame, self._mtu)
        if not HEADER <= len(frame) <= longest:
            raise LinkError(
                f"{self.name}: a frame of {len(frame)} bytes cannot be sent: expected {HEADER} "
                f"to {longest} with an MTU of {self._mtu}"
            )
        data = bytes(frame)
        self.keep(Frame(data, self._clock.now(), Direction.OUT))
        if self._peer is not None:
            self._peer.keep(Frame(data, self._clock.now(), Direction.IN))

    def unplug(self) -> None:
        """Pull the cable: both ends lose the link."""
        self._set_plugged(plugged=False)

    def plug(self) -> None:
        """Put the cable back."""
        self._set_plugged(plugged=True)

    def _set_plugged(self, *, plugged: bool) -> None:
        for end in (self, self._peer):
            if end is not None:
                end.set_link(plugged)


def memory_pair(
    name_a: str,
    name_b: str,
    clock: Clock,
    *,
    mtu: int = 1500,
    capacity: int = 100_000,
    mac_a: MacAddr = MacAddr("02:00:00:00:00:0a"),  # noqa: B008 - frozen
    mac_b: MacAddr = MacAddr("02:00:00:00:00:0b"),  # noqa: B008 - frozen
) -> tuple[MemoryPort, MemoryPort]:
    """Two ports joined by a cable: what one sends, the other receives in order and at once.

    ``clock`` stamps the frames; ``capacity`` is how many may wait at a port before it drops.
    """
    a = MemoryPort(name_a, mac_a, clock, mtu, capacity)
    b = MemoryPort(name_b, mac_b, clock, mtu, capacity)
    a._peer, b._peer = b, a  # noqa: SLF001 - the pair is made here
    return a, b
