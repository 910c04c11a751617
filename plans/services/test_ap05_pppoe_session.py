"""A PPPoE session carries PPP of 1492 bytes at most, under its number, until a PADT ends it.

The concentrator asks for an MRU of 1492 or less, and says so, for without the option 1500 is meant
(RFC 1661 6.1); a host's wish for more is not acked ("MUST NOT be negotiated to a larger size than
1492", RFC 2516 7). A packet of 1492 bytes then gets through in one frame, both ways. Each of its
frames has the session's number and Ethertype 0x8864 (4, 6). Frames of another session's number, or
of another host with the right one, are not its: number and both addresses define a session (4).

A PADT ends the session at once: nothing is sent in it after that (5.5). When PPP has ended in an
orderly way, the concentrator gives the session up, and says so by a PADT; by the letter it may, and
common ones do.

The host that does right is a Python stack; those that do not are the plan's own frames.
"""

from ipaddress import IPv4Address

import pytest

from testbed import (
    Bench,
    EchoRequest,
    ExpectationFailed,
    IPv4Packet,
    MacAddr,
    Matcher,
    PppoeConfig,
    PppoeHost,
    PppoeService,
    PppPeer,
    StackConfig,
    Topology,
    dissect,
    match,
    milliseconds,
    ppp,
    ppp_control,
    pppoe,
    seconds,
)

POINT = "client--dut"
LCP = ppp.PppProtocol.LCP
CODE = ppp_control.ControlCode
PADT = pppoe.PppoeCode.PADT
AC = IPv4Address("192.0.2.1")
SERVICE = PppoeService(AC, IPv4Address("192.0.2.10"), IPv4Address("192.0.2.19"))
ONE, TWO = MacAddr("02:00:00:00:71:01"), MacAddr("02:00:00:00:71:02")
SOON = seconds(4)
QUIET = milliseconds(500)

AP05 = pytest.mark.behaviour("AP-05", clause="RFC 2516 5.5, 6, 7")
ALONE = pytest.mark.topology(Topology.chain("client:nic", "dut:server"))


def serve(bench: Bench) -> MacAddr:
    """Switch the concentrator on; its MAC address."""
    bench.bring_up_network()
    port = bench.port("dut", toward="client")
    bench.server("dut").serve_pppoe(port, SERVICE)
    return bench.server("dut").mac(port)


def echo(peer: PppPeer, data: bytes = b"") -> int:
    """Send an LCP Echo-Request; its identifier."""
    ident = peer.new_ident()
    request = ppp_control.ControlPacket.echo(CODE.ECHO_REQUEST, ident, peer.magic, data)
    peer.send(LCP, request)
    return ident


def reply(ident: int, mac: MacAddr) -> Matcher:
    """The answer to an Echo-Request."""
    return match.ppp(protocol="lcp", code=CODE.ECHO_REPLY, ident=ident) & match.eth(dst=mac)


@AP05
@ALONE
def test_no_more_than_1492_bytes_are_agreed_upon(bench: Bench) -> None:
    serve(bench)
    with bench.capture(POINT) as seen:
        peer = PppPeer(bench, seen, POINT, ONE)
        peer.dial()
        asked = peer.hear(match.ppp(protocol="lcp", code=CODE.CONFIGURE_REQUEST))
        if not match.ppp(mru=range(64, 1493))(asked.data):
            raise ExpectationFailed(
                f"{POINT}: #{asked.number} asks for no MRU of 1492 or less, so that 1500 bytes may "
                "be sent to it, which no frame of a session holds"
            )
        ident = peer.new_ident()
        wish = ppp_control.PppOption.number(ppp_control.LcpOption.MRU, 1500, 2)
        peer.send(LCP, ppp_control.ControlPacket.configure(CODE.CONFIGURE_REQUEST, ident, [wish]))
        answer = match.ppp(protocol="lcp", ident=ident)
        refused = answer & match.ppp(code=(CODE.CONFIGURE_NAK, CODE.CONFIGURE_REJECT))
        peer.hear(refused & ~match.ppp(code=CODE.CONFIGURE_NAK, mru=range(1493, 0x10000)), SOON)
        seen.settle()
    seen.at(POINT).expect_none(answer & match.ppp(code=CODE.CONFIGURE_ACK))


@AP05
@ALONE
def test_large_packets_go_through_in_one_frame(bench: Bench) -> None:
    server = serve(bench)
    client = bench.host("client", StackConfig())
    with bench.capture(POINT) as seen:
        host = PppoeHost(client.stack, "eth0", PppoeConfig())
        host.open(client.now())
        client.flush()
        granted = seen.wait_for(POINT, match.pppoe(code="pads", session=range(1, 0xFFFF)))
        session = pppoe.PppoePacket.parse(dissect(granted.data).payload).session
        seen.wait_for(POINT, match.ppp(protocol="ipcp", code=CODE.CONFIGURE_ACK), SOON)
        bench.wait_until(lambda: host.up, SOON, "the client's PPP link")
        ping(host, client.now(), size=1492)
        client.flush()
        seen.wait_for(POINT, match.ppp(protocol="ipv4", length=1492, session=session))
        seen.settle()
    view = seen.at(POINT).after(granted)
    view.expect_none(match.pppoe(code="session") & ~match.pppoe(session=session))
    view.expect_none(match.pppoe() & ~match.eth(src=server, dst=client.mac))


def ping(host: PppoeHost, now: object, *, size: int) -> None:
    """Send a packet of so many bytes to the concentrator, over PPP."""
    if host.face is None:
        raise ExpectationFailed(f"{POINT}: there is no PPP link to send over")
    link = host.face.link
    message = EchoRequest(0x7105, 1, bytes(size - 28)).emit()
    link.send_ip(IPv4Packet(link.ipcp.local, AC, 1, message).emit(), now)  # type: ignore[arg-type]


@AP05
@ALONE
def test_a_session_is_one_hosts_and_one_numbers(bench: Bench) -> None:
    server = serve(bench)
    with bench.capture(POINT) as seen:
        peer, thief = PppPeer(bench, seen, POINT, ONE), PppPeer(bench, seen, POINT, TWO)
        thief.server = server
        number = peer.dial()
        peer.open_link()
        peer.hear(reply(echo(peer), ONE), SOON)
        thief.session = number
        wrong = [match.eth(dst=TWO), reply(echo(thief), ONE)]
        thief.discover(PADT, (), session=number)
        peer.session = number + 1
        wrong.append(reply(echo(peer), ONE))
        peer.session = number
        bench.watch_for(QUIET)
        peer.hear(reply(echo(peer), ONE), SOON)
        seen.settle()
    for matcher in wrong:
        seen.at(POINT).expect_none(match.pppoe() & matcher)


@AP05
@ALONE
def test_nothing_is_sent_after_a_padt(bench: Bench) -> None:
    serve(bench)
    with bench.capture(POINT) as seen:
        peer = PppPeer(bench, seen, POINT, ONE)
        peer.dial()
        peer.open_link()
        last = peer.hear(reply(echo(peer), ONE), SOON)
        peer.discover(PADT, (), session=peer.session)
        echo(peer)
        bench.watch_for(SOON)  # longer than a Restart timer: nor is anything sent again
        seen.settle()
        seen.at(POINT).after(last).expect_none(match.ppp())
        again = peer.dial()
        seen.settle()
    held = [each.ident for each in bench.server("dut").pppoe_sessions()]
    if held != [again]:
        raise ExpectationFailed(f"dut: it has the sessions {held}, expected {again} alone")


@AP05
@ALONE
def test_the_session_ends_when_ppp_has(bench: Bench) -> None:
    serve(bench)
    with bench.capture(POINT) as seen:
        peer = PppPeer(bench, seen, POINT, ONE)
        peer.dial()
        peer.open_link()
        ident = peer.new_ident()
        peer.send(LCP, ppp_control.ControlPacket(CODE.TERMINATE_REQUEST, ident))
        peer.hear(match.ppp(protocol="lcp", code=CODE.TERMINATE_ACK, ident=ident), SOON)
        peer.hear(match.pppoe(code="padt", session=peer.session), SOON)
        seen.settle()
    if held := bench.server("dut").pppoe_sessions():
        raise ExpectationFailed(f"dut: it still has {held}, which ended in an orderly way")
