"""Interfaces: a name, a link, addresses, and, where the link has addresses too, ARP."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from testbed.errors import PlanError, WireError
from testbed.stack.conflict import AddressState, Claim, Outcome
from testbed.stack.core import Core
from testbed.stack.neighbours import Neighbour, Neighbours, Unresolved
from testbed.stack.output import Outgoing
from testbed.timing import Instant
from testbed.wire.addresses import MacAddr
from testbed.wire.arp import ArpOp, ArpPacket
from testbed.wire.subnets import multicast_mac

__all__ = ["Interface", "broadcasts_of"]

_BROADCAST = IPv4Address("255.255.255.255")


class Interface:
    """A place where frames go in and out. With ``mac`` None they are bare IP packets."""

    __slots__ = (
        "_core",
        "_networks",
        "addresses",
        "broadcast",
        "claims",
        "conflicts",
        "frames_in",
        "groups",
        "mac",
        "mtu",
        "name",
        "neighbours",
        "point_to_point",
        "up",
    )

    def __init__(
        self, name: str, mac: MacAddr | None, mtu: int, core: Core, unresolved: Unresolved
    ) -> None:
        if not 68 <= mtu <= 65535:
            # RFC 791 3.2: "Every internet module must be able to forward a datagram of 68 octets".
            raise PlanError(f"{name}: MTU {mtu}, expected 68 to 65535")
        self.name = name
        self.mac = mac
        self.mtu = mtu
        self.up = True
        self.addresses: list[IPv4Interface] = []
        """In use, the first one is preferred as a source."""
        self.claims: dict[IPv4Address, Claim] = {}
        self.groups: dict[IPv4Address, int] = {}
        """Groups joined, each with how many sockets did."""
        self.frames_in = 0
        self.conflicts = 0
        self._core = core
        self._networks = tuple(_network(each) for each in core.config.arp.answer_for)
        neighbours = core.variants.of(Neighbours)
        self.neighbours = neighbours(
            name,
            mac or MacAddr.ZERO,
            config=core.config.arp,
            alarms=core.alarms,
            events=core.events,
            send=self.send_frame,
            source=self.source_for,
            unresolved=unresolved,
        )
        head = b"" if mac is None else MacAddr.BROADCAST.packed + mac.packed + b"\x08\x00"
        self.broadcast = Neighbour.fixed(_BROADCAST, head, MacAddr.BROADCAST)
        self.point_to_point = Neighbour.fixed(IPv4Address(0), b"") if mac is None else None

    def send_frame(self, frame: bytes) -> None:
        """Put a frame into the stack's output; a link that is down swallows it."""
        if self.up:
            self._core.output.append(Outgoing(self.name, frame))

    def neighbour(self, next_hop: IPv4Address) -> Neighbour:
        """Who takes packets for ``next_hop``: a neighbour, a group, or the only other end."""
        if self.point_to_point is not None:
            return self.point_to_point
        if next_hop.is_multicast and self.mac is not None:
            mac = multicast_mac(next_hop)
            return Neighbour.fixed(next_hop, mac.packed + self.mac.packed + b"\x08\x00", mac)
        return self.neighbours.entry(next_hop)

    def on_link(self, address: IPv4Address) -> bool:
        """Whether ``address`` lies in a subnet of this interface."""
        return any(address in held.network for held in self.addresses)

    def source_for(self, destination: IPv4Address) -> IPv4Address | None:
        """The address to send from: one in ``destination``'s subnet, or the first; None without."""
        for held in self.addresses:
            if destination in held.network:
                return held.ip
        return self.addresses[0].ip if self.addresses else None

    # Addresses

    def claim(self, address: IPv4Address, now: Instant, *, probe: bool, outcome: Outcome) -> None:
        """Make ``address`` this interface's, after probing for it if asked to."""
        core = self._core
        made = core.variants.of(Claim)(
            address,
            self.mac or MacAddr.ZERO,
            config=core.config.arp,
            alarms=core.alarms,
            events=core.events,
            entropy=core.entropy,
            send=self._broadcast_arp,
            outcome=outcome,
        )
        self.claims[address] = made
        if probe and self.mac is not None:
            made.start(now, self.conflicts)
        else:
            made.hold(now)

    def _broadcast_arp(self, arp: ArpPacket) -> None:
        self.neighbours.send(arp, MacAddr.BROADCAST)

    # ARP

    def receive_arp(self, data: bytes, now: Instant) -> None:
        """Take one ARP packet: RFC 826's reception, with conflict detection before it."""
        try:
            arp = ArpPacket.parse(data)
        except WireError:
            self._core.drop("arp", "malformed", now)
            return
        if arp.op not in (ArpOp.REQUEST, ArpOp.REPLY):
            self._core.drop("arp", "unknown operation", now)
            return
        if arp.sender_mac.is_group or arp.sender_mac == MacAddr.ZERO:
            self._core.drop("arp", "sender has no station's address", now)
            return
        self.hear_claims(arp, now)
        if arp.sender_mac == self.mac:
            return
        for_us = self.holds(arp.target_ip)
        if self.believable(arp.sender_ip):
            self.neighbours.hear(arp, for_us, now)
        # An announcement asks nobody: a rival's is met by defence (RFC 5227 2.4), not by an answer.
        asked = arp.op == ArpOp.REQUEST and not arp.is_announcement
        if asked and (for_us or self.proxies(arp)):
            self.answer(arp)

    def hear_claims(self, arp: ArpPacket, now: Instant) -> None:
        """Show the packet to who keeps each address: there may be a conflict."""
        for claim in tuple(self.claims.values()):
            claim.hear(arp, now)

    def holds(self, address: IPv4Address) -> bool:
        """Whether ``address`` is in use on this interface."""
        claim = self.claims.get(address)
        return claim is not None and claim.state is AddressState.HELD

    def believable(self, address: IPv4Address) -> bool:
        """Whether a binding of ``address`` may be learned: a single host's, and not one's own."""
        number = int(address)
        return 0 < number >> 24 < 224 and number >> 24 != 127 and address not in self.claims

    def proxies(self, arp: ArpPacket) -> bool:
        """Whether to answer for another host (RFC 1027)."""
        if arp.is_probe or not self._networks:
            return False
        return any(arp.target_ip in network for network in self._networks)

    def answer(self, arp: ArpPacket) -> None:
        """Answer a request, to the asker alone."""
        if self._core.answers.arp and self.mac is not None:
            reply = ArpPacket.reply(self.mac, arp.target_ip, arp.sender_mac, arp.sender_ip)
            self.neighbours.send(reply, arp.sender_mac)

    def hears_group(self, group: IPv4Address) -> bool:
        """Whether ``group`` was joined here; all hosts are in 224.0.0.1 (RFC 1112 4)."""
        return group in self.groups or int(group) == 0xE0000001


def _network(text: str) -> IPv4Network:
    return IPv4Network(text, strict=False)


def broadcasts_of(addresses: Iterable[IPv4Interface]) -> set[IPv4Address]:
    """The directed broadcasts of the subnets of ``addresses``; /31 and /32 have none (RFC 3021)."""
    return {each.network.broadcast_address for each in addresses if each.network.prefixlen < 31}
