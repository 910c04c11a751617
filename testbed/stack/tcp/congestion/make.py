"""Congestion control by name."""

from __future__ import annotations

from testbed.errors import PlanError
from testbed.stack.tcp.congestion.base import CongestionControl
from testbed.stack.tcp.congestion.cubic import Cubic
from testbed.stack.tcp.congestion.newreno import NewReno
from testbed.stack.tcp.congestion.reno import Reno
from testbed.stack.tcp.congestion.window import Window
from testbed.stack.tcp_config import TcpConfig
from testbed.stack.variants import Variants

__all__ = ["make"]

_ALGORITHMS: dict[str, type[Window]] = {kind.name: kind for kind in (Reno, NewReno, Cubic)}


def make(
    name: str, config: TcpConfig, smss: int, variants: Variants | None = None
) -> CongestionControl:
    """The algorithm of that name: ``reno``, ``newreno`` or ``cubic``; else PlanError."""
    kind = _ALGORITHMS.get(name)
    if kind is None:
        known = ", ".join(sorted(_ALGORITHMS))
        raise PlanError(f"no congestion control is called {name!r}; there are: {known}")
    return (variants.of(kind) if variants else kind)(config, smss)
