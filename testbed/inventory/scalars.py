"""What an unquoted word in a bench file means: YAML 1.2, and never what YAML 1.1 made of it."""

from __future__ import annotations

import re
from collections.abc import Callable

from testbed.inventory.values import shown

__all__ = ["resolve", "trap"]

_LONGEST = 32
"""Characters beyond which no number of a bench lies; int() would take its time over thousands."""

_Reading = tuple[re.Pattern[str], Callable[[str], object]]

# YAML 1.2.2, 10.3.2 "Core schema: tag resolution", in its order.
_CORE: tuple[_Reading, ...] = (
    (re.compile(r"null|Null|NULL|~|"), lambda _: None),
    (re.compile(r"true|True|TRUE"), lambda _: True),
    (re.compile(r"false|False|FALSE"), lambda _: False),
    (re.compile(r"[-+]?[0-9]+"), int),
    (re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+"), lambda text: int(text, 0)),
    (re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"), float),
    (re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"), lambda text: float(_undot(text))),
)

# What YAML 1.1 reads otherwise: yaml.org/type/{bool,int,float,timestamp}.html. Its one-letter
# booleans (y, n) are left out: hardly a parser ever took them, and they make good NIC names.
# A whole number to the base 60 begins with no zero, so 02:00:00:00:00:01 is safe as it stands.
_QUOTES = "expected quotes around it"
_PLAIN = "expected a plain decimal number, or quotes around a name"
_TRAPS = (
    (r"yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF", f"is a truth value in YAML 1.1, {_QUOTES}"),
    (r"[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+", f"is a base-60 number in YAML 1.1, {_QUOTES}"),
    (r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*", f"is a base-60 number in YAML 1.1, {_QUOTES}"),
    (r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}(?:[Tt \t].*)?", f"is a date in YAML 1.1, {_QUOTES}"),
    (r"[-+]?0[0-9_]+", f"is octal in YAML 1.1 and decimal in YAML 1.2, {_PLAIN}"),
    (r"0o[0-7]+", f"is a number in YAML 1.2 and text in YAML 1.1, {_PLAIN}"),
    (
        r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F]*_[0-9a-fA-F_]*|[0-9]+_[0-9_]*(?:\.[0-9_]*)?)",
        f"is a number in YAML 1.1 and text in YAML 1.2, {_PLAIN}",
    ),
    (rf"[-+]?[0-9.]{{{_LONGEST},}}", f"is a number too long to be one, {_QUOTES}"),
)
_TRAP_PATTERNS = tuple((re.compile(pattern), why) for pattern, why in _TRAPS)


def resolve(text: str) -> object:
    """The value of the plain scalar ``text``: None, a bool, an int, a float, or the text itself."""
    if len(text) > _LONGEST:
        return text
    for pattern, read in _CORE:
        if pattern.fullmatch(text):
            return read(text)
    return text


def trap(text: str) -> str | None:
    """Why the plain scalar ``text`` is refused: YAML 1.1 and 1.2 disagree on it; None if not."""
    for pattern, why in _TRAP_PATTERNS:
        if pattern.fullmatch(text):
            return f"{shown(text)} without quotes {why}"
    return None


def _undot(text: str) -> str:
    return text.replace(".", "", 1)
