"""What devices tell and are told: the values of their capabilities."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network

from testbed.errors import PlanError
from testbed.timing import Duration
from testbed.wire.addresses import MacAddr

__all__ = [
    "ArpEntry",
    "Datagram",
    "Ending",
    "FdbEntry",
    "Flow",
    "Keepalive",
    "NatEntry",
    "PortCounters",
    "Route",
    "SocketInfo",
    "TransferResult",
    "UdpAnswer",
    "VlanMode",
]

_NO_TIME = Duration(0)


@dataclass(frozen=True, slots=True)
class FdbEntry:
    """One row of a MAC table. ``vlan`` 0 means untagged; ``age`` is None where it is not told."""

    mac: MacAddr
    port: str
    vlan: int = 0
    static: bool = False
    age: Duration | None = None


@dataclass(frozen=True, slots=True)
class VlanMode:
    """How a port treats tags: access (one untagged VLAN) or trunk (tagged, ``native`` untagged).

    With nothing set, the port carries every frame as it comes, tagged or not. PlanError where
    the values contradict each other, or a VLAN is not in 1 to 4094 (802.1Q 9.6).
    """

    access: int | None = None
    trunk: tuple[int, ...] = ()
    native: int | None = None

    def __post_init__(self) -> None:
        if self.access is not None and (self.trunk or self.native is not None):
            raise PlanError(f"a port is an access port or a trunk, not both: {self}")
        if self.native is not None and not self.trunk:
            raise PlanError(f"a native VLAN belongs to a trunk, which needs VLANs: {self}")
        for vlan in (self.access, self.native, *self.trunk):
            if vlan is not None and not 1 <= vlan <= 4094:
                raise PlanError(f"a VLAN is a number from 1 to 4094, got {vlan}")
        object.__setattr__(self, "trunk", tuple(sorted(set(self.trunk))))

    def __str__(self) -> str:
        if self.access is not None:
            return f"access {self.access}"
        if not self.trunk:
            return "every VLAN as it comes"
        native = "" if self.native is None else f" native {self.native}"
        return f"trunk {','.join(map(str, self.trunk))}{native}"


@dataclass(frozen=True, slots=True)
class PortCounters:
    """Frames and bytes since the device last started, as the device counts them."""

    rx_frames: int
    tx_frames: int
    rx_bytes: int
    tx_bytes: int
    rx_errors: int = 0
    tx_errors: int = 0
    rx_dropped: int = 0
    tx_dropped: int = 0


@dataclass(frozen=True, slots=True)
class Route:
    """One row of a routing table. ``via`` is None for a connected network.

    Of rows with the same prefix the lowest ``metric`` is used; rows that share it share the
    traffic. On FRR it is the administrative distance, on a Linux host the kernel's metric.
    """

    prefix: IPv4Network
    via: IPv4Address | None = None
    port: str | None = None
    metric: int = 0


@dataclass(frozen=True, slots=True)
class ArpEntry:
    """One row of an ARP table."""

    ip: IPv4Address
    mac: MacAddr
    port: str
    permanent: bool = False


@dataclass(frozen=True, slots=True)
class NatEntry:
    """A mapping of a translator: ``inside`` is ``outside`` to the world (RFC 4787 2.1).

    ``protocol`` is ``tcp``, ``udp`` or ``icmp``. The ports of an ICMP query are its identifiers
    (RFC 5508 3.1).
    """

    protocol: str
    inside: IPv4Address
    inside_port: int
    outside: IPv4Address
    outside_port: int


@dataclass(frozen=True, slots=True)
class SocketInfo:
    """A TCP socket of a host as its kernel reports it. Times in Duration, windows in segments.

    ``retransmits`` counts all segments that were sent again, ``backoff`` how often the
    retransmission timeout has been doubled.
    """

    local: str
    remote: str
    state: str
    rto: Duration | None = None
    rtt: Duration | None = None
    cwnd: int | None = None
    ssthresh: int | None = None
    mss: int | None = None
    pmtu: int | None = None
    retransmits: int = 0
    unacked: int = 0
    backoff: int = 0


@dataclass(frozen=True, slots=True)
class TransferResult:
    """How a transfer ended at one side. ``sha256`` is of the bytes that were sent or received.

    ``error`` is the system's name for what ended it: ``ECONNRESET``, ``ETIMEDOUT``. ``urgent`` are
    the bytes that were received out of band, which ``octets`` and ``sha256`` leave out.
    """

    octets: int
    sha256: str
    duration: Duration
    error: str | None = None
    urgent: bytes = b""


class Ending(Enum):
    """What a side of a TCP connection does once it has sent its last byte."""

    HALF = "half"  # ends its sending side (FIN), and reads on to the end
    WAIT = "wait"  # waits for the peer's end, and closes then
    CLOSE = "close"  # closes, whatever the peer still sends
    ABORT = "abort"  # resets the connection (SO_LINGER of no time); what was not sent is lost
    HOLD = "hold"  # stays, until it fails or the services are stopped


@dataclass(frozen=True, slots=True)
class Keepalive:
    """Probe a silent peer (RFC 9293 3.8.4): after ``idle``, every ``interval``, so many times.

    Whole seconds on Linux. What is None is the system's own default.
    """

    idle: Duration | None = None
    interval: Duration | None = None
    probes: int | None = None

    def __post_init__(self) -> None:
        second = 1_000_000_000
        spans = [span for span in (self.idle, self.interval) if span is not None]
        too_few = self.probes is not None and self.probes < 1
        if too_few or any(span < second or span % second for span in spans):
            raise PlanError(f"keepalive wants whole seconds, and 1 probe at least: {self}")


@dataclass(frozen=True, slots=True)
class Flow:
    """How one side of a TCP connection behaves.

    It hands the kernel ``chunk`` bytes at a time, ``every`` so long, with Nagle's algorithm off
    where ``nodelay``; the byte at the offset ``urgent`` as urgent. It reads nothing until
    ``read_after``, from the connection's start, which closes the peer's window;
    ``receive_buffer`` in bytes (the kernel doubles it) makes that soon. Then it reads
    ``read_chunk`` bytes at a time, ``read_every`` so long; an urgent byte out of band unless
    ``oob_inline``. ``end_after`` the last byte it does what ``ending`` says: by default a client
    HALF, a server WAIT. ``send_buffer``, ``max_segment`` (the MSS to announce, and the most to
    send), ``keepalive`` and ``user_timeout`` (milliseconds count) are the system's unless given.
    """

    chunk: int = 65536
    every: Duration = _NO_TIME
    nodelay: bool = False
    read_after: Duration = _NO_TIME
    receive_buffer: int | None = None
    send_buffer: int | None = None
    read_chunk: int = 65536
    read_every: Duration = _NO_TIME
    urgent: int | None = None
    oob_inline: bool = False
    max_segment: int | None = None
    keepalive: Keepalive | None = None
    user_timeout: Duration | None = None
    ending: Ending | None = None
    end_after: Duration = _NO_TIME

    def __post_init__(self) -> None:
        times = self.every, self.read_after, self.read_every, self.end_after
        if min(self.chunk, self.read_chunk) < 1 or min(times) < 0:
            raise PlanError(
                f"a flow needs a chunk of 1 byte at least and no negative times: {self}"
            )
        if self.urgent is not None and self.urgent < 0:
            raise PlanError(f"the urgent byte is counted from 0: {self}")


@dataclass(frozen=True, slots=True)
class Datagram:
    """A UDP datagram that a service received; ``source`` is ``192.0.2.1:5000``."""

    source: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class UdpAnswer:
    """What came back for a datagram: a payload, or the kernel's error name, or nothing."""

    payload: bytes | None
    error: str | None
