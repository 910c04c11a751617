"""Players on real (veth) interfaces: the right frames in order, counted to the frame."""

import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from netns import Namespace

from testbed.errors import LinkError, PlanError, Unsupported
from testbed.link.ebpf import R0, Assembler, Program, SharedArray, XdpAction, XdpLink, can_run_live
from testbed.link.netlink import RouteNetlink
from testbed.link.replay import ArrayReel, Limits, RecordedReel
from testbed.link.replay.choosing import choose_player
from testbed.link.replay.packets import PacketPlayer
from testbed.link.replay.player import BYTES, LEAD, MADE, PLAYER_STATE, START, WORST, player
from testbed.link.replay.xdp import RingPlayer
from testbed.link.streams import Pace
from testbed.link.streams.job import UNLIMITED, Outlet
from testbed.link.streams.transmitter import END, LIMIT, SENT

needs_live = pytest.mark.skipif(not can_run_live().works, reason=can_run_live().why)
SO_RCVBUFFORCE = 33  # asm-generic/socket.h
HEAD = bytes.fromhex("02000000000b02000000000a88b5")


@pytest.fixture
def passing(veth: tuple[str, str]) -> Iterator[tuple[str, str]]:
    code = Assembler().mov(R0, XdpAction.PASS).exit().assemble()
    with Program(code, "far") as program, XdpLink(program, socket.if_nametoindex(veth[1])):
        yield veth


def sent_by_kernel(interface: str) -> int:
    with RouteNetlink() as route:
        return route.traffic(socket.if_nametoindex(interface)).sent


def finish(sender, within: float = 20) -> None:
    deadline = time.monotonic() + within
    while not sender.done:
        assert time.monotonic() < deadline, f"{sender.sent} sent"
        time.sleep(0.002)
    sender.stop()


@contextmanager
def wire(interface: str) -> Iterator[Callable[[int], list[bytes]]]:
    """Takes so many frames that arrive at an interface."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as heard:
        heard.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
        heard.bind((interface, 3))
        heard.settimeout(5)
        yield lambda count: [heard.recv(2048) for _ in range(count)]


def numbered(count: int, width: int = 64, first: int = 0) -> np.ndarray:
    made = np.zeros((count, width), np.uint8)
    made[:, :14] = np.frombuffer(HEAD, np.uint8)
    made[:, 20:28].view(">u8")[:, 0] = np.arange(first, first + count)
    return made


def recorded(count: int, due: np.ndarray | None = None, loops: int = 1) -> RecordedReel:
    rng = np.random.default_rng(count)
    sizes = rng.choice([60, 61, 590, 1514], count).astype(np.int64)
    offset = np.cumsum(sizes) - sizes
    data = rng.integers(0, 256, sizes.sum(), np.uint8)
    for at, byte in enumerate(HEAD):
        data[offset + at] = byte
    return RecordedReel(data, offset, sizes, sizes, np.arange(count), due, loops)


def frames_of(reel: RecordedReel) -> list[bytes]:
    spans = zip(reel.offset, reel.captured, strict=True)
    return [reel.data[at : at + size].tobytes() for at, size in spans] * reel.loops


@contextmanager
def player_of(kind: type, reel, pace: Pace | None, interface: str) -> Iterator:
    if kind is RingPlayer and not can_run_live().works:
        pytest.skip(can_run_live().why)
    outlet = Outlet.find(interface)
    sender = kind(reel, pace, outlet, Limits(interface, outlet.mtu))
    yield sender
    sender.stop()


both = pytest.mark.parametrize("kind", [RingPlayer, PacketPlayer])


@both
@pytest.mark.parametrize("timed", [False, True])
def test_what_arrives_is_what_was_recorded_in_its_order(kind: type, timed: bool, passing) -> None:
    due = np.arange(1000, dtype=np.int64) * 50_000 if timed else None
    reel = recorded(1000, due, loops=2)
    pace = None if timed else Pace(20_000)
    with player_of(kind, reel, pace, passing[0]) as sender, wire(passing[1]) as take:
        sender.start()
        frames = take(2000)
        finish(sender)
    assert frames == frames_of(reel)
    assert (sender.sent, sender.sent_bytes) == (2000, sum(map(len, frames)))


@both
def test_a_reel_larger_than_any_buffer_is_sent_once_and_counted_by_the_kernel(
    kind: type, passing
) -> None:
    before = sent_by_kernel(passing[0])
    blocks = [numbered(30_000, first=at) for at in range(0, 150_000, 30_000)]
    with player_of(kind, ArrayReel(iter(blocks)), Pace(), passing[0]) as sender:
        sender.start()
        finish(sender)
    assert (sender.sent, sender.lost) == (150_000, 0)
    assert sent_by_kernel(passing[0]) - before == 150_000


@both
def test_arrays_that_are_made_while_they_are_sent_arrive_in_order(kind: type, passing) -> None:
    made = [numbered(100, 70, first=at) for at in range(0, 2000, 100)]
    with player_of(kind, ArrayReel(iter(made)), Pace(20_000), passing[0]) as sender:
        with wire(passing[1]) as take:
            sender.start()
            frames = take(2000)
        finish(sender)
    assert frames == [row.tobytes() for block in made for row in block]


@both
def test_a_replay_that_is_stopped_midway_has_counted_to_the_frame(kind: type, passing) -> None:
    before = sent_by_kernel(passing[0])
    with player_of(kind, recorded(1000, loops=1 << 20), Pace(), passing[0]) as sender:
        sender.start()
        while sender.sent < 50_000:
            time.sleep(0.001)
        assert not sender.done
    assert sender.done
    assert sent_by_kernel(passing[0]) - before == sender.sent


@both
def test_what_fails_while_frames_are_made_is_the_authors_error(kind: type, passing) -> None:
    def blocks() -> Iterator[np.ndarray]:
        yield numbered(100)
        yield numbered(100)
        raise ZeroDivisionError("oops")

    before = sent_by_kernel(passing[0])
    with player_of(kind, ArrayReel(blocks()), Pace(), passing[0]) as sender:
        sender.start()
        with pytest.raises(PlanError, match="could not be made: ZeroDivisionError"):
            finish(sender)
        sender.error = None  # it has been told
    assert sent_by_kernel(passing[0]) - before == sender.sent <= 200


@both
def test_the_rate_changes_unless_frames_have_times_of_their_own(kind: type, passing) -> None:
    with player_of(kind, recorded(100, loops=1 << 20), Pace(10), passing[0]) as sender:
        sender.start()
        sender.set_pace(Pace())
        deadline = time.monotonic() + 10
        while sender.sent < 10_000:
            assert time.monotonic() < deadline
    timed = recorded(2, np.array([0, 10**12]))
    with (
        player_of(kind, timed, None, passing[0]) as sender,
        pytest.raises(Unsupported, match="leave when they are due"),
    ):
        sender.set_pace(Pace(10))


@both
def test_a_frame_is_not_sent_before_it_is_due(kind: type, passing) -> None:
    reel = recorded(3, np.array([0, 30_000_000, 10**12]))
    with player_of(kind, reel, None, passing[0]) as sender:
        began = time.monotonic_ns()
        sender.start()
        while sender.sent < 2:
            time.sleep(0.001)
        assert time.monotonic_ns() - began >= 30_000_000
        assert not sender.done
        assert sender.lateness > 0
    assert sender.sent == 2


@needs_live
def test_the_program_sends_what_lies_ready_when_it_is_due() -> None:
    with SharedArray(PLAYER_STATE) as state, SharedArray(4 * 80) as ring:
        words, slots = state.view("u8"), ring.view("u1").reshape(4, 80)
        slots[:, 16:76] = numbered(4, 60)
        slots[:, 0:4].view("u4")[:, 0] = 60
        due = slots[:, 8:16].view("i8")[:, 0]
        shape = {"slots": 4, "stride": 80, "longest": 60, "alike": True}
        code = player(state.fd, ring.fd, 1, **shape, burst=None)
        with Program(code) as program:

            def sends() -> bytes | None:
                verdict = program.try_on(b"\xee" * 60)
                return verdict.frame if verdict.action == XdpAction.REDIRECT else None

            words[LIMIT // 8], words[END // 8] = UNLIMITED, UNLIMITED
            words[START // 8] = time.monotonic_ns()
            due[:] = 0, 10**12, 0, 0
            assert sends() is None
            words[MADE // 8] = 2
            assert sends() == slots[0, 16:76].tobytes()
            assert sends() is None
            due[1] = 0
            assert sends() == slots[1, 16:76].tobytes()
            assert sends() is None
            words[MADE // 8] = 6
            sent = [sends() for _ in range(5)]
            assert sent == [slots[n % 4, 16:76].tobytes() for n in range(2, 6)] + [None]
            assert words[SENT // 8] == 6
            assert words[BYTES // 8] == 360
            assert 0 < words[WORST // 8] < 10**10
            words[START // 8] = 0
            words[MADE // 8] = 7
            before = time.monotonic_ns()
            assert sends() is None
            assert before + LEAD <= words[START // 8] <= time.monotonic_ns() + LEAD
            words[START // 8] = before
            words[MADE // 8], words[LIMIT // 8] = 9, 7
            assert [sends() is None for _ in range(2)] == [False, True]


def test_the_fastest_player_that_works_is_chosen_and_the_reason_given(veth, passing) -> None:
    plain = choose_player(recorded(5), Pace(), veth[0], captured=True)
    assert plain.why == "captures on this machine are to see the frames"
    plain.sender.stop()
    if can_run_live().works:
        best = choose_player(recorded(5), Pace(), veth[0])
        assert isinstance(best.sender, RingPlayer)
        best.sender.stop()


def test_without_a_far_program_a_packet_socket_plays(veth: tuple[str, str]) -> None:
    choice = choose_player(recorded(5), Pace(), veth[0])
    assert isinstance(choice.sender, PacketPlayer)
    assert choice.why.startswith("not XDP live frames: ")
    choice.sender.stop()
    with pytest.raises(LinkError, match="no network interface 'nil'"):
        choose_player(recorded(5), Pace(), "nil")


@both
def test_playing_leaves_no_thread_and_no_descriptor(kind: type, passing) -> None:
    def held() -> tuple[int, int]:
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    reel = recorded(100, np.arange(100, dtype=np.int64) * 100_000, loops=1000)
    before = held()
    for turn in range(200):
        with player_of(kind, reel, None if turn % 2 else Pace(1000), passing[0]) as sender:
            sender.start()
    with player_of(kind, reel, None, passing[0]):
        pass  # never started
    assert held() == before


@needs_live
def test_a_killed_process_plays_nothing_more(netns: Namespace, passing) -> None:
    script = f"""
        import sys, numpy as np
        from testbed.link.replay import ArrayReel
        from testbed.link.replay.choosing import choose_player
        from testbed.link.streams import Pace
        rows = np.zeros((20_000_000, 60), np.uint8)
        choice = choose_player(ArrayReel(rows), Pace(20_000), "{passing[0]}")
        choice.sender.start()
        print(choice.sender.name, flush=True)
        sys.stdin.read()
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout.readline() == b"XDP live frames\n"
    before = sent_by_kernel(passing[0])
    deadline = time.monotonic() + 5
    while sent_by_kernel(passing[0]) == before:
        assert time.monotonic() < deadline
    child.kill()
    child.communicate()
    after = sent_by_kernel(passing[0])
    time.sleep(0.1)
    assert sent_by_kernel(passing[0]) == after


@needs_live
def test_frames_too_long_for_the_kernel_are_played_through_a_socket(veth: tuple[str, str]) -> None:
    for end in veth:
        subprocess.run(["ip", "link", "set", end, "mtu", "9000"], check=True)
    subprocess.run(["ethtool", "-K", veth[1], "gro", "on"], check=True, capture_output=True)
    before = sent_by_kernel(veth[0])
    for width, kind in ((1500, RingPlayer), (9000, PacketPlayer)):
        choice = choose_player(ArrayReel(iter([numbered(10, width)])), Pace(), veth[0])
        assert isinstance(choice.sender, kind), choice.why
        choice.sender.start()
        finish(choice.sender)
        assert choice.sender.sent == 10
    assert sent_by_kernel(veth[0]) - before == 20
