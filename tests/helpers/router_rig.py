"""A simulated router between links whose stations the test plays itself, in virtual time."""

from __future__ import annotations

import random
from collections.abc import Iterable
from ipaddress import IPv4Address

from testbed.errors import WireError
from testbed.sim.device import Jack
from testbed.sim.router import SimRouter
from testbed.stack.variants import Defect
from testbed.timing import Duration, Instant, after, seconds
from testbed.wire import (
    ArpPacket,
    DestinationUnreachable,
    EchoRequest,
    EtherType,
    EthFrame,
    IPv4Packet,
    MacAddr,
    TcpFlags,
    TcpSegment,
    UdpDatagram,
    parse_icmpv4,
)
from testbed.wire.igmp import IgmpMessage

__all__ = ["EVERYTHING_ON", "PORTS", "RouterRig", "hostile", "ip", "mac_of", "tcp", "udp"]

PORTS = ("p1", "p2", "p3")
EVERYTHING_ON = (
    "ip multicast-routing ; ip route tracking ; ip filter tcp syn 23",
    "interface p2 ; ip nat outside ; ip tcp adjust-mss ; mtu 600 ; ip directed-broadcast",
    "interface p1 ; ip irdp",
)
START = Instant(1_000_000_000_000)


def ip(text: str) -> IPv4Address:
    return IPv4Address(text)


def mac_of(address: IPv4Address) -> MacAddr:
    """The MAC address of the station that has ``address``."""
    return MacAddr(b"\x02\x10" + address.packed)


def udp(src: str, dst: str, data=b"hello", sport=4000, dport=7, **header):
    datagram = UdpDatagram(sport, dport, data).emit(ip(src), ip(dst))
    return IPv4Packet(ip(src), ip(dst), 17, datagram, **header)


def tcp(src: str, dst: str, sport=4000, dport=80, flags=TcpFlags.SYN, **more):
    segment = TcpSegment(sport, dport, flags=flags, **more).emit(ip(src), ip(dst))
    return IPv4Packet(ip(src), ip(dst), 6, segment)


class RouterRig:
    """p1, p2, p3 are 10.1.0.1/24, 10.2.0.1/24, 10.3.0.1/24; hosts .2 to .99 answer to ARP."""

    def __init__(self, *lines: str, defects: Iterable[Defect] = (), seed: int = 1) -> None:
        self.now = START
        jacks = [Jack(port, MacAddr(f"02:00:00:00:01:0{port[1]}")) for port in PORTS]
        self.router = SimRouter("r1", jacks, seed=seed, defects=defects)
        self.router.on_enabled = self._follow
        self.deaf: set[IPv4Address] = set()
        """Stations that do not answer, though they are in the range of those that do."""
        self.out: list[tuple[str, bytes]] = []
        """What left the router, frame by frame, with the port."""
        for port in PORTS:
            self.router.set_link(port, True, self.now)
            self.configure(f"interface {port} ; ip address 10.{port[1]}.0.1/24")
        for line in lines:
            self.configure(line)
        self.clear()

    def mac(self, port: str) -> MacAddr:
        return self.router.jack(port).mac

    def _follow(self, port: str) -> None:
        self.router.set_link(port, self.router.is_enabled(port), self.now)

    # Its command line

    def run(self, line: str) -> str:
        answer = self.router.login().run(line, self.now)
        assert answer.status == 0, answer.output
        self.flush()
        return answer.output

    def configure(self, line: str) -> None:
        self.run(f"configure terminal ; {line} ; end")

    # Time and the wire

    def clear(self) -> None:
        self.flush()
        self.out.clear()

    def flush(self) -> None:
        while (out := self.router.poll_transmit(self.now)) is not None:
            self.out.append((out.interface, out.frame))
            self._answer(out.interface, out.frame)

    def wait(self, span: Duration = seconds(0)) -> None:
        """Let time go by."""
        limit = after(self.now, span)
        self.flush()
        while (due := self.router.poll_timeout()) is not None and due <= limit:
            self.now = max(self.now, due)
            self.router.handle_timeout(self.now)
            self.flush()
        self.now = limit

    def put(self, frame: bytes, port: str = "p1") -> None:
        """A frame comes in."""
        self.router.receive(frame, self.now, port)
        self.flush()

    def send(
        self,
        packet: IPv4Packet | bytes,
        port: str = "p1",
        *,
        to: MacAddr | None = None,
        src: MacAddr | None = None,
    ) -> None:
        """A packet comes in, in a frame to the router or to ``to``."""
        data = packet if isinstance(packet, bytes) else packet.emit()
        source = src or mac_of(ip(f"10.{port[1]}.0.2"))
        frame = EthFrame(to or self.mac(port), source, EtherType.IPV4, data)
        self.put(frame.emit(pad=True), port)

    def ask(self, target: IPv4Address, asker: IPv4Address, port: str) -> None:
        """An ARP request comes in."""
        arp = ArpPacket.request(mac_of(asker), asker, target)
        frame = EthFrame(MacAddr.BROADCAST, mac_of(asker), EtherType.ARP, arp.emit())
        self.put(frame.emit(pad=True), port)

    def _answer(self, port: str, frame: bytes) -> None:
        """Be the station that is asked for."""
        if frame[12:14] != b"\x08\x06":
            return
        arp = ArpPacket.parse(frame[14:])
        there = arp.target_ip
        if arp.op != 1 or not 2 <= int(there) & 0xFF <= 99 or there in self.deaf:
            return
        reply = ArpPacket.reply(mac_of(there), there, arp.sender_mac, arp.sender_ip)
        answer = EthFrame(arp.sender_mac, mac_of(there), EtherType.ARP, reply.emit())
        self.router.receive(answer.emit(pad=True), self.now, port)

    # What came out

    def frames(self, port: str, ethertype: bytes = b"\x08\x00") -> list[bytes]:
        return [frame for name, frame in self.out if name == port and frame[12:14] == ethertype]

    def packets(self, port: str, protocol: int | None = None) -> list[IPv4Packet]:
        """The packets that left by a port, checked."""
        found = [IPv4Packet.parse(frame[14:]) for frame in self.frames(port)]
        return [each for each in found if protocol in (None, each.protocol)]

    def arps(self, port: str) -> list[ArpPacket]:
        return [ArpPacket.parse(frame[14:]) for frame in self.frames(port, b"\x08\x06")]

    def icmp(self, port: str = "p1") -> list:
        """The ICMP messages that left by a port."""
        return [parse_icmpv4(each.payload) for each in self.packets(port, 1)]

    def seen(self) -> list[tuple[str, str]]:
        """All that left, as text to compare."""
        return [(port, frame.hex()) for port, frame in self.out]

    def readable(self) -> str:
        """All that left, for a message."""
        lines = []
        for port, frame in self.out:
            try:
                what = str(IPv4Packet.parse(frame[14:]))
            except WireError:
                what = frame[:42].hex()
            lines.append(f"{port}: {frame[:6].hex()} {what}")
        return "\n".join(lines)


def hostile(rig: RouterRig, seed: int, count: int) -> None:
    """Give the router so many packets with bytes changed, ends cut off, in whatever frames."""
    chance = random.Random(seed)  # noqa: S311 - made-up frames are no secret
    a, b, group = ip("10.1.0.2"), ip("10.2.0.2"), ip("239.1.2.3")
    rig.send(udp("10.1.0.2", "10.2.0.2"))
    seeds = [
        udp("10.1.0.2", "10.2.0.2", bytes(900)),
        udp("10.2.0.2", "10.2.0.1", sport=7, dport=4000),
        tcp("10.1.0.2", "10.9.0.9"),
        tcp("10.1.0.2", "10.2.0.2", dport=23),
        IPv4Packet(a, ip("10.1.0.1"), 1, EchoRequest(7, 9, bytes(60)).emit()),
        IPv4Packet(b, ip("10.2.0.1"), 1, DestinationUnreachable(4, bytes(60), 600).emit()),
        IPv4Packet(a, group, 2, IgmpMessage.report(group).emit(), ttl=1),
        udp("10.1.0.2", "10.3.0.2", options=b"\x83\x07\x04\x0a\x02\0\x02\x07\x0b\x04" + bytes(8)),
        udp("10.1.0.2", "10.2.0.255"),
    ]
    for _ in range(count):
        data = bytearray(chance.choice(seeds).emit())
        for _ in range(chance.randrange(4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        del data[chance.choice((len(data), chance.randrange(len(data) + 1))) :]
        data[10:12] = b"\0\0"
        total = sum(int.from_bytes(data[at : at + 2], "big") for at in range(0, 20, 2))
        data[10:12] = (0xFFFF - total % 0xFFFF).to_bytes(2, "big")
        port = chance.choice(PORTS)
        kind = chance.choice((b"\x08\0", b"\x08\0", b"\x08\x06", b"\x81\0"))
        to = chance.choice((rig.mac(port).packed, b"\xff" * 6, bytes.fromhex("01005e010203")))
        rig.put((to + mac_of(a).packed + kind + bytes(data)).ljust(60, b"\0"), port)
        if chance.random() < 0.01:
            rig.wait(seconds(chance.randrange(30)))
    rig.wait(seconds(600))
