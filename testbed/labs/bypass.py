"""The kernel's way through a fault box, for boxes between two NICs of this machine."""

from __future__ import annotations

from testbed.errors import Unsupported
from testbed.hosts.box import BoxDirection, Bypass
from testbed.labs.translating import translate
from testbed.link.nic import wait_for_link
from testbed.link.port import KernelPort
from testbed.timing import seconds

__all__ = ["open_bypass"]

LINK_WITHIN = seconds(10)


def open_bypass(way: BoxDirection) -> Bypass:
    """The XDP engine of one way; Unsupported or LinkError, with the reason, where it cannot be."""
    from testbed.link.inline import BoxPort, Engine  # noqa: PLC0415 - numpy, and Linux only

    ports = []
    for tap in (way.source, way.sink):
        if not isinstance(tap.port, KernelPort):
            raise Unsupported(f"{tap.port.name} is no NIC of this machine")
        ports.append(BoxPort.find(tap.port.interface))
    engine = Engine(
        *ports,
        push=way.take,
        pump=way.source.pump,
        hear=way.hear,
        count=way.count,
        translate=translate,
    )
    # Some NICs begin anew, their link included, when they take a program.
    for tap, port in zip((way.source, way.sink), ports, strict=True):
        wait_for_link(port.interface, LINK_WITHIN)
        tap.port.forgive()
    return engine
