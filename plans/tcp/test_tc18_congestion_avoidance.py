"""Past the slow start threshold the window grows by about one segment in a round trip.

A loss ends slow start and sets the threshold to half of what was in flight (RFC 5681 3.1, equation
4). From there on "cwnd is incremented by roughly 1 full-sized segment per round-trip time (RTT)"
(3.1): in six rounds it grows by six segments, less ``growth`` (tolerance, segments, 2: rounds are
counted in whole windows), and never by more than two in one. CUBIC, where a host has it, goes down
to 0.7 of what was in flight (RFC 9438 4.6). From there its window is never above the larger of one
segment for each round (4.3) and W_cubic a round trip ahead (4.2), nor does it stay where it was.

Each segment has an ACK of its own, one in 2 ms, in an ample window: what is in flight after a round
is the congestion window. The loss is the first of a full flight of 20, found by three duplicate
ACKs without SACK (RFC 5681 3.2).
"""

from itertools import pairwise

import pytest

from testbed import (
    Bench,
    BenchError,
    Capture,
    Duration,
    ExpectationFailed,
    Receiver,
    StackHost,
    Topology,
    Unsupported,
    defects,
    drill,
    faults,
    to_seconds,
)

PORT = 5118
SEGMENTS = 220
ROUNDS = 6
FULL = 20
"""Segments in flight when one is lost: the initial window, and a round of slow start."""
BETA = {"reno": 0.5, "cubic": 0.7}
CUBIC_C = 0.4
"""RFC 9438 5: segments per second cubed."""


@pytest.mark.behaviour("TC-18", clause="RFC 5681 3.1")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "exponential forever",
    faults.python_stack(defects.sender.EXPONENTIAL_FOREVER),
    caught=r"reno: .* in one round",
)
@drill(
    "never grows again",
    faults.python_stack(defects.sender.NEVER_GROWS),
    caught=r"reno: .* in 6 rounds",
)
@drill(
    "an eighth too much",
    faults.python_stack(defects.sender.EXTRA_EIGHTH),
    caught=r"reno: .* rounds?, expected",
)
def test_window_grows_by_a_segment_in_a_round(bench: Bench) -> None:
    dut = bench.host("dut")
    dut.set_sysctl("net.ipv4.tcp_sack", "0")
    dut.set_sysctl("net.ipv4.tcp_congestion_control", "reno")
    peer = bench.host("peer", Receiver.CONFIG)
    with bench.capture("peer--dut") as seen:
        receiver = after_a_loss(bench, peer, seen, "reno")
        expect_linear(bench, [window for window, _ in rounds(bench, receiver)])
        receiver.finish()


@pytest.mark.behaviour("TC-18", clause="RFC 9438 4.2, 4.3, 4.6")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "CUBIC takes half",
    faults.python_stack(defects.sender.CUBIC_TAKES_HALF),
    caught=r"cubic: after a loss of one of",
)
@drill(
    "CUBIC leaps",
    faults.python_stack(defects.sender.CUBIC_LEAPS),
    caught=r"cubic: .* W_cubic",
)
@drill(
    "exponential forever",
    faults.python_stack(defects.sender.EXPONENTIAL_FOREVER),
    caught=r"cubic: .* W_cubic",
)
def test_cubic_takes_seven_tenths_and_follows_its_curve(bench: Bench) -> None:
    bench.bring_up_network()
    dut = bench.host("dut")
    dut.set_sysctl("net.ipv4.tcp_sack", "0")
    choose_cubic(bench)
    peer = bench.host("peer", Receiver.CONFIG)
    with bench.capture("peer--dut") as seen:
        receiver = after_a_loss(bench, peer, seen, "cubic")
        expect_cubic(rounds(bench, receiver))
        receiver.finish()


def choose_cubic(bench: Bench) -> None:
    """Let the host send by CUBIC; Unsupported where it has none."""
    dut, port = bench.host("dut"), bench.port("dut", toward="peer")
    try:
        dut.set_sysctl("net.ipv4.tcp_congestion_control", "cubic")
    except BenchError:  # as in a network namespace, where not all may choose all of them
        try:
            route = dut.execute(f"ip -4 route show dev {port} proto kernel").splitlines()[0]
            dut.execute(f"ip route change {route} dev {port} congctl cubic")
        except BenchError:
            raise Unsupported(f"{dut.name} has no CUBIC to choose") from None


def after_a_loss(bench: Bench, peer: StackHost, seen: Capture, algorithm: str) -> Receiver:
    """A connection that has just recovered from a loss, with its window in flight."""
    receiver = Receiver(bench, peer, seen, PORT, segments=SEGMENTS, window=SEGMENTS)
    receiver.ack_each(receiver.take(10))
    flight = receiver.take(FULL)
    if len(flight) != FULL:
        raise ExpectationFailed(
            f"{algorithm}: {len(flight)} segments came in the second round, expected {FULL}"
        )
    lost = flight[0]
    receiver.ack(lost.seq, times=len(flight) - 1)
    again = [each for each in receiver.take(1) if each.seq == lost.seq]
    if len(again) != 1:
        raise ExpectationFailed(
            f"{algorithm}: {lost.seq}..{lost.end} was lost, {len(flight) - 1} duplicate ACKs said "
            f"so, and it was resent {len(again)} times"
        )
    receiver.ack(flight[-1].end)
    receiver.take(1)
    window, wanted = receiver.in_flight, BETA[algorithm] * len(flight)
    if not wanted - 2 <= window <= wanted + 1:
        raise ExpectationFailed(
            f"{algorithm}: after a loss of one of {len(flight)} segments, {window} are in flight, "
            f"expected {wanted:.0f}"
        )
    return receiver


def rounds(bench: Bench, receiver: Receiver) -> list[tuple[int, float]]:
    """The window at first and after each of ``ROUNDS`` rounds, with the seconds passed."""
    start = bench.loop.wall_now()
    found = [(receiver.in_flight, 0.0)]
    for _ in range(ROUNDS):
        receiver.ack_each(receiver.sent[-receiver.in_flight :])
        receiver.take(1)
        found.append((receiver.in_flight, to_seconds(Duration(bench.loop.wall_now() - start))))
        if receiver.in_flight > 2 * found[0][0]:
            break  # what it does is clear, and what it has to send may end
    return found


def expect_linear(bench: Bench, windows: list[int]) -> None:
    """One segment in each round."""
    slack = round(bench.tolerance("growth", 2))
    listed = ", ".join(map(str, windows))
    most = max(later - sooner for sooner, later in pairwise(windows))
    if most > 2:
        raise ExpectationFailed(
            f"reno: after a loss {listed} segments are in flight: {most} more in one round, "
            f"expected 1"
        )
    grown = windows[-1] - windows[0]
    if not ROUNDS - slack <= grown <= ROUNDS:
        raise ExpectationFailed(
            f"reno: after a loss {listed} segments are in flight: {grown} more in {ROUNDS} "
            f"rounds, expected {ROUNDS}"
        )


def expect_cubic(found: list[tuple[int, float]]) -> None:
    """No more than RFC 9438's two curves have it, and not always the same."""
    windows, times = [window for window, _ in found], [passed for _, passed in found]
    listed = ", ".join(map(str, windows))
    rtt = max(later - sooner for sooner, later in pairwise(times))
    k = ((FULL - windows[0]) / CUBIC_C) ** (1 / 3)
    for turn, (window, passed) in enumerate(found):
        curve = CUBIC_C * (passed + rtt - k) ** 3 + FULL
        most = max(windows[0] + turn, curve) + 1
        if window > most:
            raise ExpectationFailed(
                f"cubic: after a loss {listed} segments are in flight: {window} after {turn} "
                f"rounds, W_cubic is {curve:.1f} by then, and a segment for each round gives "
                f"{windows[0] + turn}"
            )
    if windows[-1] <= windows[0]:
        raise ExpectationFailed(
            f"cubic: after a loss {listed} segments are in flight, expected more in time"
        )
