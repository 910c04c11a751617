"""Two Python stacks in hosts' places, on one cable in memory: they do what kernel hosts do."""

from __future__ import annotations

import hashlib
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest

from testbed.devices.values import Ending, Flow
from testbed.errors import DeviceError, ExpectationFailed, PlanError, Unsupported
from testbed.hosts import RealLoop, Tap
from testbed.labs.stackdevice import StackDevice
from testbed.labs.stackdevice.transfers import seeded
from testbed.link import Drop, Nth, memory_pair
from testbed.stack.config import StackConfig
from testbed.timing import milliseconds, seconds
from testbed.wire.addresses import MacAddr

SOON = seconds(5)
ONE, TWO = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")


@pytest.fixture
def hosts():
    loop = RealLoop()
    ports = memory_pair("a", "b", loop)
    made = [
        StackDevice(name, {"eth1": Tap(port, loop)}, loop, config=StackConfig.linux(), seed=seed)
        for seed, (name, port) in enumerate(zip(("h1", "h2"), ports, strict=True))
    ]
    for host, ip in zip(made, (ONE, TWO), strict=True):
        host.add_address("eth1", IPv4Interface((ip, 24)))
    yield made
    for host in made:
        host.close()
    loop.close()


def sha(size: int, seed: int) -> str:
    return hashlib.sha256(seeded(size, seed)).hexdigest()


def test_a_transfer_both_ways_arrives_as_it_was_sent(hosts):
    one, two = hosts
    two.tcp_serve(80, send=200_000, seed=2)
    one.tcp_connect(str(TWO), 80, send=300_000, seed=1)
    sent, received = one.tcp_result("client", 80, within=SOON)
    assert (sent.octets, sent.sha256, sent.error) == (300_000, sha(300_000, 1), None)
    assert (received.octets, received.sha256) == (200_000, sha(200_000, 2))
    sent, received = two.tcp_result("server", 80, within=SOON)
    assert (sent.octets, received.octets) == (200_000, 300_000)
    assert received.sha256 == sha(300_000, 1)
    assert [s.state for s in one.sockets()] == ["TIME-WAIT"]


def test_a_transfer_over_a_lossy_line_arrives_whole(hosts):
    one, two = hosts
    one.host.outgoing.add(Drop(Nth(4, 9, 10, 40)))
    two.tcp_serve(80)
    one.tcp_connect(str(TWO), 80, send=200_000, seed=1)
    assert two.tcp_result("server", 80, within=SOON)[1].sha256 == sha(200_000, 1)
    assert one.host.outgoing.actions["drop"] == 4


def test_a_refused_connection_tells_why(hosts):
    one, _ = hosts
    one.tcp_connect(str(TWO), 81, send=10)
    sent, received = one.tcp_result("client", 81, within=SOON)
    assert (sent.error, received.error, sent.octets) == ("ECONNREFUSED", "ECONNREFUSED", 0)


def test_a_transfer_that_hangs_is_told_with_how_far_it_came(hosts):
    one, two = hosts
    two.tcp_serve(82, flow=Flow(read_after=seconds(60), receive_buffer=4096))
    one.tcp_connect(str(TWO), 82, send=2_000_000)
    with pytest.raises(ExpectationFailed, match=r"h1: .* not ended: it has sent [1-9]"):
        one.tcp_result("client", 82, within=milliseconds(300))
    (client,) = one.sockets()
    assert client.state == "ESTAB"
    assert client.mss == 1448
    one.stop_services()
    assert not one.sockets()


def test_sides_end_as_they_are_told(hosts):
    one, two = hosts
    two.tcp_serve(83, send=3, flow=Flow(ending=Ending.CLOSE))
    one.tcp_connect(str(TWO), 83, send=0, flow=Flow(ending=Ending.WAIT))
    assert one.tcp_result("client", 83, within=SOON)[1].octets == 3
    two.tcp_result("server", 83, within=SOON)
    assert two.loop.run_until(lambda: [s.state for s in two.sockets()] == ["TIME-WAIT"], SOON)

    two.tcp_serve(84, flow=Flow(ending=Ending.ABORT, end_after=milliseconds(30)))
    one.tcp_connect(str(TWO), 84, send=10, flow=Flow(ending=Ending.HOLD))
    sent, received = one.tcp_result("client", 84, within=SOON)
    assert (sent.error, received.error) == ("ECONNRESET", "ECONNRESET")


def test_chunks_and_reads_are_paced(hosts):
    one, two = hosts
    two.tcp_serve(85, flow=Flow(read_chunk=10, read_every=milliseconds(20)))
    one.tcp_connect(str(TWO), 85, send=50, flow=Flow(chunk=10, every=milliseconds(20)))
    received = two.tcp_result("server", 85, within=SOON)[1]
    assert received.octets == 50
    assert received.duration >= milliseconds(4 * 20)


@pytest.mark.parametrize("inline", [False, True])
def test_one_byte_can_be_urgent(hosts, inline):
    one, two = hosts
    two.tcp_serve(86, flow=Flow(oob_inline=inline))
    one.tcp_connect(str(TWO), 86, send=10, seed=3, flow=Flow(urgent=4))
    received = two.tcp_result("server", 86, within=SOON)[1]
    assert received.octets == (10 if inline else 9)
    assert received.urgent == (b"" if inline else seeded(10, 3)[4:5])


def test_a_service_takes_many_connections(hosts):
    one, two = hosts
    two.tcp_serve(87, send=5, seed=1, connections=3)
    for _ in range(3):
        one.tcp_connect(str(TWO), 87, send=7, seed=2)
        one.tcp_result("client", 87, within=SOON)
    results = two.tcp_result("server", 87, within=SOON)
    assert [result.octets for result in results] == [5, 7] * 3


def test_what_cannot_be_started_is_told_at_once(hosts):
    one, _ = hosts
    one.tcp_serve(88)
    with pytest.raises(DeviceError, match="still running"):
        one.tcp_serve(88)
    with pytest.raises(DeviceError, match="EADDRNOTAVAIL"):
        one.tcp_connect(str(TWO), 89, send=1, source="192.0.2.2")
    with pytest.raises(DeviceError, match="ENOENT: no client was started on port 1"):
        one.tcp_result("client", 1, within=SOON)
    with pytest.raises(PlanError, match="'server' or 'client'"):
        one.tcp_result("peer", 1, within=SOON)


def test_datagrams_are_recorded_and_echoed(hosts):
    one, two = hosts
    two.udp_serve(90)
    assert one.udp_ask(str(TWO), 90, b"\x00ping", within=SOON).payload == b"\x00ping"
    assert one.udp_send(str(TWO), 90, b"", df=True) is None
    first, second = two.udp_received(90, count=2, within=SOON)
    assert first.payload == b"\x00ping"
    assert first.source.startswith(f"{ONE}:")
    assert second.payload == b""
    assert one.udp_ask(str(TWO), 91, b"anyone?", within=SOON).error == "ECONNREFUSED"
    assert one.udp_send(str(TWO), 90, bytes(1473), df=True) == "EMSGSIZE"


def test_settings_are_followed_and_those_without_effect_are_noted(hosts):
    one, two = hosts
    two.set_sysctl("net.ipv4.tcp_timestamps", "0")
    two.set_sysctl("net.ipv4.tcp_fastopen", "3")
    assert two.sysctl("net.ipv4.tcp_timestamps") == "0"
    assert two.sysctl("net.ipv4.tcp_fastopen") == "3"
    assert two.notes == ["h2 is a Python stack: net.ipv4.tcp_fastopen = 3 has no effect"]
    two.tcp_serve(92, flow=Flow(ending=Ending.HOLD))
    one.tcp_connect(str(TWO), 92, send=1, flow=Flow(ending=Ending.HOLD))
    assert one.loop.run_until(lambda: [s.mss for s in one.sockets()] == [1460], SOON)
    with pytest.raises(DeviceError, match="has no setting"):
        two.sysctl("net.ipv4.tcp_magic")


def test_addresses_routes_and_neighbours_outlast_new_settings(hosts):
    one, _ = hosts
    far, mac = IPv4Network("10.9.0.0/16"), MacAddr("02:00:00:00:00:09")
    one.add_route(far, IPv4Address("10.0.0.9"), 5)
    one.add_arp("eth1", IPv4Address("10.0.0.9"), mac)
    one.set_mtu("eth1", 1400)
    before = one.routes(), one.arp_table(), one.addresses("eth1"), one.mtu("eth1")
    one.set_sysctl("net.ipv4.tcp_sack", "0")
    assert (one.routes(), one.arp_table(), one.addresses("eth1"), one.mtu("eth1")) == before
    assert any((row.prefix, row.metric) == (far, 5) for row in before[0])
    assert [(row.mac, row.permanent) for row in before[1]] == [(mac, True)]
    one.flush_arp()
    with pytest.raises(PlanError, match="h1 has no port 'eth2'; it has eth1"):
        one.mac("eth2")


def test_a_port_can_be_switched_off(hosts):
    one, two = hosts
    one.set_port_up("eth1", up=False)
    one.wait_port_up("eth1", within=SOON, up=False)
    two.udp_serve(93)
    assert one.udp_send(str(TWO), 93, b"x") == "ENETUNREACH"
    one.set_port_up("eth1", up=True)
    assert one.udp_ask(str(TWO), 93, b"x", within=SOON).payload == b"x"


def test_what_needs_a_command_line_is_unsupported(hosts):
    one, _ = hosts
    with pytest.raises(Unsupported, match="no command line: ip addr"):
        one.execute("ip addr")


def test_files_are_kept(hosts, tmp_path):
    one, _ = hosts
    one.put(b"content", "/run/one")
    assert one.get("/run/one", tmp_path / "back") == b"content"
    assert (tmp_path / "back").read_bytes() == b"content"
    with pytest.raises(DeviceError, match="No such file"):
        one.get("/run/two")


def test_settings_hold_for_the_next_connection(hosts):
    one, two = hosts
    for port, (stamps, mss) in enumerate([("1", 1448), ("0", 1460)], 94):
        for host in hosts:
            host.set_sysctl("net.ipv4.tcp_timestamps", stamps)
        two.tcp_serve(port)
        one.tcp_connect(str(TWO), port, send=1)
        two.tcp_result("server", port, within=SOON)
        one.tcp_result("client", port, within=SOON)
        assert [s.mss for s in one.sockets() if s.remote.endswith(f":{port}")] == [mss]
