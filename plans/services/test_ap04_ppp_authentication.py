"""A concentrator lets in who proves itself, by CHAP or PAP, and nobody else (RFC 1334, RFC 1994).

CHAP: a challenge is another each time, value and identifier (RFC 1994 2.3, 4.1); a response counts
if it has the challenge's identifier, and is silently discarded otherwise; the right one, the MD5 of
identifier, secret and challenge, is answered by a Success, a wrong one, be it nearly right, by a
Failure (4.2). One that comes again has the same answer again, as the first may have been lost (4.2,
and 2.2 for PAP). PAP: the right password is acked, a wrong one or an unknown name refused (RFC 1334
2.2). Until then the network layer waits: no IPCP (RFC 1661 3.5). Who fails has the link terminated,
and so has who will not be asked at all. A concentrator that is set to ask again does so, with
another challenge; who then fails is out (RFC 1994 2).

The hosts are the plan's own frames. Answers may take ``ppp_answer`` (seconds, 4).
"""

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
    TracedFrame,
    WireError,
    match,
    milliseconds,
    ppp,
    ppp_auth,
    ppp_control,
    seconds,
)

POINT = "client--dut"
PROTOCOL = ppp.PppProtocol
CODE = ppp_control.ControlCode
CHAP, PAP = ppp_auth.ChapCode, ppp_auth.PapCode
USER, SECRET = b"alice", b"wonderland"
QUIET, AGAIN = milliseconds(500), seconds(5)
IN = match.ppp(protocol="ipcp", code=CODE.CONFIGURE_REQUEST)

AP04 = pytest.mark.behaviour("AP-04", clause="RFC 1334 2.2, RFC 1994 4")
ALONE = pytest.mark.topology(Topology.chain("client:nic", "dut:server"))


def hosts(
    bench: Bench, seen: Capture, method: str, count: int, *, again: Duration | None = None
) -> list[PppPeer]:
    """Switch the concentrator on, with this way to authenticate; so many hosts with sessions."""
    service = PppoeService(
        IPv4Address("192.0.2.1"),
        IPv4Address("192.0.2.10"),
        IPv4Address("192.0.2.19"),
        authenticate=(method,),
        users={USER.decode(): SECRET.decode()},
        rechallenge=again,
    )
    bench.server("dut").serve_pppoe(bench.port("dut", toward="client"), service)
    found = []
    for number in range(1, count + 1):
        peer = PppPeer(bench, seen, POINT, MacAddr(b"\x02\0\0\0\x73" + bytes([number])))
        peer.dial()
        found.append(peer)
    return found


def within(bench: Bench) -> Duration:
    """How long an answer may take."""
    return seconds(bench.tolerance("ppp_answer", 4))


def chap(code: int | tuple[int, ...], ident: int | None = None) -> Matcher:
    """A CHAP packet."""
    return match.ppp(protocol="chap", code=code, ident=ident)


def challenged(peer: PppPeer) -> tuple[int, bytes]:
    """Open the link; the challenge's identifier and value."""
    demand = match.ppp(protocol="lcp", authentication=b"\xc2\x23\x05")
    peer.open_link()
    peer.seen.at(POINT).expect(demand & match.eth(dst=peer.mac))
    packet = peer.control(chap(CHAP.CHALLENGE), within(peer.bench))
    try:
        return packet.ident, ppp_auth.ChapValue.parse(packet.data).value
    except WireError as error:
        raise ExpectationFailed(f"{POINT}: the challenge cannot be read: {error}") from None


def respond(peer: PppPeer, ident: int, value: bytes, *, name: bytes = USER) -> None:
    """Send a response."""
    data = ppp_auth.ChapValue(value, name).emit()
    peer.send(PROTOCOL.CHAP, ppp_control.ControlPacket(CHAP.RESPONSE, ident, data))


def present(peer: PppPeer, password: bytes, *, name: bytes = USER) -> int:
    """Send a name and a password; the identifier."""
    ident = peer.new_ident()
    data = ppp_auth.PapRequest(name, password).emit()
    peer.send(PROTOCOL.PAP, ppp_control.ControlPacket(PAP.REQUEST, ident, data))
    return ident


def expect_again(seen: Capture, peer: PppPeer, answer: Matcher, first: TracedFrame) -> None:
    """The answer comes once more."""
    mine = answer & match.eth(dst=peer.mac)
    peer.bench.wait_until(
        lambda: bool(seen.at(POINT).after(first).all(mine)),
        within(peer.bench),
        "the answer to what came again",
    )


def expect_out(peer: PppPeer) -> None:
    """The link is terminated, and nothing of the network layer was seen."""
    terminate = match.ppp(protocol="lcp", code=CODE.TERMINATE_REQUEST)
    asked = peer.control(terminate, within(peer.bench))
    peer.send(PROTOCOL.LCP, ppp_control.ControlPacket(CODE.TERMINATE_ACK, asked.ident))
    peer.bench.watch_for(QUIET)
    expect_no_network(peer)


def expect_no_network(peer: PppPeer) -> None:
    """The concentrator has said nothing of IPCP to the host."""
    peer.seen.settle()
    peer.seen.at(POINT).expect_none(match.ppp(protocol="ipcp") & match.eth(dst=peer.mac))


@AP04
@ALONE
def test_chap_lets_in_who_has_the_secret(bench: Bench) -> None:
    bench.bring_up_network()
    with bench.capture(POINT) as seen:
        values = []
        for peer in hosts(bench, seen, "chap", 4):
            ident, value = challenged(peer)
            values.append(value)
            right = ppp_auth.chap_md5(ident, SECRET, value)
            respond(peer, (ident + 1) % 256, right)  # an answer to a challenge that never was
            bench.watch_for(QUIET)
            expect_no_network(peer)
            seen.at(POINT).expect_none(chap((CHAP.SUCCESS, CHAP.FAILURE)) & match.eth(dst=peer.mac))
            respond(peer, ident, right)
            first = peer.hear(chap(CHAP.SUCCESS, ident), within(bench))
            peer.hear(IN, within(bench))
            respond(peer, ident, right)
            expect_again(seen, peer, chap(CHAP.SUCCESS, ident), first)
    if len(set(values)) < len(values):
        told = ", ".join(value.hex() for value in values)
        raise ExpectationFailed(f"{POINT}: challenges {told}: expected each to be another one")


@AP04
@ALONE
def test_chap_lets_nobody_else_in(bench: Bench) -> None:
    bench.bring_up_network()
    with bench.capture(POINT) as seen:
        wrong = (
            (USER, b"looking-glass", 0),
            (b"bob", SECRET, 0),
            (b"bob", b"", 0),
            (b"", b"", 0),
            (USER, SECRET, 8),  # the right response, but for its second half
        )
        peers = hosts(bench, seen, "chap", len(wrong))
        for peer, (name, secret, spoiled) in zip(peers, wrong, strict=True):
            ident, value = challenged(peer)
            response = ppp_auth.chap_md5(ident, secret, value)
            respond(peer, ident, response[: 16 - spoiled] + bytes(spoiled), name=name)
            peer.hear(chap(CHAP.FAILURE, ident), within(bench))
            expect_out(peer)
    seen.at(POINT).expect_none(chap(CHAP.SUCCESS))


@AP04
@ALONE
def test_who_is_in_is_asked_again(bench: Bench) -> None:
    bench.bring_up_network()
    with bench.capture(POINT) as seen:
        (peer,) = hosts(bench, seen, "chap", 1, again=AGAIN)
        ident, value = challenged(peer)
        asked = [(ident, value)]
        for _ in range(3):
            respond(peer, ident, ppp_auth.chap_md5(ident, SECRET, value))
            peer.hear(chap(CHAP.SUCCESS, ident), within(bench))
            packet = peer.control(chap(CHAP.CHALLENGE), Duration(2 * AGAIN))
            ident, value = packet.ident, ppp_auth.ChapValue.parse(packet.data).value
            asked.append((ident, value))
        respond(peer, ident, ppp_auth.chap_md5(ident, b"looking-glass", value))
        peer.hear(chap(CHAP.FAILURE, ident), within(bench))
        peer.hear(match.ppp(protocol="lcp", code=CODE.TERMINATE_REQUEST), within(bench))
    for what, found in (("identifier", {i for i, _ in asked}), ("value", {v for _, v in asked})):
        if len(found) < len(asked):
            raise ExpectationFailed(
                f"{POINT}: {len(asked)} challenges in a row had {len(found)} {what}s, expected "
                "another one each time"
            )


@AP04
@ALONE
def test_pap_lets_in_who_has_the_password_and_nobody_else(bench: Bench) -> None:
    bench.bring_up_network()
    with bench.capture(POINT) as seen:
        wrong = (
            (USER, b"guess"),
            (b"bob", SECRET),
            (USER, b""),
            (USER, SECRET[:8]),
            (USER, SECRET[:8] + b"xx"),
            (USER, SECRET.upper()),
        )
        owner, *others = hosts(bench, seen, "pap", 1 + len(wrong))
        owner.open_link()
        ident = present(owner, SECRET)
        first = owner.hear(match.ppp(protocol="pap", code=PAP.ACK, ident=ident), within(bench))
        owner.hear(IN, within(bench))
        ident = present(owner, SECRET)
        expect_again(seen, owner, match.ppp(protocol="pap", code=PAP.ACK, ident=ident), first)
        for peer, (name, password) in zip(others, wrong, strict=True):
            peer.open_link()
            ident = present(peer, password, name=name)
            peer.hear(match.ppp(protocol="pap", code=PAP.NAK, ident=ident), within(bench))
            expect_out(peer)


@AP04
@ALONE
def test_who_will_not_be_asked_stays_out(bench: Bench) -> None:
    bench.bring_up_network()
    with bench.capture(POINT) as seen:
        (peer,) = hosts(bench, seen, "chap", 1)
        asked = peer.control(match.ppp(protocol="lcp", code=CODE.CONFIGURE_REQUEST))
        kept = [each for each in asked.options if each.kind == ppp_control.LcpOption.AUTHENTICATION]
        refuse = ppp_control.ControlPacket.configure(CODE.CONFIGURE_REJECT, asked.ident, kept)
        if not kept:
            raise ExpectationFailed(f"{POINT}: the link is asked for without authentication")
        peer.send(PROTOCOL.LCP, refuse)
        again = peer.control(match.ppp(protocol="lcp", code=(1, CODE.TERMINATE_REQUEST)))
        if again.code == CODE.CONFIGURE_REQUEST:
            ident = peer.new_ident()
            own = ppp_control.ControlPacket(CODE.CONFIGURE_REQUEST, ident)
            peer.send(PROTOCOL.LCP, own)
            ack = ppp_control.ControlPacket(CODE.CONFIGURE_ACK, again.ident, again.data)
            peer.send(PROTOCOL.LCP, ack)
        wish = ppp_control.ControlPacket(CODE.CONFIGURE_REQUEST, 200)
        peer.send(PROTOCOL.IPCP, wish)
        bench.watch_for(within(bench))
        expect_no_network(peer)
