"""Options never crowd the data out, however little a path carries."""

from __future__ import annotations

from pair import Pair

from testbed.link.impair import Drop, Nth
from testbed.stack.config import StackConfig
from testbed.stack.sockets import SocketApi
from testbed.timing import Instant, seconds
from testbed.wire import Sack, dissect

MTU = 68


def is_data(frame: bytes) -> bool:
    found = dissect(frame)
    return found.tcp is not None and len(found.tcp.payload) > 0


def test_both_ways_at_the_least_mtu_with_losses_and_sack():
    pair = Pair(StackConfig(), StackConfig())
    for stack in (pair.left, pair.right):
        stack.set_mtu("eth0", MTU, pair.now)
    for line in (pair.to_left, pair.to_right):
        line.impair.add(Drop(Nth(5, 8, 11, 14, matching=is_data)))
    left, right = (
        SocketApi(stack, lambda: pair.now, pair.run_until) for stack in (pair.left, pair.right)
    )
    listener = right.stream()
    listener.bind(("", 80))
    listener.listen()
    client = left.stream()
    client.connect(("10.0.0.2", 80))
    server, _ = listener.accept()
    sent = bytes(range(256)) * 20
    client.send(sent)
    server.send(sent)
    got = [b"", b""]
    ends = (client, server)
    deadline = Instant(pair.now + seconds(600))
    while min(map(len, got)) < len(sent) and pair.now < deadline:
        for number, end in enumerate(ends):
            got[number] += end.recv(100, within=seconds(1)) if end.connection.unread else b""
        pair.step(deadline)
    assert got == [sent, sent]
    frames = [dissect(seen.frame) for seen in pair.trace]
    assert all(found.ipv4.total_length <= MTU for found in frames if found.ipv4)
    assert any(found.tcp.option(Sack) for found in frames if found.tcp)
