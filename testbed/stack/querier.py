"""The router's side of IGMP version 2 (RFC 2236 7): who listens to which group on a link."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from testbed.errors import WireError
from testbed.stack.alarms import Alarms
from testbed.stack.multicast import ALL_SYSTEMS
from testbed.timing import Duration, Instant, after, milliseconds, seconds
from testbed.wire.igmp import IgmpMessage, IgmpType
from testbed.wire.ipv4 import IpProtocol, IPv4Packet

__all__ = ["Querier", "QuerierConfig"]

_NONE: Final = IPv4Address(0)
_ROUTER_ALERT: Final = bytes((0x94, 4, 0, 0))
"""RFC 2113. RFC 2236 2: every message carries it, and has a TTL of 1."""


@dataclass(frozen=True, slots=True)
class QuerierConfig:
    """The timers of RFC 2236 8, with their defaults."""

    robustness: int = 2
    """8.1: one less than so many messages may be lost."""
    query_interval: Duration = seconds(125)
    """8.2: between general queries."""
    response_interval: Duration = seconds(10)
    """8.3: within which hosts answer one."""
    startup_interval: Duration = milliseconds(31_250)
    """8.6: between the first few, a quarter of the usual."""
    startup_count: int = 2
    """8.7: so many are the first few."""
    last_member_interval: Duration = seconds(1)
    """8.8: within which hosts answer the query after a leave, and between these."""
    last_member_count: int = 2
    """8.9: queries after a leave, before a group counts as left."""

    @property
    def membership(self) -> Duration:
        """8.4: how long a group is believed to have members after a report."""
        return Duration(self.robustness * self.query_interval + self.response_interval)

    @property
    def other_querier(self) -> Duration:
        """8.5: how long another router is believed to ask."""
        return Duration(self.robustness * self.query_interval + self.response_interval // 2)


class Querier:
    """One interface. Timers are set in ``alarms`` under keys that begin with ``querier``.

    ``source`` gives the interface's address, ``send`` takes each packet; its frame goes to
    ``multicast_mac(packet.dst)``.
    """

    __slots__ = (
        "_alarms",
        "_asked",
        "_config",
        "_running",
        "_send",
        "_source",
        "_v1",
        "asking",
        "interface",
        "members",
    )

    def __init__(
        self,
        interface: str,
        *,
        config: QuerierConfig,
        alarms: Alarms,
        source: Callable[[], IPv4Address | None],
        send: Callable[[IPv4Packet, Instant], None],
    ) -> None:
        self.interface = interface
        self.members: dict[IPv4Address, Instant] = {}
        """The groups that somebody listens to, and until when that is believed."""
        self.asking = True
        """Whether this router is the link's querier: the one with the lowest address."""
        self._config = config
        self._alarms = alarms
        self._source = source
        self._send = send
        self._running = False
        self._asked = 0
        self._v1: dict[IPv4Address, Instant] = {}

    def start(self, now: Instant) -> None:
        """Begin to ask, twice in short order."""
        self._running = True
        self.asking = True
        self._asked = 0
        self._ask_all(now)

    def stop(self) -> None:
        """Ask no more, and forget all groups."""
        self._running = False
        for group in list(self.members):
            self._forget(group)
        for name in ("general", "other"):
            self._alarms.cancel(self._key(name))

    def has_members(self, group: IPv4Address) -> bool:
        """Whether packets to ``group`` are wanted on this interface."""
        return group in self.members

    def receive(self, packet: IPv4Packet, now: Instant) -> None:
        """An IGMP packet came in on the interface; what makes no sense is passed over."""
        if not self._running:
            return
        try:
            message = IgmpMessage.parse(packet.payload)
        except WireError:
            return
        if message.is_query:
            self._queried(packet.src, message, now)
        elif message.is_report:
            self._reported(message, now)
        elif message.type == IgmpType.LEAVE:
            self._left(message.group, now)

    def _queried(self, source: IPv4Address, message: IgmpMessage, now: Instant) -> None:
        """RFC 2236 3: of two routers the one with the lower address asks."""
        own = self._source()
        if own is not None and _NONE < source < own:
            self.asking = False
            self._alarms.cancel(self._key("general"))
            at = after(now, self._config.other_querier)
            self._alarms.set(self._key("other"), at, self.start)
        if not self.asking and message.group in self.members:
            self._believe(message.group, self._last_member_time(), now)

    def _reported(self, message: IgmpMessage, now: Instant) -> None:
        group = message.group
        if not group.is_multicast:
            return
        if message.type == IgmpType.V1_REPORT:
            # RFC 2236 5: version 1 hosts do not leave aloud, so that leaves of others say nothing.
            self._v1[group] = after(now, self._config.membership)
        self._alarms.cancel(self._key(group, "ask"))
        self._believe(group, self._config.membership, now)

    def _left(self, group: IPv4Address, now: Instant) -> None:
        """RFC 2236 3: ask twice whether others still listen."""
        if not self.asking or group not in self.members or now < self._v1.get(group, 0):
            return
        self._believe(group, self._last_member_time(), now)
        self._ask_about(group, self._config.last_member_count, now)

    def _last_member_time(self) -> Duration:
        return Duration(self._config.last_member_interval * self._config.last_member_count)

    def _believe(self, group: IPv4Address, span: Duration, now: Instant) -> None:
        until = self.members[group] = after(now, span)
        self._alarms.set(self._key(group, "until"), until, lambda _: self._forget(group))

    def _forget(self, group: IPv4Address) -> None:
        self.members.pop(group, None)
        self._v1.pop(group, None)
        self._alarms.cancel(self._key(group, "until"))
        self._alarms.cancel(self._key(group, "ask"))

    def _ask_all(self, now: Instant) -> None:
        config = self._config
        self._emit(_NONE, config.response_interval, now)
        self._asked += 1
        early = self._asked < config.startup_count
        at = after(now, config.startup_interval if early else config.query_interval)
        self._alarms.set(self._key("general"), at, self._ask_all)

    def _ask_about(self, group: IPv4Address, times: int, now: Instant) -> None:
        self._emit(group, self._config.last_member_interval, now)
        if times > 1:
            at = after(now, self._config.last_member_interval)
            again = times - 1
            self._alarms.set(
                self._key(group, "ask"), at, lambda then: self._ask_about(group, again, then)
            )

    def _emit(self, group: IPv4Address, within: Duration, now: Instant) -> None:
        source = self._source()
        if source is None:
            return
        message = IgmpMessage.query(group, max_response=within // milliseconds(100))
        packet = IPv4Packet(
            source,
            group if int(group) else ALL_SYSTEMS,
            IpProtocol.IGMP,
            message.emit(),
            ttl=1,
            tos=0xC0,
            options=_ROUTER_ALERT,
        )
        self._send(packet, now)

    def _key(self, *name: object) -> tuple[object, ...]:
        return ("querier", self.interface, *name)
