"""The memory of one way through a box: frames, counters and events, shared with its programs.

A frame that cannot go on at once is put into a *slot*, and the slot's number into the *ready* ring.
Whoever decides (a program, or Python) takes it out, and gives the slot back by the *free* ring. A
ring has one writer and one reader, so that nobody waits. The one who decides also has slots of its
*own*, for copies, and for the frames that Python kept back when it hands over.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from testbed.link.ebpf import SharedArray
from testbed.timing import Instant

__all__ = [
    "ARMED",
    "CLOCK",
    "EVENTS",
    "EVENT_FRAME",
    "EVENT_HEAD",
    "EVENT_TAIL",
    "FRAME",
    "FREE_HEAD",
    "FREE_TAIL",
    "LAST_TIME",
    "NOWHERE",
    "OCTETS",
    "OVERRUN",
    "OWN_COUNT",
    "PARK",
    "PASS",
    "PASSED",
    "READY_HEAD",
    "READY_TAIL",
    "RECEIVED",
    "REFUSED",
    "RESERVE",
    "RUN",
    "SLOTS",
    "Lane",
    "RawEvent",
]

SLOTS: Final = 16384
"""Frames that one way can hold: 8 ms of 2 million a second, a second of a lab's usual traffic."""
RESERVE: Final = SLOTS // 4
"""Slots that whoever decides keeps for itself."""
EVENTS: Final = 1024
"""Events that wait for Python; those for which there is no room are counted only."""

# Words of 64 bits. Each group has one writer and a line of the CPU's cache to itself.
RECEIVED, READY_HEAD, FREE_TAIL, OVERRUN = range(0, 32, 8)  # who takes frames in
READY_TAIL, FREE_HEAD, OWN_COUNT, RUN = range(64, 96, 8)  # who decides
PASSED, OCTETS, REFUSED, LAST_TIME = range(96, 128, 8)
ARMED, CLOCK = 128, 136  # Python, and a program that gives up
EVENT_HEAD, EVENT_TAIL = 192, 256
_RINGS = 320

FRAME: Final = 16
"""Where in a slot the frame begins, behind when it came and how long it is."""
EVENT_FRAME: Final = 32

PASS: Final = (1 << 64) - 2
"""In ARMED: frames are none of the program's business, and go up to the sockets."""
PARK: Final = (1 << 64) - 1
"""In ARMED: frames wait in slots for Python. Any other number: the program decides by itself from
the moment on when that many frames have waited."""
NOWHERE: Final = 0xFFFF

_SLOT_HEAD = struct.Struct("=QQ")
_EVENT_HEAD = struct.Struct("=QHHIQQ")


@dataclass(frozen=True, slots=True)
class RawEvent:
    """What a program wrote down: which of its stages did what to a frame, and two numbers."""

    at: Instant
    stage: int
    action: int
    told: int
    extra: int
    frame: bytes


class Lane:
    """``SLOTS`` frames of up to ``longest`` bytes, and the words around them."""

    def __init__(self, longest: int) -> None:
        self.size = 2048 if longest <= 2048 - FRAME else 4096
        self.room = self.size - FRAME
        self.event_size = self.size + 64
        self.ready = _RINGS
        self.free = self.ready + 8 * SLOTS
        self.own = self.free + 8 * SLOTS
        self.slots = -(-(self.own + 8 * SLOTS) // 4096) * 4096
        self.events = self.slots + SLOTS * self.size
        self.map = SharedArray(self.events + EVENTS * self.event_size, "lane")
        self.fd = self.map.fd
        self._memory = self.map.memory
        self.words = self.map.view("u8", _RINGS // 8)
        self._ready = self.map.view("u8", SLOTS, self.ready)
        self._free = self.map.view("u8", SLOTS, self.free)
        self._own = self.map.view("u8", SLOTS, self.own)
        self._own[:RESERVE] = range(RESERVE)
        self._free[: SLOTS - RESERVE] = range(RESERVE, SLOTS)
        self[OWN_COUNT] = RESERVE
        self[FREE_HEAD] = SLOTS - RESERVE
        self[ARMED] = PASS

    def __getitem__(self, word: int) -> int:
        return int(self.words[word // 8])

    def __setitem__(self, word: int, value: int) -> None:
        self.words[word // 8] = value

    def take(self) -> tuple[Instant, bytes] | None:
        """The next frame that waits, and when it came; for whoever decides."""
        tail = self[READY_TAIL]
        if tail == self[READY_HEAD]:
            return None
        slot = int(self._ready[tail % SLOTS])
        at, frame = self.read(slot)
        self[READY_TAIL] = tail + 1
        self.give_back(slot)
        return at, frame

    def read(self, slot: int) -> tuple[Instant, bytes]:
        """When the frame in a slot came, and its bytes."""
        start = self.slots + slot * self.size
        at, length = _SLOT_HEAD.unpack_from(self._memory, start)
        return Instant(at), bytes(self._memory[start + FRAME : start + FRAME + length])

    def keep(self, frame: bytes, at: Instant) -> int | None:
        """Put a frame into a slot of one's own; None where there is none, or it is too long."""
        count = self[OWN_COUNT]
        if not count or len(frame) > self.room:
            return None
        slot = int(self._own[count - 1])
        self[OWN_COUNT] = count - 1
        start = self.slots + slot * self.size
        _SLOT_HEAD.pack_into(self._memory, start, at, len(frame))
        self._memory[start + FRAME : start + FRAME + len(frame)] = frame
        return slot

    def give_back(self, slot: int) -> None:
        """The frame in this slot is gone; for whoever decides."""
        count = self[OWN_COUNT]
        if count < RESERVE:
            self._own[count] = slot
            self[OWN_COUNT] = count + 1
        else:
            head = self[FREE_HEAD]
            self._free[head % SLOTS] = slot
            self[FREE_HEAD] = head + 1

    def drain(self) -> list[RawEvent]:
        """The events that wait."""
        found = []
        head, tail = self[EVENT_HEAD], self[EVENT_TAIL]
        while tail != head:
            start = self.events + tail % EVENTS * self.event_size
            at, stage, action, length, told, extra = _EVENT_HEAD.unpack_from(self._memory, start)
            data = bytes(self._memory[start + EVENT_FRAME : start + EVENT_FRAME + length])
            found.append(RawEvent(Instant(at), stage, action, told, extra, data))
            tail += 1
        self[EVENT_TAIL] = tail
        return found

    def close(self) -> None:
        """Let go of it; the words stay to be read. Twice is no error."""
        self.words = self.words.copy()
        self._memory = memoryview(b"")
        self._ready = self._free = self._own = self.words[:0]
        self.map.close()
