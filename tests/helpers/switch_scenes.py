"""What is done with a simulated switch, good or bad, and what is seen of it."""

from __future__ import annotations

from switch_bed import ALL, eth, station, tagged

from testbed.sim.frames import BadFcs
from testbed.timing import Instant, microseconds, milliseconds, seconds

A, B, C, D = (station(number) for number in (1, 2, 3, 4))
GROUP = b"\x01\x00\x5e\x00\x00\x01"
RESERVED = b"\x01\x80\xc2\x00\x00"
OTHERS = ["p1", "p3", "p4", "p5"]  # of p2
LONGEST = eth(B, A, bytes(range(250)) * 6)


def sought(bed):
    """Where a frame to A goes that spoke once, by a broadcast, at p1."""
    bed.introduce(p1=[1])
    return bed.exits("p2", eth(A, B))


def sought_quietly(bed):
    """The same where A spoke to somebody unknown."""
    bed.send("p1", eth(D, A))
    return bed.exits("p2", eth(A, B))


def answered(bed):
    """Where frames of one flow go before A answers it, and after."""
    before = bed.exits("p2", eth(A, B))
    bed.send("p1", eth(B, A))
    return before, bed.exits("p2", eth(A, B))


def kin(bed):
    """Where a frame goes to A, after a station with the same last 24 bits spoke elsewhere."""
    bed.introduce(p1=[1])
    bed.send("p3", eth(ALL, b"\x06\x00\x00" + A[3:]))
    return bed.exits("p2", eth(A, B))


def moved(kind, pause=0.0):
    def see(bed):
        bed.introduce(p1=[1])
        bed.wait(seconds(pause))
        bed.send("p3", eth(kind, A))
        return bed.exits("p2", eth(A, B))

    return see


def moved_away(bed):
    """Where a frame to D goes, whose neighbour A has moved."""
    bed.introduce(p1=[1, 4])
    bed.send("p3", eth(ALL, A))
    return bed.exits("p2", eth(D, B))


def moved_late(bed):
    """Where a frame to A goes 1.5 T after it first spoke, when it moved at 0.75 T."""
    bed.configure("mac address-table aging-time 20")
    bed.introduce(p1=[1])
    bed.wait(seconds(15))
    bed.send("p3", eth(ALL, A))
    bed.wait(seconds(15))
    return bed.exits("p4", eth(A, D))


def sought_later(bed):
    """As ``sought``, after a second."""
    bed.introduce(p1=[1])
    bed.wait(seconds(1))
    return bed.exits("p2", eth(A, B))


def exits_of(frame):
    """Where a frame from p2 goes."""
    return lambda bed: bed.exits("p2", frame)


def remembered(*spans, ageing=60, static=False):
    """Whether a frame to A, silent for each span after it spoke, leaves one port only."""

    def see(bed):
        bed.configure(f"mac address-table aging-time {ageing}")
        seen = []
        for span in spans:
            bed.introduce(p1=[1])
            bed.now = Instant(bed.now - milliseconds(100) + seconds(span))
            seen.append(bed.exits("p2", eth(A, B)) == ["p1"])
        return seen

    return see


def table_and_frames_at_age(bed):
    bed.introduce(p1=[1])
    bed.wait(seconds(301))
    return bed.knows(1), bed.exits("p2", eth(A, B))


def refreshed(speak):
    """Whether A is known 1.5 T after it first spoke, when ``speak`` was done at 0.75 T."""

    def see(bed):
        bed.configure("mac address-table aging-time 20")
        bed.introduce(p1=[1, 9])
        bed.wait(seconds(15))
        speak(bed)
        bed.wait(seconds(15))
        return bed.exits("p4", eth(A, D)) == ["p1"]

    return see


def own_port(bed):
    bed.introduce(p2=[1])
    return bed.exits("p2", eth(A, B))


def unknown(bed):
    return bed.exits("p2", eth(A, B))


def unknown_twice(bed):
    return bed.exits("p2", eth(A, B)), bed.exits("p2", eth(A, B))


def four_known(bed):
    bed.introduce(p1=[1])
    return bed.exits("p2", *[eth(A, B)] * 4)


def broadcast(bed):
    return bed.exits("p2", eth(ALL, B))


def broadcast_of_arp(bed):
    return bed.exits("p2", eth(ALL, B, kind=0x0806))


def broadcast_of_newcomer_when_full(bed):
    held(8192, gap=microseconds(10), first=10)(bed)
    return bed.exits("p2", eth(ALL, B))


def group_source(bed):
    bed.send("p1", eth(ALL, GROUP))
    return bed.table(), bed.exits("p2", eth(GROUP, B))


def broadcast_after_talk(bed):
    bed.introduce(p1=[1], p3=[3])
    bed.send("p2", eth(A, B))
    return bed.exits("p2", eth(ALL, B))


def two_vlans(bed):
    """p1 and p3 in VLAN 10, p2 in VLAN 20, p4 and p5 trunks of both."""
    for port, vlan in (("p1", 10), ("p2", 20), ("p3", 10)):
        bed.configure(f"interface {port}", f"switchport access vlan {vlan}")
    for port in ("p4", "p5"):
        bed.configure(f"interface {port}", "switchport trunk allowed vlan 10,20")


def in_vlans(port, frame, *before):
    """What comes out for a frame in the two VLANs, after others were let in."""

    def see(bed):
        two_vlans(bed)
        for where, earlier in before:
            bed.send(where, earlier)
        return bed.send(port, frame)

    return see


def learned_in_vlans(port, frame):
    def see(bed):
        two_vlans(bed)
        bed.send(port, frame)
        return bed.table()

    return see


def held(count, *, gap=milliseconds(1), first=0):
    """How many of so many stations are in the table that spoke one after another."""

    def see(bed):
        for number in range(first, first + count):
            bed.switch.receive(eth(ALL, station(number)), bed.now, "p1")
            bed.now = Instant(bed.now + gap)
        bed.wait(milliseconds(1))
        return len(bed.table())

    return see


def held_after_overflow(bed):
    held(9000, gap=microseconds(10))(bed)
    bed.type("clear mac address-table dynamic")
    bed.introduce(p1=[1])
    return bed.table()


def first_held(bed):
    held(8200, gap=microseconds(10))(bed)
    return bed.exits("p2", eth(station(0), B))


def left_after(act):
    def see(bed):
        bed.introduce(p1=[1], p2=[2])
        bed.configure("mac address-table static 02:00:00:00:00:09 vlan 0 interface p1")
        act(bed)
        return sorted(mac[5] for _, mac in bed.table())

    return see


def clear_port(bed):
    bed.type("clear mac address-table dynamic interface p1")


def clear(bed):
    bed.type("clear mac address-table dynamic")


def unplug(bed):
    bed.switch.set_link("p1", False, bed.now)


def reserved(last, *, tag=False):
    frame = eth(RESERVED + bytes([last]), A)
    return lambda bed: bed.exits("p2", tagged(5, frame) if tag else frame)


def bad(frame):
    """What a bad frame leads to: exits, what is known, errors, frames counted as good."""

    def see(bed):
        out = bed.send("p2", frame)
        counters = bed.switch.ports["p2"].counters
        return sorted(out), bed.knows(2), counters.rx_errors, counters.rx_frames

    return see


def damage_passed_on(bed):
    return [type(frame) for frame in bed.send("p2", BadFcs(eth(ALL, B))).get("p1", [])]


def through(frame, *lines):
    """What a frame becomes on its way from p1 to p2."""

    def see(bed):
        if lines:
            bed.configure(*lines)
        bed.introduce(p2=[2])
        return bed.send("p1", frame).get("p2", [])

    return see


JUMBO = ("interface p1", "mtu 9000", "interface p2", "mtu 9000")
UNTAG = (
    "interface p1",
    "switchport trunk allowed vlan 10",
    "interface p2",
    "switchport access vlan 10",
)
SHORT_TAGGED = tagged(10, eth(ALL, A))[:60]
SHORT = SHORT_TAGGED[:12] + SHORT_TAGGED[16:]


def earlier_pads(bed):
    bed.configure(*UNTAG)
    bed.send("p1", tagged(10, eth(ALL, A, b"\xaa" * 100)))
    return bed.send("p1", SHORT_TAGGED)["p2"]


def mirrored(*, into=(), out=(), listener=()):
    """What the mirror of p1 shows at p5, of frames let in at p1, p2 and p5."""

    def see(bed):
        bed.introduce(p1=[1], p2=[2])
        bed.configure("monitor session 1 source interface p1")
        bed.configure("monitor session 1 destination interface p5")
        seen = []
        for port, sent in (("p1", into), ("p2", out), ("p5", listener)):
            for frame in sent:
                seen += bed.send(port, frame).get("p5", [])
        return seen

    return see


def mirror_of_broadcast_elsewhere(bed):
    bed.configure("monitor session 1 source interface p1,p2")
    bed.configure("monitor session 1 destination interface p5")
    bed.configure("interface p1", "shutdown", "interface p2", "shutdown")
    return bed.exits("p3", eth(ALL, C))


def heard_from_listener(bed):
    bed.configure("monitor session 1 destination interface p5")
    return bed.exits("p5", eth(ALL, C))


def passed_to_mirrored(bed):
    bed.introduce(p2=[2])
    bed.configure("monitor session 1 source interface p1")
    bed.configure("monitor session 1 destination interface p5")
    return bed.exits("p1", eth(B, A))


def storm(dst, count=1000, *, also=(), make=eth):
    """About how many of so many frames to ``dst`` pass in a second, 100 broadcasts allowed."""

    def see(bed):
        bed.introduce(p2=[2])
        bed.configure("interface p1", "storm-control broadcast level pps 100")
        bed.configure("interface p3", "storm-control broadcast level pps 100")
        for _ in range(count):
            for port, other in (*also, ("p1", dst)):
                bed.switch.receive(make(other, A if port == "p1" else C), bed.now, port)
            bed.now = Instant(bed.now + seconds(1) // count)
        got = bed.wait(seconds(1)).get("p2", [])
        return round(sum(frame[:12] == dst + A for frame in got), -1)

    return see


def order(*sizes, gap=microseconds(20)):
    """The order in which frames of these sizes come, that were sent as 0, 1, 2..."""

    def see(bed):
        bed.introduce(p2=[2])
        sent = [eth(B, A, bytes([n]) + bytes(size)) for n, size in enumerate(sizes)]
        return [frame[14] for frame in bed.send("p1", *sent, gap=gap)["p2"]]

    return see


def promptly(bed):
    bed.introduce(p2=[2])
    bed.switch.receive(eth(B, A), bed.now, "p1")
    return list(bed.wait(milliseconds(1)))


def speak(kind, number=1):
    return lambda bed: bed.send("p1", eth(kind, station(number)))


def hear(bed):
    bed.send("p4", eth(A, D))


RED = eth(ALL, A, b"r" * 50)
TO_B = eth(B, A, b"b" * 50)
UNKNOWN = eth(D, A, b"u" * 50)
TRUNKS = {"p4": [tagged(10, RED)], "p5": [tagged(10, RED)]}
FIVE = [eth(B, A, bytes([n])) for n in range(5)]
BACK = [eth(A, B, b"back")]
TAGGED = tagged(7, eth(B, A, b"t" * 60), pcp=5)
