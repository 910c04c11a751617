"""What a router does with a packet (RFC 1812 5): a pure decision, which the IP layer carries out."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Protocol, TypeAlias

from testbed.stack.config import StackConfig
from testbed.timing import Instant
from testbed.wire.ipv4 import IPv4Packet

__all__ = ["Drop", "Forward", "Forwarder", "Hop", "Refuse", "Topology", "Verdict"]


@dataclass(frozen=True, slots=True)
class Hop:
    """Where a packet goes next: out of ``interface``, to ``gateway`` or, None, to its destination."""

    interface: str
    gateway: IPv4Address | None


class Topology(Protocol):
    """What a forwarder has to know of routes and interfaces; it changes nothing."""

    def route(self, destination: IPv4Address, now: Instant) -> Hop | None:
        """The longest match for ``destination`` (RFC 1812 5.2.4.3), None without a route."""

    def link_mtu(self, interface: str) -> int:
        """The MTU of ``interface``, in bytes."""

    def on_link(self, interface: str, address: IPv4Address) -> bool:
        """Whether ``address`` lies in a subnet that ``interface`` is attached to."""

    def is_local(self, address: IPv4Address) -> bool:
        """Whether ``address`` is one of the router's own."""

    def address_of(self, interface: str) -> IPv4Address | None:
        """The router's own address on ``interface``, for the options that record it."""

    def broadcast_of(self, destination: IPv4Address) -> str | None:
        """The interface whose subnet ``destination`` is the directed broadcast of, or None."""


@dataclass(frozen=True, slots=True)
class Forward:
    """Send ``packets``, in order, out of ``interface`` to ``next_hop``.

    ``redirect`` is the gateway to tell the sender of by ICMP 5/1 (RFC 1812 5.2.7.2), or None.
    ``broadcast`` says that the packet is a directed broadcast that becomes one on the link.
    """

    packets: tuple[IPv4Packet, ...]
    interface: str
    next_hop: IPv4Address
    redirect: IPv4Address | None = None
    broadcast: bool = False


@dataclass(frozen=True, slots=True)
class Refuse:
    """Discard it and answer by an ICMP error, where RFC 1812 4.3.2.7 allows one.

    ``mtu`` comes with frag needed, ``pointer`` with parameter problem.
    """

    icmp_type: int
    icmp_code: int
    mtu: int | None = None
    pointer: int = 0


@dataclass(frozen=True, slots=True)
class Drop:
    """Discard it in silence."""

    reason: str


Verdict: TypeAlias = Forward | Refuse | Drop


class Forwarder:
    """Decides on packets that are not for the router itself."""

    __slots__ = ("_config", "_topology")

    def __init__(self, config: StackConfig, topology: Topology) -> None:
        self._config = config
        self._topology = topology

    def decide(
        self, packet: IPv4Packet, ingress: str, now: Instant, *, link_broadcast: bool = False
    ) -> Verdict:
        """What to do with ``packet``, which came in on ``ingress``.

        ``link_broadcast`` says that its frame went to a broadcast or group address.
        """
        raise NotImplementedError
