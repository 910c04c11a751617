"""Path MTUs over several routers: convergence, old routers, ageing, TCP and UDP over it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest
from pair import Net

from testbed.stack.config import StackConfig
from testbed.stack.forwarding import Drop, Forwarder, Refuse
from testbed.stack.refusals import Refused
from testbed.stack.stack import Stack
from testbed.stack.variants import Defect
from testbed.timing import seconds
from testbed.wire import IPv4Packet, MacAddr
from testbed.wire.icmpv4 import DestinationUnreachable, parse_icmpv4

DEFAULT = IPv4Network("0.0.0.0/0")


def ip(text: str) -> IPv4Address:
    return IPv4Address(text)


class NamesNoMtu:
    """A router from before RFC 1191."""

    __slots__ = ()

    def _fit(self, packet, mtu):
        verdict = super()._fit(packet, mtu)
        return replace(verdict, mtu=0) if isinstance(verdict, Refuse) else verdict


OLD = Defect("names no MTU", "PM-07", "routers older than RFC 1191", {Forwarder: NamesNoMtu})


class Chain(Net):
    """h1 - r1 - r2 - ... - h2 over links of the MTUs given."""

    def __init__(self, *mtus: int, defects=()) -> None:
        super().__init__()
        self.mtus = list(mtus)
        self.routers = []
        forwarding = StackConfig.of(ip={"forwarding": True}).with_defects(*defects)
        self.h1, self.h2 = Stack(seed=1, name="h1"), Stack(seed=2, name="h2")
        nodes = [self.h1]
        nodes += [Stack(forwarding, seed=n, name=f"r{n}") for n in range(10, 9 + len(mtus))]
        nodes.append(self.h2)
        self.nodes = nodes
        for link, mtu in enumerate(mtus):
            left, right = nodes[link], nodes[link + 1]
            for end, (node, name) in enumerate(((left, "right"), (right, "left")), 1):
                node.add_interface(name, mac=MacAddr(bytes((2, 0, 0, 0, link, end))), mtu=mtu)
                node.add_address(name, IPv4Interface(f"10.{link}.0.{end}/24"), self.now)
            self.join((left, "right"), (right, "left"))
        for number, node in enumerate(nodes):
            if number < len(mtus):
                node.add_route(DEFAULT, via=ip(f"10.{number}.0.2"), now=self.now)
            for back in range(number - 1):
                network = IPv4Network(f"10.{back}.0.0/24")
                node.add_route(network, via=ip(f"10.{number - 1}.0.1"), now=self.now)
        self.far = ip(f"10.{len(mtus) - 1}.0.2")

    def complaints(self) -> list[tuple[str, int]]:
        """Frag neededs that the first host got: from whom, naming which MTU."""
        out = []
        for seen in self.trace:
            if seen.node is not self.h1 or seen.frame[12:14] != b"\x08\x00":
                continue
            packet = IPv4Packet.parse(seen.frame[14:])
            if packet.protocol == 1 and packet.dst == ip("10.0.0.1"):
                message = parse_icmpv4(packet.payload)
                if isinstance(message, DestinationUnreachable) and message.code == 4:
                    out.append((str(packet.src), message.next_hop_mtu))
        return out

    def mtu(self) -> int:
        return self.h1.pmtu.mtu(self.far, self.mtus[0], self.now)

    def warm_up(self, socket) -> None:
        """Let everybody resolve: ARP's queues have no room for all fragments of a datagram."""
        socket.send(b"", self.now, to=(self.far, 9))
        self.run(seconds(1))

    def try_datagrams(self, socket, count: int = 20) -> None:
        """Send what is believed to fit, a second apart."""
        for _ in range(count):
            socket.send(bytes(self.mtu() - 28), self.now, to=(self.far, 7), df=True)
            self.run(seconds(1))


def transfer(net: Chain, size: int) -> bool:
    listener = net.h2.tcp.listen(80, net.now)
    connection = net.h1.tcp.connect((net.far, 80), net.now)
    assert net.run_until(lambda: listener.readable)
    server = listener.accept(net.now)
    data = bytes(range(251)) * (size // 251)
    sent, got = 0, b""

    def move() -> bool:
        nonlocal sent, got
        sent += connection.send(data[sent:], net.now)
        got += server.receive(1 << 20, net.now) or b""
        return len(got) == len(data)

    return net.run_until(move, seconds(120)) and got == data


def test_it_converges_with_one_complaint_per_narrower_hop():
    net = Chain(1500, 1400, 1500, 1300, 1006, 1400)
    server = net.h2.udp.open(net.now, port=7)
    socket = net.h1.udp.open(net.now)
    net.try_datagrams(socket, 5)
    assert net.complaints() == [("10.0.0.2", 1400), ("10.2.0.2", 1300), ("10.3.0.2", 1006)]
    assert net.mtu() == 1006
    assert len(server.receive().payload) == 1006 - 28
    with pytest.raises(Refused, match="EMSGSIZE"):
        socket.send(bytes(1006 - 27), net.now, to=(net.far, 7), df=True)


def test_tcp_gets_through_several_narrower_hops_without_fragments():
    net = Chain(1500, 1400, 1300, 700, 1500)
    assert transfer(net, 200_000)
    assert net.mtu() == 700
    assert {mtu for _, mtu in net.complaints()} == {1400, 1300, 700}
    for node in net.nodes:
        packets = (IPv4Packet.parse(f[14:]) for f in net.frames(node) if f[12:14] == b"\x08\x00")
        assert not any(packet.is_fragment for packet in packets)


def test_old_routers_lead_down_the_plateaus():
    net = Chain(1500, 576, defects=(OLD,))
    net.h2.udp.open(net.now, port=7)
    socket = net.h1.udp.open(net.now)
    net.try_datagrams(socket, 6)
    # 1500 is read as 1480 and 1006 as 986 (RFC 1191 5, on 4.2BSD).
    assert net.complaints() == [("10.0.0.2", 0)] * 2
    assert net.mtu() == 508


def test_tcp_gets_past_old_routers():
    net = Chain(1500, 900, 1500, defects=(OLD,))
    assert transfer(net, 100_000)
    assert net.mtu() == 508


def test_nothing_larger_for_ten_minutes_and_a_path_that_grew_is_used():
    net = Chain(1500, 1000)
    net.h2.udp.open(net.now, port=7)
    socket = net.h1.udp.open(net.now)
    net.try_datagrams(socket, 2)
    assert net.mtu() == 1000
    net.run(seconds(590))
    assert net.mtu() == 1000
    net.nodes[1].set_mtu("right", 1500, net.now)
    net.run(seconds(10))
    assert net.mtu() == 1006
    net.run(seconds(120))
    assert net.mtu() == 1492
    net.run(seconds(120))
    assert net.mtu() == 1500
    before = len(net.complaints())
    net.try_datagrams(socket, 2)
    assert len(net.complaints()) == before


def test_fragments_are_cut_again_on_the_way_and_put_together_at_the_end_alone():
    net = Chain(1500, 1000, 1500, 300, 1500)
    server = net.h2.udp.open(net.now, port=7)
    payload = bytes(range(256)) * 16
    socket = net.h1.udp.open(net.now)
    net.warm_up(socket)
    socket.send(payload, net.now, to=(net.far, 7))
    net.run(seconds(2))
    assert server.receive().payload == payload
    packets = [
        IPv4Packet.parse(f[14:]) for f in net.frames(net.nodes[-2]) if f[12:14] == b"\x08\x00"
    ]
    pieces = [packet for packet in packets if packet.is_fragment]
    assert len(pieces) > 14
    assert max(piece.total_length for piece in pieces) <= 300


def test_the_largest_datagram_crosses_and_one_byte_more_is_refused():
    net = Chain(1500, 576)
    server = net.h2.udp.open(net.now, port=7)
    socket = net.h1.udp.open(net.now)
    net.warm_up(socket)
    socket.send(bytes(65507), net.now, to=(net.far, 7))
    net.run(seconds(5))
    assert len(server.receive().payload) == 65507
    with pytest.raises(Refused, match="EMSGSIZE"):
        socket.send(bytes(65508), net.now, to=(net.far, 7))


class SaysNothing:
    """A router, or a firewall behind it, that keeps frag neededs to itself."""

    __slots__ = ()

    def _fit(self, packet, mtu):
        verdict = super()._fit(packet, mtu)
        return Drop("too large, in silence") if isinstance(verdict, Refuse) else verdict


HOLE = Defect("black hole", "PM-06", "ICMP filtered on the way", {Forwarder: SaysNothing})


@pytest.mark.parametrize(
    ("narrow", "within"), [(1492, 20), (1400, 20), (1280, 20), (1000, 40), (576, 40)]
)
def test_tcp_gets_through_a_black_hole_by_probing(narrow, within):
    net = Chain(1500, narrow, 1500, defects=(HOLE,))
    start = net.now
    assert transfer(net, 200_000)
    assert net.complaints() == []
    assert net.now - start < seconds(within)
    through = [len(f) - 14 for f in net.frames(net.nodes[1]) if f[12:14] == b"\x08\x00"]
    assert narrow - 16 < max(through) <= narrow, "the search ends at what the path carries"
