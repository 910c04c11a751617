"""Whatever a peer acknowledges and reports, the books are right and the connection can go on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recovery_rig import SMSS, Rig

from testbed.stack.tcp.receivebuffer import ReceiveBuffer
from testbed.stack.tcp.recovery import Fired
from testbed.timing import Instant

UNSENT = 40
place = st.integers(-2000, (UNSENT + 3) * SMSS)
near = st.integers(-1, UNSENT).map(lambda n: n * SMSS)
block = st.tuples(st.one_of(place, near), st.one_of(place, near))
steps = st.lists(
    st.one_of(
        st.tuples(st.just("ack"), st.one_of(place, near), st.lists(block, max_size=4)),
        st.tuples(st.just("duplicate"), st.integers(1, 4), st.lists(block, max_size=4)),
        st.tuples(st.just("deadline"), st.just(0), st.just([])),
        st.tuples(st.just("mtu"), st.sampled_from([300, 536, 800, 1000, 1400]), st.just([])),
    ),
    max_size=50,
)
kinds = pytest.mark.parametrize(
    "how",
    [{}, {"rack": False}, {"sack": False}, {"sack": False, "control": "reno"}, {"frto": False}],
    ids=["rack", "rfc6675", "newreno", "reno", "no-frto"],
)


def check(sender):
    recovery, board = sender.recovery, sender.recovery._board
    live = [s for s in board.segments if not s.sacked]
    assert board.sacked == sum(s.end - s.seq for s in board.segments if s.sacked)
    assert board.lost == sum(s.end - s.seq for s in live if s.lost)
    assert board.copies == sum(s.end - s.seq for s in live if s.copy)
    assert 0 <= recovery.pipe <= 2 * recovery.flight
    assert recovery.flight == recovery.highest_sent - recovery.una
    assert (recovery.next_deadline() is None) == (recovery.flight == 0)
    assert sender.cc.cwnd >= min(sender.cc.smss, SMSS)
    assert recovery.allowance() >= 0


@kinds
@given(steps=steps)
def test_no_lie_breaks_it(how, steps):
    sender = Rig(unsent=UNSENT, **how)
    sender.send()
    for what, value, blocks in steps:
        sender.now = Instant(sender.now + 1_000_000)
        recovery = sender.recovery
        if what == "ack":
            recovery.on_ack(min(value, recovery.highest_sent), blocks, sender.now)
        elif what == "duplicate":
            for _ in range(value):
                recovery.on_ack(recovery.una, blocks, sender.now)
        elif what == "mtu":
            recovery.on_path_mtu(value, sender.now)
        elif recovery.flight and sender.fire() is Fired.PROBE:
            probe = recovery.probe_segment()
            recovery.sent(probe.seq, probe.end, sender.now, probe.reason)
        check(sender)
        sender.send()
        check(sender)
    finish(sender)


def finish(sender):
    """From here on the peer is honest and gets all that is sent: it must come to an end."""
    recovery = sender.recovery
    receive = ReceiveBuffer(recovery.una, 1 << 20, 100)
    for _ in range(2000):
        if recovery.una == sender.end:
            return
        sender.now = Instant(sender.now + 1_000_000)
        sent = sender.send()
        if not sent and sender.fire() is Fired.PROBE:
            sent = [recovery.probe_segment()]
            recovery.sent(sent[0].seq, sent[0].end, sender.now, sent[0].reason)
        for seq, end, _ in sent:
            receive.insert(seq, bytes(end - seq))
            recovery.on_ack(receive.next, receive.sack_blocks(3), sender.now)
    pytest.fail("it never comes to an end")
