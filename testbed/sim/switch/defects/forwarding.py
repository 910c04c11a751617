"""Faults of known and unknown unicast: SW-05, SW-06, SW-07."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from testbed.sim.switch.defects.near import nearest
from testbed.sim.switch.fdb import Entry
from testbed.sim.switch.forwarder import Forwarder
from testbed.sim.switch.ports import Port
from testbed.stack.variants import Defect
from testbed.timing import Instant, milliseconds

__all__ = [
    "COPIES_TO_ONE_MORE",
    "DELIVERS_NEXT_DOOR",
    "DROPS_UNKNOWN",
    "ECHOES_TO_INGRESS",
    "FLOODS_AFTER_SILENCE",
    "FLOODS_FIRST_ONLY",
    "FLOODS_LOCAL_ONLY",
    "FLOODS_OWN_PORT",
    "FLOODS_SHORT_ONLY",
    "FLOODS_TWICE",
    "HAIRPINS",
    "LOSES_EVERY_FOURTH",
    "MISSES_ONE_PORT",
    "RELAYS_NEXT_DOOR",
    "SENDS_TWICE",
]

_LONG: Final = 1000


class _OneMore(Forwarder):
    def to_known(
        self, entry: Entry, frame: bytes, vlan: int, port: Port, now: Instant
    ) -> Sequence[Port]:
        exits = super().to_known(entry, frame, vlan, port, now)
        more = nearest(self.flood(vlan, port), port, *exits) if exits else ()
        return (*exits, *more)


class _Stutters(Forwarder):
    def to_known(
        self, entry: Entry, frame: bytes, vlan: int, port: Port, now: Instant
    ) -> Sequence[Port]:
        return 2 * tuple(super().to_known(entry, frame, vlan, port, now))


class _NextDoor(Forwarder):
    def to_known(
        self, entry: Entry, frame: bytes, vlan: int, port: Port, now: Instant
    ) -> Sequence[Port]:
        exits = super().to_known(entry, frame, vlan, port, now)
        return nearest(self.flood(vlan, port), exits[0]) if exits else ()


class _Leaky(Forwarder):
    _count = 0

    def to_known(
        self, entry: Entry, frame: bytes, vlan: int, port: Port, now: Instant
    ) -> Sequence[Port]:
        self._count += 1
        exits = super().to_known(entry, frame, vlan, port, now)
        return exits if self._count % 4 else ()


class _MissesOne(Forwarder):
    def to_unknown(self, frame: bytes, vlan: int, port: Port, now: Instant) -> Sequence[Port]:
        exits = super().to_unknown(frame, vlan, port, now)
        missed = nearest(exits, port)
        return [each for each in exits if each not in missed]


class _Echoes(Forwarder):
    def to_unknown(self, frame: bytes, vlan: int, port: Port, now: Instant) -> Sequence[Port]:
        return (*super().to_unknown(frame, vlan, port, now), port)


class _DropsUnknown(Forwarder):
    def to_unknown(self, frame: bytes, vlan: int, port: Port, now: Instant) -> Sequence[Port]:
        del frame, vlan, port, now
        return ()


class _FloodsTwice(Forwarder):
    def to_unknown(self, frame: bytes, vlan: int, port: Port, now: Instant) -> Sequence[Port]:
        return 2 * tuple(super().to_unknown(frame, vlan, port, now))


class _FloodsOnce(Forwarder):
    _last: bytes | None = None

    def to_unknown(self, frame: bytes, vlan: int, port: Port, now: Instant) -> Sequence[Port]:
        again = self._last == frame[:6]
        self._last = frame[:6]
        return () if again else super().to_unknown(frame, vlan, port, now)


class _Hairpins(Forwarder):
    def to_known(
        self, entry: Entry, frame: bytes, vlan: int, port: Port, now: Instant
    ) -> Sequence[Port]:
        if entry.port is port:
            return port.alone
        return super().to_known(entry, frame, vlan, port, now)


class _FloodsOwn(Forwarder):
    def to_known(
        self, entry: Entry, frame: bytes, vlan: int, port: Port, now: Instant
    ) -> Sequence[Port]:
        if entry.port is port:
            return self.flood(vlan, port)
        return super().to_known(entry, frame, vlan, port, now)


class _RelaysOwn(Forwarder):
    def to_known(
        self, entry: Entry, frame: bytes, vlan: int, port: Port, now: Instant
    ) -> Sequence[Port]:
        if entry.port is port:
            return nearest(self.flood(vlan, port), port)
        return super().to_known(entry, frame, vlan, port, now)


COPIES_TO_ONE_MORE: Final = Defect(
    "also copies to one more port",
    "SW-05",
    "A stuck bit in the port mask shows one customer's traffic to another.",
    {Forwarder: _OneMore},
)
SENDS_TWICE: Final = Defect(
    "sends a known unicast twice",
    "SW-05",
    "Hardware and software both forward the frame.",
    {Forwarder: _Stutters},
)
DELIVERS_NEXT_DOOR: Final = Defect(
    "delivers to the port next to it",
    "SW-05",
    "The table counts ports from 0, the hardware from 1.",
    {Forwarder: _NextDoor},
)
LOSES_EVERY_FOURTH: Final = Defect(
    "loses every fourth known unicast",
    "SW-05",
    "One of the four channels to the backplane is dead.",
    {Forwarder: _Leaky},
)
MISSES_ONE_PORT: Final = Defect(
    "misses one port",
    "SW-06",
    "The flood mask was made before the last port came up, and the station there is never found.",
    {Forwarder: _MissesOne},
)
ECHOES_TO_INGRESS: Final = Defect(
    "echoes to ingress",
    "SW-06",
    "The port that a frame came by is not taken out of the flood mask, and stations hear "
    "themselves.",
    {Forwarder: _Echoes},
)
DROPS_UNKNOWN: Final = Defect(
    "drops unknown unicast",
    "SW-06",
    "Flood blocking was left on: a server that is silent is cut off once it has aged.",
    {Forwarder: _DropsUnknown},
)
FLOODS_TWICE: Final = Defect(
    "floods twice",
    "SW-06",
    "Hardware floods, and so does the software that it hands the unknown frame to.",
    {Forwarder: _FloodsTwice},
)
FLOODS_FIRST_ONLY: Final = Defect(
    "floods the first frame only",
    "SW-06",
    "After the first flood the switch waits for an answer and drops what follows.",
    {Forwarder: _FloodsOnce},
)
HAIRPINS: Final = Defect(
    "hairpins",
    "SW-07",
    "Reflective relay was left on at a port with a hub behind it: each frame there comes twice.",
    {Forwarder: _Hairpins},
)
FLOODS_OWN_PORT: Final = Defect(
    "floods what is known on its own port",
    "SW-07",
    "The empty set of exits is taken for an unknown station, and local traffic is heard all over.",
    {Forwarder: _FloodsOwn},
)
RELAYS_NEXT_DOOR: Final = Defect(
    "lets local frames out of one other port",
    "SW-07",
    "The filter works within a port group of the chip only.",
    {Forwarder: _RelaysOwn},
)


class _ForgetsInPractice(Forwarder):
    def to_known(
        self, entry: Entry, frame: bytes, vlan: int, port: Port, now: Instant
    ) -> Sequence[Port]:
        if now - entry.seen > milliseconds(500) and not entry.static:
            return self.flood(vlan, port)
        return super().to_known(entry, frame, vlan, port, now)


class _FloodsShort(Forwarder):
    def to_unknown(self, frame: bytes, vlan: int, port: Port, now: Instant) -> Sequence[Port]:
        return super().to_unknown(frame, vlan, port, now) if len(frame) < _LONG else ()


class _FloodsLocal(Forwarder):
    def to_unknown(self, frame: bytes, vlan: int, port: Port, now: Instant) -> Sequence[Port]:
        return super().to_unknown(frame, vlan, port, now) if frame[0] & 2 else ()


FLOODS_AFTER_SILENCE: Final = Defect(
    "floods to who was silent for a moment",
    "SW-05",
    "A cache in front of the table holds a station for half a second, and what it lacks is flooded "
    "in place of being looked up: everybody reads along.",
    {Forwarder: _ForgetsInPractice},
)
FLOODS_SHORT_ONLY: Final = Defect(
    "floods short frames only",
    "SW-06",
    "Floods are copied by the processor, from a buffer of a kilobyte: a server that was silent is "
    "pinged at once, and gets no data.",
    {Forwarder: _FloodsShort},
)
FLOODS_LOCAL_ONLY: Final = Defect(
    "floods to local addresses only",
    "SW-06",
    "A filter against floods knows the virtual machines of its maker by their local addresses, and "
    "drops all that goes to real ones.",
    {Forwarder: _FloodsLocal},
)
