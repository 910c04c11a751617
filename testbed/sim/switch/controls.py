"""What the command line may see and set of a switch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from testbed.sim.device import Jack
from testbed.sim.switch.fdb import Fdb
from testbed.sim.switch.mirror import Mirror
from testbed.sim.switch.ports import PortMode, Ports
from testbed.sim.switch.storm import StormControl
from testbed.timing import Instant

__all__ = ["Controls"]


class Controls(Protocol):
    """A switch, as its command line knows it."""

    name: str
    model: str
    jacks: dict[str, Jack]
    stated: Mapping[str, int]
    ports: Ports
    fdb: Fdb
    mirror: Mirror
    storm: StormControl

    def set_enabled(self, port: str, on: bool, now: Instant) -> None:
        """Switch ``port`` on or off; its link follows."""

    def set_mode(self, port: str, mode: PortMode) -> None:
        """Make ``port`` an access or trunk port; what was learned there is forgotten."""
