"""Routes: the longest match decides, then the metric (RFC 1812 5.2.4.3, RFC 1122 3.3.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from testbed.timing import Instant

__all__ = ["Origin", "Route", "Routes"]

_REDIRECTS: Final = 1024


class Origin:
    """How a route came to be."""

    CONNECTED: Final = "connected"
    STATIC: Final = "static"
    REDIRECT: Final = "redirect"
    ADVERTISED: Final = "advertised"


@dataclass(frozen=True, slots=True)
class Route:
    """``network`` is reached through ``interface``: by the gateway ``via``, or directly.

    Of two routes of one length the lower ``metric`` wins. ``source`` is the address that packets
    leave with, None for the interface's.
    """

    network: IPv4Network
    interface: str
    via: IPv4Address | None = None
    metric: int = 0
    source: IPv4Address | None = None
    origin: str = Origin.STATIC


class Routes:
    """A stack's routing table; ``generation`` counts its changes, so that others may cache."""

    __slots__ = ("_avoided", "_lengths", "_table", "generation", "usable")

    def __init__(self) -> None:
        self._table: dict[int, dict[int, list[Route]]] = {}
        self._lengths: list[tuple[int, int, dict[int, list[Route]]]] = []
        self._avoided: dict[IPv4Address, Instant] = {}
        self.generation = 0
        self.usable: Callable[[Route], bool] = lambda _: True
        """Whether a route's interface is up; those of others are passed over."""

    def add(self, route: Route) -> None:
        """Add a route, in place of one with the same network, gateway, interface and metric."""
        if route.origin == Origin.REDIRECT:
            self._make_room()
        nets = self._table.setdefault(route.network.prefixlen, {})
        held = nets.setdefault(int(route.network.network_address), [])
        held[:] = [other for other in held if not _same(other, route)]
        held.append(route)
        held.sort(key=lambda each: each.metric)
        self._changed()

    def remove(self, unwanted: Callable[[Route], bool]) -> int:
        """Remove all routes that ``unwanted`` picks; how many there were."""
        count = 0
        for nets in self._table.values():
            for key, held in list(nets.items()):
                kept = [route for route in held if not unwanted(route)]
                count += len(held) - len(kept)
                if kept:
                    nets[key] = kept
                else:
                    del nets[key]
        self._table = {length: nets for length, nets in self._table.items() if nets}
        self._changed()
        return count

    def lookup(
        self,
        destination: IPv4Address,
        now: Instant,
        interface: str | None = None,
        flow: int | None = None,
    ) -> Route | None:
        """The best route to ``destination``, out of ``interface`` if one is named; or None.

        Of routes that are equally good, ``flow`` (32 bits) takes its own; None takes the first.
        """
        address = int(destination)
        for _, mask, nets in self._lengths:
            held = nets.get(address & mask)
            if held and (found := self._pick(held, now, interface, flow)):
                return found
        return None

    def avoid(self, gateway: IPv4Address, until: Instant) -> None:
        """Prefer other gateways until then, where there are any (RFC 1122 3.3.1.5)."""
        self._avoided[gateway] = until
        self.generation += 1

    def trust(self, gateway: IPv4Address) -> None:
        """Use ``gateway`` as before: something came from it."""
        if self._avoided.pop(gateway, None) is not None:
            self.generation += 1

    def _pick(
        self, held: list[Route], now: Instant, interface: str | None, flow: int | None
    ) -> Route | None:
        equal = self.equal(held, now, interface)
        return self.share(equal, flow) if equal else None

    def equal(self, held: list[Route], now: Instant, interface: str | None = None) -> list[Route]:
        """Of the routes to one network those that are used: all of the least metric there is.

        Gateways in doubt are passed over, where there are others.
        """
        usable = [
            route
            for route in held
            if (interface is None or route.interface == interface) and self.usable(route)
        ]
        trusted = [route for route in usable if not self._avoids(route, now)] or usable
        return [each for each in trusted if each.metric == trusted[0].metric]

    def used(self, now: Instant) -> list[Route]:
        """All routes that packets follow, the longest prefixes first."""
        tables = (held for _, _, nets in self._lengths for held in nets.values())
        return [route for held in tables for route in self.equal(held, now)]

    def share(self, equal: list[Route], flow: int | None) -> Route:
        """Which of the routes that are equally good a flow takes (RFC 2992 2: hash-threshold)."""
        return equal[0] if flow is None else equal[flow * len(equal) >> 32]

    def _avoids(self, route: Route, now: Instant) -> bool:
        if not self._avoided or route.via is None:
            return False
        until = self._avoided.get(route.via)
        return until is not None and now < until

    def _make_room(self) -> None:
        """Forget the redirects when there are too many: each costs its sender one packet."""
        if sum(route.origin == Origin.REDIRECT for route in self) >= _REDIRECTS:
            self.remove(lambda route: route.origin == Origin.REDIRECT)

    def _changed(self) -> None:
        self.generation += 1
        self._lengths = [
            (length, 0xFFFFFFFF << (32 - length) & 0xFFFFFFFF, self._table[length])
            for length in self.precedence(self._table)
        ]

    def precedence(self, lengths: Iterable[int]) -> list[int]:
        """The lengths of prefix in the order in which they are asked: the longest first."""
        return sorted(lengths, reverse=True)

    def __iter__(self) -> Iterator[Route]:
        for _, _, nets in self._lengths:
            for held in nets.values():
                yield from held

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _same(one: Route, other: Route) -> bool:
    return (one.via, one.interface, one.metric) == (other.via, other.interface, other.metric)
