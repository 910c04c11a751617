"""A sim bench that stands: its world, the loop on it, and its gear."""

from __future__ import annotations

from testbed.console.transcript import ConsoleLog
from testbed.devices.changes import ChangeLog
from testbed.inventory import Bench
from testbed.labs.gear import Claimed
from testbed.labs.sim.gear import SimGear
from testbed.labs.sim.loop import SimLoop
from testbed.labs.sim.world import World

__all__ = ["SimLab"]


class SimLab:
    """``Lab`` in this process's memory; there is nothing to bring up or to take down."""

    def __init__(self, bench: Bench, seed: str) -> None:
        self.bench = bench
        self._world = World(bench, seed)
        self.loop = SimLoop(self._world.network)

    def gear(self, changes: ChangeLog, log: ConsoleLog, note_claim: Claimed) -> SimGear:
        """Its gear."""
        del note_claim  # NICs of this machine are not touched
        return SimGear(self._world, self.loop, changes, log)
