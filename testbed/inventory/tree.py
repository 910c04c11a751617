"""From YAML text to plain data that remembers where each part stood.

The events of ruamel.yaml's scanner are composed here and not by ruamel.yaml, because a bench file
is a small part of YAML: one document, text for keys, no tags, no anchors, no aliases (which can
make ten lines expand to gigabytes), no merge keys. Whatever else comes is a fault at its place, and
composing goes on, so that all faults come to light at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from testbed.inventory.scalars import resolve, trap

__all__ = ["BROKEN", "Fault", "Mark", "Tree", "Where", "compose"]

Where = tuple[str | int, ...]
"""The way to a value: the keys and indexes that lead from the top of the file to it."""

BROKEN: Final = object()
"""Stands in the data for a value that could not be read; its fault is recorded."""

_DEEPEST = 16
"""Levels of nesting; a bench file has six. Bounds the recursion below."""

_TOO_DEEP = f"nested more than {_DEEPEST} deep, expected a bench"


class Mark(NamedTuple):
    """A place in the file: line and column, both counted from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Fault:
    """What is wrong, and what was expected, at a path.

    ``on_key`` puts it at the key and not at the value; ``mark`` at a place of its own; ``other``
    names a second place that has a part in it.
    """

    path: Where
    text: str
    on_key: bool = False
    mark: Mark | None = None
    other: Where | None = None


@dataclass(slots=True)
class Tree:
    """The data of a bench file, the place of every part, and the faults found on the way.

    ``traps`` are kept apart from ``faults``: they repeat what stands in the file, which must not
    happen where that may be a secret.
    """

    data: Any = None
    values: dict[Where, Mark] = field(default_factory=dict)
    keys: dict[Where, Mark] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    traps: list[Fault] = field(default_factory=list)

    def mark(self, path: Where, *, on_key: bool = False) -> Mark:
        """Where ``path`` stands; where it is not in the file, where its nearest parent does."""
        first, second = (self.keys, self.values) if on_key else (self.values, self.keys)
        while path:
            found = first.get(path) or second.get(path)
            if found:
                return found
            # What is missing from a mapping is best shown at the key that the mapping has.
            path, first, second = path[:-1], self.keys, self.values
        return Mark(1, 1)


class _Stopped(Exception):  # noqa: N818 - ends composing, never leaves this module
    def __init__(self, mark: Mark, text: str, path: Where = ()) -> None:
        super().__init__(text)
        self.mark = mark
        self.path = path


def compose(text: str) -> Tree:
    """The tree of ``text``; faults of syntax are among its faults, its data then BROKEN."""
    tree = Tree(data=BROKEN)
    try:
        _Composer(tree, _events(text)).document()
    except _Stopped as stopped:
        tree.data = BROKEN
        tree.faults.append(Fault(stopped.path, str(stopped), mark=stopped.mark))
    return tree


def _events(text: str) -> Iterator[Event]:
    """The events of the text; every way in which ruamel.yaml gives up becomes _Stopped."""
    yaml = YAML(typ="safe", pure=True)
    last = Mark(1, 1)
    try:
        for event in yaml.parse(text):
            last = _mark(event.start_mark)
            yield event
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise _Stopped(_mark(mark) if mark else last, _syntax(error)) from None
    except (YAMLError, ValueError, OverflowError):
        # The last two come from escapes that name no character ("\UFFFFFFFF"), without a place.
        raise _Stopped(
            last, "behind this place is no YAML, expected valid escapes and printable text"
        ) from None


def _mark(mark: Any) -> Mark:
    return Mark(mark.line + 1, mark.column + 1)


def _syntax(error: MarkedYAMLError) -> str:
    problem = error.problem or "unreadable"
    if "'\\t'" in problem:
        return "a tab, expected spaces: YAML indents with nothing else"
    if "tag handle" in problem:
        return "a tag, expected none: a bench file is plain data"
    if "mapping values are not allowed" in problem:
        return (
            "no YAML: a ':' where none can be, expected 'key: value' with the indent of the line "
            "above, and quotes around text that holds ': '"
        )
    return f"no YAML: {problem}, expected YAML 1.2" + (
        f" ({error.context})" if error.context else ""
    )


class _Composer:
    """Turns events into the data of a tree, one document of them."""

    def __init__(self, tree: Tree, events: Iterator[Event]) -> None:
        self._tree = tree
        self._events = events

    def document(self) -> None:
        next(self._events)  # the start of the stream
        start = next(self._events)
        if not isinstance(start, DocumentStartEvent):
            raise _Stopped(Mark(1, 1), "the file is empty, expected a bench")
        if start.version or start.tags:
            raise _Stopped(
                Mark(1, 1), "a % directive, expected none: a bench file is YAML 1.2 without tags"
            )
        self._tree.data = self._node(next(self._events), ())
        next(self._events)  # the end of the document
        behind = next(self._events)
        if isinstance(behind, DocumentStartEvent):
            raise _Stopped(
                _mark(behind.start_mark), "a second document, expected one bench in one file"
            )

    def _node(self, event: Event, path: Where) -> Any:
        mark = _mark(event.start_mark)
        self._tree.values[path] = mark
        if len(path) > _DEEPEST:
            raise _Stopped(mark, _TOO_DEEP, path[:4])
        if isinstance(event, AliasEvent):
            self._fault(
                path, "an alias (*), expected the value itself: a bench file has no aliases"
            )
            return BROKEN
        if isinstance(event, NodeEvent) and event.anchor:
            self._fault(path, "an anchor (&), expected none: a bench file has no aliases")
        if getattr(event, "tag", None):
            self._fault(path, "a tag (!), expected none: a bench file is plain data")
        if isinstance(event, ScalarEvent):
            return self._scalar(event, path)
        if isinstance(event, SequenceStartEvent):
            return self._sequence(path)
        return self._mapping(path)

    def _scalar(self, event: ScalarEvent, path: Where) -> object:
        text: str = event.value
        if not text.isprintable():
            self._fault(path, "text with characters that do not print, expected none of them")
            return BROKEN
        if event.style is not None:
            return text
        why = trap(text)
        if why:
            self._tree.traps.append(Fault(path, why))
        return resolve(text)

    def _sequence(self, path: Where) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := next(self._events), SequenceEndEvent):
            items.append(self._node(event, (*path, len(items))))
        return items

    def _mapping(self, path: Where) -> dict[str, Any]:
        items: dict[str, Any] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            mark = _mark(event.start_mark)
            key = self._key(event, path)
            if key is None:
                self._skip(next(self._events))
            elif key in items:
                text = "this key is given twice, expected it once"
                there = (*path, key)
                self._tree.faults.append(Fault(there, text, True, mark, other=there))
                self._skip(next(self._events))
            else:
                self._tree.keys[(*path, key)] = mark
                items[key] = self._node(next(self._events), (*path, key))
        return items

    def _key(self, event: Event, path: Where) -> str | None:
        """The key that ``event`` begins, or None where it is none; its fault is then recorded."""
        mark = _mark(event.start_mark)
        if not isinstance(event, ScalarEvent):
            self._tree.faults.append(
                Fault(path, "a key that is no text, expected a name", mark=mark)
            )
            self._skip(event)
            return None
        why = None
        if event.anchor or event.tag:
            why = "an anchor or a tag on a key, expected neither"
        elif not event.value.isprintable() or len(event.value) > 256:
            why = "a key that does not print or has over 256 characters, expected a name"
        elif event.style is None and event.value == "<<":
            why = "a merge key (<<), expected every key written out"
        elif event.style is None and not isinstance(resolve(event.value), str):
            why = "a key that is a number, a truth value or nothing, expected quotes around a name"
        elif event.style is None and (caught := trap(event.value)):
            self._tree.traps.append(Fault((*path, event.value), caught, mark=mark))
        if why:
            self._tree.faults.append(Fault(path, why, mark=mark))
            return None
        return str(event.value)

    def _skip(self, event: Event) -> None:
        """Read to the end of the node that ``event`` begins, and forget it."""
        depth = 0
        while True:
            if isinstance(event, SequenceStartEvent | MappingStartEvent):
                depth += 1
            elif isinstance(event, SequenceEndEvent | MappingEndEvent):
                depth -= 1
            if not depth:
                return
            if depth > _DEEPEST:
                raise _Stopped(_mark(event.start_mark), _TOO_DEEP)
            event = next(self._events)

    def _fault(self, path: Where, text: str) -> None:
        self._tree.faults.append(Fault(path, text))
