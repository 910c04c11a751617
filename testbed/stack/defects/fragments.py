"""Faults of fragments: putting them together, giving them up, and telling datagrams apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from testbed.stack.ip import IpLayer
from testbed.stack.reassembly import Expired, Reassembler, _Datagram
from testbed.stack.variants import Defect
from testbed.timing import Duration, Instant, after, seconds
from testbed.wire.ipv4 import IPv4Packet

__all__ = [
    "ACCEPTS_TOO_LONG",
    "COUNTS_DUPLICATES",
    "DIES_OF_OVERLAPS",
    "DIES_OF_PINGS",
    "DROPS_ALL_WHEN_FULL",
    "EIGHT_AT_MOST",
    "EXTENDS_TIMER",
    "GIVES_UP_EARLY",
    "GLUES_OVERLAPS",
    "IDENT_ALONE",
    "MEMORY_GROWS",
    "NEEDS_ORDER",
    "NEVER_FREES",
    "READS_PAST_END",
    "SIGNED_LENGTH",
    "TELLS_ONLY",
    "TELLS_WITHOUT_FIRST",
    "WEDGED_WHEN_FULL",
]

_LARGEST: Final = 65535
_HEADERS: Final = 28
_FEW: Final = 8


class _NeedsOrder(Reassembler):
    __slots__ = ()

    def _malformed(self, packet: IPv4Packet) -> str | None:
        held = self._datagrams.get(self._key(packet))
        if packet.offset != (held.end if held is not None else 0):
            return "not the next fragment"
        return super()._malformed(packet)


class _CountsDuplicates(Reassembler):
    __slots__ = ()

    def _insert(self, held: _Datagram, packet: IPv4Packet, now: Instant) -> bool:
        before = held.held
        inserted = super()._insert(held, packet, now)
        if held.held == before:
            held.held += len(packet.payload)
        return inserted


class _EightAtMost(Reassembler):
    __slots__ = ()

    def _contradiction(self, held: _Datagram, packet: IPv4Packet) -> str | None:
        full = len(held.pieces) >= _FEW
        return "too many fragments" if full else super()._contradiction(held, packet)


class _IdentAlone(Reassembler):
    __slots__ = ()

    def _key(self, packet: IPv4Packet) -> int:
        return packet.ident


class _NeverFrees(Reassembler):
    __slots__ = ()

    def next_deadline(self) -> Instant | None:
        return None


class _TellsOnly(Reassembler):
    __slots__ = ()

    def expire(self, now: Instant) -> list[Expired]:
        """Tell of what is due, and keep it."""
        held = dict(self._datagrams)
        expired = super().expire(now)
        for key in [key for key in held if key not in self._datagrams]:
            held[key].deadline = after(now, seconds(86_400))
            self._datagrams[key] = held[key]
            self.held_bytes += held[key].charge
        return expired


class _ExtendsTimer(Reassembler):
    __slots__ = ()

    def _take(self, held: _Datagram, packet: IPv4Packet, now: Instant) -> bool:
        taken = super()._take(held, packet, now)
        held.deadline = after(now, self._config.reassembly_timeout)
        key = self._key(packet)
        self._datagrams[key] = self._datagrams.pop(key)
        return taken


class _GivesUpEarly(Reassembler):
    __slots__ = ()

    def _begin(self, key: int, now: Instant) -> _Datagram:
        held = super()._begin(key, now)
        held.deadline = after(now, Duration(self._config.reassembly_timeout // 4))
        return held


class _TellsWithoutFirst(Reassembler):
    __slots__ = ()

    def _take(self, held: _Datagram, packet: IPv4Packet, now: Instant) -> bool:
        taken = super()._take(held, packet, now)
        if held.first is None:
            held.first = replace(packet, offset=0)
        return taken


class _DropsAll(Reassembler):
    __slots__ = ()

    def _make_room(self, now: Instant) -> None:
        full = self.held_bytes > self._config.reassembly_bytes
        super()._make_room(now)
        for key in list(self._datagrams) if full else ():
            self._remove(key)


class _MemoryGrows(Reassembler):
    __slots__ = ()

    def _make_room(self, now: Instant) -> None:
        pass


class _WedgedWhenFull(Reassembler):
    __slots__ = ()

    def _malformed(self, packet: IPv4Packet) -> str | None:
        full = self.held_bytes >= self._config.reassembly_bytes
        return "full" if full else super()._malformed(packet)

    def _make_room(self, now: Instant) -> None:
        pass

    def expire(self, now: Instant) -> list[Expired]:
        """Give the datagrams up, and count their bytes as held for good."""
        held = self.held_bytes
        expired = super().expire(now)
        self.held_bytes = held
        return expired


class _DiesOfPings(IpLayer):
    __slots__ = ()

    def deliver(self, packet: IPv4Packet, now: Instant) -> None:
        if packet.offset + len(packet.payload) > _LARGEST - packet.header_length:
            self._transports.clear()
        if self._transports:
            super().deliver(packet, now)


class _DiesOfOverlaps(IpLayer):
    __slots__ = ()

    def deliver(self, packet: IPv4Packet, now: Instant) -> None:
        held = self.reassembler.held_datagrams
        if self._transports:
            super().deliver(packet, now)
        if (packet.mf or packet.offset) and self.reassembler.held_datagrams < held and packet.mf:
            self._transports.clear()


class _ReadsPastEnd(Reassembler):
    __slots__ = ()

    def _contradiction(self, held: _Datagram, packet: IPv4Packet) -> str | None:
        wrong = super()._contradiction(held, packet)
        return None if wrong == "fragments disagree on the end" else wrong

    def _complete(
        self, key: int, held: _Datagram, packet: IPv4Packet, now: Instant
    ) -> IPv4Packet | None:
        whole = super()._complete(key, held, packet, now)
        if whole is None:
            return None
        length = int.from_bytes(whole.payload[4:6], "big")
        return replace(whole, payload=whole.payload.ljust(length, b"\x5a"))


class _Glues(Reassembler):
    __slots__ = ()

    def _insert(self, held: _Datagram, packet: IPv4Packet, now: Instant) -> bool:  # noqa: ARG002
        at = sum(piece.start <= packet.offset for piece in held.pieces)
        self._insert_between(held, at, packet)
        return True

    def _take(self, held: _Datagram, packet: IPv4Packet, now: Instant) -> bool:
        taken = super()._take(held, packet, now)
        if held.length is not None and held.held > held.length:
            held.length = held.held
        return taken


class _AcceptsTooLong(Reassembler):
    __slots__ = ()

    def _contradiction(self, held: _Datagram, packet: IPv4Packet) -> str | None:
        return super()._contradiction(held, replace(packet, options=b""))

    def _complete(
        self, key: int, held: _Datagram, packet: IPv4Packet, now: Instant
    ) -> IPv4Packet | None:
        if held.first is not None:
            held.first = replace(held.first, options=b"")
        return super()._complete(key, held, packet, now)


class _SignedLength(Reassembler):
    __slots__ = ()

    def _malformed(self, packet: IPv4Packet) -> str | None:
        negative = packet.offset + len(packet.payload) >= 1 << 15
        return "negative length" if negative else super()._malformed(packet)


NEEDS_ORDER = Defect(
    "needs order",
    "FR-03",
    "A stack of a small device keeps one position to read on from: a path with two links, or "
    "a router that sends the last fragment first, and large datagrams are lost for good.",
    {Reassembler: _NeedsOrder},
)

COUNTS_DUPLICATES = Defect(
    "counts duplicates",
    "FR-03",
    "A stack adds up the bytes that came instead of those that it has: one fragment that came "
    "twice, and the datagram is handed up with a hole.",
    {Reassembler: _CountsDuplicates},
)

EIGHT_AT_MOST = Defect(
    "eight fragments at most",
    "FR-03",
    "A stack has a table of eight pieces for each datagram: where a path cuts into smaller ones, "
    "large datagrams never arrive.",
    {Reassembler: _EightAtMost},
)

IDENT_ALONE = Defect(
    "goes by the identification alone",
    "FR-03",
    "A stack looks at the identification and at nothing else: fragments of two senders that "
    "count alike make up a datagram that nobody sent.",
    {Reassembler: _IdentAlone},
)

NEVER_FREES = Defect(
    "never frees",
    "FR-04",
    "A stack has no timer for incomplete datagrams: each lost fragment costs memory until it "
    "is restarted, and years later still meets a new datagram of the same number.",
    {Reassembler: _NeverFrees},
)

TELLS_ONLY = Defect(
    "tells and frees nothing",
    "FR-04",
    "A stack reports that the time is over and forgets to free what it holds: an old fragment is "
    "put together with new ones when the identification comes round.",
    {Reassembler: _TellsOnly},
)

EXTENDS_TIMER = Defect(
    "extends the timer",
    "FR-04",
    "A stack starts its timer anew with each fragment: a sender that sends one now and then "
    "holds the memory for as long as it likes.",
    {Reassembler: _ExtendsTimer},
)

GIVES_UP_EARLY = Defect(
    "gives up early",
    "FR-04",
    "A stack gives incomplete datagrams up long before their time: on slow or busy paths "
    "large datagrams never arrive.",
    {Reassembler: _GivesUpEarly},
)

TELLS_WITHOUT_FIRST = Defect(
    "tells without the first fragment",
    "FR-04",
    "A stack reports the end of a wait whose first fragment never came: the error names ports "
    "that are anything but ports.",
    {Reassembler: _TellsWithoutFirst},
)

DIES_OF_PINGS = Defect(
    "ping of death",
    "FR-05",
    "A fragment whose end lies past 65535 bytes overruns the buffer of the datagram, and the "
    "host is gone: the ping of death of 1996.",
    {IpLayer: _DiesOfPings},
)

DIES_OF_OVERLAPS = Defect(
    "dies of overlaps",
    "FR-05",
    "A stack computes how much of an overlapping fragment is new, copies a negative number of "
    "bytes, and the host is gone: teardrop, 1997.",
    {IpLayer: _DiesOfOverlaps},
)

READS_PAST_END = Defect(
    "reads past the end",
    "FR-05",
    "A stack believes the length in the datagram's own header when the fragments end before it: "
    "what is handed up has bytes of somebody else's memory.",
    {Reassembler: _ReadsPastEnd},
)

GLUES_OVERLAPS = Defect(
    "glues overlaps",
    "FR-05",
    "A stack puts overlapping fragments one behind the other: the datagram has bytes where "
    "nobody sent them, as from the teardrop attack of 1997.",
    {Reassembler: _Glues},
)

DROPS_ALL_WHEN_FULL = Defect(
    "drops all when full",
    "FR-08",
    "A host empties its reassembly buffer when it is full: with one datagram too many under way, "
    "none of them arrives.",
    {Reassembler: _DropsAll},
)

MEMORY_GROWS = Defect(
    "memory grows without bound",
    "FR-08",
    "A stack holds whatever comes until it is complete or its time is over: a minute of "
    "forged fragments takes all the memory there is.",
    {Reassembler: _MemoryGrows},
)

WEDGED_WHEN_FULL = Defect(
    "wedged when full",
    "FR-08",
    "A stack takes no more fragments once its memory for them was full, and never finds it "
    "empty again: after one flood no large datagram arrives until it is restarted.",
    {Reassembler: _WedgedWhenFull},
)

ACCEPTS_TOO_LONG = Defect(
    "forgets the header's length",
    "FR-09",
    "A stack holds the payload of a reassembled packet against the limit, and not the packet: "
    "with options it is longer than any length field can say.",
    {Reassembler: _AcceptsTooLong},
)

SIGNED_LENGTH = Defect(
    "length as a signed number",
    "FR-09",
    "A stack counts a packet's length as a signed number of 16 bits: what is longer than "
    "32767 bytes is lost.",
    {Reassembler: _SignedLength},
)
