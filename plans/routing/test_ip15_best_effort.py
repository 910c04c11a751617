"""Packets to a dead host leave at once and once: IP waits for nothing and repeats nothing.

"The internet protocol ... There are no mechanisms to augment end-to-end data reliability, flow
control, sequencing" (RFC 791 1.2). A neighbour answers ARP for a host and nothing else: datagrams
for it, and each fragment of a large one, leave in order, each within ``send_delay`` (seconds, 0.15)
of the call that sent it, and in ``retry_watch`` (seconds, 1.2) none of them a second time; others
are served meanwhile. An ICMP error has nothing repeated, either.

Where nobody even answers ARP, the host stops asking, and what it held for the dead host is gone: it
is not sent when the host comes up later (RFC 1122 2.3.2.2 has it saved while it is asked for).
"""

from ipaddress import IPv4Address

import pytest

from testbed import (
    ArpPacket,
    Bench,
    Capture,
    Duration,
    EthFrame,
    ExpectationFailed,
    MacAddr,
    Matcher,
    StackConfig,
    Topology,
    compose,
    defects,
    drill,
    faults,
    format_duration,
    match,
    milliseconds,
    seconds,
)

PAIR = pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
IP15 = pytest.mark.behaviour("IP-15", clause="RFC 791 1.2")
PORT = 7015
MARKS = tuple(f"IP-15 {number}".encode() for number in range(4))
LARGE = b"IP-15 large ".ljust(4000, b".")
ASK_EVERY = milliseconds(300)
"""Between ARP requests: sooner than the second of RFC 1122 2.3.2.1, for the plan's sake."""
ASKS = 2
SOON = seconds(3)


def addressed_to(address: IPv4Address, payload: bytes) -> Matcher:
    """One of the datagrams."""
    return match.ipv4(dst=address) & match.udp(dst_port=PORT, payload=payload)


@IP15
@PAIR
@drill(
    "IP retries",
    faults.python_stack(defects.ip.SENDS_AGAIN),
    caught=r"expect 1 of .*: 2 came",
)
@drill(
    "one packet at a time",
    faults.python_stack(defects.ip.WAITS_FOR_ANSWERS),
    caught=r"left .* after it was sent",
)
@drill(
    "sends each packet twice",
    faults.nft(
        "type filter hook postrouting priority 0;",
        f"udp dport {PORT} dup to ip daddr device {{peer}}",
    ),
    caught=r"expect 1 of .*: 2 came",
)
def test_packets_to_a_dead_host_leave_once(bench: Bench) -> None:
    net, dut = bench.bring_up_network(), bench.host("dut")
    dead = net["dut"].ip + 50
    peer = bench.host("peer", StackConfig.of(arp={"answer_for": (str(dead),)}))
    alive, link = peer.udp(PORT), "peer--dut"
    with bench.capture(link) as seen:
        for payload in MARKS:
            send(bench, seen, dead, payload)
        dut.udp_send(str(dead), PORT, LARGE)
        send(bench, seen, peer.address, MARKS[0])
        if alive.receive(within=SOON).payload != MARKS[0]:
            raise ExpectationFailed(f"{link}: another datagram came to the living host")
        alive.udp.close(peer.now())
        send(bench, seen, peer.address, MARKS[1])  # a closed port: ICMP 3/3
        bench.watch_for(seconds(bench.tolerance("retry_watch", 1.2)))
        seen.settle()

    view = seen.at(link)
    view.expect_sequence(*(addressed_to(dead, payload) for payload in MARKS))
    for payload in MARKS:
        view.expect_count(addressed_to(dead, payload), 1)
    for payload in MARKS[:2]:
        view.expect_count(addressed_to(peer.address, payload), 1)
    pieces = view.all(match.ipv4(dst=dead, fragment=True))
    for offset in sorted({each.ipv4.offset for each in pieces}):
        view.expect_count(match.ipv4(dst=dead, fragment=True, offset=offset), 1)
    if sum(len(each.ipv4.payload) for each in pieces) != len(LARGE) + 8:
        raise ExpectationFailed(f"{link}: the large datagram did not leave whole")


def send(bench: Bench, seen: Capture, to: IPv4Address, payload: bytes) -> None:
    """Send a datagram, and see that it leaves at once."""
    bench.host("dut").udp_send(str(to), PORT, payload)
    sent = bench.loop.wall_now()
    most = seconds(bench.tolerance("send_delay", 0.15))
    came = seen.wait_for("peer--dut", addressed_to(to, payload), within=SOON)
    if came.at > sent + most:
        late = format_duration(Duration(came.at - sent))
        raise ExpectationFailed(
            f"peer--dut: {payload!r} left {late} after it was sent, "
            f"expected {format_duration(most)} at most"
        )


@IP15
@PAIR
@drill(
    "asks for ever",
    faults.python_stack(defects.ip.ASKS_FOR_EVER),
    caught=r"expect 1 to 2 of arp\(.*came",
)
@drill(
    "hoards for the dead",
    faults.python_stack(defects.ip.HOARDS_FOR_THE_DEAD),
    caught=r"expect 1 of ipv4\(.*2 came",
)
def test_what_was_held_for_a_dead_host_is_gone(bench: Bench) -> None:
    net, dut = bench.bring_up_network(), bench.host("dut")
    port, link = bench.port("dut", toward="peer"), "peer--dut"
    peer, dead = net["peer"], net["dut"].ip + 51
    dut.set_sysctl(f"net.ipv4.neigh.{port}.retrans_time_ms", str(ASK_EVERY // milliseconds(1)))
    dut.set_sysctl(f"net.ipv4.neigh.{port}.mcast_solicit", str(ASKS))
    asks = match.arp(op="request", target_ip=dead)
    with bench.capture(link) as seen:
        dut.udp_send(str(dead), PORT, MARKS[0])
        seen.wait_for(link, asks)
        bench.watch_for(Duration(3 * ASKS * ASK_EVERY))
        seen.settle()
        seen.at(link).expect_count(asks, range(1, ASKS + 1))

        given_up = bench.loop.wall_now()
        net.station("peer").answer_for.add(dead)
        announcement = ArpPacket.announcement(peer.mac, dead)
        bench.nic("peer").inject(
            compose(EthFrame(MacAddr.BROADCAST, peer.mac), announcement, pad=True)
        )
        seen.settle()
        seen.at(link).after(given_up).expect_none(match.arp(target_ip=dead))
        dut.udp_send(str(dead), PORT, MARKS[1])
        seen.wait_for(link, addressed_to(dead, MARKS[1]))
        seen.settle()
    seen.at(link).expect_count(match.ipv4(dst=dead), 1)
    seen.at(link).expect_count(addressed_to(dead, MARKS[1]), 1)
