"""What a host has learned of a path holds for a time, after which something larger is tried.

"An attempt to detect an increase [...] MUST NOT be done less than 5 minutes after a Datagram Too
Big message has been received" (RFC 1191 3); 10 minutes are advised (6.3), then the next larger
plateau, or what the link carries, is tried. Answers of the host to a tester behind a narrow link
are watched all the time: none is larger than the path carries before the estimate is old, one is
soon after, and what the router says of that one counts again.

The quick plan sets the life to ``LIFE`` seconds (``route/mtu_expires``) and asks 5 times a second;
the estimate may be raised ``raise_late`` (seconds, 1) after its time. The slow one has the host's
own setting, between ``mtu_life_least`` and ``mtu_life_most`` (seconds, 300 and 900), and asks every
10 seconds.
"""

import pytest

from testbed import (
    Bench,
    Capture,
    DestinationUnreachable,
    Duration,
    EthFrame,
    ExpectationFailed,
    IPv4Packet,
    Topology,
    TracedFrame,
    UdpDatagram,
    compose,
    defects,
    drill,
    enclose,
    faults,
    format_duration,
    fragment,
    match,
    milliseconds,
    seconds,
)

PORT, SERVICE = 40500, 40505
NARROW = 1280
LARGE = bytes(at * 7 % 251 for at in range(1372))
LIFE = 2
TICK = milliseconds(50)
"""What the clocks of host and capture may differ in: a host counts by the ticks of its timer."""
LEAST = 68
SOON = seconds(2)
NEEDED = match.icmpv4(type=3, code=4, next_hop_mtu=NARROW)


@pytest.mark.behaviour("PM-05", clause="RFC 1191 3, 6.3")
@pytest.mark.topology(Topology.chain("dut:host", "wire:box", "r:router", "b:nic"))
@drill(
    "never raised",
    faults.python_stack(defects.pmtu.NEVER_RAISES),
    caught="nothing larger than 1280 bytes was tried",
)
@drill(
    "raised too early",
    faults.python_stack(defects.pmtu.RAISES_EARLY),
    caught="tried .* after the router's word, expected after 2 s",
)
@drill(
    "a detour remembered for ten minutes",
    faults.repeatedly("sysctl -qw net.ipv4.route.mtu_expires=600", every=0.005),
    caught="nothing larger than 1280 bytes was tried",
)
@drill(
    "forgets at every change of a route",
    faults.repeatedly(
        "ip route flush cache; ip route add 192.0.2.1 dev lo; ip route del 192.0.2.1 dev lo",
        every=0.5,
    ),
    caught="tried .* after the router's word, expected after 2 s",
)
def test_estimate_holds_for_its_life_and_is_raised_then(bench: Bench) -> None:
    bench.bring_up_network()
    bench.host("dut").set_sysctl("net.ipv4.route.mtu_expires", str(LIFE))
    late = seconds(bench.tolerance("raise_late", 1))
    life = seconds(LIFE)
    raised_within(bench, (life, Duration(life + late)), every=milliseconds(200))


@pytest.mark.slow("a path MTU is remembered for 10 minutes")
@pytest.mark.behaviour("PM-05", clause="RFC 1191 3, 6.3")
@pytest.mark.topology(Topology.chain("dut:host", "wire:box", "r:router", "b:nic"))
@drill(
    "a path MTU remembered for a minute",
    faults.sysctl("net.ipv4.route.mtu_expires", "60"),
    caught="tried .* after the router's word, expected after 300 s",
)
def test_estimate_holds_for_as_long_as_the_standard_says(bench: Bench) -> None:
    """A host by its own setting tries nothing larger for 5 minutes, and something within 15."""
    least = seconds(bench.tolerance("mtu_life_least", 300))
    most = seconds(bench.tolerance("mtu_life_most", 900))
    raised_within(bench, (least, most), every=seconds(10))


@pytest.mark.behaviour("PM-05", clause="RFC 1191 3")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "goes below 68",
    faults.python_stack(defects.pmtu.BELOW_68),
    caught="in a packet of [46]. bytes, expected 68 at least",
)
def test_estimate_never_falls_below_68(bench: Bench) -> None:
    """However little the path is said to carry, the host makes no fragments below 68 bytes.

    "A host MUST never reduce its estimate of the Path MTU below 68 octets" (RFC 1191 3).
    """
    net, dut = bench.bring_up_network(), bench.host("dut")
    dut.udp_serve(SERVICE)
    for number, mtu in enumerate((1000, LEAST, LEAST - 1, 44, 21, 1)):
        with bench.capture("peer--dut") as seen:
            answer = ask(bench, seen, PORT + number)
            message = DestinationUnreachable(4, answer.ipv4.emit()[:28], mtu)
            back = IPv4Packet(net["peer"].ip, net["dut"].ip)
            to_host = EthFrame(net["dut"].mac, net["peer"].mac)
            bench.nic("peer").inject(compose(to_host, back, message))
            ask(bench, seen, PORT + 100 + number)
            seen.settle()
        for frame in seen.at("peer--dut").all(match.ipv4(src=net["dut"].ip, mf=True)):
            if frame.ipv4.total_length < LEAST - 7:  # what is cut is cut at multiples of 8
                raise ExpectationFailed(
                    f"peer--dut: told of an MTU of {mtu}, the host sent a fragment in a packet of "
                    f"{frame.ipv4.total_length} bytes, expected {LEAST} at least"
                )


def raised_within(bench: Bench, bounds: tuple[Duration, Duration], *, every: Duration) -> None:
    """Nothing larger than the path carries is tried before ``bounds``, something within them."""
    dut, router = bench.host("dut"), bench.router("r")
    least, most = bounds
    router.set_mtu(bench.port("r", toward="b"), NARROW)
    dut.udp_serve(SERVICE)
    with bench.capture() as seen:
        first = ask(bench, seen, PORT)
        if not first.ipv4.df:
            bench.log("the host sets no DF: it has no path MTU to remember")
            return
        told = seen.wait_for("wire--r", NEEDED & match.ipv4(dst=first.ipv4.src))
        settled = bench.loop.now() + most + every
        port, larger = PORT, None
        while larger is None and bench.loop.now() < settled:
            bench.watch_for(every)
            port += 1
            answer = ask(bench, seen, port)
            larger = answer if answer.ipv4.total_length > NARROW else None
        wanted = f"expected after {format_duration(least)} to {format_duration(most)}"
        if larger is None:
            raise ExpectationFailed(
                f"dut--wire: nothing larger than {NARROW} bytes was tried within "
                f"{format_duration(Duration(most + every))} of the router's word, {wanted}"
            )
        took = Duration(larger.at - told.at)
        if took < least - TICK or took > most + every:
            raise ExpectationFailed(
                f"dut--wire: {larger.ipv4.total_length} bytes were tried (#{larger.number}) "
                f"{format_duration(took)} after the router's word, {wanted}"
            )
        bench.log(f"{larger.ipv4.total_length} bytes were tried after {format_duration(took)}")
        again = NEEDED & match.ipv4(dst=first.ipv4.src) & match.icmpv4(quoting=larger.ipv4.emit())
        seen.wait_for("wire--r", again)
        seen.settle()
        answer = ask(bench, seen, port + 1)
        if answer.ipv4.total_length > NARROW:
            raise ExpectationFailed(
                f"dut--wire: the router told the host again, and #{answer.number} has "
                f"{answer.ipv4.total_length} bytes all the same"
            )


def ask(bench: Bench, seen: Capture, port: int) -> TracedFrame:
    """Have the service answer, at large; the first packet of its answer as it left the host."""
    net = bench.bring_up_network()
    tester = "b" if "r" in dict(bench.topology.nodes) else "peer"
    near = "dut--wire" if tester == "b" else "peer--dut"
    end = net[tester]
    there = IPv4Packet(end.ip, net["dut"].ip, ident=port)
    frame = EthFrame(end.gateway_mac if tester == "b" else net["dut"].mac, end.mac)
    for piece in fragment(enclose(there, UdpDatagram(port, SERVICE, LARGE)), NARROW):
        bench.nic(tester).inject(compose(frame, piece))
    return seen.wait_for(near, match.udp(src_port=SERVICE, dst_port=port), SOON)
