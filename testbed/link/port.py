"""What every port can do, whatever carries its frames."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from testbed.wire.addresses import MacAddr
from testbed.wire.frame import Frame

__all__ = [
    "ClockedPort",
    "FlawedSender",
    "KernelPort",
    "Port",
    "PushingPort",
    "RatedPort",
    "clock_of",
]


class Port(Protocol):
    """A place where frames enter and leave the controller. Nothing here blocks."""

    @property
    def name(self) -> str:
        """The port's name in the bench file."""

    @property
    def mac(self) -> MacAddr:
        """Its own address."""

    @property
    def mtu(self) -> int:
        """The largest payload of an untagged Ethernet frame, in bytes."""

    def fileno(self) -> int:
        """A descriptor that becomes readable when frames wait; -1 where there is none."""

    def send(self, frame: bytes) -> None:
        """Put one frame (from the destination MAC on, no FCS) on the wire, unaltered.

        Raises LinkError when the port cannot: link down, longer than the MTU allows.
        """

    def receive(self) -> list[Frame]:
        """All frames that wait, both directions, oldest first; empty when there are none.

        Frames that were sent through this port come back with Direction.OUT and the time at which
        the kernel handed them to the driver.
        """

    def dropped(self) -> int:
        """Frames that the kernel or the ring lost since the port was opened."""

    def link_is_up(self) -> bool:
        """Whether frames can pass now."""

    def check_alive(self) -> None:
        """Raise LinkError when the link is down, or went down or the NIC changed while in use.

        In use means since the port was opened, or since the last forgive().
        """

    def forgive(self) -> None:
        """Take the link's losses so far as meant, as when a plan set the far port down."""

    def close(self) -> None:
        """Stop, and put every setting of the NIC back as it was; closing twice is no error."""


@runtime_checkable
class PushingPort(Protocol):
    """A port without a descriptor, which calls when a frame arrives or leaves."""

    on_frame: Callable[[], None] | None


@runtime_checkable
class RatedPort(Protocol):
    """A port that knows how fast its line is."""

    @property
    def line_rate(self) -> int | None:
        """In bit/s; None where nobody can tell."""


@runtime_checkable
class ClockedPort(Protocol):
    """A port that knows what stamps its frames."""

    @property
    def clock(self) -> str:
        """The clock's name and what it means, as in ``CLOCK_REALTIME: the kernel's stamp``."""


def clock_of(port: Port) -> str:
    """What stamps the frames of a port; empty where it does not tell."""
    return port.clock if isinstance(port, ClockedPort) else ""


@runtime_checkable
class KernelPort(Protocol):
    """A port on an interface of this machine, where faster ways to send may be found."""

    @property
    def interface(self) -> str:
        """The interface's name, in the network namespace of the thread that opened the port."""


@runtime_checkable
class FlawedSender(Protocol):
    """A port whose MAC can be told to send what no good MAC sends."""

    def send_damaged(self, frame: bytes) -> None:
        """Send a frame with a wrong check sequence; LinkError as send()."""

    def send_runt(self, frame: bytes) -> None:
        """Send a frame as it is, however short; LinkError as send()."""
