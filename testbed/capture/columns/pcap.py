"""pcap files into columns (draft-ietf-opsawg-pcap; magic numbers of libpcap and its offspring)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import partial

import numpy as np

from testbed.capture.columns.arrays import Bools, Gather, Ints, Order
from testbed.capture.columns.building import Fields, Parts
from testbed.capture.columns.columns import Source
from testbed.capture.columns.lanes import Chain, walk
from testbed.errors import WireError

__all__ = ["FILE_HEADER", "LARGEST", "MAGICS", "is_pcap", "read_section"]

FILE_HEADER = 24
LARGEST = 262_144
"""No tool takes a longer packet (MAXIMUM_SNAPLEN of libpcap): a forged length ends here."""

MAGICS = {0xA1B2C3D4: (1000, 16), 0xA1B23C4D: (1, 16), 0xA1B2CD34: (1000, 24)}
"""Nanoseconds of a tick and length of a record's header: microseconds, nanoseconds, Kuznetzov's."""

_YEARS = 1 << 27  # seconds, four years: a guessed record is not that far from a known one


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
        words = gather.words(places, 4)
        stop = _file_start(data, words[0], places)
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
    return Chain(header, step, steps, plausible)


def _plausible(gather: Gather, layout: _Layout, known: int, at: Ints) -> Bools:
    size = gather.u4(at + layout.captured)
    good = (size > 0) & (size <= LARGEST)
    rest = at[good]
    close = np.abs(gather.u4(rest) - known) < _YEARS
    close &= gather.u4(rest + 4) * layout.tick < 1_000_000_000
    close &= gather.u4(rest + 20 - layout.captured) <= 1 << 24
    good[good] = close
    return good


def _file_start(data: memoryview, words: Ints, places: Ints) -> int | None:
    """The first of the places at which another file begins: captures that were joined by cat."""
    if not len(places):
        return None
    turned = [int.from_bytes(magic.to_bytes(4, "big"), "little") for magic in MAGICS]
    likely = np.isin(words, np.array([*MAGICS, *turned], np.int64))
    for index in np.flatnonzero(likely):
        if is_pcap(data, int(places[index])):
            return int(index)
    return None


def _fields(words: Ints, layout: _Layout, source: int, places: Ints) -> Fields:
    seconds, ticks, one, other = words
    return Fields(
        time=seconds * 1_000_000_000 + ticks * layout.tick,
        captured=other if layout.swapped else one,
        length=one if layout.swapped else other,
        offset=places + layout.header,
        source=np.full(len(places), source, np.int64),
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
