"""A person's terminal on a device of a sim bench."""

from __future__ import annotations

from testbed.console.conversation import ConversationTransport
from testbed.errors import PlanError, Unsupported
from testbed.inventory import Bench
from testbed.labs.sim.loop import SimLoop
from testbed.labs.sim.world import World
from testbed.sim.cli.connect import connect
from testbed.sim.cli.terminal import Account

__all__ = ["open_terminal"]


def open_terminal(bench: Bench, device: str, account: Account) -> ConversationTransport:
    """A console cable to ``device`` in a world of its own, whose time passes as it is read."""
    entries = {**bench.devices, **bench.hosts}
    if device not in entries:
        known = ", ".join(entries)
        raise PlanError(f"bench {bench.bench} has no device {device!r}; it has {known}")
    world = World(bench, "1")
    if device not in world.devices:
        raise Unsupported(f"{device} is a Python stack, which has no console")
    return connect(
        world.devices[device],
        SimLoop(world.network),
        account=account,
        touched=lambda: world.network.refresh(device),
    )
