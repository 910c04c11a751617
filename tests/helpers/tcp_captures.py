"""Hand-made TCP captures: segments by their numbers, and the pcap that holds them."""

import random
import struct

__all__ = ["Seg", "frame_of", "pcap_of", "random_segments", "scenes"]


COOKIE = bytes([34, 10, *range(8)])
"""What a client of TCP Fast Open got before (RFC 7413)."""


class Seg:
    """A segment of the client (0) or the server (1), ``wait`` seconds after the one before."""

    def __init__(self, wait, side, flags, seq, ack, *, win=1000, size=0, options=b""):
        self.wait = wait
        self.side = side
        self.flags = sum({"F": 1, "S": 2, "R": 4, "P": 8, "A": 16}[each] for each in flags)
        self.seq = seq & 0xFFFFFFFF
        self.ack = ack & 0xFFFFFFFF
        self.win = win
        self.size = size
        self.options = options + bytes(-len(options) % 4)


def frame_of(seg, port=1000):
    ends = [(bytes([10, 0, 0, 1]), port), (bytes([10, 0, 0, 2]), 80)]
    (src, sport), (dst, dport) = ends if seg.side == 0 else ends[::-1]
    offset = (5 + len(seg.options) // 4) << 4
    tcp = struct.pack(
        ">HHIIBBHHH", sport, dport, seg.seq, seg.ack, offset, seg.flags, seg.win, 0, 0
    )
    tcp += seg.options + bytes(seg.size)
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, 6, 0) + src + dst
    return bytes.fromhex("0200000000020200000000010800") + ip + tcp


def pcap_of(connections):
    """A nanosecond pcap of connections one after the other, each between ports of its own."""
    out = [struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1)]
    now = 1_700_000_000 * 10**9
    for number, segments in enumerate(connections):
        for seg in segments:
            now += round(seg.wait * 1e9)
            frame = frame_of(seg, 1000 + number)
            size = len(frame)
            out += (struct.pack("<IIII", now // 10**9, now % 10**9, size, size), frame)
    return b"".join(out)


def scale(shift):
    return bytes([3, 3, shift])


def sack(*blocks):
    return bytes([5, 2 + 8 * len(blocks)]) + b"".join(struct.pack(">II", *each) for each in blocks)


def opened(mine=b"", theirs=b""):
    """A handshake; the client's data begin at 1001, the server's at 5001."""
    return [
        Seg(0.01, 0, "S", 1000, 0, options=mine),
        Seg(0.01, 1, "SA", 5000, 1001, options=theirs),
        Seg(0.01, 0, "A", 1001, 5001),
    ]


def up(seq, size=100, wait=0.1, **more):
    return Seg(wait, 0, "A", seq, 5001, size=size, **more)


def down(ack, wait=0.1, **more):
    return Seg(wait, 1, "A", 5001, ack, **more)


def scenes():
    """Connections that go through what the analysis tells of, by name."""
    return {
        "clean": [*opened(), up(1001), down(1101), Seg(0.1, 0, "FA", 1101, 5001), down(1102)],
        "timeout": [*opened(), up(1001), up(1001, wait=1.0), down(1101)],
        "fast": [
            *opened(),
            *(up(1001 + 100 * n) for n in range(5)),
            *(down(1001, wait=0.001, options=sack((1101, 1201 + 100 * n))) for n in range(4)),
            up(1001, wait=0.001),
            down(1501),
        ],
        "overtaken": [*opened(), up(1001), up(1201, wait=0.001), up(1101, wait=0.001), down(1301)],
        "spurious": [*opened(), up(1001), down(1101), up(1001), down(1101)],
        "holes": [
            *opened(),
            up(1101),
            down(1201),
            up(1301),
            up(1401),
            down(1501),
            up(1501),
            down(1601),
        ],
        "alive": [
            *opened(),
            Seg(1, 0, "A", 1000, 5001),
            down(1001),
            up(1000, 1, wait=1),
            down(1001),
            down(1001),
            up(1001),
        ],
        "closed window": [
            *opened(),
            up(1001),
            down(1101, win=0),
            up(1101, 1, wait=0.5),
            down(1101, win=0),
            up(1101, 1, wait=1),
            down(1101, win=0),
            down(1101, win=500, wait=1),
            up(1101),
        ],
        "full": [
            *opened(scale(2), scale(1)),
            up(1001, 1000),
            down(2001),
            up(2001, 1000),
            up(3001, 1000),
            down(4001, wait=1),
        ],
        "unscaled": [*opened(b"", scale(1)), up(1001, 1000), down(2001), up(2001, 1000)],
        "again": [*opened(), Seg(0.1, 0, "S", 9000, 0), Seg(0.1, 1, "SA", 700, 9001)],
        "syn again": [*opened(), Seg(0.1, 0, "S", 1000, 0), up(1001), Seg(0.1, 0, "S", 1000, 0)],
        "other answer": [*opened(), Seg(0.1, 1, "SA", 7000, 1001), Seg(0.1, 0, "A", 1001, 7001)],
        "opened fast": [
            Seg(0, 0, "S", 1000, 0, size=50, options=COOKIE),
            Seg(0.1, 1, "SA", 5000, 1051),
            Seg(0.1, 0, "A", 1051, 5001),
        ],
        "opened slowly": [
            Seg(0, 0, "S", 1000, 0, size=50, options=COOKIE),
            Seg(0.1, 1, "SA", 5000, 1001),
            Seg(0.1, 0, "A", 1001, 5001, size=50),
        ],
        "refused": [Seg(0, 0, "S", 1000, 0), Seg(0.01, 1, "RA", 0, 1001)],
        "half": [Seg(0, 0, "S", 1000, 0), Seg(1, 0, "S", 1000, 0), Seg(2, 0, "S", 1000, 0)],
        "from the middle": [up(1001), down(1101), up(1101), up(1101), down(1201), down(1201)],
        "round the end": [
            Seg(0, 0, "S", 2**32 - 150, 0),
            Seg(0.1, 1, "SA", 5000, 2**32 - 149),
            *(up(2**32 - 149 + 70 * n, 70) for n in range(5)),
            down(-79),
            up(2**32 - 79, 70),
        ],
    }


def random_segments(seed, count):
    """Segments of two ends that make mistakes of every kind, yet mostly go on."""
    luck = random.Random(seed)  # noqa: S311 - repeatable on purpose
    nexts, windows = [luck.choice((1001, 2**32 - 3000, 5)), 5001], [1000, 1000]
    made = [
        Seg(0.1, 0, "S", nexts[0] - 1, 0, options=luck.choice((b"", scale(luck.randrange(5))))),
        Seg(0.1, 1, "SA", 5000, nexts[0], options=luck.choice((b"", scale(luck.randrange(5))))),
    ][: luck.choice((0, 1, 2, 2, 2))]
    for _ in range(count):
        side = luck.randrange(2)
        size = luck.choice((0, 0, 0, 1, 100, 100, 500))
        seq = nexts[side] + luck.choice((0,) * 9 + (-1, -100, -500, 100, 300, -size))
        ack = nexts[1 - side] + luck.choice((0,) * 9 + (-100, -200, 1, 100))
        if luck.random() < 0.1:
            windows[side] = luck.choice((0, 0, 100, 1000, 2000))
        flags = luck.choice(("A",) * 30 + ("PA", "FA", "RA", "R", "S", "SA", "F", ""))
        wait = luck.choice((0.0, 0.0001, 0.001, 0.01, 0.05, 1))
        made.append(Seg(wait, side, flags, seq, ack, win=windows[side], size=size))
        nexts[side] = max(nexts[side], seq + size)
    return made
