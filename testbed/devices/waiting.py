"""Waiting for a device to reach a state: each look is a real question to it, so nothing sleeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from testbed.devices.values import FdbEntry
from testbed.errors import ExpectationFailed
from testbed.timing import Clock, Duration, after, format_duration
from testbed.wire.addresses import MacAddr

__all__ = ["FdbWaits", "PortWaits", "wait_until"]

T = TypeVar("T")


def wait_until(
    look: Callable[[], T],
    holds: Callable[[T], bool],
    *,
    clock: Clock,
    within: Duration,
    summary: str,
    show: Callable[[T], str] = str,
) -> T:
    """Look until what is seen ``holds``, for ``within`` at most, and return it.

    One look is always taken. ExpectationFailed carries ``summary`` and the last thing seen.
    """
    deadline = after(clock.now(), within)
    while True:
        seen = look()
        if holds(seen):
            return seen
        if clock.now() >= deadline:
            raise ExpectationFailed(f"{summary} within {format_duration(within)}", show(seen))


class _Ported(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def clock(self) -> Clock: ...
    def port_is_up(self, port: str) -> bool: ...


class _Learning(_Ported, Protocol):
    def fdb(self) -> tuple[FdbEntry, ...]: ...


class PortWaits:
    """Waiting for the link of a port."""

    def wait_port_up(self: _Ported, port: str, *, within: Duration, up: bool = True) -> None:
        """Wait until the link of ``port`` is up (or down); ExpectationFailed when it is not."""
        wait_until(
            lambda: self.port_is_up(port),
            lambda seen: seen == up,
            clock=self.clock,
            within=within,
            summary=f"{self.name}: port {port} did not {'come up' if up else 'go down'}",
            show=lambda seen: f"link {'up' if seen else 'down'}",
        )


class FdbWaits(PortWaits):
    """Waiting for rows of a MAC table."""

    def wait_learned(
        self: _Learning, mac: MacAddr, *, on: str, within: Duration, vlan: int | None = None
    ) -> FdbEntry:
        """Wait until ``mac`` is in the MAC table, once, on port ``on``; return its row.

        ``vlan`` narrows the look to one VLAN. ExpectationFailed shows the table.
        """

        def rows(table: tuple[FdbEntry, ...]) -> list[FdbEntry]:
            return [row for row in table if row.mac == mac and vlan in (None, row.vlan)]

        table = wait_until(
            self.fdb,
            lambda table: bool(rows(table)) and all(row.port == on for row in rows(table)),
            clock=self.clock,
            within=within,
            summary=f"{self.name}: did not learn {mac} on {on}",
            show=_show_table,
        )
        return rows(table)[0]

    def wait_forgotten(
        self: _Learning, mac: MacAddr, *, within: Duration, vlan: int | None = None
    ) -> None:
        """Wait until ``mac`` is not in the MAC table; ExpectationFailed shows the table."""
        wait_until(
            self.fdb,
            lambda table: not any(row.mac == mac and vlan in (None, row.vlan) for row in table),
            clock=self.clock,
            within=within,
            summary=f"{self.name}: did not forget {mac}",
            show=_show_table,
        )


def _show_table(table: tuple[FdbEntry, ...]) -> str:
    if not table:
        return "the MAC table is empty"
    return "\n".join(
        f"{row.mac} on {row.port} vlan {row.vlan} "
        + ("static" if row.static else "" if row.age is None else f"age {format_duration(row.age)}")
        for row in table
    )
