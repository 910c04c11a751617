"""Making frozen values fast.

A frozen dataclass pays ``object.__setattr__`` for each of its fields. Here the fields are set while
the value is still a plain one of the same layout, which is then handed out as the frozen class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields, make_dataclass
from functools import cache
from typing import Any, ParamSpec, TypeVar, cast

__all__ = ["quickly_made", "trusted"]

P = ParamSpec("P")
T = TypeVar("T")


def quickly_made(cls: type[T]) -> type[T]:
    """The class, a frozen slots dataclass with a ``__post_init__``, with an ``__init__`` as fast.

    It does what the one of dataclasses does, checks included, in half the time. Defaults must be
    plain values: TypeError for a ``default_factory``.
    """
    defaults: dict[str, object] = {}
    parameters: list[str] = []
    names: list[str] = []
    for field in fields(cls):  # type: ignore[arg-type]
        if field.default_factory is not MISSING or not field.init:
            raise TypeError(f"{cls.__name__}.{field.name}: only plain fields can be made quickly")
        names.append(field.name)
        if field.default is MISSING:
            parameters.append(field.name)
        else:
            defaults[f"_default_{field.name}"] = field.default
            parameters.append(f"{field.name}=_default_{field.name}")
    made = _function(
        "__init__",
        ["_self", *parameters],
        ["_set(_self, '__class__', _draft)"]
        + [f"_self.{name} = {name}" for name in names]
        + ["_self.__class__ = _cls", "_self.__post_init__()"],
        {
            "_set": object.__setattr__,
            "_draft": _draft_of(cast("Any", cls)),
            "_cls": cls,
            **defaults,
        },
    )
    setattr(cls, "__init__", made)  # noqa: B010 - to assign it is an error to mypy, rightly
    return cls


def trusted(cls: Callable[P, T]) -> Callable[P, T]:
    """A constructor of ``cls``, a frozen slots dataclass, that skips its checks and its defaults.

    For parsers alone: a field cut out of a header cannot be wider than its place there. Six times
    as fast as the ``__init__`` of dataclasses.
    """
    names = [field.name for field in fields(cls)]  # type: ignore[arg-type]
    made = _function(
        "make",
        names,
        ["_made = _new(_draft)"]
        + [f"_made.{name} = {name}" for name in names]
        + ["_made.__class__ = _cls", "return _made"],
        {"_new": object.__new__, "_draft": _draft_of(cls), "_cls": cls},
    )
    return cast("Callable[P, T]", made)


@cache
def _draft_of(cls: Any) -> type[Any]:
    """A class of the same layout whose fields can be set."""
    names = [field.name for field in fields(cls)]
    return make_dataclass(f"{cls.__name__}Draft", names, slots=True)


def _function(
    name: str, parameters: Sequence[str], body: Sequence[str], scope: dict[str, object]
) -> object:
    """A function written out line by line, as dataclasses writes its own ``__init__``.

    Calls with ``*args`` and loops over fields would cost half as much again.
    """
    text = "\n".join([f"def {name}({', '.join(parameters)}):", *(f"    {line}" for line in body)])
    exec(text, scope)  # noqa: S102 - the text is ours, made of the names of fields
    return scope[name]
