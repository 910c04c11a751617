"""Making a matcher of a layer from what a plan wants of its fields."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from testbed.capture.layers import Layer, LayerMatcher, Quoting
from testbed.capture.matcher import Matcher
from testbed.capture.wants import Want, want
from testbed.errors import PlanError

__all__ = ["Wanted", "layer_matcher"]

Wanted = tuple[tuple[str, Want], ...]


def layer_matcher(
    layer: Layer,
    fields: Mapping[str, object],
    unknown: Mapping[str, object],
    more: Wanted = (),
    *,
    named: tuple[str, ...] = (),
    quoting: Quoting | None = None,
) -> Matcher:
    """The matcher of ``layer``; PlanError for fields that it does not have.

    ``named`` are what else the function takes, for the hint at what a plan may have meant.
    """
    for field in unknown:
        known = (*fields, *named)
        near = difflib.get_close_matches(field, known, n=3, cutoff=0.5) or known
        raise PlanError(
            f"match.{layer.name} has no field {field!r}; did you mean {', '.join(near)}?"
        )
    wanted = tuple(
        (field, want(f"{layer.name}.{field}", layer.fields[field].kind, value))
        for field, value in fields.items()
        if value is not None
    )
    return LayerMatcher(layer, (*wanted, *more), quoting)
