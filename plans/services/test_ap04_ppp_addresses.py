"""PPP gives each host an address of its own, and carries IP once both agree on it (RFC 1332 3.3).

A host that asks for 0.0.0.0 is told its address by a Configure-Nak, and so is one that asks for
another address than it is given; what is acked is the address that was told, and nothing else. Each
host has another one, of those that the concentrator has. The concentrator says which address is its
own, and answers there; an address whose host has gone is given out again.

Hosts that do right are Python stacks' PPP, the others the plan's own frames. Answers may take
``ppp_answer`` (seconds, 4).
"""

from ipaddress import IPv4Address

import pytest

from testbed import (
    Bench,
    Capture,
    Duration,
    EchoRequest,
    ExpectationFailed,
    IPv4Packet,
    MacAddr,
    PppoeService,
    PppPeer,
    Topology,
    dissect,
    match,
    ppp,
    ppp_control,
    pppoe,
    seconds,
)

POINT = "client--dut"
PROTOCOL = ppp.PppProtocol
CODE = ppp_control.ControlCode
ADDRESS = ppp_control.IpcpOption.ADDRESS
AC = IPv4Address("192.0.2.1")
POOL = tuple(IPv4Address(f"192.0.2.{number}") for number in (10, 11, 12))
SERVICE = PppoeService(AC, POOL[0], POOL[-1])
NOBODY = IPv4Address(0)
OTHERS = IPv4Address("203.0.113.77")

AP04 = pytest.mark.behaviour("AP-04", clause="RFC 1332 3.3")
ALONE = pytest.mark.topology(Topology.chain("client:nic", "dut:server"))


def hosts(bench: Bench, seen: Capture, count: int) -> list[PppPeer]:
    """Switch the concentrator on; so many hosts, without sessions."""
    bench.server("dut").serve_pppoe(bench.port("dut", toward="client"), SERVICE)
    macs = [MacAddr(b"\x02\0\0\0\x74" + bytes([number])) for number in range(1, count + 1)]
    return [PppPeer(bench, seen, POINT, mac) for mac in macs]


def within(bench: Bench) -> Duration:
    """How long an answer may take."""
    return seconds(bench.tolerance("ppp_answer", 4))


def open_ip(peer: PppPeer, wish: IPv4Address = NOBODY) -> IPv4Address:
    """Get a session, a link, and an address, after wishing for one; the address."""
    peer.dial()
    peer.open_link()
    ipcp = match.ppp(protocol="ipcp")
    asked = peer.control(ipcp & match.ppp(code=CODE.CONFIGURE_REQUEST, address=AC))
    ack = ppp_control.ControlPacket(CODE.CONFIGURE_ACK, asked.ident, asked.data)
    peer.send(PROTOCOL.IPCP, ack)
    ident = ask(peer, wish)
    nak = ipcp & match.ppp(code=CODE.CONFIGURE_NAK, ident=ident, address=POOL)
    told = peer.control(nak, within(peer.bench))
    given = next(IPv4Address(each.data) for each in told.options if each.kind == ADDRESS)
    ident = ask(peer, given)
    granted = ipcp & match.ppp(code=CODE.CONFIGURE_ACK, ident=ident, address=given)
    peer.hear(granted, within(peer.bench))
    return given


def ask(peer: PppPeer, address: IPv4Address) -> int:
    """Ask for an address; the identifier."""
    ident = peer.new_ident()
    options = [ppp_control.PppOption.address(ADDRESS, address)]
    packet = ppp_control.ControlPacket.configure(CODE.CONFIGURE_REQUEST, ident, options)
    peer.send(PROTOCOL.IPCP, packet)
    return ident


def expect_answer(peer: PppPeer, address: IPv4Address) -> None:
    """The concentrator answers a ping over the link."""
    message = EchoRequest(0x7401, 1, peer.mac.packed).emit()
    peer.send(PROTOCOL.IPV4, IPv4Packet(address, AC, 1, message).emit())
    answer = peer.hear(match.ppp(protocol="ipv4", session=peer.session), within(peer.bench))
    packet = pppoe.PppoePacket.parse(dissect(answer.data).payload)
    inner = IPv4Packet.parse(ppp.PppFrame.parse(packet.payload).information)
    if (inner.src, inner.dst, inner.payload[:1]) != (AC, address, b"\0"):
        raise ExpectationFailed(
            f"{POINT}: #{answer.number} is from {inner.src} to {inner.dst}, expected the answer to "
            f"a ping of {address}"
        )


@AP04
@ALONE
def test_each_host_is_given_an_address(bench: Bench) -> None:
    bench.bring_up_network()
    with bench.capture(POINT) as seen:
        given = []
        for peer, wish in zip(hosts(bench, seen, 3), (NOBODY, OTHERS, NOBODY), strict=True):
            given.append(open_ip(peer, wish))
            expect_answer(peer, given[-1])
        seen.settle()
    if set(given) != set(POOL):
        told = ", ".join(map(str, given))
        raise ExpectationFailed(f"{POINT}: {told} were given, expected each of {POOL} once")
    for never in (NOBODY, OTHERS):
        seen.at(POINT).expect_none(
            match.ppp(protocol="ipcp", code=CODE.CONFIGURE_ACK, address=never)
        )


@AP04
@ALONE
def test_an_address_is_given_out_again(bench: Bench) -> None:
    bench.bring_up_network()
    with bench.capture(POINT) as seen:
        first, *more = hosts(bench, seen, 4)
        left = open_ip(first)
        first.discover(pppoe.PppoeCode.PADT, (), session=first.session)
        given = {open_ip(peer) for peer in more}
        if left not in given or len(given) != len(POOL):
            raise ExpectationFailed(
                f"{POINT}: {sorted(given)} were given to three hosts, expected all of {POOL}, for "
                f"{left} is nobody's any more"
            )
