"""What the sender in the kernel reads: a blend as tables of numbers and of frames."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from testbed.errors import Unsupported
from testbed.link.ebpf import SharedArray
from testbed.link.streams.flow import Blend, Compiled, Varied
from testbed.link.streams.values import Listed, as_number

__all__ = ["HEAD", "ORDER_ENTRY", "Shape", "Tables"]

HEAD = 16
"""Bytes in front of each template: its length, and the sums of what does not vary."""
SLOT = struct.Struct("=IIII")  # length, unused, base of the first sum, base of the second

ORDER = struct.Struct("=IIIIII8x")  # shape, rank, first slot, templates, frames in a period, unused
ORDER_ENTRY = ORDER.size

MOST_FRAMES = 1 << 15
MOST_BYTES = 256 << 20
MOST_SUMS = 2
_MASK64 = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Shape:
    """What is done to a frame, whichever flow it is of: flows that are alike share the code."""

    fields: tuple[Varied, ...]
    sums: tuple[tuple[int, bool, tuple[tuple[int, int], ...]], ...]

    @property
    def end(self) -> int:
        """Bytes that a frame must have."""
        ends = [each.place.end for each in self.fields] + [each[0] + 2 for each in self.sums]
        return max(ends, default=14)


def _shape(flow: Compiled) -> Shape:
    sums = tuple((each.offset, each.optional, each.terms) for each in flow.sums)
    return Shape(flow.fields, sums)


def _power(number: int) -> int:
    """The least power of two that is not less: indices are cut with a mask."""
    return 1 << (number - 1).bit_length()


@dataclass(slots=True)
class Tables:
    """The memory of one sender. Raises Unsupported where a blend is too large for it."""

    blend: Blend
    shapes: list[Shape] = field(default_factory=list)
    lists: dict[Listed, int] = field(default_factory=dict)
    """Where in ``numbers`` the values of each list are."""
    stride: int = 0
    slots: int = 0
    order: int = 0
    """Entries of the order, a power of two."""
    frames: SharedArray = field(init=False)
    numbers: SharedArray = field(init=False)

    def __post_init__(self) -> None:
        flows = self.blend.flows
        count = sum(len(flow.templates) for flow in flows)
        self.stride = HEAD + -(-self.blend.longest // 8) * 8
        self.slots = _power(count)
        if count > MOST_FRAMES or self.slots * self.stride > MOST_BYTES:
            raise Unsupported(f"{count} different frames are too many to keep in the kernel")
        if any(len(flow.sums) > MOST_SUMS for flow in flows):
            raise Unsupported(f"more than {MOST_SUMS} checksums of a frame follow its fields")
        self.order = _power(self.blend.period)
        self._fill_frames()
        try:
            self._fill_numbers()
        except BaseException:
            self.frames.close()
            raise

    @property
    def lengths(self) -> set[int]:
        """The lengths that there are."""
        return {len(each) for flow in self.blend.flows for each in flow.templates}

    def close(self) -> None:
        """Let go of the memory; twice is no error."""
        self.frames.close()
        self.numbers.close()

    def _fill_frames(self) -> None:
        self.frames = SharedArray(self.slots * self.stride, "frames")
        memory = self.frames.memory
        slot = 0
        for flow in self.blend.flows:
            for at, template in enumerate(flow.templates):
                bases = [each.bases[at] for each in flow.sums] + [0, 0]
                where = slot * self.stride
                SLOT.pack_into(memory, where, len(template), 0, bases[0], bases[1])
                memory[where + HEAD : where + HEAD + len(template)] = template
                slot += 1

    def _fill_numbers(self) -> None:
        shapes = [_shape(flow) for flow in self.blend.flows]
        self.shapes = list(dict.fromkeys(shapes))
        at = self.order * ORDER_ENTRY
        values = bytearray()
        for shape in self.shapes:
            for each in shape.fields:
                if isinstance(each.values, Listed) and each.values not in self.lists:
                    self.lists[each.values] = at + len(values)
                    numbers = [as_number(value) & _MASK64 for value in each.values.values]
                    numbers += [0] * (_power(len(numbers)) - len(numbers))
                    values += struct.pack(f"={len(numbers)}Q", *numbers)
        firsts = [0]
        for flow in self.blend.flows:
            firsts.append(firsts[-1] + len(flow.templates))
        order = bytearray()
        for flow_index, rank in self.blend.order:
            flow = self.blend.flows[flow_index]
            order += ORDER.pack(
                self.shapes.index(shapes[flow_index]),
                rank,
                firsts[flow_index],
                len(flow.templates),
                self.blend.counts[flow_index],
                0,
            )
        data = bytes(order.ljust(at, b"\0") + values)
        self.numbers = SharedArray(len(data), "numbers")
        self.numbers.memory[: len(data)] = data
