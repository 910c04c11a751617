"""A DHCP server on a device of its own offers what nobody has, and gives no address twice.

It probes an address before it offers it (RFC 2131 2.2, 3.1), and leaves one that answers, or that a
client declined (4.3.3), alone; no address is two clients' at a time, one that was released or whose
lease is over is free (4.3.1), but not by the word of a client that never had it, nor before the
time is over that it was renewed for (4.3.2). An address of another network is refused, a request
that names another server is left to that one, and a client that is not known gets no word (4.3.2).

Clients, and the host that has an address already, are messages of the plan's and a Python stack. An
offer may take ``dhcp_offer`` (seconds, 2); an address may take 0.2 s to answer.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

import pytest

from testbed import (
    Bench,
    Capture,
    DhcpService,
    Duration,
    EthFrame,
    ExpectationFailed,
    IPv4Packet,
    MacAddr,
    StackConfig,
    Topology,
    TracedFrame,
    UdpDatagram,
    compose,
    dhcp,
    dissect,
    match,
    milliseconds,
    seconds,
)

POINT = "client--dut"
ALL, NOBODY = IPv4Address("255.255.255.255"), IPv4Address(0)
PING = milliseconds(200)
REQUESTED, SERVER = dhcp.DhcpCode.REQUESTED_ADDRESS, dhcp.DhcpCode.SERVER_ID

AP01 = pytest.mark.behaviour("AP-01", clause="RFC 2131 4.3")
ALONE = pytest.mark.topology(Topology.chain("client:nic", "dut:server"))


@dataclass
class Lan:
    """The server at work, and a NIC from which any number of clients ask it."""

    bench: Bench
    seen: Capture
    server: IPv4Address
    pool: tuple[IPv4Address, ...]
    xid: int = 0x2000

    def ask(self, client: int, kind: int, options: dict[int, Any], **fields: Any) -> int:
        """Send a client's message; its xid."""
        self.xid += 1
        message = dhcp.DhcpMessage.of(
            dhcp.DhcpOp.REQUEST,
            kind,
            self.xid,
            mac_of(client),
            *dhcp.dhcp_options(options.items()),
            broadcast=True,
            **fields,
        )
        packet = IPv4Packet(fields.get("ciaddr", NOBODY), ALL)
        eth = EthFrame(MacAddr.BROADCAST, mac_of(client))
        datagram = UdpDatagram(68, 67, message.emit())
        self.bench.nic("client").inject(compose(eth, packet, datagram))
        return self.xid

    def answer(self, client: int, xid: int, kind: str) -> IPv4Address:
        """The address in the answer of a kind to what was asked."""
        wanted = match.dhcp(op="reply", type=kind, xid=xid, client=mac_of(client))
        if kind != "nak":
            wanted &= match.dhcp(server=self.server)
        within = seconds(self.bench.tolerance("dhcp_offer", 2))
        return given(self.seen.wait_for(POINT, wanted, within))

    def discover(self, client: int) -> IPv4Address:
        """Ask for an address; the one that is offered."""
        return self.answer(client, self.ask(client, dhcp.DhcpType.DISCOVER, {}), "offer")

    def take(self, client: int, address: IPv4Address, server: IPv4Address | None = None) -> int:
        """Take an offer, of this server unless another is named; the xid."""
        options = {REQUESTED: address, SERVER: server or self.server}
        return self.ask(client, dhcp.DhcpType.REQUEST, options)

    def lease(self, client: int) -> IPv4Address:
        """Ask for an address and take it."""
        address = self.discover(client)
        granted = self.answer(client, self.take(client, address), "ack")
        if granted != address:
            raise ExpectationFailed(f"{POINT}: {address} was offered, and {granted} granted")
        return address

    def expect_silence(self, xids: Iterable[int], span: Duration = PING) -> None:
        """There is no answer to any of these."""
        self.bench.watch_for(span)
        self.seen.settle()
        for xid in xids:
            self.seen.at(POINT).expect_none(match.dhcp(op="reply", xid=xid))

    def expect_offer(self, client: int, wanted: IPv4Address, why: str) -> None:
        """The client is offered the one address that it may have."""
        offered = self.discover(client)
        if offered != wanted:
            raise ExpectationFailed(f"{POINT}: {offered} was offered, expected {wanted}: {why}")


def mac_of(client: int) -> MacAddr:
    """A client's hardware address."""
    return MacAddr(b"\x02\0\0\0\x68" + bytes([client]))


def given(traced: TracedFrame) -> IPv4Address:
    """The address that an answer offers or grants."""
    udp = dissect(traced.data).udp
    return dhcp.DhcpMessage.parse(udp.payload).yiaddr if udp else NOBODY


def serve(bench: Bench, seen: Capture, *, size: int, ping: bool, lease: int = 600) -> Lan:
    """Have the server give out so many addresses."""
    net = bench.bring_up_network()
    network = net["dut"].address.network
    pool = tuple(network[number] for number in range(100, 100 + size))
    service = DhcpService(pool[0], pool[-1], lease=lease, ping=PING if ping else None)
    bench.server("dut").serve_dhcp(bench.port("dut", toward="client"), service)
    return Lan(bench, seen, net["dut"].ip, pool)


@AP01
@ALONE
def test_only_what_nobody_has_is_offered(bench: Bench) -> None:
    bench.bring_up_network()
    with bench.capture(POINT) as seen:
        lan = serve(bench, seen, size=3, ping=True)
        taken, free, last = lan.pool
        bench.host("client", StackConfig()).add_address(f"{taken}/24")
        lan.expect_offer(1, free, f"another host has {taken}")
        seen.at(POINT).expect(match.icmpv4(type=8) & match.ipv4(src=lan.server, dst=taken))
        lan.answer(1, lan.take(1, free), "ack")
        decline = {REQUESTED: free, SERVER: lan.server}
        lan.expect_silence([lan.ask(1, dhcp.DhcpType.DECLINE, decline)])
        lan.expect_offer(2, last, f"{free} was declined, {taken} is another host's")
        lan.expect_silence([lan.ask(3, dhcp.DhcpType.DISCOVER, {})], Duration(4 * PING))


@AP01
@ALONE
def test_no_address_is_given_twice(bench: Bench) -> None:
    bench.bring_up_network()
    with bench.capture(POINT) as seen:
        lan = serve(bench, seen, size=2, ping=False, lease=2)
        first = lan.lease(1)
        second = next(each for each in lan.pool if each != first)
        lan.expect_offer(2, second, f"{first} is leased")
        lan.answer(2, lan.take(2, second), "ack")
        lan.expect_offer(1, first, "a client is offered what it has")
        stranger = lan.ask(9, dhcp.DhcpType.RELEASE, {SERVER: lan.server}, ciaddr=second)
        lan.expect_silence([stranger, lan.ask(3, dhcp.DhcpType.DISCOVER, {})])
        release = lan.ask(2, dhcp.DhcpType.RELEASE, {SERVER: lan.server}, ciaddr=second)
        lan.expect_silence([release])
        lan.expect_offer(3, second, "it was given back, and all others are leased")
        bench.watch_for(seconds(2))
        lan.expect_offer(4, first, "its lease is over, and all others are leased")


@AP01
@ALONE
def test_who_asks_for_more_time_has_it(bench: Bench) -> None:
    """A lease that is renewed is over when its new time is, not its old one."""
    net = bench.bring_up_network()
    with bench.capture(POINT) as seen:
        lan = serve(bench, seen, size=1, ping=False, lease=4)
        address = lan.lease(1)
        net.station("client").answer_for |= {address}
        bench.watch_for(seconds(2.5))
        lan.answer(1, lan.ask(1, dhcp.DhcpType.REQUEST, {}, ciaddr=address), "ack")
        bench.watch_for(seconds(2.5))
        lan.expect_silence([lan.ask(2, dhcp.DhcpType.DISCOVER, {})])
        bench.watch_for(seconds(2.5))
        lan.expect_offer(2, address, "its lease is over")


@AP01
@ALONE
def test_what_is_wrong_is_refused_and_what_is_others_is_left_alone(bench: Bench) -> None:
    bench.bring_up_network()
    with bench.capture(POINT) as seen:
        lan = serve(bench, seen, size=2, ping=False)
        elsewhere = {REQUESTED: IPv4Address("192.0.2.7")}
        lan.answer(1, lan.ask(1, dhcp.DhcpType.REQUEST, elsewhere), "nak")
        unknown = lan.ask(1, dhcp.DhcpType.REQUEST, {REQUESTED: lan.pool[1]})
        another = lan.take(2, lan.discover(2), IPv4Address("198.18.0.253"))
        lan.expect_silence([unknown, another])
        leased = {lan.lease(3), lan.lease(4)}  # all there are: nothing is kept for client 2
        if leased != set(lan.pool):
            raise ExpectationFailed(f"{POINT}: {leased} were leased, expected all of {lan.pool}")
