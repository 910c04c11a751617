"""Each defect changes what is seen on the wire: a good router and a bad one side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from router_rig import EVERYTHING_ON, RouterRig, hostile, ip, mac_of, tcp, udp

from testbed.sim.router import defects
from testbed.stack.variants import Defect
from testbed.timing import milliseconds, seconds
from testbed.wire import (
    ArpPacket,
    DestinationUnreachable,
    EchoReply,
    EchoRequest,
    EtherType,
    EthFrame,
    IPv4Packet,
    MacAddr,
    TcpFlags,
    fragment,
)
from testbed.wire.icmp_info import RouterSolicitation
from testbed.wire.igmp import IgmpMessage
from testbed.wire.tcp_options import MSS

Scenario = Callable[[RouterRig], None]
A, B = ip("10.1.0.2"), ip("10.2.0.2")
ROUTER = ip("10.1.0.1")


def families() -> Iterator[Defect]:
    for family in defects.__all__:
        module = getattr(defects, family)
        yield from (getattr(module, name) for name in module.__all__)


ALL = sorted(families(), key=str)


def ping(src: IPv4Address, dst: IPv4Address, data: bytes = b"data", **header) -> IPv4Packet:
    return IPv4Packet(src, dst, 1, EchoRequest(77, 9, data).emit(), **header)


def to_all(rig: RouterRig, packet: IPv4Packet, port: str = "p1") -> None:
    rig.send(packet, port, to=MacAddr.BROADCAST)


def to_group(rig: RouterRig, packet: IPv4Packet, port: str = "p1") -> None:
    low = int(packet.dst) & 0x7FFFFF
    mac = MacAddr(b"\x01\x00\x5e" + low.to_bytes(3, "big"))
    src = packet.src if int(packet.src) else A
    rig.send(packet, port, to=mac, src=mac_of(src))


def arp(rig: RouterRig) -> None:
    """IP-01."""
    rig.configure("ip route 10.9.0.0/16 10.2.0.9 ; interface p2 ; arp timeout 10000")
    asker, other = ip("10.2.0.60"), ip("10.2.0.61")
    rig.ask(ip("10.2.0.1"), asker, "p2")
    rig.ask(ip("10.2.0.50"), other, "p2")
    rig.ask(ip("10.2.0.50"), ip("0.0.0.0"), "p2")
    for dst in ("10.2.0.60", "10.2.0.61", "10.9.0.9", "10.2.0.200", "10.2.0.200"):
        rig.send(udp("10.1.0.2", dst))
    moved = ArpPacket.request(MacAddr("02:00:00:00:99:99"), asker, asker)
    frame = EthFrame(MacAddr.BROADCAST, moved.sender_mac, EtherType.ARP, moved.emit())
    rig.put(frame.emit(pad=True), "p2")
    rig.send(udp("10.1.0.2", "10.2.0.60"))
    rig.deaf.add(asker)
    rig.wait(seconds(60))
    rig.send(udp("10.1.0.2", "10.2.0.60"))


def header_fields(rig: RouterRig) -> None:
    """IP-03."""
    for dst in ("10.2.0.2", "10.1.0.1"):
        good = ping(A, ip(dst), bytes(60))
        data = good.emit()
        rig.send(good.emit(checksum=0x1234))
        rig.send(replace(good, options=bytes(4)).emit(checksum=0x1234))
        rig.send(_rechecked(data[:2] + (len(data) + 4).to_bytes(2, "big") + data[4:]))
        rig.send(data[:2] + (len(data) + 90).to_bytes(2, "big") + data[4:])
        long = replace(good, payload=good.payload + bytes(100)).emit()
        rig.send(long[:120])
        rig.send(_rechecked(b"\x65" + data[1:]))
        rig.send(_rechecked(b"\x44" + data[1:]))
        rig.send(_rechecked(data[:2] + b"\0\x10" + data[4:]))
        rig.send(data)
    spoilt = udp("10.1.0.2", "10.2.0.2")
    rig.send(replace(spoilt, payload=spoilt.payload[:-1] + b"!"))


def _rechecked(data: bytes) -> bytes:
    """``data`` with the checksum of its first 20 bytes put right."""
    head = IPv4Packet(A, B).emit(checksum=0)
    del head
    total = sum(int.from_bytes(data[at : at + 2], "big") for at in range(0, 20, 2) if at != 10)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return data[:10] + (0xFFFF - total).to_bytes(2, "big") + data[12:]


def hop(rig: RouterRig) -> None:
    """IP-04."""
    packet = udp("10.1.0.2", "10.2.0.2", tos=0xB9, ident=77, options=b"\x94\x04\0\0")
    rig.send(packet)
    rig.send(udp("10.1.0.2", "10.2.0.2", b"", ttl=9))
    without = int.from_bytes(replace(packet, ident=0).emit()[10:12], "big")
    for ident in (0, (without - 0xFF80) % 0xFFFF):
        rig.send(replace(packet, ident=ident))
    rig.send(packet, to=MacAddr("02:00:00:00:77:77"))


def ttl(rig: RouterRig) -> None:
    """IP-05."""
    for left in (0, 1, 2, 3):
        rig.send(udp("10.1.0.2", "10.2.0.2", ttl=left))
    rig.send(udp("10.1.0.2", "10.2.0.2", ttl=1, offset=80))
    rig.send(ping(A, ROUTER, ttl=1))


def longest_match(rig: RouterRig) -> None:
    """IP-06."""
    rig.configure(
        "ip route 198.19.200.0/24 10.2.0.9 ; ip route 198.19.128.0/17 10.3.0.9 ; "
        "ip route 198.19.200.128/25 10.3.0.9 ; ip route 0.0.0.0/0 10.3.0.9 ; "
        "ip route 198.19.200.200/32 10.2.0.9 ; ip route 10.2.0.77/32 10.3.0.9"
    )
    for last in ("200.1", "200.127", "200.128", "200.200", "200.255", "129.1", "1.1"):
        rig.send(udp("10.1.0.2", f"198.19.{last}"))
    rig.send(udp("10.1.0.2", "10.2.0.77"))
    rig.send(udp("10.1.0.2", "127.0.0.9"))
    rig.send(udp("127.0.0.1", "10.2.0.2"))


def unreachable(rig: RouterRig) -> None:
    """IP-07."""
    quoted = udp("10.9.0.9", "10.1.0.2").emit()
    for dst in ("10.9.0.9", "10.2.0.200"):
        rig.send(udp("10.1.0.2", dst))
        error = DestinationUnreachable(1, quoted).emit()
        rig.send(IPv4Packet(A, ip(dst), 1, error))
        rig.send(udp("10.1.0.2", dst, offset=80))
    rig.send(udp("10.1.0.2", "10.1.0.1"))
    rig.send(IPv4Packet(A, ROUTER, 253, b"what?"))
    to_all(rig, udp("10.1.0.2", "10.1.0.255"))
    to_all(rig, udp("10.1.0.2", "255.255.255.255"))
    rig.wait(seconds(10))


def echo(rig: RouterRig) -> None:
    """IP-08."""
    for size in (0, 1, 64, 1001, 1472):
        rig.send(ping(A, ROUTER, bytes(size)))
    for piece in fragment(ping(A, ROUTER, bytes(3000)), 1500):
        rig.send(piece)
    rig.send(ping(A, ip("10.2.0.1")))
    good = ping(A, ROUTER)
    rig.send(replace(good, payload=good.payload[:-1] + b"!"))


def redirect(rig: RouterRig) -> None:
    """IP-09."""
    rig.configure("ip route 10.9.0.0/16 10.1.0.9 ; ip route 10.5.0.0/16 10.1.0.9")
    rig.send(udp("10.1.0.2", "10.9.0.9"))
    rig.send(udp("10.1.0.2", "10.1.0.3"))
    rig.send(udp("10.1.0.2", "10.2.0.2"))
    rig.send(udp("10.5.0.2", "10.9.0.9"))


def advertisement(rig: RouterRig) -> None:
    """IP-10."""
    rig.configure("interface p1 ; ip address 10.4.0.1/24 ; ip irdp 5 600 1800")
    for asker in ("10.1.0.2", "10.77.0.2"):
        ask = RouterSolicitation().emit()
        to_group(rig, IPv4Packet(ip(asker), ip("224.0.0.2"), 1, ask, ttl=1))
        rig.wait(seconds(3))
    rig.configure("interface p1 ; no ip irdp")
    rig.configure("interface p2 ; ip irdp 5 600 1800")
    rig.wait(seconds(32 + 590))
    rig.configure("interface p2 ; no ip irdp")


def local_broadcast(rig: RouterRig) -> None:
    """IP-11."""
    rig.configure("ip route 0.0.0.0/0 10.3.0.9")
    for dst in ("255.255.255.255", "10.1.0.255", "10.2.0.2"):
        to_all(rig, udp("10.1.0.2", dst, sport=137, dport=137))
    rig.send(udp("10.1.0.2", "10.1.0.255", sport=137, dport=137))
    to_all(rig, udp("10.1.0.2", "255.255.255.255", dport=9))


def directed_broadcast(rig: RouterRig) -> None:
    """IP-12."""
    rig.send(udp("10.1.0.2", "10.2.0.2"))
    there = udp("10.1.0.2", "10.2.0.255"), udp("10.1.0.2", "10.3.0.255"), ping(A, ip("10.2.0.255"))
    for line in ("no ip directed-broadcast", "ip directed-broadcast", "no ip directed-broadcast"):
        if line.startswith("ip") or len(rig.out) > 2:
            rig.configure(f"interface p2 ; {line}")
        for packet in there:
            rig.send(packet)


def groups(rig: RouterRig) -> None:
    """IP-13."""
    local, group = udp("10.1.0.2", "224.0.0.9"), udp("10.1.0.2", "239.1.1.1")
    to_group(rig, local)
    rig.send(local)
    rig.configure("ip multicast-routing")
    to_group(rig, group)
    for message in (IgmpMessage.report(group.dst), IgmpMessage.leave(group.dst)):
        dst = group.dst if message.is_report else ip("224.0.0.2")
        packet = IPv4Packet(B, dst, 2, message.emit(), ttl=1, options=b"\x94\x04\0\0")
        to_group(rig, packet, "p2")
        to_group(rig, group)
        rig.send(group)
        other = IgmpMessage.report(ip("239.1.1.2"))
        to_group(rig, IPv4Packet(B, other.group, 2, other.emit(), ttl=1), "p2")
        to_group(rig, group)
    rig.wait(seconds(5))
    to_group(rig, group)
    rig.wait(seconds(60))


def failover(rig: RouterRig) -> None:
    """IP-16."""
    rig.configure(
        "ip route tracking ; ip route 10.9.0.0/16 10.2.0.9 ; ip route 10.9.0.0/16 10.3.0.9 ; "
        "interface p2 ; arp timeout 5000 ; interface p3 ; arp timeout 5000"
    )

    def flows() -> None:
        for number in range(8):
            for ident in (1, 2):
                rig.send(udp("10.1.0.2", "10.9.0.9", sport=4000 + number, ident=ident))

    flows()
    rig.deaf.add(ip("10.2.0.9"))
    for _ in range(12):
        rig.wait(seconds(1))
        flows()
    rig.deaf.clear()
    rig.wait(seconds(5))
    flows()
    rig.router.set_link("p3", False, rig.now)
    flows()


def fragments(rig: RouterRig) -> None:
    """FR-01."""
    rig.configure("interface p2 ; mtu 1400")
    data = bytes(at % 251 for at in range(2800))
    for options in (b"", b"\x94\x04\0\0\x07\x07\x04\0\0\0\0\0"):
        for size in (1372 - len(options), 1373 - len(options), 2800):
            rig.send(udp("10.1.0.2", "10.2.0.2", data[:size], ident=5, options=options))
    rig.send(udp("10.1.0.2", "10.2.0.2", data[:1400], offset=40_000))


def pieces(rig: RouterRig) -> None:
    """FR-02."""
    rig.configure("interface p2 ; mtu 300")
    for piece in reversed(fragment(udp("10.1.0.2", "10.2.0.2", bytes(2000), ident=3), 600)):
        rig.send(piece)


def tiny(rig: RouterRig) -> None:
    """FR-06."""
    rig.configure("ip filter tcp syn 23")
    syn = tcp("10.1.0.2", "10.2.0.2", dport=23)
    rig.send(syn)
    for cut in (8, 16):
        rig.send(replace(syn, payload=syn.payload[:cut], mf=True, ident=cut))
        rig.send(replace(syn, payload=syn.payload[cut:], offset=cut, ident=cut))
    rig.send(replace(syn, payload=syn.payload.ljust(24), mf=True, ident=24))
    rig.send(tcp("10.1.0.2", "10.2.0.2", dport=23, flags=TcpFlags.ACK))
    large = tcp("10.1.0.2", "10.2.0.2", payload=bytes(2000))
    for piece in fragment(large, 600):
        rig.send(piece)


def flood(rig: RouterRig) -> None:
    """FR-08."""
    ends = []
    for number in range(4000):
        whole = IPv4Packet(A, ROUTER, 1, EchoRequest(7, number, bytes(1600)).emit(), ident=number)
        first, last = fragment(whole, 1500)
        rig.send(first)
        ends.append(last)
        if number % 100 == 0:
            rig.send(ping(A, ROUTER))
    for last in ends:
        rig.send(last)
    rig.wait(seconds(61))
    for piece in fragment(ping(A, ROUTER, bytes(3000)), 1500):
        rig.send(piece)


def frag_needed(rig: RouterRig) -> None:
    """PM-01."""
    rig.configure("interface p2 ; mtu 1300")
    for size in (1272, 1273):
        for df in (True, False):
            rig.send(udp("10.1.0.2", "10.2.0.2", bytes(size), df=df))


def several_hops(rig: RouterRig) -> None:
    """PM-03."""
    rig.configure("interface p2 ; mtu 1300")
    rig.send(udp("10.1.0.2", "10.2.0.2", bytes(1400), df=True))
    error = DestinationUnreachable(4, udp("10.1.0.2", "10.2.0.2").emit(), 1200).emit()
    rig.send(IPv4Packet(ip("10.2.0.9"), A, 1, error), "p2")
    rig.send(udp("10.1.0.2", "10.2.0.2", bytes(1301), df=True))


def clamping(rig: RouterRig) -> None:
    """PM-09."""
    rig.configure("interface p2 ; mtu 1400")

    def both(mss: int) -> None:
        rig.send(tcp("10.1.0.2", "10.2.0.2", options=(MSS(mss),)))
        back = TcpFlags.SYN | TcpFlags.ACK
        rig.send(tcp("10.2.0.2", "10.1.0.2", flags=back, options=(MSS(mss),)), "p2")

    both(1460)
    rig.configure("interface p2 ; ip tcp adjust-mss")
    for mss in (1460, 1400, 536):
        both(mss)


def translation(rig: RouterRig) -> None:
    """AP-03."""
    rig.configure("interface p2 ; ip nat outside")
    outside = ip("10.2.0.1")
    for host, peer in (("2", "2"), ("3", "2"), ("3", "3")):
        rig.send(udp(f"10.1.0.{host}", f"10.2.0.{peer}"))
        rig.send(tcp(f"10.1.0.{host}", f"10.2.0.{peer}"))
    rig.send(tcp("10.1.0.2", "10.2.0.2", flags=TcpFlags.FIN | TcpFlags.ACK))
    rig.send(udp("10.2.0.2", "10.2.0.1", sport=7, dport=4000), "p2")
    rig.send(udp("10.2.0.2", "10.1.0.2", sport=7, dport=4000), "p2")
    rig.send(replace(udp("10.1.0.2", "10.2.0.2"), tos=0xB8, options=bytes((1, 1, 1, 1))))
    left = rig.packets("p2", 17)
    if left:
        error = DestinationUnreachable(3, left[0].emit()).emit()
        rig.send(IPv4Packet(B, outside, 1, error), "p2")
    rig.send(ping(A, B))
    rig.send(IPv4Packet(B, outside, 1, EchoReply(77, 9, b"data").emit()), "p2")
    ports = {int.from_bytes(each.payload[:2], "big") for each in left}
    for port in sorted(ports):
        answer = udp("10.2.0.2", "10.2.0.1", sport=7, dport=port)
        rig.send(replace(answer, tos=0xB8, options=bytes((1, 1, 1, 1))), "p2")
    for host, port in (("2", max(ports, default=0)), ("3", 4000)):
        rig.send(udp(f"10.1.0.{host}", "10.2.0.1", dport=port))
    for piece in fragment(udp("10.1.0.2", "10.2.0.2", bytes(2000)), 1500):
        rig.send(piece)
    for span in (100, 250):
        rig.wait(seconds(span))
        rig.send(udp("10.2.0.2", "10.2.0.1", sport=7, dport=4000), "p2")


SCENARIOS: dict[str, Scenario] = {
    "IP-01": arp,
    "IP-03": header_fields,
    "IP-04": hop,
    "IP-05": ttl,
    "IP-06": longest_match,
    "IP-07": unreachable,
    "IP-08": echo,
    "IP-09": redirect,
    "IP-10": advertisement,
    "IP-11": local_broadcast,
    "IP-12": directed_broadcast,
    "IP-13": groups,
    "IP-16": failover,
    "FR-01": fragments,
    "FR-02": pieces,
    "FR-06": tiny,
    "FR-08": flood,
    "PM-01": frag_needed,
    "PM-03": several_hops,
    "PM-09": clamping,
    "AP-03": translation,
}

CATALOGUE = {
    "IP-01": ("answers for others", "never expires"),
    "IP-03": ("forwards a bad checksum",),
    "IP-04": ("TTL not decremented", "stale checksum"),
    "IP-05": ("silent drop", "forwards TTL 0"),
    "IP-06": ("first match wins",),
    "IP-07": ("error about an error",),
    "IP-08": ("truncates data",),
    "IP-09": ("redirects to a wrong gateway",),
    "IP-10": ("lifetime 0 sent",),
    "IP-11": ("leaks it",),
    "IP-12": ("on by default",),
    "IP-13": ("forwards link-local groups",),
    "IP-16": ("never fails over",),
    "FR-01": ("offset off by 8", "MF on the last"),
    "FR-02": ("router drops later fragments",),
    "FR-06": ("filter passed",),
    "FR-08": ("memory grows without bound",),
    "PM-01": ("MTU field 0", "fragments it anyway", "wrong MTU"),
    "PM-03": ("stops at the first",),
    "PM-09": ("clamps nothing", "bad checksum"),
    "AP-03": ("checksum stale", "two hosts share a mapping"),
}


def trace(behaviour: str, *switched_on: Defect) -> list[tuple[str, str]]:
    rig = RouterRig("no ip icmp rate-limit", defects=switched_on)
    SCENARIOS[behaviour](rig)
    rig.wait(milliseconds(1))
    return rig.seen()


@pytest.fixture(scope="module")
def good() -> dict[str, list[tuple[str, str]]]:
    return {behaviour: trace(behaviour) for behaviour in SCENARIOS}


@pytest.mark.parametrize("defect", ALL, ids=str)
def test_a_defect_changes_what_is_seen(defect, good):
    assert trace(defect.behaviour, defect) != good[defect.behaviour]


@pytest.mark.parametrize("behaviour", CATALOGUE)
def test_every_defect_that_the_catalogue_names_is_there_and_two_more(behaviour):
    names = [defect.name for defect in ALL if defect.behaviour == behaviour]
    assert set(CATALOGUE[behaviour]) <= set(names)
    assert len(names) >= len(CATALOGUE[behaviour]) + 2
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("behaviour", SCENARIOS)
def test_the_same_seed_gives_the_same_frames(behaviour, good):
    assert trace(behaviour) == good[behaviour]


@pytest.mark.parametrize("defect", ALL, ids=str)
def test_no_frame_makes_a_bad_router_raise_either(defect):
    hostile(RouterRig(*EVERYTHING_ON, defects=[defect]), 1, 300)
