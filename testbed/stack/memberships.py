"""Who of a stack is a member of which group on which interface (RFC 1112 7.1)."""

from __future__ import annotations

from ipaddress import IPv4Address

from testbed.stack.core import Core
from testbed.stack.egress import Egress
from testbed.timing import Instant

__all__ = ["Memberships"]


class Memberships:
    """Counts members: the first one joins a group on the wire, the last one leaves it."""

    __slots__ = ("_core", "_egress")

    def __init__(self, core: Core, egress: Egress) -> None:
        self._core = core
        self._egress = egress

    def join(self, group: IPv4Address, interface: str, now: Instant) -> None:
        """One more member of ``group`` on ``interface``."""
        groups = self._egress.interfaces[interface].groups
        groups[group] = groups.get(group, 0) + 1

    def leave(self, group: IPv4Address, interface: str, now: Instant) -> None:
        """One less."""
        groups = self._egress.interfaces[interface].groups
        left = groups.get(group, 0) - 1
        if left > 0:
            groups[group] = left
        else:
            groups.pop(group, None)
