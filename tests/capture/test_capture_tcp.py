"""The TCP analyser: held to tshark packet by packet, to its own definition, and to harm."""

import random
import shutil
import subprocess
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from soak import run_seed
from tcp_captures import Seg, down, frame_of, opened, pcap_of, random_segments, sack, scenes, up

from testbed.capture import Trace, match
from testbed.capture.columns import read_columns
from testbed.capture.tcp import Cause, Flag, analyse, exact, fast
from testbed.capture.tcp.openings import fast_opens
from testbed.timing import Instant
from testbed.wire.frame import Direction, Frame

needs_tshark = pytest.mark.skipif(not shutil.which("tshark"), reason="no tshark")
NAMES = [flag.name.lower() for flag in Flag]


def tshark_flags(file):
    """What tshark tells of each TCP packet, by frame number."""
    fields = [word for name in NAMES for word in ("-e", f"tcp.analysis.{name}")]
    command = ["tshark", "-n", "-r", file, "-Y", "tcp && !icmp", "-T", "fields", "-e"]
    shown = subprocess.run(
        [*command, "frame.number", *fields], capture_output=True, text=True, check=True
    )
    told = {}
    for line in shown.stdout.splitlines():
        number, *values = line.split("\t")
        told[int(number)] = {name for name, value in zip(NAMES, values, strict=True) if value}
    return told


def our_flags(file):
    analysis = analyse(read_columns(file.read_bytes()))
    rows = zip(analysis.segments.row.tolist(), analysis.flags.tolist(), strict=True)
    return {row + 1: set(Flag(flags).names) for row, flags in rows}


def definition(analysis):
    """The flags by the definition, segment by segment, of every connection."""
    found = np.zeros(len(analysis.segments), np.int64)
    starts = analysis.segments.starts.tolist()
    for first, end in pairwise(starts):
        found[first:end] = fast._exactly(analysis.segments, analysis.options.scale, first, end)
    found[analysis.segments.reused] |= int(Flag.REUSED_PORTS)
    return found | fast_opens(analysis.segments, analysis.options.cookie)


@pytest.fixture(scope="module")
def transfers(tmp_path_factory):
    """Captures of transfers between two stacks over lines with every fault, at both ends."""
    folder = tmp_path_factory.mktemp("transfers")
    files = []
    for seed in (3, 5, 9, 15, 27, 33, 41, 55):
        _, pair = run_seed(seed, trace=True)
        for name, node in (("left", pair.left), ("right", pair.right)):
            files.append(folder / f"{seed}-{name}.pcapng")
            pair.write_pcapng(files[-1], node)
    return files


@needs_tshark
def test_tshark_says_the_same_of_transfers_under_every_fault(transfers):
    seen, agreed, packets = Counter(), Counter(), 0
    for file in transfers:
        ours, theirs = our_flags(file), tshark_flags(file)
        assert ours.keys() == theirs.keys()
        packets += len(ours)
        for number, found in ours.items():
            seen.update(found | theirs[number])
            agreed.update(found & theirs[number])
    assert packets > 2000
    assert len(seen) >= 9
    rates = {name: agreed[name] / count for name, count in seen.items() if count >= 20}
    assert set(rates.values()) == {1.0}, rates


@needs_tshark
def test_tshark_says_the_same_of_every_scene(tmp_path):
    file = tmp_path / "scenes.pcap"
    file.write_bytes(pcap_of(scenes().values()))
    ours, theirs = our_flags(file), tshark_flags(file)
    assert ours == theirs
    assert {name for found in ours.values() for name in found} == set(NAMES)


@needs_tshark
def test_tshark_says_the_same_of_nonsense(tmp_path):
    file = tmp_path / "nonsense.pcap"
    file.write_bytes(pcap_of([random_segments(seed, 60) for seed in range(100)]))
    ours, theirs = our_flags(file), tshark_flags(file)
    assert ours == theirs


def test_the_arrays_say_what_the_definition_says(transfers):
    captures = [file.read_bytes() for file in transfers]
    captures.append(pcap_of(scenes().values()))
    captures.append(pcap_of([random_segments(seed, 60) for seed in range(300)]))
    for data in captures:
        analysis = analyse(read_columns(data))
        assert analysis.flags.tolist() == definition(analysis).tolist()


def test_most_connections_need_no_loop(monkeypatch):
    given = []
    monkeypatch.setattr(exact, "judge", lambda segments: given.append(segments) or [])
    names = {"closed window", "syn again", "refused"}
    analyse(read_columns(pcap_of([each for name, each in scenes().items() if name not in names])))
    assert not given


@pytest.mark.parametrize("seed", range(6))
def test_segments_of_any_content_do_no_harm(seed):
    luck = random.Random(seed)  # noqa: S311 - repeatable on purpose
    data = bytearray(pcap_of([random_segments(seed, 80), *scenes().values()]))
    for _ in range(60):
        at = luck.randrange(24, len(data) - 60)
        if at % 7:  # mostly not the lengths of records
            data[at] = luck.choice((0, 0xFF, 0x45, luck.randrange(256)))
    analysis = analyse(read_columns(bytes(data), lenient=True))
    for connection in analysis:
        assert connection.packets > 0
        str(connection), connection.counts(), connection.causes(), connection.stalls
        for way in (connection.up, connection.down):
            assert way.bytes >= 0
            assert (way.flight >= 0).all()


def only(segments):
    (connection,) = analyse(read_columns(pcap_of([segments])))
    return connection


def test_a_connection_is_told_from_its_opening_to_its_close():
    connection = only(scenes()["clean"])
    assert str(connection) == "10.0.0.1:1000 > 10.0.0.2:80"
    assert (connection.opening, connection.closing) == ("whole", "half closed")
    assert (connection.up.bytes, connection.down.bytes) == (100, 0)
    assert connection.up.flight.max() == 100
    _, trips = connection.up.round_trips
    assert trips.tolist() == [10_000_000, 100_000_000, 100_000_000]
    assert only(scenes()["refused"]).opening == "refused"
    assert only(scenes()["half"]).opening == "half"
    assert only(scenes()["from the middle"]).opening == "unseen"


def test_the_options_of_both_sides_are_told():
    mine = bytes([2, 4, 5, 180, 4, 2, 3, 3, 7])
    client, server = only(opened(mine, bytes([2, 4, 2, 24]))).offers
    assert (client.maximum_segment, client.window_scale, client.sack) == (1460, 7, True)
    assert (server.maximum_segment, server.window_scale, server.sack) == (536, None, False)


def causes(segments):
    return [cause for _, cause in only(segments).up.causes]


def test_retransmissions_are_told_apart_by_their_cause():
    assert causes(scenes()["timeout"]) == [Cause.TIMEOUT]
    assert causes(scenes()["fast"]) == [Cause.FAST]
    assert causes(scenes()["spurious"]) == [Cause.SPURIOUS]
    tail = [*opened(), up(1001), down(1101, wait=0.05), up(1101), up(1101, wait=0.11), down(1201)]
    assert causes(tail) == [Cause.PROBE]
    # The last of several is a probe however late; of one alone the second time is the timer's.
    two = [*opened(), up(1001), down(1101, wait=0.05), up(1101), up(1201), up(1201, wait=0.9)]
    assert causes(two) == [Cause.PROBE]
    assert causes([*tail[:-1], up(1101, wait=0.22), down(1201)]) == [Cause.PROBE, Cause.TIMEOUT]
    back_to_n = [*opened(), *(up(1001 + 100 * n, wait=0.001) for n in range(3))]
    back_to_n += [up(1001, wait=1.0), up(1101, wait=0.001), down(1301)]
    assert causes(back_to_n) == [Cause.TIMEOUT, Cause.RECOVERY]


def test_what_comes_too_soon_was_sent_again_where_it_had_been_seen_and_overtaken_where_not():
    sends = [up(1001 + 100 * number, wait=0.001) for number in range(3)]
    report = down(1001, wait=0.001, options=sack((1101, 1301)))
    seen = [*opened(), *sends, report, up(1001, wait=0.001)]
    overtaken = [each for each in seen if each is not sends[0]]
    for segments, why in ((seen, [Cause.FAST]), (overtaken, [])):
        connection = only(segments)
        assert Flag(int(connection.up.flags[-1])) == Flag.OUT_OF_ORDER
        assert [cause for _, cause in connection.up.causes] == why


def test_what_the_network_brought_twice_was_not_sent_again():
    sends = [*opened(), *(up(1001 + 100 * n, wait=0.1) for n in range(3)), up(1201, wait=0.3)]
    for last, why in ((5, Cause.COPIED), (6, Cause.PROBE)):
        data = bytearray(pcap_of([sends]))
        at = 24
        for number in (*range(len(sends) - 1), last):
            at += 16
            data[at + 18 : at + 20] = number.to_bytes(2, "big")
            at += 54 + (100 if number > 2 else 0)
        (connection,) = analyse(read_columns(bytes(data)))
        assert [cause for _, cause in connection.up.causes] == [why]


def test_sack_blocks_tell_of_holes():
    blocks = [(1101, 1201), (1301, 1401)]
    sends = [up(1001 + 100 * n, wait=0.001) for n in range(4)]
    connection = only([*opened(), *sends, down(1001, options=sack(*blocks))])
    assert connection.up.sack[:, 1:].tolist() == [[101, 201], [301, 401]] or (
        connection.up.sack[:, 1:] - connection.up.sack[0, 1]
    ).tolist() == [[0, 100], [200, 300]]
    assert connection.up.holes == 2


@pytest.mark.parametrize(
    ("segments", "cause"),
    [
        ([*opened(), up(1001), down(1101), up(1101, wait=2)], "application"),
        ([*opened(), up(1001), up(1001, wait=2), down(1101)], "network"),
        ([*opened(), up(1001), up(1101, wait=2)], "sender"),
        ([*opened(), up(1001), down(1101, win=0), down(1101, win=900, wait=2)], "receiver"),
        ([*opened(), up(1001), down(1101, win=0), up(1101, 1, wait=2)], "receiver"),
    ],
)
def test_a_stall_is_put_down_to_what_it_waited_for(segments, cause):
    (stall,) = only(segments).stalls
    assert (stall.cause, stall.span) == (cause, 2_000_000_000)


def test_a_plan_asks_a_trace_for_its_retransmissions():
    trace = Trace(["a--dut"])
    at = 0
    for seg in scenes()["timeout"]:
        at += round(seg.wait * 1e9)
        direction = Direction.OUT if seg.side == 0 else Direction.IN
        trace.add("a--dut", [Frame(frame_of(seg), Instant(at), direction)])
    tcp = trace.tcp("dut--a")
    assert [traced.number for traced in tcp.retransmissions()] == [5]
    assert not tcp.retransmissions(of=match.tcp(dst_port=1000))
    assert tcp.flagged(Flag.RETRANSMISSION) == tcp.retransmissions(of=match.tcp(dst_port=80))
    assert len(trace.tcp().connections) == 1


def test_a_segment_in_fragments_counts_where_it_became_whole():
    whole = frame_of(Seg(0, 0, "A", 1001, 5001, size=200))
    head, payload = whole[14:34], whole[34:]

    def part(start, end, more):
        offset = (start // 8) | (0x2000 if more else 0)
        ip = head[:2] + (20 + end - start).to_bytes(2, "big") + head[4:6]
        ip += offset.to_bytes(2, "big") + head[8:]
        return whole[:14] + ip + payload[start:end]

    frames = [part(0, 104, True), part(104, len(payload), False)]
    data = bytearray(pcap_of([[]]))
    for frame in frames:
        data += bytes(8) + len(frame).to_bytes(4, "little") * 2 + frame
    (connection,) = analyse(read_columns(bytes(data)))
    assert connection.frames.tolist() == [2]
    assert connection.up.length.tolist() == [200]
