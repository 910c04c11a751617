"""A DHCP server's answers: which fields and options each has (RFC 2131 table 3)."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any, Final

from testbed.stack.services.dhcp_pool import DhcpServerConfig, Pool
from testbed.wire.dhcp import DhcpCode, DhcpMessage, DhcpOp, DhcpOption, DhcpType, dhcp_options

__all__ = ["ServerReplies"]

_NONE: Final = IPv4Address(0)
_HEADERS: Final = 28
_LEAST: Final = 576
"""RFC 2131 2: a client must take messages of 576 bytes, IP header included; larger if it says."""


class ServerReplies:
    """Makes one server's messages."""

    __slots__ = ("_address", "_config")

    def __init__(self, config: DhcpServerConfig, address: IPv4Address) -> None:
        self._config = config
        self._address = address

    def limit(self, message: DhcpMessage) -> int:
        """Bytes that the client takes."""
        size: int = message.get(DhcpCode.MAX_SIZE) or _LEAST
        return max(size, _LEAST) - _HEADERS

    def lease_time(self, message: DhcpMessage) -> int:
        """Seconds: what the client asks for, if that is not too long, else the default."""
        wanted: int | None = message.get(DhcpCode.LEASE_TIME)
        if not wanted:
            return self._config.lease_time
        return min(wanted, max(self._config.max_lease_time, self._config.lease_time))

    def offer(self, message: DhcpMessage, pool: Pool, address: IPv4Address) -> DhcpMessage:
        """A DHCPOFFER of ``address``."""
        return self._giving(DhcpType.OFFER, message, pool, address)

    def ack(self, message: DhcpMessage, pool: Pool, address: IPv4Address) -> DhcpMessage:
        """A DHCPACK that grants ``address``; ciaddr is the request's."""
        return self._giving(DhcpType.ACK, message, pool, address, ciaddr=message.ciaddr)

    def inform(self, message: DhcpMessage, pool: Pool) -> DhcpMessage:
        """A DHCPACK that grants nothing: no yiaddr, no lease time (4.3.5)."""
        values = self.parameters(message, pool)
        return self._made(DhcpType.ACK, message, values, ciaddr=message.ciaddr)

    def nak(self, message: DhcpMessage, why: str) -> DhcpMessage:
        """A DHCPNAK. 4.3.2: a relay is to broadcast it, for the client may be on another net."""
        return self._made(
            DhcpType.NAK, message, {DhcpCode.MESSAGE: why}, broadcast=bool(int(message.giaddr))
        )

    def _giving(
        self,
        kind: int,
        message: DhcpMessage,
        pool: Pool,
        address: IPv4Address,
        *,
        ciaddr: IPv4Address = _NONE,
    ) -> DhcpMessage:
        config = self._config
        times: dict[int, Any] = {
            DhcpCode.LEASE_TIME: self.lease_time(message),
            DhcpCode.RENEWAL_TIME: config.renewal_time,
            DhcpCode.REBINDING_TIME: config.rebinding_time,
        }
        values = times | self.parameters(message, pool)
        return self._made(kind, message, values, yiaddr=address, ciaddr=ciaddr)

    def parameters(self, message: DhcpMessage, pool: Pool) -> dict[int, Any]:
        """What the client is to know of its network: all, or what it asks for, in its order."""
        subnet = pool.subnet
        known: dict[int, Any] = {
            DhcpCode.SUBNET_MASK: subnet.network.netmask,
            DhcpCode.ROUTERS: subnet.routers or None,
            DhcpCode.DNS_SERVERS: subnet.dns_servers or None,
            DhcpCode.DOMAIN_NAME: subnet.domain,
            DhcpCode.BROADCAST: subnet.network.broadcast_address,
            **subnet.options,
        }
        asked = message.get(DhcpCode.PARAMETERS)
        if asked is None:
            return known
        return {code: known[code] for code in (DhcpCode.SUBNET_MASK, *asked) if code in known}

    def _made(
        self,
        kind: int,
        message: DhcpMessage,
        values: dict[int, Any],
        *,
        yiaddr: IPv4Address = _NONE,
        ciaddr: IPv4Address = _NONE,
        broadcast: bool | None = None,
    ) -> DhcpMessage:
        # RFC 6842 3: the client identifier is sent back; RFC 3046 2.2: so is what the relay added.
        echoed = {code: message.get(code) for code in (DhcpCode.CLIENT_ID, DhcpCode.RELAY_AGENT)}
        server = DhcpOption.of(DhcpCode.SERVER_ID, self._address)
        return DhcpMessage.of(
            DhcpOp.REPLY,
            kind,
            message.xid,
            message.client,
            server,
            *dhcp_options((values | echoed).items()),
            yiaddr=yiaddr,
            ciaddr=ciaddr,
            giaddr=message.giaddr,
            broadcast=message.broadcast if broadcast is None else broadcast or message.broadcast,
        )
