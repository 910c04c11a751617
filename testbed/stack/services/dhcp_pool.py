"""Which client has which address, until when: a DHCP server's book (RFC 2131 4.3.1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from ipaddress import IPv4Address, IPv4Network
from typing import Any, Final

from testbed.timing import Duration, Instant, after, seconds
from testbed.wire.addresses import MacAddr

__all__ = ["Binding", "BindingState", "DhcpServerConfig", "DhcpSubnet", "Pool"]


@dataclass(frozen=True, slots=True)
class DhcpSubnet:
    """A subnet that a server has addresses in: from ``first`` to ``last``.

    ``fixed`` gives clients, by MAC or client identifier, addresses of their own, in the range or
    not. ``options`` are further ones by code, with values as ``DhcpOption.of`` takes them.
    """

    network: IPv4Network
    first: IPv4Address
    last: IPv4Address
    routers: tuple[IPv4Address, ...] = ()
    dns_servers: tuple[IPv4Address, ...] = ()
    domain: str | None = None
    fixed: Mapping[MacAddr | bytes, IPv4Address] = field(default_factory=dict)
    options: Mapping[int, Any] = field(default_factory=dict)

    def fixed_for(self, client: bytes) -> IPv4Address | None:
        """The address of the client's own, if it has one."""
        for key, address in self.fixed.items():
            if client == (b"\x01" + key.packed if isinstance(key, MacAddr) else key):
                return address
        return None


@dataclass(frozen=True, slots=True)
class DhcpServerConfig:
    """What a server gives out, and its timers."""

    subnets: tuple[DhcpSubnet, ...]
    lease_time: int = 3600
    """Seconds, for clients that ask for none."""
    max_lease_time: int = 86400
    """Seconds, for those that do."""
    renewal_time: int | None = None
    """T1 in seconds; None leaves it to the client: half of the lease."""
    rebinding_time: int | None = None
    """T2 in seconds; None leaves it to the client: 7/8 of the lease."""
    ping: bool = True
    """RFC 2131 3.1 (2): 'servers SHOULD check that the offered network address is not already in
    use; e.g., the server may probe the offered address with an ICMP Echo Request'."""
    ping_wait: Duration = seconds(1)
    """How long an address may take to answer."""
    ping_limit: int = 5
    """Addresses that are tried for one client before it is left without an offer."""
    offer_time: Duration = seconds(60)
    """How long an offered address is kept for its client."""
    quarantine: Duration = seconds(600)
    """How long an address that is somebody else's, by ping or DHCPDECLINE, is not given out."""
    authoritative: bool = True
    """Refuse, by DHCPNAK, addresses that are wrong for the subnet (RFC 2131 4.3.2)."""


class BindingState(Enum):
    """What an address is to its server."""

    OFFERED = "offered"
    LEASED = "leased"
    FREE = "free"  # released or expired; the client is remembered (RFC 2131 4.3.1)
    TAKEN = "taken"  # somebody uses it who never asked


@dataclass(slots=True)
class Binding:
    """An address that is, or was, some client's; ``until`` ends its state."""

    address: IPv4Address
    client: bytes
    state: BindingState
    until: Instant | None

    def active(self, now: Instant) -> bool:
        """Whether nobody else may have the address now."""
        if self.state is BindingState.FREE:
            return False
        return self.until is None or now < self.until


_NOBODY: Final = b""


class Pool:
    """The addresses of one subnet."""

    __slots__ = ("_bindings", "_clients", "_next", "subnet")

    def __init__(self, subnet: DhcpSubnet) -> None:
        self.subnet = subnet
        self._bindings: dict[IPv4Address, Binding] = {}
        self._clients: dict[bytes, IPv4Address] = {}
        self._next = int(subnet.first)

    def of(self, client: bytes) -> Binding | None:
        """What the client has, or had."""
        address = self._clients.get(client)
        return None if address is None else self._bindings.get(address)

    def at(self, address: IPv4Address) -> Binding | None:
        """Whose the address is, or was."""
        return self._bindings.get(address)

    def is_free(self, address: IPv4Address, client: bytes, now: Instant) -> bool:
        """Whether the client may have the address: it is the client's own, or nobody's."""
        own = self.subnet.fixed_for(client)
        if own is not None:
            return address == own and not self._is_taken(address, now)
        if not self.in_range(address) or address in self.subnet.fixed.values():
            return False
        held = self._bindings.get(address)
        if held is None or not held.active(now):
            return True
        return held.client == client and held.state is not BindingState.TAKEN

    def _is_taken(self, address: IPv4Address, now: Instant) -> bool:
        held = self._bindings.get(address)
        return held is not None and held.state is BindingState.TAKEN and held.active(now)

    def in_range(self, address: IPv4Address) -> bool:
        """Whether the address is one to give out."""
        return self.subnet.first <= address <= self.subnet.last

    def choose(self, client: bytes, wanted: IPv4Address | None, now: Instant) -> IPv4Address | None:
        """An address for the client, in the order of RFC 2131 4.3.1; None if all are taken.

        Its own; what it has or had, if that is still free; what it asks for; one that nobody had,
        or the one that was given up the longest ago.
        """
        own = self.subnet.fixed_for(client)
        before = self._clients.get(client)
        for address in (own, before, wanted):
            if address is not None and self.is_free(address, client, now):
                return address
        return None if own is not None else self._fresh(client, now)

    def _fresh(self, client: bytes, now: Instant) -> IPv4Address | None:
        first, last = int(self.subnet.first), int(self.subnet.last)
        for step in range(min(last - first + 1, len(self._bindings) + len(self.subnet.fixed) + 1)):
            number = first + (self._next - first + step) % (last - first + 1)
            address = IPv4Address(number)
            if address not in self._bindings and self.is_free(address, client, now):
                self._next = number + 1
                return address
        free = [each for each in self if self.is_free(each.address, client, now)]
        return min(free, key=lambda each: each.until or 0).address if free else None

    def offer(self, address: IPv4Address, client: bytes, until: Instant) -> None:
        """Keep the address for the client; one that it has already stays its."""
        held = self._bindings.get(address)
        if held is None or held.client != client or held.state is not BindingState.LEASED:
            self._bind(Binding(address, client, BindingState.OFFERED, until))

    def lease(self, address: IPv4Address, client: bytes, until: Instant | None) -> None:
        """The client has the address; None: for ever."""
        self._bind(Binding(address, client, BindingState.LEASED, until))

    def free(self, client: bytes, now: Instant) -> None:
        """The client has no more use for its address."""
        held = self.of(client)
        if held is not None and held.state is not BindingState.TAKEN:
            held.state, held.until = BindingState.FREE, now

    def quarantine(self, address: IPv4Address, now: Instant, span: Duration) -> None:
        """Somebody uses the address who was not given it."""
        held = self._bindings.get(address)
        if held is not None:
            self._clients.pop(held.client, None)
        self._bindings[address] = Binding(address, _NOBODY, BindingState.TAKEN, after(now, span))

    def _bind(self, binding: Binding) -> None:
        for held in (self.of(binding.client), self._bindings.get(binding.address)):
            if held is not None:
                self._bindings.pop(held.address, None)
                self._clients.pop(held.client, None)
        self._bindings[binding.address] = binding
        self._clients[binding.client] = binding.address

    def __iter__(self) -> Iterator[Binding]:
        return iter(tuple(self._bindings.values()))
