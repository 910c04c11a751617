"""Many hosts behind one address: NAPT (RFC 3022) as RFC 4787, RFC 5382 and RFC 5508 want it.

Where it stands in a router: packets from the inside go through ``outward`` once they are routed to
the outside, packets from the outside for the router's own address through ``inward`` before they
are delivered. Both take whole packets: fragments are put together before (RFC 4787 REQ-14) and the
result is cut up again, if it must be, after. What comes back is to be routed by its destination.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address

from testbed.stack.entropy import Entropy
from testbed.stack.events import EventLog, PacketDropped
from testbed.stack.nat_rewrite import (
    ERRORS,
    QUERIES,
    REPLIES,
    Side,
    endpoints,
    quoted,
    readdressed,
    requoted,
)
from testbed.stack.nat_table import (
    Filtering,
    Mapping,
    MappingGone,
    MappingMade,
    MappingTable,
    NatConfig,
    NatMapping,
    Peer,
)
from testbed.stack.variants import Variants
from testbed.timing import Instant
from testbed.wire.ipv4 import IpProtocol, IPv4Packet
from testbed.wire.tcp import TcpFlags

__all__ = ["Filtering", "MappingGone", "MappingMade", "Nat", "NatConfig", "NatMapping"]


class Nat:
    """The translator of one outside address.

    ``taken`` tells of outside ports that the router itself uses: (protocol, port).
    """

    __slots__ = ("_config", "_events", "_table", "address")

    def __init__(
        self,
        address: IPv4Address,
        config: NatConfig,
        *,
        entropy: Entropy,
        events: EventLog,
        taken: Callable[[int, int], bool] = lambda _protocol, _port: False,
        variants: Variants | None = None,
    ) -> None:
        self.address = address
        self._config = config
        self._events = events
        made = (variants or Variants()).of(MappingTable)
        self._table = made(config, entropy, events, taken)

    @property
    def mappings(self) -> tuple[NatMapping, ...]:
        """All mappings."""
        return tuple(
            NatMapping(
                each.protocol,
                each.inside,
                each.port,
                each.outside_port,
                tuple(each.sessions),
                each.permanent,
            )
            for each in self._table.inside.values()
        )

    def forward(
        self, protocol: int, outside_port: int, inside: IPv4Address, port: int, now: Instant
    ) -> None:
        """Let everybody outside reach ``inside``:``port`` at ``outside_port``, for good.

        PlanError where one of the two has a mapping already.
        """
        mapping = Mapping(protocol, inside, port, outside_port, permanent=True)
        self._table.forward(mapping, now)

    def owns(self, packet: IPv4Packet) -> bool:
        """Whether a packet for the outside address belongs to a mapping.

        If not, it is for the router itself. If it does and ``inward`` or ``outward`` gives None, it
        is to be dropped in silence.
        """
        if packet.dst != self.address:
            return False
        if self._is_error(packet):
            inner = quoted(packet)
            ends = endpoints(inner, partial=True) if inner else None
            place = ends and inner and (inner.protocol, ends.source or ends.destination)
        else:
            ends = endpoints(packet)
            place = ends and (packet.protocol, ends.destination)
        return place in self._table.outside

    def outward(self, packet: IPv4Packet, now: Instant) -> IPv4Packet | None:
        """A packet from inside as it leaves, None if it is to be dropped.

        One for the outside address itself comes back with a destination inside: hairpinning.
        """
        self.expire(now)
        if packet.is_fragment:
            self._drop("fragment", now)
            return None
        leaving = self._error_out(packet) if self._is_error(packet) else self._out(packet, now)
        if leaving is None or leaving.dst != self.address:
            return leaving
        # RFC 4787 REQ-9 a: the external source address and port, as to anybody outside.
        if not self._config.hairpin:
            self._drop("hairpin", now)
            return None
        return self.inward(leaving, now)

    def inward(self, packet: IPv4Packet, now: Instant) -> IPv4Packet | None:
        """A packet from outside as it goes on inside, None if it is for no mapping or filtered."""
        self.expire(now)
        if packet.is_fragment or packet.dst != self.address:
            return None
        if self._is_error(packet):
            return self._error_in(packet)
        return self._in(packet, now)

    def next_deadline(self) -> Instant | None:
        """When ``expire`` has something to look after; it never hurts to call it late."""
        return self._table.next_deadline()

    def expire(self, now: Instant) -> None:
        """Forget what ran out."""
        self._table.expire(now)

    def reconfigure(self, config: NatConfig) -> None:
        """Go on with other settings; mappings live on by the old ones until they are next used."""
        self._config = config
        self._table.config = config

    def clear(self, address: IPv4Address, now: Instant) -> None:
        """The outside address is now ``address``: all mappings but the permanent ones go."""
        self.address = address
        self._table.clear(now)

    def _is_error(self, packet: IPv4Packet) -> bool:
        payload = packet.payload
        return packet.protocol == IpProtocol.ICMP and len(payload) >= 8 and payload[0] in ERRORS

    def _out(self, packet: IPv4Packet, now: Instant) -> IPv4Packet | None:
        ends = endpoints(packet)
        if ends is None:
            self._drop("cannot be translated", now)
            return None
        port = ends.source
        reply = packet.protocol == IpProtocol.ICMP and packet.payload[0] in REPLIES
        if reply:
            port = ends.destination
        mapping = self._table.inside.get((packet.protocol, packet.src, port))
        if mapping is None:
            if reply or self._ends_a_connection(packet):
                self._drop("no mapping", now)
                return None
            mapping = self._table.open(packet.protocol, packet.src, port, now)
            if mapping is None:
                self._drop("no port or room for a mapping", now)
                return None
        peer = 0 if packet.protocol == IpProtocol.ICMP else ends.destination
        session = self._table.session(mapping, (packet.dst, peer))
        self._table.refresh(mapping, session, packet, now, outward=True)
        return readdressed(packet, Side.SOURCE, self.address, mapping.outside_port)

    def _in(self, packet: IPv4Packet, now: Instant) -> IPv4Packet | None:
        ends = endpoints(packet)
        if ends is None or (packet.protocol == IpProtocol.ICMP and packet.payload[0] in QUERIES):
            return None
        mapping = self._table.outside.get((packet.protocol, ends.destination))
        if mapping is None:
            return None
        peer = (packet.src, 0 if packet.protocol == IpProtocol.ICMP else ends.source)
        if not self._admits(mapping, peer):
            self._drop("filtered", now)
            return None
        session = self._table.session(mapping, peer)
        self._table.refresh(mapping, session, packet, now, outward=False)
        return readdressed(packet, Side.DESTINATION, mapping.inside, mapping.port)

    def _admits(self, mapping: Mapping, peer: Peer) -> bool:
        """Whether ``peer`` may write to the mapping (RFC 4787 5)."""
        filtering = self._config.filtering
        if mapping.permanent or filtering is Filtering.ENDPOINT_INDEPENDENT:
            return True
        if peer in mapping.sessions:
            return True
        if filtering is Filtering.ADDRESS_AND_PORT_DEPENDENT:
            return False
        return any(address == peer[0] for address, _ in mapping.sessions)

    def _error_in(self, packet: IPv4Packet) -> IPv4Packet | None:
        """An error about a packet that left here: to its sender, which sees what it sent.

        RFC 5508 REQ-4: the mapping of the quoted packet counts, and its timers stay (REQ-6).
        """
        inner = quoted(packet)
        if inner is None or inner.src != self.address:
            return None
        ends = endpoints(inner, partial=True)
        if ends is None:
            return None
        mapping = self._table.outside.get((inner.protocol, ends.source or ends.destination))
        if mapping is None:
            return None
        inner = readdressed(inner, Side.SOURCE, mapping.inside, mapping.port)
        return replace(packet, dst=mapping.inside, payload=requoted(packet, inner))

    def _error_out(self, packet: IPv4Packet) -> IPv4Packet | None:
        """An error from inside about a packet that came in: as if from here (RFC 5508 REQ-5)."""
        inner = quoted(packet)
        ends = endpoints(inner, partial=True) if inner else None
        if inner is None or ends is None:
            return None
        port = ends.destination or ends.source
        mapping = self._table.inside.get((inner.protocol, inner.dst, port))
        if mapping is None:
            return None
        inner = readdressed(inner, Side.DESTINATION, self.address, mapping.outside_port)
        return replace(packet, src=self.address, payload=requoted(packet, inner))

    def _ends_a_connection(self, packet: IPv4Packet) -> bool:
        """Whether it is a reset, which is worth no new mapping."""
        return packet.protocol == IpProtocol.TCP and bool(packet.payload[13] & TcpFlags.RST)

    def _drop(self, reason: str, now: Instant) -> None:
        self._events.add(PacketDropped(now, "nat", reason))
