"""Fragments whose others never come are given up after a time, and their sender is told.

A host must have a reassembly timeout: a fixed value, recommended to lie between 60 and 120 seconds
(RFC 1122 3.3.2). It counts from the fragment that came first; later ones do not put it off. When it
ends, what was held is discarded, and the source gets one ICMP time exceeded of code 1 that quotes
fragment 0, if that one came; "if fragment zero is not available then no time exceeded need be sent
at all" (RFC 792). A datagram whose last fragment comes in time is answered; one whose last fragment
comes too late is not.

With a host's own setting the error must come between ``reassembly_least`` and ``reassembly_most``
(seconds, 30 and 120: Linux gives up after 30). That plan is slow; the other one has the time-out
set to a second. ``reassembly_late`` (seconds, 0.5) is how much later the error may be.
"""

import itertools
from dataclasses import replace

import pytest

from testbed import (
    Bench,
    Capture,
    Duration,
    EthFrame,
    ExpectationFailed,
    IPv4Packet,
    Matcher,
    Topology,
    TracedFrame,
    UdpDatagram,
    compose,
    defects,
    drill,
    enclose,
    faults,
    format_duration,
    match,
    milliseconds,
    seconds,
)

SERVICE = 40401
PORT = 41400
BODY = bytes(at * 7 % 251 for at in range(992))
TIMEOUT = 1
"""Seconds, as set for the quick plan."""
CODE_1 = match.icmpv4(type=11, code=1)


@pytest.mark.behaviour("FR-04", clause="RFC 1122 3.3.2")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "never frees",
    faults.python_stack(defects.fragments.NEVER_FREES),
    caught="no time exceeded",
)
@drill(
    "never frees, and says that it did",
    faults.python_stack(defects.fragments.TELLS_ONLY),
    caught="was answered, though that fragment came long after the time-out",
)
@drill(
    "extends the timer",
    faults.python_stack(defects.fragments.EXTENDS_TIMER),
    caught="no time exceeded",
)
@drill(
    "gives up early",
    faults.python_stack(defects.fragments.GIVES_UP_EARLY),
    caught="no answer to a datagram that came complete half-way",
)
@drill(
    "tells without the first fragment",
    faults.python_stack(defects.fragments.TELLS_WITHOUT_FIRST),
    caught="peer--dut: expect 1 of icmpv4.*2 came",
)
@drill(
    "keeps them for half a minute",
    faults.repeatedly("sysctl -qw net.ipv4.ipfrag_time=30"),
    caught="no time exceeded",
)
@drill(
    "gives up in silence",
    faults.nft("type filter hook output priority 0;", "icmp type time-exceeded drop"),
    caught="no time exceeded",
)
@drill(
    "takes it for a TTL",
    faults.nft("type filter hook output priority 0;", "icmp type time-exceeded icmp code set 0"),
    caught="no time exceeded",
)
def test_incomplete_datagram_is_given_up_in_time(bench: Bench) -> None:
    bench.bring_up_network()
    dut = bench.host("dut")
    dut.set_sysctl("net.ipv4.ipfrag_time", str(TIMEOUT))
    dut.udp_serve(SERVICE)
    timeout = seconds(TIMEOUT)
    late = seconds(bench.tolerance("reassembly_late", 0.5))
    torn, beheaded, slow = (pieces(bench, port) for port in range(PORT, PORT + 3))

    with bench.capture("peer--dut") as seen:
        start = send(bench, seen, torn[0])
        send(bench, seen, beheaded[1])
        send(bench, seen, slow[0])
        bench.watch_for(Duration(timeout // 2))
        send(bench, seen, torn[1])  # it must not put the end off
        send(bench, seen, beheaded[2])
        send(bench, seen, slow[2])
        send(bench, seen, slow[1])
        expect_echo(bench, seen, PORT + 2, "complete half-way through the time-out")
        expect_told(bench, seen, torn[0], start, (timeout, Duration(timeout + late)))
        bench.watch_for(Duration(timeout // 2 + late))  # whoever counts from later ones tells now
        send(bench, seen, torn[2])
        send(bench, seen, beheaded[0])
        whole = whole_datagram(bench, PORT + 3)
        send(bench, seen, whole)
        expect_echo(bench, seen, PORT + 3, "whole")
        seen.settle()
    for port, what in ((PORT, "last"), (PORT + 1, "first")):
        expect_silence(seen, port, f"whose {what} fragment came")
    seen.at("peer--dut").expect_count(CODE_1, 1)


@pytest.mark.slow("a host holds incomplete datagrams for 30 to 120 s")
@pytest.mark.behaviour("FR-04", clause="RFC 1122 3.3.2")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "gives up early",
    faults.sysctl("net.ipv4.ipfrag_time", "3"),
    caught="early, expected",
)
def test_incomplete_datagram_is_held_for_as_long_as_the_standard_says(bench: Bench) -> None:
    """A host by its own setting gives an incomplete datagram up after 60 to 120 s (Linux: 30)."""
    bench.bring_up_network()
    least = seconds(bench.tolerance("reassembly_least", 30))
    most = seconds(bench.tolerance("reassembly_most", 120))
    torn = pieces(bench, PORT)
    with bench.capture("peer--dut") as seen:
        start = send(bench, seen, torn[0])
        expect_told(bench, seen, torn[0], start, (least, most))
    seen.at("peer--dut").expect_count(CODE_1, 1)


def whole_datagram(bench: Bench, port: int) -> IPv4Packet:
    """The datagram of ``port``."""
    net = bench.bring_up_network()
    there = IPv4Packet(net["peer"].ip, net["dut"].ip, ident=port)
    return enclose(there, UdpDatagram(port, SERVICE, BODY))


def pieces(bench: Bench, port: int) -> list[IPv4Packet]:
    """The datagram of ``port`` in three fragments."""
    packet = whole_datagram(bench, port)
    ends = (0, 400, 800, len(packet.payload))
    return [
        replace(packet, offset=start, mf=end != ends[-1], payload=packet.payload[start:end])
        for start, end in itertools.pairwise(ends)
    ]


def of(packet: IPv4Packet) -> Matcher:
    """The very packet."""
    return match.ipv4(src=packet.src, ident=packet.ident, offset=packet.offset)


def send(bench: Bench, seen: Capture, packet: IPv4Packet) -> TracedFrame:
    """Send one packet; the frame as it left."""
    net = bench.bring_up_network()
    bench.nic("peer").inject(compose(EthFrame(net["dut"].mac, net["peer"].mac), packet))
    return seen.wait_for("peer--dut", of(packet), sent=True)


def expect_told(
    bench: Bench,
    seen: Capture,
    first: IPv4Packet,
    start: TracedFrame,
    bounds: tuple[Duration, Duration],
) -> None:
    """The error about ``first``, sent as ``start``, comes within ``bounds`` and not before."""
    least, most = bounds
    told = CODE_1 & match.icmpv4(quoting=first.emit(), bad_checksum=False)
    wanted = f"expected after {format_duration(least)} to {format_duration(most)}"
    left = Duration(max(0, most - (bench.loop.wall_now() - start.at)))
    bench.loop.run_until(lambda: bool(seen.at("peer--dut").all(told)), left)
    came = seen.at("peer--dut").all(told)
    if not came:
        raise ExpectationFailed(
            f"peer--dut: no time exceeded (11/1) about fragment 0, #{start.number}, {wanted}"
        )
    took = Duration(came[0].at - start.at)
    # A kernel's timer may be a tick early by the clock of a capture.
    if took < least - milliseconds(20) or took > most:
        which = "early" if took < least else "late"
        raise ExpectationFailed(
            f"peer--dut: #{came[0].number}, time exceeded (11/1), came {format_duration(took)} "
            f"after fragment 0, {which}, {wanted}"
        )


def expect_echo(bench: Bench, seen: Capture, port: int, what: str) -> None:
    """The datagram of ``port`` is answered."""
    echo = match.udp(src_port=SERVICE, dst_port=port, payload=BODY, bad_checksum=False)
    if not bench.loop.run_until(lambda: bool(seen.at("peer--dut").all(echo)), seconds(2)):
        raise ExpectationFailed(
            f"peer--dut: no answer to a datagram that came {what}, expected its echo"
        )


def expect_silence(seen: Capture, port: int, what: str) -> None:
    """Nothing came of the datagram of ``port``, for the rest of it was gone."""
    came = seen.at("peer--dut").all(match.udp(src_port=SERVICE, dst_port=port))
    if came:
        raise ExpectationFailed(
            f"peer--dut: #{came[0].number}: a datagram {what} was answered, though that fragment "
            "came long after the time-out: the others were still held"
        )
