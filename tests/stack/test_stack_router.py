"""A stack as a router between stacks: forwarding, errors, redirects, NAT, router discovery."""

from __future__ import annotations

import shutil
import subprocess
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest
from pair import Net

from testbed.errors import PlanError
from testbed.stack.config import StackConfig
from testbed.stack.stack import Stack
from testbed.timing import milliseconds, seconds
from testbed.wire import IPv4Packet, MacAddr, UdpDatagram

DEFAULT = IPv4Network("0.0.0.0/0")


def ip(text: str) -> IPv4Address:
    return IPv4Address(text)


class Triangle(Net):
    """h1 (10.1.0.2) -- router (.1 on both) -- h2 (10.2.0.2)."""

    def __init__(self, *, router: StackConfig | None = None, mtu: int = 1500, routes: bool = True):
        super().__init__()
        self.h1, self.h2 = Stack(seed=1, name="h1"), Stack(seed=2, name="h2")
        config = (router or StackConfig()).with_(ip={"forwarding": True})
        self.router = Stack(config, seed=3, name="router")
        for n, host in ((1, self.h1), (2, self.h2)):
            size = 1500 if n == 1 else mtu
            host.add_interface("eth0", mac=MacAddr(f"02:00:00:00:00:0{n}"), mtu=size)
            host.add_address("eth0", IPv4Interface(f"10.{n}.0.2/24"), self.now)
            self.router.add_interface(f"e{n}", mac=MacAddr(f"02:00:00:00:01:0{n}"), mtu=size)
            self.router.add_address(f"e{n}", IPv4Interface(f"10.{n}.0.1/24"), self.now)
            if routes:
                host.add_route(DEFAULT, via=ip(f"10.{n}.0.1"), now=self.now)
            self.join((host, "eth0"), (self.router, f"e{n}"))

    def packets(self, node, protocol=None):
        seen = [IPv4Packet.parse(f[14:]) for f in self.frames(node) if f[12:14] == b"\x08\x00"]
        return [p for p in seen if protocol in (None, p.protocol)]


def test_udp_crosses_with_ttl_less_one_and_new_macs():
    net = Triangle()
    server = net.h2.udp.open(net.now, port=7)
    net.h1.udp.open(net.now).send(b"hello", net.now, to=(ip("10.2.0.2"), 7))
    net.run(seconds(1))
    assert server.receive().ttl == 63
    last = [f for f in net.frames(net.router) if f[12:14] == b"\x08\x00"][-1]
    assert last[:12].hex() == "020000000002" + "020000000102"


def test_traceroute_lists_the_router_and_the_host():
    net = Triangle()
    socket = net.h1.udp.open(net.now)
    hops = []
    socket.on_error = lambda _, error, __: hops.append((str(error.source), error.type, error.code))
    for ttl in (1, 2):
        socket.ttl = ttl
        socket.send(b"x", net.now, to=(ip("10.2.0.2"), 33434))
        net.run(seconds(1))
    assert hops == [("10.1.0.1", 11, 0), ("10.2.0.2", 3, 3)]


def test_no_route_is_3_0_and_no_host_3_1_from_the_router():
    net = Triangle()
    socket = net.h1.udp.open(net.now)
    errors = []
    socket.on_error = lambda _, error, now: errors.append((str(error.source), error.code))
    socket.send(b"x", net.now, to=(ip("192.0.2.1"), 9))
    net.run(seconds(1))
    socket.send(b"x", net.now, to=(ip("10.2.0.77"), 9))
    net.run(seconds(5))
    assert errors == [("10.1.0.1", 0), ("10.1.0.1", 1)]


def test_a_smaller_link_ahead_cuts_without_df_and_tells_with_it():
    net = Triangle(mtu=1000)
    server = net.h2.udp.open(net.now, port=7)
    client = net.h1.udp.open(net.now)
    client.send(bytes(1400), net.now, to=(ip("10.2.0.2"), 7))
    net.run(seconds(1))
    assert len(server.receive().payload) == 1400
    sizes = [p.total_length for p in net.packets(net.router, 17)]
    assert sizes == [996, 452]
    client.send(bytes(1400), net.now, to=(ip("10.2.0.2"), 7), df=True)
    net.run(seconds(1))
    assert server.receive() is None
    assert net.h1.pmtu.mtu(ip("10.2.0.2"), 1500, net.now) == 1000
    client.send(bytes(972), net.now, to=(ip("10.2.0.2"), 7), df=True)
    net.run(seconds(1))
    assert len(server.receive().payload) == 972


def test_tcp_finds_the_path_mtu_and_all_arrives():
    net = Triangle(mtu=700)
    listener = net.h2.tcp.listen(80, net.now)
    connection = net.h1.tcp.connect((ip("10.2.0.2"), 80), net.now)
    assert net.run_until(lambda: listener.readable)
    server = listener.accept(net.now)
    data = bytes(range(256)) * 400
    sent, got = 0, b""

    def move() -> bool:
        nonlocal sent, got
        sent += connection.send(data[sent:], net.now)
        got += server.receive(1 << 20, net.now) or b""
        return len(got) == len(data)

    assert net.run_until(move, seconds(60))
    assert got == data


def test_pings_cross_and_come_back():
    net = Triangle()
    socket = net.h1.icmp.open(net.now)
    socket.send(ip("10.2.0.2"), net.now, sequence=5, data=b"x" * 3000)
    socket.send(ip("10.2.0.2"), net.now, sequence=6, data=b"x")
    net.run(seconds(1))
    answers = [socket.receive(), socket.receive()]
    assert sorted((a.sequence, str(a.source), len(a.data), a.ttl) for a in answers) == [
        (5, "10.2.0.2", 3000, 63),
        (6, "10.2.0.2", 1, 63),
    ]
    socket.ttl = 1
    socket.send(ip("10.2.0.2"), net.now, sequence=7)
    net.run(seconds(1))
    answer = socket.receive()
    assert (answer.sequence, str(answer.source), answer.error.type) == (7, "10.1.0.1", 11)


def test_broadcasts_groups_and_martians_stay_where_they_are():
    net = Triangle()
    net.h1.udp.open(net.now, port=1).send(b"x", net.now, to=(ip("10.2.0.2"), 7))
    net.run(seconds(1))
    before = len(net.packets(net.router))
    frames = [
        (src, dst)
        for src, dst in (
            ("10.1.0.2", "10.2.0.255"),
            ("10.1.0.2", "255.255.255.255"),
            ("10.1.0.2", "224.0.0.5"),
            ("10.1.0.2", "127.0.0.1"),
            ("10.1.0.2", "240.0.0.1"),
            ("127.0.0.1", "10.2.0.2"),
            ("224.0.0.1", "10.2.0.2"),
            ("10.2.0.255", "10.2.0.2"),
        )
    ]
    for src, dst in frames:
        data = UdpDatagram(1, 7).emit(ip(src), ip(dst))
        frame = IPv4Packet(ip(src), ip(dst), 17, data).emit()
        head = bytes.fromhex("020000000101" + "020000000001" + "0800")
        net.inject(net.router, head + frame, "e1")
    net.run(seconds(5))
    assert len(net.packets(net.router)) == before


def test_a_better_gateway_on_the_link_is_told_and_used():
    net = Net()
    host, first, second = (
        Stack(seed=1),
        Stack(StackConfig.of(ip={"forwarding": True}), seed=2),
        Stack(StackConfig.of(ip={"forwarding": True}), seed=3),
    )
    for n, stack in ((1, host), (2, first), (3, second)):
        stack.add_interface("eth0", mac=MacAddr(f"02:00:00:00:00:0{n}"))
        stack.add_address("eth0", IPv4Interface(f"10.0.0.{n}/24"), net.now)
    second.add_interface("far")
    second.add_address("far", IPv4Interface("192.0.2.1/24"), net.now)
    host.add_route(DEFAULT, via=ip("10.0.0.2"))
    first.add_route(IPv4Network("192.0.2.0/24"), via=ip("10.0.0.3"))
    net.join((host, "eth0"), (first, "eth0"), (second, "eth0"))
    server = second.udp.open(net.now, port=7)
    client = host.udp.open(net.now)
    for _ in range(2):
        client.send(b"x", net.now, to=(ip("192.0.2.1"), 7))
        net.run(seconds(1))
    assert server.waiting == 2
    assert [r.via for r in host.routes if r.origin == "redirect"] == [ip("10.0.0.3")]
    forwarded = [f for f in net.frames(first) if f[12:14] == b"\x08\x00" and f[23] == 17]
    assert len(forwarded) == 1  # the second went straight


# NAT


def translated() -> tuple[Triangle, object]:
    net = Triangle(routes=False)
    net.h1.add_route(DEFAULT, via=ip("10.1.0.1"), now=net.now)
    return net, net.router.translate("e2")


def test_nat_rewrites_udp_tcp_and_pings_both_ways():
    net, _ = translated()
    server = net.h2.udp.open(net.now, port=7)
    client = net.h1.udp.open(net.now)
    client.send(b"ask", net.now, to=(ip("10.2.0.2"), 7))
    net.run(seconds(1))
    asked = server.receive()
    assert asked.source == ip("10.2.0.1")
    server.send(b"answer", net.now, to=(asked.source, asked.source_port))
    net.run(seconds(1))
    assert client.receive().payload == b"answer"
    ping = net.h1.icmp.open(net.now)
    ping.send(ip("10.2.0.2"), net.now, data=b"p" * 4000)
    net.run(seconds(1))
    assert ping.receive().data == b"p" * 4000
    listener = net.h2.tcp.listen(80, net.now)
    connection = net.h1.tcp.connect((ip("10.2.0.2"), 80), net.now)
    assert net.run_until(lambda: listener.readable)
    accepted = listener.accept(net.now)
    assert accepted.remote[0] == ip("10.2.0.1")
    connection.send(b"hello", net.now)
    assert net.run_until(lambda: accepted.readable, seconds(5))
    assert accepted.receive(10, net.now) == b"hello"


def test_a_large_datagram_is_translated_whole_and_its_fragments_in_any_order():
    net, _ = translated()
    server = net.h2.udp.open(net.now, port=7)
    client = net.h1.udp.open(net.now)
    client.send(bytes(9000), net.now, to=(ip("10.2.0.2"), 7))
    net.run(seconds(1))
    asked = server.receive()
    assert len(asked.payload) == 9000
    server.send(bytes(5000), net.now, to=(asked.source, asked.source_port))
    net.run(seconds(1))
    assert len(client.receive().payload) == 5000


def test_behind_nat_errors_find_the_one_who_sent():
    net, _ = translated()
    client = net.h1.udp.open(net.now)
    client.connect(ip("10.2.0.2"), 99, net.now)
    client.send(b"x", net.now)
    net.run(seconds(1))
    assert client.take_error().errno_name == "ECONNREFUSED"
    traced = []
    client.on_error = lambda _, error, __: traced.append((str(error.source), str(error.quoted.src)))
    client.ttl = 1
    client.send(b"x", net.now)
    net.run(seconds(1))
    assert traced == [("10.1.0.1", "10.1.0.2")]


def test_strangers_do_not_get_in_and_the_router_itself_still_answers_outside():
    net, nat = translated()
    stranger = net.h2.udp.open(net.now)
    stranger.connect(ip("10.2.0.1"), 7, net.now)
    stranger.send(b"x", net.now)
    ping = net.h2.icmp.open(net.now)
    ping.send(ip("10.2.0.1"), net.now, data=b"q" * 2000)
    net.run(seconds(1))
    assert stranger.take_error().errno_name == "ECONNREFUSED"
    assert ping.receive().data == b"q" * 2000
    assert nat.mappings == ()


def test_two_inside_meet_by_an_outside_address():
    net, nat = translated()
    server = net.h1.udp.open(net.now, port=7)
    nat.forward(17, 8007, ip("10.1.0.2"), 7, net.now)
    client = net.h1.udp.open(net.now)
    client.send(b"ask", net.now, to=(ip("10.2.0.1"), 8007))
    net.run(seconds(1))
    asked = server.receive()
    assert asked.source == ip("10.2.0.1")
    server.send(b"answer", net.now, to=(asked.source, asked.source_port))
    net.run(seconds(1))
    assert client.receive().payload == b"answer"
    outside = net.h2.udp.open(net.now)
    outside.send(b"in", net.now, to=(ip("10.2.0.1"), 8007))
    net.run(seconds(1))
    assert server.receive().payload == b"in"


def test_nat_wants_a_router():
    stack = Stack()
    stack.add_interface("eth0")
    with pytest.raises(PlanError):
        stack.translate("eth0")


# Router discovery


def test_a_host_finds_its_router_and_loses_it_when_it_says_goodbye():
    net = Triangle(routes=False)
    advertiser = net.router.discovery.advertise("e1", net.now)
    net.h1.discovery.discover("eth0", net.now)
    net.run(seconds(5))
    assert [r.via for r in net.h1.routes if r.origin == "advertised"] == [ip("10.1.0.1")]
    net.h2.add_route(DEFAULT, via=ip("10.2.0.1"))
    server = net.h2.udp.open(net.now, port=7)
    net.h1.udp.open(net.now).send(b"x", net.now, to=(ip("10.2.0.2"), 7))
    net.run(seconds(1))
    assert server.readable
    advertiser.stop(net.now)
    net.run(milliseconds(100))
    assert [r for r in net.h1.routes if r.origin == "advertised"] == []


# Settings that change


def test_settings_change_while_it_runs_and_flipped_switches_stay():
    net = Triangle()
    net.router.answers.echo = False
    net.router.reconfigure(net.router.config.with_(ip={"forwarding": False}))
    client, server = net.h1.udp.open(net.now), net.h2.udp.open(net.now, port=7)
    client.send(b"x", net.now, to=(ip("10.2.0.2"), 7))
    net.run(seconds(1))
    assert not server.readable
    assert not net.router.answers.echo
    net.router.reconfigure(
        net.router.config.with_(ip={"forwarding": True}, icmp={"send_errors": False})
    )
    assert not net.router.answers.icmp_errors
    client.send(b"x", net.now, to=(ip("10.2.0.2"), 7))
    net.run(seconds(1))
    assert server.readable


def test_a_link_of_its_own_that_shrinks_lets_a_transfer_go_on():
    net = Triangle()
    listener = net.h2.tcp.listen(80, net.now)
    connection = net.h1.tcp.connect((ip("10.2.0.2"), 80), net.now)
    assert net.run_until(lambda: listener.readable)
    server = listener.accept(net.now)
    connection.send(bytes(5000), net.now)
    net.run(seconds(1))
    net.h1.set_mtu("eth0", 600, net.now)
    connection.send(bytes(5000), net.now)
    net.run(seconds(2))
    assert len(server.receive(1 << 20, net.now)) == 10000
    assert max(p.total_length for p in net.packets(net.h1)[-9:]) <= 600
    assert connection.snapshot().retransmission_count == 0


def test_tcp_to_oneself_works_and_leaves_nothing_on_the_wire():
    net = Triangle()
    listener = net.h1.tcp.listen(80, net.now)
    connection = net.h1.tcp.connect((ip("127.0.0.1"), 80), net.now)
    assert net.run_until(lambda: listener.readable, seconds(1))
    server = listener.accept(net.now)
    connection.send(bytes(100_000), net.now)
    got = 0

    def all_came() -> bool:
        nonlocal got
        got += len(server.receive(1 << 20, net.now) or b"")
        return got == 100_000

    assert net.run_until(all_came, seconds(1))
    assert net.sent(net.h1) == []


# Tshark


@pytest.mark.skipif(shutil.which("tshark") is None, reason="tshark is not installed")
def test_tshark_finds_nothing_wrong_with_what_is_sent(tmp_path):
    net, _ = translated()
    net.router.discovery.advertise("e1", net.now)
    net.h1.discovery.discover("eth0", net.now)
    server = net.h2.udp.open(net.now, port=7)
    client = net.h1.udp.open(net.now)
    client.join(ip("239.1.2.3"), None, net.now)
    for size in (0, 1, 1472, 5000):
        client.send(bytes(size), net.now, to=(ip("10.2.0.2"), 7))
    client.send(b"", net.now, to=(ip("10.2.0.2"), 9))
    client.send(b"", net.now, to=(ip("192.0.2.1"), 9))
    client.ttl = 1
    client.send(b"", net.now, to=(ip("10.2.0.2"), 7))
    ping = net.h1.icmp.open(net.now)
    ping.send(ip("10.2.0.2"), net.now, data=bytes(3001))
    net.run(seconds(2))
    client.leave(ip("239.1.2.3"), None, net.now)
    net.run(seconds(30))
    assert server.waiting == 4
    for node in (net.h1, net.router, net.h2):
        path = tmp_path / f"{node.name}.pcapng"
        net.write_pcapng(path, node)
        checks = [f"-o{p}.check_checksum:TRUE" for p in ("ip", "udp", "tcp")]
        wrong = "_ws.malformed || _ws.expert.severity >= 6291456" + "".join(
            f" || {name}.checksum.status == 0" for name in ("ip", "udp", "icmp", "igmp")
        )
        argv = ["tshark", "-r", str(path), *checks, "-Y", wrong, "-V"]
        done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
        assert done.stdout == ""


# Snapshot


def test_a_snapshot_tells_all_of_it_and_stays_as_it_was():
    net = Triangle(mtu=1000)
    net.h1.udp.open(net.now, port=9).send(bytes(1400), net.now, to=(ip("10.2.0.2"), 7), df=True)
    net.run(seconds(1))
    net.h1.tcp.listen(80, net.now)
    seen = net.h1.snapshot(net.now)
    (link,) = seen.interfaces
    assert (link.name, link.mtu, link.up) == ("eth0", 1500, True)
    assert link.addresses == (IPv4Interface("10.1.0.2/24"),)
    assert [(str(n.address), n.state.value) for n in link.neighbours] == [("10.1.0.1", "reachable")]
    assert link.neighbours[0].expires_in <= seconds(60)
    assert [(str(m.destination), m.mtu) for m in seen.path_mtus] == [("10.2.0.2", 1000)]
    assert {str(r.network) for r in seen.routes} == {"10.1.0.0/24", "0.0.0.0/0"}
    assert [s.local for s in seen.udp] == [(None, 9)]
    assert seen.listening == ((None, 80),)
    net.h1.set_mtu("eth0", 600, net.now)
    assert seen.interfaces[0].mtu == 1500
    assert net.router.snapshot(net.now).counters.drops("forwarding") == 1
