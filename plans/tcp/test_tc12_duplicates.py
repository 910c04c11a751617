"""What comes twice is acknowledged again and delivered once; ACKs that come late change nothing.

"If an incoming segment is not acceptable, an acknowledgment should be sent in reply", and it is
dropped (RFC 9293 3.10.7.4); of one that has old and new bytes the old ones are trimmed. The host's
ACK of a segment is lost: the peer's copy is acknowledged at once, with the same number. More copies
come by hand: of the first segment, of the last, of both in one; then segments that hold new bytes
behind old ones. An answer to what is old comes within ``answer`` (tolerance, seconds, 0.1), one to
new bytes within ``delayed_ack`` (seconds, 0.5: 3.8.6.3). The service gets each byte once.

"If the ACK is a duplicate (SEG.ACK =< SND.UNA), it can be ignored" (3.10.7.4), and only a segment
that is not older than the one which last told a window changes SND.WND (SND.WL1, SND.WL2). An ACK
that another overtook comes late, four times, and tells of a larger window: nothing is sent,
resent or answered for it, and the next ACK lets go what it would have without.
"""

import hashlib

import pytest

from testbed import (
    Bench,
    Capture,
    Drop,
    Duration,
    ExpectationFailed,
    Nth,
    Receiver,
    StackConfig,
    StackConnection,
    StackHost,
    TcpFlags,
    Topology,
    defects,
    drill,
    faults,
    format_duration,
    match,
    seconds,
    tcpflow,
)

PORT = 5112
PART = 500
WINDOW = 5
LATE = 4
Segment = tcpflow.FlowSegment


@pytest.mark.behaviour("TC-12", clause="RFC 9293 3.10.7.4")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "delivers twice",
    faults.python_stack(defects.sliding.DELIVERS_TWICE),
    caught="the service got",
)
@drill(
    "silent on duplicates",
    faults.python_stack(defects.sliding.SILENT_ON_DUPLICATES),
    caught="an ACK of the copy .* did not come",
)
@drill(
    "drops what overlaps",
    faults.python_stack(defects.sliding.DROPS_OVERLAP),
    caught="a segment that overlaps .* was not acknowledged",
)
@drill(
    "delivers what overlaps",
    faults.python_stack(defects.sliding.DELIVERS_OVERLAP),
    caught="a segment that overlaps .* was not acknowledged",
)
@drill(
    "acknowledges once only",
    faults.nft(
        "type filter hook output priority 0;",
        f"tcp sport {PORT} tcp flags == ack quota over 60 bytes drop",
    ),
    caught="an ACK of the copy .* did not come",
)
def test_duplicates_are_acknowledged_again_and_delivered_once(bench: Bench) -> None:
    peer, dut = bench.host("peer", StackConfig.linux()), bench.host("dut")
    text = hashlib.shake_128(b"TC-12").digest(4 * PART)
    bare = match.tcp(src_port=PORT, flags="ACK", payload_length=0)
    with bench.capture("peer--dut") as seen:
        dut.tcp_serve(PORT)
        connection = peer.connect("dut", PORT)
        with peer.incoming.impaired(Drop(Nth(1, matching=bare))):
            connection.send(text[:PART])
            connection.wait_until(
                lambda: connection.snapshot().flight == 0,
                within=seconds(3),
                what=f"an ACK of the copy of {PART} bytes, the first ACK of which was lost,",
            )
        copies = Copies(bench, peer, seen, connection, text)
        copies.expect_answer("a copy", len(copies.sent) - 1, PART, new=False)
        copies.send_new(PART, 2 * PART)
        copies.resend(0, PART, "a late copy of the first segment")
        copies.resend(PART, 2 * PART, "a late copy of the last segment")
        copies.resend(0, 2 * PART, "a late copy of both segments")
        copies.resend(PART, 3 * PART, "a segment that overlaps the last one")
        copies.resend(0, 4 * PART, "a segment that overlaps all")
        connection.shutdown()
        received = dut.tcp_result("server", PORT, within=seconds(5))[1]
    if (received.octets, received.sha256) != (len(text), hashlib.sha256(text).hexdigest()):
        raise ExpectationFailed(
            f"{dut.name}: the service got {received.octets} bytes, the peer sent {len(text)}"
            f"{'; they are not the same' if received.octets == len(text) else ''}"
        )


@pytest.mark.behaviour("TC-12", clause="RFC 9293 3.10.7.4")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "counts late ACKs",
    faults.python_stack(defects.sliding.COUNTS_LATE_ACKS),
    caught=r"at late ACKs .* resent",
)
@drill(
    "answers late ACKs",
    faults.python_stack(defects.sliding.ANSWERS_LATE_ACKS),
    caught=r"at late ACKs .* said \d ACKs of its own",
)
@drill(
    "takes windows of late ACKs",
    faults.python_stack(defects.sliding.TAKES_LATE_WINDOWS),
    caught=r"at late ACKs .* sent",
)
def test_late_acks_change_nothing(bench: Bench) -> None:
    bench.host("dut").set_sysctl("net.ipv4.tcp_congestion_control", "reno")
    peer = bench.host("peer", Receiver.CONFIG)
    with bench.capture("peer--dut") as seen:
        receiver = Receiver(bench, peer, seen, PORT, segments=40, window=WINDOW)
        size = receiver.smss
        expect_sent(receiver, receiver.take(WINDOW), WINDOW, "at first")
        for acked in (2, 4):
            receiver.ack(1 + acked * size)
            expect_sent(receiver, receiver.take(2), 2, "at an ACK of 2 segments")
        receiver.window = 4 * WINDOW
        before = len(bare_acks(receiver))
        receiver.ack(1 + 2 * size, times=LATE)
        late = receiver.take(0)
        if late:
            again = [each.segment for each in tcpflow.retransmissions(receiver.sent)]
            verb = "resent" if late[0] in again else "sent"
            raise ExpectationFailed(
                f"{receiver.dut.name}: at late ACKs of {1 + 2 * size}, with {receiver.acked} "
                f"acknowledged, it {verb} {late[0].seq}..{late[0].end}, expected nothing"
            )
        if said := bare_acks(receiver)[before:]:
            raise ExpectationFailed(
                f"{receiver.dut.name}: at late ACKs of {1 + 2 * size} it said {len(said)} ACKs of "
                f"its own, the first is #{said[0].number}, expected nothing"
            )
        receiver.window = WINDOW
        receiver.ack(1 + 5 * size)
        expect_sent(receiver, receiver.take(1), 1, "at an ACK of 1 segment after late ones")
        receiver.finish()


class Copies:
    """Segments by hand of a stream, and the host's answers."""

    def __init__(
        self,
        bench: Bench,
        peer: StackHost,
        seen: Capture,
        connection: StackConnection,
        text: bytes,
    ) -> None:
        self._bench = bench
        self._peer = peer
        self._seen = seen
        self._connection = connection
        self._text = text
        self._start = connection.snapshot().iss + 1

    @property
    def flow(self) -> tcpflow.Connection:
        """The connection as it was on the wire so far."""
        return tcpflow.connection(self._seen.at("peer--dut").both, server_port=PORT)

    @property
    def sent(self) -> list[Segment]:
        """The peer's segments with data, again or for the first time."""
        return [each for each in self.flow.up if each.payload]

    def send_new(self, low: int, high: int) -> None:
        """Send these bytes as TCP does."""
        turn = len(self.sent)
        self._connection.send(self._text[low:high])
        self.expect_answer("a new segment", turn, high, new=True)

    def resend(self, low: int, high: int, what: str) -> None:
        """Send a segment by hand; what of it is new goes in it alone."""
        turn = len(self.sent)
        told = (self._connection.snapshot().snd_nxt - self._start) % (1 << 32)
        data = match.tcp(dst_port=PORT, longer_than=0)
        if new := self._text[told:high]:
            with self._peer.outgoing.impaired(Drop(Nth(1, matching=data))):
                self._connection.send(new)
        self._connection.steer.send(
            TcpFlags.ACK | TcpFlags.PSH,
            self._text[low:high],
            seq=(self._start + low) % (1 << 32),
        )
        self.expect_answer(what, turn, max(high, told), new=bool(new))

    def expect_answer(self, what: str, turn: int, upto: int, *, new: bool) -> None:
        """The host acknowledges all up to ``upto`` at the segment of that turn, not a later one."""
        default = 0.5 if new else 0.1
        within = seconds(self._bench.tolerance("delayed_ack" if new else "answer", default))
        said: list[int | None] = []

        def answered() -> bool:
            sent, heard = self.sent, self.flow.down
            if len(sent) <= turn:
                return False
            asked = sent[turn]
            end = sent[turn + 1].number if len(sent) > turn + 1 else heard[-1].number + 1
            answers = [each for each in heard if asked.number < each.number < end]
            said[:] = [each.ack for each in answers if each.at - asked.at <= within]
            return 1 + upto in said

        if not self._bench.loop.run_until(answered, Duration(2 * within)):
            numbers = ", ".join(map(str, said)) or "no answer"
            raise ExpectationFailed(
                f"{what} was not acknowledged with {1 + upto} within {format_duration(within)}: "
                f"{numbers}"
            )


def bare_acks(receiver: Receiver) -> list[Segment]:
    """What the host sent that takes no number."""
    return [each for each in receiver.flow.down if not each.tcp.span]


def expect_sent(receiver: Receiver, sent: tuple[Segment, ...], count: int, when: str) -> None:
    """So many segments."""
    if len(sent) != count:
        raise ExpectationFailed(
            f"{receiver.dut.name} sent {len(sent)} segments {when} in a window of {WINDOW}, "
            f"expected {count}"
        )
