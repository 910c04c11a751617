"""A managed Ethernet switch (IEEE 802.1Q): parts in a row, each of which sees every frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from testbed.sim.cli.commands import Command
from testbed.sim.device import Jack, SimDevice
from testbed.sim.switch.admission import Admission
from testbed.sim.switch.commands import SwitchCommands
from testbed.sim.switch.counters import Counters
from testbed.sim.switch.egress import Egress
from testbed.sim.switch.fabric import Fabric
from testbed.sim.switch.fdb import Fdb
from testbed.sim.switch.forwarder import Forwarder
from testbed.sim.switch.learner import Learner
from testbed.sim.switch.mirror import Mirror
from testbed.sim.switch.ports import Port, PortMode, Ports
from testbed.sim.switch.storm import StormControl
from testbed.sim.switch.tags import Classifier, Tagger
from testbed.stack.output import Outgoing
from testbed.stack.variants import Defect
from testbed.timing import Instant

__all__ = ["DEFAULT_CAPACITY", "SimSwitch"]

DEFAULT_CAPACITY: Final = 8192
"""Addresses that the table holds where the bench file does not say: a common small switch's."""


class SimSwitch(SimDevice):
    """A store-and-forward switch.

    Of its data sheet (``stated``) it keeps ``fdb_capacity``, addresses, and ``learning_rate``, new
    addresses a second; it learns as fast as they come where that is not stated.
    """

    kind = "switch"
    model = "SimSwitch"

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
        of = self.variants.of
        self.ports = of(Ports)(
            of(Port)(jack.name, number, jack.mtu, of(Counters)())
            for number, jack in enumerate(self.jacks.values(), start=1)
        )
        self.fdb = of(Fdb)(stated.get("fdb_capacity", DEFAULT_CAPACITY))
        self.fabric = of(Fabric)()
        self.mirror = of(Mirror)(self.ports, self.fabric)
        self.storm = of(StormControl)()
        self.admission = of(Admission)()
        self.classifier = of(Classifier)()
        self.learner = of(Learner)(self.fdb, stated.get("learning_rate"))
        self.forwarder = of(Forwarder)(self.ports, self.fdb, self.storm)
        self.egress = of(Egress)(of(Tagger)(), self.mirror, self.fabric)
        self._by_name = self.ports.by_name

    # The sans-IO four

    def receive(self, frame: bytes, now: Instant, interface: str | None = None) -> None:
        """Take a frame that came by the port ``interface``; nothing on the wire makes it raise."""
        port = self._by_name[interface]  # type: ignore[index]
        if not self.admission.admits(frame, port):
            return
        if port.mirrored:
            self.mirror.entered(frame, port, now)
        vlan = self.classifier.vlan(frame, port)
        if vlan is None:
            port.counters.rx_dropped += 1
            return
        self.learner.learn(frame, vlan, port, now)
        for exit_ in self.forwarder.exits(frame, vlan, port, now):
            self.egress.send(frame, vlan, exit_, now)

    def poll_timeout(self) -> Instant | None:
        """When handle_timeout() must be called next, or None."""
        waiting = self.fabric.waiting
        return waiting[0][0] if waiting else None

    def poll_transmit(self, now: Instant) -> Outgoing | None:
        """The next frame to send, or None."""
        waiting = self.fabric.waiting
        if waiting and waiting[0][0] <= now:
            return waiting.popleft()[1]
        return None

    # Ports

    def set_link(self, port: str, up: bool, now: Instant) -> None:
        """The link of ``port`` came or went; what was learned there goes with it."""
        super().set_link(port, up, now)
        self.ports[port].up = up
        self._changed(port, down=not up)

    def set_enabled(self, port: str, on: bool, now: Instant) -> None:
        """Switch ``port`` on or off; its link follows."""
        super().set_enabled(port, on, now)
        self.ports[port].enabled = on
        self._changed(port, down=not on)

    def set_mode(self, port: str, mode: PortMode) -> None:
        """Make ``port`` an access or trunk port; what was learned there is forgotten."""
        self.ports[port].set_mode(mode)
        self.fdb.flush(self.ports[port])
        self.ports.changed()

    def _changed(self, name: str, *, down: bool) -> None:
        self.ports.changed()
        if down:
            self.fdb.link_down(self.ports[name])
            self.fabric.drop(lambda outgoing: outgoing.interface == name)

    # Management

    def commands(self) -> tuple[Command, ...]:
        """Its command line: what there is to type."""
        return SwitchCommands(self).all()
