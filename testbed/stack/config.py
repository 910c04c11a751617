"""Every timer, limit and choice of a stack, with the default of its RFC.

``StackConfig()`` is a good citizen by the RFCs; ``StackConfig.linux()`` has the values of a Linux
kernel where it has others. Change what a plan needs with ``dataclasses.replace`` or by the short
way, ``StackConfig.of(tcp=dict(initial_rto=seconds(3)))``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from typing import Any, Self

from testbed.errors import PlanError
from testbed.stack.tcp_config import TcpConfig
from testbed.stack.variants import Defect
from testbed.timing import Duration, seconds

__all__ = [
    "ArpConfig",
    "IcmpConfig",
    "IgmpConfig",
    "IpConfig",
    "OverlapPolicy",
    "PmtuConfig",
    "StackConfig",
    "UdpConfig",
]


class OverlapPolicy(Enum):
    """Whose bytes count where two fragments overlap (Shankar and Paxson 2003; Novak 2005)."""

    FIRST = "first"  # what came first stays
    LAST = "last"  # what came last overwrites: the sample procedure of RFC 791 3.2
    BSD = "bsd"  # what came first stays, unless the new fragment starts at a lower offset
    BSD_RIGHT = "bsd-right"  # what came last overwrites, unless its start is at a lower offset
    LINUX = "linux"  # as BSD, but at the same offset the new one overwrites (kernels before 2018)
    DROP = "drop"  # any overlap but an exact duplicate discards the datagram (Linux since 2018)


@dataclass(frozen=True, slots=True)
class ArpConfig:
    """ARP: how long entries live, how often to ask, how to guard one's own address."""

    answer: bool = True
    """Answer requests for the stack's own addresses."""
    answer_for: tuple[str, ...] = ()
    """Further addresses or networks to answer for: proxy ARP (RFC 1027)."""
    reachable: Duration = seconds(60)
    """Life of an entry (RFC 1122 2.3.2.1: 'on the order of a minute')."""
    retry: Duration = seconds(1)
    """Between requests for one address (RFC 1122 2.3.2.1: at most one a second)."""
    attempts: int = 3
    """Requests before the packets that wait are given up with 'host unreachable'."""
    queue_limit: int = 64
    """Packets that wait for one address; RFC 1122 2.3.2.2 wants one at least, the latest. So many
    that a datagram of any size may wait whole: 65 535 bytes are 45 fragments on Ethernet."""
    table_limit: int = 4096
    """Entries held; the oldest goes first."""
    probe: bool = False
    """Probe an address before its use (RFC 5227 2.1). Off: a bench gives addresses out itself."""
    probe_wait: Duration = seconds(1)
    """RFC 5227 1.1 PROBE_WAIT: the first probe is sent at random within it."""
    probe_num: int = 3
    """RFC 5227 1.1 PROBE_NUM."""
    probe_min: Duration = seconds(1)
    """RFC 5227 1.1 PROBE_MIN: the least between two probes."""
    probe_max: Duration = seconds(2)
    """RFC 5227 1.1 PROBE_MAX."""
    announce_wait: Duration = seconds(2)
    """RFC 5227 1.1 ANNOUNCE_WAIT: from the last probe to the use of the address."""
    announce_num: int = 2
    """RFC 5227 1.1 ANNOUNCE_NUM."""
    announce_interval: Duration = seconds(2)
    """RFC 5227 1.1 ANNOUNCE_INTERVAL."""
    max_conflicts: int = 10
    """RFC 5227 1.1 MAX_CONFLICTS: after so many, probing slows down."""
    rate_limit_interval: Duration = seconds(60)
    """RFC 5227 1.1 RATE_LIMIT_INTERVAL: between attempts from then on."""
    defend: bool = True
    """Defend an address in use once per interval (RFC 5227 2.4(b)), then give it up."""
    defend_interval: Duration = seconds(10)
    """RFC 5227 1.1 DEFEND_INTERVAL."""


@dataclass(frozen=True, slots=True)
class IpConfig:
    """IPv4: sending, forwarding, fragments."""

    ttl: int = 64
    """RFC 1122 3.2.1.7 wants it configurable; 64 is the Assigned Numbers' default."""
    forwarding: bool = False
    """Be a router (RFC 1122 3.1: a host that forwards must have been told to)."""
    send_redirects: bool = True
    """As a router, tell senders on the link of a better way (RFC 1812 5.2.7.2)."""
    accept_redirects: bool = True
    """Obey them (RFC 1122 3.2.2.2)."""
    directed_broadcast: bool = False
    """Forward broadcasts directed at an attached subnet (RFC 2644: off)."""
    source_route: bool = False
    """Forward packets with a source route (RFC 7126: off)."""
    gateway_avoided: Duration = seconds(60)
    """How long a gateway that a transport has doubts about (RFC 1122 3.3.1.4) is passed over, where
    there is another."""
    reassembly_timeout: Duration = seconds(60)
    """RFC 1122 3.3.2: a fixed value of 60 to 120 s, from the first fragment that came."""
    reassembly_bytes: int = 4 << 20
    """Bytes held for all incomplete datagrams; beyond, the oldest is given up."""
    reassembly_datagrams: int = 1024
    """Incomplete datagrams held at most."""
    reassembly_fragments: int = 8192
    """Fragments of one datagram held at most: 65 535 bytes in pieces of 8."""
    overlap: OverlapPolicy = OverlapPolicy.LAST
    """RFC 791 3.2 writes each fragment over what is there already."""
    constant_ident: int | None = None
    """Send every packet with this identification; None: unique per RFC 6864 4.3."""


@dataclass(frozen=True, slots=True)
class IcmpConfig:
    """ICMP: what to answer and what to report."""

    answer_echo: bool = True
    """RFC 1122 3.2.2.6: every host MUST."""
    answer_broadcast_echo: bool = False
    """RFC 1122 3.2.2.6 allows both; answering makes an amplifier."""
    answer_timestamp: bool = True
    """RFC 1122 3.2.2.8: a host MAY."""
    send_errors: bool = True
    """Unreachable, time exceeded, parameter problem (RFC 1122 3.2.2)."""
    obey_errors: bool = True
    """Hand the errors that come to the transports (RFC 1122 3.2.2)."""
    error_rate: float = 100.0
    """Errors per second and interface, a token bucket (RFC 1812 4.3.2.8); 0 means no limit."""
    error_burst: int = 50
    """What the bucket of ``error_rate`` holds."""
    quote: int = 548
    """Bytes of the offending packet quoted, its header included (RFC 1812 4.3.2.3: the whole error
    fits into 576); 28 is the least, header and 8 bytes."""


@dataclass(frozen=True, slots=True)
class PmtuConfig:
    """Path-MTU discovery (RFC 1191), and without ICMP for TCP (RFC 4821, RFC 8899)."""

    enabled: bool = True
    """Set DF and obey frag needed (RFC 1191 3)."""
    lifetime: Duration = seconds(600)
    """Until a larger size is tried (RFC 1191 6.3: 10 minutes)."""
    retry_after_increase: Duration = seconds(120)
    """Until the next larger one, where the last increase met no complaint (RFC 1191 6.3)."""
    never_before: Duration = seconds(300)
    """No larger try this soon after a frag needed (RFC 1191 3: 'MUST NOT', 5 minutes)."""
    floor: int = 68
    """RFC 1191 3: 'A host MUST never reduce its estimate of the Path MTU below 68 octets'."""
    plateaus: tuple[int, ...] = (65535, 32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68)
    """RFC 1191 7.1: what to try where a router names no MTU."""
    limit: int = 4096
    """Destinations remembered."""
    probing: str = "blackhole"
    """PLPMTUD: ``off``, ``blackhole`` (once retransmissions of full segments go unanswered), or
    ``always`` (RFC 4821 7)."""
    base: int = 1200
    """RFC 8899 5.1.2 BASE_PLPMTU: where a search starts once the path looks like a black hole."""
    least: int = 508
    """RFC 8899 5.1.2 MIN_PLPMTU, in place of its 68 for IPv4 the least that links still carry (RFC
    1191 7.1): with 68, every long outage and every very lossy path would end in segments of 28
    bytes."""
    max_probes: int = 3
    """RFC 8899 5.1.2: probes of one size lost before it counts as too large."""
    probe_timer: Duration = seconds(15)
    """RFC 8899 5.1.1: how long a probe may stay unanswered where nothing else tells."""
    raise_timer: Duration = seconds(600)
    """RFC 8899 5.1.1 PMTU_RAISE_TIMER."""
    black_hole_timeouts: int = 4
    """Timeouts in a row of a full segment that make the path a suspected black hole: the one after
    R1 of RFC 9293 3.8.3, three retransmissions; twice as many for packets up to ``base``."""


@dataclass(frozen=True, slots=True)
class IgmpConfig:
    """Multicast membership, the host's side of IGMPv2 (RFC 2236)."""

    unsolicited_interval: Duration = seconds(10)
    """RFC 2236 8.10: within which the report of a group just joined is said again."""
    v1_router_present: Duration = seconds(400)
    """RFC 2236 8.11: how long after its query a version 1 router is taken to be there."""


@dataclass(frozen=True, slots=True)
class UdpConfig:
    """UDP."""

    receive_buffer: int = 212_992
    """Bytes that wait for the application; what comes beyond is dropped and counted."""
    checksum: bool = True
    """Send checksums; without, the field is zero (RFC 768)."""
    ephemeral: tuple[int, int] = (49152, 65535)
    """RFC 6335 6: the dynamic ports."""


@dataclass(frozen=True, slots=True)
class StackConfig:
    """All of a stack's settings. ``defects`` are faults switched on, for drills and grading."""

    arp: ArpConfig = field(default_factory=ArpConfig)
    ip: IpConfig = field(default_factory=IpConfig)
    icmp: IcmpConfig = field(default_factory=IcmpConfig)
    pmtu: PmtuConfig = field(default_factory=PmtuConfig)
    igmp: IgmpConfig = field(default_factory=IgmpConfig)
    udp: UdpConfig = field(default_factory=UdpConfig)
    tcp: TcpConfig = field(default_factory=TcpConfig)
    defects: tuple[Defect, ...] = ()
    """Faults switched on, in order."""
    event_limit: int = 10_000
    """Events that the stack's log holds."""

    @classmethod
    def of(cls, **sections: Mapping[str, Any] | Any) -> Self:
        """The defaults with changes: ``StackConfig.of(tcp={"sack": False})``."""
        return cls().with_(**sections)

    def with_(self, **sections: Mapping[str, Any] | Any) -> Self:
        """A copy with changes, a mapping per section; PlanError names a field there is not."""
        changes: dict[str, Any] = {}
        known = {each.name for each in fields(self)}
        for name, value in sections.items():
            if name not in known:
                raise PlanError(f"StackConfig has no {name!r}; it has {', '.join(sorted(known))}")
            held = getattr(self, name)
            changes[name] = _changed(name, held, value) if isinstance(value, Mapping) else value
        return replace(self, **changes)

    @classmethod
    def linux(cls) -> Self:
        """Linux's values where they differ from the RFCs' (measured on kernel 6.18)."""
        return cls(
            arp=ArpConfig(reachable=seconds(30), queue_limit=101, defend=False),
            ip=IpConfig(reassembly_timeout=seconds(30), overlap=OverlapPolicy.DROP),
            icmp=IcmpConfig(error_rate=1.0, error_burst=6),
            pmtu=PmtuConfig(floor=552, probing="off", base=1024),
            udp=UdpConfig(ephemeral=(32768, 60999)),
            tcp=TcpConfig.linux(),
        )

    def with_defects(self, *defects: Defect) -> Self:
        """A copy with these faults switched on besides."""
        return replace(self, defects=(*self.defects, *defects))


def _changed(section: str, held: Any, changes: Mapping[str, Any]) -> Any:
    known = {each.name for each in fields(held)}
    if unknown := sorted(set(changes) - known):
        raise PlanError(
            f"StackConfig.{section} has no {', '.join(unknown)}; it has {', '.join(sorted(known))}"
        )
    return replace(held, **changes)
