"""Faults of what a router says of MTUs, and of MSS clamping (PM-01, PM-03, PM-09)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from testbed.stack.clamp import clamped, mss_at
from testbed.stack.forwarding import Drop, Forwarder, Refuse, Verdict
from testbed.stack.icmp_errors import ErrorReporter
from testbed.stack.router import Router
from testbed.stack.variants import Defect
from testbed.timing import Instant
from testbed.wire.checksum import internet_checksum
from testbed.wire.icmp_message import IcmpType
from testbed.wire.icmpv4 import UnreachableCode
from testbed.wire.ipv4 import IpProtocol, IPv4Packet
from testbed.wire.tcp import TcpFlags

__all__ = [
    "ANSWERS_ONCE",
    "BAD_CHECKSUM",
    "CLAMPS_NOTHING",
    "CLAMPS_ONE_WAY",
    "CLAMPS_SYN_ONLY",
    "CLAMPS_TO_MTU",
    "CLAMPS_TO_ONE_LINK",
    "CLAMPS_UNASKED",
    "CLEARS_DF",
    "FRAGMENTS_ANYWAY",
    "HEADER_SUBTRACTED",
    "MTU_ZERO",
    "NAMES_ITS_OWN",
    "RAISES_MSS",
    "REFUSES_WHAT_FITS",
    "REFUSES_WITHOUT_DF",
    "SILENT_ON_SIZE",
    "STOPS_AT_FIRST",
    "WRONG_CODE",
    "WRONG_MTU",
]

_Fitted = tuple[IPv4Packet, ...] | Verdict

# Frag needed


class _Fitter(Forwarder):
    __slots__ = ()

    def named(self, mtu: int) -> int:
        return mtu

    def _fit(self, packet: IPv4Packet, mtu: int) -> _Fitted:
        verdict = super()._fit(packet, mtu)
        if isinstance(verdict, Refuse) and verdict.mtu is not None:
            return replace(verdict, mtu=self.named(verdict.mtu))
        return verdict


class _Zero(_Fitter):
    __slots__ = ()

    def named(self, mtu: int) -> int:
        del mtu
        return 0


class _Wrong(_Fitter):
    __slots__ = ()

    def named(self, mtu: int) -> int:
        return mtu + 100


class _LessHeader(_Fitter):
    __slots__ = ()

    def named(self, mtu: int) -> int:
        return mtu - 20


class _Anyway(Forwarder):
    __slots__ = ()

    def _fit(self, packet: IPv4Packet, mtu: int) -> _Fitted:
        if packet.total_length > mtu:
            packet = replace(packet, df=False)
        return super()._fit(packet, mtu)


class _Quiet(Forwarder):
    __slots__ = ()

    def _fit(self, packet: IPv4Packet, mtu: int) -> _Fitted:
        if packet.df and packet.total_length > mtu:
            return Drop("too large")
        return super()._fit(packet, mtu)


class _Exact(Forwarder):
    __slots__ = ()

    def _fit(self, packet: IPv4Packet, mtu: int) -> _Fitted:
        if packet.df and packet.total_length == mtu:
            return Refuse(
                IcmpType.DESTINATION_UNREACHABLE, UnreachableCode.FRAGMENTATION_NEEDED, mtu
            )
        return super()._fit(packet, mtu)


class _Always(Forwarder):
    __slots__ = ()

    def _fit(self, packet: IPv4Packet, mtu: int) -> _Fitted:
        return super()._fit(replace(packet, df=packet.df or packet.total_length > mtu), mtu)


class _NoDf(Router):
    __slots__ = ()

    def encode(self, packet: IPv4Packet) -> bytes:
        return super().encode(replace(packet, df=False))


class _HostCode(Forwarder):
    __slots__ = ()

    def _fit(self, packet: IPv4Packet, mtu: int) -> _Fitted:
        verdict = super()._fit(packet, mtu)
        if isinstance(verdict, Refuse):
            return replace(verdict, icmp_code=UnreachableCode.HOST)
        return verdict


def _needing(name: str, story: str, part: type, mixin: type) -> Defect:
    return Defect(name, "PM-01", story, {part: mixin})


MTU_ZERO: Final = _needing(
    "MTU field 0",
    "A router from before 1990 says that it is too large, and not what would fit.",
    Forwarder,
    _Zero,
)
WRONG_MTU: Final = _needing(
    "wrong MTU",
    "The MTU that is named counts headers of the link: the next try is too large as well.",
    Forwarder,
    _Wrong,
)
HEADER_SUBTRACTED: Final = _needing(
    "MTU without the header",
    "What a packet may carry is named, not how long it may be: every transfer is some bytes below "
    "what it could be.",
    Forwarder,
    _LessHeader,
)
FRAGMENTS_ANYWAY: Final = _needing(
    "fragments it anyway",
    "DF is cleared to help a tunnel: all hosts believe in a path that has no narrow link.",
    Forwarder,
    _Anyway,
)
SILENT_ON_SIZE: Final = _needing(
    "drops it in silence",
    "ICMP was filtered for safety's sake: connections open, and hang at the first large segment.",
    Forwarder,
    _Quiet,
)
REFUSES_WHAT_FITS: Final = _needing(
    "refuses what fits exactly",
    "The comparison is off by one: a packet of the very size that was named is refused again.",
    Forwarder,
    _Exact,
)
REFUSES_WITHOUT_DF: Final = _needing(
    "refuses without DF",
    "A router that will not fragment refuses all that is too long, DF or not; senders without "
    "path-MTU discovery never learn.",
    Forwarder,
    _Always,
)
CLEARS_DF: Final = _needing(
    "clears DF of what fits",
    "DF is cleared in passing, and the next narrow link fragments what asked to be refused.",
    Router,
    _NoDf,
)
WRONG_CODE: Final = _needing(
    "wrong code",
    "Host unreachable is sent for a packet that was too large, and connections are given up.",
    Forwarder,
    _HostCode,
)

# Several narrow links


class _Swallows(Router):
    __slots__ = ()

    def forward(self, packet: IPv4Packet, ingress: str, now: Instant) -> None:
        if not _is_frag_needed(packet):
            super().forward(packet, ingress, now)


class _Overwrites(Router):
    __slots__ = ()

    def forward(self, packet: IPv4Packet, ingress: str, now: Instant) -> None:
        if _is_frag_needed(packet):
            own = self._egress.interfaces[ingress].mtu.to_bytes(2, "big")
            body = packet.payload[:2] + bytes(4) + own + packet.payload[8:]
            sum_ = internet_checksum(body).to_bytes(2, "big")
            packet = replace(packet, payload=body[:2] + sum_ + body[4:])
        super().forward(packet, ingress, now)


class _Once(ErrorReporter):
    __slots__ = ()

    def report(
        self, packet: IPv4Packet, kind: int, code: int, now: Instant, *, value: int = 0
    ) -> None:
        if (kind, code) == (3, UnreachableCode.FRAGMENTATION_NEEDED):
            self._core.count(f"frag needed to {packet.src}")
            if self._core.counts[f"frag needed to {packet.src}"] > 1:
                return
        super().report(packet, kind, code, now, value=value)


def _is_frag_needed(packet: IPv4Packet) -> bool:
    return packet.protocol == IpProtocol.ICMP and packet.payload[:2] == b"\x03\x04"


STOPS_AT_FIRST: Final = Defect(
    "stops at the first",
    "PM-03",
    "The first router lets no ICMP errors of others through: of a second narrow link the sender "
    "never hears.",
    {Router: _Swallows},
)
NAMES_ITS_OWN: Final = Defect(
    "names its own MTU for the next",
    "PM-03",
    "A router that rewrites the errors of those behind it, as translators do, puts its own MTU in.",
    {Router: _Overwrites},
)
ANSWERS_ONCE: Final = Defect(
    "answers a sender once",
    "PM-03",
    "One error per sender and router, says the rate limit: the second size that is too large "
    "disappears.",
    {ErrorReporter: _Once},
)

# MSS clamping


class _NoClamp(Forwarder):
    __slots__ = ()

    def _clamp(self, packet: IPv4Packet, ingress: str, egress: str) -> IPv4Packet:
        del ingress, egress
        return packet


class _StaleChecksum(Forwarder):
    __slots__ = ()

    def _clamp(self, packet: IPv4Packet, ingress: str, egress: str) -> IPv4Packet:
        changed = super()._clamp(packet, ingress, egress).payload
        stale = changed[:16] + packet.payload[16:18] + changed[18:]
        return replace(packet, payload=stale)


class _Raises(Forwarder):
    __slots__ = ()

    def _clamp(self, packet: IPv4Packet, ingress: str, egress: str) -> IPv4Packet:
        lowered = super()._clamp(packet, ingress, egress)
        if self._crossing.clamped.isdisjoint((ingress, egress)) or not _is_syn(packet):
            return lowered
        mtu = min(self._topology.link_mtu(ingress), self._topology.link_mtu(egress))
        return _with_mss(lowered, mtu - 40)


class _ToMtu(Forwarder):
    __slots__ = ()

    def _clamp(self, packet: IPv4Packet, ingress: str, egress: str) -> IPv4Packet:
        if self._crossing.clamped.isdisjoint((ingress, egress)):
            return packet
        mtu = min(self._topology.link_mtu(ingress), self._topology.link_mtu(egress))
        return clamped(packet, mtu)


class _SynOnly(Forwarder):
    __slots__ = ()

    def _clamp(self, packet: IPv4Packet, ingress: str, egress: str) -> IPv4Packet:
        if _is_syn(packet) and packet.payload[13] & TcpFlags.ACK:
            return packet
        return super()._clamp(packet, ingress, egress)


class _OneWay(Forwarder):
    __slots__ = ()

    def _clamp(self, packet: IPv4Packet, ingress: str, egress: str) -> IPv4Packet:
        if egress not in self._crossing.clamped:
            return packet
        return super()._clamp(packet, ingress, egress)


class _OneLink(Forwarder):
    __slots__ = ()

    def _clamp(self, packet: IPv4Packet, ingress: str, egress: str) -> IPv4Packet:
        if self._crossing.clamped.isdisjoint((ingress, egress)):
            return packet
        return clamped(packet, self._topology.link_mtu(egress) - 40)


class _Unasked(Forwarder):
    __slots__ = ()

    def _clamp(self, packet: IPv4Packet, ingress: str, egress: str) -> IPv4Packet:
        mtu = min(self._topology.link_mtu(ingress), self._topology.link_mtu(egress))
        return clamped(packet, mtu - 40)


def _is_syn(packet: IPv4Packet) -> bool:
    payload = packet.payload
    whole = packet.protocol == IpProtocol.TCP and not packet.offset and len(payload) >= 20
    return whole and bool(payload[13] & TcpFlags.SYN)


def _with_mss(packet: IPv4Packet, mss: int) -> IPv4Packet:
    """``packet``, a SYN, with an MSS of exactly ``mss``: lowered from the most there is."""
    at = mss_at(packet.payload)
    if at is None:
        return packet
    field = int.from_bytes(packet.payload[at : at + 2], "big")
    if field >= mss:
        return packet
    # A sum is the same when two words change by opposite amounts: the checksum takes up the rest.
    raised = bytearray(packet.payload)
    raised[at : at + 2] = mss.to_bytes(2, "big")
    weight = 256 if at & 1 else 1
    checksum = int.from_bytes(raised[16:18], "big") - (mss - field) * weight
    raised[16:18] = (checksum % 0xFFFF).to_bytes(2, "big")
    return replace(packet, payload=bytes(raised))


def _clamping(name: str, story: str, mixin: type) -> Defect:
    return Defect(name, "PM-09", story, {Forwarder: mixin})


CLAMPS_NOTHING: Final = _clamping(
    "clamps nothing",
    "The line is in the configuration of the wrong port: large segments vanish in the tunnel.",
    _NoClamp,
)
BAD_CHECKSUM: Final = _clamping(
    "bad checksum",
    "The MSS is rewritten and the checksum is not: no connection opens any more.",
    _StaleChecksum,
)
RAISES_MSS: Final = _clamping(
    "raises a smaller one",
    "The MSS is set, not lowered: a host that asked for small segments gets large ones.",
    _Raises,
)
CLAMPS_TO_MTU: Final = _clamping(
    "clamps to the MTU",
    "The headers' 40 bytes are forgotten, and segments are 40 bytes too long.",
    _ToMtu,
)
CLAMPS_SYN_ONLY: Final = _clamping(
    "clamps no SYN+ACK",
    "Only the first of the two SYNs is rewritten: uploads hang, downloads do not.",
    _SynOnly,
)
CLAMPS_ONE_WAY: Final = _clamping(
    "clamps one way only",
    "Only what leaves by the port is rewritten: what the far side announces comes in as it is.",
    _OneWay,
)
CLAMPS_TO_ONE_LINK: Final = _clamping(
    "clamps to the link ahead",
    "The MTU of the link that a SYN came in by is not looked at, though the answers take it.",
    _OneLink,
)
CLAMPS_UNASKED: Final = _clamping(
    "clamps unasked",
    "Every SYN is rewritten, wherever it goes, and a test of path-MTU discovery tests nothing.",
    _Unasked,
)
