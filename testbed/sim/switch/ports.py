"""The ports of a switch: whether each is live, how it treats tags, what it lets through."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from testbed.errors import PlanError
from testbed.sim.switch.counters import Counters

__all__ = ["AS_IT_COMES", "HEADER", "LARGEST_VLAN", "TAG", "Port", "PortMode", "Ports"]

HEADER: Final = 14
"""Bytes before the payload of an untagged frame: two addresses and the type."""

TAG: Final = b"\x81\x00"
"""The type of a frame with a customer VLAN tag (IEEE 802.1Q table 9-1)."""

LARGEST_VLAN: Final = 4094
"""4095 is reserved (IEEE 802.1Q table 9-2)."""


@dataclass(frozen=True, slots=True)
class PortMode:
    """How a port treats tags.

    ``access`` is the one VLAN of a port without tags; ``trunk`` are those that a trunk carries
    with tags, ``native`` that which it carries without. With nothing set the port carries every
    VLAN as a trunk does, and what has no tag as it comes, in no VLAN, which is written 0.
    """

    access: int | None = None
    trunk: frozenset[int] = frozenset()
    native: int | None = None

    def __post_init__(self) -> None:
        if self.access is not None and (self.trunk or self.native is not None):
            raise PlanError("a port is an access port or a trunk, not both")
        if self.native is not None and not self.trunk:
            raise PlanError("a native VLAN belongs to a trunk")

    @property
    def untagged(self) -> int | None:
        """The VLAN of frames without a tag; None where they are not let in."""
        if self.access is not None:
            return self.access
        return self.native if self.trunk else 0

    @property
    def carried(self) -> frozenset[int] | None:
        """The VLANs of which frames pass; None for all."""
        if self.access is not None:
            return frozenset({self.access})
        if not self.trunk:
            return None
        return self.trunk if self.native is None else self.trunk | {self.native}


AS_IT_COMES: Final = PortMode()


class Port:
    """One port. What frames ask for is kept ready; set_mode() and set_mtu() keep it right."""

    __slots__ = (
        "alone", "carried", "ceiling", "counters", "enabled", "listens", "live", "longest",
        "mirrored", "mode", "mtu", "name", "number", "untagged", "up",
    )  # fmt: skip

    def __init__(self, name: str, number: int, mtu: int, counters: Counters) -> None:
        self.name = name
        self.number = number
        self.counters = counters
        self.alone = (self,)
        """The set of exits that is this port alone."""
        self.up = False
        self.enabled = True
        self.listens = False
        """Whether it is where a mirror's copies go, and so takes no part in anything else."""
        self.live = False
        """Whether frames go in and out: a link, switched on, and no mirror's exit."""
        self.mirrored = False
        self.ceiling: int | None = None
        """Broadcasts a second that may come in; None for as many as like."""
        self.set_mode(AS_IT_COMES)
        self.set_mtu(mtu)

    def __repr__(self) -> str:
        return f"<port {self.name}>"

    def set_mode(self, mode: PortMode) -> None:
        """How the port treats tags from now on."""
        self.mode = mode
        self.untagged = mode.untagged
        self.carried = mode.carried

    def set_mtu(self, mtu: int) -> None:
        """The largest payload from now on, in bytes."""
        self.mtu = mtu
        self.longest = HEADER + mtu

    def takes(self, frame: bytes) -> bool:
        """Whether ``frame`` is no longer than the port's MTU has it; a tag comes on top."""
        over = len(frame) - self.longest
        return over <= 0 or (over <= 4 and frame[12:14] == TAG)

    def carries(self, vlan: int) -> bool:
        """Whether frames of ``vlan`` pass."""
        return self.carried is None or vlan in self.carried

    def settle(self) -> None:
        """Work out anew whether the port is live."""
        self.live = self.up and self.enabled and not self.listens


class Ports:
    """The ports by name, and for each VLAN those that a flood of it reaches."""

    def __init__(self, ports: Iterable[Port]) -> None:
        self.by_name = {port.name: port for port in ports}
        self.all = tuple(self.by_name.values())
        self._members: dict[int, tuple[Port, ...]] = {}

    def changed(self) -> None:
        """Something was set: work out anew who is live, and who is in which VLAN."""
        for port in self.all:
            port.settle()
        self._members.clear()

    def members(self, vlan: int) -> tuple[Port, ...]:
        """The live ports of ``vlan``."""
        found = self._members.get(vlan)
        if found is None:
            found = tuple(port for port in self.all if port.live and port.carries(vlan))
            self._members[vlan] = found
        return found

    def __getitem__(self, name: str) -> Port:
        return self.by_name[name]
