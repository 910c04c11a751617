"""A router that clamps the MSS has both ends of a connection send segments that fit its path.

Where frag needed may be filtered further on, a router on the way lowers the MSS that SYN and
SYN+ACK announce to the MTU of the path less 40, the headers without options (RFC 9293 3.7.1), and
raises none: a host that takes less said so for a reason. It touches nothing else: the other
options, whichever way they stand, flags, numbers and data are byte for byte as they were, under a
right checksum, and so are segments without SYN, later fragments, datagrams, and connections that
keep to other ports. None of it happens unless it is switched on.
"""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from testbed import (
    MSS,
    Bench,
    EthFrame,
    IPv4Packet,
    Matcher,
    SackPermitted,
    TcpFlags,
    TcpSegment,
    Timestamps,
    Topology,
    UdpDatagram,
    UnknownOption,
    WindowScale,
    compose,
    drill,
    enclose,
    faults,
    match,
)

MTUS = (1400, 1492, 576, 540)
HEADERS = 40
ABSENT = 536  # RFC 9293 3.7.1: what an MSS that is not announced counts as
USUAL, LOW = 1460, 500
DATA = bytes(range(7, 240)) * 2
SYN, ACK = TcpFlags.SYN, TcpFlags.ACK
ODD = UnknownOption(254, b"\0\0")
"""Behind an MSS, stands for this: one NOP before it, three after it, so that it begins oddly."""
BIG_ROUTE = "ip route add {network} dev {port} mtu lock {mtu} table 77"


def sent_by(sender: IPv4Address, port: int, **fields: object) -> TcpSegment:
    """A SYN of one end; both ends' are alike but for ``fields``."""
    plain = TcpSegment(port, 2000, seq=0xFFFFF000 + port, flags=SYN, options=(MSS(USUAL),))
    return replace(plain, window=64000 + int(sender) % 2, **fields)  # type: ignore[arg-type]


def handshakes(sender: IPv4Address, mtu: int) -> Iterator[TcpSegment]:
    """SYNs and SYN+ACKs that announce an MSS, in every shape, each from a port of its own."""
    fits = mtu - HEADERS
    modern = (SackPermitted(), Timestamps(0x01020304, 0), WindowScale(7))
    strange = UnknownOption(253, b"\x02\x04\x05\xb4")  # RFC 6994: an experiment, alike to an MSS
    listed: tuple[dict[str, object], ...] = (
        {},
        {"flags": SYN | ACK, "ack": 0x89ABCDEF},
        {"options": (MSS(USUAL), *modern)},
        {"options": (*modern, MSS(USUAL))},
        {"options": (strange, MSS(USUAL)), "flags": SYN | ACK, "ack": 1},
        {"options": (MSS(65535),)},
        {"options": (MSS(fits + 1),)},
        {"options": (MSS(fits),)},
        {"options": (MSS(fits - 1), SackPermitted())},
        {"options": (MSS(LOW),)},
        {"options": (MSS(LOW),), "flags": SYN | ACK, "ack": 2},
        {"payload": DATA[:255]},  # RFC 9293 3.4: a SYN may carry data
        {"flags": SYN | TcpFlags.ECE | TcpFlags.CWR},
    )
    for number, fields in enumerate(listed, 1000):
        yield sent_by(sender, number, **fields)


def clamped(segment: TcpSegment, most: int) -> TcpSegment:
    """``segment`` as it must leave."""
    options = (
        MSS(min(option.value, most)) if isinstance(option, MSS) else option
        for option in segment.options
    )
    return replace(segment, options=tuple(options))


def enclosed(packet: IPv4Packet, segment: TcpSegment) -> IPv4Packet:
    """``segment`` in ``packet``, laid out as ODD says where it has that."""
    whole = enclose(packet, segment)
    if ODD not in segment.options:
        return whole
    data = whole.payload
    even, odd = data[20:28], b"\x01" + data[20:24] + b"\x01\x01\x01"
    # RFC 1624 3: the old words are taken out of the sum, the new ones put in.
    words = 0xFFFF - int.from_bytes(data[16:18], "big") - sum_of(even) + sum_of(odd)
    checksum = 0xFFFF - words % 0xFFFF
    data = data[:16] + checksum.to_bytes(2, "big") + data[18:20] + odd + data[28:]
    return replace(whole, payload=data)


def varied(packet: IPv4Packet, number: int) -> IPv4Packet:
    """``packet`` with this identification; some have no DF, some have options of IP's own."""
    options = b"\x01" * (4 if number % 3 == 0 else 0)
    return replace(packet, ident=number, df=number % 2 == 0, options=options)


def sum_of(data: bytes) -> int:
    """The sum of 16-bit words."""
    return sum(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))


def others(there: IPv4Packet) -> Iterator[IPv4Packet]:
    """What must pass as it is: like a SYN in one way or another, and none."""
    mss = (MSS(USUAL),)
    for number, flags in enumerate((ACK, ACK | TcpFlags.PSH, TcpFlags.RST, TcpFlags.FIN | ACK)):
        yield enclose(there, sent_by(there.src, 1100 + number, flags=flags, payload=DATA))
    syn = sent_by(there.src, 1110, options=mss).emit(there.src, there.dst)
    yield enclose(there, sent_by(there.src, 1111, flags=ACK, options=(), payload=syn))
    yield enclose(there, UdpDatagram(1112, 2000, syn))
    yield replace(there, protocol=6, offset=512, payload=syn)


def through(packet: IPv4Packet, inner: TcpSegment) -> Matcher:
    """``inner`` in ``packet``, a hop on, by what plans judge one by one."""
    mss = next(option.value for option in inner.options if isinstance(option, MSS))
    return match.ipv4(
        src=packet.src,
        dst=packet.dst,
        ident=packet.ident,
        ttl=packet.ttl - 1,
        df=packet.df,
        options=packet.options,
        bad_checksum=False,
    ) & match.tcp(src_port=inner.src_port, mss=mss, bad_checksum=False)


class Exchange:
    """Packets between two leaves of the router, and how they are to come out."""

    def __init__(self, bench: Bench, near: str, far: str) -> None:
        net = bench.bring_up_network()
        self.bench, self.near, self.far = bench, net[near], net[far]
        self.due: list[tuple[str, Matcher]] = []
        self.frames: list[tuple[str, bytes]] = []

    def add(self, mtu: int, most: int) -> None:
        """What both ends say, of shapes made for ``mtu``, where an MSS leaves as ``most``."""
        for here, there in ((self.near, self.far), (self.far, self.near)):
            packet = IPv4Packet(here.ip, there.ip, df=True)
            for segment in handshakes(here.ip, mtu):
                wanted = clamped(segment, most)
                mine = enclosed(varied(packet, segment.src_port), segment)
                self.due.append((there.node, through(mine, wanted)))
                self._send(here.node, there.node, mine, enclosed(mine, wanted).payload)
            for number, other in enumerate(others(packet), 3000):
                mine = replace(other, ident=number, df=other.offset == 0)
                self._send(here.node, there.node, mine, mine.payload)

    def judge(self) -> None:
        """Send all of it; everything must come out, once, as it is due."""
        with self.bench.capture(*(f"{end.node}--dut" for end in (self.near, self.far))) as seen:
            for leaf, frame in self.frames:
                self.bench.nic(leaf).inject(frame)
            seen.settle()
        for leaf, wanted in self.due:
            seen.at(f"{leaf}--dut").expect_count(wanted, 1)
        for here, there in ((self.near, self.far), (self.far, self.near)):
            sent = sum(leaf == here.node for leaf, _ in self.frames)
            seen.at(f"{there.node}--dut").expect_count(match.ipv4(src=here.ip), sent)

    def _send(self, leaf: str, toward: str, packet: IPv4Packet, wanted: bytes) -> None:
        end = self.near if leaf == self.near.node else self.far
        frame = compose(EthFrame(end.gateway_mac, end.mac), packet, pad=True)
        self.frames.append((leaf, frame))
        self.due.append((toward, match.ipv4(ident=packet.ident, payload=wanted)))


def routed_by(*rules: tuple[str, int], match_rule: str = "") -> faults.Fault:
    """Have the router believe in these MTUs: of the route to a leaf's network, so many bytes."""

    def fault(bench: Bench) -> None:
        net = bench.bring_up_network()
        bench.sabotage("dut").run(
            *(
                BIG_ROUTE.format(
                    network=net[leaf].address.network,
                    port=bench.port("dut", toward=leaf),
                    mtu=mtu,
                )
                for leaf, mtu in rules
            ),
            f"ip rule add pref 77 {match_rule} lookup 77",
            undo=(
                "ip rule del pref 77 2>/dev/null || true",
                "ip route flush table 77 2>/dev/null || true",
            ),
        )

    return fault


MEND = (0x0204 + USUAL - 0x0103 - 0x0307) % 0xFFFF
POSTROUTING = "type filter hook postrouting priority 0;"


@pytest.mark.behaviour("PM-09", clause="RFC 9293 3.7.1")
@pytest.mark.topology(Topology.star("dut:router", "a", "b", "c"))
@drill("clamps nothing", routed_by(("b", 1500)), caught="tcp.mss 1460, wanted 1360")
@drill("clamps to the MTU", routed_by(("b", 1440)), caught="tcp.mss 1400, wanted 1360")
@drill(
    "clamps one direction only",
    # What says how large the way back is; the way there is asked with the port it came in by.
    routed_by(("b", 1500), match_rule="iif lo"),
    caught="a--dut: expect 1 of .*\n(.*\n)*.*tcp.mss 1460, wanted 1360",
)
@drill(
    "bad checksum",
    faults.nft(POSTROUTING, "tcp flags & syn == syn @th,176,16 1360 @th,176,16 set 1359"),
    caught="tcp.bad_checksum True, wanted False",
)
@drill(
    "raises a smaller MSS",
    faults.nft(
        POSTROUTING,
        # The checksum is brought along by way of a field that goes back to what it was.
        f"tcp flags & syn == syn @th,160,32 {0x02040000 + LOW} tcp urgptr set {1360 - LOW} "
        "@th,144,16 set 0 @th,176,16 set 1360",
    ),
    caught=f"tcp.mss 1360, wanted {LOW}",
)
@drill(
    "rewrites segments without SYN",
    faults.nft(POSTROUTING, "tcp flags & syn == 0 tcp option maxseg size set 1360"),
    caught="expect 1 of ipv4.ident=3000.*did not come",
)
@drill(
    "strips another option",
    faults.nft(POSTROUTING, "tcp flags & syn == syn reset tcp option sack-perm"),
    caught="expect 1 of ipv4.ident=1002, payload",
)
@drill(
    "loses the data of a SYN",
    faults.nft(POSTROUTING, "tcp flags & syn == syn meta length > 200 drop"),
    caught="expect 1 of .*ident=1011.*did not come",
)
def test_syns_announce_what_fits_the_path(bench: Bench) -> None:
    dut, port = bench.router("dut"), bench.port("dut", toward="b")
    bench.bring_up_network()
    dut.set_mss_clamp(port, on=True)
    for mtu in MTUS:
        dut.set_mtu(port, mtu)
        exchange = Exchange(bench, "a", "b")
        exchange.add(mtu, mtu - HEADERS)
        exchange.judge()


@pytest.mark.behaviour("PM-09", clause="RFC 9293 3.7.1")
@pytest.mark.topology(Topology.star("dut:router", "a", "b", "c"))
@drill("looks at one port only", routed_by(("a", 1500)), caught="tcp.mss 1360, wanted 1240")
def test_the_narrower_port_of_the_path_counts(bench: Bench) -> None:
    """Of the port that a SYN comes in by and that which it leaves by the smaller MTU counts.

    What is sent back comes by that other port: the path of a connection is both ways of it.
    """
    dut, ports = bench.router("dut"), {leaf: bench.port("dut", toward=leaf) for leaf in "ab"}
    bench.bring_up_network()
    dut.set_mtu(ports["a"], 1280)
    dut.set_mtu(ports["b"], 1400)
    dut.set_mss_clamp(ports["b"], on=True)
    exchange = Exchange(bench, "a", "b")
    exchange.add(1280, 1280 - HEADERS)
    exchange.judge()


@pytest.mark.behaviour("PM-09")
@pytest.mark.topology(Topology.star("dut:router", "a", "b", "c"))
@drill(
    "clamps though nobody asked",
    faults.nft(
        "type filter hook forward priority 0;",
        "tcp flags & syn == syn tcp option maxseg size set rt mtu",
    ),
    caught="tcp.mss 1360, wanted 1460",
)
@drill(
    "clamps at every port",
    faults.nft(
        "type filter hook forward priority 0;",
        'oifname {{ "{a}", "{c}" }} iifname {{ "{a}", "{c}" }} tcp flags & syn == syn '
        "tcp option maxseg size set rt mtu",
    ),
    caught="c--dut: expect 1 of .*\n(.*\n)*.*tcp.mss 1360, wanted 1460",
)
def test_only_the_port_that_was_asked_for_is_clamped(bench: Bench) -> None:
    """By default no MSS is changed, nor where the clamp is on at another port, or off again."""
    dut, ports = bench.router("dut"), {leaf: bench.port("dut", toward=leaf) for leaf in "abc"}
    bench.bring_up_network()
    for leaf in "bc":
        dut.set_mtu(ports[leaf], 1400)
    untouched = 0xFFFF
    for near, far, clamp in (("a", "b", None), ("a", "c", True), ("a", "b", False)):
        if clamp is not None:
            dut.set_mss_clamp(ports["b"], on=clamp)
        exchange = Exchange(bench, near, far)
        exchange.add(1400, untouched)
        exchange.judge()


@pytest.mark.behaviour("PM-09", clause="RFC 1624 3")
@pytest.mark.topology(Topology.star("dut:router", "a", "b"))
@drill(
    "bad checksum",
    faults.nft(POSTROUTING, "tcp flags & syn == syn @th,128,16 set 0xdead"),
    caught="tcp.bad_checksum True, wanted False",
)
def test_an_mss_may_begin_at_an_odd_place(bench: Bench) -> None:
    """Behind a single NOP an MSS lies across two words of the checksum, which must be right too."""
    bench.except_known("dut", "MSS at odd places")
    net, dut = bench.bring_up_network(), bench.router("dut")
    a, b, port = net["a"], net["b"], bench.port("dut", toward="b")
    dut.set_mtu(port, 1400)
    dut.set_mss_clamp(port, on=True)
    packet = IPv4Packet(a.ip, b.ip, ident=1, df=True)
    syn = sent_by(a.ip, 1000, options=(MSS(USUAL), ODD))
    wanted = enclosed(packet, clamped(syn, 1400 - HEADERS)).payload
    with bench.capture() as seen:
        bench.nic("a").inject(compose(EthFrame(a.gateway_mac, a.mac), enclosed(packet, syn)))
        seen.settle()
    fits = match.tcp(src_port=1000, mss=1400 - HEADERS, bad_checksum=False)
    seen.at("b--dut").expect_count(match.ipv4(ident=1, ttl=63) & fits, 1)
    seen.at("b--dut").expect_count(match.ipv4(ident=1, payload=wanted), 1)


@pytest.mark.behaviour("PM-09", clause="RFC 9293 3.7.1")
@pytest.mark.topology(Topology.star("dut:router", "a", "b"))
@drill(
    "announces what nobody said",
    # What was the window scale becomes an MSS, under a checksum that still is right.
    faults.nft(
        POSTROUTING,
        f"tcp flags & syn == syn @th,160,32 0x01030307 tcp urgptr set {MEND} @th,144,16 set 0 "
        f"@th,160,32 set {0x02040000 + USUAL}",
    ),
    caught="expect none: .*mss=",
)
def test_a_syn_without_an_mss_announces_none_that_is_larger(bench: Bench) -> None:
    """Where no MSS is announced 536 holds: a router may say that, but nothing above it."""
    net, dut = bench.bring_up_network(), bench.router("dut")
    a, b = net["a"], net["b"]
    port = bench.port("dut", toward="b")
    dut.set_mtu(port, 1400)
    dut.set_mss_clamp(port, on=True)
    bare = (), (WindowScale(7),), (SackPermitted(), Timestamps(9, 0))
    with bench.capture() as seen:
        for number, options in enumerate(bare, 1000):
            syn = sent_by(a.ip, number, options=options)
            packet = IPv4Packet(a.ip, b.ip, ident=number, df=True)
            bench.nic("a").inject(compose(EthFrame(a.gateway_mac, a.mac), packet, syn, pad=True))
        seen.settle()
    at_b = seen.at("b--dut")
    for number in range(1000, 1000 + len(bare)):
        syn_there = match.tcp(src_port=number, flags="SYN", bad_checksum=False)
        at_b.expect_count(match.ipv4(src=a.ip, ident=number) & syn_there, 1)
        announced = match.tcp(src_port=number, mss=lambda mss: mss > ABSENT)
        at_b.expect_none(announced)
