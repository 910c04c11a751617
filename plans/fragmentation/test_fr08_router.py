"""A router that is flooded with fragments holds so many, and forwards on.

Fragments of ``SETS`` datagrams for the router itself come, each of which lacks its end: more bytes
than any router has buffers for. All through the flood packets cross it, whole ones and fragments,
and it answers when it is asked, each time (RFC 1812 5.3.13.2 has nothing reassembled on its way).
Then the ends come: those sets that the router still holds are answered, and they are not all of
them. Once the time of what is held is over (RFC 1122 3.3.2: 60 to 120 s), a datagram in fragments
is answered, too.
"""

import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

import pytest

from testbed import (
    Bench,
    Capture,
    EchoRequest,
    EthFrame,
    ExpectationFailed,
    IPv4Packet,
    Matcher,
    Topology,
    UdpDatagram,
    compose,
    drill,
    enclose,
    faults,
    fragment,
    match,
    seconds,
)

PORT, LARGE_PORT = 41800, 41900
"""Of ordinary datagrams that cross the router, whole and in two fragments."""
SETS, SIZE = 5000, 1400
EVERY = 100
"""Sets of the flood for one of each kind of ordinary packets."""
ASKS = SETS // EVERY
FLOOD, OWN, LARGE = 0x0808, 0x0809, 0x080A
"""Identifiers of echo requests: of the flood, of ordinary ones, of the one in fragments."""
BODY = bytes(at * 7 % 251 for at in range(SIZE))
HUGE = bytes(at * 7 % 251 for at in range(60_000))
HELD_AT_MOST, BETWEEN = seconds(125), seconds(5)


def inject(bench: Bench, *packets: IPv4Packet) -> None:
    """Hand the router packets, as they are."""
    a = bench.bring_up_network()["a"]
    for each in packets:
        bench.nic("a").inject(compose(EthFrame(a.gateway_mac, a.mac), each, pad=True))


def halves(packet: IPv4Packet) -> tuple[IPv4Packet, IPv4Packet]:
    """A packet without its last bytes, and those."""
    cut = (len(packet.payload) - 1) & ~7
    return (
        replace(packet, mf=True, payload=packet.payload[:cut]),
        replace(packet, offset=cut, payload=packet.payload[cut:]),
    )


def set_of(bench: Bench, number: int) -> tuple[IPv4Packet, IPv4Packet]:
    """One datagram of the flood, an echo request, in two fragments."""
    net = bench.bring_up_network()
    there = IPv4Packet(net["a"].ip, net.at("dut", "a--dut").ip, ident=number)
    return halves(enclose(there, EchoRequest(FLOOD, number, BODY)))


def came(seen: Capture, leaf: str, what: Matcher) -> Callable[[], bool]:
    """Whether a frame has come to a leaf."""
    return lambda: bool(seen.at(f"{leaf}--dut").all(what))


def serve(bench: Bench, seen: Capture, number: int) -> None:
    """Send ordinary packets, and wait until they are through; that they are is judged later."""
    net = bench.bring_up_network()
    across = IPv4Packet(net["a"].ip, net["b"].ip, ident=number + 1)
    inject(bench, enclose(across, UdpDatagram(PORT + number, PORT, b"to b")))
    whole = enclose(across, UdpDatagram(LARGE_PORT + number, PORT, BODY[:600]))
    inject(bench, *fragment(replace(whole, ident=SETS + number), 400))
    own = IPv4Packet(net["a"].ip, net.at("dut", "a--dut").ip, ident=number + 1)
    inject(bench, enclose(own, EchoRequest(OWN, number, b"to the router")))
    answer = match.icmpv4(type=0, ident=OWN, seq=number)
    with suppress(ExpectationFailed):
        bench.wait_until(came(seen, "a", answer), seconds(0.3))
        bench.wait_until(came(seen, "b", match.udp(src_port=PORT + number)), seconds(0.3))


def flood(bench: Bench, seen: Capture) -> None:
    """Send all sets without their ends, and ordinary packets between them; these are served."""
    for number in range(SETS):
        inject(bench, set_of(bench, number)[0])
        if number % EVERY == 0:
            serve(bench, seen, number // EVERY)
    bench.watch_for(seconds(0.1))
    net = bench.bring_up_network()
    across = match.ipv4(src=net["a"].ip, dst=net["b"].ip, ttl=63, bad_checksum=False)
    ports = range(PORT, PORT + ASKS)
    large = across & match.ipv4(ident=range(SETS, SETS + ASKS), fragment=True)
    answers = match.icmpv4(type=0, ident=OWN, data=b"to the router", bad_checksum=False)
    for what, leaf, matcher, wanted in (
        ("ordinary datagrams crossed the router", "b", across & match.udp(src_port=ports), ASKS),
        ("fragments crossed the router", "b", large, 2 * ASKS),
        ("ordinary echo requests were answered", "a", answers, ASKS),
    ):
        count = len(seen.at(f"{leaf}--dut").all(matcher))
        if count != wanted:
            raise ExpectationFailed(
                f"{leaf}--dut: {count} of {wanted} {what} while it was flooded, expected all"
            )


@pytest.mark.behaviour("FR-08", clause="RFC 1122 3.3.2")
@pytest.mark.topology(Topology.star("dut:router", "a", "b"))
@drill(
    "takes a flood for a reason to forward nothing",
    faults.nft(
        "type filter hook forward priority 0;",
        "ip protocol udp limit rate over 1/second burst 5 packets drop",
    ),
    caught="[0-9]+ of 50 ordinary datagrams crossed the router",
)
@drill(
    "takes a flood for a reason to hear nothing",
    faults.nft(
        "type filter hook input priority 0;",
        "icmp type echo-request ip length < 100 limit rate over 1/second burst 5 packets drop",
    ),
    caught="[0-9]+ of 50 ordinary echo requests were answered",
)
def test_flooded_router_forwards_and_holds_no_more_than_so_much(bench: Bench) -> None:
    try:
        held = held_after_flood(bench)
    finally:
        room = finds_room(bench)  # also so that the next plan gets a router with room
    if held == SETS:
        raise ExpectationFailed(
            f"a--dut: the router held all of {SETS} incomplete datagrams, {SETS * SIZE} bytes, "
            "expected a bound"
        )
    if not room:
        raise ExpectationFailed(
            f"a--dut: no answer to {len(HUGE)} bytes in fragments, though the flood is over and "
            "the time of what was held as well"
        )
    bench.log(f"the router held {held} of {SETS} incomplete datagrams of {SIZE} bytes")


def held_after_flood(bench: Bench) -> int:
    """How many sets of the flood are answered when their ends come."""
    with bench.capture() as seen:
        flood(bench, seen)
        for first in range(0, SETS, EVERY):  # no more at a time than buffers hold
            for number in range(first, first + EVERY):
                inject(bench, set_of(bench, number)[1])
            serve(bench, seen, ASKS + first // EVERY)
        seen.settle()
    return len(seen.at("a--dut").all(match.icmpv4(type=0, ident=FLOOD) & match.ipv4(offset=0)))


def finds_room(bench: Bench) -> bool:
    """Whether the router takes large datagrams once the time of what it holds is over."""
    net = bench.bring_up_network()
    a, dut = net["a"].ip, net.at("dut", "a--dut").ip
    until = bench.loop.now() + HELD_AT_MOST
    with bench.capture("a--dut") as seen:
        for number in itertools.count(1):
            request = EchoRequest(LARGE, number, HUGE)
            large = enclose(IPv4Packet(a, dut, ident=SETS + number), request)
            inject(bench, *fragment(large, bench.nic("a").mtu))
            bench.watch_for(BETWEEN)
            answer = match.icmpv4(type=0, ident=LARGE, seq=number) & match.ipv4(offset=0)
            if came(seen, "a", answer)() or bench.loop.now() > until:
                break
    return came(seen, "a", answer)()
