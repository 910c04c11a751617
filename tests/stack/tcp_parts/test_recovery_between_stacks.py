"""Two whole stacks in virtual time: what is lost on the way, and only that, goes out again."""

from ipaddress import IPv4Address
from itertools import pairwise

import pytest
from pair import Pair

from testbed.stack.config import StackConfig
from testbed.stack.tcp.reasons import Reason
from testbed.timing import milliseconds, seconds
from testbed.wire import IPv4Packet, TcpSegment

SMSS = 1448
MESSAGE = bytes(range(256)) * 57  # ten segments and a little


class Lose:
    """Drops the first copy of chosen data segments, counted from 0; notes all that pass by."""

    def __init__(self, *numbers, copies=1):
        self.numbers, self.copies = numbers, copies
        self.seen: list[int] = []

    def push(self, frame, now):
        if frame[12:14] != b"\x08\x00":
            return [frame]
        packet = IPv4Packet.parse(frame[14:])
        segment = TcpSegment.parse(packet.payload, packet.src, packet.dst)
        if segment.payload:
            self.seen.append(segment.seq)
            first = min(self.seen)
            number = (segment.seq - first) // SMSS
            if number in self.numbers and self.seen.count(segment.seq) <= self.copies:
                return []
        return [frame]

    def due(self, now):
        return []

    def next_deadline(self):
        return None


def transfer(lose, **tcp):
    pair = Pair(StackConfig.of(tcp=tcp), StackConfig(), delay=milliseconds(20))
    listener = pair.right.tcp.listen(80, pair.now)
    client = pair.left.tcp.connect((IPv4Address("10.0.0.2"), 80), pair.now)
    pair.run_until(lambda: listener.readable)
    server = listener.accept(pair.now)
    pair.run(seconds(1))
    pair.to_right.impair = lose
    client.send(MESSAGE, pair.now)
    began = pair.now
    assert pair.run_until(lambda: server.unread == len(MESSAGE))
    took = pair.now - began
    assert server.receive(1 << 20, pair.now) == MESSAGE
    pair.run(seconds(2))
    assert client.snapshot().flight == 0
    return client.snapshot(), took


def resent(snapshot):
    return [(entry.seq - snapshot.iss - 1) // SMSS for entry in snapshot.retransmissions]


@pytest.mark.parametrize(
    ("lost", "tcp"),
    [
        ((1, 3, 4, 6), {}),
        ((0, 2, 5, 6), {"rack": False}),
        ((1, 2), {"sack": False}),
        ((0, 5), {"sack": False, "congestion_control": "newreno"}),
    ],
    ids=["rack", "rfc6675", "no-sack", "newreno"],
)
def test_exactly_the_lost_segments_are_sent_again_without_a_timeout(lost, tcp):
    snapshot, took = transfer(Lose(*lost), **tcp)
    assert sorted(resent(snapshot)) == sorted(lost)
    assert took < milliseconds(400)


def test_a_lost_tail_is_mended_by_a_probe_and_not_by_a_timeout():
    """The probe is new data: what Nagle's algorithm held back (RFC 8985 7.3)."""
    snapshot, took = transfer(Lose(9))
    assert resent(snapshot) == [9]
    assert Reason.RTO not in {entry.reason for entry in snapshot.retransmissions}
    assert took < seconds(1)


def test_a_segment_whose_every_early_copy_is_lost_comes_by_timeouts_ever_further_apart():
    snapshot, _ = transfer(Lose(10, copies=4), tlp=False)
    at = [entry.at for entry in snapshot.retransmissions if entry.reason is Reason.RTO]
    assert len(at) == 4
    gaps = [later - earlier for earlier, later in pairwise(at)]
    assert gaps == [seconds(2), seconds(4), seconds(8)]


def test_without_loss_nothing_is_sent_twice():
    snapshot, took = transfer(Lose())
    assert resent(snapshot) == []
    assert took < milliseconds(100)
