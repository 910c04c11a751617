"""Test frames and their ways through the device: what they look like, what it must have learned."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from testbed.bench.topology import Kind
from testbed.errors import PlanError, Unsupported
from testbed.wire import EtherType, EthFrame, IPv4Packet, MacAddr

if TYPE_CHECKING:
    from testbed.bench.bench import Bench

__all__ = ["FCS", "HEADER", "Flow", "Paths"]

FCS = 4
"""Bytes by which a frame as it is counted in RFC 2544 9.1 is longer than as it is sent here."""
HEADER = 14
EXPERIMENT = 253
"""RFC 3692 2.1: a protocol for experiments. A UDP header would leave the signature no room in a
frame of 64 bytes."""


@dataclass(frozen=True, slots=True)
class Flow:
    """Frames of one kind: ``stream`` is their signature, all ``targets`` are to get each of them.

    ``share`` is how many of them the source sends in turn with those of its other flows.
    """

    stream: int
    source: str
    targets: tuple[str, ...]
    frame: bytes
    share: int = 1


class Paths:
    """The ways between a topology's NICs, through the switch or router ``dut``."""

    def __init__(self, bench: Bench, dut: str = "dut") -> None:
        self._bench = bench
        self.dut = dut
        self.routed = bench.topology.kind(dut) is Kind.ROUTER
        self.nics = tuple(name for name, kind in bench.topology.nodes if kind is Kind.NIC)
        self._network = bench.bring_up_network() if self.routed else None

    def flow(self, stream: int, source: str, *targets: str, size: int, share: int = 1) -> Flow:
        """Frames of ``size`` bytes, FCS included, to one NIC; to several by broadcast."""
        if self.routed and len(targets) != 1:
            raise PlanError("a router passes no broadcast on: a flow through it has one target")
        frame = self.frame(source, targets[0] if len(targets) == 1 else None, size)
        return Flow(stream, source, targets, frame, share)

    def frame(self, source: str, target: str | None, size: int) -> bytes:
        """One test frame, not signed: an IPv4 packet in an Ethernet II frame (RFC 2544 C.2.6).

        Without ``target`` to everybody.
        """
        nic = self._bench.nic(source)
        numbers = {name: place for place, name in enumerate(self.nics, start=10)}
        if self._network is None:
            src = IPv4Address(f"198.18.0.{numbers[source]}")
            dst = IPv4Address(f"198.18.0.{numbers[target] if target else 255}")
            mac = self._bench.nic(target).mac if target else MacAddr.BROADCAST
        else:
            if target is None:
                raise PlanError("a router passes no broadcast on")
            src, dst = self._network[source].ip, self._network[target].ip
            mac = self._network[source].gateway_mac
        packet = IPv4Packet(src, dst, EXPERIMENT, bytes(size - FCS - HEADER - 20), ttl=64)
        return EthFrame(mac, nic.mac, EtherType.IPV4, packet.emit()).emit()

    def teach(self) -> None:
        """Learning frames (RFC 2544 23 a, b): every NIC tells the device where it is."""
        for name in self.nics:
            nic = self._bench.nic(name)
            if self._network is None:
                nic.inject(EthFrame(MacAddr.BROADCAST, nic.mac, payload=b"here"))
                continue
            for other in self.nics:  # the router has to ask for the target by ARP
                if other != name:
                    nic.inject(self.frame(name, other, 64))

    def limit(self, payload: int) -> bool:
        """Have a switch take payloads of so many bytes at most; whether it can."""
        switch = self._bench.switch(self.dut)
        ports = [self._bench.port(self.dut, toward=name) for name in self.nics]
        try:
            for port in ports:
                if switch.mtu(port) != payload:
                    switch.set_mtu(port, payload)
        except Unsupported:
            return False
        return True

    def fits(self, size: int) -> bool:
        """Whether frames of ``size`` bytes may pass; a switch is told to let long ones in."""
        payload = size - FCS - HEADER
        if any(self._bench.nic(name).mtu < payload for name in self.nics):
            return False
        if payload <= 1500 and not self.routed:
            return True
        ports = [self._bench.port(self.dut, toward=name) for name in self.nics]
        if self.routed:
            router = self._bench.router(self.dut)
            return all(router.mtu(port) >= payload for port in ports)
        switch = self._bench.switch(self.dut)
        try:
            for port in ports:
                if switch.mtu(port) < payload:
                    switch.set_mtu(port, payload)
        except Unsupported:
            return False
        return True
