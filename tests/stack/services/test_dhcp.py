"""DHCP client and server over real stacks, in virtual time: RFC 2131 from offer to expiry."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from itertools import pairwise
from typing import Any

import pytest
from pair import Net

from testbed.stack.config import StackConfig
from testbed.stack.conflict import AddressConflict
from testbed.stack.services.dhcp_client import DhcpClient
from testbed.stack.services.dhcp_lease import INFINITE, DhcpClientConfig, DhcpLease
from testbed.stack.services.dhcp_pool import DhcpServerConfig, DhcpSubnet
from testbed.stack.services.dhcp_server import AddressInUse, DhcpServer, LeaseGranted
from testbed.stack.services.dhcp_states import TABLE, ClientEvent, ClientState, DhcpStateChanged
from testbed.stack.stack import Stack
from testbed.timing import Instant, milliseconds, seconds
from testbed.wire import (
    ArpPacket,
    DhcpCode,
    DhcpMessage,
    DhcpOp,
    DhcpOption,
    DhcpType,
    EchoRequest,
    EthFrame,
    IPv4Packet,
    MacAddr,
    UdpDatagram,
    compose,
    dissect,
)

NET = IPv4Network("10.0.0.0/24")
SERVER = IPv4Address("10.0.0.1")
FIRST, SECOND = IPv4Address("10.0.0.100"), IPv4Address("10.0.0.101")
SERVER_MAC = MacAddr("02:00:00:00:00:01")
MAC = MacAddr("02:00:00:00:00:0a")
SUBNET = DhcpSubnet(
    NET,
    FIRST,
    IPv4Address("10.0.0.110"),
    routers=(SERVER,),
    dns_servers=(SERVER,),
    domain="lab.test",
)
QUICK = DhcpClientConfig(start_min=seconds(0), start_max=seconds(0), probe=False)
SILENT = DhcpServerConfig((SUBNET,), ping=False)
S = ClientState


class Lan:
    """A server and clients on one wire."""

    def __init__(self, server: DhcpServerConfig | None = SILENT, seed: int = 1) -> None:
        self.net = Net()
        self.stack = self.host("server", MacAddr("02:00:00:00:00:01"), seed)
        self.stack.add_address("eth0", IPv4Interface(f"{SERVER}/24"), self.net.now)
        self.client = self.host("client", MAC, seed + 1)
        self.others: list[Stack] = []
        self.plugged = False
        self.server = DhcpServer.on(self.stack, "eth0", server, self.net.now) if server else None

    def host(self, name: str, mac: MacAddr, seed: int) -> Stack:
        stack = Stack(StackConfig(), seed=seed, name=name)
        stack.add_interface("eth0", mac=mac)
        return stack

    def other(self, address: str | None = None) -> Stack:
        """One more host, to be called before the first start."""
        number = len(self.others) + 2
        stack = self.host(f"other{number}", MacAddr(f"02:00:00:00:00:{number:02x}"), 90 + number)
        if address:
            stack.add_address("eth0", IPv4Interface(f"{address}/24"), self.net.now)
        self.others.append(stack)
        return stack

    def start(
        self, config: DhcpClientConfig = QUICK, stack: Stack | None = None, **named: Any
    ) -> DhcpClient:
        if not self.plugged:
            ends = [(each, "eth0") for each in (self.stack, self.client, *self.others)]
            self.lines = self.net.join(*ends, delay=milliseconds(1))
            self.plugged = True
        client = DhcpClient.on(stack or self.client, "eth0", config)
        client.start(self.net.now, **named)
        return client

    def until(self, client: DhcpClient, state: ClientState, within: float = 60) -> None:
        reached = self.net.run_until(lambda: client.state is state, within=seconds(within))
        assert reached, f"{client.state}, not {state}"

    def seen(self, stack: Stack | None = None) -> list[tuple[Instant, DhcpMessage, EthFrame]]:
        """DHCP messages that left a stack, the client if none is named."""
        found = []
        for each in self.net.sent(stack or self.client):
            layers = dissect(each.frame)
            if layers.udp is not None and {layers.udp.src_port, layers.udp.dst_port} <= {67, 68}:
                assert layers.eth is not None
                assert not layers.bad_checksums
                found.append((each.at, DhcpMessage.parse(layers.udp.payload), layers.eth))
        return found

    def kinds(self, stack: Stack | None = None) -> list[int | None]:
        return [message.type for _, message, _ in self.seen(stack)]


def offer_frame(message: DhcpMessage, source: str = "10.0.0.9", **fields: Any) -> bytes:
    """An answer to a client's message that no server of ours sends."""
    options = fields.pop("options", {})
    kind = fields.pop("kind", DhcpType.OFFER)
    base = {DhcpCode.SERVER_ID: source, DhcpCode.LEASE_TIME: 60, **options}
    answer = DhcpMessage.of(
        DhcpOp.REPLY,
        kind,
        fields.pop("xid", message.xid),
        fields.pop("client", message.client),
        *(DhcpOption.of(code, value) for code, value in base.items() if value is not None),
        **{"yiaddr": SECOND, **fields},
    )
    all_hosts = IPv4Address("255.255.255.255")
    return compose(
        EthFrame(MacAddr.BROADCAST, MacAddr("02:00:00:00:00:99")),
        IPv4Packet(IPv4Address(source), all_hosts),
        UdpDatagram(67, 68, answer.emit()),
    )


# The table


def test_every_action_of_the_table_is_a_method_and_every_state_is_left():
    for (state, _), step in TABLE.items():
        assert callable(getattr(DhcpClient, step.action))
        assert state is not S.STOPPED
    assert {state for state, _ in TABLE} == set(S) - {S.STOPPED}


def test_the_table_is_figure_5():
    # Its arrows, but for those that lead back to the same state.
    arrows = {(a.value, e.value, step.state.value) for (a, e), step in TABLE.items()}
    for arrow in [
        ("init-reboot", "begin", "rebooting"),
        ("rebooting", "nak", "init"),
        ("init", "begin", "selecting"),
        ("selecting", "chosen", "requesting"),
        ("requesting", "nak", "init"),
        ("bound", "t1", "renewing"),
        ("renewing", "ack", "bound"),
        ("renewing", "nak", "init"),
        ("renewing", "t2", "rebinding"),
        ("rebinding", "ack", "bound"),
        ("rebinding", "nak", "init"),
        ("rebinding", "expired", "init"),
    ]:
        assert arrow in arrows


# Getting an address


def test_discover_offer_request_ack():
    lan = Lan()
    client = lan.start()
    lan.until(client, S.BOUND)
    assert lan.kinds() == [DhcpType.DISCOVER, DhcpType.REQUEST]
    assert lan.kinds(lan.stack) == [DhcpType.OFFER, DhcpType.ACK]
    lease = client.lease
    assert lease is not None
    assert lease.address == IPv4Interface("10.0.0.100/24")
    assert (lease.server, lease.seconds, lease.domain) == (SERVER, 3600, "lab.test")
    assert lease.routers == lease.dns_servers == (SERVER,)
    assert [held.ip for held in lan.client.interface("eth0").addresses] == [FIRST]
    route = lan.client.routes.lookup(IPv4Address("192.0.2.1"), lan.net.now)
    assert route is not None
    assert route.via == SERVER
    granted = lan.stack.events.of(LeaseGranted)
    assert [(event.address, event.seconds) for event in granted] == [(FIRST, 3600)]
    changes = [event.new for event in lan.client.events.of(DhcpStateChanged)]
    assert changes == [S.INIT, S.SELECTING, S.REQUESTING, S.CHECKING, S.BOUND]


def test_what_the_first_messages_look_like():
    lan = Lan()
    lan.until(lan.start(replace(QUICK, client_id=b"\0box", host_name="box")), S.BOUND)
    (_, discover, frame), (_, request, _) = lan.seen()
    packet = IPv4Packet.parse(frame.payload)
    assert frame.dst == MacAddr.BROADCAST
    assert (packet.src, packet.dst) == (IPv4Address(0), IPv4Address("255.255.255.255"))
    for message in (discover, request):
        assert (message.op, message.client, message.broadcast) == (1, MAC, True)
        assert not int(message.ciaddr)
        assert message.get(DhcpCode.CLIENT_ID) == b"\0box"
        assert message.get(DhcpCode.HOST_NAME) == "box"
        parameters = message.get(DhcpCode.PARAMETERS)
        assert parameters.index(121) < parameters.index(3)
    assert discover.get(DhcpCode.SERVER_ID) is None
    assert request.get(DhcpCode.SERVER_ID) == SERVER
    assert request.get(DhcpCode.REQUESTED_ADDRESS) == FIRST
    assert (request.xid, request.secs) == (discover.xid, discover.secs)


def test_answers_name_the_client_and_its_identifier():
    lan = Lan()
    lan.until(lan.start(replace(QUICK, client_id=b"\0box")), S.BOUND)
    for _, message, frame in lan.seen(lan.stack):
        assert frame.dst == MacAddr.BROADCAST
        assert message.get(DhcpCode.SERVER_ID) == SERVER
        assert message.get(DhcpCode.CLIENT_ID) == b"\0box"  # RFC 6842
        assert message.yiaddr == FIRST
        assert message.get(DhcpCode.SUBNET_MASK) == NET.netmask


def test_a_client_that_takes_unicast_gets_it_without_arp():
    lan = Lan()
    client = lan.start(replace(QUICK, broadcast=False))
    lan.net.run(seconds(1))
    (_, offer, frame) = lan.seen(lan.stack)[0]
    assert frame.dst == client_mac(lan)
    assert IPv4Packet.parse(frame.payload).dst == offer.yiaddr == FIRST
    assert all(dissect(each.frame).arp is None for each in lan.net.sent(lan.stack))
    assert client.state is S.SELECTING  # a stack without an address takes no unicast


def client_mac(lan: Lan) -> MacAddr:
    mac = lan.client.interface("eth0").mac
    assert mac is not None
    return mac


def test_the_start_is_put_off_by_one_to_ten_seconds():
    starts = []
    for seed in range(12):
        lan = Lan(seed=10 * seed)
        begin = lan.net.now
        client = lan.start(DhcpClientConfig(probe=False))
        lan.until(client, S.SELECTING)
        starts.append((lan.seen()[0][0] - begin) / 1e9)
    assert all(1 <= start <= 10 for start in starts)
    assert len(set(starts)) > 6


def test_without_a_server_it_backs_off_to_64_seconds_each_within_one():
    lan = Lan(server=None)
    lan.start()
    lan.net.run(seconds(400))
    at = [when for when, _, _ in lan.seen()]
    gaps = [(b - a) / 1e9 for a, b in pairwise(at)]
    for gap, wanted in zip(gaps, [4, 8, 16, 32, 64, 64, 64, 64], strict=False):
        assert wanted - 1 <= gap <= wanted + 1
    assert len(gaps) >= 7
    assert any(gap != round(gap) for gap in gaps)
    messages = [message for _, message, _ in lan.seen()]
    assert len({message.xid for message in messages}) == 1
    assert messages[2].secs in range(10, 15)


def test_a_lost_request_is_repeated_four_times_and_then_all_begins_anew():
    lan = Lan()
    client = lan.start()
    lan.net.run_until(lambda: client.state is S.REQUESTING)
    lan.stack.answers.dhcp = False
    lan.until(client, S.SELECTING, within=130)
    kinds = lan.kinds()
    assert kinds == [DhcpType.DISCOVER] + [DhcpType.REQUEST] * 4 + [DhcpType.DISCOVER]
    requests = [message for _, message, _ in lan.seen()][1:5]
    assert len({message.secs for message in requests}) == 1
    lan.stack.answers.dhcp = True
    lan.until(client, S.BOUND)


@pytest.mark.parametrize(
    "changes",
    [
        {"xid": 0},
        {"client": MacAddr("02:00:00:00:00:77")},
        {"kind": DhcpType.ACK},
        {"options": {DhcpCode.SERVER_ID: None}},
        {"yiaddr": IPv4Address(0)},
    ],
)
def test_offers_that_are_none_are_ignored(changes: dict[str, Any]):
    lan = Lan(server=None)
    client = lan.start()
    lan.until(client, S.SELECTING)
    lan.net.run(milliseconds(10))
    message = lan.seen()[0][1]
    lan.net.inject(lan.client, offer_frame(message, **changes))
    assert client.state is S.SELECTING
    lan.net.inject(lan.client, offer_frame(message))
    assert client.state is S.REQUESTING


def test_only_the_selected_server_has_a_say_in_a_request():
    lan = Lan(server=None)
    client = lan.start()
    lan.until(client, S.SELECTING)
    lan.net.run(milliseconds(10))
    message = lan.seen()[0][1]
    lan.net.inject(lan.client, offer_frame(message))
    assert client.state is S.REQUESTING
    lan.net.inject(lan.client, offer_frame(message, "10.0.0.66", kind=DhcpType.NAK))
    lan.net.inject(lan.client, offer_frame(message, "10.0.0.66", kind=DhcpType.ACK))
    lan.net.inject(
        lan.client, offer_frame(message, kind=DhcpType.ACK, options={DhcpCode.LEASE_TIME: None})
    )
    assert client.state is S.REQUESTING
    lan.net.inject(lan.client, offer_frame(message, kind=DhcpType.ACK))
    assert client.state is S.BOUND
    assert client.lease is not None
    assert client.lease.address == IPv4Interface("10.0.0.101/8")  # by its class: no mask came


def test_a_nak_while_requesting_begins_anew():
    lan = Lan(server=None)
    client = lan.start()
    lan.until(client, S.SELECTING)
    lan.net.run(milliseconds(10))
    message = lan.seen()[0][1]
    lan.net.inject(lan.client, offer_frame(message))
    lan.net.inject(lan.client, offer_frame(message, kind=DhcpType.NAK))
    assert client.state is S.INIT
    lan.until(client, S.SELECTING)
    assert lan.seen()[-1][1].xid != message.xid


def test_collected_offers_are_chosen_from():
    lan = Lan(server=None)
    wanted = IPv4Address("10.0.0.103")
    client = lan.start(replace(QUICK, offer_wait=seconds(2), requested=wanted))
    lan.until(client, S.SELECTING)
    lan.net.run(milliseconds(10))
    message = lan.seen()[0][1]
    assert message.get(DhcpCode.REQUESTED_ADDRESS) == wanted
    lan.net.inject(lan.client, offer_frame(message))
    lan.net.inject(lan.client, offer_frame(message, "10.0.0.66", yiaddr=wanted))
    assert client.state is S.SELECTING
    lan.until(client, S.REQUESTING)
    assert lan.seen()[-1][1].get(DhcpCode.SERVER_ID) == IPv4Address("10.0.0.66")


def test_classless_routes_replace_routers():
    routes = (
        (IPv4Network("198.51.100.0/24"), IPv4Address("10.0.0.7")),
        (IPv4Network("203.0.113.0/24"), IPv4Address(0)),
    )
    subnet = replace(SUBNET, options={DhcpCode.CLASSLESS_ROUTES: routes})
    lan = Lan(DhcpServerConfig((subnet,), ping=False))
    lan.until(lan.start(), S.BOUND)
    lookup = lan.client.routes.lookup
    far = lookup(IPv4Address("198.51.100.9"), lan.net.now)
    near = lookup(IPv4Address("203.0.113.9"), lan.net.now)
    assert far is not None
    assert far.via == IPv4Address("10.0.0.7")
    assert near is not None
    assert near.via is None
    assert lookup(IPv4Address("192.0.2.1"), lan.net.now) is None


# Keeping it


def test_renewal_is_unicast_at_half_of_the_lease():
    lan = Lan()
    client = lan.start()
    lan.until(client, S.BOUND)
    asked = lan.seen()[1][0]
    lan.net.run_until(lambda: len(lan.seen()) > 2, within=seconds(2000))
    at, message, frame = lan.seen()[2]
    assert (at - asked) / 1e9 == pytest.approx(1800, abs=0.01)  # ARP comes first
    packet = IPv4Packet.parse(frame.payload)
    assert (packet.src, packet.dst) == (FIRST, SERVER)
    assert frame.dst == MacAddr("02:00:00:00:00:01")
    assert message.type == DhcpType.REQUEST
    assert message.ciaddr == FIRST
    assert message.get(DhcpCode.SERVER_ID) is message.get(DhcpCode.REQUESTED_ADDRESS) is None
    assert not message.broadcast
    lan.net.run(seconds(1))
    assert client.state is S.BOUND
    assert client.lease is not None
    assert client.lease.expires == asked + seconds(1800 + 3600)
    _, ack, reply = lan.seen(lan.stack)[-1]
    assert (ack.type, ack.ciaddr, reply.dst) == (DhcpType.ACK, FIRST, MAC)


def test_rebinding_is_broadcast_at_seven_eighths_and_the_end_is_the_end():
    lan = Lan()
    client = lan.start()
    lan.until(client, S.BOUND)
    asked = lan.seen()[1][0]
    lan.stack.answers.dhcp = False
    lan.until(client, S.SELECTING, within=3700)
    when = [((at - asked) / 1e9, packet_of(frame)) for at, _, frame in lan.seen()[2:-1]]
    renewing = [at for at, packet in when if packet.dst == SERVER]
    rebinding = [at for at, packet in when if packet.dst != SERVER]
    # Half of what is left until 3150 s, and of what is left until 3600 s, 60 s at least.
    assert renewing == pytest.approx([1800, 2475, 2812.5, 2981.25, 3065.625, 3125.625], abs=1)
    assert rebinding == pytest.approx([3150, 3375, 3487.5, 3547.5], abs=1)
    assert all(packet.src == FIRST for _, packet in when)
    assert (lan.net.now - asked) / 1e9 == 3600
    assert lan.client.interface("eth0").addresses == []
    assert lan.client.routes.lookup(IPv4Address("192.0.2.1"), lan.net.now) is None
    assert client.lease is None
    lan.stack.answers.dhcp = True
    lan.until(client, S.BOUND)
    assert client.lease is not None


def packet_of(frame: EthFrame) -> IPv4Packet:
    return IPv4Packet.parse(frame.payload)


def test_another_server_may_extend_while_rebinding():
    lan = Lan()
    client = lan.start()
    lan.until(client, S.BOUND)
    lan.stack.answers.dhcp = False
    lan.until(client, S.REBINDING, within=3200)
    lan.stack.answers.dhcp = True
    lan.until(client, S.BOUND, within=300)


def test_a_nak_to_a_renewal_halts_the_network():
    lan = Lan()
    client = lan.start()
    lan.until(client, S.BOUND)
    assert lan.server is not None
    lan.server.pools[0].quarantine(FIRST, lan.net.now, seconds(7200))
    lan.until(client, S.RENEWING, within=2000)
    lan.until(client, S.BOUND)
    assert DhcpType.NAK in lan.kinds(lan.stack)
    assert [held.ip for held in lan.client.interface("eth0").addresses] == [SECOND]


def test_the_servers_times_are_kept():
    config = DhcpServerConfig(
        (SUBNET,), ping=False, lease_time=1000, renewal_time=100, rebinding_time=900
    )
    lan = Lan(config)
    client = lan.start()
    lan.until(client, S.BOUND)
    asked, lease = lan.seen()[1][0], client.lease
    assert lease is not None
    assert (lease.t1, lease.t2) == (asked + seconds(100), asked + seconds(900))


def test_times_out_of_order_are_the_defaults():
    config = DhcpServerConfig((SUBNET,), ping=False, renewal_time=3600, rebinding_time=5)
    lan = Lan(config)
    client = lan.start()
    lan.until(client, S.BOUND)
    asked, lease = lan.seen()[1][0], client.lease
    assert lease is not None
    assert (lease.t1, lease.t2) == (asked + seconds(1800), asked + seconds(3150))


def test_a_lease_without_end_is_never_renewed():
    config = DhcpServerConfig((SUBNET,), ping=False, lease_time=INFINITE)
    lan = Lan(config)
    client = lan.start()
    lan.until(client, S.BOUND)
    lan.net.run(seconds(10_000_000))
    assert client.state is S.BOUND
    assert len(lan.seen()) == 2


def test_release_gives_the_address_back_and_it_is_remembered():
    lan = Lan()
    client = lan.start()
    lan.until(client, S.BOUND)
    lan.net.run(seconds(1))
    client.release(lan.net.now)
    lan.net.run(seconds(2))
    _, message, frame = lan.seen()[-1]
    assert message.type == DhcpType.RELEASE
    assert message.ciaddr == FIRST
    assert message.get(DhcpCode.SERVER_ID) == SERVER
    assert packet_of(frame).src == FIRST
    assert lan.client.interface("eth0").addresses == []
    assert lan.server is not None
    assert lan.server.leases == ()
    client.start(lan.net.now)
    lan.until(client, S.BOUND)
    assert client.lease is not None
    assert client.lease.address.ip == FIRST


# INIT-REBOOT


def remembered(lan: Lan, address: str = "10.0.0.100", left: float = 500) -> DhcpLease:
    end = Instant(lan.net.now + seconds(left))
    return DhcpLease(IPv4Interface(f"{address}/24"), SERVER, 1000, end, end, end)


def test_a_remembered_lease_is_asked_for_again():
    lan = Lan()
    client = lan.start()
    lan.until(client, S.BOUND)
    lease = client.lease
    client.stop(lan.net.now)
    before = len(lan.seen())
    again = lan.start(remembered=lease)
    lan.until(again, S.BOUND)
    _, message, frame = lan.seen()[before]
    assert message.type == DhcpType.REQUEST
    assert message.get(DhcpCode.REQUESTED_ADDRESS) == FIRST
    assert message.get(DhcpCode.SERVER_ID) is None
    assert not int(message.ciaddr)
    assert frame.dst == MacAddr.BROADCAST
    assert len(lan.seen()) == before + 1


def test_a_server_without_a_record_is_silent_and_the_client_begins_anew():
    lan = Lan()
    client = lan.start(remembered=remembered(lan))
    lan.until(client, S.BOUND, within=130)
    assert lan.kinds() == [DhcpType.REQUEST] * 4 + [DhcpType.DISCOVER, DhcpType.REQUEST]
    assert DhcpType.NAK not in lan.kinds(lan.stack)


def test_an_address_of_another_network_is_refused():
    lan = Lan()
    client = lan.start(remembered=remembered(lan, "172.16.0.5"))
    lan.until(client, S.BOUND)
    assert lan.kinds(lan.stack) == [DhcpType.NAK, DhcpType.OFFER, DhcpType.ACK]
    nak, frame = lan.seen(lan.stack)[0][1:]
    assert frame.dst == MacAddr.BROADCAST
    assert not int(nak.yiaddr)
    assert nak.get(DhcpCode.LEASE_TIME) is None
    assert client.lease is not None
    assert client.lease.address.ip == FIRST


def test_a_server_that_is_not_authoritative_refuses_nothing():
    lan = Lan(replace(SILENT, authoritative=False))
    client = lan.start(remembered=remembered(lan, "172.16.0.5"))
    lan.until(client, S.BOUND, within=130)
    assert DhcpType.NAK not in lan.kinds(lan.stack)


def test_an_expired_lease_is_not_asked_for():
    lan = Lan()
    client = lan.start(remembered=remembered(lan, left=-1))
    lan.until(client, S.BOUND)
    assert lan.kinds() == [DhcpType.DISCOVER, DhcpType.REQUEST]


# Addresses that are taken


def test_the_client_probes_and_declines_what_is_taken_and_gets_another():
    lan = Lan()
    lan.other(str(FIRST))
    client = lan.start(replace(QUICK, probe=True))
    lan.until(client, S.CHECKING)
    assert lan.client.interface("eth0").addresses == []
    lan.until(client, S.INIT)
    declined_at = lan.net.now
    lan.until(client, S.BOUND, within=60)
    kinds = lan.kinds()
    assert kinds == [
        DhcpType.DISCOVER,
        DhcpType.REQUEST,
        DhcpType.DECLINE,
        DhcpType.DISCOVER,
        DhcpType.REQUEST,
    ]
    _, decline, frame = lan.seen()[2]
    assert decline.get(DhcpCode.REQUESTED_ADDRESS) == FIRST
    assert decline.get(DhcpCode.SERVER_ID) == SERVER
    assert not int(decline.ciaddr)
    assert packet_of(frame).src == IPv4Address(0)
    assert lan.seen()[3][0] - declined_at >= seconds(10)
    assert [held.ip for held in lan.client.interface("eth0").addresses] == [SECOND]
    assert [(e.address, e.declined) for e in lan.stack.events.of(AddressInUse)] == [(FIRST, True)]
    probes = [
        arp
        for each in lan.net.sent(lan.client)
        if (arp := dissect(each.frame).arp) is not None and arp.is_probe
    ]
    assert {arp.target_ip for arp in probes} == {FIRST, SECOND}


def test_an_address_that_is_lost_later_is_declined():
    lan = Lan()
    client = lan.start()
    lan.until(client, S.BOUND)
    thief = MacAddr("02:00:00:00:00:66")
    arp = compose(EthFrame(MacAddr.BROADCAST, thief), ArpPacket.announcement(thief, FIRST))
    lan.net.inject(lan.client, arp)
    assert client.state is S.BOUND  # defended once
    lan.net.inject(lan.client, arp)
    assert client.state is S.INIT
    assert lan.client.events.of(AddressConflict)
    lan.until(client, S.BOUND)
    assert DhcpType.DECLINE in lan.kinds()
    assert client.lease is not None
    assert client.lease.address.ip == SECOND


def test_the_server_pings_before_it_offers():
    lan = Lan(DhcpServerConfig((SUBNET,)))
    lan.other(str(FIRST))
    client = lan.start()
    lan.until(client, S.BOUND)
    pings = [
        (each.at, layers.ipv4.dst)
        for each in lan.net.sent(lan.stack)
        if (layers := dissect(each.frame)).ipv4 and isinstance(layers.icmpv4, EchoRequest)
    ]
    assert [address for _, address in pings] == [FIRST]  # nobody is at SECOND: ARP says so
    assert [held.ip for held in lan.client.interface("eth0").addresses] == [SECOND]
    assert [(e.address, e.declined) for e in lan.stack.events.of(AddressInUse)] == [(FIRST, False)]
    offered = lan.seen(lan.stack)[0][0]
    asked = lan.seen()[0][0]
    assert seconds(1) <= offered - asked <= seconds(1.1)


def test_a_client_that_has_its_address_is_not_pinged():
    lan = Lan(DhcpServerConfig((SUBNET,)))
    client = lan.start()
    lan.until(client, S.BOUND)
    client.stop(lan.net.now)
    begin = lan.net.now
    again = lan.start()
    lan.until(again, S.BOUND)
    assert lan.net.now - begin < seconds(0.1)


def test_quarantine_ends():
    lan = Lan(DhcpServerConfig((replace(SUBNET, last=FIRST),), ping=False, quarantine=seconds(50)))
    assert lan.server is not None
    lan.server.pools[0].quarantine(FIRST, lan.net.now, seconds(50))
    client = lan.start()
    lan.net.run(seconds(45))
    assert client.state is S.SELECTING
    lan.until(client, S.BOUND, within=100)


# The pool


def test_clients_get_different_addresses_until_there_are_none():
    lan = Lan(DhcpServerConfig((replace(SUBNET, last=SECOND),), ping=False))
    hosts = [lan.client, lan.other(), lan.other()]
    clients = [lan.start(QUICK, host) for host in hosts]
    lan.net.run(seconds(3))
    assert sorted(str(c.lease.address.ip) for c in clients if c.lease) == [str(FIRST), str(SECOND)]
    waiting = next(client for client in clients if client.lease is None)
    assert waiting.state is S.SELECTING
    next(client for client in clients if client.lease).release(lan.net.now)
    lan.until(waiting, S.BOUND, within=100)


def test_an_expired_lease_is_given_to_another():
    lan = Lan(DhcpServerConfig((replace(SUBNET, last=FIRST),), ping=False, lease_time=100))
    other = lan.other()
    first = lan.start()
    lan.until(first, S.BOUND)
    lan.net.freeze(lan.client)
    second = lan.start(QUICK, other)
    lan.net.run(seconds(60))
    assert second.state is S.SELECTING
    lan.until(second, S.BOUND, within=200)
    assert second.lease is not None
    assert second.lease.address.ip == FIRST


def test_an_address_of_its_own_goes_to_its_client_only():
    own = IPv4Address("10.0.0.50")
    subnet = replace(SUBNET, fixed={MAC: own, b"\0x": FIRST})
    lan = Lan(DhcpServerConfig((subnet,), ping=False))
    other = lan.other()
    client, second = lan.start(), lan.start(QUICK, other)
    lan.until(client, S.BOUND)
    lan.until(second, S.BOUND)
    assert client.lease is not None
    assert second.lease is not None
    assert client.lease.address.ip == own
    assert second.lease.address.ip == SECOND


def test_the_address_that_is_asked_for_is_given_if_it_is_free():
    wanted = IPv4Address("10.0.0.107")
    lan = Lan()
    client = lan.start(replace(QUICK, requested=wanted, lease_time=50))
    lan.until(client, S.BOUND)
    assert client.lease is not None
    assert (client.lease.address.ip, client.lease.seconds) == (wanted, 50)


def test_an_offer_that_goes_to_another_server_is_free_again():
    lan = Lan(DhcpServerConfig((replace(SUBNET, last=FIRST),), ping=False))
    client = lan.start()
    lan.until(client, S.SELECTING)
    lan.net.run(milliseconds(1))
    message = lan.seen()[0][1]
    taken = replace(
        message,
        options=(
            DhcpOption.of(DhcpCode.MESSAGE_TYPE, DhcpType.REQUEST),
            DhcpOption.of(DhcpCode.SERVER_ID, "10.0.0.66"),
            DhcpOption.of(DhcpCode.REQUESTED_ADDRESS, "10.0.0.200"),
        ),
    )
    lan.net.inject(lan.stack, from_client(taken))
    assert lan.server is not None
    other = b"\1" + bytes(6)
    assert lan.server.pools[0].is_free(FIRST, other, lan.net.now)
    assert lan.kinds(lan.stack) == [DhcpType.OFFER]


def from_client(
    message: DhcpMessage,
    source: str = "0.0.0.0",
    dst: str = "255.255.255.255",
    to: MacAddr = MacAddr.BROADCAST,
) -> bytes:
    return compose(
        EthFrame(to, message.client),
        IPv4Packet(IPv4Address(source), IPv4Address(dst)),
        UdpDatagram(68, 67, message.emit()),
    )


def ask(kind: int, *options: DhcpOption, **fields: Any) -> DhcpMessage:
    return DhcpMessage.of(DhcpOp.REQUEST, kind, 5, MAC, *options, **fields)


def test_inform_gets_parameters_but_no_lease():
    lan = Lan()
    lan.start()
    own = IPv4Address("10.0.0.10")
    lan.client.add_address("eth0", IPv4Interface(f"{own}/24"), lan.net.now)
    message = ask(DhcpType.INFORM, ciaddr=own)
    lan.net.inject(lan.stack, from_client(message, str(own)))
    lan.net.run(seconds(1))
    ack = next(m for _, m, _ in lan.seen(lan.stack) if m.ciaddr == own)
    assert ack.type == DhcpType.ACK
    assert not int(ack.yiaddr)
    assert ack.get(DhcpCode.LEASE_TIME) is None
    assert ack.get(DhcpCode.DNS_SERVERS) == (SERVER,)


def test_a_relays_clients_get_addresses_of_its_subnet_by_way_of_it():
    far = DhcpSubnet(IPv4Network("10.9.0.0/24"), IPv4Address("10.9.0.20"), IPv4Address("10.9.0.30"))
    lan = Lan(DhcpServerConfig((SUBNET, far), ping=False))
    relay = IPv4Address("10.9.0.1")
    lan.other("10.0.0.254")
    lan.start()
    lan.stack.add_route(far.network, via=IPv4Address("10.0.0.254"), now=lan.net.now)
    tag = DhcpOption(DhcpCode.RELAY_AGENT, b"\1\4port")
    message = ask(DhcpType.DISCOVER, tag, giaddr=relay, hops=1)
    lan.net.inject(lan.stack, from_client(message, str(relay), str(SERVER), SERVER_MAC))
    lan.net.run(seconds(1))
    found = [(m, f) for _, m, f in lan.seen(lan.stack) if m.giaddr == relay]
    assert len(found) == 1
    offer, frame = found[0]
    datagram = dissect(frame.emit())
    assert datagram.udp is not None
    assert (packet_of(frame).dst, datagram.udp.dst_port) == (relay, 67)
    assert offer.yiaddr == IPv4Address("10.9.0.20")
    assert offer.get(DhcpCode.RELAY_AGENT) == b"\1\4port"


def test_a_nak_by_way_of_a_relay_asks_it_to_broadcast():
    lan = Lan()
    lan.start()
    relay = IPv4Address("10.0.0.200")
    wrong = DhcpOption.of(DhcpCode.REQUESTED_ADDRESS, "172.16.0.1")
    lan.net.inject(lan.stack, from_client(ask(DhcpType.REQUEST, wrong, giaddr=relay)))
    pending = [m for _, m, _ in lan.seen(lan.stack)]
    assert pending == []  # it waits for ARP of the relay; what it says is made already
    lan.stack.interface("eth0").neighbours.set(relay, MacAddr("02:00:00:00:00:fe"), lan.net.now)
    lan.net.run(milliseconds(1))
    lan.net.inject(lan.stack, from_client(ask(DhcpType.REQUEST, wrong, giaddr=relay)))
    nak = lan.seen(lan.stack)[-1][1]
    assert (nak.type, nak.broadcast, nak.giaddr) == (DhcpType.NAK, True, relay)


def test_junk_to_a_server_is_no_error():
    lan = Lan()
    client = lan.start()
    everybody = IPv4Address("255.255.255.255")
    frame = compose(
        EthFrame(MacAddr.BROADCAST, MAC),
        IPv4Packet(IPv4Address(0), everybody),
        UdpDatagram(68, 67, b"junk"),
    )
    lan.net.inject(lan.stack, frame)
    for kind in (0, 4, 5, 7, 9):
        lan.net.inject(lan.stack, from_client(ask(kind)))
        lan.net.inject(lan.stack, from_client(ask(kind, giaddr=IPv4Address("192.0.2.1"))))
    lan.until(client, S.BOUND)


def test_a_closed_server_answers_no_more_and_a_stopped_client_asks_no_more():
    lan = Lan(DhcpServerConfig((SUBNET,)))
    client = lan.start()
    lan.until(client, S.SELECTING)
    lan.net.run(milliseconds(100))
    assert lan.server is not None
    lan.server.close(lan.net.now)
    lan.net.run(seconds(3))
    assert lan.seen(lan.stack) == []
    client.stop(lan.net.now)
    count = len(lan.seen())
    lan.net.run(seconds(300))
    assert len(lan.seen()) == count
    assert client.state is S.STOPPED


def test_large_answers_overload_the_name_fields():
    options = {code: bytes(40) for code in range(200, 212)}
    subnet = replace(SUBNET, options=options)
    lan = Lan(DhcpServerConfig((subnet,), ping=False))
    parameters = bytes((1, 3, *options))
    client = lan.start(replace(QUICK, parameters=parameters, max_size=700))
    lan.until(client, S.BOUND)
    assert client.lease is not None
    assert client.lease.message is not None
    assert all(client.lease.message.get(code) == bytes(40) for code in options)
    assert max(packet_of(frame).total_length for _, _, frame in lan.seen(lan.stack)) <= 700


def test_events_outside_the_table_do_nothing():
    lan = Lan()
    client = lan.start()
    lan.until(client, S.BOUND)
    for event in (ClientEvent.BEGIN, ClientEvent.CHOSEN, ClientEvent.NAK, ClientEvent.EXPIRED):
        client.happen(event, lan.net.now)
    assert client.state is S.BOUND
