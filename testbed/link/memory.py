"""Two ports joined by nothing but memory: for tests, and for labs without a kernel."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from testbed.errors import LinkError
from testbed.link.size import HEADER, room
from testbed.timing import Clock
from testbed.wire.addresses import MacAddr
from testbed.wire.frame import Direction, Frame

__all__ = ["MemoryPort", "memory_pair"]


class MemoryPort:
    """``Port`` whose cable ends in another one; made by memory_pair().

    ``on_frame`` is called after each frame that arrives or leaves, in place of a descriptor.
    """

    def __init__(self, name: str, mac: MacAddr, clock: Clock, mtu: int, capacity: int) -> None:
        self.on_frame: Callable[[], None] | None = None
        self._name = name
        self._mac = mac
        self._clock = clock
        self._mtu = mtu
        self._capacity = capacity
        self._waiting: deque[Frame] = deque()
        self._peer: MemoryPort | None = None
        self._dropped = 0
        self._plugged = True
        self._downs = 0
        self._closed = False

    @property
    def name(self) -> str:
        """The port's name."""
        return self._name

    @property
    def mac(self) -> MacAddr:
        """Its own address."""
        return self._mac

    @property
    def mtu(self) -> int:
        """The largest payload of an untagged frame, in bytes."""
        return self._mtu

    def fileno(self) -> int:
        """There is no descriptor: -1."""
        return -1

    def send(self, frame: bytes) -> None:
        """Hand the frame to the other port, at once; LinkError when unplugged or too long."""
        if self._closed or not self._plugged:
            raise LinkError(f"{self._name}: cannot send: the link is down")
        longest = room(frame, self._mtu)
        if not HEADER <= len(frame) <= longest:
            raise LinkError(
                f"{self._name}: a frame of {len(frame)} bytes cannot be sent: expected {HEADER} "
                f"to {longest} with an MTU of {self._mtu}"
            )
        data = bytes(frame)
        self._take(Frame(data, self._clock.now(), Direction.OUT))
        if self._peer is not None:
            self._peer._take(Frame(data, self._clock.now(), Direction.IN))  # noqa: SLF001 - its pair

    def receive(self) -> list[Frame]:
        """All frames that wait, oldest first."""
        frames = list(self._waiting)
        self._waiting.clear()
        return frames

    def dropped(self) -> int:
        """Frames that found ``capacity`` others waiting."""
        return self._dropped

    def link_is_up(self) -> bool:
        """Whether the cable is plugged in."""
        return self._plugged

    def check_alive(self) -> None:
        """Raise LinkError when the cable is or was unplugged."""
        if not self._plugged:
            raise LinkError(f"{self._name} lost its link while it was in use")
        if self._downs:
            raise LinkError(
                f"{self._name} lost its link {self._downs} times while in use; it is back now"
            )

    def forgive(self) -> None:
        """Take the link's losses so far as meant."""
        self._downs = 0

    def unplug(self) -> None:
        """Pull the cable: both ends lose the link."""
        self._set_plugged(plugged=False)

    def plug(self) -> None:
        """Put the cable back."""
        self._set_plugged(plugged=True)

    def close(self) -> None:
        """Stop; frames that arrive are not kept. Closing twice is no error."""
        self._closed = True
        self._waiting.clear()

    def _set_plugged(self, *, plugged: bool) -> None:
        for end in (self, self._peer):
            if end is not None and end._plugged != plugged:  # noqa: SLF001 - its pair
                end._plugged = plugged  # noqa: SLF001
                end._downs += not plugged  # noqa: SLF001

    def _take(self, frame: Frame) -> None:
        if self._closed:
            return
        if len(self._waiting) >= self._capacity:
            self._dropped += 1
            return
        self._waiting.append(frame)
        if self.on_frame is not None:
            self.on_frame()


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
