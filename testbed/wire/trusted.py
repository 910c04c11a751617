"""Making frozen values fast, where their fields are known to be legal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, make_dataclass
from typing import ParamSpec, TypeVar, cast

__all__ = ["trusted"]

P = ParamSpec("P")
T = TypeVar("T")


def trusted(cls: Callable[P, T]) -> Callable[P, T]:
    """A constructor of ``cls``, a frozen slots dataclass, that skips its checks and its defaults.

    For parsers alone: a field cut out of a header cannot be wider than its place there. A frozen
    dataclass pays ``object.__setattr__`` for each of its fields; here the fields are set on a plain
    value of the same layout, which is then handed out as ``cls``. That is six times as fast.
    """
    names = [field.name for field in fields(cls)]  # type: ignore[arg-type]
    draft = make_dataclass(f"{cls.__name__}Draft", names, slots=True)
    # Written out field by field, as dataclasses writes its own __init__: a call with *args and a
    # second one to an __init__ would cost half as much again.
    lines = [f"def make({', '.join(names)}):", "    _made = _new(_draft)"]
    lines += [f"    _made.{name} = {name}" for name in names]
    lines += ["    _made.__class__ = _cls", "    return _made"]
    scope: dict[str, object] = {"_new": object.__new__, "_draft": draft, "_cls": cls}
    exec("\n".join(lines), scope)  # noqa: S102 - the text is ours, made of the names of fields
    return cast("Callable[P, T]", scope["make"])
