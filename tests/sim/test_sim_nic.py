"""The MAC filter of a NIC: IEEE 802.3 4.2.4.1."""

from __future__ import annotations

import pytest

from testbed.sim.frames import BadFcs
from testbed.sim.nic import MacFilter
from testbed.wire.addresses import MacAddr

OWN, OTHER = MacAddr("02:00:00:00:00:01"), MacAddr("02:00:00:00:00:02")
GROUP = MacAddr("01:00:5e:01:02:03")


def frame(dst: MacAddr, length: int = 60, kind: bytes = b"\x88\xb5") -> bytes:
    return (dst.packed + OTHER.packed + kind).ljust(length, b"x")


def test_a_card_takes_what_is_for_it_for_all_and_for_its_groups():
    card = MacFilter(OWN)
    assert card.takes(frame(OWN))
    assert card.takes(frame(MacAddr.BROADCAST))
    assert not card.takes(frame(OTHER))
    assert not card.takes(frame(GROUP))
    card.join(GROUP)
    assert card.takes(frame(GROUP))
    card.leave(GROUP)
    assert not card.takes(frame(GROUP))
    assert (card.counters.taken, card.counters.foreign, card.counters.errors) == (3, 3, 0)


def test_a_group_is_no_station():
    with pytest.raises(ValueError, match="of one station"):
        MacFilter(OWN).join(OTHER)


def test_bad_frames_are_counted_and_dropped():
    card = MacFilter(OWN)
    assert not card.takes(BadFcs(frame(OWN)))
    assert not card.takes(frame(OWN, 59))
    assert not card.takes(frame(OWN, 1515))
    counters = card.counters
    assert (counters.bad_fcs, counters.runts, counters.oversize) == (1, 1, 1)
    assert (counters.errors, counters.taken) == (3, 0)


def test_a_tag_is_no_excess():
    card = MacFilter(OWN)
    assert card.takes(frame(OWN, 1514))
    assert card.takes(frame(OWN, 1518, b"\x81\x00"))
    assert not card.takes(frame(OWN, 1519, b"\x81\x00"))


def test_a_promiscuous_card_takes_the_frames_of_others_but_no_bad_ones():
    card = MacFilter(OWN, promiscuous=True)
    assert card.takes(frame(OTHER))
    assert not card.takes(BadFcs(frame(OTHER)))
    assert not card.takes(frame(OTHER, 20))


def test_a_testers_card_keeps_bad_frames_too():
    card = MacFilter(OWN, promiscuous=True, keeps_bad=True)
    assert card.takes(BadFcs(frame(OTHER)))
    assert card.takes(frame(OTHER, 20))
    assert card.counters.errors == 2
