"""A router tells the hosts of a link that it is there, by all its addresses (RFC 1256).

Its advertisement (ICMP 9) goes to 224.0.0.1 with a TTL of 1 (3, 4.3), from an address of the port;
it names every address that the router has there, each with the preference that was set, and the
lifetime that was set. The first three come 16 s apart at the most (5, MAX_INITIAL_ADVERTISEMENTS
and MAX_INITIAL_ADVERT_INTERVAL), all others at random times between two bounds. A solicitation
(ICMP 10) from a neighbour, or from nobody, is answered within 2 s (MAX_RESPONSE_DELAY), one from
afar is not (4.2). A router that ceases says so by a lifetime of 0 (4.3), and is silent from then
on. What is set on one port holds for no other.

Each may come ``advert_late`` (seconds, 0.15) late.
"""

import itertools
from ipaddress import IPv4Address, IPv4Interface

import pytest

from testbed import (
    Bench,
    Capture,
    Duration,
    EthFrame,
    ExpectationFailed,
    Instant,
    IPv4Packet,
    RouterAdvertisement,
    RouterSolicitation,
    Topology,
    TracedFrame,
    compose,
    dissect,
    format_duration,
    match,
    milliseconds,
    seconds,
    subnets,
)

LINK = "a--dut"
ALL_SYSTEMS, ALL_ROUTERS = IPv4Address("224.0.0.1"), IPv4Address("224.0.0.2")
NOBODY, FAR = IPv4Address(0), IPv4Address("203.0.113.10")
ANOTHER = IPv4Interface("198.51.100.10/24")
"""One more address of the router, of another subnet on the same link."""
PREFERENCE = -7
USUAL_INTERVAL, USUAL_LIFETIME = seconds(600), seconds(1800)
OFTEN, SHORTLY = seconds(8), seconds(25)
"""An interval, and a lifetime, near the least that RFC 1256 4.1 allows."""
FIRST, INITIAL = 3, seconds(16)
RESPONSE = seconds(2)
EARLY = milliseconds(10)
ADVERT = match.icmpv4(type=9)
IP10 = pytest.mark.behaviour("IP-10", clause="RFC 1256")
ROUTER = pytest.mark.topology(Topology.star("dut:router", "a", "b"))


def late(bench: Bench) -> Duration:
    """How late a message may come."""
    return seconds(bench.tolerance("advert_late", 0.15))


def prepare(bench: Bench) -> str:
    """Give the router a second address on a's link; the port."""
    bench.bring_up_network()
    bench.except_known("dut", "router advertisements")
    port = bench.port("dut", toward="a")
    bench.router("dut").add_address(port, ANOTHER)
    return port


def expect_advert(bench: Bench, frame: TracedFrame, preference: int, lifetime: Duration) -> None:
    """A frame is an advertisement of all the router's addresses on a's link."""
    dut = bench.bring_up_network().at("dut", LINK)
    header = match.eth(src=dut.mac, dst=subnets.multicast_mac(ALL_SYSTEMS))
    packet = match.ipv4(dst=ALL_SYSTEMS, ttl=1, bad_checksum=False, fragment=False)
    good = header & packet & match.icmpv4(type=9, code=0, bad_checksum=False)
    if wrong := good.explain(frame.data):
        raise ExpectationFailed(f"{LINK}: advertisement #{frame.number}: {wrong[0]}")
    held = {dut.ip: preference, ANOTHER.ip: preference}
    if frame.ipv4.src not in held:
        raise ExpectationFailed(
            f"{LINK}: advertisement #{frame.number} comes from {frame.ipv4.src}, which is no "
            "address of the router on this link"
        )
    message = dissect(frame.data).icmpv4
    if not isinstance(message, RouterAdvertisement):
        raise ExpectationFailed(f"{LINK}: #{frame.number} cannot be read as an advertisement")
    if message.lifetime != lifetime // seconds(1):
        raise ExpectationFailed(
            f"{LINK}: advertisement #{frame.number} has a lifetime of {message.lifetime} s, "
            f"expected {format_duration(lifetime)}"
        )
    if dict(message.routers) != held or len(message.routers) != len(held):
        raise ExpectationFailed(
            f"{LINK}: advertisement #{frame.number} names {told(dict(message.routers))}, "
            f"expected {told(held)}"
        )


def told(routers: dict[IPv4Address, int]) -> str:
    """Addresses with their preferences."""
    return ", ".join(f"{address} with preference {value}" for address, value in routers.items())


def solicit(bench: Bench, source: IPv4Address) -> Instant:
    """Ask who is a router; when that was."""
    packet = IPv4Packet(source, ALL_ROUTERS, 1, RouterSolicitation().emit(), ttl=1)
    nic, asked = bench.nic("a"), bench.loop.wall_now()
    nic.inject(compose(EthFrame(subnets.multicast_mac(ALL_ROUTERS), nic.mac), packet, pad=True))
    return asked


def expect_gaps(bench: Bench, frames: list[TracedFrame], least: Duration, most: Duration) -> None:
    """Each of the frames came so long after the one before."""
    for before, frame in itertools.pairwise(frames):
        gap = Duration(frame.at - before.at)
        if not least - EARLY <= gap <= most + late(bench):
            raise ExpectationFailed(
                f"{LINK}: advertisement #{frame.number} came {format_duration(gap)} after "
                f"#{before.number}, expected {format_duration(least)} to {format_duration(most)}"
            )


def expect_answer(bench: Bench, seen: Capture, source: IPv4Address) -> None:
    """A solicitation is answered in time, once."""
    view = seen.at(LINK).after(solicit(bench, source))
    within = Duration(RESPONSE + late(bench))
    bench.watch_for(within)
    seen.settle()
    answers = view.all(ADVERT)
    if len(answers) != 1:
        raise ExpectationFailed(
            f"{LINK}: {len(answers)} advertisements came within {format_duration(within)} of a "
            f"solicitation from {source}, expected 1"
        )
    expect_advert(bench, answers[0], PREFERENCE, USUAL_LIFETIME)


@IP10
@ROUTER
@pytest.mark.slow("a router's first advertisements are 16 s apart")
def test_router_advertises_all_its_addresses_and_answers(bench: Bench) -> None:
    port, dut = prepare(bench), bench.router("dut")
    with bench.capture() as seen:
        dut.set_router_discovery(
            port, True, preference=PREFERENCE, interval=USUAL_INTERVAL, lifetime=USUAL_LIFETIME
        )
        seen.wait_for(LINK, ADVERT, within=Duration(INITIAL + late(bench)))
        bench.watch_for(Duration(FIRST * (INITIAL + late(bench))))
        seen.settle()
        initial = list(seen.at(LINK).expect_count(ADVERT, FIRST))
        for frame in initial:
            expect_advert(bench, frame, PREFERENCE, USUAL_LIFETIME)
        expect_gaps(bench, initial, EARLY, INITIAL)

        for source in (bench.bring_up_network()["a"].ip, NOBODY, ANOTHER.ip + 1):
            expect_answer(bench, seen, source)
        afar = seen.at(LINK).after(solicit(bench, FAR))
        bench.watch_for(Duration(RESPONSE + late(bench)))
        seen.settle()
        afar.expect_none(ADVERT)

        dut.set_router_discovery(port, False)
        seen.settle()
        farewell = seen.at(LINK).all(ADVERT)[FIRST + 3 :]
        if len(farewell) != 1:
            raise ExpectationFailed(
                f"{LINK}: {len(farewell)} advertisements came when the router ceased, expected 1"
            )
        expect_advert(bench, farewell[0], PREFERENCE, seconds(0))
        gone = seen.at(LINK).after(solicit(bench, NOBODY))
        bench.watch_for(Duration(RESPONSE + late(bench)))
        seen.settle()
        gone.expect_none(ADVERT)
    seen.at("b--dut").expect_none(ADVERT)


@IP10
@ROUTER
@pytest.mark.slow("an interval of 8 s, ten times")
def test_router_advertises_between_the_bounds_that_are_set(bench: Bench) -> None:
    """All but the first come between 3/4 of the interval and the interval, at random times."""
    port, dut = prepare(bench), bench.router("dut")
    with bench.capture() as seen:
        dut.set_router_discovery(port, True, interval=OFTEN, lifetime=SHORTLY)
        bench.watch_for(Duration(10 * OFTEN))
        seen.settle()
    adverts = list(seen.at(LINK).all(ADVERT))
    if len(adverts) < 10:
        raise ExpectationFailed(
            f"{LINK}: {len(adverts)} advertisements came in ten intervals of "
            f"{format_duration(OFTEN)}, expected 10 at least"
        )
    for frame in adverts:
        expect_advert(bench, frame, 0, SHORTLY)
    expect_gaps(bench, adverts, Duration(OFTEN * 3 // 4), OFTEN)
    gaps = [later.at - earlier.at for earlier, later in itertools.pairwise(adverts)]
    if max(gaps) - min(gaps) < EARLY:
        raise ExpectationFailed(
            f"{LINK}: the advertisements come every {format_duration(Duration(gaps[0]))}, expected "
            f"random intervals: routers that were started together would speak together"
        )
