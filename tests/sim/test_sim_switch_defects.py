"""Each defect of the simulated switch does what its name says, and the good switch does not."""

from __future__ import annotations

from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from switch_bed import ALL, Bed, eth, tagged
from switch_scenes import (
    BACK,
    FIVE,
    GROUP,
    JUMBO,
    LONGEST,
    OTHERS,
    RED,
    SHORT,
    SHORT_TAGGED,
    TAGGED,
    TO_B,
    TRUNKS,
    UNKNOWN,
    UNTAG,
    A,
    B,
    D,
    answered,
    bad,
    broadcast,
    broadcast_after_talk,
    broadcast_of_arp,
    broadcast_of_newcomer_when_full,
    clear,
    clear_port,
    damage_passed_on,
    earlier_pads,
    exits_of,
    first_held,
    four_known,
    group_source,
    hear,
    heard_from_listener,
    held,
    held_after_overflow,
    in_vlans,
    kin,
    learned_in_vlans,
    left_after,
    mirror_of_broadcast_elsewhere,
    mirrored,
    moved,
    moved_away,
    moved_late,
    order,
    own_port,
    passed_to_mirrored,
    promptly,
    refreshed,
    remembered,
    reserved,
    sought,
    sought_later,
    sought_quietly,
    speak,
    storm,
    table_and_frames_at_age,
    through,
    unknown,
    unknown_twice,
    unplug,
)

from testbed.sim.frames import BadFcs
from testbed.sim.switch import defects
from testbed.sim.switch.defects import (
    ageing,
    floods,
    forwarding,
    frames,
    learning,
    services,
    speed,
    table,
    vlans,
)
from testbed.stack.variants import Defect
from testbed.timing import Duration, microseconds

EVERY = [
    value
    for module in vars(defects).values()
    if isinstance(module, ModuleType)
    for value in vars(module).values()
    if isinstance(value, Defect)
]


GLOBAL = b"\x00\x00\x5e\x00\x53\x01"
TO_GROUP = eth(GROUP, A)


def long_eth(dst, src):
    return eth(dst, src, bytes(1000))


def arp_eth(dst, src):
    return eth(dst, src, kind=0x0806)


CASES = [
    # SW-01, SW-02
    (learning.NEVER_LEARNS, sought, ["p1"], OTHERS),
    (learning.LEARNS_DESTINATIONS, sought_quietly, ["p1"], []),
    (learning.LEARNS_FROM_BROADCASTS, sought_quietly, ["p1"], OTHERS),
    (learning.LEARNS_AT_SECOND_FRAME, sought, ["p1"], OTHERS),
    (learning.CONFUSES_STATIONS, kin, ["p1"], ["p3"]),
    (learning.KEEPS_OLD_PORT, moved(ALL), ["p3"], ["p1"]),
    (learning.MOVES_BY_BROADCASTS, moved(D), ["p3"], ["p1"]),
    (learning.MOVES_BY_BROADCASTS, moved(ALL), ["p3"], ["p3"]),
    (learning.MOVES_AT_SECOND_FRAME, moved(ALL), ["p3"], ["p1"]),
    (learning.HOLDS_DOWN_MOVES, moved(ALL), ["p3"], ["p1"]),
    (learning.HOLDS_DOWN_MOVES, moved(ALL, pause=5), ["p3"], ["p3"]),
    (learning.LOSES_MOVED_STATIONS, moved(ALL), ["p3"], OTHERS),
    (learning.MOVES_NEIGHBOURS, moved_away, ["p1"], ["p3"]),
    # SW-03, SW-04
    (ageing.NEVER_AGES, remembered(59, 61, 10**9), [True, False, False], [True, True, True]),
    (ageing.AGES_AT_QUARTER, remembered(14, 16, 59), [True] * 3, [True, False, False]),
    (ageing.AGES_AT_FOUR_TIMES, remembered(61, 239, 241), [False] * 3, [True, True, False]),
    (ageing.AGES_BY_DEFAULT, remembered(61, 299, 301), [False] * 3, [True, True, False]),
    (ageing.FORGETS_ALL_AT_ONCE, remembered(50, 50), [True, True], [True, False]),
    (ageing.AGES_IN_TABLE_ONLY, table_and_frames_at_age, (None, OTHERS), (None, ["p1"])),
    (ageing.DESTINATION_REFRESHES, refreshed(hear), False, True),
    (ageing.NEVER_REFRESHES, refreshed(speak(ALL)), True, False),
    (ageing.REFRESHES_BY_BROADCASTS, refreshed(speak(D)), True, False),
    (ageing.NEIGHBOURS_REFRESH, refreshed(speak(ALL, 9)), False, True),
    (ageing.MOVES_WITHOUT_REFRESH, moved_late, ["p3"], ["p1", "p2", "p3", "p5"]),
    # SW-05, SW-06, SW-07
    (forwarding.FLOODS_AFTER_SILENCE, sought_later, ["p1"], OTHERS),
    (forwarding.FLOODS_SHORT_ONLY, exits_of(eth(A, B, bytes(1200))), OTHERS, []),
    (forwarding.FLOODS_LOCAL_ONLY, exits_of(eth(GLOBAL, B)), OTHERS, []),
    (forwarding.COPIES_TO_ONE_MORE, sought, ["p1"], ["p1", "p3"]),
    (forwarding.SENDS_TWICE, sought, ["p1"], ["p1", "p1"]),
    (forwarding.DELIVERS_NEXT_DOOR, sought, ["p1"], ["p3"]),
    (forwarding.LOSES_EVERY_FOURTH, four_known, ["p1"] * 4, ["p1"] * 3),
    (forwarding.MISSES_ONE_PORT, unknown, OTHERS, ["p3", "p4", "p5"]),
    (forwarding.ECHOES_TO_INGRESS, unknown, OTHERS, ["p1", "p2", "p3", "p4", "p5"]),
    (forwarding.DROPS_UNKNOWN, unknown, OTHERS, []),
    (forwarding.FLOODS_TWICE, unknown, OTHERS, sorted(OTHERS * 2)),
    (forwarding.FLOODS_FIRST_ONLY, unknown_twice, (OTHERS, OTHERS), (OTHERS, [])),
    (forwarding.HAIRPINS, own_port, [], ["p2"]),
    (forwarding.FLOODS_OWN_PORT, own_port, [], OTHERS),
    (forwarding.RELAYS_NEXT_DOOR, own_port, [], ["p1"]),
    # SW-08, SW-09
    (floods.STOPS_BROADCASTING_WHEN_FULL, broadcast_of_newcomer_when_full, OTHERS, []),
    (floods.STOPS_BROADCASTING_WHEN_FULL, broadcast, OTHERS, OTHERS),
    (floods.LEARNS_GROUP_SOURCE, group_source, ({}, OTHERS), ({(0, GROUP): "p1"}, ["p1"])),
    (floods.ECHOES_BROADCASTS, broadcast, OTHERS, ["p1", "p2", "p3", "p4", "p5"]),
    (floods.MISSES_PORT_IN_BROADCASTS, broadcast, OTHERS, ["p3", "p4", "p5"]),
    (floods.BROADCASTS_TWICE, broadcast, OTHERS, sorted(OTHERS * 2)),
    (floods.KEEPS_ARP, broadcast_of_arp, OTHERS, []),
    (floods.FLOODS_FOREVER, answered, (OTHERS, ["p1"]), (OTHERS, OTHERS)),
    (floods.FLOODS_FLOWS_ON, answered, (OTHERS, ["p1"]), (OTHERS, OTHERS)),
    (floods.FLOODS_TO_HALF_KNOWN, answered, (OTHERS, ["p1"]), (OTHERS, OTHERS)),
    (floods.FLOODS_TO_HALF_KNOWN, sought, ["p1"], ["p1"]),
    (floods.STOPS_BROADCASTS_TOO, broadcast_after_talk, OTHERS, ["p1"]),
    (floods.BROADCASTS_SHORT_ONLY, exits_of(eth(ALL, B, bytes(1200))), OTHERS, []),
    # SW-10
    (vlans.READS_EIGHT_BITS, in_vlans("p4", tagged(266, RED)), {},
     {"p1": [RED], "p3": [RED], "p5": [tagged(10, RED)]}),
    (vlans.DROPS_PRIORITY_TAGS, in_vlans("p1", tagged(0, RED)), {"p3": [RED]} | TRUNKS, {}),
    (vlans.LEAKS_GROUPS, in_vlans("p1", TO_GROUP),
     {"p3": [TO_GROUP], "p4": [tagged(10, TO_GROUP)], "p5": [tagged(10, TO_GROUP)]},
     {
         "p2": [TO_GROUP],
         "p3": [TO_GROUP],
         "p4": [tagged(10, TO_GROUP)],
         "p5": [tagged(10, TO_GROUP)],
     }),
    (
        vlans.LEAKS_UNKNOWN_UNICAST,
        in_vlans("p1", UNKNOWN),
        {"p3": [UNKNOWN], "p4": [tagged(10, UNKNOWN)], "p5": [tagged(10, UNKNOWN)]},
        {
            "p2": [UNKNOWN],
            "p3": [UNKNOWN],
            "p4": [tagged(10, UNKNOWN)],
            "p5": [tagged(10, UNKNOWN)],
        },
    ),
    (
        vlans.SHARED_LEARNING,
        in_vlans("p3", TO_B, ("p1", eth(ALL, B)), ("p2", eth(ALL, B))),
        {"p1": [TO_B]},
        {},
    ),
    (vlans.LEAKS_BROADCASTS, in_vlans("p1", RED), {"p3": [RED]} | TRUNKS,
     {"p2": [RED], "p3": [RED]} | TRUNKS),
    (vlans.FINDS_STATIONS_ELSEWHERE, in_vlans("p1", TO_B, ("p2", eth(ALL, B))),
     {"p3": [TO_B], "p4": [tagged(10, TO_B)], "p5": [tagged(10, TO_B)]}, {"p2": [TO_B]}),
    (vlans.LEAVES_TAGS_ON, in_vlans("p4", tagged(20, RED)),
     {"p2": [RED], "p5": [tagged(20, RED)]},
     {"p2": [tagged(20, RED)], "p5": [tagged(20, RED)]}),
    (vlans.STRIPS_TAGS, in_vlans("p2", RED),
     {"p4": [tagged(20, RED)], "p5": [tagged(20, RED)]}, {"p4": [RED], "p5": [RED]}),
    (vlans.HOPS_BY_TAG, in_vlans("p1", tagged(20, RED)), {},
     {"p2": [RED], "p4": [tagged(20, RED)], "p5": [tagged(20, RED)]}),
    (vlans.IGNORES_ALLOWED_VLANS, learned_in_vlans("p4", tagged(30, RED)), {},
     {(30, A): "p4"}),
    (vlans.TAKES_UNTAGGED_ON_TRUNKS, in_vlans("p4", RED), {},
     {"p1": [RED], "p3": [RED], "p5": [tagged(10, RED)]}),
    (frames.LOSES_PRIORITY, in_vlans("p4", tagged(20, RED, pcp=5)),
     {"p2": [RED], "p5": [tagged(20, RED, pcp=5)]}, {"p2": [RED], "p5": [tagged(20, RED)]}),
    # SW-11, SW-12, SW-13
    (table.CAPACITY_BELOW_STATED, held(9000, gap=microseconds(10)), 8192, 4096),
    (table.FORGETS_ALL_WHEN_FULL, held(9000, gap=microseconds(10)), 8192, 9000 - 8192),
    (table.REPLACES_THE_OLDEST, first_held, ["p1"], OTHERS),
    (table.POOR_HASH, held(8192, gap=microseconds(10)), 8192, 4096),
    (table.STUCK_ONCE_FULL, held_after_overflow, {(0, A): "p1"}, {}),
    (table.LOSES_ABOVE_A_RATE, held(500), 500, 254),
    (table.LEARNS_ONE_AT_A_TIME, held(500), 500, 250),
    (table.PAUSES_WHEN_TOO_FAST, held(500, gap=microseconds(100)), 500, 32),
    (table.KEEPS_DEAD_PORT, left_after(unplug), [2, 9], [1, 2, 9]),
    (table.CLEARS_STATIC_TOO, left_after(clear), [9], []),
    (table.CLEARS_ALL_PORTS, left_after(clear_port), [2, 9], [9]),
    (table.CLEARS_NOTHING, left_after(clear), [9], [1, 2, 9]),
    (table.CLEARS_NOTHING, left_after(unplug), [2, 9], [2, 9]),
    (table.CLEARS_NO_PORT, left_after(clear_port), [2, 9], [1, 2, 9]),
    (table.CLEARS_NO_PORT, left_after(clear), [9], [9]),
    (table.DEAD_PORT_CLEARS_ALL, left_after(unplug), [2, 9], [9]),
    (table.DEAD_PORT_LOSES_STATIC, left_after(unplug), [2, 9], [2]),
    # SW-14, SW-15, SW-16
    (frames.FORWARDS_PAUSE, reserved(1), [], OTHERS),
    (frames.FORWARDS_BPDUS, reserved(0), [], OTHERS),
    (frames.FORWARDS_LLDP, reserved(14), [], OTHERS),
    (frames.FORWARDS_UNUSED_RESERVED, reserved(5), [], OTHERS),
    (frames.FORWARDS_TAGGED_RESERVED, reserved(2, tag=True), [], OTHERS),
    (frames.KEEPS_SIXTEEN_MORE, reserved(16), OTHERS, []),
    (frames.FORWARDS_RUNTS, bad(eth(ALL, B)[:40]), ([], None, 1, 0), (OTHERS, "p2", 1, 0)),
    (frames.LEARNS_FROM_BAD, bad(eth(ALL, B)[:40]), ([], None, 1, 0), ([], "p2", 1, 0)),
    (frames.LEARNS_FROM_BAD, bad(BadFcs(eth(ALL, B))), ([], None, 1, 0), ([], "p2", 1, 0)),
    (frames.CUTS_THROUGH, damage_passed_on, [], [BadFcs]),
    (frames.MENDS_DAMAGED, damage_passed_on, [], [bytes]),
    (frames.FORWARDS_GIANTS, bad(eth(ALL, B, bytes(1501))), ([], None, 1, 0),
     (OTHERS, "p2", 0, 1)),
    (frames.COUNTS_NO_BAD_FRAMES, bad(eth(ALL, B)[:40]), ([], None, 1, 0), ([], None, 0, 0)),
    (frames.COUNTS_RUNTS_AS_GOOD, bad(eth(ALL, B)[:40]), ([], None, 1, 0), ([], None, 0, 1)),
    (frames.TRUNCATES, through(LONGEST), [LONGEST], [LONGEST[:1500]]),
    (frames.CORRUPTS_PAD, through(eth(B, A)), [eth(B, A)], [eth(B, A)[:-1] + b"\x55"]),
    (frames.DROPS_LONGEST, through(LONGEST), [LONGEST], []),
    (frames.DROPS_LONG_TAGGED, through(tagged(5, eth(ALL, A, bytes(1500)))),
     [tagged(5, eth(ALL, A, bytes(1500)))], []),
    (frames.IGNORES_JUMBO, through(eth(B, A, bytes(9000)), *JUMBO), [eth(B, A, bytes(9000))], []),
    (frames.DOES_NOT_PAD, through(SHORT_TAGGED, *UNTAG), [SHORT + bytes(4)], [SHORT]),
    (frames.PADS_WITH_OLD_BYTES, earlier_pads, [SHORT + bytes(4)], [SHORT + b"\xaa" * 4]),
    (frames.STUCK_BIT, through(LONGEST), [LONGEST],
     [LONGEST[:1023] + bytes([LONGEST[1023] ^ 16]) + LONGEST[1024:]]),
    # SW-17
    (services.DROPS_MIRRORED, mirrored(into=FIVE), FIVE, [*FIVE[:2], *FIVE[3:]]),
    (services.DOUBLES_MIRRORED, mirrored(into=FIVE[:2]), FIVE[:2],
     [FIVE[0], FIVE[0], FIVE[1], FIVE[1]]),
    (services.RETAGS_MIRRORED, mirrored(into=[FIVE[0], TAGGED]), [FIVE[0], TAGGED],
     [tagged(1, FIVE[0]), tagged(1, eth(B, A, b"t" * 60))]),
    (services.MIRRORS_INGRESS_ONLY, mirrored(into=FIVE, out=BACK), FIVE + BACK, FIVE),
    (services.MIRRORS_EGRESS_ONLY, mirrored(into=FIVE, out=BACK), FIVE + BACK, BACK),
    (services.CUTS_MIRRORED, mirrored(into=[LONGEST]), [LONGEST], [LONGEST[:128]]),
    (services.SWAPS_MIRRORED, mirrored(into=FIVE[:4]), FIVE[:4],
     [FIVE[1], FIVE[0], FIVE[3], FIVE[2]]),
    (services.MIRROR_JOINS_IN, mirror_of_broadcast_elsewhere, ["p4"], ["p4", "p5"]),
    (services.LETS_MIRROR_PORT_IN, heard_from_listener, [], ["p1", "p2", "p3", "p4"]),
    (services.MIRROR_TAKES_AWAY, passed_to_mirrored, ["p2", "p5"], ["p5"]),
    # SW-18, SW-20
    (services.NO_CEILING, storm(ALL), 100, 1000),
    (services.CEILING_TEN_TIMES, storm(ALL, 5000), 100, 1020),
    (services.LIMITS_SHORT_ONLY, storm(ALL, make=long_eth), 100, 1000),
    (services.PASSES_ARP_STORMS, storm(ALL, make=arp_eth), 100, 1000),
    (services.LIMITS_UNICAST, storm(B), 1000, 100),
    (services.LIMITS_MULTICAST, storm(GROUP), 1000, 100),
    (services.COUNTS_PORTS_TOGETHER, storm(ALL, also=[("p3", ALL)]), 100, 0),
    (services.BLOCKS_FOR_GOOD, storm(ALL), 100, 0),
    (services.SHUTS_PORT, storm(B, also=[("p1", ALL)]), 1000, 0),
    (services.REORDERS, order(1, 1, 1, 1, 1, 1), [0, 1, 2, 3, 4, 5], [0, 1, 2, 4, 5, 3]),
    (services.LONG_FRAMES_LAG, order(1000, 1, 1000, 1), [0, 1, 2, 3], [1, 3, 0, 2]),
    (services.SLOW_PATH, lambda bed: order(*[1] * 60)(bed)[-1], 59, 45),
    (services.HOLDS_FRAMES, promptly, ["p2"], []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("defect", "see", "good", "wrong"),
    CASES,
    ids=[f"{number}: {case[0]}" for number, case in enumerate(CASES)],
)
def test_a_defect_does_what_its_name_says(defect, see, good, wrong):
    assert see(Bed()) == good
    assert see(Bed(defect)) == wrong


def passed_on(count: int, gap: int, *, to: bytes = B):
    """How many of so many frames come out at p2, where ``to`` may be; ``gap`` is in ns."""

    def see(bed: Bed) -> int:
        bed.send("p2", eth(A, B))
        return len(bed.send("p1", *[eth(to, A)] * count, gap=Duration(gap)).get("p2", ()))

    return see


def last_of(count: int):
    """How long the last of some frames that come at once takes, in ns."""

    def see(bed: Bed) -> int:
        bed.send("p2", eth(A, B))
        for _ in range(count):
            bed.switch.receive(eth(B, A), bed.now, "p1")
        return max(at for at, _ in bed.switch.fabric.waiting) - bed.now

    return see


def after_a_reset(bed: Bed) -> int:
    """How many of ten frames come out at p2 as soon as its link is back."""
    bed.send("p2", eth(A, B))
    for up in (False, True):
        bed.switch.set_link("p2", up, bed.now)
    return len(bed.send("p1", *[eth(B, A)] * 10).get("p2", ()))


UNDER_LOAD = [
    (speed.SLOW_ENGINE, passed_on(100, 700), 100, range(45, 60)),
    (speed.LOSES_WHEN_FULL, passed_on(100, 700), 100, range(45, 60)),
    (speed.LOSES_ONE_IN_A_HUNDRED, passed_on(1000, 5000), 1000, range(980, 991)),
    (speed.TAKES_A_MILLISECOND, last_of(1), 4000, [1_004_000]),
    (speed.LONG_QUEUE, last_of(10), 4000, [40_000]),
    (speed.SHALLOW_BUFFER, passed_on(1000, 700), 1000, range(500, 700)),
    (speed.DEAF_WHILE_BUSY, passed_on(1000, 700), 1000, range(1, 20)),
    (speed.LISTENS_AFTER_RESET, after_a_reset, 10, [0]),
    (speed.NARROW_BACKPLANE, passed_on(1000, 700), 1000, range(200, 500)),
    (speed.BLOCKS_HEAD_OF_LINE, passed_on(1000, 700), 1000, range(50, 300)),
    (speed.BROADCASTS_BY_PROCESSOR, passed_on(100, 10_000, to=ALL), 100, [20]),
    *(
        (defect, *next((see, good, [wrong]) for same, see, good, wrong in CASES if same is like))
        for defect, like in (
            (speed.PASSES_RUNTS, frames.FORWARDS_RUNTS),
            (speed.PASSES_DAMAGED, frames.CUTS_THROUGH),
        )
    ),
]


@pytest.mark.parametrize(
    ("defect", "see", "good", "wrong"), UNDER_LOAD, ids=[str(case[0]) for case in UNDER_LOAD]
)
def test_what_benchmarks_must_find_is_there(defect, see, good, wrong):
    assert see(Bed()) == good
    assert see(Bed(defect)) in wrong


def test_every_defect_is_tried_and_told_in_a_sentence():
    assert {case[0] for case in (*CASES, *UNDER_LOAD)} == set(EVERY)
    assert len({(defect.behaviour, defect.name) for defect in EVERY}) == len(EVERY) >= 100
    for defect in EVERY:
        assert defect.story.endswith(".")
        assert defect.behaviour in {
            *(f"SW-{n:02}" for n in (*range(1, 19), 20)),
            *(f"BM-{n:02}" for n in range(1, 11)),
        }


@settings(max_examples=30)
@given(
    defect=st.sampled_from(EVERY),
    sent=st.lists(
        st.tuples(
            st.integers(1, 5),
            st.binary(max_size=70)
            | st.binary(max_size=70).map(BadFcs)
            | st.binary(min_size=60, max_size=60).map(lambda b: A + B + b"\x81\x00" + b),
        ),
        max_size=20,
    ),
)
def test_no_defect_makes_the_switch_raise(defect, sent):
    bed = Bed(defect)
    bed.configure(
        "interface p1", "switchport access vlan 10", "storm-control broadcast level pps 1"
    )
    bed.configure("interface p2", "switchport trunk allowed vlan 10")
    bed.configure("monitor session 1 source interface p2,p3")
    bed.configure("monitor session 1 destination interface p4")
    for port, frame in sent:
        bed.send(f"p{port}", frame)
    bed.type("show mac address-table", "show interfaces", "clear mac address-table dynamic")
    bed.switch.set_link("p3", False, bed.now)
