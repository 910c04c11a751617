"""Domain names (RFC 1035 3.1): values that compare without regard to case, and their wire form."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import ClassVar, Final

from testbed.errors import WireError

__all__ = ["DnsName", "NameWriter", "read_name"]

_POINTER: Final = 0xC0
_PIECE = re.compile(r"\\(\d{3})|\\(.)|(\.)|([^\\.])", re.DOTALL)


@dataclass(frozen=True, slots=True, init=False)
class DnsName:
    r"""A domain name, always complete: from ``www.example.com``, its last dot or not, or labels.

    In text a dot within a label is ``\.`` and any byte ``\DDD`` (RFC 1035 5.1). Names that differ
    in case only are equal (RFC 1035 2.3.3; RFC 4343).
    """

    labels: tuple[bytes, ...] = field(compare=False)
    key: tuple[bytes, ...] = field(repr=False)
    ROOT: ClassVar[DnsName]

    def __init__(self, name: str | DnsName | tuple[bytes, ...]) -> None:
        if isinstance(name, DnsName):
            labels = name.labels
        elif isinstance(name, str):
            labels = _labels(name)
        else:
            labels = tuple(name)
        for label in labels:
            if not 0 < len(label) <= 63:
                raise WireError(f"DNS name: label {label!r}, expected 1 to 63 bytes")
        if sum(map(len, labels)) + len(labels) > 254:
            raise WireError("DNS name: more than 255 bytes")
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "key", tuple(label.lower() for label in labels))

    @classmethod
    def reverse(cls, address: IPv4Address) -> DnsName:
        """Where the name of ``address`` is found (RFC 1035 3.5): ``4.3.2.1.in-addr.arpa``."""
        parts = tuple(str(octet).encode() for octet in reversed(address.packed))
        return cls((*parts, b"in-addr", b"arpa"))

    @property
    def parent(self) -> DnsName:
        """The name without its first label; the root's is the root."""
        return DnsName(self.labels[1:])

    def within(self, zone: DnsName) -> bool:
        """Whether it is ``zone`` or below it."""
        count = len(zone.key)
        return not count or self.key[-count:] == zone.key

    def above(self) -> tuple[DnsName, ...]:
        """Itself and every name above it, down to the root."""
        return tuple(DnsName(self.labels[at:]) for at in range(len(self.labels) + 1))

    def __str__(self) -> str:
        return ".".join(map(_shown, self.labels)) + "."


DnsName.ROOT = DnsName(())


def _labels(text: str) -> tuple[bytes, ...]:
    """The labels of a name in text."""
    labels, label = [], b""
    at = 0
    while at < len(text):
        piece = _PIECE.match(text, at)
        if piece is None:
            raise WireError(f"DNS name: {text!r} ends in a backslash")
        at = piece.end()
        number, escaped, dot, plain = piece.groups()
        if dot:
            labels.append(label)
            label = b""
        elif number:
            if int(number) > 255:
                raise WireError(f"DNS name: \\{number} in {text!r} is no byte")
            label += bytes((int(number),))
        else:
            label += _octet(escaped or plain, text)
    if label:
        labels.append(label)
    return () if labels == [b""] else tuple(labels)


def _octet(character: str, text: str) -> bytes:
    try:
        return character.encode("ascii")
    except UnicodeEncodeError:
        raise WireError(f"DNS name: {text!r} is not ASCII") from None


def _shown(label: bytes) -> str:
    return "".join(map(_character, label))


def _character(octet: int) -> str:
    if not 33 <= octet <= 126:
        return f"\\{octet:03}"
    return f"\\{octet:c}" if octet in b".\\" else chr(octet)


class NameWriter:
    """A message in the making, which knows where each name stands in it (RFC 1035 4.1.4)."""

    __slots__ = ("_places", "data")

    def __init__(self) -> None:
        self.data = bytearray()
        self._places: dict[tuple[bytes, ...], int] = {}

    def name(self, name: DnsName, *, compress: bool = True) -> None:
        """Append ``name``, the end of it as a pointer to where it stood before."""
        labels = name.labels
        for index, label in enumerate(labels):
            rest = labels[index:]
            place = self._places.get(rest)
            if place is not None and compress:
                self.data += (place | _POINTER << 8).to_bytes(2, "big")
                return
            if len(self.data) < 0x4000:
                self._places.setdefault(rest, len(self.data))
            self.data += bytes((len(label),)) + label
        self.data.append(0)


def read_name(data: bytes, at: int) -> tuple[DnsName, int]:
    """The name at ``at`` in the message ``data``, and where what follows it starts.

    A pointer must lead to before the part that it ends ("a prior occurance", RFC 1035 4.1.4), so
    that no name is endless. WireError for what does not, and for a name that is cut short or is
    longer than 255 bytes.
    """
    labels: list[bytes] = []
    here, low, end, size = at, at, None, 1
    while True:
        if here >= len(data):
            raise WireError("DNS name is cut short", len(data))
        length = data[here]
        if length & _POINTER == _POINTER:
            if here + 2 > len(data):
                raise WireError("DNS name is cut short", len(data))
            target = int.from_bytes(data[here : here + 2], "big") & 0x3FFF
            if target >= low:
                raise WireError(f"DNS name: pointer to {target}, not to before {low}", here)
            end = here + 2 if end is None else end
            here = low = target
            continue
        if length & _POINTER:
            raise WireError(f"DNS name: label type {length >> 6}, expected 0 or 3", here)
        if not length:
            break
        if here + 1 + length > len(data):
            raise WireError("DNS name is cut short", len(data))
        size += 1 + length
        if size > 255:
            raise WireError("DNS name is longer than 255 bytes", here)
        labels.append(data[here + 1 : here + 1 + length])
        here += 1 + length
    return DnsName(tuple(labels)), here + 1 if end is None else end
