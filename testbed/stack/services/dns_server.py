"""An authoritative DNS server (RFC 1034 4.3.2, RFC 2308), over UDP and TCP.

::

    zone = Zone("example.test", [DnsRecord(DnsName("example.test"), dns.SOA(...)), ...])
    server = DnsServer.on(stack, (zone,), now)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Final, Self

from testbed.errors import WireError
from testbed.stack.events import Event
from testbed.stack.lower import NoRoute
from testbed.stack.refusals import Refused
from testbed.stack.services.dns_stream import Unframer, framed
from testbed.stack.services.dns_zone import Found, Zone
from testbed.stack.stack import Stack
from testbed.stack.tcp.connection import Connection
from testbed.stack.udp_socket import Datagram, UdpSocket
from testbed.timing import Instant
from testbed.wire.dns import (
    CNAME,
    DNS_PORT,
    DnsClass,
    DnsMessage,
    DnsName,
    DnsQuestion,
    DnsRcode,
    DnsRecord,
    Edns,
)
from testbed.wire.ipv4 import IpProtocol
from testbed.wire.udp import UdpDatagram

__all__ = ["DnsQueried", "DnsServer"]

_PLAIN: Final = 512
"""RFC 1035 4.2.1: 'Messages carried by UDP are restricted to 512 bytes'."""
_LARGEST: Final = 0xFFFF
_CHAIN: Final = 16
"""Aliases followed within one answer."""
_ALIAS_TYPES: Final = frozenset({5, 255})


@dataclass(frozen=True, slots=True)
class DnsQueried(Event):
    """A question was answered."""

    name: DnsName
    type: int
    rcode: int
    by_tcp: bool


class DnsServer:
    """The server of some zones, on one stack."""

    __slots__ = ("_connections", "_listener", "_socket", "_stack", "payload", "zones")

    def __init__(
        self, stack: Stack, zones: Iterable[Zone], now: Instant, *, port: int = DNS_PORT
    ) -> None:
        self._stack = stack
        self.zones = tuple(zones)
        self.payload = 1232
        """The largest UDP answer to those who say that they take so much (RFC 6891 6.2.5)."""
        self._socket = stack.udp.open(now, port=port)
        self._socket.on_datagram = self._hear
        self._listener = stack.tcp.listen(port, now)
        self._listener.on_change = self._accept
        self._connections: set[Connection] = set()

    @classmethod
    def on(cls, stack: Stack, zones: Iterable[Zone], now: Instant, *, port: int = DNS_PORT) -> Self:
        """A server on ``stack``, with the stack's defects if it has any."""
        return stack.ip.variants.of(cls)(stack, zones, now, port=port)

    def close(self, now: Instant) -> None:
        """Serve no more."""
        self._socket.close(now)
        self._listener.close(now)
        for connection in tuple(self._connections):
            connection.abort(now)
        self._connections.clear()

    # In and out

    def _hear(self, socket: UdpSocket, now: Instant) -> None:
        while (datagram := socket.receive()) is not None:
            answer = self.respond(datagram.payload, now, by_tcp=False)
            if answer is not None:
                self._reply(datagram, answer, now)

    def _reply(self, query: Datagram, answer: bytes, now: Instant) -> None:
        """RFC 2181 4.1: the answer comes from the address that was asked."""
        asked = query.destination if self._stack.ip.is_local(query.destination) else None
        try:
            path = self._stack.ip.path(query.source, asked, now=now)
        except NoRoute:
            return  # no way back: as if the answer were lost
        datagram = UdpDatagram(self._socket.port, query.source_port, answer)
        data = datagram.emit(path.source, path.destination)
        path.send(data, IpProtocol.UDP, now, df=False)

    def _accept(self, now: Instant) -> None:
        while (connection := self._listener.accept(now)) is not None:
            self._connections.add(connection)
            connection.on_change = self._reader(connection)
            connection.on_change(now)

    def _reader(self, connection: Connection) -> Callable[[Instant], None]:
        """What answers the questions that come on ``connection``."""
        unframer = Unframer()
        unsent = b""

        def read(now: Instant) -> None:
            nonlocal unsent
            try:
                while (data := connection.receive(_LARGEST, now)) is not None:
                    if not data:
                        self._connections.discard(connection)
                        connection.close(now)
                        return
                    for message in unframer.add(data):
                        answer = self.respond(message, now, by_tcp=True)
                        unsent += framed(answer) if answer is not None else b""
                if unsent:
                    waiting, unsent = unsent, b""
                    unsent = waiting[connection.send(waiting, now) :]
            except Refused:
                self._connections.discard(connection)

        return read

    # Answers

    def respond(self, data: bytes, now: Instant, *, by_tcp: bool) -> bytes | None:
        """The bytes of the answer to the query that ``data`` is; None if it gets none."""
        if not self._stack.answers.dns:
            return None
        try:
            query = DnsMessage.parse(data)
        except WireError:
            return self._unreadable(data)
        if query.response:
            return None
        answer = self.answer(query)
        if query.question is not None:
            asked = query.question
            self._stack.events.add(DnsQueried(now, asked.name, asked.type, answer.rcode, by_tcp))
        return answer.emit() if by_tcp else self.fit(answer, query)

    def fit(self, answer: DnsMessage, query: DnsMessage) -> bytes:
        """The answer in the size that the asker takes by UDP, TC set where that is too little."""
        limit = _PLAIN
        if query.edns is not None:
            # RFC 6891 6.2.3: "Values lower than 512 MUST be treated as equal to 512."
            limit = max(_PLAIN, min(query.edns.payload, self.payload))
        return answer.emit_within(limit)

    def _unreadable(self, data: bytes) -> bytes | None:
        """FORMERR, if the header at least can be read and is a query's."""
        if len(data) < 12 or data[2] & 0x80:
            return None
        ident = int.from_bytes(data[:2], "big")
        opcode = data[2] >> 3 & 15
        message = DnsMessage(ident, response=True, rcode=DnsRcode.FORMERR, opcode=opcode)
        return message.emit()

    def answer(self, query: DnsMessage) -> DnsMessage:
        """What the zones say to ``query``."""
        edns = None if query.edns is None else Edns(self.payload)
        blank = DnsMessage(
            query.ident,
            query.questions,
            response=True,
            opcode=query.opcode,
            rd=query.rd,
            edns=edns,
        )
        if query.edns is not None and query.edns.version:
            # RFC 6891 6.1.3: BADVERS is 16, whose upper bits are in the OPT record.
            return replace(blank, edns=Edns(self.payload, rcode=1))
        if query.opcode:
            return replace(blank, rcode=DnsRcode.NOTIMP)
        if query.question is None:
            return replace(blank, rcode=DnsRcode.FORMERR)
        if query.question.cls not in {DnsClass.IN, DnsClass.ANY}:
            return replace(blank, rcode=DnsRcode.REFUSED)
        return self.look_up(blank, query.question)

    def zone_of(self, name: DnsName) -> Zone | None:
        """The zone that ``name`` lies in, the innermost."""
        holding = [zone for zone in self.zones if name.within(zone.origin)]
        return max(holding, key=lambda zone: len(zone.origin.labels)) if holding else None

    def look_up(self, blank: DnsMessage, question: DnsQuestion) -> DnsMessage:
        """RFC 1034 4.3.2, step 3: match down, follow aliases, refer, or deny."""
        name = question.name
        answers: tuple[DnsRecord, ...] = ()
        for _ in range(_CHAIN):
            zone = self.zone_of(name)
            if zone is None:
                break
            found = zone.find(name, question.type)
            if found.kind is Found.ALIAS and question.type not in _ALIAS_TYPES:
                answers = (*answers, *found.records)
                name = _target(found.records[0])
                if any(record.name == name for record in answers):
                    break  # a loop: what was found so far is all there is
                continue
            return self._conclude(replace(blank, answers=answers), zone, found.kind, found.records)
        if not answers:
            return replace(blank, rcode=DnsRcode.REFUSED)
        return replace(blank, answers=answers, aa=True)

    def _conclude(
        self, message: DnsMessage, zone: Zone, kind: Found, records: tuple[DnsRecord, ...]
    ) -> DnsMessage:
        """The answer, once the name that is meant is found or known not to be."""
        if kind is Found.REFERRAL:
            glue = zone.addresses(records)
            # RFC 2308 2.1.2: after an alias of its own the server still speaks for that.
            return replace(message, authority=records, additional=glue, aa=bool(message.answers))
        if kind is Found.ANSWER:
            more = zone.addresses(records)
            answers = (*message.answers, *records)
            return replace(message, answers=answers, additional=more, aa=True)
        rcode = DnsRcode.NXDOMAIN if kind is Found.NO_NAME else DnsRcode.NOERROR
        return replace(message, rcode=rcode, authority=(zone.negative(),), aa=True)


def _target(alias: DnsRecord) -> DnsName:
    data = alias.data
    return data.target if isinstance(data, CNAME) else alias.name
