"""The simulated network: events in order, links with rate, delay, loss, duplex, room, journeys."""

import itertools
from collections import deque

import pytest

from testbed.errors import PlanError
from testbed.sim.link import OVERHEAD, Lane, LinkSpec
from testbed.sim.network import Network
from testbed.stack.output import Outgoing
from testbed.stack.variants import Defect
from testbed.timing import Duration, Instant, microseconds, milliseconds

SMALL, LARGE = b"s" * 60, b"l" * 1514


class Box:
    """A device that notes what comes, and passes it on where it is told to."""

    def __init__(self, name, onward=None):
        self.name = name
        self.heard = []
        self.links = []
        self.rung = []
        self.enabled = True
        self.due = None
        self.output = deque()
        self.onward = onward or {}

    def receive(self, frame, now, interface=None):
        self.heard.append((now, frame))
        if interface in self.onward:
            self.output.append(Outgoing(self.onward[interface], frame))

    def handle_timeout(self, now):
        self.rung.append(now)
        self.due = None

    def poll_timeout(self):
        return self.due

    def poll_transmit(self, now):
        return self.output.popleft() if self.output else None

    def set_link(self, port, up, now):
        self.links.append((port, up))

    def is_enabled(self, port):
        return self.enabled


def pair(spec=LinkSpec(), defects=()):  # noqa: B008 - frozen
    network = Network(seed=7)
    a, b = Box("a"), Box("b")
    for box in (a, b):
        network.add(box)
    link = network.join(("a", "0"), ("b", "0"), spec, defects)
    return network, a, b, link


def send(network, name, frame, port="0"):
    network.nodes[name].device.output.append(Outgoing(port, frame))
    network.nodes[name].drain()


def test_frame_arrives_when_its_last_bit_has_been_on_the_wire_and_travelled():
    spec = LinkSpec(rate=100_000_000, delay=microseconds(5))
    network, _, b, _ = pair(spec)
    send(network, "a", SMALL)
    network.run_until(Instant(milliseconds(1)))
    # IEEE 802.3: 64 bytes with FCS, 8 of preamble and SFD, 12 of gap are 6.72 us at 100 Mb/s.
    assert b.heard == [(6720 + 5000, SMALL)]


def test_frames_leave_one_after_the_other_at_line_rate():
    network, _, b, _ = pair(LinkSpec(rate=1_000_000_000, delay=Duration(0)))
    for _ in range(1000):
        send(network, "a", SMALL)
    network.run_until(Instant(milliseconds(10)))
    # RFC 2544 20: 1,488,095 frames of 64 bytes a second at 1 Gb/s.
    rate = 999 * 1e9 / (b.heard[-1][0] - b.heard[0][0])
    assert rate == pytest.approx(1_488_095, rel=1e-6)


def test_both_ways_at_once_full_duplex_and_in_turns_half_duplex():
    for half, span in ((False, 1), (True, 2)):
        network, a, b, _ = pair(LinkSpec(delay=Duration(0), half_duplex=half))
        for _ in range(100):
            send(network, "a", SMALL)
            send(network, "b", SMALL)
        network.run_until(Instant(milliseconds(1)))
        last = max(a.heard[-1][0], b.heard[-1][0])
        assert last == span * 100 * (len(SMALL) + OVERHEAD) * 8


def test_queue_that_is_full_loses_the_newest_and_the_journal_says_so():
    network, _, b, link = pair(LinkSpec(rate=10_000_000, queue=10 * (1514 + OVERHEAD)))
    for _ in range(20):
        send(network, "a", LARGE)
    network.run_until(Instant(milliseconds(100)))
    assert len(b.heard) == 11  # one on the wire, ten that wait
    assert link.lanes[0].lost == 9
    assert {hop.lost for hop in network.journal.hops() if hop.lost} == {"queue full"}


def test_loss_is_of_the_share_that_is_asked_for_and_the_same_for_a_seed():
    def lost():
        network, _, b, _ = pair(LinkSpec(loss=0.2))
        for number in range(2000):
            send(network, "a", number.to_bytes(4, "big") + SMALL)
        network.run_until(Instant(milliseconds(10)))
        return [frame for _, frame in b.heard]

    first = lost()
    assert 1500 < len(first) < 1700
    assert lost() == first


def test_cable_that_is_pulled_loses_what_is_on_it_and_both_ends_notice():
    network, a, b, link = pair(LinkSpec(delay=milliseconds(1)))
    send(network, "a", SMALL)
    network.run_until(Instant(microseconds(100)))
    link.set_plugged(False)
    send(network, "a", LARGE)
    network.run_until(Instant(milliseconds(5)))
    assert b.heard == []
    assert a.links == b.links == [("0", True), ("0", False)]
    reasons = [(hop.frame, hop.lost) for hop in network.journal.hops()]
    assert reasons == [(LARGE, "no link"), (SMALL, "cable pulled")]
    link.set_plugged(True)
    send(network, "a", SMALL)
    network.run_until(Instant(milliseconds(10)))
    assert len(b.heard) == 1


def test_port_that_is_switched_off_takes_the_link():
    network, a, b, _ = pair()
    b.enabled = False
    network.refresh("b")
    assert a.links[-1] == ("0", False)
    b.enabled = True
    network.refresh("b")
    assert a.links[-1] == ("0", True)


def test_frame_too_long_for_the_cable_is_lost():
    network, _, b, _ = pair(LinkSpec(mtu=1500))
    send(network, "a", LARGE)
    send(network, "a", LARGE + bytes(4))  # a tag
    send(network, "a", LARGE + bytes(9))
    network.run_until(Instant(milliseconds(1)))
    assert [len(frame) for _, frame in b.heard] == [1514, 1518]


def test_device_is_woken_when_it_wants_even_where_it_changed_its_mind():
    network, a, _, _ = pair()
    a.due = Instant(500)
    network.nodes["a"].drain()
    a.due = Instant(200)
    network.nodes["a"].drain()
    network.run_until(Instant(300))
    assert a.rung == [200]
    a.due = Instant(900)
    network.nodes["a"].drain()
    network.run_until(Instant(2000))
    assert a.rung == [200, 900]


def test_events_of_one_instant_happen_in_the_order_they_were_scheduled():
    network = Network()
    hub, ends = Box("hub"), [Box(f"e{n}") for n in range(5)]
    for box in (hub, *ends):
        network.add(box)
    for number, end in enumerate(ends):
        network.join((end.name, "0"), ("hub", str(number)))
    for end in ends:
        send(network, end.name, end.name.encode() * 30)
    network.run_until(Instant(milliseconds(1)))
    assert [frame[:2] for _, frame in hub.heard] == [b"e0", b"e1", b"e2", b"e3", b"e4"]
    assert len({at for at, _ in hub.heard}) == 1


def test_journey_follows_a_frame_through_the_devices_that_pass_it_on():
    network = Network()
    left, middle, right = Box("left"), Box("middle", {"0": "1"}), Box("right")
    for box in (left, middle, right):
        network.add(box)
    network.join(("left", "0"), ("middle", "0"))
    network.join(("middle", "1"), ("right", "0"))
    send(network, "left", SMALL)
    send(network, "left", LARGE)
    network.run_until(Instant(milliseconds(1)))
    small, large = network.journal.journeys(lambda _: True)
    assert [hop.lane for hop in small] == ["left:0>middle:0", "middle:1>right:0"]
    assert [hop.frame for hop in large] == [LARGE, LARGE]
    assert all(before.at < behind.at for before, behind in itertools.pairwise(small))


def test_journal_keeps_the_latest_and_counts_all():
    network = Network(kept=10)
    a, b = Box("a"), Box("b")
    network.add(a)
    network.add(b)
    network.join(("a", "0"), ("b", "0"))
    for _ in range(25):
        send(network, "a", SMALL)
    network.run_until(Instant(milliseconds(1)))
    assert len(network.journal) == 25
    assert [hop.number for hop in network.journal.hops()] == list(range(16, 26))


def test_time_that_passes_without_a_look_makes_events_late_and_never_turns_back():
    network, _, b, _ = pair(LinkSpec(delay=Duration(0)))
    send(network, "a", SMALL)
    network.linger(milliseconds(1))
    network.run_until(network.instant)
    assert b.heard == [(milliseconds(1), SMALL)]
    assert network.instant == milliseconds(1)


def test_wrong_cable_takes_the_place_of_a_good_one():
    class Slow(Lane):
        __slots__ = ()

        def time_on_wire(self, size):
            return 10 * super().time_on_wire(size)

    defect = Defect("slow", "SW-23", "A cable of the wrong kind.", {Lane: Slow})
    network, _, b, _ = pair(LinkSpec(delay=Duration(0)))
    network.rewire("b", (defect,))
    send(network, "a", SMALL)
    network.run_until(Instant(milliseconds(1)))
    assert b.heard == [(10 * (60 + OVERHEAD) * 8, SMALL)]


def test_device_in_the_place_of_another_has_its_links():
    network, _, b, _ = pair()
    other = Box("b")
    network.replace(other)
    assert other.links == [("0", True)]
    send(network, "a", SMALL)
    network.run_until(Instant(milliseconds(1)))
    assert (len(other.heard), b.heard) == (1, [])


def test_name_that_is_taken_is_refused():
    network = Network()
    network.add(Box("a"))
    with pytest.raises(PlanError, match="a device a already"):
        network.add(Box("a"))
