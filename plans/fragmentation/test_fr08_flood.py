"""A flood of fragments neither fills a host's memory nor keeps other traffic out.

Fragments of ``SETS`` datagrams come, each of which lacks its end. Then the ends come: those sets
that the host still holds are answered: the count of answers tells how much it held, whatever it
says of itself. It is no more than the host's own bound, which is set low for this
(``ipfrag_high_thresh``), times ``reassembly_slack`` (1.1). All through the flood ordinary
datagrams are answered, each one. Once the time of what is held is over, a datagram in fragments is
answered, too (RFC 791 3.2; RFC 1122 3.3.2). That it is even during the flood is not asked: Linux
neither takes new ones nor completes old ones while its memory for them is full. It holds as much of
floods of two sizes: a host that is full gives up one for each that comes, not all. Another flood is
of fragments of 8 bytes.
"""

from contextlib import suppress
from dataclasses import replace

import pytest

from testbed import (
    Bench,
    Capture,
    EthFrame,
    ExpectationFailed,
    IPv4Packet,
    Topology,
    UdpDatagram,
    compose,
    defects,
    drill,
    enclose,
    faults,
    fragment,
    match,
    seconds,
)

SERVICE = 40801
FLOOD, ORDINARY, AFTER = 20000, 41800, 41899
"""Source ports: of the flood (one each), of ordinary datagrams, of the one in fragments."""
BOUND, LOWER = 262_144, 196_608
SETS, SIZE = 400, 1400
FLOODS = (SETS, 350)
ALIKE = 1.5
"""What is held of floods of two sizes differs by no more than this factor, and a few."""
TINY = 2000
EVERY = 20
"""Sets of the flood for one ordinary datagram."""
TIMEOUT = 1
SOON = seconds(3)
BODY = bytes(at * 7 % 251 for at in range(2400))


@pytest.mark.behaviour("FR-08", clause="RFC 1122 3.3.2")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "memory grows without bound",
    faults.python_stack(defects.fragments.MEMORY_GROWS),
    caught="held 400 of 400 incomplete datagrams",
)
@drill(
    "room for sixteen times as much",
    faults.repeatedly("sysctl -qw net.ipv4.ipfrag_high_thresh=4000000", every=0.005),
    caught="held (2[0-9][0-9]|3[0-9][0-9]|400) of 400 incomplete datagrams",
)
@drill(
    "drops all when full",
    faults.python_stack(defects.fragments.DROPS_ALL_WHEN_FULL),
    caught="expected as many of each flood",
)
@drill(
    "wedged when full",
    faults.python_stack(defects.fragments.WEDGED_WHEN_FULL),
    caught="no answer to a datagram in fragments",
)
@drill(
    "takes a flood for a reason to hear nothing",
    faults.nft(
        "type filter hook prerouting priority -450;",
        "ip protocol udp limit rate over 100/second burst 50 packets drop",
    ),
    caught="[0-9]+ of 20 ordinary datagrams were answered",
)
def test_flood_of_fragments_is_survived(bench: Bench) -> None:
    net, dut = bench.bring_up_network(), bench.host("dut")
    dut.set_sysctl("net.ipv4.ipfrag_time", str(TIMEOUT))
    dut.set_sysctl("net.ipv4.ipfrag_low_thresh", str(LOWER))  # the upper one cannot be less
    dut.set_sysctl("net.ipv4.ipfrag_high_thresh", str(BOUND))
    # Linux gives a set up as well when 64 other fragments of its sender have come since.
    dut.set_sysctl("net.ipv4.ipfrag_max_dist", "0")
    slack = bench.tolerance("reassembly_slack", 1.1)
    dut.udp_serve(SERVICE)
    there = IPv4Packet(net["peer"].ip, net["dut"].ip)
    counts = {}
    for sets in FLOODS:
        counts[sets] = held = held_after(bench, there, sets)
        if held * SIZE > BOUND * slack:
            raise ExpectationFailed(
                f"peer--dut: the host held {held} of {sets} incomplete datagrams, {held * SIZE} "
                f"bytes, its bound is {BOUND}"
            )
        bench.watch_for(seconds(TIMEOUT * 1.3))
    told = ", ".join(f"{held} of {sets}" for sets, held in counts.items())
    bench.log(f"the host held {told} incomplete datagrams of {SIZE} bytes")
    if max(counts.values()) > ALIKE * min(counts.values()) + EVERY:
        raise ExpectationFailed(
            f"peer--dut: the host held {told} incomplete datagrams, expected as many of each "
            f"flood: when it is full one goes for each that comes, the older or the newer"
        )

    with bench.capture("peer--dut") as seen:
        for number in range(TINY):
            port, offset = divmod(number, TINY // 4)
            piece = replace(there, protocol=17, ident=port + 1, offset=offset * 16, mf=True)
            send(bench, replace(piece, payload=bytes(8)))
            if number % (TINY * EVERY // SETS) == 0:
                ask(bench, seen, ORDINARY + number * SETS // (TINY * EVERY))
        seen.settle()
    expect_ordinary(seen, SETS // EVERY)

    bench.watch_for(seconds(TIMEOUT * 1.3))
    with bench.capture("peer--dut") as seen:
        for piece in fragment(enclose(there, UdpDatagram(AFTER, SERVICE, BODY)), SIZE):
            send(bench, piece)
        answer = match.udp(src_port=SERVICE, dst_port=AFTER)
        if not bench.loop.run_until(lambda: bool(seen.at("peer--dut").all(answer)), SOON):
            raise ExpectationFailed(
                "peer--dut: no answer to a datagram in fragments, though the flood is over and the "
                "time of what was held as well"
            )


def held_after(bench: Bench, there: IPv4Packet, sets: int) -> int:
    """How many of so many incomplete datagrams the host still held when their ends came."""
    ends = list[IPv4Packet]()
    with bench.capture("peer--dut") as seen:
        for number in range(sets):
            port = FLOOD + number
            body = UdpDatagram(port, SERVICE, bytes(SIZE))
            first, last = halves(enclose(replace(there, ident=port), body))
            send(bench, first)
            ends.append(last)
            if number % EVERY == 0:
                ask(bench, seen, ORDINARY + number // EVERY)
        for at in range(0, sets, EVERY):  # no more at a time than a service's buffer holds
            send(bench, *ends[at : at + EVERY])
            ask(bench, seen, AFTER - 1)
        seen.settle()
    expect_ordinary(seen, -(-sets // EVERY))
    flood = match.udp(src_port=SERVICE, dst_port=range(FLOOD, FLOOD + sets))
    return len(seen.at("peer--dut").all(flood))


def halves(packet: IPv4Packet) -> tuple[IPv4Packet, IPv4Packet]:
    """A packet without its last bytes, and those."""
    cut = (len(packet.payload) - 1) & ~7
    return (
        replace(packet, mf=True, payload=packet.payload[:cut]),
        replace(packet, offset=cut, payload=packet.payload[cut:]),
    )


def send(bench: Bench, *packets: IPv4Packet) -> None:
    """Hand the host packets, as they are."""
    net = bench.bring_up_network()
    for each in packets:
        bench.nic("peer").inject(compose(EthFrame(net["dut"].mac, net["peer"].mac), each))


def ask(bench: Bench, seen: Capture, port: int) -> None:
    """Send an ordinary datagram and wait for its answer; that there is one is judged later."""
    net = bench.bring_up_network()
    there = IPv4Packet(net["peer"].ip, net["dut"].ip)
    send(bench, enclose(there, UdpDatagram(port, SERVICE, b"well?")))
    answer = match.udp(src_port=SERVICE, dst_port=port, payload=b"well?")
    before = len(seen.at("peer--dut").all(answer))
    with suppress(ExpectationFailed):
        bench.wait_until(lambda: len(seen.at("peer--dut").all(answer)) > before, seconds(0.3))


def expect_ordinary(seen: Capture, count: int) -> None:
    """So many ordinary datagrams were answered."""
    ports = range(ORDINARY, ORDINARY + count)
    answered = len(seen.at("peer--dut").all(match.udp(src_port=SERVICE, dst_port=ports)))
    if answered != count:
        raise ExpectationFailed(
            f"peer--dut: {answered} of {count} ordinary datagrams were answered while fragments "
            "came, expected all"
        )
