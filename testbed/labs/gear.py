"""What every lab gives a run: a loop, and the gear of a bench behind it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from testbed.console.cli import Cli
from testbed.console.transcript import ConsoleLog
from testbed.devices.changes import ChangeLog
from testbed.hosts import FaultBox, Loop, Tap
from testbed.inventory import Bench
from testbed.link.before import NicBefore
from testbed.sim.journey import Hop
from testbed.stack.variants import Defect

__all__ = ["Claimed", "Gear", "HostPorts", "Lab"]

Claimed = Callable[[NicBefore], Callable[[], None]]
"""Told a NIC's settings before they are changed; gives what to call once they are put back."""


class HostPorts(Protocol):
    """The ports of a host, taken for a Python stack until close()."""

    @property
    def taps(self) -> Mapping[str, Tap]:
        """The ports by their names."""

    def close(self) -> None:
        """Give the ports back as they were; twice is no error."""


class Gear(Protocol):
    """Everything on a bench, opened when it is first asked for, closed together."""

    @property
    def bench(self) -> Bench:
        """The bench file that the gear is driven by."""

    @property
    def loop(self) -> Loop:
        """The loop that everything lives on."""

    def tap(self, nic: str) -> Tap:
        """The controller NIC ``nic``, open."""

    def box(self, name: str) -> FaultBox:
        """The in-line fault box ``name``; from its first use on it is a wire."""

    def driver(self, name: str) -> Any:
        """The driver of a device or host, logged in."""

    def console(self, name: str) -> Cli:
        """A login on the console of a device: one for all who ask, while it works."""

    def host_ports(self, name: str, ports: tuple[str, ...]) -> HostPorts:
        """The ports of a host, for a Python stack; Unsupported where they are out of reach."""

    def spoil(self, name: str, defects: tuple[Defect, ...]) -> None:
        """Have the device with these defects from now on; Unsupported where it is real."""

    def journeys(self, wanted: Callable[[bytes], bool]) -> list[list[Hop]]:
        """Where frames went, hop by hop, from each that is ``wanted`` on; or Unsupported."""

    def lost(self) -> list[Hop]:
        """Frames that are known to have been lost on cables, the bench's own among them."""

    def renew(self, seed: str) -> None:
        """Begin afresh for a plan, with chance that follows from ``seed``; real gear just stays."""

    def close(self) -> list[str]:
        """Close everything and put it back as it was; the messages of what went wrong."""


class Lab(Protocol):
    """A bench that stands."""

    @property
    def bench(self) -> Bench:
        """The bench file that its gear is driven by."""

    @property
    def loop(self) -> Loop:
        """The loop of whoever drives it."""

    def gear(self, changes: ChangeLog, log: ConsoleLog, note_claim: Claimed) -> Gear:
        """Its gear, to be closed by the caller."""
