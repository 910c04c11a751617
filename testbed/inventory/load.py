"""Loads a bench file, or says everything that is wrong with it, each fault at its place.

A file goes through four readings, of which the first that cannot go on ends all: bytes to text
(``source``), text to plain data with places (``tree``), plain data to a Bench (``model``), and what
must agree between two places (``rules``). The last two both run, whatever either finds.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from testbed.errors import InventoryError
from testbed.inventory import rules
from testbed.inventory.explain import MOST, explain, is_secret, value_at
from testbed.inventory.files import locate
from testbed.inventory.model import Bench
from testbed.inventory.source import read_text
from testbed.inventory.tree import BROKEN, Fault, Tree, Where, compose

__all__ = ["Loaded", "load"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A bench, the file it came from, and what in it is worth a word but no error.

    ``warnings`` have the form of InventoryError's problems.
    """

    bench: Bench
    warnings: tuple[str, ...]
    path: Path


def load(path: str | Path, *, platforms: frozenset[str] | None = None) -> Loaded:
    """The bench described by the file at ``path``.

    ``platforms`` are those that have a driver; a device of another is refused. None: any passes.
    Paths in the bench are absolute: ``~`` is expanded, and a relative path is looked for in the
    directory of the bench file, then in the current directory.

    Raises InventoryError with every fault that was found, in the order of the file.
    """
    path = Path(path)
    tree = compose(read_text(path))
    if tree.data is BROKEN:
        raise _error(path, tree, tree.faults)
    # The data becomes a bench, with paths made absolute; messages quote it as it is in the file.
    missing, absent = locate(tree.data, path.absolute().parent)
    bench, misfits = _validated(tree.data)
    unknown = [fault.path for fault in misfits if fault.on_key]
    traps = [fault for fault in tree.traps if not _may_be_secret(fault.path, unknown)]
    told = {fault.path for fault in traps if fault.mark is None}
    misfits = [fault for fault in misfits if not _told(fault, told, tree.data)]
    told |= {fault.path for fault in misfits}
    clashes = [
        fault for fault in rules.faults(tree.data, platforms) if not _told(fault, told, tree.data)
    ]
    faults = [*tree.faults, *traps, *misfits, *clashes, *missing]
    if bench is None or faults:
        raise _error(path, tree, faults)
    warnings = [*rules.unused_ports(tree.data), *absent]
    return Loaded(bench, _rendered(path, tree, warnings), path)


def _validated(data: Any) -> tuple[Bench | None, list[Fault]]:
    if data is None:
        return None, [Fault((), "the file is empty, expected a bench")]
    try:
        return Bench.model_validate(data), []
    except ValidationError as error:
        return None, explain(error, data)


def _may_be_secret(where: Where, unknown: list[Where]) -> bool:
    """A secret stands under ``password``, or under that word misspelt."""
    return is_secret(where) or any(where[: len(other)] == other for other in unknown)


def _told(fault: Fault, told: set[Where], data: Any) -> bool:
    """Whether what is wrong at this place has been told by an earlier reading."""
    return fault.path in told or value_at(data, fault.path) is BROKEN


def _error(path: Path, tree: Tree, faults: list[Fault]) -> InventoryError:
    return InventoryError(_rendered(path, tree, faults))


def _rendered(path: Path, tree: Tree, faults: list[Fault]) -> tuple[str, ...]:
    """``file:line:column: path: text`` for each, in the order of the file."""
    placed = sorted(
        (fault.mark or tree.mark(fault.path, on_key=fault.on_key), index, fault)
        for index, fault in enumerate(faults)
    )
    lines = []
    for mark, _, fault in placed[:MOST]:
        also = ""
        if fault.other is not None:
            there = tree.mark(fault.other, on_key=fault.on_key)
            also = f" (the other is {_label(fault.other)} at {there.line}:{there.column})"
        lines.append(f"{path}:{mark.line}:{mark.column}: {_label(fault.path)}: {fault.text}{also}")
    if len(placed) > MOST:
        mark = placed[MOST][0]
        lines.append(f"{path}:{mark.line}:{mark.column}: (file): there are faults beyond these")
    return tuple(lines)


def _label(where: Where) -> str:
    """``where`` as people write it: ``devices.sw1.ports[2]``."""
    if is_secret(where):
        # What stands behind might be the secret itself, written as a key.
        end = where.index("password") + 1
        where = where[: end + 1] if where[end:] and where[end] in _PLACES else where[:end]
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in where)
    return text.removeprefix(".") or "(file)"


_PLACES = ("env", "file", "keyring")
