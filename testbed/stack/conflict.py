"""IPv4 address conflict detection (RFC 5227): probe before use, announce, defend once, give up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address
from typing import TypeAlias

from testbed.stack.alarms import Alarms
from testbed.stack.config import ArpConfig
from testbed.stack.entropy import Entropy
from testbed.stack.events import Event, EventLog
from testbed.timing import Instant, after
from testbed.wire.addresses import MacAddr
from testbed.wire.arp import ArpPacket

__all__ = ["AddressConflict", "AddressState", "Claim", "Outcome", "StateChanged"]


class AddressState(Enum):
    """How far an address of an interface is the stack's own."""

    WAITING = "waiting"  # a random time before the first probe, or after too many conflicts
    PROBING = "probing"  # probes go out; nothing may be sent from the address yet
    HELD = "held"  # in use; announcements may still go out
    LOST = "lost"  # another host has it


@dataclass(frozen=True, slots=True)
class AddressConflict(Event):
    """Another host, ``mac``, uses or probes for ``address``; ``defended`` says what was done."""

    address: IPv4Address
    mac: MacAddr
    defended: bool


@dataclass(frozen=True, slots=True)
class StateChanged(Event):
    """An address came into use or was given up."""

    address: IPv4Address
    state: AddressState


Outcome: TypeAlias = Callable[[bool, Instant], None]
"""Told once that the address is in use (True), and once more, or instead, that it is lost."""


class Claim:
    """One address of one interface, from the first probe until it is given up.

    ``send(arp)`` broadcasts an ARP packet; ``conflicts`` is how many there were on the interface
    before (RFC 5227 2.1.1: beyond MAX_CONFLICTS, one new address a minute).
    """

    __slots__ = (
        "_alarms",
        "_config",
        "_count",
        "_defended_at",
        "_entropy",
        "_events",
        "_mac",
        "_outcome",
        "_send",
        "address",
        "state",
    )

    def __init__(
        self,
        address: IPv4Address,
        mac: MacAddr,
        *,
        config: ArpConfig,
        alarms: Alarms,
        events: EventLog,
        entropy: Entropy,
        send: Callable[[ArpPacket], None],
        outcome: Outcome,
    ) -> None:
        self.address = address
        self.state = AddressState.WAITING
        self._mac = mac
        self._config = config
        self._alarms = alarms
        self._events = events
        self._entropy = entropy
        self._send = send
        self._outcome = outcome
        self._count = 0
        self._defended_at: Instant | None = None

    def start(self, now: Instant, conflicts: int = 0) -> None:
        """Begin to probe (RFC 5227 2.1.1)."""
        # "should then wait for a random time interval selected uniformly in the range zero to
        # PROBE_WAIT seconds".
        self.state, self._count = AddressState.WAITING, 0
        wait = self._entropy.between(0, self._config.probe_wait)
        # "If the number of conflicts exceeds MAX_CONFLICTS, then the host MUST limit the rate at
        # which it probes for new addresses to no more than one new address per
        # RATE_LIMIT_INTERVAL."
        if conflicts > self._config.max_conflicts:
            wait += self._config.rate_limit_interval
        self._alarms.set(self._key(), Instant(now + wait), self._probe)

    def hold(self, now: Instant) -> None:
        """Use the address without probing or announcing."""
        self._enter(AddressState.HELD, now)

    def hear(self, arp: ArpPacket, now: Instant) -> None:
        """Look at any ARP packet that came in on the interface."""
        if arp.sender_mac == self._mac:
            return
        if self.state is AddressState.HELD:
            if arp.sender_ip == self.address:
                self._in_use_elsewhere(arp.sender_mac, now)
        elif self.state is not AddressState.LOST and self.wanted_elsewhere(arp):
            self._conflict(arp.sender_mac, now, defended=False)
            self._lose(now)

    def wanted_elsewhere(self, arp: ArpPacket) -> bool:
        """Whether another host has the address, or probes for it too (RFC 5227 2.1.1)."""
        return arp.sender_ip == self.address or (arp.is_probe and arp.target_ip == self.address)

    def cancel(self) -> None:
        """The address is taken off the interface."""
        self._alarms.cancel(self._key())

    def ask(self) -> None:
        """Send one probe."""
        self._send(ArpPacket.probe(self._mac, self.address))

    def announce(self) -> None:
        """Send one announcement."""
        self._send(ArpPacket.announcement(self._mac, self.address))

    def _probe(self, now: Instant) -> None:
        config = self._config
        if self._count == config.probe_num:
            self._announce_first(now)
            return
        self.state = AddressState.PROBING
        self._count += 1
        self.ask()
        # "spaced randomly and uniformly, PROBE_MIN to PROBE_MAX seconds apart"; after the last,
        # ANNOUNCE_WAIT.
        last = self._count == config.probe_num
        gap = (
            config.announce_wait
            if last
            else self._entropy.between(config.probe_min, config.probe_max)
        )
        self._alarms.set(self._key(), Instant(now + gap), self._probe)

    def _announce_first(self, now: Instant) -> None:
        self._count = 0
        self._enter(AddressState.HELD, now)
        self._announce(now)

    def _announce(self, now: Instant) -> None:
        """ANNOUNCE_NUM announcements, ANNOUNCE_INTERVAL apart (2.3)."""
        if self._count == self._config.announce_num:
            return
        self._count += 1
        self.announce()
        if self._count < self._config.announce_num:
            self._alarms.set(
                self._key(), after(now, self._config.announce_interval), self._announce
            )

    def _in_use_elsewhere(self, mac: MacAddr, now: Instant) -> None:
        """RFC 5227 2.4 (b): defend by one announcement; within DEFEND_INTERVAL, give up."""
        if not self._config.defend:
            self._conflict(mac, now, defended=False)
            return
        last = self._defended_at
        if last is not None and now < after(last, self._config.defend_interval):
            self._conflict(mac, now, defended=False)
            self._lose(now)
            return
        self._defended_at = now
        self._conflict(mac, now, defended=True)
        self.announce()

    def _conflict(self, mac: MacAddr, now: Instant, *, defended: bool) -> None:
        self._events.add(AddressConflict(now, self.address, mac, defended))

    def _lose(self, now: Instant) -> None:
        self.cancel()
        self._enter(AddressState.LOST, now)

    def _enter(self, state: AddressState, now: Instant) -> None:
        self.state = state
        self._events.add(StateChanged(now, self.address, state))
        self._outcome(state is AddressState.HELD, now)

    def _key(self) -> tuple[str, int, IPv4Address]:
        return ("claim", id(self), self.address)
