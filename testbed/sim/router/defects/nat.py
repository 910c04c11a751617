"""Faults of a translator (AP-03)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from testbed.stack.interface import Interface
from testbed.stack.nat import Nat
from testbed.stack.nat_table import Mapping, MappingTable, Session
from testbed.stack.router import Router
from testbed.stack.translation import NatRouter
from testbed.stack.variants import Defect
from testbed.timing import Duration, Instant, after, seconds
from testbed.wire.ipv4 import IpProtocol, IPv4Packet

__all__ = [
    "CHECKSUM_STALE",
    "CHECKSUM_STALE_INWARD",
    "CLEARS_TYPE_OF_SERVICE",
    "DROPS_FRAGMENTS",
    "ERRORS_STAY_OUTSIDE",
    "FORGETS_EARLY",
    "LEAKS_INSIDE",
    "LETS_OUTSIDE_IN",
    "NEVER_FORGETS",
    "NEW_PORT_FOR_EACH_PEER",
    "NO_HAIRPIN",
    "NO_ICMP",
    "QUOTES_OUTSIDE",
    "SHARED_MAPPING",
    "STRIPS_OPTIONS",
]

_PROTOCOLS: Final = {IpProtocol.TCP: 16, IpProtocol.UDP: 6, IpProtocol.ICMP: 2}


def _with_old_checksum(changed: IPv4Packet, before: IPv4Packet) -> IPv4Packet:
    at = _PROTOCOLS.get(changed.protocol)
    if at is None or len(before.payload) < at + 2:
        return changed
    old = before.payload[at : at + 2]
    return replace(changed, payload=changed.payload[:at] + old + changed.payload[at + 2 :])


class _StaleOutward(Nat):
    __slots__ = ()

    def outward(self, packet: IPv4Packet, now: Instant) -> IPv4Packet | None:
        changed = super().outward(packet, now)
        return None if changed is None else _with_old_checksum(changed, packet)


class _StaleInward(Nat):
    __slots__ = ()

    def inward(self, packet: IPv4Packet, now: Instant) -> IPv4Packet | None:
        changed = super().inward(packet, now)
        return None if changed is None else _with_old_checksum(changed, packet)


class _Shares(MappingTable):
    __slots__ = ()

    def _free_port(self, protocol: int, port: int) -> int | None:
        del protocol
        return port

    def _remove(self, mapping: Mapping, now: Instant) -> None:
        # Its outside port may be another's by now, or gone with it.
        held = self.outside.get((mapping.protocol, mapping.outside_port))
        self.outside[mapping.protocol, mapping.outside_port] = mapping
        super()._remove(mapping, now)
        if held is not None and held is not mapping:
            self.outside[held.protocol, held.outside_port] = held


class _Symmetric(MappingTable):
    __slots__ = ()

    def session(self, mapping: Mapping, peer: tuple[object, int]) -> Session:
        if mapping.sessions and peer not in mapping.sessions and not mapping.permanent:
            self._move(mapping)
        return super().session(mapping, peer)  # type: ignore[arg-type]

    def _move(self, mapping: Mapping) -> None:
        fresh = self._free_port(mapping.protocol, mapping.outside_port)
        if fresh is not None:
            del self.outside[mapping.protocol, mapping.outside_port]
            mapping.outside_port = fresh
            self.outside[mapping.protocol, fresh] = mapping


class _Aged(MappingTable):
    __slots__ = ()

    def span(self, left: Duration) -> Duration:
        return left

    def refresh(
        self,
        mapping: Mapping,
        session: Session,
        packet: IPv4Packet,
        now: Instant,
        *,
        outward: bool,
    ) -> None:
        super().refresh(mapping, session, packet, now, outward=outward)
        session.expires = after(now, self.span(Duration(session.expires - now)))
        soonest = min(each.expires for each in mapping.sessions.values())
        self._timers.set(mapping.key, soonest)


class _Quarter(_Aged):
    __slots__ = ()

    def span(self, left: Duration) -> Duration:
        return Duration(left // 4)


class _Eternal(_Aged):
    __slots__ = ()

    def span(self, left: Duration) -> Duration:
        del left
        return seconds(10**8)


class _NoErrors(Nat):
    __slots__ = ()

    def _error_in(self, packet: IPv4Packet) -> IPv4Packet | None:
        del packet
        return None


class _QuotesAsItCame(Nat):
    __slots__ = ()

    def _error_in(self, packet: IPv4Packet) -> IPv4Packet | None:
        changed = super()._error_in(packet)
        return None if changed is None else replace(changed, payload=packet.payload)


class _NoIcmp(Nat):
    __slots__ = ()

    def outward(self, packet: IPv4Packet, now: Instant) -> IPv4Packet | None:
        if packet.protocol == IpProtocol.ICMP:
            self._drop("ICMP", now)
            return None
        return super().outward(packet, now)


class _Straight(Nat):
    __slots__ = ()

    def outward(self, packet: IPv4Packet, now: Instant) -> IPv4Packet | None:
        if packet.dst == self.address:
            self._drop("hairpin", now)
            return None
        return super().outward(packet, now)


class _OpenHouse(NatRouter):
    __slots__ = ()

    def shut_out(self, packet: IPv4Packet, interface: Interface, now: Instant) -> None:
        Router.pass_on(self, packet, interface, now)


class _NoPieces(NatRouter):
    __slots__ = ()

    def whole(self, packet: IPv4Packet, now: Instant) -> IPv4Packet | None:
        del now
        return None if packet.is_fragment else packet


class _LeaksUntranslatable(NatRouter):
    __slots__ = ()

    def translate(self, packet: IPv4Packet, interface: Interface, now: Instant) -> None:
        flags = packet.payload[13] if len(packet.payload) > 13 else 0
        ends = packet.protocol == IpProtocol.TCP and flags & 5
        if ends and interface.name != self.outside:
            Router.pass_on(self, packet, interface, now)
        else:
            super().translate(packet, interface, now)


class _ClearsTos(Nat):
    __slots__ = ()

    def outward(self, packet: IPv4Packet, now: Instant) -> IPv4Packet | None:
        changed = super().outward(packet, now)
        return None if changed is None else replace(changed, tos=0)


class _StripsOptions(Nat):
    __slots__ = ()

    def inward(self, packet: IPv4Packet, now: Instant) -> IPv4Packet | None:
        changed = super().inward(packet, now)
        return None if changed is None else replace(changed, options=b"")


CHECKSUM_STALE: Final = Defect(
    "checksum stale",
    "AP-03",
    "Addresses and ports are rewritten, and the transport's checksum is that of the packet before: "
    "everybody outside drops it.",
    {Nat: _StaleOutward},
)
CHECKSUM_STALE_INWARD: Final = Defect(
    "checksum stale inward",
    "AP-03",
    "What comes back is rewritten without its checksum: requests arrive, answers never do.",
    {Nat: _StaleInward},
)
SHARED_MAPPING: Final = Defect(
    "two hosts share a mapping",
    "AP-03",
    "Two hosts that use the same source port get the same port outside, and the answers of one go "
    "to the other.",
    {MappingTable: _Shares},
)
NEW_PORT_FOR_EACH_PEER: Final = Defect(
    "a new port for each peer",
    "AP-03",
    "A symmetric translator: calls between two homes never get through.",
    {MappingTable: _Symmetric},
)
FORGETS_EARLY: Final = Defect(
    "forgets early",
    "AP-03",
    "Mappings live a quarter of their time: idle sessions hang, and calls are cut off.",
    {MappingTable: _Quarter},
)
NEVER_FORGETS: Final = Defect(
    "never forgets",
    "AP-03",
    "Mappings are never removed: after a week there are no ports left, and only a reboot helps.",
    {MappingTable: _Eternal},
)
ERRORS_STAY_OUTSIDE: Final = Defect(
    "ICMP errors stay outside",
    "AP-03",
    "Errors about translated packets are dropped: no path-MTU discovery, no traceroute from "
    "inside.",
    {Nat: _NoErrors},
)
QUOTES_OUTSIDE: Final = Defect(
    "quotation left as it came",
    "AP-03",
    "The error is sent in, and the packet that it quotes has the outside address: its host does "
    "not know it.",
    {Nat: _QuotesAsItCame},
)
NO_ICMP: Final = Defect(
    "translates no ICMP",
    "AP-03",
    "What has no ports cannot be translated, says the translator: no ping from inside.",
    {Nat: _NoIcmp},
)
NO_HAIRPIN: Final = Defect(
    "no way from inside to inside",
    "AP-03",
    "The office's own web server is reached from everywhere but from the office.",
    {Nat: _Straight},
)
LETS_OUTSIDE_IN: Final = Defect(
    "lets outside in",
    "AP-03",
    "Who is on the provider's link and sets a route reaches every host inside by its own address.",
    {NatRouter: _OpenHouse},
)
DROPS_FRAGMENTS: Final = Defect(
    "drops fragments",
    "AP-03",
    "Later fragments have no ports to look up, and large datagrams never pass.",
    {NatRouter: _NoPieces},
)
LEAKS_INSIDE: Final = Defect(
    "leaks inside addresses",
    "AP-03",
    "The last segments of a connection leave untranslated, with addresses that are nobody's "
    "outside.",
    {NatRouter: _LeaksUntranslatable},
)
CLEARS_TYPE_OF_SERVICE: Final = Defect(
    "clears the type of service",
    "AP-03",
    "A translator makes headers anew and forgets DSCP and ECN: calls behind it stutter whenever "
    "somebody downloads.",
    {Nat: _ClearsTos},
)
STRIPS_OPTIONS: Final = Defect(
    "strips options",
    "AP-03",
    "A translator makes headers anew without their options: what a host had asked of the routers "
    "on the way is asked of none.",
    {Nat: _StripsOptions},
)
