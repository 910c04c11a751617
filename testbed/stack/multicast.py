"""Membership in groups, as a host tells the routers of its link: IGMP version 2 (RFC 2236)."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from ipaddress import IPv4Address
from typing import Final

from testbed.errors import WireError
from testbed.stack.alarms import Alarms
from testbed.stack.config import IgmpConfig
from testbed.stack.entropy import Entropy
from testbed.stack.events import EventLog, PacketDropped
from testbed.timing import Duration, Instant, after, seconds
from testbed.wire.igmp import IgmpMessage
from testbed.wire.ipv4 import IpProtocol, IPv4Packet

__all__ = ["ALL_ROUTERS", "ALL_SYSTEMS", "GroupMembership", "MemberState"]

ALL_SYSTEMS: Final = IPv4Address("224.0.0.1")
"""Every host is in it, and none reports it (RFC 2236 6)."""

ALL_ROUTERS: Final = IPv4Address("224.0.0.2")
"""Where leaves go."""

_CONFIG: Final = IgmpConfig()
_V1_RESPONSE: Final = seconds(10)
"""RFC 2236 4: what the field of 0 in a version 1 query means."""

_ROUTER_ALERT: Final = bytes((0x94, 4, 0, 0))
"""RFC 2113. RFC 2236 2: every message carries it, and has a TTL of 1."""


class MemberState(Enum):
    """The states of RFC 2236 6, per group and interface."""

    NON_MEMBER = "non-member"
    DELAYING = "delaying member"
    IDLE = "idle member"


class _Event(Enum):
    JOIN = "join group"
    LEAVE = "leave group"
    QUERY = "query received"
    REPORT = "report received"
    TIMER = "timer expired"


class _Group:
    """One group: ``users`` have joined it, ``last`` says that this host was the last to report."""

    __slots__ = ("address", "last", "state", "users")

    def __init__(self, address: IPv4Address) -> None:
        self.address = address
        self.state = MemberState.NON_MEMBER
        self.users = 0
        self.last = False


class GroupMembership:
    """The groups that a host is in on one interface, and what it says of them.

    ``send`` takes each packet; its frame goes to ``multicast_mac(packet.dst)``. ``source`` gives
    the interface's address. Timers are set in ``alarms`` under keys that begin with ``igmp``.
    """

    __slots__ = (
        "_alarms",
        "_config",
        "_entropy",
        "_events",
        "_groups",
        "_send",
        "_source",
        "_v1",
        "interface",
    )

    def __init__(
        self,
        interface: str,
        *,
        alarms: Alarms,
        entropy: Entropy,
        events: EventLog,
        source: Callable[[], IPv4Address],
        send: Callable[[IPv4Packet, Instant], None],
        config: IgmpConfig = _CONFIG,
    ) -> None:
        self.interface = interface
        self._config = config
        self._alarms = alarms
        self._entropy = entropy
        self._events = events
        self._source = source
        self._send = send
        self._groups: dict[IPv4Address, _Group] = {}
        self._v1: Instant | None = None

    @property
    def groups(self) -> tuple[IPv4Address, ...]:
        """The groups joined; 224.0.0.1 is always one besides."""
        return tuple(self._groups)

    def is_member(self, group: IPv4Address) -> bool:
        """Whether packets to ``group`` are for this host."""
        return group in self._groups or group == ALL_SYSTEMS

    def state(self, group: IPv4Address) -> MemberState:
        """Where the state machine of ``group`` stands."""
        if group == ALL_SYSTEMS:
            return MemberState.IDLE
        held = self._groups.get(group)
        return held.state if held else MemberState.NON_MEMBER

    def v1_router_present(self, now: Instant) -> bool:
        """Whether a version 1 querier was heard of late, so that its language is to be spoken."""
        return self._v1 is not None and now < self._v1

    def join(self, group: IPv4Address, now: Instant) -> None:
        """One more user wants ``group``; WireError if it is no group."""
        if not group.is_multicast:
            raise WireError(
                f"{group} is no multicast address, expected 224.0.0.0 to 239.255.255.255"
            )
        if group == ALL_SYSTEMS:
            return
        held = self._groups.setdefault(group, _Group(group))
        held.users += 1
        if held.users == 1:
            self._handle(held, _Event.JOIN, now)

    def leave(self, group: IPv4Address, now: Instant) -> None:
        """One user less; the last one's leave is told. A group never joined is no error."""
        held = self._groups.get(group)
        if held is None:
            return
        held.users -= 1
        if held.users == 0:
            self._handle(held, _Event.LEAVE, now)
            del self._groups[group]

    def receive(self, packet: IPv4Packet, now: Instant) -> None:
        """An IGMP packet came in on the interface."""
        try:
            message = IgmpMessage.parse(packet.payload)
        except WireError as error:
            self._events.add(PacketDropped(now, "igmp", error.reason))
            return
        if message.is_query:
            self._queried(message, now)
        elif message.is_report:
            # Its own reports do not come back; those of other members make its own needless.
            held = self._groups.get(message.group)
            if held is not None:
                self._handle(held, _Event.REPORT, now)

    def announce(self, now: Instant) -> None:
        """Report all groups anew, as after the link came back."""
        for held in self._groups.values():
            self._alarms.cancel(self._key(held))
            held.state = MemberState.NON_MEMBER
            self._handle(held, _Event.JOIN, now)

    def silence(self) -> None:
        """The link is down: say nothing until ``announce``."""
        for held in self._groups.values():
            self._alarms.cancel(self._key(held))
            held.state = MemberState.IDLE

    def _queried(self, message: IgmpMessage, now: Instant) -> None:
        if message.max_response == 0:
            self._v1 = after(now, self._config.v1_router_present)
            within = _V1_RESPONSE
        else:
            within = seconds(message.max_response / 10)
        # A general query, to 224.0.0.1, asks for every group (RFC 2236 3).
        asked = list(self._groups.values()) if not int(message.group) else []
        if (one := self._groups.get(message.group)) is not None:
            asked.append(one)
        for held in asked:
            self._handle(held, _Event.QUERY, now, within)

    def _handle(
        self, held: _Group, event: _Event, now: Instant, within: Duration | None = None
    ) -> None:
        """One step of the state table."""
        entry = _TABLE.get((held.state, event))
        if entry is None:
            return
        if within is None:
            within = self._config.unsolicited_interval
        actions, held.state = entry
        for action in actions:
            action(self, held, now, within)

    def _report(self, held: _Group, now: Instant, _within: Duration) -> None:
        version = 1 if self.v1_router_present(now) else 2
        self._emit(IgmpMessage.report(held.address, version=version), held.address, now)
        held.last = True

    def _leave(self, held: _Group, now: Instant, _within: Duration) -> None:
        # RFC 2236 3: a host that was not the last to report "MAY" leave in silence, for another
        # member is there. Version 1 routers know no leave (4).
        if held.last and not self.v1_router_present(now):
            self._emit(IgmpMessage.leave(held.address), ALL_ROUTERS, now)

    def _start(self, held: _Group, now: Instant, within: Duration) -> None:
        """RFC 2236 3: "a different random value ... in the range (0, Max Response Time]"."""
        delay = self._entropy.between(1, max(within, 1))
        self._alarms.set(self._key(held), after(now, Duration(delay)), self._expired(held))

    def _restart(self, held: _Group, now: Instant, within: Duration) -> None:
        """RFC 2236 3: a timer that runs is set anew only if the time asked for is shorter."""
        due = self._alarms.deadline(self._key(held))
        if due is None or after(now, within) < due:
            self._start(held, now, within)

    def _stop(self, held: _Group, _now: Instant, _within: Duration) -> None:
        self._alarms.cancel(self._key(held))

    def _yield(self, held: _Group, _now: Instant, _within: Duration) -> None:
        held.last = False

    def _expired(self, held: _Group) -> Callable[[Instant], None]:
        return lambda now: self._handle(held, _Event.TIMER, now)

    def _emit(self, message: IgmpMessage, to: IPv4Address, now: Instant) -> None:
        packet = IPv4Packet(
            self._source(),
            to,
            IpProtocol.IGMP,
            message.emit(),
            ttl=1,
            tos=0xC0,
            options=_ROUTER_ALERT,
        )
        self._send(packet, now)

    def _key(self, held: _Group) -> tuple[str, str, IPv4Address]:
        return ("igmp", self.interface, held.address)


_M = GroupMembership
_S = MemberState
_Step = Callable[[GroupMembership, _Group, Instant, Duration], None]


def _step(name: str) -> _Step:
    """An action by its name, so that a variant of the class has its own."""
    return lambda member, held, now, within: getattr(member, name)(held, now, within)


_REPORT, _LEAVE, _START = _step("_report"), _step("_leave"), _step("_start")
_RESTART, _STOP, _YIELD = _step("_restart"), _step("_stop"), _step("_yield")

_TABLE: Final[dict[tuple[MemberState, _Event], tuple[tuple[_Step, ...], MemberState]]] = {
    (_S.NON_MEMBER, _Event.JOIN): ((_REPORT, _START), _S.DELAYING),
    (_S.DELAYING, _Event.QUERY): ((_RESTART,), _S.DELAYING),
    (_S.DELAYING, _Event.REPORT): ((_STOP, _YIELD), _S.IDLE),
    (_S.DELAYING, _Event.TIMER): ((_REPORT,), _S.IDLE),
    (_S.DELAYING, _Event.LEAVE): ((_STOP, _LEAVE), _S.NON_MEMBER),
    (_S.IDLE, _Event.QUERY): ((_START,), _S.DELAYING),
    (_S.IDLE, _Event.LEAVE): ((_LEAVE,), _S.NON_MEMBER),
}
"""RFC 2236 6, the host state diagram. What is not in it does nothing."""
