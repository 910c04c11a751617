"""A mirror session: what passes some ports is shown on another."""

from __future__ import annotations

from collections.abc import Iterable

from testbed.sim.switch.fabric import Fabric
from testbed.sim.switch.ports import Port, Ports
from testbed.timing import Instant

__all__ = ["Mirror"]


class Mirror:
    """Copies what enters and what leaves ``sources`` to ``to``, once per direction, as it is.

    ``to`` takes part in nothing else. A session of which one half is not set yet does nothing.
    """

    def __init__(self, ports: Ports, fabric: Fabric) -> None:
        self.ports = ports
        self.fabric = fabric
        self.sources: tuple[Port, ...] = ()
        self.to: Port | None = None

    def set(self, sources: Iterable[Port], to: Port | None) -> None:
        """Set the session, in place of the one before."""
        self.sources, self.to = tuple(sources), to
        for port in self.ports.all:
            port.mirrored = to is not None and port in self.sources
            port.listens = port is to
        self.ports.changed()

    def entered(self, frame: bytes, port: Port, now: Instant) -> None:  # noqa: ARG002 - a seam
        """A frame came in by a port that is mirrored."""
        self.copy(frame, now)

    def left(self, frame: bytes, port: Port, now: Instant) -> None:  # noqa: ARG002 - a seam
        """A frame goes out of a port that is mirrored."""
        self.copy(frame, now)

    def copy(self, frame: bytes, now: Instant) -> None:
        """Show one frame."""
        to = self.to
        if to is None or not (to.up and to.enabled) or not to.takes(frame):
            return
        to.counters.sent(len(frame))
        self.fabric.store(to.name, frame, now)
