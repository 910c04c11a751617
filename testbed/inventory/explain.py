"""What pydantic found, in the words of a bench file: what is wrong, what was expected, where."""

from __future__ import annotations

from difflib import get_close_matches
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from testbed.inventory.model import Bench
from testbed.inventory.tree import Fault, Where
from testbed.inventory.values import shown

__all__ = ["MOST", "explain", "is_secret", "nearest", "value_at"]

MOST = 200
"""Faults that are put into words, and names looked through for the one that was meant: nobody reads
more, and a hostile file must not buy minutes of looking."""


def explain(error: ValidationError, data: Any) -> list[Fault]:
    """The faults of ``data``, which is the file as plain data."""
    details = error.errors(include_url=False, include_context=True, include_input=False)
    return [_explained(detail, data) for detail in details[:MOST]]


def is_secret(where: Where) -> bool:
    """Whether a secret may stand at ``where``, so that no message may repeat what does."""
    return "password" in where


def nearest(name: str, among: list[str]) -> str:
    """``, did you mean 'port'?`` with the name nearest to ``name``; nothing where none is near."""
    found = get_close_matches(name[:64], among[:MOST], n=1)
    return f", did you mean {found[0]!r}?" if found else ""


def _explained(detail: ErrorDetails, data: Any) -> Fault:
    kind = detail["type"]
    location = detail["loc"]
    on_key = location[-1:] == ("[key]",)
    where = _in_file(location[:-1] if on_key else location, data)
    context = detail.get("ctx", {})
    if kind == "bench":
        return Fault(where, detail["msg"], on_key=on_key)
    if kind == "extra_forbidden":
        return Fault(where, _unknown_key(location, secret=is_secret(where)), on_key=True)
    if kind == "missing":
        return Fault(where, _missing(location))
    value = None if is_secret(where) else value_at(data, where)
    it = "this" if is_secret(where) else _described(value)
    text = _wrong(kind, it, value, context)
    return Fault(where, text or f"{it} is not fit ({detail['msg']}), expected {_a(location)}")


def _wrong(kind: str, it: str, value: object, context: dict[str, Any]) -> str | None:
    """What is wrong with a value of the wrong type or size."""
    quote = isinstance(value, int | float) or value is None
    text = "text in quotes" if quote else "text"
    return {
        "string_type": f"{it} is no text, expected {text}"
        + (f": {_quoted(value)}" if quote else ""),
        "int_type": f"{it} is no whole number, expected one without quotes",
        "int_from_float": f"{it} is no whole number, expected one",
        "float_type": f"{it} is no number, expected one without quotes",
        "finite_number": f"{it} is not finite, expected a number",
        "greater_than_equal": f"{it} is too small, expected {context.get('ge', 0):g} at least",
        "less_than_equal": f"{it} is too large, expected {context.get('le', 0):g} at most",
        "literal_error": f"{it} is not known, expected {context.get('expected')}",
        "tuple_type": f"{it} is no list, expected one such as [x, y]",
        "dict_type": f"{it} is no mapping, expected names and what belongs to each",
        "model_type": f"{it} is no mapping, expected keys and values",
        "too_short": f"too few entries, expected {context.get('min_length')} at least",
        "too_long": f"too many entries, expected {context.get('max_length')}",
    }.get(kind)


def _unknown_key(location: tuple[int | str, ...], *, secret: bool) -> str:
    known = list(_model_at(location[:-1]).model_fields)
    if secret:
        return f"an unknown key, expected {' or '.join(known)}"
    key = str(location[-1])
    return f"unknown key {shown(key)}{nearest(key, known) or ','} expected {_listed(known)}"


def _missing(location: tuple[int | str, ...]) -> str:
    key = location[-1]
    if isinstance(key, int):
        return f"the {'second' if key else 'first'} one is missing, expected two"
    field = _model_at(location[:-1]).model_fields[key]
    about = (field.description or "").split(". ")[0].removesuffix(".")
    return f"missing, expected {about[:1].lower()}{about[1:]}"


def _model_at(location: tuple[int | str, ...]) -> type[BaseModel]:
    """The model whose keys stand at ``location``."""
    kind: Any = Bench
    for step in location:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            kind = kind.model_fields[str(step)].annotation
        else:
            # A mapping's values, a list's items.
            kind = get_args(kind)[1 if get_origin(kind) is dict else 0]
        kind = _bare(kind)
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else Bench


def _bare(kind: Any) -> Any:
    """``kind`` without ``Annotated`` and ``| None``."""
    while hasattr(kind, "__metadata__") or get_origin(kind) in (Union, UnionType):
        kind = get_args(kind)[0]
    return kind


def _in_file(location: tuple[int | str, ...], data: Any) -> Where:
    """``location`` as the file has it: a cable may be a bare pair, which has no key ``ends``."""
    bare = location[:1] == ("cables",) and isinstance(value_at(data, location[:2]), list)
    if bare and location[2:3] == ("ends",):
        location = (*location[:2], *location[3:])
    if location[:1] == ("cables",) and location[-1] in ("node", "port"):
        # One end is one text in the file.
        return location[:-1]
    return location


def value_at(data: Any, where: Where) -> object:
    """What ``data`` holds at ``where``; None where it holds nothing."""
    for step in where:
        try:
            data = data[step]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _described(value: object) -> str:
    if isinstance(value, list):
        return "a list"
    if isinstance(value, dict):
        return "a mapping"
    if value is None:
        return "nothing"
    return shown(value) if isinstance(value, str) else _plain(value)


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _quoted(value: object) -> str:
    return '""' if value is None else f'"{_plain(value)}"'


def _listed(names: list[str]) -> str:
    return ", ".join(names[:-1]) + f" or {names[-1]}" if len(names) > 1 else names[0]


def _a(location: tuple[int | str, ...]) -> str:
    return f"a value for {location[-1]!r}"
