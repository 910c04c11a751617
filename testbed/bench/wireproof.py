"""Wire proof: which port each cable really ends at, found out and held against the file.

A NIC sends a frame with a source address of its own; the switch whose MAC table shows that
address has it on that port. Where no switch is at the other end, a device's port is switched off
for a moment, and the NIC or port that loses its link is the other end.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from testbed.bench.topology import Kind
from testbed.devices.registry import PLATFORMS
from testbed.errors import LinkError
from testbed.inventory import Cable, End
from testbed.labs.gear import Gear
from testbed.timing import after, milliseconds, seconds
from testbed.wire import EthFrame, MacAddr

__all__ = ["Proof", "prove_wires"]

PROBE_ETHERTYPE = 0x88B5
"""IEEE 802 local experimental EtherType 1."""

LEARN_WITHIN = seconds(2)
LINK_WITHIN = seconds(8)
"""Auto-negotiation of a copper port takes up to about 4 s; twice that is a dead link."""
LOOK_EVERY = milliseconds(20)


@dataclass(frozen=True, slots=True)
class Proof:
    """One cable of the file and where it was found to end.

    ``state``: ``proven``, ``wrong`` (it ends elsewhere), ``down`` (no link) or ``unproven``.
    """

    cable: Cable
    state: Literal["proven", "wrong", "down", "unproven"]
    note: str = ""

    def __str__(self) -> str:
        return f"{self.cable.ends[0]} -- {self.cable.ends[1]}: {self.state} {self.note}".rstrip()


def probe_mac(bench: str, nic: str) -> MacAddr:
    """The locally administered source address that stands for ``nic`` in a wire proof."""
    return MacAddr(b"\x02\x7b" + zlib.crc32(f"{bench}/{nic}".encode()).to_bytes(4, "big"))


def prove_wires(gear: Gear, driver: Callable[[str], Any]) -> list[Proof]:
    """Find out where every cable ends. Learned probe addresses are flushed again.

    ``driver`` gives the driver of a device by name.
    """
    prover = _Prover(gear, driver)
    return [prover.prove(cable) for cable in gear.bench.cables]


class _Prover:
    def __init__(self, gear: Gear, driver: Callable[[str], Any]) -> None:
        self._gear = gear
        self._driver = driver
        self._dead: dict[str, str] = {}
        self._switches = [
            name
            for name, device in gear.bench.devices.items()
            if PLATFORMS[device.platform].kind == Kind.SWITCH.value
        ]
        self._seen = self._probe_switches()

    def _probe_switches(self) -> dict[str, list[End]]:
        """Where each NIC's probe address was learned."""
        gear = self._gear
        mirrors = {(mirror.device, mirror.to) for mirror in gear.bench.mirrors}
        owners = {}
        for nic in gear.bench.controller.nics:
            mac = probe_mac(gear.bench.bench, nic)
            owners[mac] = nic
            self._probe(nic)
        expected = {
            probe_mac(gear.bench.bench, near.port)
            for cable in gear.bench.cables
            for near, far in (cable.ends, cable.ends[::-1])
            if near.node == "controller"
            and near.port not in self._dead
            and far.node in self._switches
            and (far.node, far.port) not in mirrors
        }
        found: dict[str, list[End]] = {nic: [] for nic in gear.bench.controller.nics}
        deadline = gear.loop.now() + LEARN_WITHIN
        while True:
            learned = {
                (entry.mac, End(node=name, port=entry.port))
                for name in self._switches
                for entry in self._driver(name).fdb()
                if entry.mac in owners
            }
            if expected <= {mac for mac, _ in learned} or gear.loop.now() >= deadline:
                break
        for mac, end in sorted(learned, key=lambda item: (str(item[0]), str(item[1]))):
            found[owners[mac]].append(end)
        for name in self._switches:
            self._driver(name).flush_fdb()
        return found

    def _probe(self, nic: str) -> None:
        mac = probe_mac(self._gear.bench.bench, nic)
        frame = EthFrame(dst=MacAddr.BROADCAST, src=mac, ethertype=PROBE_ETHERTYPE)
        try:
            self._gear.tap(nic).send(frame.emit(pad=True))
        except LinkError as error:
            self._dead[nic] = str(error)  # its cable will be found to be down

    def prove(self, cable: Cable) -> Proof:
        near, far = cable.ends
        if far.node == "controller":
            near, far = far, near
        if near.node == "controller" and far.node in self._switches:
            return self._by_table(cable, near, far)
        if near.node == "controller" and far.node == "controller":
            return Proof(cable, "unproven", "both ends are controller NICs")
        return self._by_link(cable, near, far)

    def _by_table(self, cable: Cable, near: End, far: End) -> Proof:
        if not self._carrier(near):
            return Proof(cable, "down", self._why_down(near))
        places = self._seen[near.port]
        if far in places:
            return Proof(cable, "proven", f"MAC table of {far.node}")
        if places:
            where = " and ".join(str(place) for place in places)
            return Proof(cable, "wrong", f"{near} is plugged into {where}, not {far}")
        if any((m.device, m.to) == (far.node, far.port) for m in self._gear.bench.mirrors):
            return self._by_link(cable, near, far)
        return Proof(cable, "wrong", f"no switch learned the address of {near}; expected {far}")

    def _by_link(self, cable: Cable, near: End, far: End) -> Proof:
        """Switch ``far`` off: ``near``, and nothing else, must lose its link."""
        watched = [near, *(end for end in self._controller_ends() if end != near)]
        before = {end for end in watched if self._carrier(end)}
        if near not in before:
            return Proof(cable, "down", self._why_down(near))
        driver = self._driver(far.node)
        driver.set_port_up(far.port, up=False)
        try:
            lost: list[End] = []
            self._await(lambda: self._collect_lost(before, lost))
        finally:
            driver.set_port_up(far.port, up=True)
        if not self._await(lambda: all(self._carrier(end) for end in (near, *lost))):
            return Proof(cable, "down", f"{near} stayed down after {far} came up again")
        if near in lost:
            return Proof(cable, "proven", f"link lost when {far} was switched off")
        if lost:
            return Proof(cable, "wrong", f"{far} is plugged into {lost[0]}, not {near}")
        return Proof(cable, "wrong", f"nobody lost the link when {far} was switched off")

    def _await(self, condition: Callable[[], bool]) -> bool:
        """Whether ``condition`` comes to hold; no event tells of a link lost at a far device."""
        loop = self._gear.loop
        deadline = after(loop.now(), LINK_WITHIN)
        while not condition():
            if loop.now() >= deadline:
                return False
            loop.turn(min(deadline, after(loop.now(), LOOK_EVERY)))
        return True

    def _controller_ends(self) -> Iterator[End]:
        for cable in self._gear.bench.cables:
            for end in cable.ends:
                if end.node == "controller":
                    yield end

    def _collect_lost(self, before: set[End], lost: list[End]) -> bool:
        lost += [end for end in before if end not in lost and not self._carrier(end)]
        return bool(lost)

    def _why_down(self, end: End) -> str:
        known = self._dead.get(end.port) if end.node == "controller" else None
        return known or f"{end} has no link"

    def _carrier(self, end: End) -> bool:
        if end.node == "controller":
            if end.port in self._dead:
                return False
            return self._gear.tap(end.port).port.link_is_up()
        return bool(self._driver(end.node).port_is_up(end.port))
