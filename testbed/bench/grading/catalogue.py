"""The catalogue as data: its rows, where each lives, the defects that it names."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CATALOGUE", "Row", "row_of"]


@dataclass(frozen=True, slots=True)
class Row:
    """One behaviour: ``where`` its reference is, and the defects that its plans must catch."""

    id: str
    title: str
    where: tuple[str, ...]
    defects: tuple[str, ...] = ()

    @property
    def family(self) -> str:
        """``SW`` of ``SW-02``."""
        return self.id.partition("-")[0]


def _rows(where: str, *rows: tuple[str, ...]) -> tuple[Row, ...]:
    """Rows that live in the same places, each as its id, its title and the defects it names."""
    return tuple(Row(id_, title, tuple(where.split()), tuple(n)) for id_, title, *n in rows)


SWITCHING = (
    *_rows(
        "sim:switch",
        ("SW-01", "source learning", "never learns"),
        ("SW-02", "station move", "keeps the old port"),
        ("SW-03", "ageing", "never ages", "ages at T/4"),
        ("SW-04", "refresh", "destination traffic refreshes"),
        ("SW-05", "known unicast", "also copies to one more port"),
        ("SW-06", "unknown unicast floods", "misses one port", "echoes to ingress"),
        ("SW-07", "same-port filter", "hairpins"),
        (
            "SW-08",
            "broadcast",
            "stops broadcasting once the table is full",
            "learns a group source",
        ),
        ("SW-09", "flood is not broadcast", "floods forever"),
        ("SW-10", "VLAN isolation", "leaks unknown unicast across VLANs", "shared learning"),
        ("SW-11", "table capacity", "capacity below the stated one"),
        ("SW-12", "learning rate", "loses addresses above a rate"),
        ("SW-13", "flush", "keeps entries of a dead port"),
        ("SW-14", "reserved addresses", "forwards pause frames", "forwards BPDU frames"),
        ("SW-16", "frame sizes", "truncates at 1500", "corrupts a pad byte"),
        (
            "SW-17",
            "mirror fidelity",
            "drops mirrored frames",
            "doubles mirrored frames",
            "retags mirrored frames",
        ),
        ("SW-18", "storm control", "no ceiling"),
        ("SW-20", "store and forward between unlike links", "reorders"),
    ),
    *_rows(
        "sim:switch sim:hub",
        ("SW-15", "bad frames", "forwards a runt", "learns from a bad frame"),
    ),
    *_rows("sim:hub", ("SW-19", "repeater", "filters by address")),
    *_rows("sim:bus", ("SW-21", "shared media: CSMA/CD", "no back-off growth")),
    *_rows("sim:ring", ("SW-22", "shared media: token passing", "one station starves")),
    *_rows("sim:link", ("SW-23", "full duplex", "half the rate when both send")),
)

ROUTING = (
    *_rows(
        "stack sim:router",
        ("IP-01", "ARP", "answers for others", "never expires"),
        ("IP-03", "header fields", "forwards a bad checksum"),
        ("IP-05", "TTL exceeded", "silent drop", "forwards TTL 0"),
        ("IP-06", "longest match", "first match wins"),
        ("IP-07", "unreachable", "error about an error"),
        ("IP-08", "echo", "truncates data"),
        ("IP-09", "redirect", "redirects to a wrong gateway"),
        ("IP-10", "router advertisement", "lifetime 0 sent"),
        ("IP-13", "multicast", "forwards link-local groups"),
    ),
    *_rows(
        "sim:router",
        ("IP-04", "forwarding", "TTL not decremented", "stale checksum"),
        ("IP-11", "local broadcast", "leaks it"),
        ("IP-12", "directed broadcast", "on by default"),
        ("IP-16", "equal cost, failover", "never fails over"),
    ),
    *_rows(
        "stack",
        ("IP-02", "address conflict", "uses a taken address"),
        ("IP-15", "best effort", "IP retries"),
    ),
    *_rows("wire", ("IP-14", "addressing arithmetic", "off by one")),
)

FRAGMENTATION = (
    *_rows(
        "stack sim:router",
        ("FR-01", "a router fragments", "offset off by 8", "MF on the last"),
        ("FR-02", "reassembly only at the destination", "router drops later fragments"),
        ("FR-08", "flood of fragments", "memory grows without bound"),
    ),
    *_rows("sim:router", ("FR-06", "tiny fragments", "filter passed")),
    *_rows(
        "stack",
        ("FR-03", "any order, duplicates", "needs order"),
        ("FR-04", "reassembly timeout", "never frees"),
        ("FR-05", "overlaps", "ping of death"),
        ("FR-07", "identification", "constant id"),
        ("FR-09", "the largest datagram", "wraps"),
    ),
)

PATH_MTU = (
    *_rows(
        "sim:router",
        ("PM-01", "frag needed", "MTU field 0", "fragments it anyway", "wrong MTU"),
        ("PM-09", "MSS clamping", "clamps nothing", "bad checksum"),
    ),
    *_rows("stack sim:router", ("PM-03", "several hops", "stops at the first")),
    *_rows(
        "stack",
        ("PM-02", "UDP discovery", "retries at the old size"),
        ("PM-04", "TCP discovery", "waits for RTO", "fragments"),
        ("PM-05", "cache life", "never raised"),
        ("PM-06", "black hole", "hangs"),
        ("PM-07", "old router", "stuck"),
        ("PM-08", "forged frag needed", "obeys it"),
    ),
)

SERVICES = (
    *_rows(
        "stack",
        ("UD-01", "datagrams", "accepts a bad checksum"),
        ("UD-02", "demultiplexing", "crosses protocols"),
        ("UD-03", "one to many"),
        ("AP-08", "a page, end to end"),
    ),
    *_rows(
        "stack sim:server",
        ("AP-01", "DHCP", "offers a taken address"),
        ("AP-02", "DNS", "ignores TTL"),
    ),
    *_rows("sim:router", ("AP-03", "NAT, NAPT", "checksum stale", "two hosts share a mapping")),
    *_rows(
        "wire stack sim:server",
        ("AP-04", "PPP", "accepts any CHAP response"),
        ("AP-05", "PPPoE", "MRU 1500"),
    ),
    *_rows("sim:balancer", ("AP-06", "layer 4-7 device", "flow hops servers")),
    *_rows("sim:gateway", ("AP-07", "gateway", "loses content")),
)

TRANSPORT = (
    *_rows(
        "stack",
        ("TC-01", "handshake", "acks x"),
        ("TC-02", "options", "scales though not agreed"),
        ("TC-03", "data on the third ACK", "dropped"),
        ("TC-04", "lost segments of the handshake", "never released"),
        ("TC-05", "stale SYN", "half-open leak"),
        ("TC-06", "simultaneous open", "RST"),
        ("TC-07", "SYN flood", "backlog fills"),
        ("TC-08", "checksum and offset", "acks it"),
        ("TC-09", "URG, PSH, RST", "any RST kills"),
        ("TC-10", "retransmission timeout", "constant RTO"),
        ("TC-11", "giving up", "forever", "after one"),
        ("TC-12", "lost, late, duplicate ACK", "delivers twice"),
        ("TC-13", "cumulative ACK, sliding window", "ignores the window"),
        ("TC-14", "SACK", "resends all"),
        ("TC-15", "delayed ACK", "1 s late"),
        ("TC-16", "reordering", "out of order"),
        ("TC-17", "slow start", "sends all at once"),
        ("TC-18", "congestion avoidance", "exponential forever"),
        ("TC-19", "timeout reaction", "cwnd kept"),
        ("TC-20", "fast retransmit", "waits for RTO", "fires at one"),
        ("TC-21", "fast recovery", "falls to slow start"),
        ("TC-22", "RACK-TLP"),
        ("TC-23", "zero window", "deadlock"),
        ("TC-24", "silly window", "tinygrams"),
        ("TC-25", "close", "data after FIN lost"),
        ("TC-26", "simultaneous close", "stuck"),
        ("TC-27", "TIME-WAIT", "RST to the resent FIN"),
        ("TC-28", "keepalive", "kills a live peer"),
        ("TC-30", "PAWS, timestamps", "accepts"),
        ("TC-31", "segment sizes", "1460 always"),
    ),
    *_rows("stack labs", ("TC-29", "cable pulled")),
)

BENCHMARKS = (
    *_rows(
        "sim:switch",
        ("BM-01", "throughput", "forwards short frames below the line rate"),
        ("BM-02", "latency", "takes a millisecond"),
        ("BM-03", "frame loss rate", "loses frames at the full load"),
        ("BM-04", "back-to-back frames", "has room for short bursts only"),
        ("BM-05", "system recovery", "recovers from an overload in silence only"),
        ("BM-06", "reset", "listens for seconds once a port is back"),
        ("BM-07", "forwarding in a mesh", "carries less than all ports together"),
        ("BM-08", "congestion control", "blocks the head of the line"),
        ("BM-09", "broadcast forwarding", "broadcasts by its processor"),
        ("BM-10", "errored frames", "passes runts on", "passes damaged frames on"),
    ),
)

_ORDER = ("SW", "IP", "FR", "PM", "UD", "AP", "TC", "BM")

CATALOGUE = tuple(
    sorted(
        (*SWITCHING, *ROUTING, *FRAGMENTATION, *PATH_MTU, *SERVICES, *TRANSPORT, *BENCHMARKS),
        key=lambda row: (_ORDER.index(row.family), row.id),
    )
)
"""Every row, in the catalogue's order."""


def row_of(behaviour: str) -> Row | None:
    """The row of that id; None for what is not in the catalogue, as a user's own rows are."""
    return next((row for row in CATALOGUE if row.id == behaviour), None)
