"""Parts of a stack that can be swapped for wrong ones: how a good stack is made bad on purpose.

Good code knows nothing of defects. It makes its parts by ``variants.of(Part)(...)``, and a defect
is a small subclass, or a mixin, that is put in front of the part. So every method of a part is a
place where a defect can sit, and reading the good code one sees none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar, cast

__all__ = ["Defect", "Variants"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Defect:
    """One fault that real stacks have had: ``behaviour`` is the catalogue's row that it breaks.

    ``story`` is one sentence on the fault in the field that it stands for. ``mixins`` are put in
    front of the parts that they alter.
    """

    name: str
    behaviour: str
    story: str
    mixins: Mapping[type, type] = field(hash=False)

    def __str__(self) -> str:
        return f"{self.behaviour}: {self.name}"


class Variants:
    """Which class to use for each part of a stack: its own, unless a defect alters it."""

    def __init__(self, defects: Iterable[Defect] = ()) -> None:
        self._mixins: dict[type, list[type]] = {}
        self._made: dict[type, type] = {}
        for defect in defects:
            for part, mixin in defect.mixins.items():
                self._mixins.setdefault(part, []).append(mixin)

    def of(self, part: type[T]) -> type[T]:
        """``part``, or the class that has its defects in front of it; the same one each time."""
        if part not in self._mixins:
            return part
        if part not in self._made:
            bases = (*reversed(self._mixins[part]), part)
            self._made[part] = type(part.__name__, bases, {"__slots__": ()})
        return cast("type[T]", self._made[part])
