"""Receive statistics of signed streams: by definition, and by the kernel, the same."""

import json
import random
import socket
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from netns import Namespace
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw

from testbed.errors import PlanError
from testbed.link.ebpf import BpfError, Program, SharedArray, XdpAction, can_load, can_run_live
from testbed.link.streams import Blend, Increment, Job, Pace
from testbed.link.streams.countcode import (
    ARRIVED,
    DUE,
    EARLIER,
    LEAST,
    OCTETS,
    OTHERS,
    TOTAL,
    UNHEARD,
    counting,
)
from testbed.link.streams.counter import ROW, Balance, KernelTally, memory_for_tally, read_tally
from testbed.link.streams.job import Outlet
from testbed.link.streams.packets import PacketSender
from testbed.link.streams.signing import MARK, SIGNATURE, STREAMS, signed
from testbed.link.streams.tally import BUCKETS, StreamTally, Tally, bucket_of, most_in
from testbed.link.streams.xdp import XdpSender
from testbed.timing import Duration

needs_bpf = pytest.mark.skipif(not can_load().works, reason=can_load().why)
HEAD = bytes.fromhex("02000000000b02000000000a88b5") + bytes(22)


def frame(number: int, stream: int = 0, sent_at: int = 0, mark: int = MARK, size: int = 0) -> bytes:
    return HEAD + bytes(size) + SIGNATURE.pack(mark, stream, number, sent_at)


def heard(*numbers: int) -> StreamTally:
    tally = Tally()
    for number in numbers:
        assert tally.hear(frame(number), 0)
    return tally.streams[0]


@pytest.mark.parametrize(
    ("numbers", "lost", "late", "again", "stale"),
    [
        (range(200), 0, 0, 0, 0),
        ((0, 1, 3, 4), 1, 0, 0, 0),
        ((0, 2, 1, 3), 0, 1, 0, 0),
        ((0, 1, 1, 2, 0), 0, 0, 2, 0),
        ((5,), 5, 0, 0, 0),
        ((0, 100, 50, 50), 98, 1, 1, 0),
        ((0, 100, 20), 99, 0, 0, 1),
        ((0, 63, 64, 0), 62, 0, 0, 1),
        ((0, 63, 0), 62, 0, 1, 0),
    ],
)
def test_what_is_lost_late_or_comes_again_is_told_apart(numbers, lost, late, again, stale) -> None:
    tally = heard(*numbers)
    counted = (tally.lost, tally.late, tally.duplicates, tally.stale)
    assert counted == (lost, late, again, stale)


def test_latencies_are_summed_up() -> None:
    tally = StreamTally()
    for latency in (100, 300, 200, 1000, -5):
        tally.hear(tally.due, 60, latency)
    assert (tally.least_latency, tally.mean_latency, tally.most_latency) == (0, 320, 1000)
    assert [n for n, count in enumerate(tally.histogram) if count] == [0, 36, 44, 49, 63]
    assert tally.latency_within(0.5) == 207
    assert tally.latency_within(1.0) == 1000
    assert tally.variation_within(0.8) == 319
    assert StreamTally().mean_latency == StreamTally().latency_within(0.5) == 0


def test_the_histogram_has_no_gap_and_is_right_to_an_eighth() -> None:
    longest = [most_in(bucket) for bucket in range(BUCKETS)]
    assert longest == sorted(set(longest))
    assert longest[:18] == [*range(16), 17, 19]
    assert longest[-1] == 2**40 - 1
    for bucket, most in enumerate(longest):
        assert bucket_of(most) == bucket
        assert bucket_of(most + 1) == min(bucket + 1, BUCKETS - 1)
        assert most + 1 - (longest[bucket - 1] + 1 if bucket else 0) <= max(1, most / 8)
    assert bucket_of(2**64 - 1) == BUCKETS - 1


@pytest.mark.parametrize(
    ("numbers", "extents"),
    [
        # The examples of RFC 4737 9, whose packets are numbered from 1.
        ((1, 2, 3, 5, 6, 7, 8, 4, 9, 10), [4]),
        ((1, 2, 3, 4, 7, 5, 6, 8, 9, 10), [1, 2]),
        ((1, 2, 3, 7, 8, 9, 10, 4, 5, 6, 11), [4, 5, 6]),
        # What overtook 4 is 6 and not 5, which came late as well; 2 was overtaken by 3.
        ((1, 3, 2, 6, 5, 4), [1, 1, 2]),
        # A duplicate is no arrival, and two gaps have an overtaker each.
        ((1, 3, 3, 3, 6, 6, 5, 4, 2), [1, 2, 4]),
    ],
)
def test_how_far_a_frame_comes_behind_is_reckoned_as_in_rfc_4737(numbers, extents) -> None:
    tally = heard(*(number - 1 for number in numbers))
    assert (tally.late, tally.total_extent, tally.most_extent) == (
        len(extents),
        sum(extents),
        max(extents),
    )
    assert tally.mean_extent == sum(extents) / len(extents)
    assert tally.lost == 0


def test_jitter_is_that_of_rfc_3550() -> None:
    tally = StreamTally()
    # Latencies in ns, and the sixteenths by hand: J += |D| - (J + 8 >> 4).
    for number, (latency, sixteenths) in enumerate(
        ((1000, 0), (1160, 160), (1160, 150), (1000, 301), (-1000, 2282), (2000, 5139))
    ):
        tally.hear(number, 60, latency)
        assert tally.jitter_sixteenths == sixteenths
    assert tally.jitter == 5139 // 16
    steady = StreamTally()
    for number in range(3000):
        steady.hear(number, 60, 5000 + 100 * (number % 2))
    assert steady.jitter == 99  # what every frame differs by from the last, less the rounding


def test_jitter_follows_the_formula_of_rfc_3550_to_a_nanosecond() -> None:
    chance = random.Random(7)  # noqa: S311 - made-up latencies are no secret
    tally, exact, last = StreamTally(), 0.0, None
    for number in range(5000):
        transit = 40_000 + chance.choice((0, 0, 300, 9000)) + chance.randrange(2000)
        if last is not None:
            exact += (abs(transit - last) - exact) / 16  # 6.4.1, as it is written
        last = transit
        tally.hear(number, 60, transit)
        assert abs(tally.jitter - exact) < 2


def test_a_sender_that_begins_anew_is_told_from_frames_that_are_late() -> None:
    tally = StreamTally()
    for number, sent_at in ((0, 10), (1, 20), (3, 40), (2, 30), (0, 50), (2, 70), (1, 60), (0, 50)):
        tally.hear(number, 60, 5, sent_at)
    assert (tally.restarts, tally.earlier, tally.due) == (1, 4, 3)
    assert (tally.lost, tally.late, tally.duplicates, tally.stale) == (0, 2, 1, 0)


def test_numbers_go_on_from_the_greatest_to_zero() -> None:
    tally = StreamTally(due=2**64 - 2, earlier=2)
    for number in (2**64 - 2, 0, 2**64 - 1, 1, 1, 3):
        tally.hear(number, 60, 5)
    assert (tally.due, tally.lost, tally.late, tally.duplicates) == (4, 1, 1, 1)
    assert (tally.total_extent, tally.restarts) == (1, 0)


def test_a_tally_goes_into_a_report() -> None:
    tally = heard(0, 2, 1, 2)
    facts = json.loads(json.dumps(tally.as_dict()))
    assert (facts["received"], facts["late"], facts["duplicates"]) == (4, 1, 1)
    assert facts["histogram"] == {"0": 4}
    assert set(facts["latency_within"]) == {"p50", "p90", "p99", "p99.9"}


def test_frames_that_are_not_signed_are_left_alone() -> None:
    tally = Tally()
    for other in (b"", bytes(60), frame(1, mark=MARK + 1), frame(1, stream=STREAMS)):
        assert not tally.hear(other, 0)
    assert (tally.streams, tally.others) == ({}, 4)


def test_a_signed_flow_has_right_checksums_and_can_vary_besides() -> None:
    packet = Ether(dst="02:00:00:00:00:0b") / IP(dst="198.18.0.2") / UDP() / Raw(b"x" * 31)
    flow = signed(packet, 7, vary={"ipv4.src": Increment()})
    for n in (0, 1, 2**40):
        made = flow.compiled.frame(n, 12345)
        assert SIGNATURE.unpack(made[-24:]) == (MARK, 7, n, 12345)
        again = Ether(made)
        del again[IP].chksum, again[UDP].chksum
        assert bytes(again) == made
    with pytest.raises(PlanError, match="expected 0 to 1023"):
        signed(packet, STREAMS)
    with pytest.raises(PlanError, match="no room for a signature of 24"):
        signed(Ether() / IP() / UDP() / Raw(b"x" * 20))


class Kernel:
    """The program, run frame by frame at times that the test chooses."""

    def __init__(self) -> None:
        self.memory, self.clock = memory_for_tally(), SharedArray(8)
        self.now = self.clock.view("u8")
        self.rows = self.memory.view("u8", STREAMS * ROW).reshape(STREAMS, ROW)
        code = counting(self.memory.fd, take=True, clock=self.clock.fd)
        self.program = Program(code)

    def hear(self, data: bytes, now: int) -> bool:
        self.now[0] = now
        action = self.program.try_on(data).action
        assert action in (XdpAction.DROP, XdpAction.PASS)
        return action == XdpAction.DROP

    def tally(self, stream: int) -> StreamTally:
        return read_tally(self.rows[stream].tolist())

    def close(self) -> None:
        self.program.close()
        self.memory.close()
        self.clock.close()


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    made = Kernel()
    yield made
    made.close()


def bare(tally: StreamTally) -> StreamTally:
    """Without what the kernel keeps in another form."""
    return replace(tally, overtakers={})


def disorder(seed: int) -> Iterator[tuple[int, int, int, int]]:
    """Stream, number, when sent and when it came, of frames that were lost, late and repeated."""
    chance = random.Random(seed)  # noqa: S311 - made-up losses are no secret
    sent = []
    for stream in (0, 3, STREAMS - 1):
        for run in range(3):
            numbers = [n for n in range(400) if chance.random() > 0.1]
            numbers += chance.choices(numbers, k=40)
            numbers.sort(key=lambda n: n + chance.random() * chance.choice((1, 1, 5, 90)))
            begun = 10**12 + run * 10**9
            sent += [(stream, n, begun + n * 1000) for n in numbers]
    for stream, number, at in sent:
        yield stream, number, at, at + int(2 ** (chance.random() * chance.choice((8, 16, 45)))) - 99


@needs_bpf
def test_the_program_in_the_kernel_counts_the_same(kernel: Kernel) -> None:
    chance = random.Random(6)  # noqa: S311 - sizes are no secret
    reference = Tally()
    for stream, number, sent_at, now in disorder(5):
        data = frame(number, stream, sent_at, size=chance.randrange(0, 1400))
        assert reference.hear(data, now)
        assert kernel.hear(data, now)
    for other in (bytes(60), bytes(14), frame(1, mark=MARK + 1), frame(1, stream=STREAMS)):
        assert not reference.hear(other, 0)
        assert not kernel.hear(other, 0)
    assert kernel.memory.view("u8")[OTHERS // 8] == reference.others == 4
    for stream, tally in reference.streams.items():
        assert kernel.tally(stream) == bare(tally)
        assert tally.restarts == 2
        assert min(tally.late, tally.lost, tally.stale, tally.most_extent, tally.jitter) > 5
        assert tally.duplicates > 20
        assert tally.least_latency == 0
    assert (kernel.rows[:, LEAST // 8] != UNHEARD).nonzero()[0].tolist() == [0, 3, STREAMS - 1]


@needs_bpf
@pytest.mark.parametrize("numbers", [(5, 0, 3, 70, 6, 5, 200, 150, 137, 136, 201), (0, 64, 1, 0)])
def test_the_kernel_agrees_after_every_frame(kernel: Kernel, numbers: tuple[int, ...]) -> None:
    reference = Tally()
    for number in numbers:
        data = frame(number, 9, 1000 + number)
        reference.hear(data, 5000)
        kernel.hear(data, 5000)
        assert kernel.tally(9) == bare(reference.streams[9])


@needs_bpf
def test_the_kernel_finds_every_bucket(kernel: Kernel) -> None:
    latencies = [most_in(bucket) + more for bucket in range(BUCKETS) for more in (0, 1)]
    for number, latency in enumerate([*latencies, 2**50, 2**60, 2**63 - 1]):
        kernel.hear(frame(number, 1, 0), latency)
    counted = kernel.tally(1).histogram
    assert counted == [1] + [2] * (BUCKETS - 2) + [2 + 1 + 3]


@needs_bpf
def test_counts_of_64_bits_wrap_in_the_kernel_too(kernel: Kernel) -> None:
    reference = StreamTally(due=2**64 - 2, earlier=2, least_latency=Duration(9), received=1)
    reference.octets = reference.total_latency = 2**64 - 1
    row = kernel.rows[2]
    row[DUE // 8], row[EARLIER // 8], row[ARRIVED // 8] = 2**64 - 2, 2, 1
    for offset in (OCTETS, TOTAL):
        row[offset // 8] = 2**64 - 1
    row[LEAST // 8] = 9
    for number in (2**64 - 2, 0, 2**64 - 1, 1, 1, 3):
        reference.hear(number, len(frame(0)), 5)
        kernel.hear(frame(number, 2, 0), 5)
    assert kernel.tally(2) == bare(reference)
    assert (reference.due, reference.late, reference.duplicates) == (4, 1, 1)


@needs_bpf
def test_the_program_reads_the_monotonic_clock() -> None:
    with memory_for_tally() as memory, Program(counting(memory.fd, take=False)) as program:
        row = memory.view("u8")[ROW : 2 * ROW]
        for number, ago in enumerate((10**6, 10**9)):
            data = frame(number, 1, time.monotonic_ns() - ago)
            assert program.try_on(data).action == XdpAction.PASS
        tally = read_tally(row.tolist())
        assert 10**6 <= tally.least_latency < 10**9 <= tally.most_latency
        assert tally.total_latency == tally.least_latency + tally.most_latency


@needs_bpf
@pytest.mark.parametrize("kind", [XdpSender, PacketSender])
def test_streams_over_a_cable_are_counted_to_the_frame(
    kind: type, netns: Namespace, veth: tuple[str, str]
) -> None:
    if kind is XdpSender and not can_run_live().works:
        pytest.skip(can_run_live().why)
    packet = Ether(dst="02:00:00:00:00:0b") / Dot1Q(vlan=5) / IP() / UDP() / Raw(bytes(40))
    blend = Blend([signed(packet, 1, share=3), signed(packet, 1000)])
    index = socket.if_nametoindex(veth[1])
    with KernelTally(index) as tally:
        with pytest.raises(BpfError, match="another program is attached"):
            KernelTally(index)
        sender = kind(Job(blend, Pace(20_000), count=4000), Outlet.find(veth[0]))
        sender.start()
        while not sender.done:
            time.sleep(0.002)
        sender.stop()
        deadline = time.monotonic() + 5
        while sum(each.received for each in tally.streams.values()) < sender.sent:
            assert time.monotonic() < deadline
    assert {stream: each.received for stream, each in tally.streams.items()} == {
        1: 3000,
        1000: 1000,
    }
    assert (tally.received, tally.others, tally.missed) == (4000, 0, 0)
    assert tally.balance == Balance(4000, 4000, 4000)
    for each in tally.streams.values():
        assert (each.lost, each.late, each.duplicates) == (0, 0, 0)
        assert each.octets == each.received * blend.longest
        assert 0 < each.least_latency <= each.mean_latency <= each.most_latency < 10**9
