"""A router that routes multicast sends a group to the links that have members, and to no other.

It asks each of its links who listens, by IGMP general queries to 224.0.0.1 with a TTL of 1 and the
router alert option (RFC 2236 2, 3; RFC 3376 4.1). A datagram to a group leaves by every other link
that has a member, once, in a frame to the group's own MAC address, with a TTL that is one less; on
links without members it does not show, nor on the one that it came by (RFC 1112, appendix I; RFC
1812 5.2.1.2). Members are those of the group, not of its MAC address, which 32 groups share. What
has no hop left, comes by another port than that to its sender, or goes to 224.0.0.0/24 is not
forwarded, whoever has joined, and nobody is told (RFC 1812 5.3.9, RFC 1122 3.2.2).

When a member leaves, the router asks that link about the group: if nobody answers, forwarding ends
there after the last member query time (2 s, RFC 2236 8.8); if somebody does, it goes on, without a
gap. General queries go on for ever, 125 s apart at the most; a group that nobody reports any more
is forgotten after 260 s (8.2, 8.4), and one that is reported is not.

Tolerance ``igmp_late`` (seconds, 0.3): how late a router may do what it is to do.
"""

import itertools
from collections.abc import Sequence
from ipaddress import IPv4Address

import pytest

from testbed import (
    Bench,
    Capture,
    Duration,
    EthFrame,
    ExpectationFailed,
    IgmpMessage,
    IPv4Packet,
    Matcher,
    Topology,
    TracedFrame,
    UdpDatagram,
    WireError,
    compose,
    dissect,
    drill,
    faults,
    format_duration,
    match,
    milliseconds,
    seconds,
    subnets,
)

GROUP, TWIN, OTHER = (IPv4Address(ip) for ip in ("239.129.13.1", "239.1.13.1", "239.129.13.2"))
"""The first two have one MAC address."""
LOCAL = IPv4Address("224.0.0.251")
CHANNELS = tuple(IPv4Address(ip) for ip in ("224.0.1.9", *(f"239.77.1.{n}" for n in range(1, 9))))
"""Groups next to those that stay on their link, and more than a few at once."""
ALL_SYSTEMS, ALL_ROUTERS = IPv4Address("224.0.0.1"), IPv4Address("224.0.0.2")
ANY = IPv4Address(0)
ROUTER_ALERT = bytes((0x94, 4, 0, 0))
LEAVES, LISTENERS = ("a", "b", "c"), ("b", "c")
PORT = 7113
QUERY_INTERVAL, STARTUP_INTERVAL = seconds(125), milliseconds(31_250)
MEMBERSHIP = seconds(2 * 125 + 10)
LAST_MEMBER = seconds(2)
TICK = seconds(1)
SOON = seconds(3)
IP13 = pytest.mark.behaviour("IP-13", clause="RFC 1112 I; RFC 2236")
ROUTER = pytest.mark.topology(Topology.star("dut:router", *LEAVES))


def late(bench: Bench) -> Duration:
    """How late the router may be."""
    return seconds(bench.tolerance("igmp_late", 0.3))


def says(bench: Bench, leaf: str, message: IgmpMessage, host: int = 0) -> None:
    """One of the hosts on a leaf's link sends an IGMP message."""
    station = bench.bring_up_network()[leaf]
    group = message.group if message.is_report else ALL_ROUTERS
    options = b"" if message == IgmpMessage.report(message.group, version=1) else ROUTER_ALERT
    packet = IPv4Packet(station.ip + host, group, 2, message.emit(), ttl=1, options=options)
    frame = EthFrame(subnets.multicast_mac(group), station.mac)
    bench.nic(leaf).inject(compose(frame, packet, pad=True))


def joins(bench: Bench, leaf: str, group: IPv4Address, *, version: int = 2) -> None:
    """A host reports a group, and the router has had time to hear it."""
    says(bench, leaf, IgmpMessage.report(group, version=version))
    bench.watch_for(late(bench))


def query_about(bench: Bench, leaf: str, group: IPv4Address) -> Matcher:
    """The router's query on a leaf's link about a group, or about all of them."""
    dut = bench.bring_up_network().at("dut", f"{leaf}--dut")
    to = group if int(group) else ALL_SYSTEMS

    def asks(frame: bytes) -> bool:
        packet = dissect(frame).ipv4
        if packet is None or packet.protocol != 2 or packet.options != ROUTER_ALERT:
            return False
        try:
            message = IgmpMessage.parse(packet.payload)
        except WireError:
            return False
        return message.is_query and message.group == group and message.max_response > 0

    frame = match.eth(src=dut.mac, dst=subnets.multicast_mac(to))
    header = match.ipv4(src=dut.ip, dst=to, ttl=1, bad_checksum=False)
    return frame & header & match.where(asks, f"an IGMP query about {group}")


def send(
    bench: Bench,
    to: IPv4Address,
    text: bytes,
    *,
    leaf: str = "a",
    ttl: int = 16,
    source: IPv4Address | None = None,
) -> None:
    """A datagram to a group, from a host at a leaf."""
    station = bench.bring_up_network()[leaf]
    packet = IPv4Packet(source or station.ip, to, ttl=ttl)
    frame = EthFrame(subnets.multicast_mac(to), station.mac)
    datagram = UdpDatagram(PORT, PORT, text)
    bench.nic(leaf).inject(compose(frame, packet, datagram, pad=True))


def expect_at(
    bench: Bench, seen: Capture, text: bytes, group: IPv4Address, *leaves: str, ttl: int
) -> None:
    """A datagram came to these leaves, and to no other; nobody was told anything of it."""
    seen.settle()
    for leaf in LEAVES:
        view, marked = seen.at(f"{leaf}--dut"), match.udp(payload=text)
        if leaf in leaves:
            dut = bench.bring_up_network().at("dut", f"{leaf}--dut")
            frame = match.eth(src=dut.mac, dst=subnets.multicast_mac(group))
            packet = match.ipv4(dst=group, ttl=ttl, bad_checksum=False, fragment=False)
            view.expect_count(frame & packet & match.udp(payload=text, bad_checksum=False), 1)
            view.expect_count(marked, 1)
        else:
            view.expect_none(marked)
    seen.at("a--dut").expect_none(match.icmpv4())


def expect_delivery(
    bench: Bench, seen: Capture, group: IPv4Address, text: bytes, *leaves: str
) -> None:
    """What a host at a sends to a group reaches these leaves, and no other."""
    send(bench, group, text)
    expect_at(bench, seen, text, group, *leaves, ttl=15)


@IP13
@ROUTER
@drill(
    "floods groups",
    faults.nft(
        "type filter hook ingress device {a} priority 0;",
        'ip daddr 239.129.13.1 dup to "{c}"',
        family="netdev",
    ),
    caught="c--dut: expect none",
)
@drill(
    "never asks",
    faults.nft("type filter hook output priority 0;", "ip protocol igmp drop"),
    caught=r"an IGMP query about 0\.0\.0\.0.*did not come",
)
@drill(
    "ignores reports",
    faults.nft("type filter hook prerouting priority -300;", "ip protocol igmp drop"),
    caught="b--dut: expect 1 of .*did not come",
)
def test_groups_go_to_links_with_members_only(bench: Bench) -> None:
    bench.bring_up_network()
    with bench.capture() as seen:
        bench.router("dut").set_multicast_routing(True)
        for leaf in LEAVES:
            seen.wait_for(f"{leaf}--dut", query_about(bench, leaf, ANY), within=SOON)
        expect_delivery(bench, seen, GROUP, b"nobody joined")

        joins(bench, "b", GROUP)
        expect_delivery(bench, seen, GROUP, b"b joined", "b")
        expect_delivery(bench, seen, TWIN, b"of the same MAC address")
        joins(bench, "c", OTHER)
        expect_delivery(bench, seen, OTHER, b"c joined another", "c")
        expect_delivery(bench, seen, GROUP, b"c did not join", "b")

        joins(bench, "c", GROUP)
        expect_delivery(bench, seen, GROUP, b"both joined", "b", "c")
        expect_delivery(bench, seen, OTHER, b"c is in two groups", "c")
        for group in CHANNELS:
            joins(bench, "b", group)
        for group in CHANNELS:
            expect_delivery(bench, seen, group, b"b joined " + str(group).encode(), "b")
        expect_delivery(bench, seen, GROUP, bytes(1000) + b"a large one", "b", "c")
        joins(bench, "a", GROUP)
        expect_delivery(bench, seen, GROUP, b"the sender's link, too", "b", "c")
        send(bench, GROUP, b"with two hops left", ttl=2)
        expect_at(bench, seen, b"with two hops left", GROUP, "b", "c", ttl=1)
        send(bench, GROUP, b"without a hop left", ttl=1)
        expect_at(bench, seen, b"without a hop left", GROUP, ttl=0)
        for leaf in LISTENERS:
            joins(bench, leaf, LOCAL)
        send(bench, LOCAL, b"for this link alone", ttl=255)
        expect_at(bench, seen, b"for this link alone", LOCAL, ttl=0)


@IP13
@ROUTER
def test_senders_may_be_anywhere(bench: Bench) -> None:
    """A group has senders on any link: a member hears those of all others, once.

    What comes by another port than that to its sender is not forwarded: it might go round for ever.
    """
    net = bench.bring_up_network()
    bench.except_known("dut", "shared trees")
    bench.router("dut").set_multicast_routing(True)
    with bench.capture() as seen:
        for leaf in LEAVES:
            joins(bench, leaf, GROUP)
        for leaf in LEAVES:
            text = b"from " + leaf.encode()
            send(bench, GROUP, text, leaf=leaf)
            expect_at(bench, seen, text, GROUP, *(set(LEAVES) - {leaf}), ttl=15)
        send(bench, GROUP, b"from elsewhere", source=net["c"].ip + 40)
        expect_at(bench, seen, b"from elsewhere", GROUP, ttl=0)


@IP13
@ROUTER
def test_reports_of_version_1_count(bench: Bench) -> None:
    """Hosts that speak version 1 of IGMP are served as well (RFC 2236 2.1, 5)."""
    bench.bring_up_network()
    bench.except_known("dut", "IGMP version 1")
    bench.router("dut").set_multicast_routing(True)
    with bench.capture() as seen:
        joins(bench, "c", GROUP, version=1)
        expect_delivery(bench, seen, GROUP, b"c joined by version 1", "c")


@IP13
@ROUTER
@drill(
    "ignores leaves",
    faults.nft("type filter hook input priority 0;", "ip protocol igmp @th,0,8 0x17 drop"),
    caught="the query at c after a leave did not come",
)
def test_the_last_member_ends_it_and_no_other(bench: Bench) -> None:
    """A leave ends forwarding to a link after a question that nobody answers, and only then."""
    bench.bring_up_network()
    with bench.capture() as seen:
        bench.router("dut").set_multicast_routing(True)
        for leaf in LISTENERS:
            seen.wait_for(f"{leaf}--dut", query_about(bench, leaf, ANY), within=SOON)
            joins(bench, leaf, GROUP)
        joins(bench, "b", OTHER)
        expect_delivery(bench, seen, GROUP, b"both joined", "b", "c")

        # At c there are two members, of which one goes and the other answers.
        asked = bench.loop.wall_now()
        says(bench, "c", IgmpMessage.leave(GROUP), host=40)
        expect_delivery(bench, seen, GROUP, b"one of two left", "b", "c")
        expect_question(bench, seen, "c", asked)
        says(bench, "c", IgmpMessage.report(GROUP), host=41)
        bench.watch_for(Duration(LAST_MEMBER * 2 + late(bench)))
        expect_delivery(bench, seen, GROUP, b"the other stayed", "b", "c")

        # At b nobody answers.
        asked = bench.loop.wall_now()
        says(bench, "b", IgmpMessage.leave(GROUP))
        expect_question(bench, seen, "b", asked)
        expect_delivery(bench, seen, GROUP, b"the last one was asked for", "b", "c")
        bench.watch_for(Duration(LAST_MEMBER + late(bench)))
        expect_delivery(bench, seen, GROUP, b"the last one left", "c")
        expect_delivery(bench, seen, OTHER, b"but not of the other group", "b")
        joins(bench, "b", GROUP)
        expect_delivery(bench, seen, GROUP, b"b is back", "b", "c")


def expect_question(bench: Bench, seen: Capture, leaf: str, since: int) -> None:
    """After a leave, the link is asked about the group, at once."""
    view = seen.at(f"{leaf}--dut").after(since)  # type: ignore[arg-type]
    question = query_about(bench, leaf, GROUP)
    bench.wait_until(
        lambda: bool(view.all(question)), late(bench), f"the query at {leaf} after a leave"
    )


@IP13
@ROUTER
@pytest.mark.slow("a group is believed to have members for 260 s")
def test_members_are_asked_again_and_forgotten_when_silent(bench: Bench) -> None:
    """A member that answers each query is served on; one that answers none is forgotten in time."""
    bench.bring_up_network()
    with bench.capture() as seen:
        bench.router("dut").set_multicast_routing(True)
        for leaf in LISTENERS:
            seen.wait_for(f"{leaf}--dut", query_about(bench, leaf, ANY), within=SOON)
            says(bench, leaf, IgmpMessage.report(GROUP))
        reported = bench.loop.now()
        answer_at_b(bench, seen, Duration(round(MEMBERSHIP * 0.95)))
        expect_delivery(bench, seen, GROUP, b"c is still believed", "b", "c")
        answer_at_b(bench, seen, Duration(reported + MEMBERSHIP + late(bench) - bench.loop.now()))
        expect_delivery(bench, seen, GROUP, b"c is forgotten", "b")
        answer_at_b(bench, seen, Duration(QUERY_INTERVAL * 2))
        expect_delivery(bench, seen, GROUP, b"b is not", "b")
        for leaf in LEAVES:
            expect_pace(bench, leaf, seen.at(f"{leaf}--dut").all(query_about(bench, leaf, ANY)))


def answer_at_b(bench: Bench, seen: Capture, span: Duration) -> None:
    """Let time pass; a host at b answers every general query within a second or so."""
    until, query = bench.loop.now() + span, query_about(bench, "b", ANY)
    answered = len(seen.at("b--dut").all(query))
    while (left := Duration(until - bench.loop.now())) > 0:
        bench.watch_for(min(TICK, left))
        asked = len(seen.at("b--dut").all(query))
        if asked > answered:
            says(bench, "b", IgmpMessage.report(GROUP))
            answered = asked


def expect_pace(bench: Bench, leaf: str, queries: Sequence[TracedFrame]) -> None:
    """General queries came at the times of RFC 2236 8.2 and 8.6."""
    latest = Duration(QUERY_INTERVAL + late(bench))
    least = Duration(STARTUP_INTERVAL - late(bench))
    times = [*(each.at for each in queries), bench.loop.wall_now()]
    for number, (before, after) in enumerate(itertools.pairwise(times), 1):
        gap = Duration(after - before)
        if gap > latest or (gap < least and number < len(queries)):
            what = f"query {number + 1}" if number < len(queries) else "no query"
            raise ExpectationFailed(
                f"{leaf}--dut: {what} came {format_duration(gap)} after the one before, expected "
                f"{format_duration(STARTUP_INTERVAL)} to {format_duration(QUERY_INTERVAL)}"
            )
