"""PPPoE on the Ethernet interfaces of whole stacks, by one line on either side."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface

import pytest
from pair import Net, Pair

from testbed.errors import PlanError
from testbed.stack.services.ppp_config import PppConfig
from testbed.stack.services.pppoe import PppoeConfig
from testbed.stack.services.pppoe_host import PppoeHost, PppoeServer
from testbed.stack.services.pppoe_server import ConcentratorConfig
from testbed.stack.stack import Stack
from testbed.timing import seconds
from testbed.wire.addresses import MacAddr

SERVER, FIRST = IPv4Address("10.9.0.1"), IPv4Address("10.9.0.2")
CLIENT = PppoeConfig(ppp=PppConfig(name=b"host", secret=b"hush"))


def offered() -> ConcentratorConfig:
    """Every host gets the next address."""
    given = PppConfig(address=SERVER, authenticate=("chap",), secrets={b"host": b"hush"})
    addresses = iter(range(int(FIRST), int(FIRST) + 50))
    return ConcentratorConfig(
        ppp_for=lambda _mac: replace(given, peer_address=IPv4Address(next(addresses)))
    )


def pair() -> tuple[Pair, PppoeHost, PppoeServer]:
    made = Pair()
    server = PppoeServer(made.right, "eth0", offered())
    client = PppoeHost(made.left, "eth0", CLIENT)
    client.open(made.now)
    made.run(seconds(1))
    return made, client, server


def test_tcp_goes_over_a_session_in_segments_that_fit():
    made, client, _ = pair()
    assert client.up
    listener = made.right.tcp.listen(80, made.now)
    connection = made.left.tcp.connect((SERVER, 80), made.now)
    made.run(seconds(1))
    accepted = listener.accept(made.now)
    assert accepted is not None
    connection.send(b"x" * 100_000, made.now)
    made.run(seconds(2))
    assert accepted.receive(200_000, made.now) == b"x" * 100_000
    assert (connection.local[0], connection.snapshot().peer_mss) == (FIRST, 1452)
    assert max(len(seen.frame) for seen in made.trace) == 1514


def test_a_session_that_ended_may_begin_again_on_the_same_interface():
    made, client, server = pair()
    client.close(made.now)
    made.run(seconds(10))
    assert not client.up
    assert not server.concentrator.sessions
    client.open(made.now)
    made.run(seconds(1))
    assert client.up
    assert list(server.faces) == ["ppp0"]
    assert [str(each) for each in made.left.interface("ppp0").addresses] == ["10.9.0.3/32"]


def test_a_server_that_closes_takes_the_address_from_its_host():
    made, client, server = pair()
    server.close(made.now)
    made.run(seconds(10))
    assert not client.up
    assert made.left.interface("ppp0").addresses == []


def test_two_hosts_reach_one_server_and_it_tells_them_apart():
    net = Net()
    stacks = [Stack(seed=number, name=f"s{number}") for number in range(3)]
    for number, stack in enumerate(stacks):
        stack.add_interface("eth0", mac=MacAddr(f"02:00:00:00:00:0{number + 1}"))
    net.join(*((stack, "eth0") for stack in stacks))
    concentrator, *hosts = stacks
    concentrator.add_address("eth0", IPv4Interface(f"{SERVER}/32"), net.now)
    server = PppoeServer(concentrator, "eth0", offered())
    for host in hosts:
        PppoeHost(host, "eth0", CLIENT).open(net.now)
    net.run(seconds(1))
    assert sorted(server.faces) == ["ppp0", "ppp1"]
    asked = concentrator.udp.open(net.now, port=7)
    sockets = [host.udp.open(net.now) for host in hosts]
    for number, socket in enumerate(sockets):
        socket.send(bytes([number]), net.now, to=(SERVER, 7))
    net.run(seconds(1))
    while (got := asked.receive()) is not None:
        asked.send(got.payload * 2, net.now, to=(got.source, got.source_port))
    net.run(seconds(1))
    answers = [socket.receive() for socket in sockets]
    assert [answer and answer.payload for answer in answers] == [b"\0\0", b"\1\1"]


def test_what_is_no_ethernet_or_taken_is_a_mistake():
    made = Pair(ethernet=False)
    with pytest.raises(PlanError, match="wants Ethernet"):
        PppoeHost(made.left, "eth0")
    made, _, _ = pair()
    with pytest.raises(PlanError, match="on eth0 already"):
        PppoeHost(made.left, "eth0")


def test_cut_short_frames_are_dropped():
    made, client, _ = pair()
    for kind in (b"\x88\x63", b"\x88\x64"):
        for length in range(20):
            made.left.receive(b"\xff" * 6 + b"\2" * 6 + kind + bytes(length), made.now)
    assert client.up
