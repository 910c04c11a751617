"""Faults of reserved addresses, bad frames and sizes: SW-14, SW-15, SW-16."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from testbed.sim.frames import LEAST, as_bytes
from testbed.sim.switch.admission import Admission
from testbed.sim.switch.counters import Counters
from testbed.sim.switch.forwarder import Forwarder
from testbed.sim.switch.ports import HEADER, TAG, Port
from testbed.sim.switch.tags import Tagger
from testbed.stack.variants import Defect
from testbed.timing import Instant

__all__ = [
    "CORRUPTS_PAD",
    "COUNTS_NO_BAD_FRAMES",
    "COUNTS_RUNTS_AS_GOOD",
    "CUTS_THROUGH",
    "DOES_NOT_PAD",
    "DROPS_LONGEST",
    "DROPS_LONG_TAGGED",
    "FORWARDS_BPDUS",
    "FORWARDS_GIANTS",
    "FORWARDS_LLDP",
    "FORWARDS_PAUSE",
    "FORWARDS_RUNTS",
    "FORWARDS_TAGGED_RESERVED",
    "FORWARDS_UNUSED_RESERVED",
    "IGNORES_JUMBO",
    "KEEPS_SIXTEEN_MORE",
    "LEARNS_FROM_BAD",
    "LOSES_PRIORITY",
    "MENDS_DAMAGED",
    "PADS_WITH_OLD_BYTES",
    "STUCK_BIT",
    "TRUNCATES",
]

_READABLE: Final = 16
"""Bytes that a frame needs for its addresses and tag to be told."""

_RESERVED: Final = b"\x01\x80\xc2\x00\x00"
_USED: Final = {0x00, 0x01, 0x02, 0x03, 0x0E}


class _PassesPause(Forwarder):
    def to_reserved(self, frame: bytes, vlan: int, port: Port) -> Sequence[Port]:
        return self.flood(vlan, port) if frame[5] == 0x01 else ()


class _PassesBpdus(Forwarder):
    def to_reserved(self, frame: bytes, vlan: int, port: Port) -> Sequence[Port]:
        return self.flood(vlan, port) if frame[5] == 0x00 else ()


class _PassesLldp(Forwarder):
    def to_reserved(self, frame: bytes, vlan: int, port: Port) -> Sequence[Port]:
        return self.flood(vlan, port) if frame[5] == 0x0E else ()


class _PassesUnused(Forwarder):
    def to_reserved(self, frame: bytes, vlan: int, port: Port) -> Sequence[Port]:
        return () if frame[5] in _USED else self.flood(vlan, port)


class _PassesTagged(Forwarder):
    def to_reserved(self, frame: bytes, vlan: int, port: Port) -> Sequence[Port]:
        return self.flood(vlan, port) if frame[12:14] == TAG else ()


class _KeepsMore(Forwarder):
    def to_multicast(self, frame: bytes, vlan: int, port: Port) -> Sequence[Port]:
        if frame[:5] == _RESERVED and frame[5] < 0x20:
            return ()
        return super().to_multicast(frame, vlan, port)


class _TakesRunts(Admission):
    __slots__ = ()

    def runt(self, frame: bytes, port: Port) -> bool:
        super().runt(frame, port)
        return port.live and len(frame) >= _READABLE


class _TakesBad(Admission):
    __slots__ = ()

    def admits(self, frame: bytes, port: Port) -> bool:
        good = super().admits(frame, port)
        return good or (port.live and len(frame) >= _READABLE)


class _LearnsOnly(Forwarder):
    def exits(self, frame: bytes, vlan: int, port: Port, now: Instant) -> Sequence[Port]:
        if frame.__class__ is not bytes or len(frame) < LEAST or not port.takes(frame):
            return ()
        return super().exits(frame, vlan, port, now)


class _Tolerates(Port):
    __slots__ = ()

    def takes(self, frame: bytes) -> bool:
        del frame
        return True


class _BlindToFcs(Admission):
    __slots__ = ()

    def is_whole(self, frame: bytes) -> bool:
        del frame
        return True

    def admits(self, frame: bytes, port: Port) -> bool:
        if super().is_whole(frame) or len(frame) < LEAST:
            return super().admits(frame, port)
        port.counters.damaged()
        return port.live


class _Mends(Tagger):
    __slots__ = ()

    def form(self, frame: bytes, vlan: int, port: Port) -> bytes:
        return super().form(as_bytes(frame), vlan, port)


class _Uncounted(Counters):
    __slots__ = ()

    def runt(self) -> None:
        pass

    def giant(self) -> None:
        pass

    def damaged(self) -> None:
        pass


class _Optimistic(Counters):
    __slots__ = ()

    def runt(self) -> None:
        self.received(LEAST)


class _Truncates(Tagger):
    __slots__ = ()

    def form(self, frame: bytes, vlan: int, port: Port) -> bytes:
        return super().form(frame, vlan, port)[:1500]


class _SpoilsPad(Tagger):
    __slots__ = ()

    def form(self, frame: bytes, vlan: int, port: Port) -> bytes:
        frame = super().form(frame, vlan, port)
        return frame[:-1] + b"\x55" if len(frame) == LEAST and not frame[-1] else frame


class _OffByOne(Port):
    __slots__ = ()

    def set_mtu(self, mtu: int) -> None:
        super().set_mtu(mtu)
        self.longest -= 1


class _NoRoomForTag(Port):
    __slots__ = ()

    def takes(self, frame: bytes) -> bool:
        del frame
        return False


class _NoJumbo(Port):
    __slots__ = ()

    def set_mtu(self, mtu: int) -> None:
        super().set_mtu(mtu)
        self.longest = min(self.longest, HEADER + 1500)


class _Unpadded(Tagger):
    __slots__ = ()

    def padded(self, frame: bytes) -> bytes:
        return frame


class _Leaks(Tagger):
    _memory = b"\xde\xad\xbe\xef" * 15

    def form(self, frame: bytes, vlan: int, port: Port) -> bytes:
        formed = super().form(frame, vlan, port)
        if len(formed) > LEAST:
            self._memory = formed
        return formed

    def padded(self, frame: bytes) -> bytes:
        return frame + self._memory[len(frame) : LEAST]


class _BadMemory(Tagger):
    __slots__ = ()

    def form(self, frame: bytes, vlan: int, port: Port) -> bytes:
        frame = super().form(frame, vlan, port)
        if len(frame) <= 1024:
            return frame
        return frame[:1023] + bytes([frame[1023] ^ 0x10]) + frame[1024:]


class _Flattens(Tagger):
    __slots__ = ()

    def tagged(self, frame: bytes, vlan: int, port: Port) -> bytes:
        return super().tagged(self.untagged(frame), vlan, port)


FORWARDS_PAUSE: Final = Defect(
    "forwards pause frames",
    "SW-14",
    "One slow station's pause frames reach every station, and the whole network stands still.",
    {Forwarder: _PassesPause},
)
FORWARDS_BPDUS: Final = Defect(
    "forwards BPDU frames",
    "SW-14",
    "Spanning tree runs through the switch as if it were a cable, and sees the wrong topology.",
    {Forwarder: _PassesBpdus},
)
FORWARDS_LLDP: Final = Defect(
    "forwards LLDP frames",
    "SW-14",
    "Inventory software sees neighbours that are two hops away.",
    {Forwarder: _PassesLldp},
)
FORWARDS_UNUSED_RESERVED: Final = Defect(
    "forwards reserved addresses that have no protocol yet",
    "SW-14",
    "A filter lists the protocols that were known when it was written.",
    {Forwarder: _PassesUnused},
)
FORWARDS_TAGGED_RESERVED: Final = Defect(
    "forwards reserved addresses in tagged frames",
    "SW-14",
    "The filter looks for the type at the place where it is without a tag.",
    {Forwarder: _PassesTagged},
)
KEEPS_SIXTEEN_MORE: Final = Defect(
    "keeps the addresses above too",
    "SW-14",
    "The mask has one bit too few, and multicast to :10 to :1f never arrives.",
    {Forwarder: _KeepsMore},
)
FORWARDS_RUNTS: Final = Defect(
    "forwards a runt",
    "SW-15",
    "Fragments of collisions are padded and sent on as if they were frames.",
    {Admission: _TakesRunts},
)
LEARNS_FROM_BAD: Final = Defect(
    "learns from a bad frame",
    "SW-15",
    "The source is learned before the check sequence has come, and a damaged address takes a "
    "station's place.",
    {Admission: _TakesBad, Forwarder: _LearnsOnly},
)
CUTS_THROUGH: Final = Defect(
    "forwards frames with a bad FCS",
    "SW-15",
    "Cut-through sends the frame on before its end has come, and damage travels through the "
    "network.",
    {Admission: _BlindToFcs},
)
MENDS_DAMAGED: Final = Defect(
    "gives damaged frames a good FCS",
    "SW-15",
    "The check sequence is made anew without looking at the old one: damage becomes data.",
    {Admission: _BlindToFcs, Tagger: _Mends},
)
FORWARDS_GIANTS: Final = Defect(
    "forwards oversize frames",
    "SW-15",
    "Frames above the MTU are passed on to stations that have no memory for them.",
    {Port: _Tolerates},
)
COUNTS_NO_BAD_FRAMES: Final = Defect(
    "counts no bad frames",
    "SW-15",
    "The error counters stay at zero, and a bad cable is looked for everywhere but where it is.",
    {Counters: _Uncounted},
)
COUNTS_RUNTS_AS_GOOD: Final = Defect(
    "counts runts as good frames",
    "SW-15",
    "The counter counts what the receiver saw begin, not what it took.",
    {Counters: _Optimistic},
)
TRUNCATES: Final = Defect(
    "truncates at 1500",
    "SW-16",
    "A buffer of 1500 bytes was meant for the payload and is used for the frame.",
    {Tagger: _Truncates},
)
CORRUPTS_PAD: Final = Defect(
    "corrupts a pad byte",
    "SW-16",
    "The last byte of minimum frames is overwritten by the chip's own mark.",
    {Tagger: _SpoilsPad},
)
DROPS_LONGEST: Final = Defect(
    "drops frames of the full length",
    "SW-16",
    "A comparison is off by one: pings pass, downloads hang.",
    {Port: _OffByOne},
)
DROPS_LONG_TAGGED: Final = Defect(
    "drops tagged frames of the full length",
    "SW-16",
    "The tag's four bytes are not allowed for, and full frames die on trunks alone.",
    {Port: _NoRoomForTag},
)
IGNORES_JUMBO: Final = Defect(
    "drops jumbo frames that are configured",
    "SW-16",
    "The setting is shown but takes a restart, which nobody says.",
    {Port: _NoJumbo},
)
DOES_NOT_PAD: Final = Defect(
    "does not pad",
    "SW-16",
    "A minimum frame that loses its tag leaves as a runt, and the next device drops it.",
    {Tagger: _Unpadded},
)
PADS_WITH_OLD_BYTES: Final = Defect(
    "pads with bytes of earlier frames",
    "SW-16",
    "Padding comes from memory that was not cleared, and shows one station another's data "
    "(CVE-2003-0001).",
    {Tagger: _Leaks},
)
STUCK_BIT: Final = Defect(
    "flips a bit of long frames",
    "SW-16",
    "A bad cell of the packet memory, and the check sequence is made after it.",
    {Tagger: _BadMemory},
)
LOSES_PRIORITY: Final = Defect(
    "loses the priority of tags",
    "SW-16",
    "Tags are written anew on the way, with priority 0, and voice waits behind backups.",
    {Tagger: _Flattens},
)
