"""PPP's link control: opened by agreement, probed by echoes, closed in an orderly way (RFC 1661).

What a Configure-Request asks for is answered under its identifier: an Ack repeats the options as
they came (5.2), a Reject those that are not known, unchanged and in their order (5.4). Once a link
is open an Echo-Request is answered with its identifier, its data, and the magic number of the one
who answers (5.8), and no packet is longer than the peer's MRU (6.1). A host that answers echoes
stays, one that leaves six in a row unanswered is given up: five or six are common, no clause says
it. A code or a protocol that is not known is told so, with what was refused (5.6, 5.7). A
Terminate-Request is acked, and nothing else is sent on the link from then on (5.5).

The plan speaks PPP over Ethernet, where a frame is as long as its length field says: bit and byte
stuffing (RFC 1662) have no place there, and are the business of the wire formats' own tests. The
host is the plan's own frames. Answers are due at once; ``ppp_answer`` (seconds, 4) is for those who
wait for their Restart timer of 3 s (4.6) before they try again.
"""

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from testbed import (
    Bench,
    Capture,
    Duration,
    ExpectationFailed,
    MacAddr,
    Matcher,
    PppoeService,
    PppPeer,
    Topology,
    WireError,
    match,
    milliseconds,
    ppp,
    ppp_control,
    seconds,
)

POINT = "client--dut"
PROTOCOL = ppp.PppProtocol
CODE = ppp_control.ControlCode
OPTION = ppp_control.LcpOption
SERVICE = PppoeService(
    IPv4Address("192.0.2.1"), IPv4Address("192.0.2.10"), IPv4Address("192.0.2.19")
)
HOST = MacAddr("02:00:00:00:72:01")
QUIET, ECHO, FAILURES = milliseconds(500), seconds(1), 6
STRANGE = (
    ppp_control.PppOption(OPTION.FCS_ALTERNATIVES, b"\x04"),
    ppp_control.PppOption(0x4D, b"who knows"),
)
"""Options that no concentrator negotiates: RFC 2516 7 forbids the first, the other is nobody's."""
NOBODYS = 0x7E57
"""A protocol's number that was never assigned."""

AP04 = pytest.mark.behaviour("AP-04", clause="RFC 1661 5, 6")
ALONE = pytest.mark.topology(Topology.chain("client:nic", "dut:server"))


def host(bench: Bench, seen: Capture, service: PppoeService = SERVICE) -> PppPeer:
    """Switch the concentrator on; a host with a session."""
    port = bench.port("dut", toward="client")
    bench.server("dut").serve_pppoe(port, service)
    peer = PppPeer(bench, seen, POINT, HOST)
    peer.dial()
    return peer


def lcp(code: int, ident: int) -> Matcher:
    """An LCP packet from the concentrator."""
    return match.ppp(protocol="lcp", code=code, ident=ident)


def request(peer: PppPeer, *options: ppp_control.PppOption) -> int:
    """Ask for options; the identifier."""
    ident = peer.new_ident()
    packet = ppp_control.ControlPacket.configure(CODE.CONFIGURE_REQUEST, ident, options)
    peer.send(PROTOCOL.LCP, packet)
    return ident


@AP04
@ALONE
def test_options_are_answered_one_by_one(bench: Bench) -> None:
    bench.bring_up_network()
    within = seconds(bench.tolerance("ppp_answer", 4))
    with bench.capture(POINT) as seen:
        peer = host(bench, seen)
        mru = ppp_control.PppOption.number(OPTION.MRU, 1492, 2)
        magic = ppp_control.PppOption.number(OPTION.MAGIC, peer.magic, 4)
        ident = request(peer, STRANGE[0], mru, STRANGE[1])
        whole = ppp_control.emit_ppp_options(STRANGE)
        peer.hear(lcp(CODE.CONFIGURE_REJECT, ident) & match.ppp(data=whole), within)
        ident = request(peer, magic, mru)
        whole = ppp_control.emit_ppp_options((magic, mru))
        peer.hear(lcp(CODE.CONFIGURE_ACK, ident) & match.ppp(data=whole), within)
        seen.settle()
    answers = match.ppp(protocol="lcp", code=(2, 3, 4)) & match.eth(dst=HOST)
    seen.at(POINT).expect_count(answers, 2)


@AP04
@ALONE
def test_echoes_are_answered_and_the_mru_is_kept(bench: Bench) -> None:
    bench.bring_up_network()
    within = seconds(bench.tolerance("ppp_answer", 4))
    mru = 200
    with bench.capture(POINT) as seen:
        peer = host(bench, seen)
        asked = peer.open_link(mru=mru)
        theirs = magic_of(asked)
        for data in (b"", b"is anybody there?", bytes(range(128))):
            ident = peer.new_ident()
            packet = ppp_control.ControlPacket.echo(CODE.ECHO_REQUEST, ident, peer.magic, data)
            peer.send(PROTOCOL.LCP, packet)
            wanted = match.ppp(magic=theirs, data=theirs.to_bytes(4, "big") + data)
            peer.hear(lcp(CODE.ECHO_REPLY, ident) & wanted, within)
        large = ppp_control.ControlPacket.echo(CODE.ECHO_REQUEST, 200, peer.magic, bytes(1000))
        peer.send(PROTOCOL.LCP, large)
        unknown = ppp_control.ControlPacket(0x77, 201, bytes(1000))
        peer.send(PROTOCOL.LCP, unknown)
        bench.watch_for(QUIET)
        seen.settle()
    seen.at(POINT).expect_none(match.ppp(length=range(mru + 1, 0x10000)) & match.eth(dst=HOST))


def magic_of(asked: ppp_control.ControlPacket) -> int:
    """The magic number that a Configure-Request tells; 0 without (RFC 1661 6.4)."""
    try:
        found = [each.value for each in asked.options if each.kind == OPTION.MAGIC]
    except WireError as error:
        raise ExpectationFailed(f"{POINT}: its Configure-Request has no options: {error}") from None
    return found[0] if found else 0


@AP04
@ALONE
def test_who_answers_echoes_stays_and_who_does_not_goes(bench: Bench) -> None:
    bench.bring_up_network()
    service = replace(SERVICE, echo=ECHO)
    with bench.capture(POINT) as seen:
        peer = host(bench, seen, service)
        peer.open_link()
        for _ in range(FAILURES + 2):
            probe = match.ppp(protocol="lcp", code=CODE.ECHO_REQUEST)
            asked = peer.control(probe, Duration(2 * ECHO))
            data = peer.magic.to_bytes(4, "big") + asked.data[4:]
            answer = ppp_control.ControlPacket(CODE.ECHO_REPLY, asked.ident, data)
            peer.send(PROTOCOL.LCP, answer)
        seen.settle()
        end = match.pppoe(code="padt") | match.ppp(protocol="lcp", code=CODE.TERMINATE_REQUEST)
        seen.at(POINT).expect_none(end & match.eth(dst=HOST))
        peer.hear(end, Duration((FAILURES + 2) * ECHO))


@AP04
@ALONE
def test_what_is_not_known_is_rejected(bench: Bench) -> None:
    bench.bring_up_network()
    within = seconds(bench.tolerance("ppp_answer", 4))
    with bench.capture(POINT) as seen:
        peer = host(bench, seen)
        peer.open_link()
        unknown = ppp_control.ControlPacket(0x77, 77, b"a code of the future")
        peer.send(PROTOCOL.LCP, unknown)
        code = match.ppp(protocol="lcp", code=CODE.CODE_REJECT, data=unknown.emit())
        peer.hear(code, within)
        strange = ppp_control.ControlPacket(CODE.CONFIGURE_REQUEST, 78).emit()
        peer.send(NOBODYS, strange)
        refused = NOBODYS.to_bytes(2, "big") + strange
        protocol = match.ppp(protocol="lcp", code=CODE.PROTOCOL_REJECT, data=refused)
        peer.hear(protocol, within)
        seen.settle()
    seen.at(POINT).expect_count(code, 1)
    seen.at(POINT).expect_count(protocol, 1)


@AP04
@ALONE
def test_a_link_is_closed_when_it_is_asked_for(bench: Bench) -> None:
    bench.bring_up_network()
    within = seconds(bench.tolerance("ppp_answer", 4))
    with bench.capture(POINT) as seen:
        peer = host(bench, seen)
        peer.open_link()
        ident = peer.new_ident()
        goodbye = ppp_control.ControlPacket(CODE.TERMINATE_REQUEST, ident, b"goodbye")
        peer.send(PROTOCOL.LCP, goodbye)
        acked = peer.hear(lcp(CODE.TERMINATE_ACK, ident), within)
        echo = ppp_control.ControlPacket.echo(CODE.ECHO_REQUEST, 99, peer.magic)
        peer.send(PROTOCOL.LCP, echo)
        bench.watch_for(within)
        seen.settle()
    seen.at(POINT).after(acked).expect_none(match.ppp() & match.eth(dst=HOST))
