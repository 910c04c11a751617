"""What the two ports of a box can do for programs, and what the kernel counted there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from testbed.errors import Unsupported
from testbed.link.ebpf import can_attach, can_redirect_to
from testbed.link.ethtool import Ethtool
from testbed.link.netlink import RouteNetlink
from testbed.link.nic import read_nic

__all__ = [
    "BoxPort",
    "Egress",
    "require_one_queue",
    "require_prospect",
    "require_sending",
    "require_taking",
]

_MOST_MTU: Final = 3000
"""A frame must lie in one page of memory, with what the kernel puts around it."""


@dataclass(frozen=True, slots=True)
class BoxPort:
    """An interface of this thread's network namespace."""

    interface: str
    index: int
    mtu: int

    @classmethod
    def find(cls, interface: str) -> BoxPort:
        """The interface as it is now; LinkError when there is none."""
        state = read_nic(interface)
        return cls(interface, state.index, state.mtu)


def require_taking(port: BoxPort) -> None:
    """Unsupported where the port's driver takes no program, or its frames are too long."""
    probe = can_attach(port.interface, port.index)
    if not probe.works:
        raise Unsupported(probe.why)
    if port.mtu > _MOST_MTU:
        raise Unsupported(f"{port.interface} has an MTU of {port.mtu}, over {_MOST_MTU}")


def require_prospect(port: BoxPort) -> None:
    """Unsupported where the port will not send what programs give it, whatever is done here.

    A NIC may once it has a program itself; a veth does as its far end says.
    """
    with Ethtool(port.interface) as ethtool:
        driver = ethtool.driver()
    if driver is not None and driver.driver == "veth":
        require_sending(port)


def require_sending(port: BoxPort) -> None:
    """Unsupported where the port does not send what a program gives it, as it is now."""
    probe = can_redirect_to(port.interface, port.index)
    if not probe.works:
        raise Unsupported(probe.why)


def require_one_queue(port: BoxPort) -> None:
    """Unsupported where frames come in on several CPUs at a time: the order would be lost."""
    with Ethtool(port.interface) as ethtool:
        queues = ethtool.receive_queues()
    if queues > 1:
        raise Unsupported(
            f"{port.interface} takes frames in by {queues} queues at a time, in no order: "
            f"ethtool -L {port.interface} combined 1"
        )


class Egress:
    """What an interface sent of what it was given, by the kernel's count."""

    def __init__(self, port: BoxPort) -> None:
        self._port = port
        self._route = RouteNetlink()
        self._before = self._route.traffic(port.index)

    def lost(self, handed: int) -> int:
        """How many of ``handed`` frames since the beginning were not sent, as far as can be told.

        What others sent there meanwhile can only make it look better than it was, so that the
        interface's own count of dropped frames is heard too.
        """
        now = self._route.traffic(self._port.index)
        missing = handed - (now.sent - self._before.sent)
        dropped = min(handed, now.send_dropped - self._before.send_dropped)
        return max(0, missing, dropped)

    def close(self) -> None:
        """Release the socket; twice is no error."""
        self._route.close()
