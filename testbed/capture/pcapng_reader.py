"""Reads pcapng back: a strict reader of Ethernet captures with one section.

It takes what ``write_pcapng`` and Wireshark's tools write, in either byte order, and refuses
what is malformed with the offset of the fault. Memory use is bounded by the size of the input.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace

from testbed.capture.pcapng import (
    BYTE_ORDER_MAGIC,
    CLOCK,
    LINKTYPE_ETHERNET,
    UNKNOWN_LENGTH,
    Block,
    Option,
    Section,
)
from testbed.capture.recording import Statistics
from testbed.errors import WireError
from testbed.timing import Instant
from testbed.wire.frame import Direction, Frame

__all__ = ["CaptureFile", "Interface", "Packet", "read_pcapng"]


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface of a capture file and, where the file tells them, its drop counts."""

    name: str
    description: str
    statistics: Statistics | None = None
    clock: str = ""
    """What stamped its frames, where the file tells."""


@dataclass(frozen=True, slots=True)
class Packet:
    """A frame of a capture file. ``interface`` indexes the file's interfaces.

    ``direction_known`` is False where the file does not tell it; ``frame.direction`` is IN then.
    """

    interface: int
    frame: Frame
    comments: tuple[str, ...] = ()
    direction_known: bool = True


@dataclass(frozen=True, slots=True)
class CaptureFile:
    """What a pcapng file holds; packet ``n`` of Wireshark is ``packets[n - 1]``."""

    section: Section
    interfaces: tuple[Interface, ...]
    packets: tuple[Packet, ...]


@dataclass(frozen=True, slots=True)
class _Body:
    """A block's content, where it lies in the file, and the byte order of its section."""

    data: bytes
    offset: int
    order: str

    def unpack(self, layout: str) -> tuple[int, ...]:
        """The fixed fields at the start; WireError where the block is too short for them."""
        if len(self.data) < struct.calcsize("=" + layout):
            raise WireError("the block is too short for its fixed fields", self.offset)
        return struct.unpack_from(self.order + layout, self.data)

    def options(self, start: int) -> Iterator[tuple[int, bytes, int]]:
        """Code, value and file offset of each option from ``start`` on."""
        at = start
        while at < len(self.data):
            if len(self.data) - at < 4:
                raise WireError("an option is cut short", self.offset + at)
            code, length = struct.unpack_from(self.order + "HH", self.data, at)
            if code == Option.END:
                if length:
                    raise WireError("opt_endofopt has a length", self.offset + at)
                return
            value = self.data[at + 4 : at + 4 + length]
            if len(value) < length:
                raise WireError("an option is longer than its block", self.offset + at)
            yield code, value, self.offset + at
            at += 4 + length + -length % 4

    def number(self, layout: str, value: bytes, offset: int) -> int:
        """An option that holds one integer; WireError where its length is another."""
        if len(value) != struct.calcsize("=" + layout):
            raise WireError(f"an option of {len(value)} bytes holds no integer", offset)
        return int(struct.unpack(self.order + layout, value)[0])


def read_pcapng(data: bytes) -> CaptureFile:
    """Read a whole pcapng file; WireError, with the offset, where it is none.

    Unknown block types and options are skipped, as the format demands. A second section, Simple
    Packet Blocks and link types other than Ethernet are refused.
    """
    blocks = _blocks(data)
    _, first = next(blocks)
    reader = _Reader(_read_section(first))
    for kind, body in blocks:
        reader.take(kind, body)
    return reader.result()


def _blocks(data: bytes) -> Iterator[tuple[int, _Body]]:
    order = _byte_order(data)
    at = 0
    while at < len(data):
        if len(data) - at < 12:
            raise WireError("a block is cut short", at)
        kind, total = struct.unpack_from(order + "II", data, at)
        if total < 12 or total % 4 or total > len(data) - at:
            raise WireError(f"a block cannot be {total} bytes long here", at + 4)
        (again,) = struct.unpack_from(order + "I", data, at + total - 4)
        if again != total:
            raise WireError(f"block lengths disagree: {total} and {again}", at + total - 4)
        if kind == Block.SECTION and at:
            raise WireError("a second section", at)
        yield kind, _Body(data[at + 8 : at + total - 4], at + 8, order)
        at += total


def _byte_order(data: bytes) -> str:
    """The byte order of the section that the file must begin with."""
    if data[:4] != struct.pack("<I", Block.SECTION):
        raise WireError("the file does not begin with a section header", 0)
    if len(data) < 12:
        raise WireError("the section header is cut short", len(data))
    if data[8:12] == struct.pack("<I", BYTE_ORDER_MAGIC):
        return "<"
    if data[8:12] == struct.pack(">I", BYTE_ORDER_MAGIC):
        return ">"
    raise WireError("no byte-order magic", 8)


def _read_section(body: _Body) -> Section:
    _, major, minor, length = body.unpack("IHHQ")
    if major != 1 or minor not in (0, 2):
        raise WireError(f"pcapng version {major}.{minor}, expected 1.0", body.offset + 4)
    if length != UNKNOWN_LENGTH and length % 4:
        raise WireError("the section length is no multiple of 4", body.offset + 8)
    texts: dict[int, str] = {}
    comments: list[str] = []
    for code, value, offset in body.options(16):
        if code == Option.COMMENT:
            comments.append(_decode(value, offset))
        elif code <= Option.SECTION_APPLICATION:
            texts[code] = _decode(value, offset)
    return Section(
        hardware=texts.get(Option.SECTION_HARDWARE, ""),
        os=texts.get(Option.SECTION_OS, ""),
        application=texts.get(Option.SECTION_APPLICATION, ""),
        comments=tuple(comments),
    )


def _decode(value: bytes, offset: int) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise WireError("an option's text is no UTF-8", offset) from error


class _Reader:
    """Gathers the blocks that follow the section header."""

    def __init__(self, section: Section) -> None:
        self._section = section
        self._interfaces: list[Interface] = []
        self._resolutions: list[int] = []
        self._packets: list[Packet] = []
        self._statistics: dict[int, Statistics] = {}

    def take(self, kind: int, body: _Body) -> None:
        """Read one block; one of an unknown type is passed over."""
        if kind == Block.INTERFACE:
            self._interface(body)
        elif kind == Block.PACKET:
            self._packet(body)
        elif kind == Block.STATISTICS:
            self._statistic(body)
        elif kind == Block.SIMPLE_PACKET:
            raise WireError("a Simple Packet Block has no time", body.offset)

    def result(self) -> CaptureFile:
        """Everything that was read."""
        interfaces = tuple(
            replace(interface, statistics=self._statistics.get(index))
            for index, interface in enumerate(self._interfaces)
        )
        return CaptureFile(self._section, interfaces, tuple(self._packets))

    def _interface(self, body: _Body) -> None:
        linktype, _, _ = body.unpack("HHI")
        if linktype != LINKTYPE_ETHERNET:
            raise WireError(f"link type {linktype}, expected 1 (Ethernet)", body.offset)
        name = description = clock = ""
        resolution = 6  # "if this option is not present, a resolution of 10^-6 is assumed"
        for code, value, offset in body.options(8):
            if code == Option.INTERFACE_NAME:
                name = _decode(value, offset)
            elif code == Option.COMMENT and value.startswith(CLOCK.encode()):
                clock = _decode(value, offset).removeprefix(CLOCK)
            elif code == Option.INTERFACE_DESCRIPTION:
                description = _decode(value, offset)
            elif code == Option.INTERFACE_RESOLUTION:
                resolution = body.number("B", value, offset)
        self._interfaces.append(Interface(name, description, clock=clock))
        self._resolutions.append(resolution)

    def _packet(self, body: _Body) -> None:
        index, high, low, captured, length = body.unpack("IIIII")
        at = self._time(index, high, low, body)
        if captured > len(body.data) - 20:
            raise WireError("a packet is longer than its block", body.offset + 12)
        if length < captured:
            raise WireError("a packet is longer than it was on the wire", body.offset + 16)
        comments: list[str] = []
        flags = 0
        for code, value, offset in body.options(20 + captured + -captured % 4):
            if code == Option.COMMENT:
                comments.append(_decode(value, offset))
            elif code == Option.PACKET_FLAGS:
                flags = body.number("I", value, offset) & 0b11
        direction = Direction.OUT if flags == 0b10 else Direction.IN
        frame = Frame(body.data[20 : 20 + captured], at, direction, length)
        self._packets.append(Packet(index, frame, tuple(comments), flags in (0b01, 0b10)))

    def _statistic(self, body: _Body) -> None:
        index, high, low = body.unpack("III")
        self._time(index, high, low, body)
        counts: dict[int, int] = {}
        for code, value, offset in body.options(12):
            if code in (Option.STATISTICS_RECEIVED, Option.STATISTICS_DROPPED):
                counts[code] = body.number("Q", value, offset)
        if len(counts) == 2:
            self._statistics[index] = Statistics(
                counts[Option.STATISTICS_RECEIVED], counts[Option.STATISTICS_DROPPED]
            )

    def _time(self, index: int, high: int, low: int, body: _Body) -> Instant:
        """A time of interface ``index`` in nanoseconds."""
        if index >= len(self._interfaces):
            raise WireError(f"interface {index} is not described before its use", body.offset)
        count = high << 32 | low
        resolution = self._resolutions[index]
        # if_tsresol: the top bit tells powers of 2 from powers of 10.
        base, exponent = (2, resolution & 0x7F) if resolution & 0x80 else (10, resolution)
        return Instant(count * 1_000_000_000 // base**exponent)
