from dataclasses import replace

from report_page import read_svg
from report_sample import plan

from testbed.report.ladder import draw_ladder
from testbed.report.records import (
    ColumnRecord,
    LadderRecord,
    LadderRowRecord,
    NoteRecord,
    PlanRecord,
)

COLUMNS = (ColumnRecord(key="a"), ColumnRecord(key="b"))


def story(*rows, **more):
    return PlanRecord(
        nodeid="n",
        verdict="pass",
        started=1_000,
        ladder=LadderRecord(columns=COLUMNS, rows=rows),
        **more,
    )


def lines(drawing):
    return ["".join(text.itertext()) for text in read_svg(drawing.body).iter("text")]


def row(at, number, **more):
    given = {"source": "a", "target": "b", "label": f"frame {number}", **more}
    return LadderRowRecord(time_ns=1_000 + at, number=number, **given)


def test_rows_are_told_in_order_of_time_with_offsets_from_the_plans_start():
    item = story(row(5_000_000, 1), row(5_020_000, 2), notes=(NoteRecord(at=1_000, text="hello"),))
    told = lines(draw_ladder(item, 1, 100))
    assert "hello" in told[1]
    assert told[2].split() == ["#1", "+0.005000", "5", "ms"]
    assert told[4].split() == ["#2", "+0.005020", "20", "µs"]


def test_what_a_stack_did_is_told_apart_from_remarks_and_from_what_it_sent_again():
    kinds = ("note", "stack", "resent")
    notes = tuple(NoteRecord(at=1_000, text=f"a {kind}", kind=kind) for kind in kinds)
    body = draw_ladder(story(row(1, 1), notes=notes), 1, 100).body
    for kind, mark in zip(kinds, "✎●↻", strict=True):
        assert f'<g class="e {kind}">' in body
        assert f"{mark} a {kind}<" in body


def test_direction_is_the_arrows():
    there = draw_ladder(story(row(1, 1)), 1, 9).body
    back = draw_ladder(story(row(1, 1, source="b", target="a")), 1, 9).body
    assert "m-7-4l7 4-7 4" in there
    assert "m7-4l-7 4 7 4" in back
    for stub in ({"target": ""}, {"source": ""}, {"target": "a"}, {"target": "nowhere"}):
        assert "m-7-4l7 4-7 4" in draw_ladder(story(row(1, 1, **stub)), 1, 9).body
    assert 'class="a' not in draw_ladder(story(row(1, 1, source="", target="")), 1, 9).body


def test_a_long_silence_and_a_run_are_said():
    item = story(row(0, 1), row(4_000_000_000, 2, kind="run", count=1234, until=4_000_501_000))
    told = lines(draw_ladder(item, 1, 100))
    assert "⋮ 4\u00a0s later" in told
    assert "1,234\N{MULTIPLICATION SIGN} frame 2 in 500\u00a0µs" in told


def test_a_cap_keeps_what_decided_and_says_what_it_left_out():
    rows = [row(i * 1_000, i + 1, highlight=i == 900) for i in range(1_000)]
    drawing = draw_ladder(story(*rows), 7, 60)
    told = lines(drawing)
    assert drawing.drawn <= 61
    assert drawing.hidden == 1_000 - drawing.drawn
    assert "frame 901" in told
    assert 'id="p7f901"' in drawing.body
    assert any(line.startswith("⋯ ") and line.endswith("rows not drawn") for line in told)


def test_a_frame_that_failed_an_expectation_is_marked_bad_even_if_another_was_met_by_it():
    item = plan("SW-02", "sw1", 1, "fail")
    met = replace(item.judgements[0], frames=(9,))
    drawing = draw_ladder(replace(item, judgements=(*item.judgements, met)), 1, 100)
    assert '<g class="bad" id="p1f9">' in drawing.body


def test_nothing_to_draw():
    assert draw_ladder(story(), 1, 10) is None


def test_no_columns_is_no_error():
    item = replace(story(), ladder=LadderRecord(rows=(row(1, 1),)))
    assert "frame 1" in lines(draw_ladder(item, 1, 10))
