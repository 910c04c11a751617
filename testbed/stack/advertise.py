"""Router discovery by ICMP (RFC 1256): routers advertise themselves, hosts choose one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from testbed.stack.alarms import Alarms
from testbed.stack.entropy import Entropy
from testbed.timing import Duration, Instant, after, seconds
from testbed.wire.icmp_info import RouterAdvertisement, RouterSolicitation
from testbed.wire.ipv4 import IpProtocol, IPv4Packet

__all__ = ["AdvertiseConfig", "DefaultRouter", "RouterAdvertiser", "RouterDiscovery"]

_ALL_SYSTEMS: Final = IPv4Address("224.0.0.1")
_ALL_ROUTERS: Final = IPv4Address("224.0.0.2")
_UNKNOWN: Final = IPv4Address(0)

Send = Callable[[IPv4Packet, Instant], None]


@dataclass(frozen=True, slots=True)
class AdvertiseConfig:
    """The settings and constants of RFC 1256 4.1, 5 and 6.1, with its defaults."""

    destination: IPv4Address = _ALL_SYSTEMS
    """Where advertisements go; 255.255.255.255 for hosts that know no multicast."""
    solicit_to: IPv4Address = _ALL_ROUTERS
    """Where solicitations go."""
    max_interval: Duration = seconds(600)
    """Between advertisements: 4 s to 1800 s."""
    min_interval: Duration = seconds(450)
    """0.75 of the maximum."""
    lifetime: Duration = seconds(1800)
    """How long hosts may believe one: three times the maximum interval."""
    initial_interval: Duration = seconds(16)
    """The most between the first few."""
    initial_count: int = 3
    """So many are the first few (MAX_INITIAL_ADVERTISEMENTS)."""
    response_delay: Duration = seconds(2)
    """A solicitation is answered within."""
    solicitation_delay: Duration = seconds(1)
    """A host's first solicitation comes within."""
    solicitation_interval: Duration = seconds(3)
    """Between solicitations (SOLICITATION_INTERVAL)."""
    max_solicitations: int = 3
    """Solicitations without an answer before a host gives up (MAX_SOLICITATIONS)."""


class RouterAdvertiser:
    """The router's side on one interface.

    ``routers`` are its addresses there with their preferences. ``on_link`` tells whether an address
    is a neighbour. Timers are set in ``alarms`` under keys that begin with ``advertise``.
    """

    __slots__ = (
        "_alarms",
        "_config",
        "_entropy",
        "_on_link",
        "_send",
        "_sent",
        "interface",
        "routers",
        "running",
    )

    def __init__(
        self,
        interface: str,
        routers: Mapping[IPv4Address, int],
        *,
        config: AdvertiseConfig,
        alarms: Alarms,
        entropy: Entropy,
        on_link: Callable[[IPv4Address], bool],
        send: Send,
    ) -> None:
        self.interface = interface
        self.routers = dict(routers)
        self.running = False
        self._config = config
        self._alarms = alarms
        self._entropy = entropy
        self._on_link = on_link
        self._send = send
        self._sent = 0

    def start(self, now: Instant) -> None:
        """Begin to advertise, three times in short order."""
        self.running = True
        self._sent = 0
        self._advertise(now)

    def stop(self, now: Instant) -> None:
        """Cease, and take the addresses back: RFC 1256 4.3 has a last one with lifetime 0."""
        if not self.running:
            return
        self.running = False
        self._alarms.cancel(self._key("interval"))
        self._alarms.cancel(self._key("response"))
        self._emit(seconds(0), now)

    def solicited(self, source: IPv4Address, now: Instant) -> None:
        """A solicitation came from ``source``: answer all, within two seconds (RFC 1256 4.3)."""
        if not self.running or self._alarms.deadline(self._key("response")) is not None:
            return
        # RFC 1256 4.2: the source is 0 or an address of a neighbour, else it is discarded.
        if source != _UNKNOWN and not self._on_link(source):
            return
        delay = self._entropy.between(0, self._config.response_delay)
        self._alarms.set(self._key("response"), after(now, Duration(delay)), self._advertise)

    def _advertise(self, now: Instant) -> None:
        self._alarms.cancel(self._key("response"))
        self._emit(self._config.lifetime, now)
        self._sent += 1
        self._alarms.set(self._key("interval"), after(now, self._interval()), self._advertise)

    def _interval(self) -> Duration:
        """RFC 1256 4.3: random between the two; shorter for the first few."""
        config = self._config
        span = Duration(self._entropy.between(config.min_interval, config.max_interval))
        if self._sent < config.initial_count:
            return min(span, config.initial_interval)
        return span

    def _emit(self, lifetime: Duration, now: Instant) -> None:
        if not self.routers:
            return
        message = RouterAdvertisement(lifetime // 1_000_000_000, tuple(self.routers.items()))
        source = next(iter(self.routers))
        self._send(_packet(source, self._config.destination, message.emit()), now)

    def _key(self, name: str) -> tuple[str, str, str]:
        return ("advertise", self.interface, name)


@dataclass(frozen=True, slots=True)
class DefaultRouter:
    """A router that a host may use for what is not on its own link."""

    address: IPv4Address
    preference: int
    until: Instant


class RouterDiscovery:
    """The host's side on one interface: asks, listens, and keeps the list of default routers.

    ``changed`` is called when the best router becomes another, or None. Timers are set in
    ``alarms`` under keys that begin with ``discover``.
    """

    __slots__ = (
        "_alarms",
        "_changed",
        "_config",
        "_entropy",
        "_on_link",
        "_routers",
        "_send",
        "_source",
        "_tries",
        "interface",
    )

    def __init__(
        self,
        interface: str,
        *,
        config: AdvertiseConfig,
        alarms: Alarms,
        entropy: Entropy,
        source: Callable[[], IPv4Address],
        on_link: Callable[[IPv4Address], bool],
        send: Send,
        changed: Callable[[IPv4Address | None, Instant], None],
    ) -> None:
        self.interface = interface
        self._config = config
        self._alarms = alarms
        self._entropy = entropy
        self._source = source
        self._on_link = on_link
        self._send = send
        self._changed = changed
        self._routers: dict[IPv4Address, DefaultRouter] = {}
        self._tries = 0

    @property
    def routers(self) -> tuple[DefaultRouter, ...]:
        """All that were heard of and have not expired, the best first."""
        return tuple(sorted(self._routers.values(), key=lambda each: -each.preference))

    def best(self) -> IPv4Address | None:
        """The router to use: the one of the highest preference, unless none may be (RFC 1256 5)."""
        usable = [
            each for each in self._routers.values() if each.preference != RouterAdvertisement.NEVER
        ]
        return max(usable, key=lambda each: each.preference).address if usable else None

    def start(self, now: Instant) -> None:
        """Solicit, after a random delay (RFC 1256 5.3)."""
        self._tries = 0
        delay = Duration(self._entropy.between(0, self._config.solicitation_delay))
        self._alarms.set(self._key("solicit"), after(now, delay), self._solicit)

    def stop(self) -> None:
        """Ask no more, and forget all routers."""
        self._alarms.cancel(self._key("solicit"))
        for address in list(self._routers):
            self._alarms.cancel(self._key(address))
        self._routers.clear()

    def advertised(self, message: RouterAdvertisement, now: Instant) -> None:
        """An advertisement came: take over what it says of neighbours (RFC 1256 5.3)."""
        before = self.best()
        for address, preference in message.routers:
            # RFC 1256 5.3: addresses that are not on one of the host's subnets are ignored.
            if not self._on_link(address):
                continue
            self._alarms.cancel(self._key("solicit"))
            if message.lifetime:
                self._learn(address, preference, seconds(message.lifetime), now)
            else:
                self._forget(address)
        self._tell(before, now)

    def _learn(
        self, address: IPv4Address, preference: int, lifetime: Duration, now: Instant
    ) -> None:
        until = after(now, lifetime)
        self._routers[address] = DefaultRouter(address, preference, until)
        self._alarms.set(self._key(address), until, lambda at: self._expire(address, at))

    def _expire(self, address: IPv4Address, now: Instant) -> None:
        before = self.best()
        self._routers.pop(address, None)
        self._tell(before, now)

    def _forget(self, address: IPv4Address) -> None:
        self._routers.pop(address, None)
        self._alarms.cancel(self._key(address))

    def _tell(self, before: IPv4Address | None, now: Instant) -> None:
        best = self.best()
        if best != before:
            self._changed(best, now)

    def _solicit(self, now: Instant) -> None:
        self._tries += 1
        self._send(
            _packet(self._source(), self._config.solicit_to, RouterSolicitation().emit()), now
        )
        if self._tries < self._config.max_solicitations:
            due = after(now, self._config.solicitation_interval)
            self._alarms.set(self._key("solicit"), due, self._solicit)

    def _key(self, name: str | IPv4Address) -> tuple[str, str, str | IPv4Address]:
        return ("discover", self.interface, name)


def _packet(src: IPv4Address, dst: IPv4Address, payload: bytes) -> IPv4Packet:
    """RFC 1256 3: a TTL of 1 where the destination is a group, "at least 1 otherwise"."""
    return IPv4Packet(src, dst, IpProtocol.ICMP, payload, ttl=1)
