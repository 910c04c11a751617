"""Where the fields of a frame are, by name, and which checksums cover which bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from testbed.errors import PlanError
from testbed.wire.ethernet import EtherType
from testbed.wire.ipv4 import IpProtocol

__all__ = ["Checksum", "Layout", "Place", "lay_out"]

_SLICE = re.compile(r"(frame|payload)\[(\d+):(\d+)\]")
_SIZES = (1, 2, 4, 6, 8)
_TAGS = (EtherType.VLAN, 0x88A8)
_FRAGMENT = 0x3FFF  # RFC 791 3.1: more fragments, and the offset
_OFFSET = 0x1FFF


@dataclass(frozen=True, slots=True)
class Place:
    """``size`` bytes at ``offset``; only the bits in ``mask`` are the field's."""

    offset: int
    size: int
    mask: int = 0

    def __post_init__(self) -> None:
        if not self.mask:
            object.__setattr__(self, "mask", (1 << 8 * self.size) - 1)

    @property
    def end(self) -> int:
        """Where the next field begins."""
        return self.offset + self.size

    @property
    def whole(self) -> bool:
        """Whether all bits of its bytes are the field's."""
        return self.mask == (1 << 8 * self.size) - 1

    def read(self, frame: bytes) -> int:
        """What the field holds."""
        return int.from_bytes(frame[self.offset : self.end], "big") & self.mask

    def write(self, frame: bytearray, value: int) -> None:
        """Let it hold ``value``, less the bits that do not fit."""
        rest = int.from_bytes(frame[self.offset : self.end], "big") & ~self.mask
        value = rest | value & self.mask
        frame[self.offset : self.end] = value.to_bytes(self.size, "big")


@dataclass(frozen=True, slots=True)
class Checksum:
    """An Internet checksum at ``offset``, over ``spans`` of bytes and ``constant``.

    The constant is what a pseudo header holds besides addresses. ``optional`` is UDP's, which is
    sent as 0xFFFF where it would be 0 (RFC 768); a 0 in the frame means that there is none.
    """

    offset: int
    spans: tuple[tuple[int, int], ...]
    constant: int = 0
    optional: bool = False

    def weight(self, place: Place) -> int:
        """By what the value of a field counts in the sum: 0 where it is not covered.

        The sum is of 16-bit words, so a byte at an even place of its span counts 256-fold.
        """
        for start, end in self.spans:
            if start <= place.offset and place.end <= end:
                return 256 if (place.end - start) % 2 else 1
            if place.offset < end and start < place.end:
                raise PlanError(
                    f"bytes {place.offset} to {place.end} are covered by a checksum in part only"
                )
        return 0


@dataclass(slots=True)
class Layout:
    """What is where in one frame."""

    fields: dict[str, Place] = field(default_factory=dict)
    checksums: list[Checksum] = field(default_factory=list)
    payload: int = 14
    length: int = 0

    def place(self, name: str) -> Place:
        """The field of that name, or the bytes ``frame[a:b]`` or ``payload[a:b]``.

        PlanError where this frame has none.
        """
        if name in self.fields:
            return self.fields[name]
        found = _SLICE.fullmatch(name)
        if found is None:
            known = ", ".join(self.fields)
            raise PlanError(
                f"the frame has no field {name!r}; it has {known}, and bytes as payload[0:8]"
            )
        base = self.payload if found[1] == "payload" else 0
        start, end = base + int(found[2]), base + int(found[3])
        if end - start not in _SIZES or end > self.length:
            raise PlanError(
                f"{name}: expected 1, 2, 4, 6 or 8 bytes within the frame's {self.length}"
            )
        return Place(start, end - start)


def lay_out(frame: bytes) -> Layout:
    """Find the fields of a frame: Ethernet, VLAN tags, ARP, IPv4, ICMP, UDP, TCP.

    What is cut off, or not known, is payload.
    """
    found = Layout(length=len(frame))
    found.fields["eth.dst"] = Place(0, 6)
    found.fields["eth.src"] = Place(6, 6)
    at = 12
    for name in ("vlan.vid", "vlan.inner_vid"):
        if _half(frame, at) in _TAGS and len(frame) >= at + 6:
            found.fields[name] = Place(at + 2, 2, 0x0FFF)
            at += 4
    kind = _half(frame, at)
    found.payload = at + 2
    if kind == EtherType.ARP and len(frame) >= at + 30:
        for name, start, size in (
            ("arp.sender_mac", 8, 6),
            ("arp.sender_ip", 14, 4),
            ("arp.target_mac", 18, 6),
            ("arp.target_ip", 24, 4),
        ):
            found.fields[name] = Place(at + 2 + start, size)
    elif kind == EtherType.IPV4:
        _ipv4(frame, at + 2, found)
    return found


def _half(frame: bytes, at: int) -> int:
    return int.from_bytes(frame[at : at + 2], "big")


def _ipv4(frame: bytes, at: int, found: Layout) -> None:
    if len(frame) < at + 20 or frame[at] >> 4 != 4:
        return
    header = (frame[at] & 15) * 4
    end = at + _half(frame, at + 2)
    if header < 20 or end < at + header or end > len(frame):
        return
    for name, start, size in (
        ("ipv4.tos", 1, 1),
        ("ipv4.ident", 4, 2),
        ("ipv4.ttl", 8, 1),
        ("ipv4.src", 12, 4),
        ("ipv4.dst", 16, 4),
    ):
        found.fields[name] = Place(at + start, size)
    found.checksums.append(Checksum(at + 10, ((at, at + header),)))
    found.payload = at + header
    if not _half(frame, at + 6) & _OFFSET:
        _transport(frame, at, end, found)


def _transport(frame: bytes, ip: int, end: int, found: Layout) -> None:
    at, protocol = found.payload, frame[ip + 9]
    # What a fragment's transport checksum covers lies in other frames: it is left as it is.
    fragment = bool(_half(frame, ip + 6) & _FRAGMENT)
    pseudo = (ip + 12, ip + 20)
    if protocol == IpProtocol.ICMP and end >= at + 8:
        found.payload = at + 8
        if not fragment:
            found.checksums.append(Checksum(at + 2, ((at, end),)))
        return
    names = {IpProtocol.UDP: "udp", IpProtocol.TCP: "tcp"}
    name = names.get(protocol)
    if name is None or end < at + (8 if name == "udp" else 20):
        return
    found.fields[f"{name}.src_port"] = Place(at, 2)
    found.fields[f"{name}.dst_port"] = Place(at + 2, 2)
    if name == "udp":
        length = _half(frame, at + 4)
        found.payload = at + 8
        whole = not fragment and 8 <= length <= end - at
        if whole and _half(frame, at + 6):
            spans = ((at, at + length), pseudo)
            found.checksums.append(Checksum(at + 6, spans, protocol + length, optional=True))
        return
    found.fields["tcp.seq"] = Place(at + 4, 4)
    found.fields["tcp.ack"] = Place(at + 8, 4)
    found.payload = min(at + max(20, (frame[at + 12] >> 4) * 4), end)
    if not fragment:
        found.checksums.append(Checksum(at + 16, ((at, end), pseudo), protocol + end - at))
