"""The settings of one side of a PPP link, with the defaults of its RFCs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from testbed.stack.services.ppp_automaton import AutomatonConfig
from testbed.timing import Duration, seconds

__all__ = ["PppConfig"]

_UNSPECIFIED = IPv4Address(0)


@dataclass(frozen=True, slots=True)
class PppConfig:
    """What this side asks for, what it takes, and whom it believes.

    A client sets ``name`` and ``secret``; a server ``authenticate``, ``secrets``, its own
    ``address`` and the one for its peer, ``peer_address``.
    """

    mru: int = 1500
    """The most bytes of information that the peer may send (RFC 1661 6.1)."""
    largest_mru: int = 65535
    """A peer's MRU above this is answered with this (RFC 2516 7: 1492 over Ethernet)."""
    least_mru: int = 128
    """A peer's MRU below this is answered with this."""
    magic: bool = True
    """Negotiate a magic number, to find a line that is looped back (RFC 1661 6.4)."""
    accm: int | None = None
    """The control characters that the peer must escape (RFC 1662 7.1); None: all of them."""
    pfc: bool = False
    """Ask for protocol field compression (RFC 1661 6.5)."""
    acfc: bool = False
    """Ask for address and control field compression (RFC 1661 6.6)."""
    framed: bool = True
    """The link has HDLC-like framing; without, ACCM, ACFC and FCS options are rejected (RFC 2516
    7: 'MUST NOT request any of the following options')."""

    authenticate: tuple[str, ...] = ()
    """What the peer must prove itself by, the preferred one first: ``chap``, ``pap``."""
    secrets: Mapping[bytes, bytes] = field(default_factory=dict)
    """Names of peers and their secrets."""
    name: bytes = b"testbed"
    """Who this side says it is."""
    secret: bytes = b""
    """The secret to prove it by."""
    accept: tuple[str, ...] = ("chap", "pap")
    """What this side lets itself be asked for; others are answered with the first of them."""
    challenge_bytes: int = 16
    """Length of the challenges that this side makes."""
    rechallenge: Duration | None = None
    """Time between further challenges once authenticated (RFC 1994 2); None: never."""

    address: IPv4Address = _UNSPECIFIED
    """This side's address; 0.0.0.0 asks the peer for one (RFC 1332 3.3)."""
    peer_address: IPv4Address = _UNSPECIFIED
    """The address given to the peer; 0.0.0.0 takes whatever it has."""
    dns: tuple[IPv4Address, ...] = ()
    """Name servers told to a peer that asks (RFC 1877); at most two."""
    ask_dns: bool = False
    """Ask the peer for its name servers."""

    echo_interval: Duration | None = None
    """Between Echo-Requests on an open link; None: send none."""
    echo_failures: int = 5
    """Echo-Requests in a row without a reply that close the link."""
    loop_limit: int = 4
    """Our own magic numbers met in a row until the line counts as looped back and is closed."""
    automaton: AutomatonConfig = field(default_factory=AutomatonConfig)
    """The automaton's timer and counters (RFC 1661 4.6)."""
    auth_timeout: Duration = seconds(3)
    """Between resent PAP requests and CHAP challenges (RFC 1334, RFC 1994: an implementation's
    choice; as the Restart timer)."""
    auth_attempts: int = 10
    """PAP requests, or CHAP challenges, without an answer before the link is closed."""
