"""TCP connections: relative numbers, retransmissions, duplicate ACKs, SACK, the stream.

``data/lossy-transfer.pcapng`` is a Linux client that sends 40,000 bytes (``n * 7 % 251``) to a
Linux server, recorded on the client's side of a filter that drops two packets in nine.
"""

from __future__ import annotations

import shutil
import subprocess
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.capture import tcpflow
from testbed.capture.pcapng_reader import read_pcapng
from testbed.capture.trace import Trace
from testbed.errors import PlanError
from testbed.timing import Instant
from testbed.wire.addresses import MacAddr
from testbed.wire.compose import compose
from testbed.wire.ethernet import EthFrame
from testbed.wire.frame import Frame
from testbed.wire.ipv4 import IPv4Packet
from testbed.wire.tcp import TcpFlags, TcpSegment
from testbed.wire.tcp_options import Sack

LOSSY = Path(__file__).parent / "data" / "lossy-transfer.pcapng"
SENT = bytes(n * 7 % 251 for n in range(40_000))

A, B = MacAddr("02:00:00:00:00:0a"), MacAddr("02:00:00:00:00:0b")
CLIENT, SERVER = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")
SYN, ACK, FIN, RST = TcpFlags.SYN, TcpFlags.ACK, TcpFlags.FIN, TcpFlags.RST
ISN, PEER_ISN = 0xFFFF_FFF0, 7_000

needs_tshark = pytest.mark.skipif(
    shutil.which("tshark") is None, reason="tshark is not installed (apt install tshark)"
)


def up(at: int, seq: int, payload: bytes = b"", flags: TcpFlags = ACK, port: int = 4000) -> Frame:
    """From the client, ``seq`` relative to its SYN."""
    segment = TcpSegment(
        port, 80, (ISN + seq) % 2**32, PEER_ISN + 1 if flags & ACK else 0, flags, payload=payload
    )
    return Frame(compose(EthFrame(B, A), IPv4Packet(CLIENT, SERVER), segment), Instant(at))


def down(at: int, ack: int, *blocks: tuple[int, int], seq: int = 1, window: int = 100) -> Frame:
    """An ACK from the server, ``ack`` and ``blocks`` relative to the client's SYN."""
    edges = tuple(((ISN + left) % 2**32, (ISN + right) % 2**32) for left, right in blocks)
    options = (Sack(edges),) if edges else ()
    flags = SYN | ACK if seq == 0 else ACK
    segment = TcpSegment(
        80, 4000, PEER_ISN + seq, (ISN + ack) % 2**32, flags, window, options=options
    )
    return Frame(compose(EthFrame(A, B), IPv4Packet(SERVER, CLIENT), segment), Instant(at))


def view(*frames: Frame):
    trace = Trace(["tap"])
    trace.add("tap", frames)
    return trace.at("tap").both


def numbers(segments) -> list[int]:
    return [segment.number for segment in segments]


def lossy() -> tcpflow.Connection:
    trace = Trace(["sender"])
    trace.add("sender", [packet.frame for packet in read_pcapng(LOSSY.read_bytes()).packets])
    return tcpflow.connection(trace.at("sender").both, server_port=7000)


def test_numbers_count_from_the_syn_and_do_not_wrap():
    flow = tcpflow.connection(
        view(
            up(0, 0, flags=SYN),
            down(1, 1, seq=0),
            up(2, 1, b"x" * 30),
            up(3, 31, b"y" * 10),
            down(4, 41),
        )
    )
    assert str(flow) == "10.0.0.1:4000 > 10.0.0.2:80"
    assert [(s.seq, s.end, s.ack) for s in flow.up] == [(0, 1, None), (1, 31, 1), (31, 41, 1)]
    assert [(s.seq, s.end, s.ack) for s in flow.down] == [(0, 1, 1), (1, 1, 41)]
    assert tcpflow.payload_stream(flow.up) == b"x" * 30 + b"y" * 10


def test_a_connection_seen_from_its_middle_counts_from_one():
    flow = tcpflow.connection(view(up(0, 500, b"abc"), down(1, 503)))
    assert [(s.seq, s.end) for s in flow.up] == [(1, 4)]
    assert [s.ack for s in flow.down] == [4]


def test_the_sender_of_the_syn_is_the_client_whoever_came_first():
    flow = tcpflow.connection(view(down(0, 77), up(1, 0, flags=SYN)))
    assert flow.client.port == 4000


def test_a_syn_with_another_number_begins_a_new_connection():
    again = TcpSegment(4000, 80, 5, 0, SYN)
    frame = Frame(compose(EthFrame(B, A), IPv4Packet(CLIENT, SERVER), again), Instant(9))
    seen = view(up(0, 0, flags=SYN), up(1, 0, flags=SYN), frame, up(10, 0, flags=SYN, port=4001))
    assert [len(each.up) for each in tcpflow.connections(seen)] == [2, 1, 1]
    with pytest.raises(PlanError, match=r"2 are meant; seen: 10\.0\.0\.1:4000 > 10\.0\.0\.2:80"):
        tcpflow.connection(seen, client_port=4000)
    assert tcpflow.connection(seen, client_port=4001).client.port == 4001


def test_no_connection_at_all_is_told():
    with pytest.raises(PlanError, match="0 are meant; seen: none at all"):
        tcpflow.connection(view())


def test_gaps_between_the_sendings_of_a_segment():
    flow = tcpflow.connection(
        view(*[up(at, 0, flags=SYN) for at in (0, 1000, 3000, 7000)], up(8000, 1, b"x"))
    )
    assert tcpflow.transmission_gaps(flow.up) == {0: (1000, 2000, 4000)}
    assert numbers(tcpflow.transmissions(flow.up)[0]) == [1, 2, 3, 4]


def test_what_is_sent_again_is_a_retransmission_whatever_its_cut():
    flow = tcpflow.connection(
        view(
            up(0, 0, flags=SYN),
            up(1, 1, b"a" * 20),
            up(2, 41, b"c" * 20),
            up(3, 21, b"b" * 20),  # out of order, but new
            up(4, 11, b"a" * 5),  # a part, again
            up(5, 41, b"c" * 40),  # again, with more behind it
            up(6, 80, b"c"),  # a keep-alive
            up(7, 81, flags=FIN | ACK),
            up(8, 81, flags=FIN | ACK),
        )
    )
    found = tcpflow.retransmissions(flow.up)
    assert [(r.segment.number, r.first.number) for r in found] == [(5, 2), (6, 3), (9, 8)]


def test_sack_blocks_are_relative():
    flow = tcpflow.connection(
        view(up(0, 0, flags=SYN), up(1, 1, b"x" * 40), down(2, 1, (11, 21), (31, 41)))
    )
    assert [(s.number, block) for s, block in tcpflow.sack_blocks(flow.down)] == [
        (3, (11, 21)),
        (3, (31, 41)),
    ]


def test_duplicate_acks_as_the_rfc_defines_them():
    flow = tcpflow.connection(
        view(
            up(0, 0, flags=SYN),
            down(1, 1, seq=0),
            down(2, 1),  # nothing is outstanding
            up(3, 1, b"x" * 10),
            down(4, 1),  # the first duplicate
            down(5, 1, (5, 9)),  # the second
            down(6, 1, window=200),  # a window update
            down(7, 1, window=200),  # the third
            down(8, 11, window=200),
            down(9, 1, window=200),  # old
        )
    )
    assert numbers(tcpflow.duplicate_acks(flow.down, flow.up)) == [5, 6, 8]


def test_the_stream_ends_at_the_first_hole():
    flow = tcpflow.connection(view(up(0, 0, flags=SYN), up(1, 1, b"abc"), up(2, 5, b"e")))
    assert tcpflow.payload_stream(flow.up) == b"abc"


@given(st.binary(min_size=1, max_size=60), st.data())
def test_the_stream_is_whole_whatever_the_order_and_overlap(data, draw):
    cuts = st.tuples(st.integers(0, len(data)), st.integers(0, len(data)))
    pieces = [(min(cut), max(cut)) for cut in draw.draw(st.lists(cuts, max_size=8))]
    pieces += [(at, at + 7) for at in range(0, len(data), 7)]
    order = draw.draw(st.permutations(pieces))
    frames = [up(n + 1, 1 + left, data[left:right]) for n, (left, right) in enumerate(order)]
    flow = tcpflow.connection(view(up(0, 0, flags=SYN), *frames))
    assert tcpflow.payload_stream(flow.up) == data


def test_a_lossy_transfer_is_whole():
    assert tcpflow.payload_stream(lossy().up) == SENT


def test_a_lossy_transfer_resends_each_hole_after_three_duplicates():
    flow = lossy()
    first = tcpflow.retransmissions(flow.up)[0].segment
    before = [
        ack
        for ack in tcpflow.duplicate_acks(flow.down, flow.up)
        if ack.number < first.number and ack.ack == first.seq
    ]
    assert len(before) >= 3


def tshark(show: str, *fields: str) -> list[list[str]]:
    """The fields of the frames that ``show`` selects."""
    columns = [word for field in fields for word in ("-e", field)]
    options = ["-r", LOSSY, "-T", "fields", "-E", "occurrence=a", *columns]
    shown = subprocess.run(
        ["tshark", *options, *(["-Y", show] if show else [])],
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.split("\t") for line in shown.stdout.splitlines()]


@needs_tshark
def test_numbers_agree_with_wireshark():
    flow = lossy()
    ours = {
        s.number: (s.seq, s.ack, len(s.payload), [edge for block in s.sack for edge in block])
        for s in (*flow.up, *flow.down)
    }
    edges = ("tcp.options.sack_le", "tcp.options.sack_re")
    rows = tshark("", "frame.number", "tcp.seq", "tcp.ack", "tcp.len", "tcp.flags.ack", *edges)
    assert len(rows) == len(ours) == 160
    for number, seq, ack, length, has_ack, lefts, rights in rows:
        mine = ours[int(number)]
        assert mine[0] == int(seq)
        assert mine[1] == (int(ack) if has_ack in {"1", "True"} else None)
        assert mine[2] == int(length)
        assert [str(edge) for edge in mine[3]] == [
            edge
            for pair in zip(lefts.split(","), rights.split(","), strict=True)
            for edge in pair
            if edge
        ]


@needs_tshark
def test_retransmissions_agree_with_wireshark():
    """On the sender's side nothing is out of order; where Wireshark guesses so, it was a resend."""
    names = ("retransmission", "fast_retransmission", "spurious_retransmission", "out_of_order")
    show = " or ".join(f"tcp.analysis.{name}" for name in names)
    theirs = [int(number) for (number,) in tshark(show, "frame.number")]
    flow = lossy()
    found = (*tcpflow.retransmissions(flow.up), *tcpflow.retransmissions(flow.down))
    assert sorted(each.segment.number for each in found) == theirs
    assert len(theirs) > 20


@needs_tshark
def test_duplicate_acks_agree_with_wireshark():
    theirs = [int(number) for (number,) in tshark("tcp.analysis.duplicate_ack", "frame.number")]
    flow = lossy()
    assert numbers(tcpflow.duplicate_acks(flow.down, flow.up)) == theirs
    assert len(theirs) > 40
