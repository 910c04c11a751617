"""The servers behind a balancer: which of them gets the next connection."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address

from testbed.timing import Duration, Instant, after

__all__ = ["Backend", "Health", "Scheduler"]


@dataclass(slots=True)
class Backend:
    """A server: its place, the flows that it has now and had in all, and since when it failed."""

    address: IPv4Address
    port: int
    flows: int = 0
    total: int = 0
    down_until: Instant | None = None


class Health:
    """Which servers are believed to work.

    One that refuses a connection, or does not answer, is left alone for a while; then the next
    connection tries it again.
    """

    __slots__ = ("_retry",)

    def __init__(self, retry: Duration) -> None:
        self._retry = retry

    def usable(self, backend: Backend, now: Instant) -> bool:
        """Whether a connection may be sent there."""
        return backend.down_until is None or now >= backend.down_until

    def failed(self, backend: Backend, now: Instant) -> None:
        """It took no connection."""
        backend.down_until = after(now, self._retry)

    def worked(self, backend: Backend) -> None:
        """It took one."""
        backend.down_until = None


class Scheduler:
    """Chooses among servers: the one with the fewest flows, or each in turn."""

    __slots__ = ("_last", "_round_robin")

    def __init__(self, method: str) -> None:
        self._round_robin = method == "round-robin"
        self._last = -1

    def choose(self, backends: tuple[Backend, ...], usable: list[Backend]) -> Backend | None:
        """One of ``usable``, in the order of ``backends`` from the last choice on; None if none."""
        turn = [*backends[self._last + 1 :], *backends[: self._last + 1]]
        waiting = [each for each in turn if each in usable]
        if not waiting:
            return None
        best = self.best(waiting)
        self._last = backends.index(best)
        return best

    def best(self, waiting: list[Backend]) -> Backend:
        """The one whose turn it is, of those that may have it, the longest passed over first."""
        return waiting[0] if self._round_robin else min(waiting, key=lambda each: each.flows)
