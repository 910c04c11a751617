"""The receiving half of a network card: which frames of the wire it hands up.

IEEE 802.3 4.2.4.1 (address recognition, frame check sequence validation, minimum frame size) and
30.3.1.1 (the counters).
"""

from __future__ import annotations

from dataclasses import dataclass

from testbed.sim.frames import LEAST, BadFcs
from testbed.wire.addresses import MacAddr

__all__ = ["MacFilter", "NicCounters"]

_ADDRESS = 6
_HEADER = 14
_TPIDS = (b"\x81\x00", b"\x88\xa8")  # IEEE 802.1Q: C-TAG, S-TAG


@dataclass(slots=True)
class NicCounters:
    """Frames that came by what became of them: each frame is in one of these."""

    taken: int = 0
    bad_fcs: int = 0
    runts: int = 0
    oversize: int = 0
    foreign: int = 0

    @property
    def errors(self) -> int:
        """Frames that no station would have got."""
        return self.bad_fcs + self.runts + self.oversize


class MacFilter:
    """Says of each frame whether a card with this address hands it to its host.

    ``promiscuous`` takes frames for any address; damaged ones, runts and those too long are left
    out even so, unless ``keeps_bad`` too, as cards made for testers can.
    """

    def __init__(
        self,
        mac: MacAddr,
        *,
        mtu: int = 1500,
        promiscuous: bool = False,
        keeps_bad: bool = False,
    ) -> None:
        self.mac = mac
        self.mtu = mtu
        self.promiscuous = promiscuous
        self.keeps_bad = keeps_bad
        self.counters = NicCounters()
        self._groups: set[bytes] = set()

    def join(self, group: MacAddr) -> None:
        """Take frames for ``group`` from now on; ValueError where that is no group's address."""
        if not group.is_group:
            raise ValueError(f"{group} is the address of one station, not of a group")
        self._groups.add(group.packed)

    def leave(self, group: MacAddr) -> None:
        """Take no more frames for ``group``; one that was not joined is no error."""
        self._groups.discard(group.packed)

    def takes(self, frame: bytes) -> bool:
        """Whether ``frame``, whole as it was on the wire, is handed up; it is counted."""
        counters = self.counters
        if isinstance(frame, BadFcs):
            counters.bad_fcs += 1
            return self.keeps_bad
        if len(frame) < LEAST:
            counters.runts += 1
            return self.keeps_bad
        if len(frame) > self._longest(frame):
            counters.oversize += 1
            return self.keeps_bad
        if not (self.promiscuous or self._is_mine(frame[:_ADDRESS])):
            counters.foreign += 1
            return False
        counters.taken += 1
        return True

    def _is_mine(self, destination: bytes) -> bool:
        return (
            destination in (self.mac.packed, MacAddr.BROADCAST.packed)
            or destination in self._groups
        )

    def _longest(self, frame: bytes) -> int:
        tag = 4 if frame[12:14] in _TPIDS else 0
        return _HEADER + tag + self.mtu
