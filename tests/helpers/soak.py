"""Seeded transfers between two stacks over a line with every fault: no byte wrong, none hangs.

``python tests/helpers/soak.py FIRST COUNT`` runs seeds on all cores and tells those that failed;
one seed alone is told in full.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from types import FrameType

from pair import Line, Pair, Stuck

from testbed.link.impair import (
    Chance,
    Corrupt,
    Delay,
    Drop,
    Duplicate,
    GilbertElliott,
    Hold,
    MtuHole,
    RateLimit,
    Reorder,
    Stage,
)
from testbed.stack.config import StackConfig
from testbed.stack.refusals import Refused
from testbed.stack.tcp.connection import Connection
from testbed.stack.tcp.options import SocketOptions
from testbed.stack.tcp.states import State
from testbed.timing import Duration, milliseconds, seconds

__all__ = ["Outcome", "run_seed"]

LIMIT = seconds(6 * 3600)
"""Virtual time that a transfer may take under the worst of luck."""


PATIENCE = 20
"""Real seconds after which a seed counts as one that does not end."""


def is_ip(frame: bytes) -> bool:
    """ARP has no checksum: a damaged one would tell lies."""
    return frame[12:14] == b"\x08\x00"


@dataclass
class Outcome:
    """What became of one seed; ``fault`` is empty where all went well."""

    seed: int
    story: list[str] = field(default_factory=list)
    fault: str = ""
    frames: int = 0
    virtual: float = 0.0
    wall: float = 0.0

    def __str__(self) -> str:
        verdict = self.fault or "ok"
        return (
            f"seed {self.seed}: {verdict} ({self.frames} frames, {self.virtual:.1f} s virtual, "
            f"{self.wall:.2f} s real): {', '.join(self.story)}"
        )


class End:
    """A program at one end: writes its bytes, reads the other's, closes in its turn."""

    def __init__(self, pair: Pair, luck: random.Random, data: bytes, name: str) -> None:
        self.pair = pair
        self.name = name
        self.data = data
        self.sent = 0
        self.got = bytearray()
        self.ended = False
        self.shut = False
        self.closed = False
        self.connection: Connection | None = None
        self.chunk = luck.choice((100, 1000, 5000, 65536, 1 << 20))
        self.read_size = luck.choice((500, 4000, 65536, 1 << 20))
        self.pause = luck.choice((0, 0, 0, 5, 50, 500, 3000))  # ms between reads
        self.resting = False
        self.waits_for_peer = False

    def pump(self) -> None:
        """Do what can be done now."""
        connection = self.connection
        if connection is None or self.closed:
            return
        now = self.pair.now
        if connection.state not in {State.SYN_SENT, State.SYN_RECEIVED}:
            while self.sent < len(self.data):
                taken = connection.send(self.data[self.sent : self.sent + self.chunk], now)
                self.sent += taken
                if not taken:
                    break
            if not self.resting:
                self._read(connection)
        done = self.sent == len(self.data) and (self.ended or not self.waits_for_peer)
        if done and not self.shut and connection.state is not State.SYN_SENT:
            self.shut = True
            connection.shutdown(now)
        if self.shut and self.ended:
            self.closed = True
            connection.close(now)

    def _read(self, connection: Connection) -> None:
        while not self.ended:
            part = connection.receive(self.read_size, self.pair.now)
            if part is None:
                return
            if not part:
                self.ended = True
                return
            self.got += part
            if self.pause:
                self.resting = True
                self.pair.call_after(milliseconds(self.pause), self._wake)
                return

    def _wake(self) -> None:
        self.resting = False
        self.pump()


def config_of(luck: random.Random, story: list[str]) -> StackConfig:
    """Any mix of what may be agreed or not."""
    base = luck.choice((StackConfig(), StackConfig(), StackConfig.linux()))
    tcp = {
        "give_up": seconds(4 * 3600),
        "syn_retries": 60,
        "synack_retries": 60,
        "sack": luck.random() < 0.75,
        "timestamps": luck.random() < 0.75,
        "window_scaling": luck.random() < 0.85,
        "congestion_control": luck.choice(("reno", "newreno", "cubic")),
        "rack": luck.random() < 0.7,
        "tlp": luck.random() < 0.7,
        "nagle": luck.random() < 0.7,
        "receive_buffer": luck.choice((3000, 8192, 65536, 262144)),
        "send_buffer": luck.choice((4096, 65536, 262144)),
        "isn": luck.choice((None, 0xFFFFFF00, 0x7FFFFF00)),
        "time_wait": seconds(60),
    }
    story.append(
        " ".join(
            word if value is True else f"{word}={value}"
            for word, value in tcp.items()
            if value not in (False, None) and word[:3] not in {"giv", "syn", "tim"}
        )
    )
    pmtu = {"probing": luck.choice(("blackhole", "blackhole", "always"))}
    return base.with_(tcp=tcp, pmtu=pmtu, arp={"attempts": 60, "reachable": seconds(86400)})


def spoil(pair: Pair, line: Line, luck: random.Random, story: list[str], name: str) -> None:
    """Put a random choice of faults on one direction."""

    def tell(text: str) -> None:
        story.append(f"{name} {text}")

    _spoil_frames(line.impair.add, luck, tell)
    _spoil_times(pair, line.impair.add, luck, tell)


def _spoil_frames(
    add: Callable[[Stage], None], luck: random.Random, tell: Callable[[str], None]
) -> None:
    if luck.random() < 0.5:
        loss = luck.choice((0.01, 0.05, 0.1, 0.2))
        add(Drop(Chance(loss, luck.getrandbits(32))))
        tell(f"loss {loss}")
    if luck.random() < 0.25:
        add(Drop(GilbertElliott(0.02, 0.3, luck.getrandbits(32))))
        tell("bursts")
    if luck.random() < 0.3:
        behind = luck.randint(1, 8)
        add(Reorder(Chance(0.05, luck.getrandbits(32)), behind))
        tell(f"reorder behind {behind}")
    if luck.random() < 0.3:
        add(Duplicate(Chance(0.1, luck.getrandbits(32)), luck.randint(1, 3)))
        tell("duplicates")
    if luck.random() < 0.3:
        add(Corrupt(Chance(0.05, luck.getrandbits(32), matching=is_ip), seed=luck.getrandbits(32)))
        tell("corruption")


def _spoil_times(
    pair: Pair, add: Callable[[Stage], None], luck: random.Random, tell: Callable[[str], None]
) -> None:
    if luck.random() < 0.2:
        jitter = milliseconds(luck.choice((1, 10, 50)))
        add(Delay(milliseconds(1), jitter, seed=luck.getrandbits(32)))
        tell(f"jitter {jitter / 1e6:g} ms")
    if luck.random() < 0.25:
        rate = luck.choice((300_000, 2_000_000, 20_000_000))
        add(RateLimit(rate, queue=luck.choice((5, 20, 100))))
        tell(f"rate {rate}")
    if luck.random() < 0.2:
        cable = Hold("drop")
        cable.release()
        add(cable)
        start, span = luck.randint(10, 3000), luck.choice((50, 500, 5000, 40000))
        pair.call_after(milliseconds(start), cable.hold)
        pair.call_after(milliseconds(start + span), cable.release)
        tell(f"pulled at {start} ms for {span} ms")
    if luck.random() < 0.2:
        hole = MtuHole(1500)
        add(hole)
        mtu, start = luck.choice((1400, 1006, 576)), luck.randint(0, 500)

        def shrink() -> None:
            hole.mtu = mtu

        pair.call_after(milliseconds(start), shrink)
        tell(f"black hole of {mtu} at {start} ms")


def run_seed(seed: int, *, trace: bool = False) -> tuple[Outcome, Pair]:
    """Run one transfer in both directions to its end."""
    began = time.perf_counter()
    luck = random.Random(seed)  # noqa: S311 - repeatable on purpose
    outcome = Outcome(seed)
    story = outcome.story
    delay = Duration(luck.choice((100_000, 1_000_000, 10_000_000, 60_000_000)))
    story.append(f"delay {delay / 1e6:g} ms")
    pair = Pair(config_of(luck, story), config_of(luck, story), seed=seed, delay=delay, trace=trace)
    clean = luck.random() < 0.1
    if not clean:
        spoil(pair, pair.to_right, luck, story, ">")
        spoil(pair, pair.to_left, luck, story, "<")
    sizes = [luck.choice((0, 1, 1000, 20_000, 60_000, 150_000)) for _ in range(2)]
    story.append(f"{sizes[0]} B > {sizes[1]} B <")
    ends = [
        End(pair, luck, luck.randbytes(size), name)
        for size, name in zip(sizes, ("left", "right"), strict=True)
    ]
    ends[luck.randrange(2)].waits_for_peer = luck.random() < 0.5
    try:
        _transfer(pair, ends)
    except Refused as refused:
        outcome.fault = f"refused: {refused}"
    except Stuck as stuck:
        outcome.fault = f"stuck: {stuck}"
    outcome.fault = outcome.fault or _judge(pair, ends)
    outcome.frames = pair.to_right.sent + pair.to_left.sent
    outcome.virtual = (pair.now - 1_000_000_000_000) / 1e9
    outcome.wall = time.perf_counter() - began
    return outcome, pair


def _transfer(pair: Pair, ends: list[End]) -> None:
    left, right = ends
    listener = pair.right.tcp.listen(80, pair.now, options=SocketOptions())
    left.connection = pair.left.tcp.connect((IPv4Address("10.0.0.2"), 80), pair.now)
    limit = pair.now + LIMIT
    while not (left.closed and right.closed):
        if not pair.step(limit):
            break
        if right.connection is None:
            right.connection = listener.accept(pair.now)
        left.pump()
        right.pump()
    if left.closed and right.closed:
        listener.close(pair.now)
        pair.run_until(lambda: not (pair.left.tcp.connections or pair.right.tcp.connections), LIMIT)


def _judge(pair: Pair, ends: list[End]) -> str:
    left, right = ends
    for end, other in ((left, right), (right, left)):
        state = end.connection.state if end.connection else "never opened"
        if bytes(end.got) != other.data[: len(end.got)]:
            return f"{end.name} got wrong bytes"
        if not end.closed:
            return (
                f"{end.name} hangs in {state}: sent {end.sent} of {len(end.data)}, "
                f"got {len(end.got)} of {len(other.data)}, next event {pair.next_event()}"
            )
        if len(end.got) != len(other.data):
            return f"{end.name} got {len(end.got)} bytes of {len(other.data)}"
        if end.connection is not None and end.connection.error is not None:
            return f"{end.name} ended with {end.connection.error}"
    left_over = pair.left.tcp.connections + pair.right.tcp.connections
    if left_over:
        return f"never closed: {[each.state.value for each in left_over]}"
    return ""


def _too_long(_number: int, _frame: FrameType | None) -> None:
    raise Stuck(f"no end after {PATIENCE} s: {traceback.format_stack(limit=8)[:-1]}")


def _one(seed: int) -> Outcome:
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(PATIENCE)
    try:
        return run_seed(seed)[0]
    except Exception as error:  # noqa: BLE001 - any seed may find anything
        return Outcome(seed, fault=f"{type(error).__name__}: {error}")
    finally:
        signal.alarm(0)


def main(first: int, count: int) -> int:
    """Run the seeds; 1 when any failed."""
    began = time.perf_counter()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        outcomes = list(pool.map(_one, range(first, first + count), chunksize=8))
    failed = [outcome for outcome in outcomes if outcome.fault]
    for outcome in failed:
        sys.stdout.write(f"{outcome}\n")
    slowest = max(outcomes, key=lambda outcome: outcome.wall)
    sys.stdout.write(
        f"{count} seeds from {first}: {len(failed)} failed, "
        f"{sum(outcome.frames for outcome in outcomes)} frames in "
        f"{time.perf_counter() - began:.1f} s; slowest {slowest}\n"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2])))
