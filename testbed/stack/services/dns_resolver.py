"""A DNS resolver (RFC 1034 5): hosts first, then the cache, then servers from the root downwards.

::

    resolver = DnsResolver.on(stack, DnsConfig(roots=(IPv4Address("198.51.100.1"),)))
    found = resolver.look_up("www.example.test", now)
    ... time goes by ...
    found.result.addresses
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Self

from testbed.stack.events import Event
from testbed.stack.services.dns_cache import DnsCache
from testbed.stack.services.dns_exchange import Exchange
from testbed.stack.services.dns_lookup import DnsConfig, Finished, Lookup, Resolution, Shared
from testbed.stack.stack import Stack
from testbed.timing import Instant
from testbed.wire.dns import PTR, A, DnsName, DnsQuestion, DnsRecord, DnsType

__all__ = ["DnsConfig", "DnsResolved", "DnsResolver", "Lookup", "Resolution"]


@dataclass(frozen=True, slots=True)
class DnsResolved(Event):
    """A look-up ended."""

    question: DnsQuestion
    result: Resolution


class DnsResolver:
    """The resolver of one stack. ``hosts`` may be changed at any time."""

    __slots__ = ("_shared", "_stack", "cache", "config", "hosts")

    def __init__(
        self,
        stack: Stack,
        config: DnsConfig,
        hosts: Mapping[str | DnsName, IPv4Address | tuple[IPv4Address, ...]] | None = None,
    ) -> None:
        variants = stack.ip.variants
        self._stack = stack
        self.config = config
        self.cache = variants.of(DnsCache)(
            config.cache_limit, config.longest, config.longest_denial
        )
        self.hosts: dict[DnsName, tuple[IPv4Address, ...]] = {}
        """What the hosts file says: it counts before all else."""
        for name, held in (hosts or {}).items():
            self.hosts[DnsName(name)] = held if isinstance(held, tuple) else (held,)
        self._shared = Shared(stack, config, self.cache, variants.of(Exchange))

    @classmethod
    def on(
        cls,
        stack: Stack,
        config: DnsConfig,
        hosts: Mapping[str | DnsName, IPv4Address | tuple[IPv4Address, ...]] | None = None,
    ) -> Self:
        """A resolver on ``stack``, with the stack's defects if it has any."""
        return stack.ip.variants.of(cls)(stack, config, hosts)

    def look_up(
        self,
        name: str | DnsName,
        now: Instant,
        kind: int = DnsType.A,
        *,
        finished: Finished | None = None,
    ) -> Lookup:
        """Look for the records of one type under ``name``; see ``result``, or be told."""
        question = DnsQuestion(DnsName(name), kind)

        def end(result: Resolution, then: Instant) -> None:
            self._stack.events.add(DnsResolved(then, question, result))
            if finished is not None:
                finished(result, then)

        lookup = self._stack.ip.variants.of(Lookup)(self._shared, question, end)
        known = self.from_hosts(question)
        if known:
            lookup.result = Resolution(known, source="hosts")
            end(lookup.result, now)
        else:
            lookup.step(now)
        return lookup

    def name_of(
        self, address: IPv4Address, now: Instant, *, finished: Finished | None = None
    ) -> Lookup:
        """Look for the name of ``address`` (RFC 1035 3.5)."""
        return self.look_up(DnsName.reverse(address), now, DnsType.PTR, finished=finished)

    def from_hosts(self, question: DnsQuestion) -> tuple[DnsRecord, ...]:
        """What the hosts file answers, forwards and backwards."""
        if question.type == DnsType.A:
            held = self.hosts.get(question.name, ())
            return tuple(DnsRecord(question.name, A(address), 0) for address in held)
        if question.type == DnsType.PTR:
            return tuple(
                DnsRecord(question.name, PTR(name), 0)
                for name, held in self.hosts.items()
                if any(DnsName.reverse(address) == question.name for address in held)
            )
        return ()
