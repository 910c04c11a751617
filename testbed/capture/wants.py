"""What a plan may want of a field: a value, one of several, or whatever a predicate accepts.

A kind knows which values its field can take; whatever else a plan asks for is a PlanError, so that
an expectation that nothing could ever meet is not mistaken for a finding.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Any

from testbed.errors import PlanError, WireError
from testbed.wire.addresses import MacAddr
from testbed.wire.tcp import TcpFlags

__all__ = [
    "Address",
    "Blocks",
    "Bytes",
    "Flags",
    "Hardware",
    "Kind",
    "Number",
    "Padded",
    "Truth",
    "Want",
    "describe_callable",
    "want",
]

_MIN_PAYLOAD = 46
"""IEEE 802.3 4A.4.2: minFrameSize of 64 bytes, less addresses, type and FCS."""

_SHOWN_BYTES = 24
"""How many bytes of a payload a message shows."""


@dataclass(frozen=True, slots=True)
class Want:
    """A test of one field's value, and the text that tells it.

    ``written`` is how a plan writes it, where that is not ``field=text``. ``values`` are those that
    are accepted, of the bits of ``mask``, where they can be told; None where only ``accepts`` can.
    """

    text: str
    accepts: Callable[[Any], bool]
    written: str = ""
    values: Collection[Any] | IPv4Network | None = None
    mask: int | None = None


class Kind(ABC):
    """The values of a field: which are legal, and how they read."""

    @abstractmethod
    def read(self, value: object) -> object:
        """The field value that a plan means by ``value``; TypeError or ValueError says why not."""

    def show(self, value: Any) -> str:
        """A field value for people."""
        return str(value)

    def equal(self, got: Any, wanted: Any) -> bool:
        """Whether a frame's value is the one that is wanted."""
        return bool(got == wanted)


@dataclass(frozen=True, slots=True)
class Number(Kind):
    """A whole number of ``bits`` bits; ``names`` may stand for some of them."""

    bits: int
    names: Mapping[str, int] = field(default_factory=dict)
    hexadecimal: bool = False

    def read(self, value: object) -> int:
        """The number, or the one that a name stands for."""
        if isinstance(value, str):
            if value not in self.names:
                known = f", expected a number or {', '.join(self.names)}" if self.names else ""
                raise ValueError(f"{value!r} is no number{known}")
            return self.names[value]
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"{value!r} is no whole number")
        if not 0 <= value < 1 << self.bits:
            raise ValueError(f"{value} is out of range, expected 0 to {(1 << self.bits) - 1}")
        return int(value)

    def show(self, value: Any) -> str:
        """The number, in the base that is usual for the field."""
        return f"{value:#0{2 + self.bits // 4}x}" if self.hexadecimal else str(value)


class Truth(Kind):
    """True or False."""

    def read(self, value: object) -> bool:
        """The value itself; numbers do not count as truth."""
        if not isinstance(value, bool):
            raise TypeError(f"{value!r} is neither True nor False")
        return value


class Hardware(Kind):
    """A MAC address, as a value or as text."""

    def read(self, value: object) -> MacAddr:
        """The address."""
        if not isinstance(value, MacAddr | str):
            raise TypeError(f"{value!r} is no MAC address")
        return MacAddr(value)


class Address(Kind):
    """An IPv4 address, as a value or as text."""

    def read(self, value: object) -> IPv4Address:
        """The address."""
        if not isinstance(value, IPv4Address | str):
            raise TypeError(f"{value!r} is no IPv4 address")
        return IPv4Address(value)


class Bytes(Kind):
    """Bytes."""

    def read(self, value: object) -> bytes:
        """The bytes."""
        if not isinstance(value, bytes | bytearray | memoryview):
            raise TypeError(f"{value!r} is no bytes")
        return bytes(value)

    def show(self, value: Any) -> str:
        """The first bytes in hex, and how many there are."""
        more = "..." if len(value) > _SHOWN_BYTES else ""
        shown = value[:_SHOWN_BYTES].hex()
        return f"{shown}{more} ({len(value)} bytes)" if value else "nothing"


class Padded(Bytes):
    """The payload of an Ethernet frame, which a NIC may have filled up to the minimum length."""

    def equal(self, got: Any, wanted: Any) -> bool:
        """Whether they agree but for zeros that make up a payload of at most 46 bytes."""
        return bool(
            got == wanted or (len(got) <= _MIN_PAYLOAD and got == wanted.ljust(len(got), b"\0"))
        )


class Flags(Kind):
    """TCP control bits: ``TcpFlags``, or their names joined by ``+``."""

    def read(self, value: object) -> TcpFlags:
        """The bits."""
        if isinstance(value, TcpFlags):
            return value
        if not isinstance(value, str):
            raise TypeError(f"{value!r} is no TcpFlags")
        flags = TcpFlags(0)
        for name in value.split("+"):
            if name not in TcpFlags.__members__:
                known = ", ".join(TcpFlags.__members__)
                raise ValueError(f"{name!r} is no TCP flag, expected names of {known} joined by +")
            flags |= TcpFlags[name]
        return flags

    def show(self, value: Any) -> str:
        """The names joined by ``+``."""
        return "+".join(flag.name or "?" for flag in TcpFlags(value)) or "none"


class Blocks(Kind):
    """SACK blocks: pairs of a first sequence number and the one past the end."""

    def read(self, value: object) -> object:
        """The blocks as a tuple of pairs."""
        if not isinstance(value, tuple) or not all(
            isinstance(block, tuple) and len(block) == 2 for block in value
        ):
            raise TypeError(f"{value!r} is no tuple of (left, right) pairs")
        return value

    def show(self, value: Any) -> str:
        """``left:right`` for each block."""
        return ",".join(f"{left}:{right}" for left, right in value) or "none"


def want(name: str, kind: Kind, value: object) -> Want:
    """What ``value`` asks of the field called ``name``; PlanError where that makes no sense."""
    if _is_predicate(value):
        return _predicate(name, value)  # type: ignore[arg-type]  # _is_predicate has seen to it
    try:
        if isinstance(value, str) and "/" in value and isinstance(kind, Address):
            value = IPv4Network(value)
        if isinstance(value, IPv4Network) and isinstance(kind, Address):
            return Want(str(value), value.__contains__, values=value)
        if isinstance(value, range) and isinstance(kind, Number):
            return _range(kind, value)
        if _is_collection(kind, value):
            return _one_of(kind, value)  # type: ignore[arg-type]  # _is_collection has seen to it
        wanted = kind.read(value)
    except (TypeError, ValueError, WireError) as error:
        raise PlanError(f"{name}: {error}") from None
    return Want(kind.show(wanted), lambda got: kind.equal(got, wanted), values=(wanted,))


def _is_predicate(value: object) -> bool:
    return callable(value)


def _is_collection(kind: Kind, value: object) -> bool:
    if isinstance(value, str | bytes | bytearray | memoryview | TcpFlags):
        return False
    if isinstance(kind, Blocks):
        return isinstance(value, list | set | frozenset)
    return isinstance(value, Collection)


def _predicate(name: str, test: Callable[[Any], object]) -> Want:
    told = describe_callable(test)

    def accepts(value: Any) -> bool:
        try:
            return bool(test(value))
        except Exception as error:
            raise PlanError(f"{name}: {told} raised {error!r} on {value!r}") from error

    return Want(told, accepts)


def describe_callable(test: Callable[..., object]) -> str:
    """The name of a predicate, for messages."""
    name = getattr(test, "__name__", type(test).__name__)
    if name != "<lambda>":
        return f"{name}()"
    code = getattr(test, "__code__", None)
    return f"the predicate of line {code.co_firstlineno}" if code else "a predicate"


def _range(kind: Number, values: range) -> Want:
    # The ends, and not min() and max(): those would go through all of it.
    least, most = sorted((values[0], values[-1])) if values else (0, -1)
    if most < 0 or least >= 1 << kind.bits:
        raise ValueError(f"{values} holds no value of 0 to {(1 << kind.bits) - 1}")
    low, high = kind.show(least), kind.show(most)
    step = f" by {abs(values.step)}" if abs(values.step) > 1 else ""
    return Want(f"{low}..{high}{step}", values.__contains__, values=values)


def _one_of(kind: Kind, values: Collection[object]) -> Want:
    wanted = [kind.read(value) for value in values]
    if not wanted:
        raise ValueError("an empty collection, which nothing can be in")
    texts = [kind.show(value) for value in wanted]
    if isinstance(values, set | frozenset):
        texts.sort()
    return Want(
        f"one of {', '.join(texts)}",
        lambda got: any(kind.equal(got, each) for each in wanted),
        values=tuple(wanted),
    )
