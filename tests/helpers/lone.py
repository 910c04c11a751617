"""One stack on a link whose other stations the test plays itself: frames in, frames out."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface

from testbed.stack.config import StackConfig
from testbed.stack.stack import Stack
from testbed.timing import Duration, Instant, after
from testbed.wire import (
    ArpPacket,
    EtherType,
    EthFrame,
    IPv4Packet,
    MacAddr,
    UdpDatagram,
    parse_icmpv4,
)

__all__ = ["GATEWAY", "MAC", "PEER", "A", "B", "Lone", "ip"]

MAC = MacAddr("02:00:00:00:00:01")
PEER = MacAddr("02:00:00:00:00:02")
GATEWAY = MacAddr("02:00:00:00:00:fe")
A = IPv4Address("10.0.0.1")
B = IPv4Address("10.0.0.2")


def ip(text: str) -> IPv4Address:
    return IPv4Address(text)


class Lone:
    """10.0.0.1/24 on eth0, with the peer 10.0.0.2 known to ARP unless ``known`` is off."""

    def __init__(self, config: StackConfig | None = None, *, known: bool = True, mtu: int = 1500):
        self.now = Instant(1_000_000_000)
        self.stack = Stack(config, seed=1)
        self.stack.add_interface("eth0", mac=MAC, mtu=mtu)
        self.stack.add_address("eth0", IPv4Interface("10.0.0.1/24"), self.now)
        if known:
            self.stack.interface().neighbours.set(B, PEER, self.now)

    def gateway(self, address: str = "10.0.0.254") -> None:
        self.stack.interface().neighbours.set(ip(address), GATEWAY, self.now)
        from ipaddress import IPv4Network  # noqa: PLC0415

        self.stack.add_route(IPv4Network("0.0.0.0/0"), via=ip(address), now=self.now)

    def hear(self, packet: IPv4Packet | bytes, *, dst: MacAddr = MAC, src: MacAddr = PEER) -> None:
        data = packet if isinstance(packet, bytes) else packet.emit()
        frame = EthFrame(dst, src, EtherType.IPV4, data)
        self.stack.receive(frame.emit(pad=True), self.now)

    def hear_arp(self, arp: ArpPacket, *, dst: MacAddr = MacAddr.BROADCAST) -> None:
        frame = EthFrame(dst, arp.sender_mac, EtherType.ARP, arp.emit())
        self.stack.receive(frame.emit(pad=True), self.now)

    def udp(self, src: str, dst: str, sport: int, dport: int, data: bytes = b"", **header):
        datagram = UdpDatagram(sport, dport, data).emit(ip(src), ip(dst))
        return IPv4Packet(ip(src), ip(dst), 17, datagram, **header)

    def frames(self) -> list[EthFrame]:
        """Everything sent since the last look."""
        out = []
        while (sent := self.stack.poll_transmit(self.now)) is not None:
            out.append(EthFrame.parse(sent.frame))
        return out

    def packets(self) -> list[IPv4Packet]:
        return [IPv4Packet.parse(f.payload) for f in self.frames() if f.ethertype == EtherType.IPV4]

    def arps(self) -> list[tuple[MacAddr, ArpPacket]]:
        return [
            (f.dst, ArpPacket.parse(f.payload))
            for f in self.frames()
            if f.ethertype == EtherType.ARP
        ]

    def icmp(self) -> list:
        return [parse_icmpv4(p.payload) for p in self.packets() if p.protocol == 1]

    def wait(self, span: Duration) -> None:
        """Let time go by, every deadline met when it falls due."""
        end = after(self.now, span)
        while (at := self.stack.poll_timeout()) is not None and at <= end:
            self.now = max(self.now, at)
            self.stack.handle_timeout(self.now)
        self.now = end

    def dropped(self, layer: str, reason: str) -> int:
        return self.stack.core.dropped.get((layer, reason), 0)
