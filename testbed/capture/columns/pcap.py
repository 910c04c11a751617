"""pcap files into columns (draft-ietf-opsawg-pcap; magic numbers of libpcap and its offspring)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import partial

import numpy as np

from testbed.capture.columns.arrays import Bools, Bytes, Gather, Ints, Numbers, Order
from testbed.capture.columns.building import Fields, Parts
from testbed.capture.columns.columns import Source
from testbed.capture.columns.lanes import Chain, walk
from testbed.capture.columns.parallel import in_parts
from testbed.errors import WireError

__all__ = ["FILE_HEADER", "LARGEST", "MAGICS", "is_pcap", "read_section"]

FILE_HEADER = 24
LARGEST = 262_144
"""No tool takes a longer packet (MAXIMUM_SNAPLEN of libpcap): a forged length ends here."""

MAGICS = {0xA1B2C3D4: (1000, 16), 0xA1B23C4D: (1, 16), 0xA1B2CD34: (1000, 24)}
"""Nanoseconds of a tick and length of a record's header: microseconds, nanoseconds, Kuznetzov's."""

_YEARS = 1 << 27  # seconds, four years: a guessed record is not that far from a known one
_TOP = _YEARS >> 24
_PART = 1 << 16
"""Records that are worth a thread."""


@dataclass(frozen=True, slots=True)
class _Layout:
    """How the records of one file are laid out."""

    order: Order
    tick: int
    header: int
    linktype: int
    snap: int
    swapped: bool  # before version 2.3 the two lengths stood the other way round

    @property
    def captured(self) -> int:
        return 12 if self.swapped else 8


def is_pcap(data: memoryview, at: int) -> bool:
    """Whether a pcap file begins at ``at``."""
    if len(data) - at < FILE_HEADER:
        return False
    order = _order(data, at)
    if order is None:
        return False
    major, minor = struct.unpack_from(order + "HH", data, at + 4)
    return bool(major == 2 and minor <= 4)


def _order(data: memoryview, at: int) -> Order | None:
    orders: tuple[Order, Order] = ("<", ">")
    for order in orders:
        if struct.unpack_from(order + "I", data, at)[0] in MAGICS:
            return order
    return None


def _layout(data: memoryview, at: int) -> _Layout:
    order = _order(data, at)
    if order is None:
        raise WireError("no pcap file", at)
    magic, _, minor, _, _, snap, link = struct.unpack_from(order + "IHHIIII", data, at)
    tick, header = MAGICS[magic]
    # The upper bits of the link type tell the length of an FCS that frames carry.
    return _Layout(order, tick, header, link & 0xFFFF, snap, minor < 3)


def read_section(data: memoryview, gathers: dict[Order, Gather], at: int, parts: Parts) -> int:
    """Read the file that begins at ``at`` into ``parts``; where another one begins, or the end."""
    layout = _layout(data, at)
    gather = gathers[layout.order]
    source = len(parts.sources)
    parts.sources.append(
        Source(parts.sections, layout.linktype, layout.snap, tick=float(layout.tick))
    )
    first = at + FILE_HEADER
    chain = _chain(data, gather, layout, first)
    reached = first
    for places, after in walk(chain, first, len(data)):
        words = _words(gather, layout, places)
        stop = _file_start(data, words[:, 0], places)
        fields = _fields(words, layout, source, places)
        _take(parts, fields.where(slice(0, stop)), layout, len(data))
        if parts.fault is not None or parts.truncated is not None:
            return len(data)
        if stop is not None:
            return int(places[stop])
        reached = after
    if reached < len(data):
        parts.truncated = reached
    return len(data)


def _chain(data: memoryview, gather: Gather, layout: _Layout, first: int) -> Chain:
    header, captured = layout.header, layout.captured
    unpack = partial(struct.Struct(layout.order + "I").unpack_from, data)

    def step(at: int) -> int:
        return header + int(unpack(at + captured)[0])

    def steps(at: Ints) -> Ints:
        return header + gather.u4(at + captured)

    known = int(unpack(first)[0]) if len(data) - first >= header else 0
    plausible = partial(_plausible, gather, layout, known)
    return Chain(gather.bytes, header, step, steps, plausible, partial(_likely, layout, known))


def _likely(layout: _Layout, known: int, rows: Bytes) -> Bools:
    """By single bytes: the time is within some years, and the lengths are no fantasies."""

    def byte(word: int, place: int) -> Bytes:
        """The byte of a word of the record that begins at each offset; place 0 is the highest."""
        at = 4 * word + (3 - place if layout.order == "<" else place)
        return rows[:, at : rows.shape[1] - 15 + at]

    captured, length = (3, 2) if layout.swapped else (2, 3)
    most = LARGEST >> 16
    good = byte(0, 0) - np.uint8((known >> 24) - _TOP & 0xFF) <= 2 * _TOP
    good &= byte(1, 0) <= (1_000_000_000 // layout.tick) >> 24
    good &= byte(captured, 0) == 0
    good &= byte(captured, 1) <= most
    good &= byte(length, 0) <= 1
    return good


def _plausible(gather: Gather, layout: _Layout, known: int, at: Ints) -> Bools:
    size = gather.u4(at + layout.captured)
    good = (size > 0) & (size <= LARGEST)
    rest = at[good]
    close = np.abs(gather.u4(rest) - known) < _YEARS
    close &= gather.u4(rest + 4) * layout.tick < 1_000_000_000
    close &= gather.u4(rest + 20 - layout.captured) <= 1 << 24
    good[good] = close
    return good


def _words(gather: Gather, layout: _Layout, places: Ints) -> Numbers:
    """The first four words of every record."""
    words = np.empty((len(places), 4), f"{layout.order}u4")
    into = words.view("V16").ravel()

    def fetch(begin: int, stop: int) -> None:
        into[begin:stop] = gather.runs(places[begin:stop], 16)

    in_parts(fetch, len(places), _PART)
    return words


def _file_start(data: memoryview, seconds: Numbers, places: Ints) -> int | None:
    """The first of the places at which another file begins: captures that were joined by cat."""
    if not len(places):
        return None
    turned = [int.from_bytes(magic.to_bytes(4, "big"), "little") for magic in MAGICS]
    likely = np.zeros(len(places), np.bool_)
    for magic in (*MAGICS, *turned):
        likely |= seconds == magic
    for index in np.flatnonzero(likely):
        if is_pcap(data, int(places[index])):
            return int(index)
    return None


def _fields(words: Numbers, layout: _Layout, source: int, places: Ints) -> Fields:
    seconds, ticks, one, other = words.T
    time = seconds.astype(np.int64)
    time *= 1_000_000_000 // layout.tick
    time += ticks
    time *= layout.tick
    return Fields(
        time=time,
        captured=(other if layout.swapped else one).astype(np.int64),
        length=(one if layout.swapped else other).astype(np.int64),
        offset=places + layout.header,
        source=np.full(len(places), source, np.int32),
    )


def _take(parts: Parts, fields: Fields, layout: _Layout, end: int) -> None:
    """Add records up to the first that is too long, or is cut short by the end of the file."""
    bad = np.flatnonzero((fields.captured > LARGEST) | (fields.offset + fields.captured > end))
    if not len(bad):
        parts.fields.append(fields)
        return
    index = int(bad[0])
    parts.fields.append(fields.where(slice(0, index)))
    start, size = int(fields.offset[index]) - layout.header, int(fields.captured[index])
    if size > LARGEST:
        parts.fault = WireError(f"a packet of {size} bytes: no capture has such", start)
    else:
        parts.truncated = start
