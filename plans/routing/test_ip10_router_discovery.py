"""Routers advertise themselves, and hosts choose the one that most wants to be chosen (RFC 1256).

A router's advertisement (ICMP 9) names all its addresses on the link with their preferences, and
how long they may be believed; it goes to 224.0.0.1 with a TTL of 1 (3, 4.3): at random times
between two bounds, and within a bound of a solicitation (ICMP 10) from a neighbour or from nobody,
but not of one from afar (4.2). A router that ceases says so by a lifetime of 0.

A host solicits three times at the most, of 224.0.0.2, and stops when it is answered (5.3). What it
sends beyond its subnet goes to the router with the highest preference, never to one with the lowest
of all, nor to one that is not its neighbour; a lifetime of 0, and one that is over, end the use of
a router (5.2, 5.3).

Times are shortened; each may come ``advert_late`` (seconds, 0.15) late.

The devices under test are Python stacks: a Linux kernel does neither part. FRR 8.4's zebra_irdp is
no router to judge either: on the little-endian machines of today its source addresses are reversed
byte by byte, and ``no ip irdp`` advertises the old lifetime.
"""

import itertools
from ipaddress import IPv4Address

import pytest

from testbed import (
    AdvertiseConfig,
    Bench,
    Capture,
    Duration,
    EthFrame,
    ExpectationFailed,
    IPv4Packet,
    MacAddr,
    Matcher,
    RouterAdvertisement,
    RouterSolicitation,
    StackConfig,
    StackHost,
    Topology,
    TracedFrame,
    compose,
    defects,
    dissect,
    drill,
    faults,
    format_duration,
    match,
    milliseconds,
    seconds,
    subnets,
)

IP10 = pytest.mark.behaviour("IP-10", clause="RFC 1256")
LAN = pytest.mark.topology(Topology.star("lan", "router", "host"))
ALL_SYSTEMS, ALL_ROUTERS = IPv4Address("224.0.0.1"), IPv4Address("224.0.0.2")
NOBODY, FAR = IPv4Address(0), IPv4Address("203.0.113.10")
PREFERENCE, LIFETIME = -7, seconds(1800)
AT_EASE = AdvertiseConfig(
    initial_count=1, response_delay=milliseconds(200), min_interval=seconds(450)
)
"""Advertises once, and then only when asked, as far as a plan can see."""
BUSY = AdvertiseConfig(
    min_interval=milliseconds(150),
    max_interval=milliseconds(300),
    initial_interval=milliseconds(300),
    lifetime=seconds(2),
)
ASKING = AdvertiseConfig(
    solicitation_delay=milliseconds(100), solicitation_interval=milliseconds(200)
)
GOOD, BETTER, NEVER = (MacAddr(f"02:00:00:00:10:{number:02x}") for number in (1, 2, 3))
"""Of routers that are only heard of."""
EARLY = milliseconds(10)
SOON = seconds(3)
BOTH = ("router--lan", "host--lan")
"""Settling waits for what a stack does about a frame where its own link is captured."""
ADVERT = match.icmpv4(type=9, code=0, bad_checksum=False)
SOLICITATION = match.icmpv4(type=10, code=0, bad_checksum=False)


def to_group(group: IPv4Address, src: IPv4Address) -> Matcher:
    """What RFC 1256 3 has of headers."""
    frame = match.eth(dst=subnets.multicast_mac(group))
    return frame & match.ipv4(src=src, dst=group, ttl=1, bad_checksum=False)


def of_lifetime(lifetime: Duration, routers: dict[IPv4Address, int]) -> Matcher:
    """An advertisement of exactly these."""
    wanted = RouterAdvertisement(lifetime // seconds(1), tuple(routers.items()))
    return match.where(lambda frame: dissect(frame).icmpv4 == wanted, f"{wanted}")


def inject(bench: Bench, role: str, src: IPv4Address, message: bytes, group: IPv4Address) -> None:
    """An ICMP message to a group, from a NIC."""
    packet = IPv4Packet(src, group, 1, message, ttl=1)
    frame = EthFrame(subnets.multicast_mac(group), bench.nic(role).mac)
    bench.nic(role).inject(compose(frame, packet, pad=True))


def late(bench: Bench) -> Duration:
    """How late a message may come."""
    return seconds(bench.tolerance("advert_late", 0.15))


def expect_gap(
    bench: Bench, pair: tuple[TracedFrame, TracedFrame], least: Duration, most: Duration
) -> None:
    """The second of two frames came so long after the first."""
    gap = Duration(pair[1].at - pair[0].at)
    if not least - EARLY <= gap <= most + late(bench):
        raise ExpectationFailed(
            f"{pair[1].point}: #{pair[1].number} came {format_duration(gap)} after "
            f"#{pair[0].number}, expected {format_duration(least)} to {format_duration(most)}"
        )


@IP10
@LAN
@drill(
    "lifetime 0 sent",
    faults.python_stack(defects.groups.LIFETIME_ZERO, role="router"),
    caught=r"RouterAdvertisement\(lifetime=1800.*did not come",
)
@drill(
    "ignores solicitations",
    faults.python_stack(defects.groups.IGNORES_SOLICITATIONS, role="router"),
    caught="the answer to a solicitation from .* did not come",
)
@drill(
    "answers solicitations from afar",
    faults.python_stack(defects.groups.ANSWERS_FROM_AFAR, role="router"),
    caught="expect none: .*came",
)
@drill(
    "goes without farewell",
    faults.python_stack(defects.groups.NO_FAREWELL, role="router"),
    caught=r"RouterAdvertisement\(lifetime=0.*did not come",
)
def test_a_router_advertises_answers_and_takes_its_leave(bench: Bench) -> None:
    router = bench.host("router", StackConfig())
    second = router.address + 50
    router.add_address(f"{second}/24")
    held, host = {router.address: PREFERENCE, second: PREFERENCE}, bench.bring_up_network()["host"]
    frame, point = match.eth(src=router.mac) & to_group(ALL_SYSTEMS, router.address), "host--lan"
    advert = frame & ADVERT & of_lifetime(LIFETIME, held)
    with bench.capture(*BOTH) as seen:
        discovery = router.stack.discovery
        adverts = discovery.advertise("eth0", router.now(), preference=PREFERENCE, config=AT_EASE)
        router.flush()
        seen.wait_for(point, advert)
        for source in (host.ip, NOBODY):
            asked = bench.loop.wall_now()
            inject(bench, "host", source, RouterSolicitation().emit(), ALL_ROUTERS)
            view, within = seen.at(point).after(asked), AT_EASE.response_delay + late(bench)
            bench.wait_until(
                lambda view=view: bool(view.all(advert)),  # type: ignore[misc]
                Duration(within),
                f"the answer to a solicitation from {source}",
            )
        asked = bench.loop.wall_now()
        inject(bench, "host", FAR, RouterSolicitation().emit(), ALL_ROUTERS)
        bench.watch_for(Duration(AT_EASE.response_delay + late(bench)))
        seen.settle()
        seen.at(point).after(asked).expect_none(match.icmpv4(type=9))
        adverts.stop(router.now())
        router.flush()
        seen.wait_for(point, frame & ADVERT & of_lifetime(seconds(0), held))
        seen.settle()
    seen.at(point).expect_count(match.icmpv4(type=9), 4)


@IP10
@LAN
@drill(
    "lifetime 0 sent",
    faults.python_stack(defects.groups.LIFETIME_ZERO, role="router"),
    caught="the fifth advertisement did not come",
)
def test_a_router_advertises_between_two_bounds(bench: Bench) -> None:
    router, point = bench.host("router", StackConfig()), "host--lan"
    advert = to_group(ALL_SYSTEMS, router.address) & ADVERT
    alive = advert & of_lifetime(BUSY.lifetime, {router.address: 0})
    with bench.capture(*BOTH) as seen:
        router.stack.discovery.advertise("eth0", router.now(), config=BUSY)
        router.flush()
        bench.wait_until(
            lambda: len(seen.at(point).all(alive)) > 4, SOON, "the fifth advertisement"
        )
        seen.settle()
    for pair in itertools.pairwise(seen.at(point).all(advert)):
        expect_gap(bench, pair, BUSY.min_interval, BUSY.max_interval)


@IP10
@LAN
@drill(
    "likes the lowest preference",
    faults.python_stack(defects.groups.LIKES_THE_LOWEST, role="host"),
    caught="dst=02:00:00:00:10:02.*did not come",
)
@drill(
    "believes in far routers",
    faults.python_stack(defects.groups.BELIEVES_FAR_ROUTERS, role="host"),
    caught="dst=02:00:00:00:10:02.*did not come",
)
@drill(
    "ignores withdrawal",
    faults.python_stack(defects.groups.IGNORES_WITHDRAWAL, role="host"),
    caught="dst=02:00:00:00:10:01.*did not come",
)
@drill(
    "keeps expired routers",
    faults.python_stack(defects.groups.KEEPS_EXPIRED_ROUTERS, role="host"),
    caught="expect none: .*came",
)
@drill(
    "asks for ever",
    faults.python_stack(defects.groups.SOLICITS_FOR_EVER, role="host"),
    caught=r"expect 3 of .*came",
)
def test_a_host_asks_and_uses_the_best_router(bench: Bench) -> None:
    host, point = bench.host("host", StackConfig()), "router--lan"
    own = bench.bring_up_network()["router"].ip
    good, better, never = own + 100, own + 101, own + 102
    for address, mac in ((good, GOOD), (better, BETTER), (never, NEVER)):
        host.stack.interface("eth0").neighbours.set(address, mac, host.now())
    asked = match.eth(src=host.mac) & to_group(ALL_ROUTERS, host.address) & SOLICITATION
    with bench.capture(*BOTH) as seen:
        host.stack.discovery.discover("eth0", host.now(), config=ASKING)
        host.flush()
        span = ASKING.solicitation_delay + 4 * ASKING.solicitation_interval
        bench.watch_for(Duration(span + late(bench)))
        seen.settle()
        for pair in itertools.pairwise(seen.at(point).expect_count(asked, 3)):
            interval = ASKING.solicitation_interval
            expect_gap(bench, pair, interval, interval)

        far = IPv4Address("192.0.2.1")
        lasting = {good: -20, better: 10, never: RouterAdvertisement.NEVER, far: 100}
        advertise(bench, own, seconds(600), lasting)
        expect_sent(seen, host, b"by the best", BETTER)
        advertise(bench, own, seconds(0), {better: 10})
        expect_sent(seen, host, b"by the next", GOOD)
        advertise(bench, own, seconds(1), {good: -20})
        expect_sent(seen, host, b"within its lifetime", GOOD)
        bench.watch_for(Duration(seconds(1) + late(bench)))
        send(host, b"by none")
        seen.settle()
        seen.at(point).expect_none(match.udp(payload=b"by none"))

        host.stack.discovery.discover("eth0", host.now(), config=ASKING)
        host.flush()
        again = bench.loop.wall_now()
        seen.wait_for(point, asked)
        expect_quiet_once_answered(bench, seen, own, again, asked)


def expect_quiet_once_answered(
    bench: Bench, seen: Capture, router: IPv4Address, start: int, asked: Matcher
) -> None:
    """A host that is answered asks no more."""
    view = seen.at("router--lan").after(start)  # type: ignore[arg-type]
    bench.wait_until(lambda: bool(view.all(asked)), SOON, "a solicitation")
    advertise(bench, router, seconds(600), {router + 100: 1})
    bench.watch_for(Duration(2 * ASKING.solicitation_interval))
    seen.settle()
    seen.at("router--lan").after(view.all(asked)[0]).expect_none(asked)


def advertise(
    bench: Bench, src: IPv4Address, lifetime: Duration, routers: dict[IPv4Address, int]
) -> None:
    """An advertisement, from the NIC ``router``."""
    message = RouterAdvertisement(lifetime // seconds(1), tuple(routers.items()))
    inject(bench, "router", src, message.emit(), ALL_SYSTEMS)


def send(host: StackHost, payload: bytes) -> None:
    """A datagram to somebody far away."""
    host.udp().send(payload, FAR, 7010)


def expect_sent(seen: Capture, host: StackHost, payload: bytes, router: MacAddr) -> None:
    """The host has taken an advertisement in, and sends by this router."""
    seen.settle()
    send(host, payload)
    seen.settle()
    packet = match.eth(dst=router) & match.ipv4(src=host.address, dst=FAR)
    # Nobody has that MAC address, so that the switch sends it everywhere.
    seen.wait_for("router--lan", packet & match.udp(payload=payload), within=SOON)
