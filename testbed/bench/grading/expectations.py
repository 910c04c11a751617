"""What a plan expects, read from its source: each place at which it could fail a device."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

__all__ = ["Expectation", "expectations_of"]

SHOWN = 100
"""Characters of an expectation's source that are told."""

VERBS = ("expect", "wait_")
"""How the calls begin that raise ExpectationFailed: of captures, hosts, devices, a plan's own."""

FAILED = "ExpectationFailed"


@dataclass(frozen=True, slots=True)
class Expectation:
    """A place that can fail a device: its lines in the plan's file, and its source in one line."""

    line: int
    end: int
    text: str


def expectations_of(path: Path, function: str) -> tuple[Expectation, ...]:
    """The expectations of the plan ``function`` in ``path``, its helpers' in that file included.

    They are the calls of ``expect...`` and ``wait_...``, assertions, and what raises
    ExpectationFailed. The call of a helper of that file counts where there are several, as each
    asks about something else; where there is one, the helper's own expectations say it all.
    """
    module = _module(path)
    found = [one for name in _used_by(module, function) for one in module.units[name].expectations]
    return tuple(sorted(set(found), key=lambda one: (one.line, one.end)))


@dataclass(frozen=True, slots=True)
class _Unit:
    """A function or class at the top of a module: what it expects, whom it names."""

    expectations: tuple[Expectation, ...]
    names: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Module:
    units: dict[str, _Unit]


def _used_by(module: _Module, function: str) -> Iterable[str]:
    """The units that ``function`` can reach, itself included."""
    reached: dict[str, None] = {}
    waiting = [function]
    while waiting:
        name = waiting.pop()
        if name in module.units and name not in reached:
            reached[name] = None
            waiting += module.units[name].names
    return reached


@cache
def _module(path: Path) -> _Module:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    tops = {
        node.name: node
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }
    calls = Counter(_called(node) for node in ast.walk(tree) if isinstance(node, ast.Call))
    once = {name for name in tops if calls[name] < 2}
    units = {name: _unit(node, once) for name, node in tops.items()}
    return _Module(units)


def _unit(node: ast.AST, opened: set[str]) -> _Unit:
    names = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    fixtures = {each.arg for each in ast.walk(node) if isinstance(each, ast.arg)}
    return _Unit(tuple(_expectations(node, opened)), frozenset(names | fixtures))


def _expectations(node: ast.AST, opened: set[str]) -> Iterator[Expectation]:
    for each in ast.walk(node):
        if isinstance(each, ast.Assert | ast.Raise | ast.Call) and _judges(each, opened):
            text = " ".join(ast.unparse(each).split())
            shown = text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."
            yield Expectation(each.lineno, each.end_lineno or each.lineno, shown)


def _judges(node: ast.Assert | ast.Raise | ast.Call, opened: set[str]) -> bool:
    if isinstance(node, ast.Raise):
        raised = node.exc
        if isinstance(raised, ast.Name) and raised.id.islower():
            return True  # made before, as by a helper that judges and does not raise
        return (_called(raised) if isinstance(raised, ast.Call) else _name(raised)) == FAILED
    if isinstance(node, ast.Call):
        name = _called(node)
        is_own = isinstance(node.func, ast.Name) and name in opened
        is_fail = ast.unparse(node.func) == "pytest.fail"
        return is_fail or (name.startswith(VERBS) and not is_own)
    return True


def _called(node: ast.Call) -> str:
    return _name(node.func)


def _name(node: ast.AST | None) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
