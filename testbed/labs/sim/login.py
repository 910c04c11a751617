"""A driver's login on a simulated device: no dialogue, the very commands."""

from __future__ import annotations

from testbed.console.cli import DEFAULT_WITHIN, Reply
from testbed.console.transcript import ConsoleLog
from testbed.labs.sim.loop import SimLoop
from testbed.labs.sim.world import World
from testbed.stack.entropy import Entropy
from testbed.timing import Duration, milliseconds
from testbed.wire.frame import Direction

__all__ = ["SimLogin"]

QUICK, SLOW = milliseconds(1), milliseconds(8)
"""How long a device takes to answer a command line, at least and at most."""

MOST_NOTED = 400
"""Lines of one answer that go to the log."""


class SimLogin:
    """``Cli`` on a device of a world. Each command takes some milliseconds of virtual time."""

    transport = "simulated"

    def __init__(self, name: str, world: World, loop: SimLoop, log: ConsoleLog) -> None:
        self.device = name
        self._world = world
        self._loop = loop
        self._log = log
        self._session = world.devices[name].login()
        self._entropy = Entropy(f"{world.seed}/{name}/login".encode())

    def run(self, command: str, *, within: Duration = DEFAULT_WITHIN) -> Reply:
        """Run one command line and return what it printed."""
        del within
        self._log.add(self.device, self.transport, Direction.OUT, command)
        thinking = Duration(self._entropy.between(QUICK, SLOW))
        self._loop.advance(thinking)
        answer = self._session.run(command, self._loop.now())
        self._world.network.refresh(self.device)
        for line in answer.output.splitlines()[:MOST_NOTED]:
            self._log.add(self.device, self.transport, Direction.IN, line)
        return Reply(answer.output, answer.status)

    def close(self) -> None:
        """Log out: nothing is held."""
