"""Next hops that ARP has given up are passed over, until they are heard of again."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Final

from testbed.stack.neighbours import FOREVER, NeighbourChanged, NeighbourState
from testbed.stack.stack import Stack
from testbed.timing import Instant, after, seconds

__all__ = ["NextHopTracking"]

_AGAIN: Final = seconds(1)
"""RFC 1122 2.3.2.1: between ARP requests for one address."""


class NextHopTracking:
    """Watches the gateways of routes. One that is lost is asked for each second.

    A gateway that falls silent is noticed once its ARP entry is over and three requests have gone
    unanswered: the ARP timeout and three seconds after it was last heard of, at the most.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self.on = False
        self.lost: dict[IPv4Address, str] = {}
        """The gateways that do not answer, each with its interface."""

    def switch(self, on: bool, now: Instant) -> None:
        """Watch, or no more: then all are used again."""
        self.on = on
        if not on:
            for gateway in list(self.lost):
                self.found(gateway)
            return
        for name in {route.interface for route in self._stack.routes}:
            for entry in self._stack.interface(name).neighbours:
                if entry.state is NeighbourState.FAILED:
                    self._watch(entry.address, name, now)

    def hear(self, event: NeighbourChanged) -> None:
        """A neighbour was lost or found."""
        if event.state is NeighbourState.REACHABLE:
            if event.address in self.lost:
                self.found(event.address)
        elif event.state is NeighbourState.FAILED and self.on:
            self._watch(event.address, event.interface, event.at)

    def _watch(self, address: IPv4Address, interface: str, now: Instant) -> None:
        if any(route.via == address for route in self._stack.routes):
            self.lose(address, interface, now)

    def lose(self, gateway: IPv4Address, interface: str, now: Instant) -> None:
        """Pass ``gateway`` over from now on, and ask for it."""
        self.lost[gateway] = interface
        self._stack.routes.avoid(gateway, FOREVER)
        self._ask_later(gateway, now)

    def found(self, gateway: IPv4Address) -> None:
        """Use ``gateway`` again."""
        self.lost.pop(gateway, None)
        self._stack.alarms.cancel(("lost", gateway))
        self._stack.routes.trust(gateway)

    def _ask_later(self, gateway: IPv4Address, now: Instant) -> None:
        at = after(now, _AGAIN)
        self._stack.alarms.set(("lost", gateway), at, lambda then: self.ask(gateway, then))

    def ask(self, gateway: IPv4Address, now: Instant) -> None:
        """Ask for a gateway that is lost; whoever answers has an entry to be learned into."""
        neighbours = self._stack.interface(self.lost[gateway]).neighbours
        neighbours.entry(gateway)
        neighbours.request(gateway)
        self._ask_later(gateway, now)
