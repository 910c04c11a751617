"""What a user may set on one connection or listener."""

from __future__ import annotations

from dataclasses import dataclass, replace

from testbed.timing import Duration

__all__ = ["SocketOptions"]


@dataclass(slots=True)
class SocketOptions:
    """Settings of one connection; None means what ``TcpConfig`` says.

    A listener's options are copied to the connections that it accepts.
    """

    nodelay: bool | None = None
    """Send small segments at once (RFC 9293 3.7.4: Nagle off)."""
    cork: bool = False
    """Hold back segments that are not full, for the override time-out at most."""
    quickack: bool = False
    """Acknowledge every segment at once."""
    keepalive: bool | None = None
    """SO_KEEPALIVE."""
    keepalive_idle: Duration | None = None
    """TCP_KEEPIDLE."""
    keepalive_interval: Duration | None = None
    """TCP_KEEPINTVL."""
    keepalive_probes: int | None = None
    """TCP_KEEPCNT."""
    user_timeout: Duration | None = None
    """TCP_USER_TIMEOUT."""
    receive_buffer: int | None = None
    """Bytes; the largest window offered. Growing it later opens the window."""
    send_buffer: int | None = None
    """Bytes taken from the user and not yet acknowledged."""
    linger: Duration | None = None
    """0 makes close() abort; else a matter of the socket facade."""
    oob_inline: bool = False
    """Leave the urgent byte in the stream (SO_OOBINLINE)."""
    congestion_control: str | None = None
    """TCP_CONGESTION."""
    ttl: int | None = None
    """IP_TTL."""
    tos: int = 0
    """IP_TOS: DSCP and ECN bits."""
    # Read when the connection opens.
    max_segment: int | None = None
    """Neither announce nor send more than this (TCP_MAXSEG)."""
    mss: int | None = None
    """Announce exactly this MSS."""
    isn: int | None = None
    """Start with this sequence number."""
    window_scale: int | None = None
    """Announce this shift."""
    timestamps: bool | None = None
    """Offer and accept RFC 7323 3."""
    sack: bool | None = None
    """Offer and accept RFC 2018."""
    window_scaling: bool | None = None
    """Offer and accept RFC 7323 2."""

    def copy(self) -> SocketOptions:
        """The same settings, for a connection of its own."""
        return replace(self)
