"""A router that sends a packet back by the port it came in on tells the sender of a better way.

The next hop is on the sender's own link: ICMP 5/1 names it and quotes the packet (RFC 792, RFC 1812
5.2.7.2: code 1 only), and the packet is forwarded all the same. A destination on the sender's link
is its own best next hop. What leaves by another port causes none, nor does what comes from a sender
that is not on the link itself: it could not use that next hop (RFC 1812 5.2.7.2).
"""

from ipaddress import IPv4Address, IPv4Network

import pytest

from testbed import (
    Bench,
    EthFrame,
    IPv4Packet,
    MacAddr,
    Matcher,
    Topology,
    compose,
    drill,
    faults,
    match,
    milliseconds,
    seconds,
)

MARK = b"IP-09 "
REDIRECT = 5
FAR = IPv4Network("203.0.113.0/24")
BEHIND = IPv4Network("192.0.2.0/24")
"""A network whose packets come by way of a."""
BETTER_MAC = MacAddr("02:00:00:00:09:50")
NEIGHBOUR_MAC = MacAddr("02:00:00:00:09:51")
"""Of stations that are only heard of: what is sent to them is seen on the cable."""


def strangers(bench: Bench) -> tuple[IPv4Address, IPv4Address, IPv4Address]:
    """Three senders on a's link that have not been told lately.

    A router need not go on telling a host that does not listen: Linux stops at nine times.
    """
    station = bench.bring_up_network().station("a")
    first = station.address + 50 + 3 * (bench.loop.wall_now() // seconds(1) % 50)
    station.answer_for |= {first, first + 1, first + 2}
    return first, first + 1, first + 2


def redirect(bench: Bench, link: str, to: IPv4Address, about: Matcher | bytes) -> Matcher:
    """The message that names ``to`` as the better next hop."""
    dut = bench.bring_up_network().at("dut", link)
    message = match.icmpv4(type=REDIRECT, code=1, gateway=to, quoting=about, bad_checksum=False)
    return match.eth(src=dut.mac) & match.ipv4(src=dut.ip, bad_checksum=False) & message


@pytest.mark.behaviour("IP-09", clause="RFC 1812 5.2.7.2")
@pytest.mark.topology(Topology.star("dut:router", "a", "b"))
@drill(
    "redirects to a wrong gateway",
    faults.nft(
        "type filter hook output priority 0;",
        f"icmp type redirect icmp gateway set {int(IPv4Address('198.18.0.66'))}",
    ),
    caught="icmpv4.gateway 198.18.0.66, wanted",
)
@drill(
    "does not forward what it redirects",
    faults.nft("type filter hook forward priority 0;", 'iifname "{a}" oifname "{a}" drop'),
    caught=r"expect 1 of eth\(.*dst=02:00:00:00:09:5.*did not come",
)
@drill(
    "redirects the whole network",
    faults.nft("type filter hook output priority 0;", "icmp type redirect icmp code set 0"),
    caught="icmpv4.code 0, wanted 1",
)
@drill(
    "keeps the better way to itself",
    faults.nft("type filter hook output priority 0;", "icmp type redirect drop"),
    caught="type=5.*did not come",
)
def test_router_names_the_better_next_hop_and_forwards(bench: Bench) -> None:
    net, dut = bench.bring_up_network(), bench.router("dut")
    a, b, port = net["a"], net["b"], bench.port("dut", toward="a")
    better, neighbour = a.ip + 40, a.ip + 41
    one, another, third = strangers(bench)
    dut.set_redirects(on=True)
    dut.add_route(FAR, better)
    dut.add_arp(port, better, BETTER_MAC)
    dut.add_arp(port, neighbour, NEIGHBOUR_MAC)
    far = IPv4Packet(one, FAR[9], payload=MARK)
    too = IPv4Packet(third, FAR[10], payload=MARK)
    near = IPv4Packet(another, neighbour, payload=MARK)
    other = IPv4Packet(a.ip, b.ip, payload=MARK)
    dut.add_route(BEHIND, a.ip)
    passing = IPv4Packet(BEHIND[9], FAR[11], payload=MARK)

    with bench.capture() as seen:
        for packet in (far, too, near, other, passing):
            bench.nic("a").inject(compose(EthFrame(a.gateway_mac, a.mac), packet, pad=True))
        seen.settle()

    at_a = seen.at("a--dut")
    for packet, hop, mac in (
        (far, better, BETTER_MAC),
        (too, better, BETTER_MAC),
        (near, neighbour, NEIGHBOUR_MAC),
    ):
        told = match.eth(dst=a.mac) & match.ipv4(dst=packet.src)
        at_a.expect_count(told & redirect(bench, "a--dut", hop, packet.emit()), 1)
        header = match.ipv4(src=packet.src, dst=packet.dst, ttl=63, bad_checksum=False)
        at_a.expect_count(match.eth(src=a.gateway_mac, dst=mac) & header, 1)
    through = match.ipv4(src=passing.src, dst=passing.dst, ttl=63, bad_checksum=False)
    at_a.expect_count(match.eth(src=a.gateway_mac, dst=BETTER_MAC) & through, 1)
    at_a.expect_none(match.icmpv4(type=REDIRECT, quoting=match.ipv4(src=passing.src)))
    at_a.expect_count(match.icmpv4(), 3)
    seen.at("b--dut").expect_count(match.containing(MARK), 1)
    seen.at("b--dut").expect_none(match.icmpv4())


@pytest.mark.behaviour("IP-09", clause="RFC 1122 3.3.1.2")
@pytest.mark.topology(Topology.chain("h:host", "wire:box", "dut:router", "b:nic"))
@drill(
    "redirects to a wrong gateway",
    faults.nft(
        "type filter hook output priority 0;",
        f"icmp type redirect icmp gateway set {int(IPv4Address('198.18.0.66'))}",
    ),
    caught="icmpv4.gateway 198.18.0.66, wanted",
)
@drill(
    "host does not listen",
    faults.all_of(
        faults.sysctl("net.ipv4.conf.all.accept_redirects", "0", role="h"),
        faults.sysctl("net.ipv4.conf.{wire}.accept_redirects", "0", role="h"),
    ),
    caught=r"h--wire: expect 1 of .*did not come\n(.*\n)*.*wanted 02:00:00:00:09:50",
)
def test_host_changes_the_route_to_that_destination_only(bench: Bench) -> None:
    """A host that is redirected changes its route to that one destination.

    What it sends next to that destination goes to the gateway that was named, straight; what it
    sends to a neighbour of that destination goes by way of the old one (RFC 1122 3.3.1.2).
    """
    net, dut, host = bench.bring_up_network(), bench.router("dut"), bench.host("h")
    h, gateway = net["h"], net.at("dut", "wire--dut")
    better, told, untold = h.ip + 40, FAR[9], FAR[10]
    dut.set_redirects(on=True)
    dut.add_route(FAR, better)
    dut.add_arp(bench.port("dut", toward="wire"), better, BETTER_MAC)
    host.add_arp(bench.port("h", toward="wire"), better, BETTER_MAC)

    with bench.capture("h--wire", "wire--dut") as seen:
        # Asked, so that the socket is there to hear of it: Linux tells nobody else.
        host.udp_ask(str(told), 40009, MARK + b"first", within=milliseconds(400))
        about = match.ipv4(src=h.ip, dst=told)
        seen.wait_for("wire--dut", redirect(bench, "wire--dut", better, about))
        host.udp_send(str(told), 40009, MARK + b"second")
        host.udp_send(str(untold), 40009, MARK + b"third")
        seen.wait_for("wire--dut", match.containing(MARK + b"third"))

    from_host = seen.at("h--wire")
    first, second, third = (
        match.eth(src=h.mac, dst=mac) & match.ipv4(dst=ip) & match.udp(payload=MARK + text)
        for mac, ip, text in (
            (gateway.mac, told, b"first"),
            (BETTER_MAC, told, b"second"),
            (gateway.mac, untold, b"third"),
        )
    )
    for packet in (first, second, third):
        from_host.expect_count(packet, 1)
    forwarded = match.eth(src=gateway.mac, dst=BETTER_MAC) & match.ipv4(src=h.ip)
    seen.at("wire--dut").expect_count(forwarded & match.udp(payload=MARK + b"first"), 1)
    seen.at("wire--dut").expect_count(forwarded & match.udp(payload=MARK + b"third"), 1)
    seen.at("wire--dut").expect_none(match.containing(MARK + b"second"))
