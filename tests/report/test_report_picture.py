import itertools
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from report_page import read_svg
from report_sample import sample_run

from testbed.report.cabling import Passage, read_cabling
from testbed.report.layout import CARD_HEIGHT, lay_out
from testbed.report.picture import draw_bench
from testbed.report.records import BoxRecord, CableRecord, DeviceRecord, NicRecord, RunRecord


def run_of(nics=(), boxes=(), devices=(), cables=()):
    return RunRecord(
        run_id="r",
        bench="b",
        lab="hardware",
        started=0,
        ended=0,
        nics=tuple(NicRecord(name=name) for name in nics),
        boxes=tuple(BoxRecord(name=n, left=a, right=b) for n, a, b in boxes),
        devices=tuple(DeviceRecord(name=name, platform="x", kind="switch") for name in devices),
        cables=tuple(CableRecord(end_a=a, end_b=b) for a, b in cables),
    )


def told_cables(graph):
    inside = [part for link in graph.links for part in link.parts if isinstance(part, CableRecord)]
    return [leaf.cable for leaf in graph.leaves] + inside


def test_shipped_bench_reads_as_stars_and_links():
    graph = read_cabling(sample_run())
    assert len(graph.leaves) == 14
    assert graph.nodes == ("sw1", "sw2", "r1", "r2", "h1", "h2")
    through = {
        (link.start[0], link.end[0]): [p.box for p in link.parts if isinstance(p, Passage)]
        for link in graph.links
    }
    assert through == {
        ("r1", "h2"): [],
        ("r1", "r2"): [],
        ("r1", "h1"): ["w1"],
        ("h1", "h2"): ["w2"],
    }


def test_boxes_in_a_row_loops_and_loose_ends_are_all_told():
    run = run_of(
        nics=("x1", "x2", "y1", "y2", "z1", "z2", "q", "p1", "p2", "lone"),
        boxes=(("w", "x1", "x2"), ("v", "y1", "y2"), ("u", "z1", "z2")),
        devices=("s",),
        cables=(
            ("s:1", "controller:x1"),
            ("controller:x2", "controller:y1"),
            ("controller:y2", "s:2"),
            ("controller:p1", "controller:p2"),
            ("s:3", "s:4"),
            ("ghost:1", "controller:q"),
        ),
    )
    graph = read_cabling(run)
    assert sorted(map(str, told_cables(graph))) == sorted(map(str, run.cables))
    assert {"s", "ghost", "controller:lone", "controller:p1", "controller:z1"} <= set(graph.nodes)
    read_svg(draw_bench(run))


def check_geometry(run):
    picture = lay_out(read_cabling(run))
    for one, two in itertools.combinations(picture.cards, 2):
        apart_x = one.x + one.width <= two.x or two.x + two.width <= one.x
        assert apart_x or abs(one.y - two.y) >= CARD_HEIGHT
    for one, two in itertools.combinations(picture.wires, 2):
        if one.track_y == two.track_y:
            assert one.x2 < two.x1 or two.x2 < one.x1
    for one, two in itertools.combinations(picture.chips, 2):
        assert abs(one.x - two.x) >= 36 or abs(one.y - two.y) >= 24
    for card in picture.cards:
        assert 0 <= card.x <= picture.width - card.width
        assert card.y + CARD_HEIGHT <= picture.height
    assert all(wire.track_y < picture.height for wire in picture.wires)
    return picture


def test_shipped_bench_fits_a_laptop():
    picture = check_geometry(sample_run())
    assert picture.width <= 1240
    assert picture.height <= 560


def test_sixty_nics_and_a_dozen_devices():
    devices = [f"sw{i}" for i in range(12)]
    cables = [(f"controller:n{i}", f"sw{i % 12}:p{i}") for i in range(60)]
    cables += [(f"sw{i}:up", f"sw{i + 1}:down") for i in range(11)]
    run = run_of([f"n{i}" for i in range(60)], (), devices, cables)
    check_geometry(run)
    picture = check_geometry(replace(run, cables=run.cables[:60]))
    assert picture.width <= 1240
    one = run_of(
        [f"n{i}" for i in range(60)],
        (),
        ["big"],
        [(f"controller:n{i}", f"big:{i}") for i in range(60)],
    )
    assert check_geometry(one).width < 1500


@st.composite
def benches(draw):
    devices = [f"d{i}" for i in range(draw(st.integers(0, 6)))]
    nics = [f"n{i}" for i in range(draw(st.integers(0, 12)))]
    boxes = [
        (f"w{i}", nics[2 * i], nics[2 * i + 1]) for i in range(draw(st.integers(0, len(nics) // 2)))
    ]
    ends = [f"controller:{nic}" for nic in nics] + [f"{d}:{p}" for d in devices for p in range(4)]
    order = draw(st.permutations(ends))
    count = draw(st.integers(0, len(order) // 2))
    return run_of(nics, boxes, devices, [(order[2 * i], order[2 * i + 1]) for i in range(count)])


@given(benches())
@settings(max_examples=150, deadline=None)
def test_any_bench_is_drawn_whole(run):
    graph = read_cabling(run)
    assert sorted(map(str, told_cables(graph))) == sorted(map(str, run.cables))
    check_geometry(run)
    drawing = read_svg(draw_bench(run))
    titles = [element.text for element in drawing.iter("title")]
    for nic in run.nics:
        assert any(title.startswith(f"controller NIC {nic.name}") for title in titles)
    assert draw_bench(run) == draw_bench(run)


def test_a_bad_cable_is_told_by_a_mark_and_in_words():
    drawing = draw_bench(sample_run(failing=True))
    assert "found on sw1:p4" in drawing
    assert 'class="mtu-t c-wrong">!<' in drawing
    assert 'class="mtu-t c-down">✕<' in drawing
