"""Reading what devices print, so that nonsense ends in a DeviceError that says where."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter, ValidationError

from testbed.errors import DeviceError, WireError
from testbed.wire.addresses import MacAddr

__all__ = ["Mac", "Row", "fields", "mac", "number", "read_json", "rows"]

T = TypeVar("T")


def mac(text: str) -> MacAddr:
    """The MAC address ``text``; DeviceError where it is none."""
    try:
        return MacAddr(text)
    except WireError as error:
        raise DeviceError(str(error)) from None


def number(text: str) -> int:
    """The decimal number ``text``; DeviceError where it is none."""
    if not re.fullmatch(r"-?[0-9]{1,20}", text, re.ASCII):
        raise DeviceError(f"{text!r} is no number")
    return int(text)


def _mac_of_json(value: Any) -> MacAddr:
    if not isinstance(value, str):
        raise ValueError("expected a MAC address as text")  # noqa: TRY004 - pydantic's way
    return MacAddr(value)


Mac = Annotated[MacAddr, BeforeValidator(_mac_of_json)]
"""A MAC address as a field of a Row."""


class Row(BaseModel):
    """An object of a device's JSON answer: fields that are not asked for are passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore", arbitrary_types_allowed=True)


def read_json(text: str, adapter: TypeAdapter[T]) -> T:
    """``text`` as the type of ``adapter``; DeviceError names the place of the first fault."""
    try:
        return adapter.validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = "".join(
            f"[{step}]" if isinstance(step, int) else f".{step}" for step in first["loc"]
        )
        raise DeviceError(f"${place}: {first['msg']}") from None


def rows(text: str, pattern: re.Pattern[str]) -> Iterator[re.Match[str]]:
    """Each line of ``text`` matched whole against ``pattern``; empty lines are passed over."""
    for count, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        match = pattern.fullmatch(line)
        if match is None:
            raise DeviceError(f"line {count}: {line!r} is not of the form expected")
        yield match


def fields(text: str, convert: Callable[[str], T], separator: str = ",") -> tuple[T, ...]:
    """The parts of ``text`` between separators, each converted; empty text has none."""
    return tuple(convert(part) for part in text.split(separator)) if text else ()
