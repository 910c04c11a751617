"""Writes a bench as a bench file."""

from __future__ import annotations

import io
import re
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from testbed.inventory.model import Bench
from testbed.inventory.scalars import resolve, trap

__all__ = ["dump"]

_PLAIN = re.compile(r"[A-Za-z0-9/_][A-Za-z0-9/_.+-]*(?::[A-Za-z0-9/_.+-]+)*", re.ASCII)
"""Text that no YAML parser takes for anything but text, traps excepted."""


def dump(bench: Bench) -> str:
    """The YAML text of ``bench``; a file of it, loaded, gives a bench equal to this one.

    Whatever has its default is left out. Paths are written as they are: a bench that was loaded
    has absolute ones, so its text may be put anywhere.
    """
    yaml = YAML(pure=True)
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.width = 4096  # folding would cut paths in two
    data = bench.model_dump(mode="json", exclude_defaults=True)
    if "cables" in data:
        data["cables"] = [
            cable["ends"] if cable.keys() == {"ends"} else cable for cable in data["cables"]
        ]
    out = io.StringIO()
    yaml.dump(_written(data), out)
    return out.getvalue()


def _written(value: Any) -> Any:
    """``value`` with quotes where text needs them, and what is short on one line."""
    if isinstance(value, dict):
        mapping = CommentedMap({_written(key): _written(item) for key, item in value.items()})
        if len(value) <= 4 and not any(isinstance(item, dict) for item in value.values()):
            mapping.fa.set_flow_style()
        return mapping
    if isinstance(value, list):
        items = CommentedSeq(map(_written, value))
        if not any(isinstance(item, dict | list) for item in value):
            items.fa.set_flow_style()
        return items
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and resolve(value) == value and not trap(value)
        return value if plain else DoubleQuotedScalarString(value)
    return value
