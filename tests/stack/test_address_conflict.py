"""RFC 5227 to the second: probes, announcements, one defence, giving up."""

from __future__ import annotations

from ipaddress import IPv4Interface

import pytest
from lone import MAC, PEER, B, Lone, ip

from testbed.stack.config import StackConfig
from testbed.stack.conflict import AddressConflict, AddressState, StateChanged
from testbed.stack.stack import Stack
from testbed.timing import Instant, milliseconds, seconds
from testbed.wire import ArpPacket, MacAddr

OURS = ip("10.0.0.7")


def probing(seed: int = 1, **arp) -> tuple[Lone, list]:
    lone = Lone(StackConfig.of(arp={"probe": False, **arp}), known=False)
    lone.stack = Stack(lone.stack.config, seed=seed)
    lone.stack.add_interface("eth0", mac=MAC)
    outcome: list = []
    lone.stack.add_address(
        "eth0",
        IPv4Interface("10.0.0.7/24"),
        lone.now,
        probe=True,
        outcome=lambda held, now: outcome.append((held, now)),
    )
    return lone, outcome


def timeline(lone: Lone, span: int) -> list[tuple[int, ArpPacket]]:
    start, seen = lone.now, []
    while True:
        seen += [(lone.now - start, arp) for _, arp in lone.arps()]
        at = lone.stack.poll_timeout()
        if at is None or at > start + span:
            lone.now = Instant(start + span)
            return seen
        lone.now = at
        lone.stack.handle_timeout(at)


@pytest.mark.parametrize("seed", range(30))
def test_three_probes_then_two_announcements_with_the_gaps_of_the_rfc(seed):
    lone, outcome = probing(seed)
    seen = timeline(lone, seconds(20))
    probe, announcement = ArpPacket.probe(MAC, OURS), ArpPacket.announcement(MAC, OURS)
    assert [arp for _, arp in seen] == [probe] * 3 + [announcement] * 2
    at = [when for when, _ in seen]
    assert 0 <= at[0] <= seconds(1)
    assert seconds(1) <= at[1] - at[0] <= seconds(2)
    assert seconds(1) <= at[2] - at[1] <= seconds(2)
    assert at[3] - at[2] == seconds(2)
    assert at[4] - at[3] == seconds(2)
    assert outcome == [(True, 1_000_000_000 + at[3])]


def test_until_it_is_held_nothing_is_answered_nor_sent_from_it():
    lone, _ = probing()
    timeline(lone, seconds(2))
    lone.hear_arp(ArpPacket.request(PEER, B, OURS))
    assert lone.frames() == []
    assert lone.stack.interface().addresses == []
    timeline(lone, seconds(20))
    assert lone.stack.interface().addresses == [IPv4Interface("10.0.0.7/24")]
    lone.hear_arp(ArpPacket.request(PEER, B, OURS))
    assert lone.arps() == [(PEER, ArpPacket.reply(MAC, OURS, PEER, B))]


@pytest.mark.parametrize(
    "arp",
    [
        ArpPacket.reply(PEER, OURS, MAC, ip("0.0.0.0")),
        ArpPacket.announcement(PEER, OURS),
        ArpPacket.request(PEER, OURS, B),
        ArpPacket.probe(PEER, OURS),
    ],
    ids=["reply", "announcement", "request", "simultaneous probe"],
)
@pytest.mark.parametrize("after", [0.0, 1.5, 3.0])
def test_any_sign_of_another_owner_while_probing_loses_the_address(arp, after):
    lone, outcome = probing()
    timeline(lone, seconds(after))
    lone.hear_arp(arp)
    assert outcome == [(False, lone.now)]
    assert timeline(lone, seconds(60)) == []
    assert lone.stack.interface().addresses == []
    assert lone.stack.interface().claims == {}


def test_its_own_probe_that_comes_back_is_no_conflict():
    lone, outcome = probing()
    timeline(lone, seconds(1.5))
    lone.hear_arp(ArpPacket.probe(MAC, OURS))
    timeline(lone, seconds(20))
    assert [held for held, _ in outcome] == [True]


def test_it_defends_once_and_gives_up_when_challenged_within_ten_seconds():
    lone, outcome = probing()
    timeline(lone, seconds(20))
    rival = ArpPacket.announcement(PEER, OURS)
    lone.hear_arp(rival)
    assert [arp for _, arp in lone.arps()] == [ArpPacket.announcement(MAC, OURS)]
    timeline(lone, seconds(10))
    lone.hear_arp(rival)  # ten seconds later: defended again
    assert [arp for _, arp in lone.arps()] == [ArpPacket.announcement(MAC, OURS)]
    timeline(lone, seconds(10) - milliseconds(1))
    lone.hear_arp(rival)
    assert lone.frames() == []
    assert [held for held, _ in outcome] == [True, False]
    assert [e.defended for e in lone.stack.events.of(AddressConflict)] == [True, True, False]
    states = [e.state for e in lone.stack.events.of(StateChanged)]
    assert states == [AddressState.HELD, AddressState.LOST]
    lone.hear_arp(ArpPacket.request(PEER, B, OURS))
    assert lone.frames() == []


def test_like_linux_it_neither_defends_nor_gives_up():
    lone, outcome = probing(defend=False)
    timeline(lone, seconds(20))
    for _ in range(5):
        lone.hear_arp(ArpPacket.announcement(PEER, OURS))
    assert lone.frames() == []
    assert len(outcome) == 1


def test_beyond_ten_conflicts_an_address_a_minute_is_probed_for():
    lone, _ = probing(max_conflicts=2)
    for number in range(1, 5):
        link = lone.stack.interface()
        assert len(link.claims) == 1
        (claim,) = link.claims
        first = timeline(lone, seconds(1.01))
        assert bool(first) == (number <= 3), "the fourth waits"
        if number == 4:
            return
        lone.hear_arp(ArpPacket.announcement(PEER, claim))
        lone.frames()
        lone.stack.add_address("eth0", IPv4Interface(f"10.0.1.{number}/24"), lone.now, probe=True)


def test_probing_by_the_settings_and_again_when_the_link_comes_back():
    lone = Lone(StackConfig.of(arp={"probe": True}), known=False)
    assert len(timeline(lone, seconds(20))) == 5
    lone.stack.set_link("eth0", up=False, now=lone.now)
    lone.stack.set_link("eth0", up=True, now=lone.now)
    assert lone.stack.interface().addresses == []
    assert len(timeline(lone, seconds(20))) == 5
    assert lone.stack.interface().addresses == [IPv4Interface("10.0.0.1/24")]


def test_without_probing_nothing_is_sent_at_all():
    assert Lone(known=False).frames() == []
    assert MacAddr.ZERO != MAC
