"""Which other port a fault hits: the nearest one, so that a tester has it among its own."""

from __future__ import annotations

from collections.abc import Sequence

from testbed.sim.switch.ports import Port

__all__ = ["nearest"]


def nearest(ports: Sequence[Port], to: Port, *but: Port) -> tuple[Port, ...]:
    """Of ``ports`` the one whose number is next to that of ``to``, if there is any."""
    found = [port for port in ports if port is not to and port not in but]
    return tuple(sorted(found, key=lambda port: (abs(port.number - to.number), port.number))[:1])
