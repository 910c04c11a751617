"""Values that are made fast are as frozen, as checked and as equal as any other."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, field, replace

import pytest

from testbed.errors import WireError
from testbed.wire.trusted import quickly_made, trusted


@dataclass(frozen=True, slots=True)
class Plain:
    value: int
    name: str = "none"

    def __post_init__(self) -> None:
        if self.value < 0:
            raise WireError("below zero")
        object.__setattr__(self, "name", self.name.strip())


Quick = quickly_made(Plain)
make = trusted(Plain)


def test_the_checks_are_made_and_the_defaults_given():
    assert Quick(1) == Plain(value=1, name="none") == Quick(1, name=" none ")
    with pytest.raises(WireError):
        Quick(-1)
    with pytest.raises(TypeError, match="missing 1 required"):
        Quick()  # type: ignore[call-arg]


def test_what_was_made_is_of_the_class_and_frozen():
    for value in (Quick(1), make(1, "none"), replace(Quick(2), value=1)):
        assert type(value) is Plain
        assert value == Plain(1)
        assert hash(value) == hash(Plain(1))
        with pytest.raises((FrozenInstanceError, TypeError)):
            value.value = 2  # type: ignore[misc]


def test_a_field_may_have_the_name_of_anything():
    @quickly_made
    @dataclass(frozen=True, slots=True)
    class Odd:
        value: int
        self: int
        make: int = 3

        def __post_init__(self_) -> None:  # noqa: N805 - one of the fields is called self
            assert self_.self == 2

    assert repr(Odd(1, 2)).endswith("Odd(value=1, self=2, make=3)")


def test_a_trusted_value_is_not_checked():
    assert make(-1, " x ").name == " x "


def test_fields_with_factories_are_refused():
    @dataclass(frozen=True, slots=True)
    class Listed:
        values: list[int] = field(default_factory=list)

    with pytest.raises(TypeError, match=r"Listed\.values"):
        quickly_made(Listed)
