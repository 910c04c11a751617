"""What a report says of a stack's events."""

from ipaddress import IPv4Address

from pair import Pair

from testbed.bench.telling import told_at_the_end, told_of
from testbed.link import Drop, Nth
from testbed.stack.events import Event, Note
from testbed.stack.tcp.notices import ProbeSent, ResetReceived, SegmentDropped
from testbed.stack.tcp.reasons import Reason
from testbed.stack.tcp.recovery.events import RecoveryEntered, RetransmissionTimeout
from testbed.timing import Instant, seconds

NOW = Instant(5)
NAME = "10.0.0.1:50000-10.0.0.2:80"


def told(event):
    return told_of("peer", event, NOW).text


def test_events_are_told_in_words_with_the_reason():
    assert told(ResetReceived(NOW, NAME)) == "peer: :50000-10.0.0.2:80 reset received"
    assert told(Note(NOW, "in words")) == "peer: in words"
    dropped = SegmentDropped(NOW, NAME, 7, 3, "outside the window")
    assert told(dropped).endswith(" dropped 3 from 7: outside the window")
    assert told(ProbeSent(NOW, NAME, Reason.PERSIST, 2)).endswith(" zero-window probe number 2")
    entered = RecoveryEntered(NOW, NAME, Reason.FAST, recover=9, cwnd=4, ssthresh=2)
    assert told(entered).endswith(" recovery entered reason FAST, recover 9, cwnd 4, ssthresh 2")
    over = RetransmissionTimeout(NOW, NAME, 7, seconds(2), 1, 1460, 2920)
    assert told(over).endswith(" RTO over for 7, the next is 2 s: cwnd 1460 ssthresh 2920")


def test_an_event_of_ones_own_is_told_by_its_name():
    class PlanBegun(Event):
        """Nothing but that."""

    assert told(PlanBegun(NOW)) == "peer: plan begun"


def test_a_live_stack_is_told_from_beginning_to_end():
    pair = Pair()
    listener = pair.right.tcp.listen(80, pair.now)
    client = pair.left.tcp.connect((IPv4Address("10.0.0.2"), 80), pair.now)
    pair.run(seconds(1))
    fresh = told_at_the_end("peer", client.snapshot(), NOW).text
    assert "ESTABLISHED" in fresh
    assert "ssthresh none" in fresh
    assert fresh.endswith(" 0 resent")
    pair.to_right.impair.add(Drop(Nth(2)))
    assert listener.accept(pair.now) is not None
    client.send(bytes(9000), pair.now)
    pair.run(seconds(1))
    notes = [told_of("peer", event, event.at) for event in pair.left.events]
    assert any("SYN-SENT → ESTABLISHED: receive SYN+ACK, send ACK" in note.text for note in notes)
    (resent,) = [note.text for note in notes if note.kind == "resent"]
    assert resent.endswith(": RACK, sent before what was delivered")
    assert told_at_the_end("peer", client.snapshot(), NOW).text.endswith(" 1 resent (RACK)")
