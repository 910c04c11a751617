"""Connections that go wrong in every way, and the layers that captures wrap them in."""

import random
import struct

from tcp_captures import COOKIE

__all__ = ["WRAPPINGS", "RoughSeg", "rough_capture", "wrapped"]

MASK = 0xFFFFFFFF
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
WAITS = (0, 0, 1000, 50_000, 400_000, 1_000_000, 2_900_000, 3_100_000, 10_000_000, 19_000_000)
WAITS += (21_000_000, 200_000_000, 1_500_000_000)
OPTIONS = (
    bytes([5, 10, *bytes(8), 1, 1]),
    bytes([8, 10, *bytes(8), 1, 1]),
    bytes(4),
    bytes([2, 4, 5, 180]),
    bytes([99, 1, 1, 1]),
    bytes([99, 0, 1, 1]),
    bytes([99, 40, 0, 0]),
    COOKIE,
)


class RoughSeg:
    """A segment of one of two ends, and its time in nanoseconds."""

    def __init__(self, at, side, flags, numbers, *, window, size=0, options=b""):
        self.at = at
        self.side = side
        self.flags = flags
        self.seq, self.ack = (number & MASK for number in numbers)
        self.window = window
        self.size = size
        self.options = options + bytes(-len(options) % 4)

    def bytes(self, ports):
        """Its TCP header, options and data; the checksum is left out."""
        source, target = ports if self.side == 0 else ports[::-1]
        offset = (5 + len(self.options) // 4) << 4
        numbers = (source, target, self.seq, self.ack, offset, self.flags, self.window, 0, 0)
        return struct.pack(">HHIIBBHHH", *numbers) + self.options + bytes(self.size)


class Ends:
    """Two ends that mostly do what they should, and now and then anything else."""

    def __init__(self, luck):
        self.luck = luck
        self.now = 0
        self.base = [luck.choice((1000, luck.randrange(1 << 32), MASK - 5000, 0)) for _ in "ab"]
        self.next = [number + 1 & MASK for number in self.base]
        self.acked = self.next[::-1]
        self.window = [luck.choice((0, 1, 100, 1000, 65535)) for _ in "ab"]
        scales = (b"", b"", bytes([3, 3, luck.randrange(16), 1]))
        self.scale = [luck.choice(scales) for _ in "ab"]
        self.sent = ([], [])
        self.segments = []

    def send(self, side, flags, numbers, size=0, options=b""):
        wait = -1_000_000 if self.luck.random() < 0.002 else self.luck.choice(WAITS)
        self.now += wait
        more = {"window": self.window[side], "size": size, "options": options}
        self.segments.append(RoughSeg(self.now, side, flags, numbers, **more))

    def open(self):
        """As much of a handshake as luck has it, mostly all."""
        steps = self.luck.choice((0, 1, 2, 3, 3, 3, 3, 3, 3))
        size = 5 if self.luck.random() < 0.05 else 0
        cookie = COOKIE if size else b""
        opening = ((0, SYN, self.base[0], 0), (1, SYN | ACK, self.base[1], self.next[0]))
        for side, flags, seq, ack in opening[:steps]:
            options = self.scale[side] + (b"" if side else cookie)
            self.send(side, flags, (seq, ack), 0 if side else size, options)
        if steps == 3:
            self.send(0, ACK, (self.next[0], self.next[1]))

    def step(self):
        """One segment, of one of many kinds."""
        luck = self.luck
        side = luck.choice((0, 0, 0, 1, luck.randrange(2)))
        if luck.random() < 0.5:
            self.acked[side] = self.next[1 - side]
        kind = luck.choices(self.KINDS, self.WEIGHTS)[0]
        flags, seq, ack, size, options = kind(self, side)
        if not options and luck.random() < 0.04:
            options = luck.choice(OPTIONS)
        self.send(side, flags, (seq, ack), size, options)
        self.sent[side].append((seq, size))
        if seq == self.next[side] or luck.random() < 0.2:
            self.next[side] = seq + size + bool(flags & (SYN | FIN)) & MASK

    def plain(self, side, size=None):
        if size is None:
            size = self.luck.choice((0, 1, 10, 100, 1000, 1448))
        return ACK, self.next[side], self.acked[side], size, b""

    def bare(self, side):
        return self.plain(side, 0)

    def again(self, side):
        seq, size = self.luck.choice(self.sent[side][-6:] or [(self.next[side], 10)])
        return ACK | PSH, seq, self.acked[side], size, b""

    def alive(self, side):
        size = self.luck.choice((0, 1, 1, 2, 100))
        return ACK, self.next[side] - 1, self.acked[side], size, b""

    def gap(self, side):
        self.next[side] = self.next[side] + self.luck.choice((1, 100, 1448)) & MASK
        return self.plain(side)

    def unseen(self, side):
        self.acked[side] = self.next[1 - side] + self.luck.choice((1, 100, 5000)) & MASK
        return self.plain(side)

    def resize(self, side):
        self.window[side] = self.luck.choice((0, 0, 1, 100, 1000, 65535))
        return self.plain(side, self.luck.choice((0, 0, 100)))

    def fill(self, side):
        edge = self.acked[1 - side] + self.window[1 - side]
        return self.plain(side, max(0, min(1400, edge - self.next[side] & MASK)))

    def back(self, side):
        flags, seq, ack, size, options = self.plain(side)
        return flags, seq - self.luck.choice((1, 500, 100_000, (1 << 31) - 1)), ack, size, options

    def asked(self, side):
        """Duplicate ACKs, and what they ask for."""
        number = self.acked[1 - side] = self.next[side] - self.luck.choice((1, 100, 1448)) & MASK
        for _ in range(self.luck.randrange(1, 5)):
            self.send(1 - side, ACK, (self.next[1 - side], number))
        return ACK, number, self.acked[side], self.luck.choice((100, 1448)), b""

    def end(self, side):
        flags, *rest = self.plain(side)
        return flags | FIN, *rest

    def reset(self, side):
        seq = self.luck.choice((self.next[side], 0, self.luck.randrange(1 << 32)))
        return self.luck.choice((RST, RST | ACK)), seq, self.acked[side], 0, b""

    def syn(self, side):
        seq = self.luck.choice((self.base[side], self.base[side], self.luck.randrange(1 << 32)))
        flags = self.luck.choice((SYN, SYN | ACK))
        return flags, seq, self.acked[side], 0, self.luck.choice((self.scale[side], b""))

    def odd(self, side):
        flags = self.luck.choice((0, FIN, PSH, 0x20, 0x29, 0xC0))
        return flags, self.next[side], self.acked[side], self.luck.choice((0, 10)), b""

    KINDS = (
        plain,
        bare,
        again,
        alive,
        gap,
        unseen,
        resize,
        fill,
        back,
        asked,
        end,
        reset,
        syn,
        odd,
    )
    WEIGHTS = (40, 15, 8, 4, 4, 3, 6, 5, 2, 5, 2, 1, 2, 1)


def rough_capture(seed, count):
    """Segments of ``count`` connections in the order of their times, each with its ports."""
    luck = random.Random(seed)  # noqa: S311 - repeatable on purpose
    found = []
    for number in range(count):
        ends = Ends(luck)
        ends.open()
        for _ in range(luck.choice((3, 10, 40, 80))):
            ends.step()
        found += [(segment, (1024 + number, 80)) for segment in ends.segments]
    return sorted(found, key=lambda each: each[0].at)


def _ipv4(payload, side, protocol=6, net=0):
    ends = bytes([10, 0, net, 1]), bytes([10, 0, net, 2])
    source, target = ends[::-1] if side else ends
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0x4000, 64, protocol, 0)
    return head + source + target + payload


def _ipv6(payload, side, *, hop=False):
    ends = b"\x20\x01" + bytes(13) + b"\1", b"\x20\x01" + bytes(13) + b"\2"
    source, target = ends[::-1] if side else ends
    between = bytes([6, 0, 1, 4, 0, 0, 0, 0]) if hop else b""
    size = len(between) + len(payload)
    head = struct.pack(">IHBB", 6 << 28, size, 0 if hop else 6, 64)
    return head + source + target + between + payload


def _udp(payload, side, port):
    return _ipv4(struct.pack(">HHHH", port, port, 8 + len(payload), 0) + payload, side, 17, 9)


MACS = bytes.fromhex("020000000002020000000001")
WIFI = bytes.fromhex("08010000") + MACS + MACS[:6] + bytes(2)
SNAP = bytes.fromhex("aaaa03000000")
IP4 = b"\x08\x00"


def _ether(kind, payload):
    return MACS + kind + payload


def _pppoe(packet):
    return _ether(b"\x88\x64", struct.pack(">BBHHH", 0x11, 0, 1, 2 + len(packet), 0x21) + packet)


def _gre(payload, side, head="00000800"):
    return _ether(IP4, _ipv4(bytes.fromhex(head) + payload, side, 47, 9))


def _gtp(packet, side, *, numbered=False):
    more = bytes([0, 1, 0, 0]) if numbered else b""
    head = struct.pack(">BBHI", 0x32 if numbered else 0x30, 255, len(more) + len(packet), 7)
    return _ether(IP4, _udp(head + more + packet, side, 2152))


def _l2tp(packet, side):
    head = struct.pack(">HHHH", 0x0002, 1, 1, 0xFF03) + b"\x00\x21"
    return _ether(IP4, _udp(head + packet, side, 1701))


WRAPPINGS = {
    # By name: the link type, and the frame of a TCP segment that a side sent.
    "ethernet": (1, lambda tcp, side: _ether(IP4, _ipv4(tcp, side))),
    "padded": (1, lambda tcp, side: _ether(IP4, _ipv4(tcp, side)).ljust(60, b"\xaa")),
    "trailer": (1, lambda tcp, side: _ether(IP4, _ipv4(tcp, side)) + b"\1\2\3\4\5\6"),
    "vlan": (1, lambda tcp, side: _ether(b"\x81\0", b"\0\x64" + IP4 + _ipv4(tcp, side))),
    "two tags": (
        1,
        lambda tcp, side: _ether(b"\x88\xa8", b"\0\x64\x81\0\0\x65" + IP4 + _ipv4(tcp, side)),
    ),
    "snap": (
        1,
        lambda tcp, side: _ether(struct.pack(">H", 28 + len(tcp)), SNAP + IP4 + _ipv4(tcp, side)),
    ),
    "pppoe": (1, lambda tcp, side: _pppoe(_ipv4(tcp, side))),
    "mpls": (
        1,
        lambda tcp, side: _ether(b"\x88\x47", b"\0\1\0\x3f\0\1\x11\xff" + _ipv4(tcp, side)),
    ),
    "ipv6": (1, lambda tcp, side: _ether(b"\x86\xdd", _ipv6(tcp, side))),
    "options of ipv6": (1, lambda tcp, side: _ether(b"\x86\xdd", _ipv6(tcp, side, hop=True))),
    "ip in ip": (1, lambda tcp, side: _ether(IP4, _ipv4(_ipv4(tcp, side), side, 4, 9))),
    "6 in 4": (1, lambda tcp, side: _ether(IP4, _ipv4(_ipv6(tcp, side), side, 41, 9))),
    "gre": (1, lambda tcp, side: _gre(_ipv4(tcp, side), side)),
    "gre with a key": (1, lambda tcp, side: _gre(bytes(4) + _ipv4(tcp, side), side, "20000800")),
    "ethernet in gre": (
        1,
        lambda tcp, side: _gre(_ether(IP4, _ipv4(tcp, side)), side, "00006558"),
    ),
    "vxlan": (
        1,
        lambda tcp, side: _ether(
            IP4, _udp(b"\x08" + bytes(7) + _ether(IP4, _ipv4(tcp, side)), side, 4789)
        ),
    ),
    "geneve": (
        1,
        lambda tcp, side: _ether(
            IP4, _udp(b"\0\0\x65\x58" + bytes(4) + _ether(IP4, _ipv4(tcp, side)), side, 6081)
        ),
    ),
    "gtp": (1, lambda tcp, side: _gtp(_ipv4(tcp, side), side)),
    "gtp with numbers": (1, lambda tcp, side: _gtp(_ipv4(tcp, side), side, numbered=True)),
    "l2tp": (1, lambda tcp, side: _l2tp(_ipv4(tcp, side), side)),
    "loopback": (0, lambda tcp, side: b"\2\0\0\0" + _ipv4(tcp, side)),
    "ppp": (9, lambda tcp, side: b"\xff\3\0\x21" + _ipv4(tcp, side)),
    "bare ppp": (9, lambda tcp, side: b"\0\x21" + _ipv4(tcp, side)),
    "raw": (101, _ipv6),
    "hdlc": (104, lambda tcp, side: b"\x0f\0" + IP4 + _ipv4(tcp, side)),
    "wifi": (105, lambda tcp, side: WIFI + SNAP + IP4 + _ipv4(tcp, side)),
    "frame relay": (107, lambda tcp, side: b"\x18\x41\x03\xcc" + _ipv4(tcp, side)),
    "cooked": (
        113,
        lambda tcp, side: bytes([0, 0, 0, 1, 0, 6, *MACS[:8]]) + IP4 + _ipv4(tcp, side),
    ),
    "radiotap": (
        127,
        lambda tcp, side: b"\0\0\x08\0" + bytes(4) + WIFI + SNAP + IP4 + _ipv4(tcp, side),
    ),
    "cooked again": (276, lambda tcp, side: IP4 + bytes(18) + _ipv4(tcp, side)),
}


def wrapped(name, capture):
    """A nanosecond pcap of a capture in one of the wrappings."""
    link, wrap = WRAPPINGS[name]
    out = [struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, link)]
    for segment, ports in capture:
        frame, at = wrap(segment.bytes(ports), segment.side), segment.at + 17 * 10**17
        out += (struct.pack("<IIII", at // 10**9, at % 10**9, len(frame), len(frame)), frame)
    return b"".join(out)
