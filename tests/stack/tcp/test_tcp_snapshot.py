"""What a connection tells of itself: its retransmissions, each with its reason, and its timer."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from pair import Pair

from testbed.capture import match
from testbed.link import Drop, MtuHole, Nth
from testbed.stack.config import StackConfig
from testbed.stack.tcp.connection import Connection
from testbed.stack.tcp.notices import SegmentResent
from testbed.stack.tcp.options import SocketOptions
from testbed.stack.tcp.reasons import Reason
from testbed.timing import milliseconds, seconds

SERVER = (IPv4Address("10.0.0.2"), 80)
DATA = match.tcp(longer_than=0)


def connected(config: StackConfig | None = None, isn: int | None = None) -> tuple[Pair, Connection]:
    pair = Pair(config)
    pair.right.tcp.listen(80, pair.now)
    client = pair.left.tcp.connect(SERVER, pair.now, options=SocketOptions(isn=isn))
    pair.run(milliseconds(100))
    return pair, client


def reasons(connection: Connection) -> list[Reason]:
    return [each.reason for each in connection.snapshot().retransmissions]


def test_syns_sent_again_are_in_the_history_of_both_sides():
    pair = Pair()
    listener = pair.right.tcp.listen(80, pair.now)
    pair.to_right.impair.add(Drop(Nth(1, matching=match.tcp(flags="SYN"))))
    pair.to_left.impair.add(Drop(Nth(1, matching=match.tcp(flags="SYN+ACK"))))
    client = pair.left.tcp.connect(SERVER, pair.now)
    began = pair.now
    assert client.snapshot().rto == seconds(1)
    pair.run(milliseconds(1500))
    told = client.snapshot()
    assert (told.rto, told.retransmission_count) == (seconds(2), 1)
    pair.run(seconds(3))
    (resent,) = client.snapshot().retransmissions
    assert (resent.at - began, resent.reason) == (seconds(1), Reason.SYN)
    assert (resent.seq, resent.end) == (told.iss, (told.iss + 1) % (1 << 32))
    server = listener.accept(pair.now)
    assert server is not None
    assert reasons(server) == [Reason.SYN]


@pytest.mark.parametrize(
    ("config", "lost", "bytes_sent", "reason"),
    [
        (StackConfig(), Nth(1, matching=DATA), 1000, Reason.TLP),
        (StackConfig.of(tcp={"tlp": False}), Nth(1, matching=DATA), 1000, Reason.RTO),
        (StackConfig(), Nth(1, matching=DATA), 10_000, Reason.RACK),
        (StackConfig.of(tcp={"sack": False}), Nth(1, matching=DATA), 10_000, Reason.FAST),
    ],
)
def test_history_and_log_tell_the_reason_of_each(config, lost, bytes_sent, reason):
    pair, client = connected(config, isn=0xFFFFFFFF - 100)
    pair.to_right.impair.add(Drop(lost))
    client.send(bytes(bytes_sent), pair.now)
    pair.run(seconds(3))
    assert reasons(client) == [reason]
    (told,) = pair.left.events.of(SegmentResent)
    (resent,) = client.snapshot().retransmissions
    assert (told.reason, told.seq, told.at) == (reason, resent.seq, resent.at)
    # Numbers are as on the wire, beyond the end of their space as before it.
    assert resent.seq == 0xFFFFFFFF - 99
    assert resent.end == (resent.seq + told.length) % (1 << 32)


def test_segments_cut_for_a_smaller_path_are_told_as_such():
    pair, client = connected()
    hole = MtuHole(700)
    pair.to_right.impair.add(hole)
    client.send(bytes(5000), pair.now)
    pair.run(milliseconds(20))
    pair.left.set_mtu("eth0", 700, pair.now)
    pair.run(seconds(1))
    assert set(reasons(client)) == {Reason.PMTU}
    assert client.snapshot().flight == 0
