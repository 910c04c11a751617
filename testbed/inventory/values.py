"""The scalars of a bench file: names, addresses, rates; each refuses what it is not, in words."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import AddressValueError, IPv4Address, IPv4Network, IPv6Address, NetmaskValueError
from pathlib import Path
from typing import Annotated

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from testbed.errors import WireError
from testbed.wire.addresses import MacAddr

__all__ = [
    "END_PATTERN",
    "Address",
    "Delay",
    "EnvName",
    "FilePath",
    "Fingerprint",
    "Interface",
    "KeyringEntry",
    "Mac",
    "Name",
    "Netns",
    "Network",
    "PortName",
    "Rate",
    "SerialPath",
    "Share",
    "Speed",
    "Stated",
    "Tolerance",
    "User",
    "format_delay",
    "format_rate",
    "format_speed",
    "parse_delay",
    "parse_rate",
    "parse_speed",
    "refused",
    "shown",
]

_NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_PORT = r"[A-Za-z0-9_](?:[A-Za-z0-9 /._:@+-]*[A-Za-z0-9/._@+-])?"

END_PATTERN = f"^{_NAME}:{_PORT}$"
"""An end of a cable as the bench file writes it, for the JSON Schema."""

_RATE = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([kMG]?)pps", re.ASCII)
_PACKETS = {"": 1, "k": 1_000, "M": 1_000_000, "G": 1_000_000_000}
_SPEED = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([MG])", re.ASCII)
_MEGABITS = {"M": 1, "G": 1_000}
_DELAY = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?(ns|us|ms|s)", re.ASCII)
_NANOSECONDS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}
# RFC 1123 2.1; the underscore is in no standard and in many a lab's DNS.
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)", re.ASCII)


def refused(wrong: str, expected: str) -> PydanticCustomError:
    """A fault in the one shape all have: what is wrong, what was expected."""
    # The text goes in as data: pydantic would take braces in a template for fields to fill.
    return PydanticCustomError("bench", "{text}", {"text": f"{wrong}, expected {expected}"})


def shown(value: str) -> str:
    """``value`` in quotes for a message, cut where it would flood the terminal."""
    return repr(value if len(value) <= 60 else f"{value[:57]}...")


def parse_rate(text: str) -> int:
    """Packets per second from ``500pps``, ``20kpps`` or ``1.5Mpps``; ValueError otherwise."""
    found = _RATE.fullmatch(text) if len(text) <= 20 else None
    value = _scaled(found[1], _PACKETS[found[2]]) if found else 0
    if not value:
        raise ValueError(
            f"{shown(text)} is no packet rate, expected one such as 1Mpps, 20kpps or 500pps"
        )
    return value


def format_rate(rate: int) -> str:
    """The inverse of parse_rate, in the largest unit that leaves a whole number."""
    unit = next(unit for unit in ("G", "M", "k", "") if rate % _PACKETS[unit] == 0)
    return f"{rate // _PACKETS[unit]}{unit}pps"


def parse_speed(text: str) -> int:
    """Megabits per second from ``100M``, ``1G`` or ``2.5G``; ValueError otherwise."""
    found = _SPEED.fullmatch(text) if len(text) <= 20 else None
    value = _scaled(found[1], _MEGABITS[found[2]]) if found else 0
    if not value:
        raise ValueError(f"{shown(text)} is no link speed, expected one such as 100M, 1G or 2.5G")
    return value


def format_speed(speed: int) -> str:
    """The inverse of parse_speed."""
    return f"{speed // 1_000}G" if speed % 1_000 == 0 else f"{speed}M"


def parse_delay(text: str) -> int:
    """Nanoseconds from ``300ns``, ``2.5us``, ``40ms`` or ``1s``; ValueError otherwise."""
    found = _DELAY.fullmatch(text) if len(text) <= 20 else None
    value = _scaled(found[1], _NANOSECONDS[found[2]]) if found else 0
    if not value:
        raise ValueError(f"{shown(text)} is no delay, expected one such as 300ns, 2.5us or 40ms")
    return value


def format_delay(delay: int) -> str:
    """The inverse of parse_delay, in the largest unit that leaves a whole number."""
    unit = next(unit for unit in ("s", "ms", "us", "ns") if delay % _NANOSECONDS[unit] == 0)
    return f"{delay // _NANOSECONDS[unit]}{unit}"


def _scaled(number: str, unit: int) -> int:
    """``number`` (decimal digits, maybe a point) times ``unit``; 0 where that is not whole."""
    whole, _, rest = number.partition(".")
    value, left = divmod(int(whole + rest) * unit, 10 ** len(rest))
    return 0 if left else value


class _Text:
    """Marks a str that must match a pattern, and says in words what was expected.

    Where ``hidden``, a message does not repeat the value: somebody may have put a secret there.
    """

    def __init__(self, pattern: str, longest: int, expected: str, *, hidden: bool = False) -> None:
        self._pattern = re.compile(pattern, re.ASCII)
        self._longest = longest
        self._expected = expected
        self._hidden = hidden

    def _check(self, value: str) -> str:
        it = "this" if self._hidden else shown(value)
        if len(value) > self._longest:
            raise refused(f"{it} has {len(value)} characters", f"{self._longest} at most")
        if not self._pattern.fullmatch(value):
            raise refused(f"{it} is malformed", self._expected)
        return value

    def __get_pydantic_core_schema__(
        self, source: type[str], handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        pattern = f"^(?:{self._pattern.pattern})$"
        return {**handler(schema), "pattern": pattern, "maxLength": self._longest}


def _mac(value: object) -> MacAddr:
    expected = "six hex pairs with colons, in quotes, such as '02:00:00:00:00:01'"
    if isinstance(value, MacAddr):
        mac = value
    elif isinstance(value, str):
        try:
            mac = MacAddr(value)
        except WireError:
            raise refused(f"{shown(value)} is no MAC address", expected) from None
    else:
        raise refused("this is no MAC address", expected)
    if mac.is_group:
        raise refused(f"'{mac}' is a group address", "the NIC's own, whose first byte is even")
    return mac


def _network(value: object) -> IPv4Network:
    if isinstance(value, IPv4Network):
        return value
    expected = "an IPv4 address and its prefix length, such as 192.0.2.0/24"
    if not isinstance(value, str):
        raise refused("this is no network", expected)
    try:
        network = IPv4Network(value, strict=False)
    except (AddressValueError, NetmaskValueError):
        raise refused(f"{shown(value)} is no IPv4 network", expected) from None
    try:
        return IPv4Network(value)
    except ValueError:
        raise refused(f"'{value}' has host bits set", f"{network}") from None


def _address(value: str) -> str:
    expected = "an address such as 192.0.2.10, or a host name"
    if "@" in value:
        raise refused("a host with a login", f"{expected}; user and password have their own keys")
    if ":" in value:
        try:
            IPv6Address(value)
        except AddressValueError:
            raise refused(
                f"{shown(value)} is no IPv6 address", f"{expected} (a port has its own key)"
            ) from None
    elif re.fullmatch(r"[0-9.]+", value, re.ASCII):
        try:
            IPv4Address(value)
        except AddressValueError:
            raise refused(f"{shown(value)} is no IPv4 address", expected) from None
    elif len(value) > 253 or not all(map(_LABEL.fullmatch, value.removesuffix(".").split("."))):
        raise refused(f"{shown(value)} is no host name", expected)
    return value


def _path(value: object) -> Path:
    fit = isinstance(value, str | Path) and str(value) and str(value).isprintable()
    if not isinstance(value, str | Path) or not fit:
        raise refused("this is no path", "the path of a file, in quotes where it looks like more")
    return Path(value)


def _read_by(parse: Callable[[str], int]) -> Callable[[object], object]:
    """Text taken by ``parse``, whose ValueError is the fault; numbers as they are."""

    def read(value: object) -> object:
        try:
            return parse(value) if isinstance(value, str) else value
        except ValueError as error:
            raise PydanticCustomError("bench", "{text}", {"text": str(error)}) from None

    return read


Name = Annotated[
    str, _Text(_NAME, 64, "letters, digits, '_', '.', '-', not beginning with '.' or '-'")
]
"""A device, a NIC, a box, a relay: the name by which plans and messages call it."""

PortName = Annotated[
    str, _Text(_PORT, 64, "the port as the device prints it, such as Gi0/1 or 'Ethernet 1/1'")
]

Interface = Annotated[
    str, _Text(r"(?!\.{1,2}$)[^\s/:]+", 15, "a network interface of Linux, such as enp3s0f0")
]
"""What the kernel takes for a name: dev_valid_name() and IFNAMSIZ in net/core/dev.c."""

Netns = Annotated[
    str, _Text(r"[A-Za-z0-9_./-]+", 256, "a path such as /proc/123/ns/net, or a name in /run/netns")
]

User = Annotated[str, _Text(r"[^\s:]+", 64, "a login name without white space or ':'")]

Fingerprint = Annotated[
    str,
    _Text(
        r"SHA256:[A-Za-z0-9+/]{43}",
        50,
        "'SHA256:' and 43 characters, as `ssh-keyscan HOST | ssh-keygen -lf -` prints them",
    ),
]

SerialPath = Annotated[
    str,
    _Text(
        r"/\S+|COM[0-9]+|[a-z0-9]+://[^\s@]+",
        256,
        "a device such as /dev/ttyUSB0, or a URL without login such as socket://192.0.2.1:7001",
        hidden=True,
    ),
]

EnvName = Annotated[
    str,
    _Text(r"[A-Za-z_][A-Za-z0-9_]*", 128, "the name of an environment variable", hidden=True),
]

KeyringEntry = Annotated[
    str,
    _Text(r"[^\s/][^/]*/[^/]*[^\s/]", 256, "an entry of the keyring as service/user", hidden=True),
]

FilePath = Annotated[
    Path, BeforeValidator(_path), WithJsonSchema({"type": "string", "minLength": 1})
]

Tolerance = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]

Stated = Annotated[float, Field(strict=True, ge=0, allow_inf_nan=False)]
"""A figure of a data sheet."""

Address = Annotated[
    str,
    AfterValidator(_address),
]
"""An IPv4 or IPv6 address, or a host name (RFC 1123)."""

Mac = Annotated[
    MacAddr,
    PlainValidator(_mac),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}$"}),
]

Network = Annotated[
    IPv4Network,
    BeforeValidator(_network),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9.]+/[0-9]{1,2}$"}),
]

Rate = Annotated[
    int,
    Field(strict=True, ge=1),
    BeforeValidator(_read_by(parse_rate)),
    PlainSerializer(format_rate, return_type=str),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": f"^(?:{_RATE.pattern})$"},
                {"type": "integer", "minimum": 1},
            ]
        }
    ),
]
"""Packets per second."""

Speed = Annotated[
    int,
    Field(strict=True, ge=1),
    BeforeValidator(_read_by(parse_speed)),
    PlainSerializer(format_speed, return_type=str),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": f"^(?:{_SPEED.pattern})$"},
                {"type": "integer", "minimum": 1},
            ]
        }
    ),
]
"""Megabits per second."""

Delay = Annotated[
    int,
    Field(strict=True, ge=1, le=_NANOSECONDS["s"] * 10),
    BeforeValidator(_read_by(parse_delay)),
    PlainSerializer(format_delay, return_type=str),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": f"^(?:{_DELAY.pattern})$"},
                {"type": "integer", "minimum": 1},
            ]
        }
    ),
]
"""Nanoseconds."""

Share = Annotated[float, Field(strict=True, ge=0, le=1, allow_inf_nan=False)]
"""A part of a whole, from 0 to 1."""
