"""What every port can do, whatever carries its frames."""

from __future__ import annotations

from typing import Protocol

from testbed.wire.addresses import MacAddr
from testbed.wire.frame import Frame

__all__ = ["Port"]


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

    def check_alive(self) -> None:
        """Raise LinkError when the link went down or the NIC changed since the port was opened."""

    def close(self) -> None:
        """Stop, and put every setting of the NIC back as it was; closing twice is no error."""
