"""An access concentrator answers hosts as RFC 2516 5 wants it, and gives each session a number.

A PADI for a service that it has, or for any, is answered by a PADO to that host alone, with the
service, the concentrator's name and no session; one for another service is not answered (5.1, 5.2).
Host-Uniq and Relay-Session-Id come back unchanged in every answer (appendix A). A PADR is answered
by a PADS with the service and a session of its own, not 0 or 0xffff (4, 5.4); one for a service
that there is not by a PADS of session 0 that says so. Where the offer had a cookie, a PADR without
it, as from one who invents addresses, gets no session (9).

The hosts are frames that the plan makes itself. An answer may take ``pppoe_answer`` (seconds, 4).
"""

from ipaddress import IPv4Address

import pytest

from testbed import (
    Bench,
    Capture,
    Duration,
    ExpectationFailed,
    MacAddr,
    PppoeService,
    PppPeer,
    Topology,
    TracedFrame,
    dissect,
    match,
    milliseconds,
    pppoe,
    seconds,
)

POINT = "client--dut"
GOLD = b"gold"
RELAY = pppoe.PppoeTag(pppoe.TagType.RELAY_SESSION_ID, b"relay-0815")
SERVICE = PppoeService(
    IPv4Address("192.0.2.1"),
    IPv4Address("192.0.2.10"),
    IPv4Address("192.0.2.19"),
    name="plan-ac",
    services=("gold", "silver"),
)
QUIET = milliseconds(500)

AP05 = pytest.mark.behaviour("AP-05", clause="RFC 2516 5")
ALONE = pytest.mark.topology(Topology.chain("client:nic", "dut:server"))


def peers(bench: Bench, seen: Capture, count: int) -> list[PppPeer]:
    """Switch the concentrator on; so many hosts."""
    port = bench.port("dut", toward="client")
    dut = bench.server("dut")
    dut.serve_pppoe(port, SERVICE)
    macs = [MacAddr(b"\x02\0\0\0\x70" + bytes([number])) for number in range(1, count + 1)]
    found = [PppPeer(bench, seen, POINT, mac) for mac in macs]
    for peer in found:
        peer.server = dut.mac(port)
    return found


def within(bench: Bench) -> Duration:
    """How long an answer may take."""
    return seconds(bench.tolerance("pppoe_answer", 4))


def packet(traced: TracedFrame) -> pppoe.PppoePacket:
    """The PPPoE packet of a frame."""
    return pppoe.PppoePacket.parse(dissect(traced.data).payload)


@AP05
@ALONE
def test_hosts_are_answered_for_what_there_is(bench: Bench) -> None:
    bench.bring_up_network()
    with bench.capture(POINT) as seen:
        peer, other = peers(bench, seen, 2)
        for service in (b"", GOLD):
            peer.ask(service, RELAY)
            offer = peer.hear(
                match.pppoe(
                    code="pado", session=0, service=service, host_uniq=peer.uniq, error=False
                ),
                within(bench),
            )
            names = {tag.data for tag in packet(offer).tags if tag.kind == 0x0101}
            if not {GOLD, b"silver"} <= names:
                raise ExpectationFailed(
                    f"{POINT}: #{offer.number} offers {sorted(names)}, expected gold and silver"
                )
        for near in (b"bronze", b"go", b"golden", b"GOLD"):
            other.ask(near)
        bench.watch_for(QUIET)
        seen.settle()
    view = seen.at(POINT)
    view.expect_none(match.pppoe(code="pado") & match.eth(dst=other.mac))
    view.expect_none(match.pppoe(code="pado") & ~match.eth(dst=peer.mac, src=peer.server))
    view.expect_count(
        match.pppoe(code="pado", ac_name=b"plan-ac", relay=RELAY.data) & match.eth(dst=peer.mac), 2
    )


@AP05
@ALONE
def test_each_host_gets_a_session_of_its_own(bench: Bench) -> None:
    bench.bring_up_network()
    with bench.capture(POINT) as seen:
        granted = []
        for peer in peers(bench, seen, 3):
            peer.ask(GOLD)
            offer = peer.hear(match.pppoe(code="pado", service=GOLD), within(bench))
            peer.request(offer, GOLD, RELAY)
            confirmed = peer.hear(
                match.pppoe(
                    code="pads",
                    session=range(1, 0xFFFF),
                    service=GOLD,
                    host_uniq=peer.uniq,
                    relay=RELAY.data,
                    error=False,
                )
                & match.eth(src=peer.server),
                within(bench),
            )
            granted.append(packet(confirmed).session)
        seen.settle()
    if len(set(granted)) < len(granted):
        raise ExpectationFailed(
            f"{POINT}: sessions {granted} were granted, expected no number twice"
        )
    held = sorted(session.ident for session in bench.server("dut").pppoe_sessions())
    if held != sorted(granted):
        raise ExpectationFailed(f"dut: it has the sessions {held}, granted were {sorted(granted)}")


@AP05
@ALONE
def test_no_session_for_strangers_or_for_what_there_is_not(bench: Bench) -> None:
    bench.bring_up_network()
    with bench.capture(POINT) as seen:
        peer, forger = peers(bench, seen, 2)
        peer.ask()
        offer = peer.hear(match.pppoe(code="pado"), within(bench))
        peer.request(offer, b"bronze")
        peer.hear(
            match.pppoe(code="pads", session=0, host_uniq=peer.uniq, error=True)
            & match.where(refuses_service, "a Service-Name-Error"),
            within(bench),
        )
        if packet(offer).tag(pppoe.TagType.AC_COOKIE) is not None:
            forger.request(offer)  # the cookie is another host's
        bench.watch_for(QUIET)
        seen.settle()
    seen.at(POINT).expect_none(match.pppoe(code="pads", session=range(1, 0x10000)))


@AP05
@ALONE
def test_what_is_for_another_concentrator_is_left_to_it(bench: Bench) -> None:
    bench.bring_up_network()
    with bench.capture(POINT) as seen:
        (peer,) = peers(bench, seen, 1)
        peer.ask(GOLD)
        offer = peer.hear(match.pppoe(code="pado"), within(bench))
        peer.server = MacAddr("02:00:00:00:70:ac")
        peer.request(offer, GOLD)
        bench.watch_for(QUIET)
        seen.settle()
    seen.at(POINT).expect_none(match.pppoe(code="pads"))


def refuses_service(data: bytes) -> bool:
    """Whether a frame has the tag that says that there is no such service."""
    held = pppoe.PppoePacket.parse(dissect(data).payload)
    return held.tag(pppoe.TagType.SERVICE_NAME_ERROR) is not None
