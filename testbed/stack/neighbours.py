"""ARP: who on a link has which address (RFC 826), with the rules of RFC 1122 2.3.2."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address
from typing import Final, TypeAlias

from testbed.stack.alarms import Alarms
from testbed.stack.config import ArpConfig
from testbed.stack.events import Event, EventLog
from testbed.timing import Instant, after
from testbed.wire.addresses import MacAddr
from testbed.wire.arp import ArpOp, ArpPacket

__all__ = ["FOREVER", "Neighbour", "NeighbourChanged", "NeighbourState", "Neighbours"]

FOREVER: Final = Instant(1 << 62)

_QUEUE_BYTES: Final = 256 << 10
"""Bytes that wait for one address at most: fragments, of which a datagram may have thousands."""

_IPV4: Final = b"\x08\x00"


class NeighbourState(Enum):
    """What is known of a neighbour."""

    INCOMPLETE = "incomplete"  # asked for, no answer yet
    REACHABLE = "reachable"
    FAILED = "failed"  # asked for in vain
    PERMANENT = "permanent"  # set by hand, or a broadcast or group address


@dataclass(frozen=True, slots=True)
class NeighbourChanged(Event):
    """A neighbour was found, moved, went unanswered or was forgotten."""

    interface: str
    address: IPv4Address
    mac: MacAddr | None
    state: NeighbourState


class Neighbour:
    """One entry; paths hold on to it, and read ``header`` and ``fresh_until`` for each packet."""

    __slots__ = (
        "address",
        "asked_at",
        "attempts",
        "expires",
        "fresh_until",
        "header",
        "mac",
        "queue",
        "state",
    )

    def __init__(self, address: IPv4Address) -> None:
        self.address = address
        self.mac: MacAddr | None = None
        self.state = NeighbourState.INCOMPLETE
        self.header: bytes | None = None
        """The Ethernet header in front of IPv4 packets to it; None while it is not known."""
        self.fresh_until = Instant(0)
        """Until then packets go out without more ado; later the entry wants a look."""
        self.expires = Instant(0)
        self.queue: list[bytes] = []
        """IP packets that wait for the answer."""
        self.attempts = 0
        self.asked_at: Instant | None = None

    @classmethod
    def fixed(cls, address: IPv4Address, header: bytes, mac: MacAddr | None = None) -> Neighbour:
        """An entry that never changes: a broadcast, a group, or a link without addresses."""
        entry = cls(address)
        entry.header, entry.mac, entry.state = header, mac, NeighbourState.PERMANENT
        entry.fresh_until = entry.expires = FOREVER
        return entry


Unresolved: TypeAlias = Callable[[IPv4Address, list[bytes], Instant], None]


class Neighbours:
    """The ARP table of one interface.

    ``send(frame)`` sends an Ethernet frame, ``source(target)`` gives the sender address for a
    request, ``unresolved(address, packets, now)`` is told of packets that were given up.
    """

    __slots__ = (
        "_alarms",
        "_events",
        "_mac",
        "_name",
        "_send",
        "_source",
        "_table",
        "_unresolved",
        "config",
    )

    def __init__(
        self,
        name: str,
        mac: MacAddr,
        *,
        config: ArpConfig,
        alarms: Alarms,
        events: EventLog,
        send: Callable[[bytes], None],
        source: Callable[[IPv4Address], IPv4Address | None],
        unresolved: Unresolved,
    ) -> None:
        self._name = name
        self._mac = mac
        self.config = config
        self._alarms = alarms
        self._events = events
        self._send = send
        self._source = source
        self._unresolved = unresolved
        self._table: dict[IPv4Address, Neighbour] = {}

    def entry(self, address: IPv4Address) -> Neighbour:
        """The entry for ``address``, a new one if there is none; nothing is asked yet."""
        entry = self._table.get(address)
        if entry is None:
            self._make_room()
            entry = self._table[address] = Neighbour(address)
        return entry

    def get(self, address: IPv4Address, now: Instant) -> MacAddr | None:
        """The MAC of ``address``, if it is known now; None otherwise."""
        entry = self._table.get(address)
        return entry.mac if entry and entry.header is not None and now < entry.expires else None

    def set(self, address: IPv4Address, mac: MacAddr, now: Instant) -> None:
        """A permanent entry, by hand."""
        entry = self.entry(address)
        self._learn(entry, mac, now)
        entry.state = NeighbourState.PERMANENT
        entry.fresh_until = entry.expires = FOREVER

    def forget(self, address: IPv4Address | None = None) -> None:
        """Drop one entry or all; packets that wait for it are dropped too."""
        for entry in list(self._table.values()):
            if address is None or entry.address == address:
                self._drop(entry)

    def transmit(self, entry: Neighbour, packet: bytes, now: Instant) -> None:
        """Send an IP packet to ``entry``, or queue it while the address is being resolved."""
        if entry.header is not None and now < entry.expires:
            if now >= entry.fresh_until:
                self._poll(entry, now)
            self._send(entry.header + packet)
            return
        if self._table.get(entry.address) is not entry:
            self._readmit(entry)
        self.hold(entry, packet)
        if self._alarms.deadline(self._key(entry)) is None:
            self._start(entry, now)

    def hold(self, entry: Neighbour, packet: bytes) -> None:
        """Queue a packet, and drop the oldest where there are too many.

        RFC 1122 2.3.2.2: "The link layer SHOULD save (rather than discard) at least one (the
        latest) packet of each set of packets destined to the same unresolved IP address". The
        fragments of a datagram are one packet here, for one of them alone is worth nothing.
        """
        queue = entry.queue
        queue.append(packet)
        while len(queue) > 1 and self._too_many(queue):
            del queue[0]
            while len(queue) > 1 and _is_later_fragment(queue[0]):
                del queue[0]

    def _too_many(self, queue: list[bytes]) -> bool:
        if len(queue) <= self.config.queue_limit:
            return False
        datagrams = sum(not _is_later_fragment(each) for each in queue)
        return datagrams > self.config.queue_limit or sum(map(len, queue)) > _QUEUE_BYTES

    def suspect(self, address: IPv4Address, now: Instant) -> None:
        """A transport's doubt (RFC 1122 2.3.2.1 (4)): ask again when the entry is next used."""
        entry = self._table.get(address)
        if entry is not None and entry.state is NeighbourState.REACHABLE:
            entry.fresh_until = now

    def hear(self, arp: ArpPacket, for_us: bool, now: Instant) -> None:
        """Learn from a packet: RFC 826's merge, with a new entry only for who asks for us."""
        entry = self._table.get(arp.sender_ip)
        if entry is None:
            if not (for_us and arp.op == ArpOp.REQUEST):
                return
            entry = self.entry(arp.sender_ip)
        if entry.state is not NeighbourState.PERMANENT:
            self._learn(entry, arp.sender_mac, now)

    def request(self, target: IPv4Address, to: MacAddr | None = None) -> None:
        """Ask for ``target``, everybody or only ``to``."""
        source = self._source(target)
        if source is not None:
            self.send(ArpPacket.request(self._mac, source, target), to or MacAddr.BROADCAST)

    def send(self, arp: ArpPacket, to: MacAddr) -> None:
        """Send an ARP packet, padded to the shortest frame."""
        frame = to.packed + self._mac.packed + b"\x08\x06" + arp.emit()
        self._send(frame.ljust(60, b"\0"))

    def _start(self, entry: Neighbour, now: Instant) -> None:
        """Begin to resolve, unless the last request was less than a second ago."""
        entry.attempts = 0
        if entry.header is not None:
            self._note(entry, NeighbourState.INCOMPLETE, now)
        entry.state, entry.header = NeighbourState.INCOMPLETE, None
        # RFC 1122 2.3.2.1: "A mechanism to prevent ARP flooding ... MUST be included. The
        # recommended maximum rate is 1 per second per destination."
        at = now if entry.asked_at is None else after(entry.asked_at, self.config.retry)
        if at <= now:
            self._ask(entry, now)
        else:
            self._alarms.set(self._key(entry), at, lambda then: self._ask(entry, then))

    def _ask(self, entry: Neighbour, now: Instant) -> None:
        if entry.attempts >= self.config.attempts:
            self._give_up(entry, now)
            return
        entry.attempts += 1
        entry.asked_at = now
        at = after(now, self.config.retry)
        self._alarms.set(self._key(entry), at, lambda then: self._ask(entry, then))
        self.request(entry.address)

    def _poll(self, entry: Neighbour, now: Instant) -> None:
        """Ask an entry in use whether it is still there, before it expires: RFC 1122 2.3.2.1 (2).

        "Unicast Poll -- Actively poll the remote host by periodically sending a point-to-point ARP
        Request to it". So traffic does not pause each minute.
        """
        entry.fresh_until = min(after(now, self.config.retry), entry.expires)
        entry.asked_at = now
        self.request(entry.address, entry.mac)

    def _give_up(self, entry: Neighbour, now: Instant) -> None:
        entry.state = NeighbourState.FAILED
        waiting, entry.queue = entry.queue, []
        self._note(entry, NeighbourState.FAILED, now)
        self._unresolved(entry.address, waiting, now)

    def _learn(self, entry: Neighbour, mac: MacAddr, now: Instant) -> None:
        moved = entry.mac != mac or entry.state is not NeighbourState.REACHABLE
        entry.mac = mac
        entry.header = mac.packed + self._mac.packed + _IPV4
        entry.state = NeighbourState.REACHABLE
        entry.expires = after(now, self.config.reachable)
        entry.fresh_until = Instant(entry.expires - self.config.reachable // 4)
        if moved:
            self._note(entry, NeighbourState.REACHABLE, now)
        self._alarms.cancel(self._key(entry))
        waiting, entry.queue = entry.queue, []
        for packet in waiting:
            self._send(entry.header + packet)

    def _note(self, entry: Neighbour, state: NeighbourState, now: Instant) -> None:
        self._events.add(NeighbourChanged(now, self._name, entry.address, entry.mac, state))

    def _make_room(self) -> None:
        """Drop the oldest entry that was not set by hand; a flood of addresses costs no memory."""
        while len(self._table) >= self.config.table_limit:
            oldest = next(
                (each for each in self._table.values() if each.state.value != "permanent"), None
            )
            if oldest is None:
                return
            self._drop(oldest)

    def _readmit(self, entry: Neighbour) -> None:
        """A path still holds an entry that the table dropped: let it stand for its address."""
        held = self._table.pop(entry.address, None)
        if held is not None:
            self._drop_quietly(held)
        self._make_room()
        self._table[entry.address] = entry

    def _drop(self, entry: Neighbour) -> None:
        self._table.pop(entry.address, None)
        self._drop_quietly(entry)

    def _drop_quietly(self, entry: Neighbour) -> None:
        self._alarms.cancel(self._key(entry))
        entry.header, entry.mac, entry.queue = None, None, []
        entry.state, entry.fresh_until, entry.expires = (
            NeighbourState.INCOMPLETE,
            Instant(0),
            Instant(0),
        )

    def _key(self, entry: Neighbour) -> tuple[str, str, IPv4Address]:
        return ("arp", self._name, entry.address)

    def __iter__(self) -> Iterator[Neighbour]:
        return iter(tuple(self._table.values()))

    def __len__(self) -> int:
        return len(self._table)


def _is_later_fragment(packet: bytes) -> bool:
    """Whether an IP packet is a fragment that begins within its datagram."""
    return bool(packet[6] & 0x1F or packet[7])
