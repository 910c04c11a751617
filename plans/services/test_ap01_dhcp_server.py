"""A DHCP server offers what nobody has, gives no address twice, and says no where it must.

Before it offers an address it sees whether anybody has it: "the servers SHOULD probe the reused
address before allocating the address" (RFC 2131 2.2), by a ping (3.1); where there is no answer to
ARP, there is nobody to send one to. An address that answers, or that a client declines (4.3.3),
is nobody's for a while. What a client has it is offered again, what another has never (4.3.1); an
address that was released, or whose lease is over, is free. A client that asks to keep an address of
another network is refused at once, one that the server knows nothing of gets no word, and a
DHCPREQUEST that names another server is that server's business (4.3.2). A DHCPINFORM is answered
without an address (4.3.5).

Answers have the xid, chaddr and flags of what they answer (4.3.1, table 3) and go by broadcast to
clients that ask for it (4.1). An offer may take ``dhcp_offer`` (seconds, 1); a ping takes 0.2 s.

The device under test is the Python stack: a kernel has no DHCP server. Its clients are messages
that the plan makes itself.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

import pytest

from testbed import (
    Bench,
    Capture,
    DhcpServer,
    DhcpServerConfig,
    DhcpSubnet,
    EthFrame,
    ExpectationFailed,
    IPv4Packet,
    MacAddr,
    StackConfig,
    StackHost,
    Topology,
    TracedFrame,
    UdpDatagram,
    compose,
    defects,
    dhcp,
    dissect,
    drill,
    faults,
    match,
    milliseconds,
    seconds,
)

LAN = pytest.mark.topology(Topology.star("lan", "server", "client", "other"))
AP01 = pytest.mark.behaviour("AP-01", clause="RFC 2131 4.3")
POINT = "client--lan"
PING = milliseconds(200)
ALL, NOBODY = IPv4Address("255.255.255.255"), IPv4Address(0)
DOWN = (
    match.udp(src_port=67, dst_port=68, bad_checksum=False)
    & match.dhcp(op="reply", broadcast=True)
    & match.eth(dst="ff:ff:ff:ff:ff:ff")
    & match.ipv4(dst=ALL)
)


@dataclass
class Lan:
    """The server under test, and a NIC from which any number of clients ask it."""

    bench: Bench
    server: StackHost
    seen: Capture
    pool: tuple[IPv4Address, ...]
    xid: int = 0x1000

    def ask(self, client: int, kind: int, options: dict[int, Any], **fields: Any) -> int:
        """Send a client's message; its xid."""
        self.xid += 1
        mac = mac_of(client)
        message = dhcp.DhcpMessage.of(
            dhcp.DhcpOp.REQUEST,
            kind,
            self.xid,
            mac,
            *dhcp.dhcp_options(options.items()),
            broadcast=True,
            **fields,
        )
        source = fields.get("ciaddr", NOBODY)
        datagram = UdpDatagram(68, 67, message.emit())
        eth = EthFrame(MacAddr.BROADCAST, mac)
        self.bench.nic("client").inject(compose(eth, IPv4Packet(source, ALL), datagram))
        return self.xid

    def answer(self, client: int, xid: int, kind: str) -> TracedFrame:
        """The answer of a kind to what was asked; within ``dhcp_offer``."""
        within = seconds(self.bench.tolerance("dhcp_offer", 1))
        wanted = DOWN & match.dhcp(
            type=kind, xid=xid, client=mac_of(client), ciaddr=NOBODY, giaddr=NOBODY
        )
        if kind != "nak":
            wanted &= match.dhcp(server=self.server.address)
        return self.seen.wait_for(POINT, wanted, within)

    def discover(self, client: int) -> TracedFrame:
        """Ask for an address; the offer."""
        return self.answer(client, self.ask(client, dhcp.DhcpType.DISCOVER, {}), "offer")

    def take(self, client: int, address: IPv4Address, server: IPv4Address | None = None) -> int:
        """Take an offer, of this server unless another is named; the xid."""
        options = {
            dhcp.DhcpCode.REQUESTED_ADDRESS: address,
            dhcp.DhcpCode.SERVER_ID: server or self.server.address,
        }
        return self.ask(client, dhcp.DhcpType.REQUEST, options)

    def lease(self, client: int) -> IPv4Address:
        """Ask for an address and take it."""
        address = given(self.discover(client))
        granted = self.answer(client, self.take(client, address), "ack")
        if given(granted) != address:
            raise ExpectationFailed(
                f"{POINT}: {address} was offered, and {given(granted)} granted in #{granted.number}"
            )
        return address

    def expect_silence(self, xid: int) -> None:
        """There is no answer."""
        self.bench.watch_for(PING)
        self.seen.settle()
        self.seen.at(POINT).expect_none(match.dhcp(op="reply", xid=xid))


def mac_of(client: int) -> MacAddr:
    """A client's hardware address."""
    return MacAddr(b"\x02\0\0\0\x67" + bytes([client]))


def given(traced: TracedFrame) -> IPv4Address:
    """The address that an answer offers or grants."""
    udp = dissect(traced.data).udp
    return dhcp.DhcpMessage.parse(udp.payload).yiaddr if udp else NOBODY


def serve(bench: Bench, seen: Capture, *, size: int, ping: bool, lease: int = 600) -> Lan:
    """A server with so many addresses."""
    server = bench.host("server", StackConfig())
    network = bench.bring_up_network()["server"].address.network
    pool = tuple(network[number] for number in range(100, 100 + size))
    subnet = DhcpSubnet(network, pool[0], pool[-1], routers=(server.address,))
    config = DhcpServerConfig((subnet,), lease_time=lease, ping=ping, ping_wait=PING)
    DhcpServer.on(server.stack, "eth0", config, server.now())
    return Lan(bench, server, seen, pool)


def expect_address(traced: TracedFrame, wanted: IPv4Address, why: str) -> None:
    """An answer gives the one address that it may."""
    if given(traced) != wanted:
        raise ExpectationFailed(
            f"{POINT}: {given(traced)} was offered in #{traced.number}, expected {wanted}: {why}"
        )


@AP01
@LAN
@drill(
    "offers a taken address",
    faults.python_stack(defects.dhcp.OFFERS_TAKEN, role="server"),
    caught="was offered in .*: another host has",
)
@drill(
    "forgets declines",
    faults.python_stack(defects.dhcp.FORGETS_DECLINES, role="server"),
    caught="expect none: dhcp.*came",
)
def test_only_what_nobody_has_is_offered(bench: Bench) -> None:
    bench.bring_up_network()
    with bench.capture("server--lan", POINT, "other--lan") as seen:
        lan = serve(bench, seen, size=3, ping=True)
        taken, free, last = lan.pool
        squatter = bench.host("other", StackConfig())
        squatter.add_address(f"{taken}/24")
        offer = lan.discover(1)
        expect_address(offer, free, f"another host has {taken}")
        wire = seen.at("server--lan").both.before(offer)
        wire.expect_sequence(
            match.arp(op="request", sender_mac=lan.server.mac, target_ip=taken),
            match.icmpv4(type=8) & match.ipv4(src=lan.server.address, dst=taken),
            match.icmpv4(type=0) & match.ipv4(src=taken),
            match.arp(op="request", sender_mac=lan.server.mac, target_ip=free),
        )
        lan.answer(1, lan.take(1, free), "ack")
        options = {
            dhcp.DhcpCode.REQUESTED_ADDRESS: free,
            dhcp.DhcpCode.SERVER_ID: lan.server.address,
        }
        lan.expect_silence(lan.ask(1, dhcp.DhcpType.DECLINE, options))
        expect_address(lan.discover(2), last, f"{free} was declined, {taken} is another host's")
        lan.expect_silence(lan.ask(3, dhcp.DhcpType.DISCOVER, {}))


@AP01
@LAN
@drill(
    "leases one address twice",
    faults.python_stack(defects.dhcp.LEASES_TWICE, role="server"),
    caught="was offered in .*: 198.18.0.100 is leased",
)
def test_no_address_is_given_twice(bench: Bench) -> None:
    bench.bring_up_network()
    with bench.capture(POINT) as seen:
        lan = serve(bench, seen, size=2, ping=False, lease=1)
        first = lan.lease(1)
        offer = lan.discover(2)
        second = lan.pool[1]
        expect_address(offer, second, f"{first} is leased")
        lan.answer(2, lan.take(2, second), "ack")
        expect_address(lan.discover(1), first, "a client is offered what it has")
        lan.expect_silence(lan.ask(3, dhcp.DhcpType.DISCOVER, {}))
        release = {dhcp.DhcpCode.SERVER_ID: lan.server.address}
        lan.expect_silence(lan.ask(2, dhcp.DhcpType.RELEASE, release, ciaddr=second))
        expect_address(lan.discover(3), second, "it was given back, and all others are leased")
        bench.watch_for(seconds(1))
        expect_address(lan.discover(4), first, "its lease is over, and all others are leased")


@AP01
@LAN
@drill(
    "never refuses",
    faults.python_stack(defects.dhcp.NEVER_REFUSES, role="server"),
    caught=r"dhcp\(type=nak.*did not come",
)
@drill(
    "takes requests to other servers",
    faults.python_stack(defects.dhcp.TAKES_OTHERS_REQUESTS, role="server"),
    caught="expect none: dhcp.*came",
)
def test_what_is_wrong_is_refused_and_what_is_others_is_left_alone(bench: Bench) -> None:
    bench.bring_up_network()
    with bench.capture(POINT) as seen:
        lan = serve(bench, seen, size=2, ping=False)
        rebooting = {dhcp.DhcpCode.REQUESTED_ADDRESS: IPv4Address("192.0.2.7")}
        lan.answer(1, lan.ask(1, dhcp.DhcpType.REQUEST, rebooting), "nak")
        rebooting = {dhcp.DhcpCode.REQUESTED_ADDRESS: lan.pool[1]}
        lan.expect_silence(lan.ask(1, dhcp.DhcpType.REQUEST, rebooting))

        offered = given(lan.discover(2))
        lan.expect_silence(lan.take(2, offered, IPv4Address("198.18.0.253")))
        leased = lan.lease(3), lan.lease(4)  # all there are: nothing is kept for client 2
        if set(leased) != set(lan.pool):
            raise ExpectationFailed(f"{POINT}: {leased} were leased, expected all of {lan.pool}")
        others = {dhcp.DhcpCode.REQUESTED_ADDRESS: leased[0]}
        lan.answer(4, lan.ask(4, dhcp.DhcpType.REQUEST, others), "nak")

        inform = lan.ask(9, dhcp.DhcpType.INFORM, {}, ciaddr=bench.bring_up_network()["client"].ip)
        told = seen.wait_for(POINT, match.dhcp(op="reply", type="ack", xid=inform))
        udp = dissect(told.data).udp
        if udp and dhcp.DhcpMessage.parse(udp.payload).get(dhcp.DhcpCode.LEASE_TIME) is not None:
            raise ExpectationFailed(f"{POINT}: #{told.number} answers an INFORM with a lease")
        seen.settle()
        seen.at(POINT).expect_none(match.dhcp(xid=inform, op="reply", yiaddr=lan.pool))
