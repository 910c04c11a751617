"""Router discovery: who says what when (RFC 1256)."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from itertools import pairwise

import pytest

from testbed.stack.advertise import AdvertiseConfig, RouterAdvertiser, RouterDiscovery
from testbed.stack.alarms import Alarms
from testbed.stack.entropy import Entropy
from testbed.timing import Instant, seconds
from testbed.wire.icmp_info import RouterAdvertisement, RouterSolicitation
from testbed.wire.icmpv4 import parse_icmpv4

NET = IPv4Network("10.0.0.0/24")
R1, R2, ME = IPv4Address("10.0.0.254"), IPv4Address("10.0.0.253"), IPv4Address("10.0.0.9")
CONFIG = AdvertiseConfig()


class Rig:
    def __init__(self) -> None:
        self.now = Instant(0)
        self.alarms = Alarms()
        self.sent = []
        self.best = []
        self.router = RouterAdvertiser(
            "eth0",
            {R1: 5, R2: -1},
            config=CONFIG,
            alarms=self.alarms,
            entropy=Entropy(1),
            on_link=lambda address: address in NET,
            send=self.take,
        )
        self.host = RouterDiscovery(
            "eth0",
            config=CONFIG,
            alarms=self.alarms,
            entropy=Entropy(2),
            source=lambda: ME,
            on_link=lambda address: address in NET,
            send=self.take,
            changed=lambda best, now: self.best.append(best),
        )

    def take(self, packet, now):
        assert packet.ttl == 1
        self.sent.append((now / 1e9, packet, parse_icmpv4(packet.payload)))

    def run(self, until: float) -> None:
        while (due := self.alarms.next_deadline()) is not None and due <= seconds(until):
            self.now = due
            self.alarms.fire_due(due)
        self.now = Instant(seconds(until))


@pytest.fixture
def rig() -> Rig:
    return Rig()


def advertisement(*routers, lifetime=1800) -> RouterAdvertisement:
    return RouterAdvertisement(lifetime, routers)


def test_a_router_advertises_thrice_in_short_order_then_every_ten_minutes(rig):
    rig.router.start(rig.now)
    rig.run(4000)
    times = [at for at, _, _ in rig.sent]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert gaps[:2] == [16, 16]
    assert all(450 <= gap <= 600 for gap in gaps[2:])
    assert len(gaps) > 7
    _, packet, message = rig.sent[0]
    assert (packet.src, packet.dst) == (R1, IPv4Address("224.0.0.1"))
    assert (message.lifetime, message.routers) == (1800, ((R1, 5), (R2, -1)))


def test_a_solicitation_is_answered_within_two_seconds_and_once_for_many(rig):
    rig.router.start(rig.now)
    rig.run(40)
    rig.sent.clear()
    for _ in range(5):
        rig.router.solicited(ME, rig.now)
    rig.router.solicited(IPv4Address(0), rig.now)
    rig.run(42)
    assert len(rig.sent) == 1
    rig.run(480)
    assert len(rig.sent) == 1, "the answer starts the interval anew"


def test_a_stranger_is_not_answered(rig):
    rig.router.start(rig.now)
    rig.run(40)
    rig.sent.clear()
    rig.router.solicited(IPv4Address("192.0.2.1"), rig.now)
    rig.run(50)
    assert rig.sent == []


def test_a_router_that_stops_takes_its_addresses_back(rig):
    rig.router.start(rig.now)
    rig.router.stop(rig.now)
    rig.router.stop(rig.now)
    rig.router.solicited(ME, rig.now)
    rig.run(5000)
    assert [message.lifetime for _, _, message in rig.sent] == [1800, 0]


def test_a_host_asks_three_times_and_no_more(rig):
    rig.host.start(rig.now)
    rig.run(100)
    times = [at for at, _, _ in rig.sent]
    assert times[0] <= 1
    assert [round(t - times[0], 6) for t in times] == [0, 3, 6]
    assert {(packet.src, packet.dst) for _, packet, _ in rig.sent} == {
        (ME, IPv4Address("224.0.0.2"))
    }
    assert all(isinstance(message, RouterSolicitation) for _, _, message in rig.sent)


def test_an_advertisement_ends_the_asking(rig):
    rig.host.start(rig.now)
    rig.run(1.5)
    rig.host.advertised(advertisement((R1, 0)), rig.now)
    rig.run(100)
    assert len(rig.sent) == 1
    assert rig.best == [R1]


def test_the_highest_preference_wins_and_the_next_takes_over(rig):
    rig.host.advertised(advertisement((R1, 0), lifetime=100), rig.now)
    rig.host.advertised(advertisement((R2, -5)), rig.now)
    assert rig.best == [R1]
    rig.run(99)
    assert rig.host.best() == R1
    rig.run(100)
    assert rig.best == [R1, R2]
    rig.host.advertised(advertisement((R2, -5), lifetime=0), rig.now)
    assert rig.best == [R1, R2, None]
    assert rig.host.routers == ()


def test_an_advertisement_renews_the_lifetime(rig):
    for start in (0, 50, 100):
        rig.run(start)
        rig.host.advertised(advertisement((R1, 0), lifetime=60), rig.now)
    rig.run(159)
    assert rig.host.best() == R1
    rig.run(160)
    assert rig.host.best() is None


def test_the_least_preference_is_never_used(rig):
    rig.host.advertised(advertisement((R1, RouterAdvertisement.NEVER)), rig.now)
    assert rig.host.best() is None
    assert [each.address for each in rig.host.routers] == [R1]


def test_routers_of_other_subnets_are_ignored(rig):
    rig.host.start(rig.now)
    rig.host.advertised(advertisement((IPv4Address("192.0.2.1"), 9)), rig.now)
    assert rig.host.routers == ()
    rig.run(100)
    assert len(rig.sent) == 3


def test_host_and_router_come_together(rig):
    rig.router.start(rig.now)
    rig.host.advertised(rig.sent[0][2], rig.now)
    assert rig.best == [R1]
    rig.host.stop()
    assert rig.host.best() is None


def test_a_router_that_was_never_started_says_nothing(rig):
    rig.router.stop(rig.now)
    rig.router.solicited(ME, rig.now)
    rig.run(100)
    assert rig.sent == []


def test_the_regular_advertisement_answers_who_just_asked(rig):
    rig.router.start(rig.now)
    rig.run(15.99999)
    rig.router.solicited(ME, rig.now)
    rig.run(20)
    assert len(rig.sent) == 2


def test_a_host_may_start_to_ask_again(rig):
    rig.host.start(rig.now)
    rig.run(100)
    rig.host.start(rig.now)
    rig.run(200)
    assert len(rig.sent) == 6
    rig.host.start(rig.now)
    rig.host.stop()
    assert len(rig.alarms) == 0


def test_a_router_taken_back_leaves_no_timer(rig):
    rig.host.advertised(advertisement((R1, 0)), rig.now)
    rig.host.advertised(advertisement((R1, 0), lifetime=0), rig.now)
    assert len(rig.alarms) == 0


def test_the_best_that_expires_without_having_been_the_best_is_no_news(rig):
    rig.host.advertised(advertisement((R1, 0)), rig.now)
    rig.host.advertised(advertisement((R2, -1), lifetime=10), rig.now)
    rig.run(20)
    assert rig.best == [R1]
