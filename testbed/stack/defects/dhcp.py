"""Faults of DHCP clients and servers."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Final

from testbed.stack.services.dhcp_client import DhcpClient
from testbed.stack.services.dhcp_messages import ClientMessages
from testbed.stack.services.dhcp_pool import Pool
from testbed.stack.services.dhcp_server import DhcpServer
from testbed.stack.services.dhcp_states import ClientEvent
from testbed.stack.variants import Defect
from testbed.timing import Duration, Instant
from testbed.wire.dhcp import DhcpMessage

__all__ = [
    "FORGETS_DECLINES",
    "FORGETS_RENEWALS",
    "IGNORES_NAK",
    "KEEPS_EXPIRED_ADDRESS",
    "LEASES_TWICE",
    "NEVER_BACKS_OFF",
    "NEVER_REFUSES",
    "OFFERS_TAKEN",
    "RELEASED_BY_ANYBODY",
    "RENEWS_BY_BROADCAST",
    "TAKES_ANY_ANSWER",
    "TAKES_OTHERS_REQUESTS",
    "USES_TAKEN",
]

# DHCP clients


class _ChecksNothing(DhcpClient):
    __slots__ = ()

    def check(self, now: Instant) -> None:
        if self.lease is not None:
            self._at(None, ClientEvent.RETRY)
            self._stack.add_address(self.interface, self.lease.address, now, probe=False)
            self.happen(ClientEvent.FREE, now)


class _Stays(DhcpClient):
    __slots__ = ()

    def halt(self, now: Instant) -> None:
        self.start_over(now)


class _AsksAll(DhcpClient):
    __slots__ = ()

    def _unicast(self, message: DhcpMessage, server: IPv4Address, now: Instant) -> None:
        del server
        self._broadcast(message, now, source=message.ciaddr)


class _TakesAny(ClientMessages):
    __slots__ = ()

    def answered_by(self, message: DhcpMessage) -> bool:
        del message
        return True


class _DeafToNak(DhcpClient):
    __slots__ = ()

    def happen(self, event: ClientEvent, now: Instant) -> None:
        if event is not ClientEvent.NAK:
            super().happen(event, now)


class _Impatient(DhcpClient):
    __slots__ = ()

    def back_off(self, attempt: int) -> Duration:
        return super().back_off(min(attempt, 1))


# DHCP servers


class _PingsNobody(DhcpServer):
    __slots__ = ()

    def ping(self, address: IPv4Address, now: Instant) -> None:
        pass


class _OneForAll(Pool):
    __slots__ = ()

    def is_free(self, address: IPv4Address, client: bytes, now: Instant) -> bool:
        del client, now
        held = self.at(address)
        return self.in_range(address) and (held is None or bool(held.client))

    def _fresh(self, client: bytes, now: Instant) -> IPv4Address | None:
        numbers = range(int(self.subnet.first), int(self.subnet.last) + 1)
        free = (IPv4Address(number) for number in numbers)
        return next((each for each in free if self.is_free(each, client, now)), None)


class _SaysNoToNobody(DhcpServer):
    __slots__ = ()

    def refuse(self, message: DhcpMessage, why: str, now: Instant) -> None:
        pass


class _DeafToDecline(DhcpServer):
    __slots__ = ()

    def on_decline(self, message: DhcpMessage, pool: Pool, now: Instant) -> None:
        self.on_release(message, pool, now)
        pool.free(message.client_key, now)


class _Meddles(DhcpServer):
    __slots__ = ()

    def on_selecting(
        self, message: DhcpMessage, pool: Pool, server: IPv4Address, now: Instant
    ) -> None:
        del server
        super().on_selecting(message, pool, self.address, now)


OFFERS_TAKEN: Final = Defect(
    "offers a taken address",
    "AP-01",
    "A server whose book was lost in a crash gives out addresses that hosts still use, for it asks "
    "nobody before it offers one.",
    {DhcpServer: _PingsNobody},
)
LEASES_TWICE: Final = Defect(
    "leases one address twice",
    "AP-01",
    "Two of a pair of servers, or one whose book is not kept, give the same address to two "
    "clients, and both lose their connections in turn.",
    {Pool: _OneForAll},
)
NEVER_REFUSES: Final = Defect(
    "never refuses",
    "AP-01",
    "A laptop comes from another network, asks to keep its address, and hangs until it gives up, "
    "for the server does not tell it that the address is wrong here.",
    {DhcpServer: _SaysNoToNobody},
)
FORGETS_DECLINES: Final = Defect(
    "forgets declines",
    "AP-01",
    "A server gives an address that was declined to the next client, which declines it again, and "
    "so on: one wrong host keeps all others off the network.",
    {DhcpServer: _DeafToDecline},
)
TAKES_OTHERS_REQUESTS: Final = Defect(
    "takes requests to other servers",
    "AP-01",
    "A second server answers requests that name the first one, and refuses what the first one "
    "grants.",
    {DhcpServer: _Meddles},
)
USES_TAKEN: Final = Defect(
    "uses a taken address",
    "AP-01",
    "A client goes on with the address it was given though somebody else has it.",
    {DhcpClient: _ChecksNothing},
)
KEEPS_EXPIRED_ADDRESS: Final = Defect(
    "keeps an expired address",
    "AP-01",
    "A client whose lease ran out while the server was away goes on with the address, which the "
    "server gives to somebody else.",
    {DhcpClient: _Stays},
)
RENEWS_BY_BROADCAST: Final = Defect(
    "renews by broadcast",
    "AP-01",
    "A client asks all servers for more time from the beginning, and wakes every host of the LAN.",
    {DhcpClient: _AsksAll},
)
TAKES_ANY_ANSWER: Final = Defect(
    "takes any answer",
    "AP-01",
    "A client takes the answer to another client's question for its own.",
    {ClientMessages: _TakesAny},
)
IGNORES_NAK: Final = Defect(
    "ignores refusals",
    "AP-01",
    "A client whose address was refused goes on asking for it, and goes on using it.",
    {DhcpClient: _DeafToNak},
)
NEVER_BACKS_OFF: Final = Defect(
    "never backs off",
    "AP-01",
    "After a power cut a thousand clients ask every four seconds, and the server never gets up.",
    {DhcpClient: _Impatient},
)


class _ReleasedByAnybody(DhcpServer):
    __slots__ = ()

    def on_release(self, message: DhcpMessage, pool: Pool, now: Instant) -> None:
        held = pool.at(message.ciaddr)
        if held is not None:
            pool.free(held.client, now)


class _ForgetsRenewals(DhcpServer):
    __slots__ = ()

    def on_extension(self, message: DhcpMessage, pool: Pool, now: Instant) -> None:
        known = pool.of(message.client_key)
        if known is not None and known.address == message.ciaddr:
            self._send(self._replies.ack(message, pool, message.ciaddr), message, now)


RELEASED_BY_ANYBODY: Final = Defect(
    "frees addresses at anybody's word",
    "AP-01",
    "A server looks at the address of a DHCPRELEASE and not at whose it is: one host can have all "
    "others' addresses given away.",
    {DhcpServer: _ReleasedByAnybody},
)

FORGETS_RENEWALS: Final = Defect(
    "acks renewals and forgets them",
    "AP-01",
    "The two servers of a pair ack for each other, and the other table is not told: an address "
    "is given to a second host while the first one keeps it.",
    {DhcpServer: _ForgetsRenewals},
)
