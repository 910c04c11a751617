"""Mutated frames into a live stack: nothing raises, nothing grows, the connection lives on.

``python tests/helpers/fuzz.py COUNT [SEED]`` does it at length.
"""

from __future__ import annotations

import random
import resource
import sys
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Interface

from pair import Net

from testbed.stack.config import StackConfig
from testbed.stack.sockets import SocketApi
from testbed.stack.stack import Stack
from testbed.stack.tcp.states import State
from testbed.timing import milliseconds, seconds
from testbed.wire import (
    MSS,
    ArpPacket,
    DestinationUnreachable,
    EchoRequest,
    EtherType,
    EthFrame,
    IpProtocol,
    IPv4Packet,
    MacAddr,
    Redirect,
    RedirectCode,
    Sack,
    SackPermitted,
    TcpFlags,
    TcpSegment,
    TimeExceeded,
    Timestamps,
    UdpDatagram,
    WindowScale,
    fragment,
)

__all__ = ["Fuzz"]

OURS, THEIRS, WIRED = (IPv4Address(text) for text in ("10.1.0.1", "10.1.0.2", "10.0.0.1"))
MAC, OTHER = MacAddr("02:00:00:00:00:01"), MacAddr("02:00:00:00:00:99")
STRANGER = IPv4Address("10.0.0.77")


class Fuzz:
    """A stack with a live connection over ``tun0``, a listener, UDP sockets, and a bad network."""

    def __init__(self, seed: int) -> None:
        self.luck = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self.net = Net(trace=False)
        config = StackConfig.of(ip={"forwarding": self.luck.random() < 0.5}, arp={"probe": False})
        self.stack = Stack(config, seed=seed, name="fuzzed")
        self.friend = Stack(StackConfig(), seed=seed + 1, name="friend")
        now = self.net.now
        self.stack.add_interface("eth0", mac=MAC)
        self.stack.add_interface("tun0")
        self.friend.add_interface("tun0")
        self.stack.add_address("eth0", IPv4Interface("10.0.0.1/24"), now)
        self.stack.add_address("tun0", IPv4Interface("10.1.0.1/24"), now)
        self.friend.add_address("tun0", IPv4Interface("10.1.0.2/24"), now)
        self.net.join((self.stack, "tun0"), (self.friend, "tun0"), delay=milliseconds(1))
        here = SocketApi(self.stack, lambda: self.net.now, self.net.run_until)
        there = SocketApi(self.friend, lambda: self.net.now, self.net.run_until)
        listener = here.stream()
        listener.bind(("", 80))
        listener.listen(64)
        self.listener = listener
        self.client = there.stream()
        self.client.connect((str(OURS), 80))
        self.server, _ = listener.accept()
        self.server.setblocking(False)
        self.udp = here.datagram()
        self.udp.bind(("", 5000))
        self.udp.setblocking(False)
        self.corpus = [frame for frame in self._corpus() if frame]

    def _corpus(self) -> Iterator[bytes]:
        """Frames of every kind that a stack may be sent, all of them right."""
        for op in (1, 2, 3):
            arp = ArpPacket(op, OTHER, STRANGER, MAC, WIRED)
            yield EthFrame(MAC, OTHER, EtherType.ARP, arp.emit()).emit()
        options = (MSS(1460), SackPermitted(), Timestamps(1, 0), WindowScale(7))
        for flags in (TcpFlags.SYN, TcpFlags.ACK, TcpFlags.RST, TcpFlags.SYN | TcpFlags.ACK):
            yield self.tcp(TcpSegment(4000, 80, 5, 6, flags, options=options))
        yield self.tcp(TcpSegment(4000, 80, 5, 6, TcpFlags.ACK, options=(Sack(((9, 20),)),)))
        yield self.tcp(
            TcpSegment(4001, 80, 5, flags=TcpFlags.SYN | TcpFlags.FIN, payload=b"x" * 99)
        )
        yield self.ip(IpProtocol.UDP, UdpDatagram(53, 5000, b"hello").emit(STRANGER, WIRED))
        yield self.ip(IpProtocol.UDP, UdpDatagram(53, 5001, b"closed").emit(STRANGER, WIRED))
        yield self.ip(IpProtocol.ICMP, EchoRequest(1, 2, b"ping" * 20).emit())
        quoted = IPv4Packet(WIRED, STRANGER, IpProtocol.TCP, bytes(40)).emit()
        live = IPv4Packet(OURS, THEIRS, IpProtocol.TCP, bytes.fromhex("0050ffff") + bytes(16))
        for inner in (quoted, live.emit()):
            yield self.ip(IpProtocol.ICMP, DestinationUnreachable(4, inner, 576).emit())
            yield self.ip(IpProtocol.ICMP, DestinationUnreachable(1, inner).emit())
            yield self.ip(IpProtocol.ICMP, TimeExceeded(0, inner).emit())
            redirect = Redirect(RedirectCode.HOST, IPv4Address("10.0.0.9"), inner)
            yield self.ip(IpProtocol.ICMP, redirect.emit())
        big = IPv4Packet(STRANGER, WIRED, IpProtocol.UDP, bytes(4000), ident=7)
        for piece in fragment(big, 600):
            yield self.frame(piece)
        yield self.frame(IPv4Packet(STRANGER, WIRED, 2, bytes.fromhex("11640000ee9b0000")))
        yield self.frame(IPv4Packet(STRANGER, IPv4Address("10.0.0.255"), 17, bytes(20)))
        yield self.frame(
            IPv4Packet(STRANGER, WIRED, 99, b"unknown", options=b"\x07\x07\x04" + bytes(5))
        )

    def frame(self, packet: IPv4Packet) -> bytes:
        return EthFrame(MAC, OTHER, EtherType.IPV4, packet.emit()).emit()

    def ip(self, protocol: int, payload: bytes) -> bytes:
        return self.frame(IPv4Packet(STRANGER, WIRED, protocol, payload))

    def tcp(self, segment: TcpSegment) -> bytes:
        return self.ip(IpProtocol.TCP, segment.emit(STRANGER, WIRED))

    def mutated(self) -> bytes:
        """One frame, made wrong in some way; often with checksums put right again."""
        luck = self.luck
        frame = bytearray(luck.choice(self.corpus))
        for _ in range(luck.randint(0, 4)):
            match luck.randrange(6):
                case 0 if frame:
                    frame[luck.randrange(len(frame))] ^= 1 << luck.randrange(8)
                case 1 if frame:
                    frame[luck.randrange(len(frame))] = luck.choice((0, 1, 127, 128, 255))
                case 2:
                    del frame[luck.randrange(len(frame) + 1) :]
                case 3:
                    at = luck.randrange(len(frame) + 1)
                    frame[at:at] = luck.randbytes(luck.randint(1, 60))
                case 4:
                    other = luck.choice(self.corpus)
                    at = luck.randrange(14, 60)
                    frame = frame[:at] + bytearray(other[at:])
                case 5 if len(frame) > 40:
                    at = luck.randrange(14, 40)
                    frame[at : at + 4] = luck.randbytes(4)
        return self.mended(bytes(frame)) if luck.random() < 0.7 else bytes(frame)

    def mended(self, frame: bytes) -> bytes:
        """The frame with right checksums, as far as it can be read without them."""
        try:
            packet = IPv4Packet.parse(frame[14:], verify=False)
            if packet.protocol == IpProtocol.TCP and not packet.is_fragment:
                segment = TcpSegment.parse(packet.payload, packet.src, packet.dst, verify=False)
                payload = segment.emit(packet.src, packet.dst)
                head = frame[14 : 14 + packet.header_length]
                frame = frame[:14] + head + payload
            body = bytearray(frame[14:])
            body[10:12] = bytes(2)
            size = (body[0] & 15) * 4
            total = sum(int.from_bytes(body[i : i + 2], "big") for i in range(0, size, 2))
            while total >> 16:
                total = (total & 0xFFFF) + (total >> 16)
            body[10:12] = (total ^ 0xFFFF).to_bytes(2, "big")
            return frame[:14] + bytes(body)
        except ValueError:
            return frame

    def blind(self) -> bytes | None:
        """A segment of the live connection from someone who does not know its numbers.

        RFC 5961: none of these may end it. Those that happen to be right are not sent.
        """
        connection = self.server.connection
        seen = connection.snapshot()
        luck = self.luck
        flags = luck.choice(
            (
                TcpFlags.RST,
                TcpFlags.RST | TcpFlags.ACK,
                TcpFlags.SYN,
                TcpFlags.SYN | TcpFlags.ACK,
                TcpFlags.ACK,
                TcpFlags.FIN | TcpFlags.ACK,
            )
        )
        near = luck.random() < 0.5
        seq = (seen.rcv_nxt + luck.randint(1, 60_000)) if near else luck.getrandbits(32)
        seq %= 1 << 32
        data = b"" if not flags & TcpFlags.ACK else luck.randbytes(luck.choice((0, 5)))
        ack = luck.getrandbits(32)
        # What carries neither RST nor SYN is judged by its ACK: a right one is not blind.
        if not 70_000 < (ack - seen.snd_una) % (1 << 32) < (1 << 32) - 70_000:
            return None
        if seq == seen.rcv_nxt:
            return None
        segment = TcpSegment(connection.remote[1], 80, seq, ack, flags, payload=data)
        return IPv4Packet(THEIRS, OURS, IpProtocol.TCP, segment.emit(THEIRS, OURS)).emit()

    def run(self, count: int) -> None:
        """Send ``count`` frames; now and then time goes by and the connection is used."""
        net = self.net
        for number in range(count):
            if self.luck.random() < 0.1 and (packet := self.blind()) is not None:
                self.stack.receive(packet, net.now, "tun0")
            else:
                self.stack.receive(self.mutated(), net.now, "eth0")
            if number % 64 == 0:
                net.run(milliseconds(self.luck.choice((1, 10, 1000))))
                while self.udp.poll_mask() & 1:
                    self.udp.recv(65536)
            if number % 1000 == 0:
                self.check()

    def check(self) -> None:
        """The live connection carries bytes both ways, and what is held stays within bounds."""
        sent = self.luck.randbytes(20)
        self.client.send(sent)
        got = bytearray()
        self.net.run_until(lambda: self._more(got) >= len(sent), seconds(100))
        assert bytes(got) == sent, f"{bytes(got)!r}, {self.server.connection.state}"
        assert self.server.connection.state is State.ESTABLISHED
        self.server.send(sent)
        assert self.client.recv(100, within=seconds(100)) == sent
        assert len(self.stack.alarms) < 10_000
        while self.listener.poll_mask() & 1:
            made, _ = self.listener.accept()
            made.close()

    def _more(self, got: bytearray) -> int:
        if self.server.connection.unread:
            got += self.server.recv(100)
        return len(got)


def main(count: int, seed: int = 1) -> int:
    """Run rounds with seeds of their own, and tell the rate and the memory."""
    began = time.perf_counter()
    done = 0
    while done < count:
        part = min(100_000, count - done)
        Fuzz(seed + done).run(part)
        done += part
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        rate = done / (time.perf_counter() - began)
        sys.stdout.write(f"{done} frames, {rate:.0f} a second, {peak} MB at most\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(*(int(word) for word in sys.argv[1:])))
