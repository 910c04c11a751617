"""The forwarding process: by which ports a frame leaves (IEEE 802.1Q 8.6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from testbed.sim.switch.fdb import Entry, Fdb
from testbed.sim.switch.ports import Port, Ports
from testbed.sim.switch.storm import StormControl
from testbed.timing import Instant

__all__ = ["BROADCAST", "Forwarder"]

BROADCAST: Final = b"\xff" * 6
_RESERVED: Final = b"\x01\x80\xc2\x00\x00"
_NOWHERE: Final[tuple[Port, ...]] = ()


class Forwarder:
    """Finds the exits of a frame of ``vlan`` that came in by ``port``."""

    def __init__(self, ports: Ports, fdb: Fdb, storm: StormControl) -> None:
        self.ports = ports
        self.fdb = fdb
        self.storm = storm

    def exits(self, frame: bytes, vlan: int, port: Port, now: Instant) -> Sequence[Port]:
        """The ports by which ``frame`` leaves."""
        if frame[0] & 1:
            return self.to_group(frame, vlan, port, now)
        entry = self.fdb.find(vlan, frame[:6], now)
        if entry is None:
            return self.to_unknown(frame, vlan, port, now)
        return self.to_known(entry, frame, vlan, port, now)

    def to_known(
        self,
        entry: Entry,
        frame: bytes,  # noqa: ARG002 - a seam
        vlan: int,
        port: Port,
        now: Instant,  # noqa: ARG002 - a seam
    ) -> Sequence[Port]:
        """Where a frame to a station of the table goes: not back, and not out of its VLAN."""
        where = entry.port
        if where is port or not (where.carried is None or vlan in where.carried):
            return _NOWHERE
        return where.alone

    def to_unknown(self, frame: bytes, vlan: int, port: Port, now: Instant) -> Sequence[Port]:  # noqa: ARG002 - a seam
        """Where a frame to a station that is not in the table goes."""
        return self.flood(vlan, port)

    def to_group(self, frame: bytes, vlan: int, port: Port, now: Instant) -> Sequence[Port]:
        """Where a frame to a group address goes."""
        if frame[:5] == _RESERVED and frame[5] < 0x10:
            return self.to_reserved(frame, vlan, port)
        if frame[:6] != BROADCAST:
            return self.to_multicast(frame, vlan, port)
        if port.ceiling is not None and not self.storm.passes(frame, port, now):
            port.counters.storm_dropped += 1
            return _NOWHERE
        return self.to_broadcast(frame, vlan, port, now)

    def to_reserved(self, frame: bytes, vlan: int, port: Port) -> Sequence[Port]:  # noqa: ARG002 - a seam
        """Where a frame to 01:80:c2:00:00:00 to :0f goes (802.1Q 8.6.3, table 8-1): nowhere."""
        return _NOWHERE

    def to_multicast(self, frame: bytes, vlan: int, port: Port) -> Sequence[Port]:  # noqa: ARG002 - a seam
        """Where a frame to any other group goes."""
        return self.flood(vlan, port)

    def to_broadcast(self, frame: bytes, vlan: int, port: Port, now: Instant) -> Sequence[Port]:  # noqa: ARG002 - a seam
        """Where a broadcast goes."""
        return self.flood(vlan, port)

    def flood(self, vlan: int, port: Port) -> Sequence[Port]:
        """Every live port of ``vlan`` but the one that the frame came by."""
        return [exit_ for exit_ in self.ports.members(vlan) if exit_ is not port]
