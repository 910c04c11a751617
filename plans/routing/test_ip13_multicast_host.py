"""A host hears the groups that it joined and no others, and tells the routers of its link.

A datagram to a group goes to 01:00:5e and the lower 23 bits of the group, which 32 groups share,
with a TTL of 1 unless asked otherwise (RFC 1112 6.1, 6.4). Before it joins, the host takes nothing
that is sent to the group; having joined, all of it, and nothing for another group with the same MAC
address; after it left, nothing again (7.1).

Joining is reported at once (RFC 2236 3), by version 1, 2 or 3 of IGMP. A version 2 query is
answered by a version 2 report to the group itself, with a TTL of 1 and the router alert option (2),
within its maximum response time and ``igmp_late`` (seconds, 0.3); the last member's leave goes to
all routers. 224.0.0.1, which every host is in, is never reported (6).
"""

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
    MacAddr,
    Matcher,
    Topology,
    UdpDatagram,
    WireError,
    compose,
    defects,
    dissect,
    drill,
    faults,
    format_duration,
    match,
    seconds,
    subnets,
)

GROUP, TWIN = IPv4Address("239.129.2.3"), IPv4Address("239.1.2.3")
"""They differ in the bit above the 23 that the MAC address holds."""
GROUP_MAC = MacAddr("01:00:5e:01:02:03")
ALL_SYSTEMS, ALL_ROUTERS = IPv4Address("224.0.0.1"), IPv4Address("224.0.0.2")
V3_REPORT = 0x22
V3_JOINS = (2, 4)  # RFC 3376 4.2.12: now excludes nobody, whether it is asked or not
ROUTER_ALERT = bytes((0x94, 4, 0, 0))
MAX_RESPONSE = 5
"""Tenths of a second."""
PORT, OURS = 7013, 7113
LINK = "peer--dut"
SOON = seconds(3)


def igmp_of(frame: bytes) -> IgmpMessage | None:
    """The IGMP message in a frame."""
    packet = dissect(frame).ipv4
    if packet is None or packet.protocol != 2:
        return None
    try:
        return IgmpMessage.parse(packet.payload)
    except WireError:
        return None


def joins(group: IPv4Address) -> Matcher:
    """A report, of any version, that the sender listens to a group."""

    def says_so(frame: bytes) -> bool:
        message = igmp_of(frame)
        if message is None:
            return False
        if message.type == V3_REPORT:
            at, records = 0, message.rest
            while at + 8 <= len(records):
                kind, more, sources = records[at], records[at + 1], records[at + 2 : at + 4]
                if kind in V3_JOINS and records[at + 4 : at + 8] == group.packed:
                    return True
                at += 8 + 4 * (more + int.from_bytes(sources, "big"))
        return message.is_report and message.group == group

    return match.where(says_so, f"an IGMP report of {group}")


def says(message: IgmpMessage, what: str) -> Matcher:
    """Exactly this IGMP message."""
    return match.where(lambda frame: igmp_of(frame) == message, f"{what} {message.group}")


@pytest.mark.behaviour("IP-13", clause="RFC 1112 6, 7; RFC 2236")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "24 bits of the group in the MAC",
    faults.python_stack(defects.groups.GROUP_MAC_OF_24_BITS),
    caught=r"dst=01:00:5e:01:02:03.*did not come",
)
@drill(
    "hears groups unasked",
    faults.python_stack(defects.udp.HEARS_GROUPS_UNASKED),
    caught="expect none: .*before it joined.* came",
)
@drill(
    "joins in silence",
    faults.nft("type filter hook output priority 0;", "ip protocol igmp drop"),
    caught="IGMP report of 239.129.2.3.*did not come",
)
@drill(
    "speaks version 1 only",
    faults.sysctl("net.ipv4.conf.{peer}.force_igmp_version", "1"),
    caught="version 2 report of 239.129.2.3.*did not come",
)
@drill(
    "reports late",
    faults.python_stack(defects.groups.REPORTS_LATE),
    caught="version 2 report of 239.129.2.3.*did not come within",
)
@drill(
    "leaves in silence",
    faults.python_stack(defects.groups.LEAVES_IN_SILENCE),
    caught="leave of 239.129.2.3.*did not come",
)
@drill(
    "stays in groups",
    faults.python_stack(defects.groups.STAYS_IN_GROUPS),
    caught="expect none: .*after it left.* came",
)
@drill(
    "sends to groups with the TTL of all",
    faults.nft("type filter hook postrouting priority 0;", "udp dport 7113 ip ttl set 64"),
    caught=r"ttl=1.*did not come",
)
def test_only_members_hear_and_routers_are_told(bench: Bench) -> None:
    dut, ip = bench.host("dut"), bench.bring_up_network()["dut"].ip
    with bench.capture(LINK) as seen:
        dut.udp_serve(PORT)
        expect_deaf(bench, seen, GROUP, b"before it joined")
        dut.stop_services()

        dut.udp_serve(PORT, groups=((str(GROUP), str(ip)),))
        expect_reported(bench, seen, joins(GROUP), SOON)
        send(bench, GROUP, b"as a member")
        expect_answer(bench, seen, b"as a member")
        expect_deaf(bench, seen, TWIN, b"of the same MAC")

        expect_answer_to_query(bench, seen)
        dut.stop_services()
        leave = says(IgmpMessage.leave(GROUP), "the leave of")
        frame = match.eth(dst="01:00:5e:00:00:02") & match.ipv4(dst=ALL_ROUTERS, ttl=1)
        expect_reported(bench, seen, frame & leave, SOON)
        dut.udp_serve(PORT)
        expect_deaf(bench, seen, GROUP, b"after it left")

        for group in (GROUP, TWIN):
            dut.udp_send(str(group), OURS, b"to a group", source=str(ip))
            sent = match.eth(dst=GROUP_MAC) & match.ipv4(src=ip, dst=group, ttl=1)
            seen.wait_for(LINK, sent & match.udp(dst_port=OURS, payload=b"to a group"))
        seen.settle()
    seen.at(LINK).expect_none(joins(ALL_SYSTEMS))


def send(bench: Bench, to: IPv4Address, payload: bytes) -> None:
    """A datagram to the host's service, from the tester."""
    net = bench.bring_up_network()
    peer = net["peer"]
    mac = subnets.multicast_mac(to) if to.is_multicast else net["dut"].mac
    datagram = UdpDatagram(OURS, PORT, payload)
    frame = compose(EthFrame(mac, peer.mac), IPv4Packet(peer.ip, to, ttl=1), datagram, pad=True)
    bench.nic("peer").inject(frame)


def answered(bench: Bench, payload: bytes) -> Matcher:
    """The service's answer: it has got the datagram."""
    dut, peer = bench.bring_up_network()["dut"], bench.bring_up_network()["peer"]
    packet = match.eth(src=dut.mac, dst=peer.mac) & match.ipv4(src=dut.ip, dst=peer.ip)
    return packet & match.udp(src_port=PORT, dst_port=OURS, payload=payload)


def expect_answer(bench: Bench, seen: Capture, payload: bytes) -> None:
    """The service got a datagram."""
    seen.wait_for(LINK, answered(bench, payload), within=SOON)


def expect_deaf(bench: Bench, seen: Capture, group: IPv4Address, payload: bytes) -> None:
    """The service does not get what is sent to a group."""
    send(bench, group, payload)
    send(bench, bench.bring_up_network()["dut"].ip, b"behind that " + payload)
    expect_answer(bench, seen, b"behind that " + payload)
    seen.settle()
    who = match.where(lambda frame: payload == udp_payload(frame), f"the datagram {payload!r}")
    seen.at(LINK).expect_none(who)


def udp_payload(frame: bytes) -> bytes | None:
    """What a UDP datagram carries."""
    udp = dissect(frame).udp
    return None if udp is None else udp.payload


def expect_reported(bench: Bench, seen: Capture, what: Matcher, within: Duration) -> None:
    """An IGMP message of the host comes, in a frame to the group that it is sent to."""
    dut = bench.bring_up_network()["dut"]
    came = seen.wait_for(LINK, match.eth(src=dut.mac) & what, within=within)
    packet = came.ipv4
    if came.eth.dst != subnets.multicast_mac(packet.dst) or packet.ttl != 1:
        raise ExpectationFailed(
            f"{LINK}: #{came.number} goes to {came.eth.dst} with a TTL of {packet.ttl}, expected "
            f"{subnets.multicast_mac(packet.dst)} and 1"
        )
    if packet.options != ROUTER_ALERT and igmp_of(came.data) != IgmpMessage.report(
        GROUP, version=1
    ):
        raise ExpectationFailed(f"{LINK}: #{came.number} has no router alert option")


def expect_answer_to_query(bench: Bench, seen: Capture) -> None:
    """A general query of version 2 is answered in that version, in time, to the group."""
    peer = bench.bring_up_network()["peer"]
    query = IgmpMessage.query(max_response=MAX_RESPONSE)
    packet = IPv4Packet(
        peer.ip, ALL_SYSTEMS, 2, query.emit(), ttl=1, tos=0xC0, options=ROUTER_ALERT
    )
    start = bench.loop.wall_now()
    bench.nic("peer").inject(
        compose(EthFrame(subnets.multicast_mac(ALL_SYSTEMS), peer.mac), packet, pad=True)
    )
    within = seconds(MAX_RESPONSE / 10 + bench.tolerance("igmp_late", 0.3))
    report = says(IgmpMessage.report(GROUP), "the version 2 report of") & match.ipv4(dst=GROUP)
    view = seen.at(LINK).after(start)
    if not bench.loop.run_until(lambda: bool(view.all(report)), within):
        raise ExpectationFailed(
            f"{LINK}: {report} did not come within {format_duration(within)} of the query"
        )
    expect_reported(bench, seen, report, SOON)
