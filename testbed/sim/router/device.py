"""The router as a device: a stack that forwards, behind ports with NICs and counters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from testbed.sim.cli.commands import Command
from testbed.sim.device import Jack, SimDevice
from testbed.sim.router.commands import RouterCommands
from testbed.sim.router.controls import RouterControls
from testbed.sim.router.port import RouterPort
from testbed.sim.router.tracking import NextHopTracking
from testbed.stack.config import StackConfig
from testbed.stack.events import Event
from testbed.stack.group_router import GroupRouter
from testbed.stack.icmp_errors import IcmpErrorSent
from testbed.stack.neighbours import NeighbourChanged
from testbed.stack.output import Outgoing
from testbed.stack.stack import Stack
from testbed.stack.variants import Defect
from testbed.timing import Instant

__all__ = ["SimRouter"]

_POWER_ON: Final = Instant(0)


class SimRouter(SimDevice):
    """An IPv4 router with a port at each jack; it begins without addresses, and forwards."""

    kind = "router"
    model = "testbed simulated router"

    def __init__(
        self,
        name: str,
        jacks: Iterable[Jack],
        *,
        seed: int | str = 0,
        defects: Iterable[Defect] = (),
        stated: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        super().__init__(name, jacks, seed=seed, defects=defects, stated=stated)
        config = StackConfig.of(ip={"forwarding": True}).with_defects(*self.defects)
        self.stack = stack = Stack(config, seed=f"{seed}/{name}".encode(), name=name)
        self.alarms = stack.alarms
        made = self.variants.of(RouterPort)
        self.ports = {
            jack.name: made(jack, jack.mtu, config.arp.reachable) for jack in self.jacks.values()
        }
        for jack in self.jacks.values():
            stack.add_interface(jack.name, mac=jack.mac, mtu=jack.mtu)
            stack.set_link(jack.name, up=False, now=_POWER_ON)
        self.groups = self.variants.of(GroupRouter)(stack.core, stack.ip)
        self.tracking = self.variants.of(NextHopTracking)(stack)
        self.controls = self.variants.of(RouterControls)(
            stack, self.ports, self.tracking, self.groups
        )
        stack.events.listener = self._hear

    # The sans-IO four

    def receive(self, frame: bytes, now: Instant, interface: str | None = None) -> None:
        """Take a frame that came by the port ``interface``, None for the first one."""
        name = interface if interface is not None else next(iter(self.ports))
        if self.up[name] and (whole := self.ports[name].taken(frame)) is not None:
            self.stack.receive(whole, now, name)

    def poll_transmit(self, now: Instant) -> Outgoing | None:
        """The next frame to send, filled up to the shortest that is legal, or None."""
        while (out := self.stack.poll_transmit(now)) is not None:
            if self.up[out.interface]:
                return Outgoing(out.interface, self.ports[out.interface].padded(out.frame))
        return None

    # Ports

    def set_link(self, port: str, up: bool, now: Instant) -> None:
        """The link of ``port`` came or went: its routes and neighbours come and go with it."""
        super().set_link(port, up, now)
        self.stack.set_link(port, up, now)
        self.groups.link_changed(self.stack.interface(port), now)
        self.controls.link_changed(port, up, now)

    # Management

    def commands(self) -> tuple[Command, ...]:
        """Its command line."""
        return RouterCommands(self).all()

    def _hear(self, event: Event) -> None:
        """Count what the stack says that it sent, and follow its neighbours."""
        if isinstance(event, IcmpErrorSent):
            self.stack.core.count(f"ICMP sent, type {event.type} code {event.code}")
        elif isinstance(event, NeighbourChanged):
            self.tracking.hear(event)
