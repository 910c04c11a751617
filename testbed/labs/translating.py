"""Matchers of captures in the words that a program in the kernel understands.

A matcher looks at layers as they were taken apart; a program looks at bytes at a place. Of frames
whose lengths agree and whose options are none, or a time stamp, both say the same. Of those that
may match and are not so plain, the program says nothing, and Python is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from functools import partial, reduce
from ipaddress import IPv4Network
from operator import and_, or_
from typing import Any

from testbed.capture.layers import LayerMatcher
from testbed.capture.matcher import AllOf, AnyFrame, AnyOf, Not
from testbed.capture.wants import Want
from testbed.link.impair.fields import FieldTest, FrameField, Ipv4Whole, TcpData, UdpWhole
from testbed.wire.addresses import MacAddr

__all__ = ["translate"]

Answer = tuple[FieldTest, FieldTest]
"""Tests of frames that match for sure, and of those that do not for sure."""

_MOST_SPANS = 16
_BEHIND = partial(FrameField, layer="payload")
_INSIDE = partial(FrameField, layer="transport")

_ANY = FrameField(0, 1, 0, 0xFF)
_TAGGED = FrameField(12, 2, 0x8100) | FrameField(12, 2, 0x88A8)
_ODD = (
    FrameField(12, 2, 0x9100)
    | _BEHIND(-2, 2, 0x9100)
    | (_TAGGED & ~_BEHIND(-2, 2, 0, 0xFFFF))
    | ~FrameField(12, 2, 0, 0xFFFF)
)
"""Frames with more tags than two, with tags of a kind that is out of use, or cut short."""
_IPV4 = _BEHIND(-2, 2, 0x0800)
_UNFRAGMENTED = _BEHIND(6, 2, 0, mask=0x3FFF)
_PLAIN = Ipv4Whole()
_PLAIN_OPTIONS = _INSIDE(12, 1, 0x50, mask=0xF0) | (
    _INSIDE(12, 1, 0x80, mask=0xF0) & _INSIDE(20, 4, 0x0101080A)
)

_LAYERS: dict[str, Answer] = {
    "eth": (~_ODD & _BEHIND(-2, 2, 0x0600, 0xFFFF), ~_ANY),
    "ipv4": (_PLAIN, ~_ODD & ~_IPV4),
    "udp": (
        _PLAIN & _UNFRAGMENTED & UdpWhole(),
        ~_ODD & ~(_IPV4 & _BEHIND(9, 1, 17)),
    ),
    "tcp": (
        _PLAIN & _UNFRAGMENTED & TcpData(0) & _PLAIN_OPTIONS,
        ~_ODD & ~(_IPV4 & _BEHIND(9, 1, 6)),
    ),
}
"""By a layer's name: frames that have it for sure, and those that do not for sure."""


def _number(at: int, size: int, place: Callable[..., FrameField], **how: int) -> Any:
    """A maker of tests of a field: of the spans of its values, and of a mask."""
    shift, full = how.get("shift", 0), how.get("mask", (1 << 8 * size) - 1)

    def test(least: int, most: int, mask: int | None) -> FieldTest:
        bits = full if mask is None else mask << shift & full
        return place(at, size, least << shift, most << shift, bits)

    return test


def _address(first: int, place: Callable[..., FrameField]) -> Any:
    """A maker of tests of a MAC address, of one value at a time."""

    def test(least: int, most: int, mask: int | None) -> FieldTest | None:
        if least != most or mask is not None:
            return None
        return place(first, 4, least >> 16) & place(first + 4, 2, least & 0xFFFF)

    return test


def _length(least: int, most: int, mask: int | None) -> FieldTest | None:
    return None if mask is not None else TcpData(least) & ~TcpData(most + 1)


_FIELDS: dict[tuple[str, str], Any] = {
    ("eth", "dst"): _address(0, FrameField),
    ("eth", "src"): _address(6, FrameField),
    ("eth", "ethertype"): _number(-2, 2, _BEHIND),
    ("ipv4", "src"): _number(12, 4, _BEHIND),
    ("ipv4", "dst"): _number(16, 4, _BEHIND),
    ("ipv4", "protocol"): _number(9, 1, _BEHIND),
    ("ipv4", "ttl"): _number(8, 1, _BEHIND),
    ("ipv4", "ident"): _number(4, 2, _BEHIND),
    ("ipv4", "length"): _number(2, 2, _BEHIND),
    ("ipv4", "df"): _number(6, 1, _BEHIND, shift=6, mask=0x40),
    ("ipv4", "mf"): _number(6, 1, _BEHIND, shift=5, mask=0x20),
    ("ipv4", "dscp"): _number(1, 1, _BEHIND, shift=2, mask=0xFC),
    ("ipv4", "ecn"): _number(1, 1, _BEHIND, mask=3),
    ("udp", "src_port"): _number(0, 2, _INSIDE),
    ("udp", "dst_port"): _number(2, 2, _INSIDE),
    ("tcp", "src_port"): _number(0, 2, _INSIDE),
    ("tcp", "dst_port"): _number(2, 2, _INSIDE),
    ("tcp", "seq"): _number(4, 4, _INSIDE),
    ("tcp", "ack"): _number(8, 4, _INSIDE),
    ("tcp", "flags"): _number(12, 2, _INSIDE, mask=0x1FF),
    ("tcp", "window"): _number(14, 2, _INSIDE),
    ("tcp", "urgent"): _number(18, 2, _INSIDE),
    ("tcp", "payload_length"): _length,
}


def translate(which: object) -> Answer | None:
    """The matcher's answers as tests of fields; None where only Python can say."""
    match which:
        case AnyFrame():
            return _ANY, ~_ANY
        case Not():
            inner = translate(which.inner)
            return None if inner is None else (inner[1], inner[0])
        case AllOf() | AnyOf():
            parts = [translate(part) for part in which.parts]
            if None in parts:
                return None
            answers = [part for part in parts if part is not None]
            both, either = (and_, or_) if isinstance(which, AllOf) else (or_, and_)
            return _joined(both, (yes for yes, _ in answers)), _joined(
                either, (no for _, no in answers)
            )
        case LayerMatcher():
            return _layer(which)
    return None


def _layer(which: LayerMatcher) -> Answer | None:
    known = _LAYERS.get(which.layer.name)
    if known is None or which.quoting is not None:
        return None
    plain, absent = known
    fields = [_field(which.layer.name, name, wanted) for name, wanted in which.wanted]
    if None in fields:
        return None
    alike = _joined(and_, [_ANY, *(each for each in fields if each is not None)])
    return plain & alike, absent | (plain & ~alike)


def _field(layer: str, name: str, wanted: Want) -> FieldTest | None:
    make = _FIELDS.get((layer, name))
    if make is None or wanted.values is None:
        return None
    spans = _spans(wanted.values)
    if spans is None:
        return None
    tests = [make(least, most, wanted.mask) for least, most in spans]
    return None if None in tests or not tests else _joined(or_, tests)


def _spans(values: Collection[Any] | IPv4Network) -> list[tuple[int, int]] | None:
    """The values as spans of whole numbers; None where they are too many."""
    if isinstance(values, IPv4Network):
        return [(int(values[0]), int(values[-1]))]
    if isinstance(values, range) and values.step == 1:
        return [(max(0, values.start), values.stop - 1)] if values else []
    if len(values) > _MOST_SPANS:
        return None
    numbers = [_whole(each) for each in values]
    return [(number, number) for number in numbers]


def _whole(value: Any) -> int:
    return int.from_bytes(value.packed, "big") if isinstance(value, MacAddr) else int(value)


def _joined(
    how: Callable[[FieldTest, FieldTest], FieldTest], parts: Iterable[FieldTest]
) -> FieldTest:
    return reduce(how, parts)
