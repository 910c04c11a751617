"""Filters by fields: what a frame must hold at some places, without tcpdump."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address

from testbed.errors import PlanError
from testbed.link.recorder.classic import ACCEPT, Classic, Code, compile_expression
from testbed.wire.addresses import MacAddr

__all__ = ["FilterLike", "as_filter", "compile_fields"]

FieldValue = int | str | bytes | MacAddr | IPv4Address
FilterLike = str | Mapping[str, FieldValue] | Classic
"""An expression for tcpdump; values by the names of fields; or a program."""

_IPV4, _TCP, _UDP = (12, 2, 0x0800), (23, 1, 6), (23, 1, 17)
_FRAME = re.compile(r"frame\[(\d+):(\d+)\]")


@dataclass(frozen=True, slots=True)
class _Field:
    """Where a field is: ``behind`` the IPv4 header or from the frame's start on; if ``given``."""

    offset: int
    size: int
    given: tuple[tuple[int, int, int], ...] = ()
    behind: bool = False


_FIELDS = {
    "eth.dst": _Field(0, 6),
    "eth.src": _Field(6, 6),
    "eth.type": _Field(12, 2),
    "vlan.id": _Field(14, 2, ((12, 2, 0x8100),)),
    "ipv4.protocol": _Field(23, 1, (_IPV4,)),
    "ipv4.src": _Field(26, 4, (_IPV4,)),
    "ipv4.dst": _Field(30, 4, (_IPV4,)),
    "tcp.src_port": _Field(14, 2, (_IPV4, _TCP), behind=True),
    "tcp.dst_port": _Field(16, 2, (_IPV4, _TCP), behind=True),
    "udp.src_port": _Field(14, 2, (_IPV4, _UDP), behind=True),
    "udp.dst_port": _Field(16, 2, (_IPV4, _UDP), behind=True),
}
_FRAGMENT_OFFSET = 0x1FFF
_VLAN_ID = 0x0FFF
_LOAD = {1: 0x30, 2: 0x28, 4: 0x20}
_LOAD_BEHIND = {1: 0x50, 2: 0x48, 4: 0x40}
_AND, _EQUAL, _SET, _RETURN, _HEADER_LENGTH = 0x54, 0x15, 0x45, 0x06, 0xB1


def as_filter(wanted: FilterLike | None) -> Classic | None:
    """The program of what a plan gave as a filter; None for all frames."""
    if wanted is None or isinstance(wanted, Classic):
        return wanted
    return compile_expression(wanted) if isinstance(wanted, str) else compile_fields(wanted)


def compile_fields(wanted: Mapping[str, FieldValue]) -> Classic:
    """Frames in which every field has its value: ``{"udp.dst_port": 53, "frame[0:2]": b"ab"}``.

    Fields of IPv4 and above are those of untagged frames; ports are in the first fragment alone.
    PlanError for a field that is not known, or a value that it cannot have.
    """
    if not wanted:
        raise PlanError("a filter of no fields: say what frames must hold")
    checks: list[Code] = []  # jf of a check is not known before all are there
    seen: set[tuple[int, int, int]] = set()
    for name, value in wanted.items():
        field = _find(name)
        for offset, size, number in field.given:
            if (offset, size, number) not in seen:
                seen.add((offset, size, number))
                checks += [Code(_LOAD[size], k=offset), Code(_EQUAL, k=number)]
        if field.behind:
            # The flag of a jump that is taken where a frame is no first fragment.
            checks += [Code(_LOAD[2], k=20), Code(_SET, k=_FRAGMENT_OFFSET)]
            checks.append(Code(_HEADER_LENGTH, k=14))
        checks += _compare(name, field, _as_bytes(name, value, field.size))
    end = len(checks)
    codes = []
    for at, code in enumerate(checks):
        away = end - at  # over what is left and the accepting end
        if code.code == _EQUAL:
            codes.append(Code(code.code, 0, away, code.k))
        elif code.code == _SET:
            codes.append(Code(code.code, away, 0, code.k))
        else:
            codes.append(code)
    text = ", ".join(f"{name}={_shown(value)}" for name, value in wanted.items())
    return Classic((*codes, Code(_RETURN, k=ACCEPT), Code(_RETURN, k=0)), text)


def _find(name: str) -> _Field:
    if name in _FIELDS:
        return _FIELDS[name]
    slice_ = _FRAME.fullmatch(name)
    if slice_ and int(slice_[1]) < int(slice_[2]) <= 1 << 16:
        return _Field(int(slice_[1]), int(slice_[2]) - int(slice_[1]))
    raise PlanError(f"no filter knows {name!r}; it knows frame[from:to], {', '.join(_FIELDS)}")


def _compare(name: str, field: _Field, value: bytes) -> list[Code]:
    codes = []
    at = 0
    while at < len(value):
        size = next(size for size in (4, 2, 1) if size <= len(value) - at)
        load = (_LOAD_BEHIND if field.behind else _LOAD)[size]
        codes.append(Code(load, k=field.offset + at))
        if name == "vlan.id":
            codes.append(Code(_AND, k=_VLAN_ID))
        codes.append(Code(_EQUAL, k=int.from_bytes(value[at : at + size], "big")))
        at += size
    return codes


def _as_bytes(name: str, value: FieldValue, size: int) -> bytes:
    try:
        if isinstance(value, bytes):
            data = value
        elif isinstance(value, (MacAddr, IPv4Address)):
            data = value.packed
        elif isinstance(value, str):
            data = (MacAddr(value) if name.startswith("eth.") else IPv4Address(value)).packed
        else:
            data = value.to_bytes(size, "big")
    except (ValueError, OverflowError) as error:
        raise PlanError(f"a filter of {name}: {value!r} cannot be its value") from error
    if len(data) != size or (name == "vlan.id" and int.from_bytes(data, "big") > _VLAN_ID):
        raise PlanError(f"a filter of {name}: {value!r} cannot be its value of {size} bytes")
    return data


def _shown(value: FieldValue) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
