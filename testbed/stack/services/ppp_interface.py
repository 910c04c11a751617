"""A PPP link as an interface of a stack: no MAC, one address, the peer at the other end."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import IPv4Interface, IPv4Network

from testbed.errors import PlanError
from testbed.stack.services.ppp_link import PppLink
from testbed.stack.stack import Stack
from testbed.timing import Instant

__all__ = ["PppInterface"]


class PppInterface:
    """Gives ``stack`` an interface ``name`` that has the link's addresses while IPCP is open.

    Packets that leave by it go over the link. With ``default_route`` all that has no better route
    goes to the peer. An interface of that name that an earlier link has left is used again. Where
    another interface has the link's own address, this one stays without.
    """

    __slots__ = ("_address", "_default", "_peer", "link", "name", "stack")

    def __init__(
        self, stack: Stack, name: str, link: PppLink, now: Instant, *, default_route: bool = False
    ) -> None:
        self.stack = stack
        self.name = name
        self.link = link
        self._default = default_route
        self._address: IPv4Interface | None = None
        self._peer: IPv4Network | None = None
        try:
            stack.interface(name)
        except PlanError:
            stack.add_interface(name, mtu=link.config.mru)
        stack.carriers[name] = link.send_ip
        stack.set_link(name, up=False, now=now)
        link.on_ip = self._incoming
        link.on_up = self._up
        link.on_down = self._down

    def _incoming(self, packet: bytes, now: Instant) -> None:
        self.stack.receive(packet, now, self.name)

    def _up(self, now: Instant) -> None:
        ipcp = self.link.ipcp
        self._address = IPv4Interface((ipcp.local, 32))
        self._peer = IPv4Network((ipcp.remote, 32))
        self.stack.set_mtu(self.name, self.link.mtu, now)
        self.stack.set_link(self.name, up=True, now=now)
        with suppress(PlanError):
            self.stack.add_address(self.name, self._address, now, probe=False)
        for network in self._routed(self._peer):
            self.stack.add_route(network, interface=self.name, now=now)

    def _down(self, now: Instant) -> None:
        if self._address is not None and self._peer is not None:
            for network in self._routed(self._peer):
                self.stack.routes.remove(
                    lambda each, net=network: each.network == net and each.interface == self.name  # type: ignore[misc]
                )
            self.stack.remove_address(self.name, self._address, now)
            self._address = self._peer = None
        self.stack.set_link(self.name, up=False, now=now)

    def _routed(self, peer: IPv4Network) -> list[IPv4Network]:
        return [peer, IPv4Network("0.0.0.0/0")] if self._default else [peer]
