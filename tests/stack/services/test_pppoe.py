"""PPPoE: discovery step by step, sessions, their end, and IP between two stacks over one."""

from __future__ import annotations

import subprocess
from collections import deque
from dataclasses import replace
from ipaddress import IPv4Address

from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.l2 import Ether
from scapy.utils import wrpcap

from testbed.stack.alarms import Alarms
from testbed.stack.config import StackConfig
from testbed.stack.entropy import Entropy
from testbed.stack.events import EventLog, PacketDropped
from testbed.stack.services.ppp_config import PppConfig
from testbed.stack.services.ppp_interface import PppInterface
from testbed.stack.services.pppoe import PppoeClient, PppoeConfig, SessionEvent, Stage
from testbed.stack.services.pppoe_server import AccessConcentrator, ConcentratorConfig
from testbed.stack.stack import Stack
from testbed.timing import Instant, seconds
from testbed.wire.addresses import MacAddr
from testbed.wire.ethernet import EtherType, EthFrame
from testbed.wire.ppp import PppFrame, PppProtocol
from testbed.wire.ppp_control import ControlPacket, LcpOption
from testbed.wire.pppoe import PppoeCode, PppoePacket, PppoeTag, TagType

HOST_MAC, AC_MAC = MacAddr("02:00:00:00:00:01"), MacAddr("02:00:00:00:00:02")
HOST, SERVER = IPv4Address("10.9.0.2"), IPv4Address("10.9.0.1")
CLIENT_PPP = PppConfig(name=b"host", secret=b"hush")
SERVER_PPP = PppConfig(
    address=SERVER, peer_address=HOST, authenticate=("chap",), secrets={b"host": b"hush"}
)


class Segment:
    """A host and a concentrator on one Ethernet, in virtual time."""

    def __init__(self, host: PppoeConfig, concentrator: ConcentratorConfig) -> None:
        self.now = Instant(0)
        self.alarms = Alarms()
        self.events = EventLog(10_000)
        self.flying: deque[EthFrame] = deque()
        self.heard: list[tuple[Instant, EthFrame]] = []
        self.deaf = False
        made = {"alarms": self.alarms, "entropy": Entropy(1), "events": self.events}
        self.host = PppoeClient(HOST_MAC, host, send=self.send, **made)
        self.concentrator = AccessConcentrator(AC_MAC, concentrator, send=self.send, **made)

    def send(self, frame: EthFrame, now: Instant) -> None:
        self.heard.append((now, frame))
        self.flying.append(frame)

    def run(self, span: int = 0) -> Segment:
        end = self.now + span
        self.carry()
        while (at := self.alarms.next_deadline()) is not None and at <= end:
            self.now = max(self.now, at)
            self.alarms.fire_due(self.now)
            self.carry()
        self.now = Instant(end)
        return self

    def carry(self) -> None:
        while self.flying:
            frame = EthFrame.parse(self.flying.popleft().emit())
            if not self.deaf:
                self.host.receive(frame, self.now)
                self.concentrator.receive(frame, self.now)

    def discovery(self) -> list[tuple[MacAddr, PppoePacket]]:
        return [
            (frame.src, PppoePacket.parse(frame.payload))
            for _, frame in self.heard
            if frame.ethertype == EtherType.PPPOE_DISCOVERY
        ]

    def codes(self) -> list[int]:
        return [packet.code for _, packet in self.discovery()]

    def drops(self) -> list[str]:
        return [event.reason for event in self.events.of(PacketDropped)]


def segment(host: PppoeConfig | None = None, **concentrator) -> Segment:
    offered = ConcentratorConfig(ppp_for=lambda _mac: SERVER_PPP)
    return Segment(host or PppoeConfig(ppp=CLIENT_PPP), replace(offered, **concentrator))


def opened(**changes) -> Segment:
    net = segment(**changes)
    net.host.open(net.now)
    return net.run()


def frame(code: int, *tags: PppoeTag, session: int = 0, src=HOST_MAC, dst=AC_MAC) -> EthFrame:
    packet = PppoePacket.discovery(code, tags, session)
    return EthFrame(dst, src, EtherType.PPPOE_DISCOVERY, packet.emit())


def test_four_packets_make_a_session_and_ppp_makes_a_link():
    net = opened()
    assert net.codes() == [PppoeCode.PADI, PppoeCode.PADO, PppoeCode.PADR, PppoeCode.PADS]
    (_, first), *_, (_, last) = net.heard[0], net.heard[3]
    assert first.dst == MacAddr.BROADCAST
    session = net.host.session
    assert session is not None
    assert session.ident == PppoePacket.parse(last.payload).session == 1
    assert session.link.up
    assert net.concentrator.sessions[1].link.up
    assert session.link.ipcp.local == HOST


def test_tags_go_and_come_back_as_rfc_2516_has_them():
    net = opened(name=b"ac7", services=(b"", b"video"))
    padi, pado, padr, pads = [packet for _, packet in net.discovery()]
    assert padi.tag(TagType.SERVICE_NAME) == b""
    uniq = padi.tag(TagType.HOST_UNIQ)
    assert uniq
    assert pado.tag(TagType.HOST_UNIQ) == pads.tag(TagType.HOST_UNIQ) == uniq
    assert pado.tag(TagType.AC_NAME) == b"ac7"
    offers = [tag.data for tag in pado.tags if tag.kind == TagType.SERVICE_NAME]
    assert offers == [b"", b"video"]
    assert pado.tag(TagType.AC_COOKIE) == padr.tag(TagType.AC_COOKIE) is not None
    assert [packet.session for packet in (padi, pado, padr)] == [0, 0, 0]


def test_the_mru_is_1492_both_ways_and_options_of_framing_are_not_asked_for():
    net = opened()
    assert net.host.session.link.mtu == 1492
    assert net.concentrator.sessions[1].link.mtu == 1492
    for _, heard in net.heard:
        if heard.ethertype == EtherType.PPPOE_SESSION:
            ppp = PppFrame.parse(PppoePacket.parse(heard.payload).payload)
            if ppp.protocol == PppProtocol.LCP:
                packet = ControlPacket.parse(ppp.information)
                kinds = {option.kind: option.value for option in packet.options}
                assert kinds.get(LcpOption.MRU, 1492) == 1492
                assert not {LcpOption.ACCM, LcpOption.ACFC, LcpOption.PFC} & set(kinds)


def test_no_frame_is_larger_than_ethernet_takes():
    net = opened()
    session = net.host.session
    session.link.send_ip(bytes(1492), net.now)
    assert len(net.heard[-1][1].emit()) == 14 + 1500
    count = len(net.heard)
    session.link.send_ip(bytes(1493), net.now)
    assert len(net.heard) == count


def test_padi_is_sent_again_after_5_10_20_and_40_seconds():
    net = segment()
    net.deaf = True
    net.host.open(net.now)
    net.run(seconds(1000))
    assert [at // seconds(1) for at, _ in net.heard] == [0, 5, 15, 35, 75]
    assert net.host.stage is Stage.IDLE
    assert net.events.of(SessionEvent)[-1].what == "no answer, PADI sent"


def test_a_service_that_is_not_offered_gets_no_answer():
    net = opened(host=PppoeConfig(service=b"video", ppp=CLIENT_PPP))
    assert net.codes() == [PppoeCode.PADI]
    net = opened(host=PppoeConfig(service=b"video", ppp=CLIENT_PPP), services=(b"video",))
    assert net.host.session is not None


def test_a_padr_for_such_a_service_gets_an_error():
    net = segment(cookie=False)
    net.concentrator.receive(
        frame(PppoeCode.PADR, PppoeTag(TagType.SERVICE_NAME, b"video")), net.now
    )
    (_, pads), *more = net.discovery()
    assert not more
    assert (pads.code, pads.session) == (PppoeCode.PADS, 0)
    assert pads.tag(TagType.SERVICE_NAME_ERROR) is not None


def test_without_sessions_left_the_host_is_told():
    net = opened(max_sessions=0)
    assert net.discovery()[-1][1].tag(TagType.AC_SYSTEM_ERROR) == b"no sessions left"
    assert net.host.stage is Stage.IDLE
    assert "no sessions left" in net.events.of(SessionEvent)[-1].what


def test_a_padr_needs_the_cookie_of_its_own_mac():
    net = segment()
    cookie = net.concentrator.cookie(HOST_MAC)
    tags = (PppoeTag(TagType.SERVICE_NAME), PppoeTag(TagType.AC_COOKIE, cookie))
    other = MacAddr("02:00:00:00:00:99")
    net.concentrator.receive(frame(PppoeCode.PADR, *tags, src=other), net.now)
    net.concentrator.receive(frame(PppoeCode.PADR, tags[0]), net.now)
    assert not net.concentrator.sessions
    net.concentrator.receive(frame(PppoeCode.PADR, *tags), net.now)
    assert len(net.concentrator.sessions) == 1


def test_only_the_offer_of_the_wanted_concentrator_is_taken():
    net = opened(host=PppoeConfig(concentrator=b"other", ppp=CLIENT_PPP))
    assert net.codes() == [PppoeCode.PADI, PppoeCode.PADO]
    net = opened(host=PppoeConfig(concentrator=b"testbed", ppp=CLIENT_PPP))
    assert net.host.session is not None


def test_offers_to_others_are_not_taken():
    net = segment()
    net.deaf = True
    net.host.open(net.now)
    tags = PppoeTag(TagType.AC_NAME, b"x"), PppoeTag(TagType.SERVICE_NAME)
    for more in ((), (PppoeTag(TagType.HOST_UNIQ, b"not ours"),)):
        net.host.receive(frame(PppoeCode.PADO, *tags, *more, src=AC_MAC, dst=HOST_MAC), net.now)
    assert net.host.stage is Stage.ASKED


def test_closing_ends_ppp_first_and_then_sends_padt():
    net = opened()
    session = net.host.session
    net.host.close(net.now)
    net.run(seconds(10))
    assert net.host.session is None
    assert not net.concentrator.sessions
    assert PppoeCode.PADT in net.codes()
    assert not session.link.up
    net.host.open(net.now)
    net.run()
    assert net.host.session.ident == 2


def test_after_a_padt_no_ppp_frame_is_sent():
    net = opened()
    session = net.concentrator.sessions[1]
    net.host.receive(frame(PppoeCode.PADT, session=1, src=AC_MAC, dst=HOST_MAC), net.now)
    assert net.host.session is None
    count = len(net.heard)
    net.concentrator.receive(frame(PppoeCode.PADT, session=1), net.now)
    session.link.send_ip(b"E", net.now)
    net.run(seconds(60))
    assert len(net.heard) == count


def test_a_strangers_padt_or_frame_does_nothing():
    net = opened()
    other = MacAddr("02:00:00:00:00:99")
    net.concentrator.receive(frame(PppoeCode.PADT, session=1, src=other), net.now)
    net.host.receive(frame(PppoeCode.PADT, session=1, src=other, dst=HOST_MAC), net.now)
    bye = PppFrame(PppProtocol.LCP, ControlPacket(5, 1).emit()).emit()
    forged = PppoePacket(0, 1, bye).emit()
    net.concentrator.receive(EthFrame(AC_MAC, other, EtherType.PPPOE_SESSION, forged), net.now)
    net.run()
    assert net.host.session.link.up
    assert net.concentrator.sessions[1].link.up


def test_two_hosts_have_two_sessions():
    net = opened()
    tags = (
        PppoeTag(TagType.SERVICE_NAME),
        PppoeTag(TagType.AC_COOKIE, net.concentrator.cookie(MacAddr("02:00:00:00:00:99"))),
    )
    net.concentrator.receive(
        frame(PppoeCode.PADR, *tags, src=MacAddr("02:00:00:00:00:99")), net.now
    )
    assert set(net.concentrator.sessions) == {1, 2}


def test_a_wrong_secret_ends_the_session():
    net = opened(host=PppoeConfig(ppp=replace(CLIENT_PPP, secret=b"wrong")))
    net.run(seconds(30))
    assert net.host.session is None
    assert not net.concentrator.sessions


class Joined:
    """Two stacks whose only link is a PPPoE session."""

    def __init__(self) -> None:
        self.net = segment()
        self.stacks = [Stack(StackConfig(), seed=side, name=str(side)) for side in range(2)]
        self.faces: list[PppInterface] = []
        self.net.host.on_session = lambda session, now: self.add(0, session, now)
        self.net.concentrator.on_session = lambda session, now: self.add(1, session, now)
        self.net.host.open(self.net.now)
        self.turn()

    def add(self, side: int, session, now: Instant) -> None:
        self.faces.append(
            PppInterface(self.stacks[side], "ppp0", session.link, now, default_route=side == 0)
        )

    def turn(self) -> None:
        self.net.run()
        while True:
            for face in self.faces:  # what leaves by it goes over the link
                assert face.stack.poll_transmit(self.net.now) is None
            if not self.net.flying:
                return
            self.net.run()


def test_udp_between_two_stacks_over_the_session():
    both = Joined()
    host, server = both.stacks
    now = both.net.now
    heard = server.udp.open(now, port=7)
    speaker = host.udp.open(now)
    for size in (1, 1464, 1465, 5000):
        speaker.send(b"x" * size, now, to=(SERVER, 7))
        both.turn()
        got = heard.receive()
        assert got is not None
        assert (len(got.payload), got.source) == (size, HOST)
    sent = [each for _, each in both.net.heard if each.ethertype == EtherType.PPPOE_SESSION]
    assert max(len(each.emit()) for each in sent) <= 1514


def test_the_interface_has_its_address_only_while_the_link_is_up():
    both = Joined()
    host = both.stacks[0]
    link = host.interface("ppp0")
    assert [str(each) for each in link.addresses] == [f"{HOST}/32"]
    assert (link.mtu, link.up) == (1492, True)
    both.net.host.close(both.net.now)
    both.net.run(seconds(10))
    assert (link.addresses, link.up) == ([], False)
    assert host.routes.lookup(SERVER, both.net.now) is None


def test_tshark_finds_nothing_malformed(tmp_path):
    net = opened()
    net.host.session.link.lcp.send_echo(net.now, b"hello")
    net.run()
    net.host.close(net.now)
    net.run(seconds(10))
    path = tmp_path / "pppoe.pcap"
    wrpcap(str(path), [Ether(each.emit()) for _, each in net.heard])
    told = subprocess.run(
        ["tshark", "-r", path, "-T", "fields", "-e", "_ws.col.Protocol", "-e", "_ws.malformed"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    names = {line.split("\t")[0].strip() for line in told}
    assert {"PPPoED", "PPP LCP", "PPP CHAP", "PPP IPCP"} <= names
    assert all(not line.split("\t")[1:] or not line.split("\t")[1] for line in told)
    assert len(told) == len(net.heard)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([EtherType.PPPOE_DISCOVERY, EtherType.PPPOE_SESSION]),
            st.sampled_from([HOST_MAC, AC_MAC, MacAddr.BROADCAST]),
            st.sampled_from([0, 7, 9, 0x19, 0x65, 0xA7]),
            st.integers(0, 2),
            st.binary(max_size=40),
        ),
        max_size=30,
    ),
    st.booleans(),
)
def test_no_frames_break_either_side(junk, established: bool):
    net = opened() if established else segment()
    for kind, dst, code, session, data in junk:
        src = AC_MAC if dst == HOST_MAC else HOST_MAC
        packet = PppoePacket(code, session, data).emit()
        for payload in (packet, packet[: len(packet) // 2]):
            noise = EthFrame(dst, src, kind, payload)
            net.host.receive(noise, net.now)
            net.concentrator.receive(noise, net.now)
    net.run(seconds(300))
    assert len(net.concentrator.sessions) <= 1000
