"""Recording by an XDP program: every frame that comes, before the kernel's network stack."""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from testbed.errors import LinkError, Unsupported
from testbed.link.ebpf import (
    BpfError,
    Program,
    SharedArray,
    XdpLink,
    can_attach,
    function_number,
)
from testbed.link.recorder.batch import (
    Batch,
    Bytes,
    Ints,
    copy_rows,
    nothing_but,
    read_times,
)
from testbed.link.recorder.outcome import Clock
from testbed.link.recorder.program import (
    ENTRY,
    LOST,
    MATCHED,
    PASSED,
    PUBLISHED,
    SEEN,
    STATE,
    STRAY,
    TAIL,
    TAIL_POSITION,
    Layout,
    recording,
)
from testbed.link.recorder.promiscuous import hear_all
from testbed.link.recorder.tags import FUNCTION
from testbed.link.recorder.wish import Wish

__all__ = ["XdpEngine", "merge"]

Words = npt.NDArray[np.uint64]

LARGEST = 256 << 20
"""Bytes of all rings at most: half of what the verifier lets a program reach."""
LEAST = 1 << 18
SMALLEST_BLOCK = 96
"""Of a frame of 60 bytes: there are entries for a ring full of these."""
MOST_FRAMES, MOST_BYTES = 1 << 15, 2 << 20
"""Taken of one ring at a time: so much of it is not free meanwhile."""
FOREVER = (1 << 63) - 1
IN_HAND = 0.001
"""Seconds after which a program that was at work as it was detached has surely ended."""
SETTLED = 1_000_000
"""Nanoseconds after which a frame is surely in its ring: those of several CPUs are put in order."""


class XdpEngine:
    """``Engine`` in the kernel, on an interface of this thread's network namespace.

    Raises Unsupported, with the reason, where the interface takes no such program.
    """

    name = "XDP"

    def __init__(self, wish: Wish, interface: str) -> None:
        self._require(interface)
        self._ahead = _wall_ahead()
        self.clock = Clock(
            "CLOCK_MONOTONIC",
            "bpf_ktime_get_ns as the driver hands the frame over, as the wall time of the start",
        )
        self._marked = wish.until is not None
        self._running = True
        layout = _layout(wish.ring, wish.snap)
        with contextlib.ExitStack() as undo:
            try:
                self._open(wish, layout, interface, undo)
            except BpfError as error:
                raise Unsupported(f"the kernel takes no such program: {error}") from error
            self._resources = undo.pop_all()

    def _open(self, wish: Wish, layout: Layout, interface: str, undo: contextlib.ExitStack) -> None:
        """Lay out the rings and attach the program; ``undo`` knows what to give back."""
        state = undo.enter_context(SharedArray(layout.rings * STATE, "state"))
        size = layout.rings * layout.entries * ENTRY
        index = undo.enter_context(SharedArray(size, "index"))
        data = undo.enter_context(SharedArray(layout.rings * layout.room, "data"))
        self._state = state.view(np.uint64).reshape(layout.rings, -1)
        entries = index.view(np.uint64).reshape(layout.rings, -1, 2)
        memory = data.view(np.uint8).reshape(layout.rings, -1)
        self._rings = [
            _Ring(self._state[n], entries[n], memory[n], layout.data) for n in range(layout.rings)
        ]
        device = socket.if_nametoindex(interface)
        maps = (state.fd, index.fd, data.fd)
        program = undo.enter_context(_load(wish, layout, maps, self._ahead, device))
        packets = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        hear_all(undo.enter_context(packets), interface)
        self._link = undo.enter_context(XdpLink(program, device))

    @staticmethod
    def _require(interface: str) -> None:
        if sys.byteorder != "little":
            raise Unsupported("on this machine it would write numbers in the other byte order")
        try:
            index = socket.if_nametoindex(interface)
        except OSError as error:
            raise LinkError(f"there is no network interface {interface!r}") from error
        probe = can_attach(interface, index)
        if not probe.works:
            raise Unsupported(probe.why)

    @property
    def passed(self) -> int:
        """Frames that came, wanted or not."""
        return int(self._state[:, PASSED // 8].sum() + self._state[0, STRAY // 8])

    @property
    def cpus(self) -> int:
        """On how many CPUs frames were recorded."""
        return int((self._state[:, PUBLISHED // 8] > 0).sum())

    def take(self) -> list[Batch]:
        """What waits, or a part of it."""
        horizon = time.monotonic_ns() + self._ahead - SETTLED if self._running else FOREVER
        waiting = [ring for ring in self._rings if ring.look(marked=self._marked)]
        if not waiting:
            lost = sum(ring.lost_behind() for ring in self._rings)
            return [nothing_but(lost)] if lost else []
        if len(waiting) < 2:
            return waiting[0].batches()
        horizon = min(horizon, *(ring.known_until() for ring in waiting))
        for ring in waiting:
            ring.leave(horizon)
        batches = [batch for ring in waiting for batch in ring.batches()]
        return [merge(batches)] if batches else []  # all may have come just now

    def release(self) -> None:
        """Let what was taken be overwritten."""
        for ring in self._rings:
            ring.release()

    def stop(self) -> None:
        """Record no more."""
        if self._running:
            self._link.close()
            self._running = False
            time.sleep(IN_HAND)

    @property
    def drained(self) -> bool:
        """Whether all that was recorded has been taken."""
        return not any(ring.waits for ring in self._rings)

    def lost_at_end(self) -> int:
        """Frames lost behind the last one, and those that no ring was made for."""
        missing = sum(ring.missing() for ring in self._rings)
        return missing + int(self._state[0, STRAY // 8])

    def close(self) -> None:
        """Give everything back; twice is no error."""
        self._state = self._state.copy()  # the last look; the memory can go
        self._rings.clear()
        self._resources.close()


@dataclass(slots=True)
class _Taken:
    """Entries that are being looked at; ``end`` is where the last one's block ends."""

    positions: Ints
    numbers: Ints
    matched: npt.NDArray[np.bool_] | None
    end: int


class _Ring:
    """The reader's side of one CPU's ring."""

    def __init__(self, state: Words, entries: Words, memory: Bytes, size: int) -> None:
        self._state = state
        self._entries = entries
        self._memory = memory
        self._size = size
        self._tail = 0
        self._number = 0  # of the last frame that is accounted for
        self._lost = 0  # frames accounted for as lost
        self._taken: _Taken | None = None

    @property
    def waits(self) -> bool:
        """Whether there is anything to take."""
        return bool(self._state[PUBLISHED // 8] != self._tail)

    def lost_behind(self) -> int:
        """Frames lost behind the last that was taken, where nothing came after them."""
        # Read in this order: what is published later comes behind these losses.
        lost = int(self._state[LOST // 8]) - self._lost
        if not lost or self.waits:
            return 0
        self._lost += lost
        self._number += lost
        return lost

    def look(self, *, marked: bool) -> bool:
        """Whether anything waits; it is then what batches() are of."""
        self._taken = None
        count = min(int(self._state[PUBLISHED // 8]) - self._tail, MOST_FRAMES)
        if not count:
            return False
        first = self._tail % len(self._entries)
        rows = self._entries[first : first + count]
        if len(rows) < count:
            rows = np.concatenate([rows, self._entries[: count - len(rows)]])
        positions = rows[:, 0].astype(np.int64)
        numbers = (rows[:, 1] & np.uint64(MATCHED - 1)).astype(np.int64)
        matched = rows[:, 1] >= np.uint64(MATCHED) if marked else None
        self._taken = _Taken(positions, numbers, matched, self._end_of(int(positions[-1])))
        end = positions[0] + MOST_BYTES
        if self._taken.end > end:
            self._keep(max(1, int(np.searchsorted(positions, end))))
        return True

    def known_until(self) -> int:
        """Up to when batches() has all frames that wait here."""
        taken = self._taken
        if taken is None or self._tail + len(taken.positions) == self._state[PUBLISHED // 8]:
            return FOREVER
        batch = self.batches()[-1]
        return batch.time(len(batch) - 1)

    def leave(self, horizon: int) -> None:
        """Leave frames that came later than ``horizon`` for the next time."""
        if self._taken is not None:
            times = np.concatenate([read_times(b.data, b.starts) for b in self.batches()])
            self._keep(int(np.searchsorted(times, horizon, side="right")))

    def batches(self) -> list[Batch]:
        """What was found, in one piece, or two where the ring begins anew between them."""
        taken = self._taken
        if taken is None:
            return []
        found = []
        losses = self._losses(taken)
        row, count = 0, len(taken.positions)
        while row < count:
            begin = int(taken.positions[row])
            place = begin % self._size
            turn = begin - place + self._size
            last = row + int(np.searchsorted(taken.positions[row:], turn))
            end = int(taken.positions[last]) if last < count else taken.end
            found.append(
                Batch(
                    self._memory[place : place + end - begin],
                    taken.positions[row:last] - begin,
                    [(at - row, lost) for at, lost in losses if row <= at < last],
                    None if taken.matched is None else taken.matched[row:last],
                )
            )
            row = last
        return found

    def release(self) -> None:
        """Let what was found be overwritten."""
        taken, self._taken = self._taken, None
        if taken is None or not len(taken.positions):
            return
        self._tail += len(taken.positions)
        last = int(taken.numbers[-1])
        self._lost += last - self._number - len(taken.numbers)
        self._number = last
        self._state[TAIL_POSITION // 8] = taken.end
        self._state[TAIL // 8] = self._tail

    def missing(self) -> int:
        """Frames that were to be recorded and came behind the last one that was."""
        return int(self._state[SEEN // 8]) - self._number

    def _keep(self, count: int) -> None:
        taken = self._taken
        if taken is None or count >= len(taken.positions):
            return
        end = int(taken.positions[count])
        matched = None if taken.matched is None else taken.matched[:count]
        self._taken = _Taken(taken.positions[:count], taken.numbers[:count], matched, end)

    def _losses(self, taken: _Taken) -> list[tuple[int, int]]:
        """Where numbers are missing."""
        numbers = taken.numbers
        if not len(numbers) or numbers[-1] - self._number == len(numbers):
            return []
        gaps = np.diff(numbers, prepend=self._number) - 1
        rows = np.flatnonzero(gaps)
        return list(zip(rows.tolist(), gaps[rows].tolist(), strict=True))

    def _end_of(self, position: int) -> int:
        place = position % self._size
        return position + int(self._memory[place + 4 : place + 8].view(np.uint32)[0])


def merge(batches: list[Batch]) -> Batch:
    """The blocks of several rings, one batch at least, in the order of time."""
    times = np.concatenate([read_times(each.data, each.starts) for each in batches])
    sizes = np.concatenate(
        [np.diff(each.starts, append=len(each.data)).astype(np.int64) for each in batches]
    )
    order = np.argsort(times, kind="stable")
    ends = np.cumsum(sizes[order])
    places = np.empty(len(order), np.int64)  # where the block of each row goes
    places[order] = ends - sizes[order]
    ranks = np.empty(len(order), np.int64)
    ranks[order] = np.arange(len(order))
    data = np.empty(int(ends[-1]), np.uint8)
    losses: list[tuple[int, int]] = []
    row = 0
    for each in batches:
        rows = slice(row, row + len(each))
        copy_rows(each.data, each.starts, data, places[rows], sizes[rows])
        losses += [(int(ranks[row + at]), lost) for at, lost in each.losses]
        row += len(each)
    matched = None
    if batches[0].matched is not None:
        marks = [each.matched for each in batches if each.matched is not None]
        matched = np.concatenate(marks)[order]
    return Batch(data, ends - sizes[order], sorted(losses), matched)


def _load(
    wish: Wish, layout: Layout, maps: tuple[int, int, int], ahead: int, index: int
) -> Program:
    """The program, with what tells tags beside frames where the interface's driver has it."""
    tags = function_number(FUNCTION)
    if tags is not None:
        code = recording(wish, layout, maps, ahead=ahead, tags=tags)
        with contextlib.suppress(BpfError):
            return Program(code, "recorder", fragments=True, device=index)
    code = recording(wish, layout, maps, ahead=ahead)
    return Program(code, "recorder", fragments=True)


def _layout(size: int, snap: int) -> Layout:
    with open("/sys/devices/system/cpu/online", encoding="ascii") as file:  # noqa: PTH123
        rings = 1 + int(file.read().strip().replace(",", "-").split("-")[-1])
    each = max(LEAST, min(size, LARGEST) // rings)
    data = 1 << each.bit_length() - 1
    return Layout(rings, data, 1 << (data // SMALLEST_BLOCK).bit_length(), snap)


def _wall_ahead() -> int:
    """By how much the wall clock is ahead of the monotonic one: of a few looks, the closest."""
    looks = []
    for _ in range(5):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        looks.append((after - before, wall - (before + after) // 2))
    return min(looks)[1]
