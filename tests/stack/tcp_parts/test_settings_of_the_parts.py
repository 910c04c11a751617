"""The figures of RFC 5961, 7323, 8985 and 9438 are settings, and each has its effect."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from pair import Pair

from testbed.stack.config import StackConfig
from testbed.stack.tcp.congestion.cubic import Cubic
from testbed.stack.tcp.notices import ChallengeAck
from testbed.stack.tcp.recovery.tlp import TailLossProbe
from testbed.stack.tcp.rtt import RttEstimator
from testbed.stack.tcp_config import TcpConfig
from testbed.timing import Instant, milliseconds, seconds
from testbed.wire.tcp import TcpFlags
from testbed.wire.tcp_options import Timestamps

SMSS = 1000


def connected(**tcp):
    pair = Pair(right=StackConfig.of(tcp=tcp))
    listener = pair.right.tcp.listen(80, pair.now)
    client = pair.left.tcp.connect((IPv4Address("10.0.0.2"), 80), pair.now)
    pair.run(milliseconds(100))
    return pair, client, listener.accept(pair.now)


@pytest.mark.parametrize(("span", "challenges"), [(seconds(5), 2), (seconds(1), 4)])
def test_challenge_acks_are_counted_anew_after_their_span(span, challenges):
    pair, client, _ = connected(challenge_ack_limit=2, challenge_ack_span=span)
    for wait in (0, 0, 0, 2, 0, 0):
        pair.run(seconds(wait))
        client.steer.send(pair.now, TcpFlags.SYN | TcpFlags.ACK)
        pair.run(milliseconds(50))
    assert len(pair.right.events.of(ChallengeAck)) == challenges


@pytest.mark.parametrize(("expiry", "taken"), [(seconds(24 * 86400), b""), (seconds(9), b"old")])
def test_a_timestamp_of_a_connection_idle_for_long_counts_no_more(expiry, taken):
    pair, client, server = connected(paws_expiry=expiry)
    pair.run(seconds(10))
    client.steer.send(pair.now, TcpFlags.ACK, b"old", options=(Timestamps(0, 0),))
    pair.run(milliseconds(50))
    stamp = client.snapshot()
    assert stamp.timestamps
    assert (server.receive(10, pair.now) or b"") == taken


def test_the_least_rtt_is_forgotten_after_its_window():
    for window, least in ((seconds(300), 10), (seconds(5), 20)):
        rtt = RttEstimator(TcpConfig(min_rtt_window=window))
        for at, sample in ((0, 10), (4, 20), (8, 30)):
            rtt.sample(milliseconds(sample), Instant(seconds(at)))
        assert rtt.min_rtt == milliseconds(least)


def test_a_probe_without_a_measurement_waits_for_the_time_set():
    for wait in (seconds(1), milliseconds(300)):
        config = TcpConfig(tlp_unmeasured=wait)
        probe = TailLossProbe(config, RttEstimator(config))
        probe.arm(Instant(7), single=True)
        assert probe.deadline() == 7 + wait


def window_after(config: TcpConfig, rounds: int) -> int:
    """CUBIC's window so many round trips of 100 ms after one loss at 100 segments."""
    cubic = Cubic(config, SMSS)
    cubic.cwnd = 100 * SMSS
    cubic.on_congestion(100 * SMSS, Instant(0))
    cubic.cwnd = cubic.ssthresh
    now = Instant(0)
    for _ in range(rounds):
        now = Instant(now + milliseconds(100))
        for _ in range(cubic.cwnd // SMSS):
            cubic.on_ack(SMSS, now, milliseconds(100), cubic.cwnd, limited=False)
    return cubic.cwnd


def test_cubic_goes_down_by_beta_and_up_by_c():
    assert window_after(TcpConfig(), 0) == 70 * SMSS
    assert window_after(TcpConfig(cubic_beta=0.5), 0) == 50 * SMSS
    # RFC 9438 4.2: K is the cube root of (W_max - cwnd_epoch) / C, when W_max is reached again.
    for c in (0.4, 3.2):
        back = round((30 / c) ** (1 / 3) * 10)
        assert window_after(TcpConfig(cubic_c=c), back) == pytest.approx(100 * SMSS, rel=0.02)
