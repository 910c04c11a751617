"""The PPPoE access concentrator of a server: its settings, and the addresses that it gives out."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address, IPv4Interface
from typing import Final

from testbed.errors import PlanError
from testbed.sim.appliance import Configuration
from testbed.sim.server import lines
from testbed.sim.server.lines import PppoePool
from testbed.stack.services.ppp_config import PppConfig
from testbed.stack.services.pppoe import PppoeSession
from testbed.stack.services.pppoe_host import PppoeServer
from testbed.stack.services.pppoe_server import ConcentratorConfig
from testbed.stack.stack import Stack
from testbed.timing import Instant
from testbed.wire.addresses import MacAddr
from testbed.wire.ethernet import EtherType

__all__ = ["Access", "AddressBook"]

_KINDS: Final = (EtherType.PPPOE_DISCOVERY, EtherType.PPPOE_SESSION)
_MOST: Final = 1000
_NONE: Final = IPv4Address(0)


@dataclass(slots=True)
class AddressBook:
    """Which of the pool's addresses are given out."""

    first: IPv4Address
    last: IPv4Address
    given: list[IPv4Address] = field(default_factory=list)

    @property
    def size(self) -> int:
        """How many addresses there are."""
        return int(self.last) - int(self.first) + 1

    def take(self) -> IPv4Address:
        """The lowest address that nobody has; 0.0.0.0 where all are given out."""
        for number in range(int(self.first), int(self.last) + 1):
            address = IPv4Address(number)
            if self.is_free(address):
                self.given.append(address)
                return address
        return _NONE

    def is_free(self, address: IPv4Address) -> bool:
        """Whether nobody has the address."""
        return address not in self.given

    def give_back(self, address: IPv4Address) -> None:
        """Its host is gone."""
        if address in self.given:
            self.given.remove(address)


class Access:
    """The concentrator at one port, from being switched on to being switched off."""

    def __init__(self, stack: Stack, port: str, configuration: Configuration, now: Instant) -> None:
        self._stack = stack
        self._port = port
        self._book: AddressBook | None = None
        self._next = _NONE
        self._local: IPv4Interface | None = None
        self.addresses: dict[int, IPv4Address] = {}
        """What each session was given, by its number."""
        self._server = PppoeServer(stack, port, self._settings(configuration), prefix=f"{port}.ppp")
        self._begun = self._server.concentrator.on_session
        self._server.concentrator.on_session = self._begin
        self._hold_local(configuration, now)

    @property
    def sessions(self) -> tuple[PppoeSession, ...]:
        """The sessions that there are, by their numbers."""
        held = self._server.concentrator.sessions
        return tuple(held[number] for number in sorted(held))

    def close(self, now: Instant) -> None:
        """End all sessions, and be no concentrator any more."""
        self._server.close(now)
        for kind in _KINDS:
            self._stack.takers.pop((self._port, kind.to_bytes(2, "big")), None)
        if self._local is not None:
            self._stack.remove_address(self._port, self._local, now)

    def _settings(self, configuration: Configuration) -> ConcentratorConfig:
        pool: PppoePool | None = configuration.value(lines.PPPOE_POOL, None)
        most = configuration.value(lines.PPPOE_SESSIONS, _MOST)
        if pool is not None:
            self._book = self._stack.core.variants.of(AddressBook)(pool.first, pool.last)
            most = min(most, self._book.size)
        base = PppConfig(
            authenticate=configuration.value(lines.PPPOE_AUTHENTICATION, ()),
            secrets=dict(configuration.values(lines.PPPOE_USER)),
            name=configuration.value(lines.PPPOE_NAME, self._stack.name.encode()),
            rechallenge=configuration.value(lines.PPPOE_RECHALLENGE, None),
            echo_interval=configuration.value(lines.PPPOE_ECHO, None),
            address=pool.local if pool else _NONE,
        )

        def ppp_for(_: MacAddr) -> PppConfig:
            self._next = self._book.take() if self._book else _NONE
            return replace(base, peer_address=self._next)

        return ConcentratorConfig(
            name=base.name,
            services=tuple(configuration.values(lines.PPPOE_SERVICE)) or (b"",),
            max_sessions=most,
            ppp_for=ppp_for,
        )

    def _begin(self, session: PppoeSession, now: Instant) -> None:
        address, ended = self._next, session.on_end
        self.addresses[session.ident] = address

        def end(then: Instant) -> None:
            ended(then)
            if self.addresses.get(session.ident) == address:
                self.addresses.pop(session.ident)
            if self._book is not None:
                self._book.give_back(address)

        session.on_end = end
        self._begun(session, now)

    def _hold_local(self, configuration: Configuration, now: Instant) -> None:
        """The concentrator's address is there whether or not a session is."""
        pool: PppoePool | None = configuration.value(lines.PPPOE_POOL, None)
        if pool is None:
            return
        address = IPv4Interface((pool.local, 32))
        with suppress(PlanError):  # it has it anyway, as its own
            self._stack.add_address(self._port, address, now, probe=False)
            self._local = address
