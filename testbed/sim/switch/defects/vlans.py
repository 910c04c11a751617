"""Faults of VLANs: SW-10."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from testbed.sim.switch.fdb import Fdb
from testbed.sim.switch.forwarder import Forwarder
from testbed.sim.switch.ports import TAG, Port
from testbed.sim.switch.tags import Classifier, Tagger
from testbed.stack.variants import Defect
from testbed.timing import Instant

__all__ = [
    "DROPS_PRIORITY_TAGS",
    "FINDS_STATIONS_ELSEWHERE",
    "HOPS_BY_TAG",
    "IGNORES_ALLOWED_VLANS",
    "LEAKS_BROADCASTS",
    "LEAKS_GROUPS",
    "LEAKS_UNKNOWN_UNICAST",
    "LEAVES_TAGS_ON",
    "READS_EIGHT_BITS",
    "SHARED_LEARNING",
    "STRIPS_TAGS",
    "TAKES_UNTAGGED_ON_TRUNKS",
]


class _LeaksUnknown(Forwarder):
    def to_unknown(self, frame: bytes, vlan: int, port: Port, now: Instant) -> Sequence[Port]:
        del frame, vlan, now
        return [each for each in self.ports.all if each.live and each is not port]


class _LeaksShouts(Forwarder):
    def to_broadcast(self, frame: bytes, vlan: int, port: Port, now: Instant) -> Sequence[Port]:
        del frame, vlan, now
        return [each for each in self.ports.all if each.live and each is not port]


class _Strays(Tagger):
    """Gives what leaked the form of the VLAN that it leaked into."""

    def form(self, frame: bytes, vlan: int, port: Port) -> bytes:
        if vlan and not port.carries(vlan) and port.untagged is not None:
            vlan = port.untagged
            frame = self.untagged(frame)
        return super().form(frame, vlan, port)


class _Shared(Fdb):
    def set_independent(self, independent: bool) -> None:
        super().set_independent(False)
        self.independent = independent


class _FindsAnywhere(Forwarder):
    def to_unknown(self, frame: bytes, vlan: int, port: Port, now: Instant) -> Sequence[Port]:
        for entry in self.fdb.rows(now):
            if entry.mac == frame[:6] and entry.port is not port:
                return entry.port.alone
        return super().to_unknown(frame, vlan, port, now)


class _LeavesOn(Tagger):
    def untagged(self, frame: bytes) -> bytes:
        return frame


class _Strips(Tagger):
    def tagged(self, frame: bytes, vlan: int, port: Port) -> bytes:
        del vlan, port
        return self.untagged(frame)


class _TakesTags(Classifier):
    def of_tagged(self, frame: bytes, vlan: int, port: Port) -> int | None:
        if port.mode.access is not None:
            return vlan
        return super().of_tagged(frame, vlan, port)


class _TakesAllVlans(Classifier):
    def of_tagged(self, frame: bytes, vlan: int, port: Port) -> int | None:
        if port.mode.trunk:
            return vlan
        return super().of_tagged(frame, vlan, port)


class _TakesUntagged(Classifier):
    def of_untagged(self, frame: bytes, port: Port) -> int | None:
        vlan = super().of_untagged(frame, port)
        return min(port.mode.trunk) if vlan is None else vlan


LEAKS_UNKNOWN_UNICAST: Final = Defect(
    "leaks unknown unicast across VLANs",
    "SW-10",
    "The flood mask of unknown stations has all ports in it, and one customer's frames show up at "
    "another's.",
    {Forwarder: _LeaksUnknown, Tagger: _Strays},
)
SHARED_LEARNING: Final = Defect(
    "shared learning",
    "SW-10",
    "One table serves all VLANs: a firewall with one address in two VLANs is found in one only.",
    {Fdb: _Shared},
)
LEAKS_BROADCASTS: Final = Defect(
    "leaks broadcasts across VLANs",
    "SW-10",
    "Broadcasts are flooded before the VLAN is looked at, and one DHCP server serves all.",
    {Forwarder: _LeaksShouts, Tagger: _Strays},
)
FINDS_STATIONS_ELSEWHERE: Final = Defect(
    "finds stations of another VLAN",
    "SW-10",
    "A look-up that misses in its own VLAN goes on in the others, past the router between them.",
    {Forwarder: _FindsAnywhere, Tagger: _Strays},
)
LEAVES_TAGS_ON: Final = Defect(
    "leaves the tag on at access ports",
    "SW-10",
    "Stations get tagged frames that they do not understand.",
    {Tagger: _LeavesOn},
)
STRIPS_TAGS: Final = Defect(
    "strips the tag on trunks",
    "SW-10",
    "The next switch puts all that comes into its native VLAN.",
    {Tagger: _Strips},
)
HOPS_BY_TAG: Final = Defect(
    "lets tagged frames in at access ports",
    "SW-10",
    "A station puts a tag on its frames and hops into any VLAN that it likes.",
    {Classifier: _TakesTags},
)
IGNORES_ALLOWED_VLANS: Final = Defect(
    "learns from VLANs that a trunk is not in",
    "SW-10",
    "Ingress filtering is off: frames of foreign VLANs go nowhere but fill the table.",
    {Classifier: _TakesAllVlans},
)
TAKES_UNTAGGED_ON_TRUNKS: Final = Defect(
    "lets untagged frames in at the trunk",
    "SW-10",
    "A trunk without a native VLAN puts untagged frames into the first VLAN that it has.",
    {Classifier: _TakesUntagged},
)


class _EightBits(Classifier):
    __slots__ = ()

    def of_tagged(self, frame: bytes, vlan: int, port: Port) -> int | None:
        return super().of_tagged(frame, vlan & 0xFF, port)


class _NoPriorities(Classifier):
    __slots__ = ()

    def of_untagged(self, frame: bytes, port: Port) -> int | None:
        return None if frame[12:14] == TAG else super().of_untagged(frame, port)


class _LeaksGroups(Forwarder):
    def to_multicast(self, frame: bytes, vlan: int, port: Port) -> Sequence[Port]:
        del frame, vlan
        return [each for each in self.ports.all if each.live and each is not port]


READS_EIGHT_BITS: Final = Defect(
    "reads eight bits of a VLAN's number",
    "SW-10",
    "A chip of the time when 256 VLANs were many: VLAN 266 is VLAN 10, and both hear each other.",
    {Classifier: _EightBits},
)
DROPS_PRIORITY_TAGS: Final = Defect(
    "drops tags of a priority only",
    "SW-10",
    "An access port takes a tag of VLAN 0 for one of a foreign VLAN: telephones and storage, which "
    "tag so, get no frame through.",
    {Classifier: _NoPriorities},
)
LEAKS_GROUPS: Final = Defect(
    "leaks groups across VLANs",
    "SW-10",
    "Multicast goes by a list of ports that knows no VLANs: the cameras of one are watched in all.",
    {Forwarder: _LeaksGroups, Tagger: _Strays},
)
