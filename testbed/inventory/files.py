"""The files that a bench file names: found, made absolute, and missed when they are not there.

``~`` is expanded. A relative path is looked for in the directory of the bench file first, then in
the current directory; where it is in neither, it counts as missing from the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from testbed.inventory.explain import value_at
from testbed.inventory.tree import Fault, Where

__all__ = ["locate"]


def locate(data: Any, directory: Path) -> tuple[list[Fault], list[Fault]]:
    """Make every path in ``data`` absolute, in place; returns the faults, and what to warn of.

    A baseline that is missing is a fault. A key or a secret that is missing is not: the file may
    be checked on another machine than the one that runs the plans.
    """
    faults: list[Fault] = []
    warnings: list[Fault] = []
    for where, holder, key in _paths(data):
        try:
            found = _found(holder[key], directory)
            there = found.is_file()
        except (OSError, RuntimeError):
            # A name too long for the file system; ~user where there is no such user.
            faults.append(Fault(where, "no path of this machine, expected the path of a file"))
            continue
        holder[key] = str(found)
        if there:
            continue
        if key == "baseline":
            text = f"there is no file {str(found)!r}, expected the baseline configuration"
            faults.append(Fault(where, text))
        else:
            # The path is not repeated: somebody may have written the secret in its place.
            text = "there is no such file on this machine, expected it where the plans run"
            warnings.append(Fault(where, text))
    return faults, warnings


def _paths(data: Any) -> Iterator[tuple[Where, dict[str, Any], str]]:
    """Every path in the file: where it stands, the mapping that holds it, and its key there."""
    for section in ("devices", "hosts"):
        for name in _mapping(_mapping(data).get(section)):
            here: Where = (section, name)
            for where in (
                (*here, "baseline"),
                (*here, "ssh", "key"),
                (*here, "ssh", "password", "file"),
                (*here, "console", "password", "file"),
            ):
                holder = _mapping(value_at(data, where[:-1]))
                key = str(where[-1])
                if isinstance(holder.get(key), str) and holder[key]:
                    yield where, holder, key


def _found(text: str, directory: Path) -> Path:
    path = Path(text).expanduser()
    if path.is_absolute():
        return path
    places = (directory / path, Path.cwd() / path)
    return next((place for place in places if place.exists()), places[0]).resolve()


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
