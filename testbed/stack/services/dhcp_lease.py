"""What a DHCP client was given, and what it is told to keep to while it asks."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from typing import Final

from testbed.errors import WireError
from testbed.timing import Duration, Instant, after, seconds
from testbed.wire.dhcp import DhcpCode, DhcpMessage, DhcpRoute
from testbed.wire.subnets import class_network

__all__ = ["INFINITE", "DhcpClientConfig", "DhcpLease", "lease_of"]

INFINITE: Final = 0xFFFFFFFF
"""RFC 2131 3.3: a lease time that means for ever."""


@dataclass(frozen=True, slots=True)
class DhcpClientConfig:
    """Timers and choices of a client, with the values of RFC 2131."""

    start_min: Duration = seconds(1)
    """The least wait before the first message."""
    start_max: Duration = seconds(10)
    """4.4.1: 'The client SHOULD wait a random time between one and ten seconds'."""
    first_retry: Duration = seconds(4)
    """4.1: the first retransmission after 4 s, then doubled."""
    last_retry: Duration = seconds(64)
    """4.1: doubled up to a maximum of 64 s."""
    jitter: Duration = seconds(1)
    """4.1: each randomized by up to so much more or less."""
    attempts: int = 4
    """3.1 (5): requests sent before starting over, 60 s in all."""
    offer_wait: Duration = seconds(0)
    """4.4.1: how long to collect offers before one is selected; 0 takes the first."""
    least_renewal: Duration = seconds(60)
    """4.4.5: the least time between requests while renewing or rebinding."""
    decline_wait: Duration = seconds(10)
    """3.1 (5): 'SHOULD wait a minimum of ten seconds' after a DHCPDECLINE."""
    probe: bool = True
    """Probe for the address before its use (RFC 2131 4.4.1, in the way of RFC 5227)."""
    broadcast: bool = True
    """Ask for replies by broadcast: without an address a stack takes no others (4.1)."""
    client_id: bytes | None = None
    """Option 61, its type included; None sends none."""
    host_name: str | None = None
    """Option 12; None sends none."""
    lease_time: int | None = None
    """Seconds to ask for; None leaves it to the server."""
    requested: IPv4Address | None = None
    """An address to ask for in the first DHCPDISCOVER."""
    parameters: bytes = bytes((1, 121, 3, 6, 12, 15, 26, 28, 42, 51, 58, 59))
    """Options to ask for; RFC 3442: 121 before 3."""
    max_size: int = 1500
    """Bytes of the largest message that the client takes, IP header included."""


@dataclass(frozen=True, slots=True)
class DhcpLease:
    """An address for a time, and what came with it. Instants are of the stack's clock.

    ``t1``, ``t2`` and ``expires`` count from when the request was sent (RFC 2131 4.4.1); they are
    None in a lease without end.
    """

    address: IPv4Interface
    server: IPv4Address
    seconds: int
    t1: Instant | None
    t2: Instant | None
    expires: Instant | None
    routers: tuple[IPv4Address, ...] = ()
    routes: tuple[DhcpRoute, ...] = ()
    dns_servers: tuple[IPv4Address, ...] = ()
    domain: str | None = None
    mtu: int | None = None
    message: DhcpMessage | None = None

    def valid(self, now: Instant) -> bool:
        """Whether it has not expired."""
        return self.expires is None or now < self.expires


def lease_of(ack: DhcpMessage, sent: Instant, server: IPv4Address | None) -> DhcpLease | None:
    """The lease that ``ack`` grants to a request sent at ``sent``; None if it grants none.

    RFC 2131 table 3: a DHCPACK to a request has an address, a lease time and its server's name.
    ``server`` is the one known from before, for an answer that lacks it.
    """
    length = ack.get(DhcpCode.LEASE_TIME)
    server = ack.get(DhcpCode.SERVER_ID) or server
    if not length or server is None or not int(ack.yiaddr):
        return None
    mask = ack.get(DhcpCode.SUBNET_MASK)
    try:
        prefix = f"{mask or class_network(ack.yiaddr).netmask}"
        address = IPv4Interface(f"{ack.yiaddr}/{prefix}")
    except (ValueError, WireError):  # a mask with holes; an address of no class
        return None
    t1, t2, expires = _times(ack, length, sent)
    return DhcpLease(
        address=address,
        server=server,
        seconds=length,
        t1=t1,
        t2=t2,
        expires=expires,
        routers=ack.get(DhcpCode.ROUTERS) or (),
        routes=ack.get(DhcpCode.CLASSLESS_ROUTES) or (),
        dns_servers=ack.get(DhcpCode.DNS_SERVERS) or (),
        domain=ack.get(DhcpCode.DOMAIN_NAME),
        mtu=ack.get(DhcpCode.INTERFACE_MTU),
        message=ack,
    )


def _times(
    ack: DhcpMessage, length: int, sent: Instant
) -> tuple[Instant | None, Instant | None, Instant | None]:
    """When to renew, to rebind and to stop; RFC 2131 4.4.5: half and 7/8 of the lease by default.

    Times that are not in that order are the defaults': "T1 MUST be earlier than T2, which, in turn,
    MUST be earlier than the time at which the client's lease will expire."
    """
    if length == INFINITE:
        return None, None, None
    t1, t2 = ack.get(DhcpCode.RENEWAL_TIME), ack.get(DhcpCode.REBINDING_TIME)
    t1 = length * 0.5 if t1 is None else t1
    t2 = length * 0.875 if t2 is None else t2
    if not t1 < t2 < length:
        t1, t2 = length * 0.5, length * 0.875
    return after(sent, seconds(t1)), after(sent, seconds(t2)), after(sent, seconds(length))
