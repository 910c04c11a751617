"""Who needs a neighbour's MAC address asks for it, keeps the answer for a while, and asks again.

The router's request is a broadcast that holds its own IP and MAC address; for a destination off the
link it asks for the next hop. It answers requests for its own address and no other, by unicast, and
remembers who asked it, under a new MAC address too, and nobody else: not by
an answer to another, an announcement, or a probe (RFC 826, RFC 1812 3.3.2, RFC 5227 2.1.1).
An entry that nobody confirms is asked for again in the bench's tolerance (``arp_expiry``, seconds
beyond the timeout that was set; RFC 1122 2.3.2.1); one that is asked for in vain is used no more.
"""

from ipaddress import IPv4Address, IPv4Network

import pytest

from testbed import (
    ArpPacket,
    Bench,
    Capture,
    Duration,
    EthFrame,
    ExpectationFailed,
    IPv4Packet,
    MacAddr,
    Matcher,
    Topology,
    compose,
    drill,
    faults,
    format_duration,
    match,
    milliseconds,
    seconds,
)

ASKER, MOVED, OVERHEARD = (MacAddr(f"02:00:00:00:01:{n}") for n in ("0a", "0b", "0c"))
FAR = IPv4Network("203.0.113.0/24")
FRESH = seconds(1)
REQUESTS = seconds(5)
"""In which a router has asked in vain often enough."""
NOBODY = IPv4Address(0)
TABLE = "netdev testbed_fault"


def send(bench: Bench, dst: IPv4Address, payload: bytes) -> None:
    """A packet from a, by way of the router."""
    a = bench.bring_up_network()["a"]
    packet = IPv4Packet(a.ip, dst, payload=payload)
    bench.nic("a").inject(compose(EthFrame(a.gateway_mac, a.mac), packet, pad=True))


def ask(bench: Bench, leaf: str, mac: MacAddr, ip: IPv4Address, target: IPv4Address) -> None:
    """A request of ``mac``, which says it has ``ip``, on the link of ``leaf``."""
    request = ArpPacket.request(mac, ip, target)
    bench.nic(leaf).inject(compose(EthFrame(MacAddr.BROADCAST, mac), request, pad=True))


def expect_cached(bench: Bench, ip: IPv4Address, mac: MacAddr) -> None:
    """The router's table holds ``ip`` once, at ``mac``, on b's port."""
    table = bench.router("dut").arp_table()
    held = [(entry.mac, entry.port) for entry in table if entry.ip == ip]
    if held != [(mac, bench.port("dut", toward="b"))]:
        raise ExpectationFailed(f"the asker {ip} at {mac} is not cached so, but as: {held}")


def expect_given_up(bench: Bench, seen: Capture, within: Duration) -> None:
    """What b does not confirm any more is sent to it no more, a few requests later."""
    b = bench.bring_up_network()["b"]
    station = bench.bring_up_network().station("b")
    station.answer_arp = False
    most = Duration(within + REQUESTS)
    deadline = bench.loop.now() + most
    try:
        while True:
            since = bench.loop.wall_now()
            send(bench, b.ip, b"to the silent")
            bench.watch_for(milliseconds(200))
            if not seen.at("b--dut").after(since).all(match.ipv4(payload=b"to the silent")):
                return
            if bench.loop.now() >= deadline:
                raise ExpectationFailed(
                    f"b--dut: packets still come {format_duration(most)} after "
                    f"{b.ip} fell silent: its entry never ends"
                )
    finally:
        station.answer_arp = True
        station.announce()


def expect_silent_to_others(
    bench: Bench, seen: Capture, ip: IPv4Address, absent: IPv4Address
) -> None:
    """What is asked of others, said to others or announced is nothing to the router."""
    net, dut = bench.bring_up_network(), bench.router("dut")
    a, b = net["a"], net["b"]
    subnet = b.address.network
    for other in (absent, b.ip, a.ip, FAR[9], subnet.network_address, subnet.broadcast_address):
        ask(bench, "b", OVERHEARD, ip, other)
        ask(bench, "b", OVERHEARD, NOBODY, other)
    for said in (
        ArpPacket.request(OVERHEARD, ip, ip),
        ArpPacket.reply(OVERHEARD, ip, b.mac, b.ip),
    ):
        frame = EthFrame(MacAddr.BROADCAST, OVERHEARD)
        bench.nic("b").inject(compose(frame, said, pad=True))
    ask(bench, "a", OVERHEARD, a.ip + 62, b.ip)
    seen.settle()
    for leaf in ("a", "b"):
        seen.at(f"{leaf}--dut").expect_none(match.arp(op="reply"))
    if any(entry.mac == OVERHEARD for entry in dut.arp_table()):
        raise ExpectationFailed(f"{dut.name} cached {OVERHEARD}, which never asked for it")


def asks_for_what_is_far(bench: Bench) -> None:
    """Take the far network for one on b's link."""
    port = bench.port("dut", toward="b")
    bench.sabotage("dut").run(
        f"ip route add {FAR} dev {port} table 77",
        "ip rule add pref 77 lookup 77",
        undo=(
            "ip rule del pref 77 2>/dev/null || true",
            "ip route flush table 77 2>/dev/null || true",
        ),
    )


@pytest.mark.behaviour("IP-01", clause="RFC 826")
@pytest.mark.topology(Topology.star("dut:router", "a", "b"))
@drill(
    "answers for others",
    faults.sysctl("net.ipv4.conf.{b}.proxy_arp", "1"),
    caught=r"expect none: arp\(op=2|cached \S+, which never asked",
)
@drill(
    "never expires",
    faults.all_of(
        faults.shell("true", undo=("ip neigh flush dev {b} nud permanent",)),
        faults.repeatedly(
            "ip neigh show dev {b} nud reachable | while read ip _ mac _; do "
            "ip neigh replace $ip lladdr $mac dev {b} nud permanent; done"
        ),
    ),
    caught="a second .*arp.* did not come within",
)
@drill(
    "does not cache the asker",
    # It hears of another asker, and the answer is put right on its way out.
    faults.shell(
        f"nft add table {TABLE}",
        f"nft 'add chain {TABLE} in {{{{ type filter hook ingress device {{b}} priority 0; }}}}'",
        f"nft 'add chain {TABLE} out {{{{ type filter hook egress device {{b}} priority 0; }}}}'",
        f"nft add rule {TABLE} in arp saddr ether {ASKER} arp saddr ip set 192.0.2.1",
        f"nft add rule {TABLE} out ether daddr {ASKER} arp daddr ip set 198.18.1.70",
        undo=(f"nft delete table {TABLE} 2>/dev/null || true",),
    ),
    caught="is not cached",
)
@drill(
    "asks for what is off the link",
    asks_for_what_is_far,
    caught="b--dut: expect 1 of .*target_ip=.*did not come",
)
def test_neighbours_are_asked_answered_and_forgotten(bench: Bench) -> None:
    net, dut = bench.bring_up_network(), bench.router("dut")
    b, out = net["b"], net.at("dut", "b--dut")
    port = bench.port("dut", toward="b")
    asker, next_hop, overheard, absent = (b.ip + number for number in (60, 61, 62, 63))
    net.station("b").answer_for.add(next_hop)
    dut.add_route(FAR, next_hop)
    dut.set_arp_timeout(port, FRESH)

    def request_for(ip: IPv4Address) -> Matcher:
        mine = match.arp(op="request", sender_mac=out.mac, sender_ip=out.ip, target_ip=ip)
        return match.eth(src=out.mac) & mine

    def packet_to(ip: IPv4Address, mac: MacAddr, payload: bytes) -> Matcher:
        return match.eth(src=out.mac, dst=mac) & match.ipv4(dst=ip, payload=payload)

    broadcast = match.eth(dst=MacAddr.BROADCAST)
    reply = match.eth(src=out.mac) & match.arp(
        op="reply", sender_mac=out.mac, sender_ip=out.ip, target_ip=asker
    )
    with bench.capture() as seen:
        dut.flush_arp(port)
        send(bench, b.ip, b"first")
        seen.wait_for("b--dut", match.ipv4(payload=b"first"))
        send(bench, b.ip, b"second")
        send(bench, FAR[9], b"far")
        seen.settle()
        at_b = seen.at("b--dut")
        first, second = (packet_to(b.ip, b.mac, text) for text in (b"first", b"second"))
        at_b.expect_sequence(broadcast & request_for(b.ip), first, second)
        at_b.expect_count(broadcast & request_for(b.ip), 1)
        at_b.expect_count(broadcast & request_for(next_hop), 1)
        at_b.expect_count(packet_to(FAR[9], b.mac, b"far"), 1)
        at_b.expect_count(match.arp(op="request"), 2)
        seen.at("a--dut").expect_none(match.arp(op="request"))

        expect_silent_to_others(bench, seen, overheard, absent)
        for mac in (ASKER, MOVED):
            ask(bench, "b", mac, asker, out.ip)
            seen.settle()
            answer = match.eth(dst=mac) & match.arp(target_mac=mac) & reply
            seen.at("b--dut").expect_count(answer, 1)
            expect_cached(bench, asker, mac)
            send(bench, asker, b"to the asker")
            seen.settle()
            seen.at("b--dut").expect_count(packet_to(asker, mac, b"to the asker"), 1)
        seen.at("b--dut").expect_none(broadcast & request_for(asker))

        # Some keep an entry for half as long again, and ask only while it is in use.
        within = Duration(FRESH * 3 // 2 + seconds(bench.tolerance("arp_expiry", 8.0)))
        again, deadline = request_for(b.ip), bench.loop.now() + within
        while len(at_b.all(again)) < 2:
            if bench.loop.now() >= deadline:
                raise ExpectationFailed(
                    f"b--dut: a second {again} did not come within {format_duration(within)}"
                )
            send(bench, b.ip, b"once more")
            bench.watch_for(milliseconds(200))
        expect_given_up(bench, seen, within)

    seen.at("b--dut").expect_count(match.arp(op="reply"), 2)
    seen.at("a--dut").expect_none(match.arp(op="reply"))
