"""The way out of a port: the tag, the padding, the limit, the count, the mirror's copy."""

from __future__ import annotations

from testbed.sim.switch.fabric import Fabric
from testbed.sim.switch.mirror import Mirror
from testbed.sim.switch.ports import Port
from testbed.sim.switch.tags import Tagger
from testbed.timing import Instant

__all__ = ["Egress"]


class Egress:
    """Sends frames out of ports."""

    def __init__(self, tagger: Tagger, mirror: Mirror, fabric: Fabric) -> None:
        self.tagger = tagger
        self.mirror = mirror
        self.fabric = fabric

    def send(self, frame: bytes, vlan: int, port: Port, now: Instant) -> None:
        """Let ``frame`` of ``vlan`` leave by ``port``."""
        frame = self.tagger.form(frame, vlan, port)
        if not port.live or (len(frame) > port.longest and not port.takes(frame)):
            port.counters.tx_dropped += 1
            return
        port.counters.sent(len(frame))
        if port.mirrored:
            self.mirror.left(frame, port, now)
        self.fabric.store(port.name, frame, now)
