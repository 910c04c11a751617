"""Faults of router discovery, and of groups and what is reported of them."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Final

from testbed.stack.advertise import RouterAdvertiser, RouterDiscovery
from testbed.stack.interface import Interface
from testbed.stack.memberships import Memberships
from testbed.stack.multicast import GroupMembership
from testbed.stack.neighbours import Neighbour
from testbed.stack.variants import Defect
from testbed.timing import Duration, Instant, seconds
from testbed.wire.addresses import MacAddr
from testbed.wire.icmp_info import RouterAdvertisement

__all__ = [
    "ANSWERS_FROM_AFAR",
    "BELIEVES_FAR_ROUTERS",
    "GROUP_MAC_OF_24_BITS",
    "IGNORES_SOLICITATIONS",
    "IGNORES_WITHDRAWAL",
    "KEEPS_EXPIRED_ROUTERS",
    "LEAVES_IN_SILENCE",
    "LIFETIME_ZERO",
    "LIKES_NUMBERS",
    "LIKES_THE_LOWEST",
    "NO_FAREWELL",
    "REPORTS_LATE",
    "SOLICITS_FOR_EVER",
    "STAYS_IN_GROUPS",
]

# Router discovery


class _Worthless(RouterAdvertiser):
    __slots__ = ()

    def _emit(self, lifetime: Duration, now: Instant) -> None:
        del lifetime
        super()._emit(seconds(0), now)


class _Vanishes(RouterAdvertiser):
    __slots__ = ()

    def _emit(self, lifetime: Duration, now: Instant) -> None:
        if lifetime:
            super()._emit(lifetime, now)


class _DeafToSolicitations(RouterAdvertiser):
    __slots__ = ()

    def solicited(self, source: IPv4Address, now: Instant) -> None:
        pass


class _AnswersAll(RouterAdvertiser):
    __slots__ = ()

    def solicited(self, source: IPv4Address, now: Instant) -> None:
        del source
        super().solicited(IPv4Address(0), now)


class _Loyal(RouterDiscovery):
    __slots__ = ()

    def _forget(self, address: IPv4Address) -> None:
        pass


class _Remembers(RouterDiscovery):
    __slots__ = ()

    def _expire(self, address: IPv4Address, now: Instant) -> None:
        pass


class _Contrary(RouterDiscovery):
    __slots__ = ()

    def best(self) -> IPv4Address | None:
        heard = self._routers.values()
        return min(heard, key=lambda each: each.preference).address if heard else None


class _Gullible(RouterDiscovery):
    __slots__ = ()

    def advertised(self, message: RouterAdvertisement, now: Instant) -> None:
        before = self.best()
        for address, preference in message.routers:
            self._learn(address, preference, seconds(message.lifetime), now)
        self._tell(before, now)


class _Insistent(RouterDiscovery):
    __slots__ = ()

    def _solicit(self, now: Instant) -> None:
        self._tries = 0
        super()._solicit(now)


LIFETIME_ZERO: Final = Defect(
    "lifetime 0 sent",
    "IP-10",
    "A router whose lifetime was left at its initial value withdraws itself with each "
    "advertisement, and its hosts reach nobody.",
    {RouterAdvertiser: _Worthless},
)
NO_FAREWELL: Final = Defect(
    "goes without farewell",
    "IP-10",
    "A router that is taken out of service does not say so, and hosts send into the void for half "
    "an hour.",
    {RouterAdvertiser: _Vanishes},
)
IGNORES_SOLICITATIONS: Final = Defect(
    "ignores solicitations",
    "IP-10",
    "A host that boots has no way out until the router's next advertisement, ten minutes later.",
    {RouterAdvertiser: _DeafToSolicitations},
)
ANSWERS_FROM_AFAR: Final = Defect(
    "answers solicitations from afar",
    "IP-10",
    "A router answers whoever asks, also with a source that is none of its neighbours, and can be "
    "made to advertise all day from outside.",
    {RouterAdvertiser: _AnswersAll},
)
SOLICITS_FOR_EVER: Final = Defect(
    "asks for ever",
    "IP-10",
    "A thousand hosts on a link without a router ask for one every three seconds.",
    {RouterDiscovery: _Insistent},
)
IGNORES_WITHDRAWAL: Final = Defect(
    "ignores withdrawal",
    "IP-10",
    "A host goes on with a router that has said that it goes out of service.",
    {RouterDiscovery: _Loyal},
)
KEEPS_EXPIRED_ROUTERS: Final = Defect(
    "keeps expired routers",
    "IP-10",
    "A host goes on with a router that has not been heard of for longer than it promised.",
    {RouterDiscovery: _Remembers},
)
LIKES_THE_LOWEST: Final = Defect(
    "likes the lowest preference",
    "IP-10",
    "A host reads preferences as metrics and takes the backup router while the good one is there.",
    {RouterDiscovery: _Contrary},
)
BELIEVES_FAR_ROUTERS: Final = Defect(
    "believes in far routers",
    "IP-10",
    "A host takes a router that is on no subnet of its own, which it can never reach.",
    {RouterDiscovery: _Gullible},
)

# Groups


class _Maps24Bits(Interface):
    __slots__ = ()

    def neighbour(self, next_hop: IPv4Address) -> Neighbour:
        if next_hop.is_multicast and self.mac is not None:
            mac = MacAddr(b"\x01\x00\x5e" + next_hop.packed[1:])
            return Neighbour.fixed(next_hop, mac.packed + self.mac.packed + b"\x08\x00", mac)
        return super().neighbour(next_hop)


class _SaysNoGoodbye(GroupMembership):
    __slots__ = ()

    def _leave(self, held: object, now: Instant, within: Duration) -> None:
        pass


class _Tardy(GroupMembership):
    __slots__ = ()

    def _start(self, held: object, now: Instant, within: Duration) -> None:
        super()._start(held, Instant(now + seconds(2)), within)  # type: ignore[arg-type]


class _Stays(Memberships):
    __slots__ = ()

    def leave(self, group: IPv4Address, interface: str, now: Instant) -> None:
        self.on(interface).leave(group, now)


GROUP_MAC_OF_24_BITS: Final = Defect(
    "24 bits of the group in the MAC",
    "IP-13",
    "A driver puts 24 bits of the group's address behind 01:00:5e: every second group goes to "
    "stations that nobody listens for.",
    {Interface: _Maps24Bits},
)
LEAVES_IN_SILENCE: Final = Defect(
    "leaves in silence",
    "IP-13",
    "A set-top box leaves its channel without a word, and channel after channel goes on filling "
    "the line.",
    {GroupMembership: _SaysNoGoodbye},
)
REPORTS_LATE: Final = Defect(
    "reports late",
    "IP-13",
    "A host takes longer to answer the querier than it was given, and the stream stops.",
    {GroupMembership: _Tardy},
)
STAYS_IN_GROUPS: Final = Defect(
    "stays in groups",
    "IP-13",
    "A stack that left a group goes on taking its datagrams.",
    {Memberships: _Stays},
)


class _LikesNumbers(RouterDiscovery):
    __slots__ = ()

    def best(self) -> IPv4Address | None:
        usable = [
            each for each in self._routers.values() if each.preference != RouterAdvertisement.NEVER
        ]
        return max(usable, key=lambda each: abs(each.preference)).address if usable else None


LIKES_NUMBERS = Defect(
    "reads preferences without their sign",
    "IP-10",
    "A host takes a preference for a number without a sign: the router that least wants to be "
    "chosen is its first choice.",
    {RouterDiscovery: _LikesNumbers},
)
