"""The Linux host driver and its agent on two real hosts with a real router between them."""

from __future__ import annotations

import hashlib
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest
from devices_gear import ROUTER_PORTS

from testbed.devices import Ending, Flow, Keepalive
from testbed.devices.platforms.linux_host.transfer import seeded
from testbed.errors import DeviceError, ExpectationFailed, PlanError
from testbed.timing import milliseconds, seconds
from testbed.wire.addresses import MacAddr

pytestmark = pytest.mark.root

SOON = seconds(10)
EVERYWHERE = IPv4Network("0.0.0.0/0")
H1, H2 = IPv4Address("10.3.0.1"), IPv4Address("10.4.0.1")


@pytest.fixture
def hosts(net, driver):
    """Two hosts that reach each other through the router."""
    one = driver(net.spaces["h1"], ("eth1",))
    two = driver(net.spaces["h2"], ("eth1",))
    router = driver(net.spaces["r1"], ROUTER_PORTS)
    router.add_address("eth3", IPv4Interface("10.3.0.254/24"))
    router.add_address("eth4", IPv4Interface("10.4.0.254/24"))
    one.add_address("eth1", IPv4Interface("10.3.0.1/24"))
    two.add_address("eth1", IPv4Interface("10.4.0.1/24"))
    one.add_route(EVERYWHERE, IPv4Address("10.3.0.254"))
    two.add_route(EVERYWHERE, IPv4Address("10.4.0.254"))
    return one, two


@pytest.fixture
def host(net, driver):
    return driver(net.spaces["h1"], ("eth1",))


def sha(size: int, seed: int) -> str:
    return hashlib.sha256(seeded(size, seed)).hexdigest()


def test_seeded_bytes_are_a_stream_that_anybody_can_compute():
    assert seeded(4, 7) == hashlib.shake_128(bytes(7) + b"\x07").digest(4)
    assert seeded(100, 7)[:10] == seeded(10, 7)
    assert seeded(0, 7) == b""


def test_a_transfer_both_ways_arrives_as_it_was_sent(hosts):
    one, two = hosts
    two.tcp_serve(5001, send=200_000, seed=2)
    one.tcp_connect(str(H2), 5001, send=300_000, seed=1)
    sent, received = one.tcp_result("client", 5001, within=SOON)
    assert (sent.octets, sent.sha256, sent.error) == (300_000, sha(300_000, 1), None)
    assert (received.octets, received.sha256) == (200_000, sha(200_000, 2))
    sent, received = two.tcp_result("server", 5001, within=SOON)
    assert (sent.octets, sent.sha256) == (200_000, sha(200_000, 2))
    assert (received.octets, received.sha256) == (300_000, sha(300_000, 1))
    assert 0 < received.duration < SOON


def test_a_service_can_be_started_again_when_it_has_ended(hosts):
    one, two = hosts
    for seed in (1, 2):
        two.tcp_serve(5002, send=10, seed=seed)
        one.tcp_connect(str(H2), 5002, send=0)
        assert one.tcp_result("client", 5002, within=SOON)[1].sha256 == sha(10, seed)


def test_a_refused_connection_tells_the_kernels_error(hosts):
    one, _ = hosts
    one.tcp_connect(str(H2), 5003, send=10)
    sent, received = one.tcp_result("client", 5003, within=SOON)
    assert (sent.error, received.error, sent.octets) == ("ECONNREFUSED", "ECONNREFUSED", 0)


def test_a_transfer_that_hangs_is_told_with_how_far_it_came(hosts):
    one, two = hosts
    two.tcp_serve(5004, flow=Flow(read_after=seconds(60), receive_buffer=4096))
    one.tcp_connect(str(H2), 5004, send=8_000_000)
    with pytest.raises(ExpectationFailed, match=r"h1: .* not ended: it has sent [1-9]"):
        one.tcp_result("client", 5004, within=milliseconds(300))
    (client,) = [s for s in one.sockets() if s.remote == f"{H2}:5004"]
    assert client.state == "ESTAB"
    assert client.cwnd is not None
    assert client.mss in (1348, 1360)  # the far link's MTU of 1400, less 40 and a time stamp
    one.stop_services()
    assert not [s for s in one.sockets() if s.remote == f"{H2}:5004"]


def test_chunks_can_be_paced(hosts):
    one, two = hosts
    two.tcp_serve(5005)
    pace = Flow(chunk=10, every=milliseconds(20), nodelay=True)
    one.tcp_connect(str(H2), 5005, send=100, flow=pace)
    sent, _ = one.tcp_result("client", 5005, within=SOON)
    assert sent.octets == 100
    assert sent.duration >= milliseconds(9 * 20)


def test_a_server_that_is_killed_is_told(net, hosts):
    _, two = hosts
    two.tcp_serve(5006)
    net.spaces["h2"].sh("kill -9 $(ss -tlnpH 'sport = 5006' | sed 's/.*pid=\\([0-9]*\\).*/\\1/')")
    with pytest.raises(DeviceError, match="ECHILD: it was killed"):
        two.tcp_result("server", 5006, within=SOON)


def test_what_cannot_be_started_is_told_at_once(net, host):
    host.tcp_serve(5007)
    with pytest.raises(DeviceError, match="h1: tcp_serve of port 5007: EADDRINUSE"):
        host.tcp_serve(5007)
    with pytest.raises(DeviceError, match="EADDRNOTAVAIL"):
        host.tcp_connect("192.0.2.1", 5008, send=1, source="192.0.2.2")
    with pytest.raises(DeviceError, match="ENOENT: no client was started on port 1"):
        host.tcp_result("client", 1, within=SOON)
    with pytest.raises(PlanError, match="'server' or 'client'"):
        host.tcp_result("peer", 1, within=SOON)


def test_services_listen_when_the_call_returns_and_end_with_the_plan(net, host, journal):
    host.tcp_serve(5009)
    host.udp_serve(5010)
    assert ":5009" in net.spaces["h1"].sh("ss -ltnH")
    assert ":5010" in net.spaces["h1"].sh("ss -lunH")
    for _ in range(2):
        for change in reversed(journal.changes):
            host.undo(change.undo)
        assert ":5009" not in net.spaces["h1"].sh("ss -ltnH")
        assert ":5010" not in net.spaces["h1"].sh("ss -lunH")
    assert net.spaces["h1"].sh("ls /run") == net.spaces["h2"].sh("ls /run")
    host.tcp_serve(5009)  # the agent was removed, and is brought again


def test_only_own_processes_are_ended(net, host):
    net.spaces["h1"].sh("setsid sleep 30 < /dev/null > /dev/null 2>&1 &")
    host.tcp_serve(5011)
    host.stop_services()
    alive = net.spaces["h1"].sh("ps -e -o stat=,comm= | grep -v '^Z'")
    assert "sleep" in alive
    assert "python" not in alive


def test_datagrams_are_recorded_and_echoed(hosts):
    one, two = hosts
    two.udp_serve(5012)
    answer = one.udp_ask(str(H2), 5012, b"\x00\xffping", within=SOON)
    assert answer.payload == b"\x00\xffping"
    assert one.udp_send(str(H2), 5012, b"", df=True) is None
    first, second = two.udp_received(5012, count=2, within=SOON)
    assert first.payload == b"\x00\xffping"
    assert first.source.startswith(f"{H1}:")
    assert second.payload == b""
    assert len(two.udp_received(5012, count=3, within=milliseconds(100))) == 2


def test_a_closed_port_answers_with_an_error(hosts):
    one, _ = hosts
    assert one.udp_ask(str(H2), 5013, b"anyone?", within=SOON).error == "ECONNREFUSED"


def test_the_path_mtu_is_learned_and_told(hosts):
    one, two = hosts
    assert one.path_mtu(H2) is None
    two.udp_serve(5014)
    assert one.udp_ask(str(H2), 5014, bytes(1440), df=True, within=SOON).error == "EMSGSIZE"
    assert one.path_mtu(H2) == 1400
    assert one.udp_send(str(H2), 5014, bytes(1440), df=True) == "EMSGSIZE"
    assert one.udp_ask(str(H2), 5014, bytes(1440), within=SOON).payload == bytes(1440)
    one.execute("ip route flush cache")


def test_addresses_routes_and_arp_entries_are_told_and_undone(net, host):
    host.add_address("eth1", IPv4Interface("10.3.0.1/24"))
    host.add_address("eth1", IPv4Interface("10.3.0.1/24"))
    host.add_route(IPv4Network("10.8.0.0/16"), IPv4Address("10.3.0.9"))
    host.add_route(IPv4Network("10.8.0.0/16"), IPv4Address("10.3.0.8"), 50)
    host.add_arp("eth1", IPv4Address("10.3.0.9"), MacAddr("02:00:00:00:00:09"))
    shown = net.spaces["h1"].sh("ip route")
    assert "10.8.0.0/16 via 10.3.0.9 dev eth1" in shown
    assert "10.8.0.0/16 via 10.3.0.8 dev eth1 metric 50" in shown
    assert {r.via for r in host.routes() if r.metric == 50} == {IPv4Address("10.3.0.8")}
    with pytest.raises(PlanError, match="give another metric"):
        host.add_route(IPv4Network("10.8.0.0/16"), IPv4Address("10.3.0.7"))


def test_switching_a_port_off_keeps_the_way_back_to_its_routes(host, journal):
    host.add_address("eth1", IPv4Interface("10.3.0.1/24"))
    host.add_route(EVERYWHERE, IPv4Address("10.3.0.254"), 7)
    host.add_arp("eth1", IPv4Address("10.3.0.9"), MacAddr("02:00:00:00:00:09"))
    before = host.read_config()
    mark = len(journal.changes)
    host.set_port_up("eth1", up=False)
    host.wait_port_up("eth1", within=SOON, up=False)
    assert not [row for row in host.routes() if row.prefix == EVERYWHERE]
    host.undo(journal.changes[mark].undo)
    assert host.read_config() == before


def test_kernel_settings_are_read_and_set(net, host):
    host.set_sysctl("net.ipv4.tcp_sack", "0")
    assert net.spaces["h1"].sh("cat /proc/sys/net/ipv4/tcp_sack") == "0\n"
    host.set_sysctl("net/ipv4/tcp_rmem", "4096 8192 16384")
    assert host.sysctl("net.ipv4.tcp_rmem") == "4096 8192 16384"
    with pytest.raises(DeviceError, match=r"has no setting net\.ipv4.tcp_magic"):
        host.sysctl("net.ipv4.tcp_magic")
    with pytest.raises(DeviceError, match="ended with status 1"):
        host.set_sysctl("net.ipv4.tcp_sack", "maybe")
    with pytest.raises(PlanError, match="is no kernel setting"):
        host.sysctl("../../etc/passwd")


def test_configurations_are_restored(net, host, journal):
    before = host.read_config()
    net.spaces["h1"].sh("ip addr add 10.5.0.1/24 dev eth1; ip link set eth1 mtu 1300")
    net.spaces["h1"].sh("ip route add 10.6.0.0/16 via 10.5.0.2")
    net.spaces["h1"].sh("echo 0 > /proc/sys/net/ipv4/tcp_timestamps")
    wrong = host.read_config()
    host.restore_config(before)
    assert host.read_config() == before
    host.apply_config(wrong)
    assert host.read_config() == wrong


def test_files_are_copied_by_the_command_line_where_there_is_nothing_better(host, tmp_path):
    content = bytes(range(256)) * 100
    host.put(content, "/run/one of ours")
    assert host.get("/run/one of ours", tmp_path / "back") == content
    assert (tmp_path / "back").read_bytes() == content
    host.put(tmp_path / "back", "/run/two")
    assert host.execute("cmp '/run/one of ours' /run/two") == ""
    host.execute("rm /run/two '/run/one of ours'")
    with pytest.raises(DeviceError, match="No such file"):
        host.get("/run/two")


def test_any_command_can_be_run(host):
    assert host.execute("echo $((6 * 7))") == "42\n"
    with pytest.raises(DeviceError, match=r"h1: 'echo no; false' ended with status 1: 'no'"):
        host.execute("echo no; false")


def test_readers_can_be_slow_and_servers_close_first(hosts):
    one, two = hosts
    two.tcp_serve(5020, send=3, flow=Flow(ending=Ending.CLOSE))
    pace = Flow(read_chunk=1, read_every=milliseconds(50), ending=Ending.WAIT)
    one.tcp_connect(str(H2), 5020, send=0, flow=pace)
    _, received = one.tcp_result("client", 5020, within=SOON)
    assert (received.octets, received.error) == (3, None)
    assert received.duration >= milliseconds(2 * 50)
    assert [s.state for s in two.sockets() if s.local == f"{H2}:5020"] == ["TIME-WAIT"]


def test_a_side_can_abort(hosts):
    one, two = hosts
    two.tcp_serve(5021, flow=Flow(ending=Ending.ABORT, end_after=milliseconds(50)))
    one.tcp_connect(str(H2), 5021, send=10, flow=Flow(ending=Ending.HOLD))
    sent, received = one.tcp_result("client", 5021, within=SOON)
    assert (sent.error, received.error) == ("ECONNRESET", "ECONNRESET")
    assert two.tcp_result("server", 5021, within=SOON)[0].error is None


def test_a_held_connection_stays(hosts):
    one, two = hosts
    two.tcp_serve(5022, flow=Flow(ending=Ending.HOLD))
    one.tcp_connect(str(H2), 5022, send=10)
    with pytest.raises(ExpectationFailed, match="has not ended: it has sent 0 and received 10"):
        two.tcp_result("server", 5022, within=milliseconds(300))
    assert [s.state for s in two.sockets() if s.local == f"{H2}:5022"] == ["CLOSE-WAIT"]
    assert [s.state for s in one.sockets() if s.remote == f"{H2}:5022"] == ["FIN-WAIT-2"]


@pytest.mark.parametrize("inline", [False, True])
def test_one_byte_can_be_urgent(hosts, inline):
    one, two = hosts
    two.tcp_serve(5023, flow=Flow(oob_inline=inline))
    one.tcp_connect(str(H2), 5023, send=10, seed=3, flow=Flow(urgent=4))
    received = two.tcp_result("server", 5023, within=SOON)[1]
    assert received.octets == (10 if inline else 9)
    assert received.urgent == (b"" if inline else seeded(10, 3)[4:5])


def test_a_service_takes_many_connections(hosts):
    one, two = hosts
    two.tcp_serve(5024, send=5, seed=1, connections=3)
    for _ in range(3):
        one.tcp_connect(str(H2), 5024, send=7, seed=2)
        one.tcp_result("client", 5024, within=SOON)
    results = two.tcp_result("server", 5024, within=SOON)
    assert [result.octets for result in results] == [5, 7] * 3
    assert {result.sha256 for result in results} == {sha(5, 1), sha(7, 2)}


def test_socket_options_reach_the_kernel(net, hosts):
    one, two = hosts
    two.tcp_serve(5025, flow=Flow(ending=Ending.HOLD, max_segment=700))
    flow = Flow(
        ending=Ending.HOLD,
        keepalive=Keepalive(seconds(5), seconds(1), 2),
        user_timeout=seconds(9),
    )
    one.tcp_connect(str(H2), 5025, send=1, source_port=6025, flow=flow)
    timers = net.spaces["h1"].sh("sleep 0.2; ss -tnoH 'dport = 5025'")
    assert "keepalive" in timers
    (client,) = [s for s in one.sockets() if s.remote == f"{H2}:5025"]
    assert client.local == f"{H1}:6025"
    assert client.mss in (688, 700)


@pytest.mark.parametrize(
    "bad",
    [
        {"read_chunk": 0},
        {"read_every": -1},
        {"end_after": -1},
        {"urgent": -1},
    ],
)
def test_flows_that_make_no_sense_are_refused(bad):
    with pytest.raises(PlanError):
        Flow(**bad)


def test_keepalive_is_in_whole_seconds():
    with pytest.raises(PlanError, match="whole seconds"):
        Keepalive(milliseconds(1500), seconds(1), 1)
