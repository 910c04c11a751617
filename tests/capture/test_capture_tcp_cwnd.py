"""The estimate of the congestion window, beside a sender whose window is known."""

from ipaddress import IPv4Address

import numpy as np
import pytest
from pair import Pair
from tcp_captures import opened, pcap_of, up

from testbed.capture.columns import read_columns
from testbed.capture.tcp import analyse
from testbed.link.impair import Drop, Nth
from testbed.stack.config import StackConfig
from testbed.stack.tcp.options import SocketOptions
from testbed.timing import milliseconds, seconds


def is_data(frame):
    return len(frame) > 1000


def transfer(size, *, losing=()):
    """Send from the left to the right; the pair, and what the window was from when on."""
    pair = Pair(StackConfig.linux(), StackConfig.linux(), seed=3, delay=milliseconds(20))
    if losing:
        pair.to_right.impair.add(Drop(Nth(*losing, matching=is_data)))
    listener = pair.right.tcp.listen(80, pair.now, options=SocketOptions())
    sender = pair.left.tcp.connect((IPv4Address("10.0.0.2"), 80), pair.now)
    receiver, left, known = None, size, []
    while pair.step(pair.now + seconds(60)):
        receiver = receiver or listener.accept(pair.now)
        while receiver is not None and receiver.receive(1 << 20, pair.now):
            pass
        if sender.established and left:
            left -= sender.send(bytes(min(left, 1 << 20)), pair.now)
        if sender.established:
            state = sender.snapshot()
            known.append((pair.now, state.cwnd, state.in_recovery, state.smss))
            if not left and not sender.unacked:
                break
    return pair, np.array(known)


def estimate(pair, node, path):
    pair.write_pcapng(path, node)
    (connection,) = analyse(read_columns(path.read_bytes()))
    return connection.windows[0]


@pytest.mark.parametrize("losing", [(80,), (60, 61, 300), (150, 151, 152)])
def test_beside_the_sender_the_window_is_known_to_within_a_segment(tmp_path, losing):
    pair, known = transfer(1_500_000, losing=losing)
    window = estimate(pair, pair.left, tmp_path / "left.pcapng")
    assert window.confidence > 0.5
    errors = []
    for time, size, told in zip(window.time, window.size, window.limited, strict=True):
        place = np.searchsorted(known[:, 0], time, side="right") - 1
        _, cwnd, recovering, full = known[place]
        if told and not recovering:
            errors.append((size - cwnd) / full)
    assert len(errors) > 10
    assert max(map(abs, np.percentile(errors, (5, 95)))) <= 1, errors


def test_far_from_the_sender_there_is_only_a_lower_bound(tmp_path):
    pair, known = transfer(500_000)
    window = estimate(pair, pair.right, tmp_path / "right.pcapng")
    assert window.confidence == 0
    assert 100_000 < window.largest <= known[:, 1].max()


def test_a_sender_that_has_nothing_to_send_tells_a_lower_bound():
    sends = [up(1001 + 100 * number, wait=0.3) for number in range(5)]
    (connection,) = analyse(read_columns(pcap_of([[*opened(), *sends]])))
    window = connection.windows[0]
    assert window.confidence == 0
    assert window.largest == window.at(int(window.time[-1]))[0] == 500
    assert window.at(0) == (0, False)
    assert connection.windows[1].largest == 0
