"""The stack beside real Linux kernels: as a host, as a router, and as a NAT."""

from __future__ import annotations

import re
import subprocess
import sys
from ipaddress import IPv4Address

import pytest
from live import Live
from netns import fresh_namespace

from testbed.stack.config import StackConfig
from testbed.stack.refusals import Refused

pytestmark = pytest.mark.root

SIZES = [0, 1, 56, 1472, 1473, 8000, 65507]
KERNEL = IPv4Address("10.9.0.2")


@pytest.fixture
def namespace():
    with fresh_namespace() as made:
        yield made


@pytest.fixture
def host(namespace):
    live = Live(namespace)
    live.guest = live.cable("10.9.0.1/24", "10.9.0.2/24")
    yield live
    live.close()


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


@pytest.mark.parametrize("size", SIZES)
def test_the_kernel_pings_the_stack(host, size):
    code, said = host.run(
        host.guest, "ping", "-n", "-c", "2", "-i", "0.01", "-W", "3", "-s", str(size), "10.9.0.1"
    )
    assert code == 0, said
    assert " 0% packet loss" in said


@pytest.mark.parametrize("size", SIZES)
def test_the_stack_pings_the_kernel(host, size):
    socket = host.stack.icmp.open(host.now)
    socket.send(KERNEL, host.now, sequence=3, data=bytes(size))
    assert host.turn(lambda: socket.readable)
    answer = socket.receive()
    assert (answer.source, answer.sequence, len(answer.data)) == (KERNEL, 3, size)


@pytest.mark.parametrize("option", [("-R",), ("-T", "tsonly"), ("-T", "tsandaddr")])
def test_options_of_pings_come_back(host, option):
    code, said = host.run(host.guest, "ping", "-n", "-c", "1", "-W", "3", *option, "10.9.0.1")
    assert code == 0, said
    if option != ("-T", "tsonly"):
        assert said.count("10.9.0.1") >= 3, said


ECHO = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
s.bind(("10.9.0.2", 7))
print("ready", flush=True)
while True:
    data, peer = s.recvfrom(65536)
    s.sendto(data, peer)
"""


def test_datagrams_to_an_echo_server_and_back_in_fragments(host):
    server = subprocess.Popen(host.guest.enter(*python(ECHO)), stdout=subprocess.PIPE)
    try:
        assert server.stdout.readline() == b"ready\n"
        socket = host.stack.udp.open(host.now)
        socket.connect(KERNEL, 7, host.now)
        for size in (0, 1, 1472, 1473, 9000, 65507):
            data = bytes(range(256)) * (size // 256) + bytes(size % 256)
            socket.send(data, host.now)
            assert host.turn(lambda: socket.readable), size
            assert socket.receive().payload == data
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


CLIENT = """
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
s.connect(("10.9.0.1", {port}))
for size in (0, 1, 1472, 1473, 9000, 65507):
    s.send(bytes(size))
    try:
        assert len(s.recv(65536)) == size, size
    except ConnectionRefusedError:
        print("refused")
        break
else:
    print("echoed")
"""


def test_the_stack_is_an_echo_server_and_refuses_where_there_is_none(host):
    socket = host.stack.udp.open(host.now, port=7)
    socket.on_datagram = lambda each, now: [
        each.send(d.payload, now, to=(d.source, d.source_port)) for d in [each.receive()]
    ]
    assert host.run(host.guest, *python(CLIENT.format(port=7))) == (0, "echoed\n")
    assert host.run(host.guest, *python(CLIENT.format(port=8))) == (0, "refused\n")


def test_a_closed_port_of_the_kernel_refuses(host):
    socket = host.stack.udp.open(host.now)
    socket.connect(KERNEL, 99, host.now)
    socket.send(b"x", host.now)
    assert host.turn(lambda: socket.error is not None)
    assert socket.take_error().errno_name == "ECONNREFUSED"


def test_the_kernel_finds_nobody_where_nobody_is_and_both_arp_tables_are_right(host):
    code, said = host.run(host.guest, "ping", "-n", "-c", "1", "-W", "1", "10.9.0.1")
    assert code == 0, said
    table = host.guest.sh("ip", "neigh", "show", "10.9.0.1")
    assert str(host.stack.interface().mac) in table
    mac = host.stack.interface().neighbours.get(KERNEL, host.now)
    assert str(mac) in host.guest.sh("ip", "-br", "link", "show", "vb0")
    code, said = host.run(host.guest, "ping", "-n", "-c", "1", "-W", "1", "10.9.0.3")
    assert code == 1
    errors = []
    socket = host.stack.udp.open(host.now)
    socket.on_error = lambda _, error, __: errors.append((error.type, error.code))
    socket.send(b"x", host.now, to=(IPv4Address("10.9.0.77"), 9))
    assert host.turn(lambda: errors)
    assert errors == [(3, 1)]


def test_probing_finds_the_kernels_address_taken_and_a_free_one_free(namespace):
    live = Live(namespace)
    live.cable("10.9.0.1/24", "10.9.0.2/24")
    try:
        from ipaddress import IPv4Interface  # noqa: PLC0415

        told = {}
        for last in (2, 9):
            live.stack.add_address(
                "va0",
                IPv4Interface(f"10.9.0.{last}/24"),
                live.now,
                probe=True,
                outcome=lambda held, _, last=last: told.setdefault(last, held),
            )
        assert live.turn(lambda: len(told) == 2, 20)
        assert told == {2: False, 9: True}
    finally:
        live.close()


@pytest.fixture
def router(namespace):
    live = Live(namespace, StackConfig.of(ip={"forwarding": True}, icmp={"error_rate": 0.0}))
    live.near = live.cable("10.1.0.1/24", "10.1.0.2/24")
    live.far = live.cable("10.2.0.1/24", "10.2.0.2/24", mtu=1000)
    live.near.sh("ip", "route", "add", "default", "via", "10.1.0.1")
    live.far.sh("ip", "route", "add", "default", "via", "10.2.0.1")
    yield live
    live.close()


def test_traceroute_through_the_stack_lists_it_and_the_host_behind(router):
    code, said = router.run(
        router.near, "traceroute", "-n", "-q", "1", "-w", "3", "-m", "4", "10.2.0.2"
    )
    assert code == 0, said
    assert re.findall(r"^ *\d+  (\S+)", said, re.MULTILINE) == ["10.1.0.1", "10.2.0.2"]


@pytest.mark.parametrize("size", [0, 56, 973, 1472, 20000])
def test_kernels_ping_each_other_through_the_stack_fragments_and_all(router, size):
    code, said = router.run(
        router.near, "ping", "-n", "-c", "1", "-W", "3", "-M", "dont", "-s", str(size), "10.2.0.2"
    )
    assert code == 0, said


def test_with_df_the_kernel_is_told_the_mtu_of_the_link_behind(router):
    _, said = router.run(
        router.near, "ping", "-n", "-c", "1", "-W", "3", "-M", "do", "-s", "1400", "10.2.0.2"
    )
    assert "10.1.0.1" in said
    assert "(mtu = 1000)" in said
    assert "mtu 1000" in router.near.sh("ip", "route", "get", "10.2.0.2")


def test_the_stack_says_that_there_is_no_way_and_nobody_there(router):
    _, said = router.run(router.near, "ping", "-n", "-c", "1", "-W", "3", "192.0.2.1")
    assert "From 10.1.0.1" in said
    assert "Net Unreachable" in said
    _, said = router.run(router.near, "ping", "-n", "-c", "1", "-W", "5", "10.2.0.77")
    assert "From 10.1.0.1" in said
    assert "Host Unreachable" in said


SERVER = """
import socket
s = socket.create_server(("10.2.0.2", 80))
print("ready", flush=True)
c, peer = s.accept()
data = b""
while len(data) < 200000:
    data += c.recv(65536)
c.sendall(peer[0].encode() + b" " + data)
c.close()
"""
FETCH = """
import socket
c = socket.create_connection(("10.2.0.2", 80), 10)
c.sendall(bytes(200000))
data = b""
while piece := c.recv(65536):
    data += piece
peer, _, rest = data.partition(b" ")
print(peer.decode(), len(rest), flush=True)
"""


@pytest.mark.parametrize("nat", [False, True])
def test_tcp_of_kernels_through_the_stack_as_router_and_as_nat(router, nat):
    if nat:
        router.stack.translate("va1")
        router.far.sh("ip", "route", "del", "default")
    server = subprocess.Popen(router.far.enter(*python(SERVER)), stdout=subprocess.PIPE)
    try:
        assert server.stdout.readline() == b"ready\n"
        code, said = router.run(router.near, *python(FETCH))
        assert (code, said) == (0, f"{'10.2.0.1' if nat else '10.1.0.2'} 200000\n")
        if nat:
            code, said = router.run(
                router.near, "ping", "-n", "-c", "1", "-W", "3", "-s", "3000", "10.2.0.2"
            )
            assert code == 0, said
            code, said = router.run(
                router.near, "traceroute", "-n", "-q", "1", "-w", "3", "-m", "4", "10.2.0.2"
            )
            assert re.findall(r"^ *\d+  (\S+)", said, re.MULTILINE) == ["10.1.0.1", "10.2.0.2"]
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def test_a_datagram_with_df_that_a_kernel_router_cannot_pass_teaches_the_path_mtu(namespace):
    live = Live(namespace)
    guest = live.cable("10.9.0.1/24", "10.9.0.2/24")
    try:
        guest.sh("sysctl", "-qw", "net.ipv4.ip_forward=1")
        guest.sh("ip", "link", "add", "d0", "mtu", "700", "type", "veth", "peer", "name", "d1")
        guest.sh("ip", "addr", "add", "10.8.0.1/24", "dev", "d0")
        guest.sh("ip", "link", "set", "d0", "up")
        guest.sh("ip", "link", "set", "d1", "up")
        from ipaddress import IPv4Network  # noqa: PLC0415

        live.stack.add_route(IPv4Network("10.8.0.0/24"), via=KERNEL)
        far = IPv4Address("10.8.0.9")
        socket = live.stack.udp.open(live.now)
        socket.connect(far, 9, live.now)
        socket.send(bytes(1000), live.now, df=True)
        assert live.turn(lambda: live.stack.pmtu.mtu(far, 1500, live.now) == 700, 5)
        with pytest.raises(Refused, match="EMSGSIZE"):
            socket.send(bytes(1000), live.now, df=True)
    finally:
        live.close()
