"""Receive statistics of signed streams: by definition, and by the kernel, the same."""

import random
import socket
import time

import pytest
from netns import Namespace
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Raw

from testbed.errors import PlanError
from testbed.link.ebpf import BpfError, Program, SharedArray, XdpAction, can_load, can_run_live
from testbed.link.streams import Blend, Increment, Job, Pace
from testbed.link.streams.counter import ENTRY, KernelTally, counting
from testbed.link.streams.job import Outlet
from testbed.link.streams.packets import PacketSender
from testbed.link.streams.signing import MARK, SIGNATURE, STREAMS, signed
from testbed.link.streams.tally import StreamTally, Tally
from testbed.link.streams.xdp import XdpSender

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
    assert [n for n, count in enumerate(tally.histogram) if count] == [0, 7, 8, 9, 10]
    assert tally.latency_within(0.5) == 256
    assert tally.latency_within(1.0) == 1000
    assert StreamTally().mean_latency == StreamTally().latency_within(0.5) == 0


def test_frames_that_are_not_signed_are_left_alone() -> None:
    tally = Tally()
    for other in (b"", bytes(60), frame(1, mark=MARK + 1), frame(1, stream=STREAMS)):
        assert not tally.hear(other, 0)
    assert tally.streams == {}


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


@needs_bpf
def test_the_program_in_the_kernel_counts_the_same() -> None:
    chance = random.Random(5)  # noqa: S311 - made-up losses are no secret
    reference = Tally()
    with SharedArray(STREAMS * ENTRY) as memory:
        words = memory.view("u8").reshape(STREAMS, -1)
        with Program(counting(memory.fd, take=True)) as program:
            sent = []
            for stream in (0, 3, STREAMS - 1):
                numbers = [n for n in range(600) if chance.random() > 0.1]
                numbers += chance.choices(numbers, k=60)
                numbers.sort(key=lambda n: n + chance.random() * chance.choice((1, 5, 90)))
                sent += [(stream, n) for n in numbers]
            chance.shuffle(sent[::7])
            for stream, n in sent:
                # Sent in the future, so that no latency depends on when this runs.
                data = frame(n, stream, 2**62, size=chance.randrange(0, 1400))
                reference.hear(data, 0)
                assert program.try_on(data).action == XdpAction.DROP
            for other in (bytes(60), frame(1, mark=MARK + 1), frame(1, stream=STREAMS)):
                assert program.try_on(other).action == XdpAction.PASS
        for stream, tally in reference.streams.items():
            row = words[stream].tolist()
            counted = [tally.received, tally.octets, tally.due, tally.window, tally.duplicates]
            assert row[:7] == [*counted, tally.late, tally.stale]
            assert row[16:] == tally.histogram
            assert min(tally.late, tally.lost, tally.stale) > 5
            assert tally.duplicates > 20
        assert words[:, 0].nonzero()[0].tolist() == sorted(reference.streams)


@needs_bpf
def test_the_program_measures_latency() -> None:
    with SharedArray(STREAMS * ENTRY) as memory:
        words = memory.view("u8").reshape(STREAMS, -1)
        with Program(counting(memory.fd, take=False)) as program:
            for number, ago in enumerate((10**6, 10**9)):
                data = frame(number, 1, time.monotonic_ns() - ago)
                assert program.try_on(data).action == XdpAction.PASS
        total, least, most = words[1, 7:10].tolist()
        assert 10**6 <= least < 10**9 <= most
        assert total == least + most
        buckets = words[1, 16:].nonzero()[0].tolist()
        assert buckets == sorted({least.bit_length(), most.bit_length()})


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
    for each in tally.streams.values():
        assert (each.lost, each.late, each.duplicates) == (0, 0, 0)
        assert each.octets == each.received * blend.longest
        assert 0 < each.least_latency <= each.mean_latency <= each.most_latency < 10**9
