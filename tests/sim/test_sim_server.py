"""The simulated server: its services by its command line, and tshark's opinion of what it sends."""

from __future__ import annotations

import subprocess
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from appliance_rig import Rig

from testbed.sim.frames import BadFcs
from testbed.sim.server import SimServer
from testbed.stack.entropy import Entropy
from testbed.stack.services.dhcp_client import DhcpClient
from testbed.stack.services.dhcp_lease import DhcpClientConfig
from testbed.stack.services.dhcp_states import ClientState
from testbed.stack.services.dns_resolver import DnsConfig, DnsResolver
from testbed.stack.services.ppp_config import PppConfig
from testbed.stack.services.ppp_link import Phase
from testbed.stack.services.pppoe import PppoeConfig
from testbed.stack.services.pppoe_host import PppoeHost
from testbed.timing import seconds
from testbed.wire import (
    EtherType,
    EthFrame,
    MacAddr,
    PppoeCode,
    PppoePacket,
    PppoeTag,
    TagType,
)

PPPOE = (
    "pppoe name ac-7",
    "pppoe authentication chap",
    "pppoe user alice wonderland",
    "pppoe pool 10.9.0.1 10.9.0.10 10.9.0.11",
    "interface p1",
    "pppoe enable",
)


def dial(rig: Rig, stack: object, secret: bytes = b"wonderland") -> PppoeHost:
    config = PppoeConfig(ppp=PppConfig(name=b"alice", secret=secret))
    host = PppoeHost(stack, "eth0", config)
    host.open(rig.now)
    rig.run(seconds(5))
    return host


def test_pppoe_hosts_get_addresses_and_answers(tmp_path: Path):
    rig = Rig(SimServer)
    rig.type(*PPPOE)
    client = rig.host(1)
    host = dial(rig, client)
    assert host.face is not None
    link = host.face.link
    assert (link.ipcp.local, link.ipcp.remote) == (
        IPv4Address("10.9.0.10"),
        IPv4Address("10.9.0.1"),
    )
    assert rig.show("show pppoe sessions") == "p1 1 02:00:00:00:02:01 10.9.0.10 network\n"
    socket = client.udp.open(rig.now)
    socket.send(b"?", rig.now, to=(IPv4Address("10.9.0.1"), 9))  # nobody there: an ICMP error
    link.lcp.send_echo(rig.now, b"anybody")
    rig.run(seconds(1))
    assert link.lcp.echo_replies == 1
    host.close(rig.now)
    rig.run(seconds(10))
    assert rig.show("show pppoe sessions") == ""

    path = tmp_path / "pppoe.pcapng"
    rig.write_pcapng(path, client)
    wrong = "_ws.malformed || _ws.expert.severity >= 0x600000"
    assert tshark(path, "-Y", wrong) == []
    codes = tshark(path, "-Y", "pppoed", "-T", "fields", "-e", "pppoe.code")
    assert [int(code, 16) for code in codes] == [0x09, 0x07, 0x19, 0x65, 0xA7]
    names = tshark(path, "-Y", "pppoe.code == 7", "-T", "fields", "-e", "pppoed.tags.ac_name")
    assert names == ["ac-7"]
    mrus = tshark(path, "-Y", "lcp", "-T", "fields", "-e", "lcp.opt.mru")
    assert set(filter(None, mrus)) == {"1492"}
    chap = tshark(path, "-Y", "chap", "-T", "fields", "-e", "chap.code")
    assert chap == ["1", "2", "3"]
    assert tshark(path, "-Y", "icmp.type == 3")


def tshark(path: Path, *arguments: str) -> list[str]:
    command = ["tshark", "-r", str(path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def test_a_wrong_secret_gets_nowhere():
    rig = Rig(SimServer)
    rig.type(*PPPOE)
    host = dial(rig, rig.host(1), b"looking-glass")
    assert not host.up
    assert rig.show("show pppoe sessions") == ""


def discover(rig: Rig, source: MacAddr, code: int, *tags: PppoeTag) -> PppoePacket:
    """What the concentrator answers to a packet of the discovery stage."""
    packet = PppoePacket.discovery(code, (PppoeTag(TagType.SERVICE_NAME), *tags))
    own = rig.dut.jacks["p1"].mac
    frame = EthFrame(own, source, EtherType.PPPOE_DISCOVERY, packet.emit())
    rig.dut.receive(frame.emit(pad=True), rig.now, "p1")
    answers = []
    while (out := rig.dut.poll_transmit(rig.now)) is not None:
        answers.append(EthFrame.parse(out.frame))
    found = [each for each in answers if each.ethertype == EtherType.PPPOE_DISCOVERY]
    return PppoePacket.parse(found[0].payload)


def test_there_are_as_many_sessions_as_addresses_and_no_more():
    rig = Rig(SimServer)
    rig.type(*PPPOE)
    granted = []
    for number in (1, 2, 3):
        host = MacAddr(f"02:00:00:00:03:0{number}")
        offer = discover(rig, host, PppoeCode.PADI)
        cookie = next(tag for tag in offer.tags if tag.kind == TagType.AC_COOKIE)
        granted.append(discover(rig, host, PppoeCode.PADR, cookie).session)
    assert granted == [1, 2, 0]
    access = rig.dut.access["p1"]
    assert [str(each) for each in access.addresses.values()] == ["10.9.0.10", "10.9.0.11"]
    rig.type("interface p1", "no pppoe enable")
    assert not rig.dut.stack.takers
    assert rig.show("show pppoe sessions") == ""


def test_the_concentrators_address_outlasts_its_sessions():
    rig = Rig(SimServer)
    rig.type(*PPPOE)
    dial(rig, rig.host(1)).close(rig.now)
    rig.run(seconds(10))
    assert "Internet address is 10.9.0.1/32" in rig.show("show interfaces")
    rig.type("no pppoe pool 10.9.0.1 10.9.0.10 10.9.0.11")
    assert "10.9.0.1/32" not in rig.show("show interfaces")


def test_dhcp_and_dns_serve_what_is_typed():
    rig = Rig(SimServer)
    rig.type(
        "interface p1",
        "dhcp pool 198.18.0.100 198.18.0.101",
        "dhcp ping 0",
        "dhcp lease 600",
        "dhcp router 198.18.0.254",
        "exit",
        "dns zone example.test",
        "dns record example.test 60 SOA ns.example.test who.test 1 3600 600 86400 60",
        "dns record www.example.test 77 A 203.0.113.80",
        "dns record example.test 77 MX 10 www.example.test",
        "dns record example.test 77 TXT one two",
    )
    client = rig.host(1)
    asker = DhcpClient.on(client, "eth0", DhcpClientConfig())
    asker.start(rig.now)
    assert rig.run_until(lambda: asker.state is ClientState.BOUND)
    assert asker.lease is not None
    assert asker.lease.address.ip == IPv4Address("198.18.0.100")
    assert rig.show("show dhcp leases").startswith("p1 198.18.0.100 01020000000201 until ")
    resolver = DnsResolver.on(client, DnsConfig(servers=(rig.address(1),)))
    lookup = resolver.look_up("www.example.test", rig.now)
    assert rig.run_until(lambda: lookup.done)
    assert [record.ttl for record in lookup.result.records] == [77]
    assert rig.show("show dns zones") == "example.test.\n"
    rig.type("no dns zone example.test")
    assert rig.show("show dns zones") == ""


def test_a_pool_waits_for_its_ports_address():
    rig = Rig(SimServer, addressed=False)
    rig.type("interface p1", "dhcp pool 198.18.0.100 198.18.0.101")
    assert not rig.dut.dhcp
    rig.type("interface p1", "ip address 198.18.0.1/24")
    assert "p1" in rig.dut.dhcp


@pytest.mark.parametrize(
    "line",
    [
        "dns record www.example.test 77 HINFO x",
        "dns record www.example.test 77 A 300.1.1.1",
        "dns record www.example.test 77 SOA ns.example.test",
        "pppoe authentication eap",
        "pppoe pool 10.9.0.1 10.9.0.10 10.9.0.2",
        "ip route 198.18.0.0/33 198.18.0.9",
        "dns zone .a..b",
    ],
)
def test_what_makes_no_sense_is_refused(line: str):
    rig = Rig(SimServer)
    reply = rig.run_line(f"configure terminal ; {line} ; end")
    assert reply.status == 1
    assert reply.output.startswith("% ")
    assert rig.session.prompt == "dut#"


def test_a_line_is_there_once_and_gone_without_a_trace():
    rig = Rig(SimServer)
    before = rig.show("show running-config")
    rig.type("ip route 10.0.0.0/8 198.18.0.9", "ip route 10.0.0.0/8 198.18.0.9", *PPPOE)
    assert rig.show("show running-config").count("ip route") == 1
    rig.type("no ip route 10.0.0.0/8 198.18.0.9", *(f"no {line}" for line in PPPOE[:4]))
    rig.type("interface p1", "no pppoe enable")
    assert rig.show("show running-config") == before
    rig.type("interface p1", "no pppoe enable", "mtu 1400", "mtu 1300")
    assert rig.show("show running-config").count("mtu") == 1
    assert "MTU 1300 bytes" in rig.show("show interfaces")


def test_a_port_that_is_shut_is_silent_and_counts():
    rig = Rig(SimServer)
    told: list[str] = []
    rig.dut.on_enabled = told.append
    rig.type("interface p1", "shutdown")
    assert told == ["p1"]
    assert not rig.dut.is_enabled("p1")
    assert "p1 is administratively down" in rig.show("show interfaces")
    rig.type("interface p1", "no shutdown")
    assert rig.dut.is_enabled("p1")
    frame = EthFrame(MacAddr.BROADCAST, MacAddr("02:00:00:00:09:09"), 0x0806, bytes(46)).emit()
    rig.dut.receive(frame, rig.now, "p1")
    rig.dut.receive(BadFcs(frame), rig.now, "p1")
    rig.dut.receive(frame[:59], rig.now, "p1")
    rig.dut.set_link("p1", False, rig.now)
    rig.dut.receive(frame, rig.now, "p1")
    text = rig.show("show interfaces")
    assert "1 packets input, 60 bytes" in text
    assert "2 input errors, 1 dropped" in text


def test_frames_of_nobodys_making_raise_nothing():
    rig = Rig(SimServer)
    rig.type(*PPPOE)
    dial(rig, rig.host(1))
    entropy = Entropy(7)
    good = [frame for frame in rig.frames(rig.dut) if frame]
    own = rig.dut.jacks["p1"].mac.packed
    for count in range(4000):
        frame = bytearray(good[count % len(good)])
        frame[0:12] = own + bytes(frame[0:6])
        for _ in range(entropy.between(1, 6)):
            at = entropy.between(12, len(frame) - 1)
            frame[at] = entropy.below(256)
        if not entropy.below(4):
            frame[60:] = b""
        rig.dut.receive(bytes(frame), rig.now, "p1")
        if count % 100 == 0:
            rig.run(seconds(1))
    rig.run(seconds(60))
    for session in rig.dut.access["p1"].sessions:
        assert session.link.phase in Phase
