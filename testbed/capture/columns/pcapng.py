"""pcapng files into columns (draft-ietf-opsawg-pcapng)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import partial

import numpy as np

from testbed.capture.columns.arrays import Bools, Bytes, Gather, Ints, Order
from testbed.capture.columns.building import Fields, Parts
from testbed.capture.columns.columns import Source
from testbed.capture.columns.lanes import Chain, walk
from testbed.capture.columns.pcap import LARGEST
from testbed.capture.pcapng import BYTE_ORDER_MAGIC, Block, Option
from testbed.errors import WireError

__all__ = ["is_pcapng", "read_section"]

_OBSOLETE_PACKET = 2  # what came before the Enhanced Packet Block: an interface of 16 bits
_OFFSET = 14  # if_tsoffset
_LAST = (1 << 63) - 1
_OPTIONS = 1 << 10  # of an interface: there are not 30 kinds of them


def is_pcapng(data: memoryview, at: int) -> bool:
    """Whether a section begins at ``at``."""
    return len(data) - at >= 28 and _order(data, at) is not None


def _order(data: memoryview, at: int) -> Order | None:
    if data[at : at + 4] != struct.pack("<I", Block.SECTION):
        return None
    orders: tuple[Order, Order] = ("<", ">")
    for order in orders:
        if data[at + 8 : at + 12] == struct.pack(order + "I", BYTE_ORDER_MAGIC):
            return order
    return None


@dataclass(frozen=True, slots=True)
class _Interface:
    """What times and lengths of packets depend on. A tick is ``scale`` / ``per`` nanoseconds."""

    scale: int
    per: int
    offset: int  # seconds
    snap: int

    @property
    def plain(self) -> bool:
        """Whether 64 bits do to turn times into nanoseconds that are not far in the future."""
        return self.offset == 0 and (self.scale < 1000 or self.per == 1)

    def nanoseconds(self, ticks: int) -> int:
        """Any time at all; what no int64 can hold becomes the last instant there is."""
        exact = ticks * self.scale // self.per + self.offset * 1_000_000_000
        return min(_LAST, max(-_LAST, exact))


class _Section:
    """Reads one section: the blocks up to the next section header."""

    def __init__(
        self, data: memoryview, gathers: dict[Order, Gather], at: int, parts: Parts
    ) -> None:
        order = _order(data, at)
        if order is None:
            raise WireError("no section header", at)
        self._data = data
        self._order = order
        self._gather = gathers[order]
        self._parts = parts
        self._interfaces: list[_Interface] = []
        self._described: list[int] = []  # where each of them is described
        self._base = len(parts.sources)

    def unpack(self, layout: str, at: int) -> tuple[int, ...]:
        """Numbers in the section's byte order."""
        return struct.unpack_from(self._order + layout, self._data, at)

    def read(self, at: int) -> int:
        """Read from the section header at ``at`` on; where the next section or file begins."""
        gather = self._gather

        def step(at: int) -> int:
            return max(12, int(self.unpack("I", at + 4)[0]))

        def steps(at: Ints) -> Ints:
            return np.maximum(12, gather.u4(at + 4))

        end = len(self._data)
        reached = at
        likely = partial(_likely, self._order)
        chain = Chain(gather.bytes, 12, step, steps, partial(_plausible, gather), likely)
        for places, after in walk(chain, at, end):
            kinds = gather.u4(places)
            others = np.flatnonzero((kinds == Block.SECTION) & (places > at))
            stop = int(others[0]) if len(others) else None
            self._take(places[:stop], kinds[:stop])
            if self._parts.fault is not None or self._parts.truncated is not None:
                return end
            if stop is not None:
                return int(places[stop])
            reached = after
        if reached < end:
            self._parts.truncated = reached
        return end

    def _take(self, places: Ints, kinds: Ints) -> None:
        """Read whole blocks up to the first that is malformed."""
        gather, parts, end = self._gather, self._parts, len(self._data)
        sizes = gather.u4(places + 4)
        whole = (sizes >= 12) & (sizes % 4 == 0) & (places + sizes <= end)
        sound = whole.copy()
        sound[whole] = gather.u4((places + sizes)[whole] - 4) == sizes[whole]
        bad = np.flatnonzero(~sound)
        if len(bad):
            index = int(bad[0])
            self._blame(int(places[index]), int(sizes[index]))
            places, kinds, sizes = places[:index], kinds[:index], sizes[:index]
        for index in np.flatnonzero(kinds == Block.INTERFACE).tolist():
            if not self._interface(int(places[index]), int(sizes[index])):
                places, kinds, sizes = places[:index], kinds[:index], sizes[:index]
                break
        simple = kinds == Block.SIMPLE_PACKET
        packets = simple | (kinds == Block.PACKET) | (kinds == _OBSOLETE_PACKET)
        fields = self._packets(places[packets], kinds[packets], sizes[packets])
        parts.fields.append(fields)

    def _blame(self, at: int, size: int) -> None:
        if size >= 12 and size % 4 == 0 and at + size > len(self._data):
            self._parts.truncated = at
        elif size < 12 or size % 4:
            self._parts.fault = WireError(f"a block cannot be {size} bytes long", at + 4)
        else:
            self._parts.fault = WireError("the lengths of a block disagree", at + size - 4)

    def _interface(self, at: int, size: int) -> bool:
        """Read an Interface Description Block; False, with the fault, where it is none."""
        if size < 20:
            self._parts.fault = WireError("an interface description is cut short", at)
            return False
        linktype, _, snap = self.unpack("HHI", at + 8)
        name, resolution, offset = "", 6, 0
        place, end = at + 16, at + size - 4
        for _ in range(_OPTIONS):
            if place + 4 > end:
                break
            code, length = self.unpack("HH", place)
            value = bytes(self._data[place + 4 : min(end, place + 4 + length)])
            if code == Option.END:
                break
            if code == Option.INTERFACE_NAME:
                name = value.decode("utf-8", "replace").rstrip("\0")
            elif code == Option.INTERFACE_RESOLUTION and len(value) == 1:
                resolution = value[0]
            elif code == _OFFSET and len(value) == 8:
                offset = struct.unpack(self._order + "q", value)[0]
            place += 4 + length + -length % 4
        else:
            self._parts.fault = WireError(f"an interface has more than {_OPTIONS} options", place)
            return False
        base, exponent = (2, resolution & 0x7F) if resolution & 0x80 else (10, resolution)
        scale, per = 1_000_000_000, base**exponent
        if scale % per == 0:
            scale, per = scale // per, 1
        elif per % scale == 0:
            scale, per = 1, per // scale
        self._interfaces.append(_Interface(scale, per, offset, snap))
        self._described.append(at)
        self._parts.sources.append(
            Source(self._parts.sections, linktype, snap, name, 1e9 / base**exponent)
        )
        return True

    def _packets(self, places: Ints, kinds: Ints, sizes: Ints) -> Fields:
        """The columns of packet blocks, up to the first one that is malformed."""
        gather = self._gather
        simple = kinds == Block.SIMPLE_PACKET
        short = sizes < np.where(simple, 16, 32)
        where = np.where(short | simple, 0, places)  # a place that can be read, where there is none
        source = gather.u4(where + 8)
        old = kinds == _OBSOLETE_PACKET
        source[old] = gather.u2(where[old] + 8)
        source[simple] = 0
        snaps = np.array([each.snap for each in self._interfaces], np.int64)
        length = np.where(simple, gather.u4(np.where(short, 0, places) + 8), gather.u4(where + 24))
        captured = np.where(simple, np.minimum(length, sizes - 16), gather.u4(where + 20))
        described = np.searchsorted(np.array(self._described, np.int64), places)
        unknown = source >= described
        if simple.any() and len(snaps) and snaps[0]:
            captured = np.where(simple, np.minimum(captured, snaps[0]), captured)
        long = (captured > sizes - np.where(simple, 16, 32)) | (captured > LARGEST)
        bad = np.flatnonzero(short | unknown | long)
        count = len(places)
        if len(bad):
            count = int(bad[0])
            self._parts.fault = WireError(
                "a packet's block is too short"
                if short[count]
                else f"interface {source[count]} is not described before its use"
                if unknown[count]
                else "a packet is longer than its block",
                int(places[count]),
            )
        time = np.zeros(count, np.int64)
        timed = np.flatnonzero(~simple[:count])
        time[timed] = self._times(where[timed], source[timed])
        offset = places + np.where(simple, 12, 28)
        base = self._base
        return Fields(time, captured[:count], length[:count], offset[:count], base + source[:count])

    def _times(self, places: Ints, source: Ints) -> Ints:
        """Nanoseconds since 1970."""
        gather, clocks = self._gather, self._interfaces
        high, low = gather.u4(places + 12), gather.u4(places + 16)
        ticks = high.astype(np.uint64) << np.uint64(32) | low.astype(np.uint64)
        scale = np.array([clock.scale for clock in clocks], np.uint64)[source]
        per = np.array([min(clock.per, 1 << 63) for clock in clocks], np.uint64)[source]
        plain = np.array([clock.plain for clock in clocks], np.bool_)[source]
        time = ticks * scale
        if (per != 1).any():
            time //= per
        found = time.view(np.int64)
        odd = np.flatnonzero(~plain | (ticks > np.uint64(_LAST) // scale))
        columns = (odd, ticks[odd], source[odd])
        for row, tick, index in zip(*(each.tolist() for each in columns), strict=True):
            found[row] = clocks[index].nanoseconds(tick)
        return found


def _plausible(gather: Gather, at: Ints) -> Bools:
    kinds, sizes = gather.u4(at), gather.u4(at + 4)
    known = (kinds == Block.PACKET) | (kinds == Block.STATISTICS) | (kinds == Block.INTERFACE)
    known |= (kinds == Block.SIMPLE_PACKET) | (kinds == _OBSOLETE_PACKET)
    good: Bools = known & (sizes >= 12) & (sizes % 4 == 0) & (at + sizes <= gather.size)
    good[good] = gather.u4((at + sizes)[good] - 4) == sizes[good]
    return good


def _likely(order: Order, rows: Bytes) -> Bools:
    """By single bytes: a small number of a kind, and a length in words that is no fantasy."""

    def byte(word: int, place: int) -> Bytes:
        """The byte of a word of the block that begins at each offset; place 0 is the highest."""
        at = 4 * word + (3 - place if order == "<" else place)
        return rows[:, at : rows.shape[1] - 15 + at]

    good = byte(0, 3) - np.uint8(1) < Block.PACKET
    for place in (0, 1, 2):
        good &= byte(0, place) == 0
    good &= byte(1, 0) == 0
    good &= byte(1, 3) & 3 == 0
    return good


def read_section(data: memoryview, gathers: dict[Order, Gather], at: int, parts: Parts) -> int:
    """Read the section that begins at ``at`` into ``parts``; where the next begins, or the end."""
    return _Section(data, gathers, at, parts).read(at)
