"""Hosts behind a translator, as plans of NAPT need them: what they say comes out, and back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address
from typing import Final, TypeAlias

from testbed.bench.bench import Bench
from testbed.bench.capturing import Capture
from testbed.capture import Matcher, TracedFrame, match
from testbed.timing import milliseconds
from testbed.wire import (
    EchoReply,
    EchoRequest,
    EthFrame,
    IPv4Packet,
    TcpFlags,
    TcpSegment,
    UdpDatagram,
    compose,
    enclose,
)

__all__ = ["Talk", "Translator"]

_Inner: TypeAlias = UdpDatagram | TcpSegment | EchoRequest | EchoReply

_SYN: Final = TcpFlags.SYN
_ACK: Final = TcpFlags.ACK
_FIN: Final = TcpFlags.FIN
_DATA: Final = TcpFlags.ACK | TcpFlags.PSH

_UNDER_WAY = milliseconds(100)
"""For packets that a router may still let in, before it stops translating."""


class Translator:
    """The router ``dut`` translates toward the NIC ``b``; ``a`` and ``c`` are inside.

    There are two hosts at ``a``, and two servers and a stranger at ``b``. Translation is on within
    a ``with`` block, which belongs inside the capture: its canaries and barriers come from outside
    too, and a translator lets in no stranger.
    """

    OUTSIDE_PORTS: Final = range(1024, 65536)
    """RFC 4787 REQ-3 b: a port above 1023 is mapped to one above 1023."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.net = bench.bring_up_network()
        self.dut = bench.router("dut")
        self.hosts = (self.net["a"].ip, self.net["a"].ip + 1)
        self.servers = (self.net["b"].ip, self.net["b"].ip + 1)
        self.stranger = self.net["b"].ip + 2
        self.net.station("a").answer_for |= {self.hosts[1]}
        self.net.station("b").answer_for |= {self.servers[1], self.stranger}
        self.outside = self.net.at("dut", "b--dut").ip

    @contextmanager
    def on(self) -> Iterator[None]:
        """Translate within a ``with`` block."""
        self.dut.set_nat(self.bench.port("dut", toward="b"))
        yield
        self.bench.watch_for(_UNDER_WAY)
        self.dut.set_nat(None)

    def send(self, leaf: str, packet: IPv4Packet) -> None:
        """Hand the router a packet from ``leaf``."""
        end = self.net[leaf]
        self.bench.nic(leaf).inject(compose(EthFrame(end.gateway_mac, end.mac), packet, pad=True))

    def hop(self, leaf: str, src: IPv4Address, dst: IPv4Address) -> Matcher:
        """A packet with these addresses that the router has forwarded to ``leaf``."""
        frame = match.eth(src=self.net.at("dut", f"{leaf}--dut").mac, dst=self.net[leaf].mac)
        return frame & match.ipv4(src=src, dst=dst, ttl=63, bad_checksum=False)

    def expect_hidden(self, seen: Capture) -> None:
        """No packet that came out at b has an address of the inside."""
        for leaf in "ac":
            inside = str(self.net[leaf].address.network)
            seen.at("b--dut").expect_none(match.ipv4(src=inside) | match.ipv4(dst=inside))


class Talk:
    """What one host inside and one server outside say to each other, packet by packet.

    ``kind`` is ``udp``, ``tcp`` or ``icmp`` (echo, with ``port`` as its identifier). Each packet
    must come out as a translator has it, within the time of ``Capture.wait_for``.
    """

    SERVICE: Final = {"udp": 53, "tcp": 80, "icmp": 0}

    def __init__(
        self,
        nat: Translator,
        seen: Capture,
        kind: str,
        port: int,
        *,
        host: int = 0,
        server: int = 0,
    ) -> None:
        """``host`` and ``server``: 0 or 1; the second server serves one port higher."""
        self.nat, self.seen, self.kind, self.port = nat, seen, kind, port
        self.host, self.server = nat.hosts[host], nat.servers[server]
        self.service = self.SERVICE[kind] + server
        self.outside = 0
        """The port of the mapping, once a packet has come out."""
        # A segment without data is known by its number: each connection has numbers of its own.
        self._sent = ((port * 2 + host) * 2 + server) * 100_000 % (1 << 31)
        self._heard = self._sent + 50_000
        self._turn = 0

    def call(self) -> int:
        """The first packet of the host, of TCP a SYN. The port outside from which it came out."""
        if self.kind == "tcp":
            self.out(b"", _SYN)
        else:
            self.out()
        return self.outside

    def begin(self) -> int:
        """Call, unless that is done, and the answer; of TCP the handshake, and data both ways."""
        if not self.outside:
            self.call()
        if self.kind == "tcp":
            self.back(b"", _SYN | _ACK)
            self.out(b"", _ACK)
            self.out()
        self.back()
        return self.outside

    def end(self) -> None:
        """Of TCP, both sides close."""
        if self.kind == "tcp":
            self.out(b"", _FIN | _ACK)
            self.back(b"", _FIN | _ACK)
            self.out(b"", _ACK)

    def out(self, data: bytes | None = None, flags: TcpFlags = _DATA) -> IPv4Packet:
        """A packet of the host, which must come out translated; returns it as it was sent."""
        packet = self.asked(data, flags)
        self.nat.send("a", packet)
        data = _data_of(packet)
        wanted = self._transport(self.outside, self.service, data, flags, out=True)
        header = self.nat.hop("b", self.nat.outside, self.server)
        header &= match.ipv4(df=True, ident=packet.ident)
        self.outside = _port(self.seen.wait_for("b--dut", header & wanted))
        self._sent += len(data) + bool(flags & (_SYN | _FIN))
        return packet

    def back(self, data: bytes | None = None, flags: TcpFlags = _DATA) -> IPv4Packet:
        """An answer of the server, which must come to the host; returns it as it was sent."""
        packet = self.answered(data, flags)
        self.nat.send("b", packet)
        data = _data_of(packet)
        wanted = self._transport(self.service, self.port, data, flags, out=False)
        header = self.nat.hop("a", self.server, self.host)
        header &= match.ipv4(df=True, ident=packet.ident)
        self.seen.wait_for("a--dut", header & wanted)
        self._heard += len(data) + bool(flags & (_SYN | _FIN))
        return packet

    def asked(self, data: bytes | None = None, flags: TcpFlags = _DATA) -> IPv4Packet:
        """What the host says next, as it sends it."""
        data = self._words("ask") if data is None else data
        packet = IPv4Packet(self.host, self.server, ident=self._next(), df=True)
        return enclose(packet, self._inner(self.port, self.service, data, flags, out=True))

    def answered(
        self, data: bytes | None = None, flags: TcpFlags = _DATA, *, inside: bool = False
    ) -> IPv4Packet:
        """What the server says next, as it sends it; ``inside``: as it must come to the host."""
        data = self._words("told") if data is None else data
        to, port = (self.host, self.port) if inside else (self.nat.outside, self.outside)
        packet = IPv4Packet(self.server, to, ident=self._next(), df=True)
        return enclose(packet, self._inner(self.service, port, data, flags, out=False))

    def _words(self, what: str) -> bytes:
        return f"{what} {self.kind} {self.host} {self.server} {self._turn:06}".encode()

    def _next(self) -> int:
        self._turn += 1
        return 0x4000 + self._turn

    def _inner(self, src: int, dst: int, data: bytes, flags: TcpFlags, *, out: bool) -> _Inner:
        if self.kind == "udp":
            return UdpDatagram(src, dst, data)
        if self.kind == "tcp":
            seq, ack = (self._sent, self._heard) if out else (self._heard, self._sent)
            ack = ack if flags & _ACK else 0
            return TcpSegment(src, dst, seq=seq, ack=ack, flags=flags, payload=data)
        return EchoRequest(src, 1, data) if out else EchoReply(dst, 1, data)

    def _transport(self, src: int, dst: int, data: bytes, flags: TcpFlags, *, out: bool) -> Matcher:
        """What must come out; from whatever port outside, where ``src`` is 0."""
        if self.kind == "icmp":
            ident = (src or None) if out else dst
            return match.icmpv4(type=8 if out else 0, ident=ident, data=data, bad_checksum=False)
        port = src or Translator.OUTSIDE_PORTS
        if self.kind == "udp":
            return match.udp(src_port=port, dst_port=dst, payload=data, bad_checksum=False)
        seq = self._sent if out else self._heard
        return match.tcp(
            src_port=port, dst_port=dst, seq=seq, flags=flags, payload=data, bad_checksum=False
        )


def _data_of(packet: IPv4Packet) -> bytes:
    """What the transport of a whole packet carries."""
    return packet.payload[{1: 8, 6: 20, 17: 8}[packet.protocol] :]


def _port(frame: TracedFrame) -> int:
    """The port, or identifier, that a packet has come from."""
    at = 4 if frame.ipv4.protocol == 1 else 0
    return int.from_bytes(frame.ipv4.payload[at : at + 2], "big")
