"""Of the routes that match a packet, the one with the longest prefix decides.

A default route, a /17, a /24, a /25 and a /32, each inside the last, lead to two next hops by
turns, and are configured out of order; so do a /3, a /30, and a /32 inside the subnet of a port,
whose other addresses stay on that link. A route counts from when it is configured on, also for
addresses to which packets went before by another. Packets to both edges of every prefix take the
route of the longest one that holds them, to that next hop's MAC address and nowhere else (RFC 1812
5.2.4.3).
Packets from or to 127.0.0.0/8 take none: loopback is never on the wire (RFC 1812 5.3.7, RFC 1122
3.2.1.3).
"""

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network

import pytest

from testbed import Bench, EthFrame, IPv4Packet, Topology, compose, drill, faults, match

MARK = b"IP-06 "

ROUTES = {  # in the order in which they are configured
    "198.19.200.0/24": "b",
    "0.0.0.0/0": "b",
    "198.19.200.200/32": "b",
    "198.19.128.0/17": "c",
    "64.0.0.0/3": "c",
    "198.19.200.64/30": "c",
    "198.19.200.128/25": "c",
}

ROUTED = {
    "b": (
        "203.0.113.9",
        "63.255.255.255",
        "96.0.0.0",
        "198.19.127.255",
        "198.19.200.0",
        "198.19.200.63",
        "198.19.200.68",
        "198.19.200.127",
        "198.19.200.200",
    ),
    "c": (
        "64.0.0.0",
        "95.255.255.255",
        "198.19.128.0",
        "198.19.199.255",
        "198.19.200.64",
        "198.19.200.67",
        "198.19.201.0",
        "198.19.255.255",
        "198.19.200.128",
        "198.19.200.199",
        "198.19.200.201",
        "198.19.200.255",
    ),
}

LAST, EARLY = "198.19.200.128/25", "198.19.200.199"
"""The last route, and one of its addresses: until there is that route, /24 has it."""

LOOPBACK = ("127.0.0.1", "127.0.0.53", "127.255.255.254")


def consults_first(prefix: str, leaf: str) -> Callable[[Bench], None]:
    """The route to ``prefix`` by ``leaf`` is looked at before all others."""

    def fault(bench: Bench) -> None:
        bench.sabotage("dut").run(
            f"ip route add {prefix} via {bench.bring_up_network()[leaf].ip} table 77",
            "ip rule add pref 77 lookup 77",
            undo=(
                "ip rule del pref 77 2>/dev/null || true",
                "ip route flush table 77 2>/dev/null || true",
            ),
        )

    return fault


@pytest.mark.behaviour("IP-06", clause="RFC 1812 5.2.4.3")
@pytest.mark.topology(Topology.star("dut:router", "a", "b", "c"))
@drill(
    "first match wins",
    consults_first("198.19.200.0/24", "b"),
    caught=r"c--dut: expect 1 of .*dst=198.19.200.64",
)
@drill(
    "last match wins",
    consults_first("198.19.200.128/25", "c"),
    caught=r"b--dut: expect .*dst=198.19.200.(199|200)",
)
@drill(
    "lets loopback out",
    faults.sysctl("net.ipv4.conf.all.route_localnet", "1"),
    caught=r"--dut: expect none: .*127\.0\.0\.0/8",
)
def test_longest_prefix_decides(bench: Bench) -> None:
    net, dut = bench.bring_up_network(), bench.router("dut")
    a = net["a"]
    elsewhere = net["b"].ip + 5
    routed = {"b": ROUTED["b"], "c": (*ROUTED["c"], str(elsewhere))}
    for prefix, leaf in ROUTES.items():
        if prefix != LAST:
            dut.add_route(IPv4Network(prefix), net[leaf].ip)
    dut.add_route(IPv4Network(elsewhere), net["c"].ip)

    with bench.capture() as seen:
        early = IPv4Packet(a.ip, IPv4Address(EARLY), payload=b"early")
        bench.nic("a").inject(compose(EthFrame(a.gateway_mac, a.mac), early, pad=True))
        seen.wait_for("b--dut", match.ipv4(dst=EARLY, payload=b"early"))
        dut.add_route(IPv4Network(LAST), net[ROUTES[LAST]].ip)
        for address in (*routed["b"], *routed["c"], *LOOPBACK):
            packet = IPv4Packet(a.ip, IPv4Address(address), payload=MARK)
            bench.nic("a").inject(compose(EthFrame(a.gateway_mac, a.mac), packet, pad=True))
        for address in LOOPBACK:
            packet = IPv4Packet(IPv4Address(address), net["b"].ip, payload=MARK)
            bench.nic("a").inject(compose(EthFrame(a.gateway_mac, a.mac), packet, pad=True))
        seen.settle()

    for leaf, addresses in routed.items():
        frame = match.eth(src=net.at("dut", f"{leaf}--dut").mac, dst=net[leaf].mac)
        for address in addresses:
            mine = match.ipv4(src=a.ip, dst=address, ttl=63, payload=MARK)
            seen.at(f"{leaf}--dut").expect_count(frame & mine, 1)
    loopback = match.ipv4(src="127.0.0.0/8") | match.ipv4(dst="127.0.0.0/8")
    for leaf in ("a", "b", "c"):
        seen.at(f"{leaf}--dut").expect_none(loopback)
    for leaf, addresses in routed.items():
        seen.at(f"{leaf}--dut").expect_count(match.containing(MARK), len(addresses))
    seen.at("a--dut").expect_none(match.ipv4())
