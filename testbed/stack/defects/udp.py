"""Faults of UDP: of checksums, lengths, and whose a datagram is."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from typing import Final

from testbed.errors import WireError
from testbed.stack.interface import Interface
from testbed.stack.ip import IpLayer
from testbed.stack.memberships import Memberships
from testbed.stack.neighbours import Neighbour
from testbed.stack.tcp.layer import TcpLayer
from testbed.stack.udp import UdpLayer
from testbed.stack.udp_socket import Datagram, Endpoint, UdpSocket
from testbed.stack.variants import Defect
from testbed.timing import Instant
from testbed.wire.addresses import MacAddr
from testbed.wire.ipv4 import IpProtocol, IPv4Packet
from testbed.wire.udp import UdpDatagram

__all__ = [
    "ACCEPTS_BAD_CHECKSUM",
    "CROSSES_PROTOCOLS",
    "CUTS_LONG_DATAGRAMS",
    "GROUPS_TO_ALL_STATIONS",
    "HEARS_ANYBODY",
    "HEARS_GROUPS_UNASKED",
    "JOINS_IN_SILENCE",
    "ONE_TAKER_OF_MANY",
    "REFUSES_NO_CHECKSUM",
    "SENDS_TWICE",
    "TAKES_WHAT_FOLLOWS",
]

_CUT: Final = 1024


class _NeverSums(UdpLayer):
    __slots__ = ()

    def parse(self, packet: IPv4Packet) -> UdpDatagram:
        return UdpDatagram.parse(packet.payload, packet.src, packet.dst, verify=False)


class _AlwaysSums(UdpLayer):
    __slots__ = ()

    def parse(self, packet: IPv4Packet) -> UdpDatagram:
        if packet.payload[6:8] == b"\0\0":
            raise WireError("no checksum", 6)
        return super().parse(packet)


class _ByTheIpLength(UdpLayer):
    __slots__ = ()

    def parse(self, packet: IPv4Packet) -> UdpDatagram:
        return replace(super().parse(packet), payload=packet.payload[8:])


class _Twice(UdpLayer):
    __slots__ = ()

    def transmit(
        self, socket: UdpSocket, payload: bytes, to: Endpoint, now: Instant, *, df: bool
    ) -> None:
        for _ in range(2):
            super().transmit(socket, payload, to, now, df=df)


class _Cuts(UdpSocket):
    __slots__ = ()

    def deliver(self, datagram: Datagram) -> bool:
        return super().deliver(replace(datagram, payload=datagram.payload[:_CUT]))


class _OneTableOfPorts(UdpLayer):
    __slots__ = ()

    def receive(self, packet: IPv4Packet, now: Instant) -> None:
        tcp = self._ip.transport(IpProtocol.TCP)
        port = int.from_bytes(packet.payload[2:4], "big")
        listens = isinstance(tcp, TcpLayer) and any(each.port == port for each in tcp.listeners)
        if not listens or port in self._ports:
            super().receive(packet, now)


class _AnyPeer(UdpSocket):
    __slots__ = ()

    def matches(self, datagram: Datagram, many: bool) -> int:
        if self.remote is not None:
            datagram = replace(datagram, source=self.remote[0], source_port=self.remote[1])
        return super().matches(datagram, many)


class _AllGroups(IpLayer):
    __slots__ = ()

    def is_for_many(self, address: IPv4Address, interface: Interface) -> bool:
        return address.is_multicast or super().is_for_many(address, interface)


class _ToAllStations(Interface):
    __slots__ = ()

    def neighbour(self, next_hop: IPv4Address) -> Neighbour:
        if next_hop.is_multicast and self.mac is not None:
            to_all = MacAddr.BROADCAST
            header = to_all.packed + self.mac.packed + b"\x08\x00"
            return Neighbour.fixed(next_hop, header, to_all)
        return super().neighbour(next_hop)


class _OneOfMany(UdpLayer):
    __slots__ = ()

    def takers(self, datagram: Datagram, port: int, many: bool) -> list[UdpSocket]:
        return super().takers(datagram, port, many)[:1]


class _SaysNothing(Memberships):
    __slots__ = ()

    def _send(self, packet: IPv4Packet, link: Interface, now: Instant) -> None:
        pass


ACCEPTS_BAD_CHECKSUM: Final = Defect(
    "accepts a bad checksum",
    "UD-01",
    "A NIC that is told to check sums, and does not, lets bytes through that the bad memory of a "
    "router has changed.",
    {UdpLayer: _NeverSums},
)
REFUSES_NO_CHECKSUM: Final = Defect(
    "refuses datagrams without a checksum",
    "UD-01",
    "A firewall takes the zero of a datagram without a checksum for a wrong one, and old NFS or "
    "tunnels fail through it.",
    {UdpLayer: _AlwaysSums},
)
TAKES_WHAT_FOLLOWS: Final = Defect(
    "takes what follows",
    "UD-01",
    "A stack hands up what is left in the packet behind the end of the datagram.",
    {UdpLayer: _ByTheIpLength},
)
SENDS_TWICE: Final = Defect(
    "sends twice",
    "UD-01",
    "A driver sends a frame again whose completion it missed, and the datagram arrives twice.",
    {UdpLayer: _Twice},
)
CUTS_LONG_DATAGRAMS: Final = Defect(
    "cuts long datagrams",
    "UD-01",
    "A stack with receive buffers of a fixed size hands up the beginning of longer datagrams.",
    {UdpSocket: _Cuts},
)
CROSSES_PROTOCOLS: Final = Defect(
    "crosses protocols",
    "UD-02",
    "A stack with one table of ports for TCP and UDP swallows datagrams to a port where only TCP "
    "listens, and the sender waits for ever.",
    {UdpLayer: _OneTableOfPorts},
)
HEARS_ANYBODY: Final = Defect(
    "hears anybody",
    "UD-02",
    "A socket that is connected to one peer takes datagrams of others, so that answers can be "
    "forged from anywhere.",
    {UdpSocket: _AnyPeer},
)
HEARS_GROUPS_UNASKED: Final = Defect(
    "hears groups unasked",
    "UD-03",
    "A stack whose NIC lets all groups through hands up datagrams to groups that nobody joined.",
    {IpLayer: _AllGroups},
)
GROUPS_TO_ALL_STATIONS: Final = Defect(
    "groups to all stations",
    "UD-03",
    "A driver without group addresses sends to a group by broadcast, and wakes every host.",
    {Interface: _ToAllStations},
)
ONE_TAKER_OF_MANY: Final = Defect(
    "one taker of many",
    "UD-03",
    "Of several programs that listen to one group only the first gets anything.",
    {UdpLayer: _OneOfMany},
)
JOINS_IN_SILENCE: Final = Defect(
    "joins in silence",
    "UD-03",
    "A stack that joins without a report gets nothing from a router, or through a switch that "
    "listens for reports.",
    {Memberships: _SaysNothing},
)
