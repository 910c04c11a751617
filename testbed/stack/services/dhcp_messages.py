"""The messages of a DHCP client: which fields and options each kind has (RFC 2131 table 5)."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Final

from testbed.stack.entropy import Entropy
from testbed.stack.services.dhcp_lease import DhcpClientConfig, DhcpLease
from testbed.timing import Duration, to_seconds
from testbed.wire.addresses import MacAddr
from testbed.wire.dhcp import DhcpCode, DhcpMessage, DhcpOp, DhcpOption, DhcpType, dhcp_options

__all__ = ["ClientMessages"]

_NONE: Final = IPv4Address(0)


class ClientMessages:
    """Makes one client's messages; it keeps the transaction's number and the time spent."""

    __slots__ = ("_client", "_config", "_entropy", "_secs", "xid")

    def __init__(self, client: MacAddr, config: DhcpClientConfig, entropy: Entropy) -> None:
        self._client = client
        self._config = config
        self._entropy = entropy
        self._secs = 0
        self.xid = 0
        """The number of the transaction in hand."""

    def new_exchange(self) -> None:
        """Begin another transaction: a number "to minimize the chance that" two are alike."""
        self.xid = self._entropy.below(1 << 32)
        self._secs = 0

    def elapsed(self, span: Duration) -> None:
        """Note the time since the client began.

        RFC 2131 table 5: a DHCPREQUEST for an offer has the value of its DHCPDISCOVER.
        """
        self._secs = min(0xFFFF, int(to_seconds(span)))

    def answered_by(self, message: DhcpMessage) -> bool:
        """Whether ``message`` is a reply to this client in this transaction (RFC 2131 4.4.1)."""
        return (
            message.op == DhcpOp.REPLY
            and message.xid == self.xid
            and message.client == self._client
        )

    def discover(self) -> DhcpMessage:
        """Asks who is there."""
        options = dhcp_options([(DhcpCode.REQUESTED_ADDRESS, self._config.requested)])
        return self._asking(DhcpType.DISCOVER, *options)

    def request(self, offer: DhcpMessage) -> DhcpMessage:
        """I take this offer. 4.3.2: the server and the address are options, ciaddr is zero."""
        options = dhcp_options(
            [
                (DhcpCode.REQUESTED_ADDRESS, offer.yiaddr),
                (DhcpCode.SERVER_ID, offer.get(DhcpCode.SERVER_ID)),
            ]
        )
        return self._asking(DhcpType.REQUEST, *options)

    def reboot(self, address: IPv4Address) -> DhcpMessage:
        """Asks for an address of before. 4.3.2: an option, and no server is named."""
        return self._asking(DhcpType.REQUEST, DhcpOption.of(DhcpCode.REQUESTED_ADDRESS, address))

    def extension(self, address: IPv4Address) -> DhcpMessage:
        """More time, please. 4.3.2: the address in use is ciaddr, and no option."""
        return self._asking(DhcpType.REQUEST, ciaddr=address)

    def decline(self, lease: DhcpLease) -> DhcpMessage:
        """Somebody else has this address. ciaddr is zero, the address an option."""
        options = dhcp_options(
            [
                (DhcpCode.REQUESTED_ADDRESS, lease.address.ip),
                (DhcpCode.SERVER_ID, lease.server),
                (DhcpCode.CLIENT_ID, self._config.client_id),
            ]
        )
        return self._made(DhcpType.DECLINE, self._entropy.below(1 << 32), options)

    def release(self, lease: DhcpLease) -> DhcpMessage:
        """I need this address no more. It is ciaddr, and no option."""
        options = dhcp_options(
            [(DhcpCode.SERVER_ID, lease.server), (DhcpCode.CLIENT_ID, self._config.client_id)]
        )
        xid = self._entropy.below(1 << 32)
        return self._made(DhcpType.RELEASE, xid, options, ciaddr=lease.address.ip)

    def _asking(self, kind: int, *options: DhcpOption, ciaddr: IPv4Address = _NONE) -> DhcpMessage:
        config = self._config
        common = dhcp_options(
            [
                (DhcpCode.CLIENT_ID, config.client_id),
                (DhcpCode.HOST_NAME, config.host_name),
                (DhcpCode.LEASE_TIME, config.lease_time),
                (DhcpCode.MAX_SIZE, config.max_size),
                (DhcpCode.PARAMETERS, config.parameters),
            ]
        )
        # 4.1: a client that has an address takes unicast, and need not ask for more.
        broadcast = config.broadcast and not int(ciaddr)
        return self._made(
            kind, self.xid, (*options, *common), ciaddr=ciaddr, secs=self._secs, broadcast=broadcast
        )

    def _made(
        self,
        kind: int,
        xid: int,
        options: tuple[DhcpOption, ...],
        *,
        ciaddr: IPv4Address = _NONE,
        secs: int = 0,
        broadcast: bool = False,
    ) -> DhcpMessage:
        return DhcpMessage.of(
            DhcpOp.REQUEST,
            kind,
            xid,
            self._client,
            *options,
            ciaddr=ciaddr,
            secs=secs,
            broadcast=broadcast,
        )
