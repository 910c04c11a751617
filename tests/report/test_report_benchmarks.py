"""Results of benchmarks: the table, the page with its graphs, and JSON by its schema."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from importlib.resources import files

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_page import Page, read_svg
from rich.console import Console

from testbed.report import (
    BenchmarkColumn,
    BenchmarkRecord,
    BenchmarkTable,
    ChartRecord,
    PlanEnded,
    PlanRecord,
    RunRecord,
    SeriesRecord,
    benchmarks_json,
    from_json,
    render,
    to_json,
)
from testbed.report.benchmarks import draw_chart, shown
from testbed.report.benchmarks.drawing import ticks
from testbed.report.benchmarks_json import schema

CHART = ChartRecord(
    title="Throughput against frame size",
    x="bytes of a frame",
    y="frames/s",
    series=(
        SeriesRecord(name="throughput", points=((64, 1.4e6), (1518, 8e4))),
        SeriesRecord(name="line rate", points=((64, 1.488e6), (1518, 8.1e4)), bound=True),
        SeriesRecord(name="far away", points=((64, 1e9),), bound=True),
    ),
    doubling=True,
)
BARS = ChartRecord(
    title="Latency <script>",
    x="µs",
    y="frames",
    series=(SeriesRecord(name="64 bytes", points=((2.0, 7.0), (4.0, 100.0), (1000.0, 1.0))),),
    kind="bars",
    doubling=True,
)
RESULT = BenchmarkRecord(
    name="Throughput",
    clause="RFC 2544 26.1",
    device="sw<1>",
    columns=(
        BenchmarkColumn(key="bytes", title="frame", unit="bytes"),
        BenchmarkColumn(key="fps", title="throughput", unit="frames/s"),
        BenchmarkColumn(key="share", title="of line", unit="%"),
        BenchmarkColumn(key="tester_fps", title="tester", unit="frames/s"),
        BenchmarkColumn(key="remark", title="remark"),
    ),
    rows=((64, 1_400_000, 94.09, None, ""), (1518, 80_000, 98.43, None, "line rate")),
    departures=("trials of 1 s, where RFC 2544 24 asks for 60 s",),
    tester=("sender: sendmmsg",),
    remarks=("at the tester's limit: the device may do more",),
    charts=(CHART, BARS),
)
PLAN = PlanRecord(
    nodeid="plans/p.py::t", verdict="pass", behaviour="BM-01", duration=5, benchmarks=(RESULT,)
)
RUN = RunRecord(run_id="r", bench="b", lab="sim", started=0, ended=1, plans=(PLAN,))


def printed(what, *, width=100) -> str:
    console = Console(width=width, color_system=None, force_terminal=False, record=True)
    with console.capture() as captured:
        console.print(what)
    return captured.get()


def test_a_run_with_benchmarks_comes_back_from_json() -> None:
    assert from_json(to_json(RUN)) == RUN


def test_a_run_from_before_there_were_benchmarks_is_still_read() -> None:
    document = json.loads(to_json(RUN))
    del document["run"]["plans"][0]["benchmarks"]
    assert from_json(json.dumps(document)).plans == (replace(PLAN, benchmarks=()),)


def test_programs_get_rows_by_their_keys_and_a_schema_that_holds() -> None:
    document = json.loads(benchmarks_json(RUN))
    jsonschema.validate(document, schema())
    (result,) = document["benchmarks"]
    assert result["rows"][0] == {
        "bytes": 64, "fps": 1_400_000, "share": 94.09, "tester_fps": None, "remark": "",
    }  # fmt: skip
    assert result["units"]["fps"] == "frames/s"
    assert result["behaviour"] == "BM-01"


def test_the_schema_refuses_what_is_not_in_it() -> None:
    document = json.loads(benchmarks_json(RUN))
    document["benchmarks"][0]["opinion"] = "fast"
    with pytest.raises(jsonschema.ValidationError, match="opinion"):
        jsonschema.validate(document, schema())
    jsonschema.Draft202012Validator.check_schema(schema())
    assert (files("testbed.report") / "benchmarks.schema.json").is_file()


def test_the_terminal_shows_the_table_below_its_plan() -> None:
    text = printed(PlanEnded(PLAN))
    lines = text.splitlines()
    assert "pass" in lines[0]
    assert any("Throughput of sw<1> (RFC 2544 26.1)" in line for line in lines)
    assert any(line.split() == ["64", "1,400,000", "94.09"] for line in lines)
    assert any(line.split() == ["1,518", "80,000", "98.43"] for line in lines)
    assert "line rate: 1,518 bytes" in text
    assert "not as the RFC has it: trials of 1 s" in text
    assert "tester: sender: sendmmsg" in text


def test_a_column_without_values_takes_no_room() -> None:
    head = printed(BenchmarkTable(RESULT))
    assert "tester\n" not in head
    assert "throughput" in head


@pytest.mark.parametrize("width", [40, 60, 200])
def test_no_line_is_longer_than_the_terminal(width) -> None:
    text = printed(BenchmarkTable(RESULT), width=width)
    assert max(map(len, text.splitlines())) <= width


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, "-"), ("x", "x"), (0, "0"), (14_880_952, "14,880,952"), (1234.5, "1,234"),
        (0.004941, "0.004941"), (99.996, "100"), (94.09, "94.09"), (200.0, "200"),
    ],
)  # fmt: skip
def test_values_are_shown_as_people_read_them(cell, text) -> None:
    assert shown(cell) == text


def test_the_page_has_tables_terms_and_graphs_and_trusts_no_name() -> None:
    page = Page(render(RUN))
    assert page.faults == []
    assert page.handlers == []
    text = " ".join(page.text)
    for words in ("sw<1>", "1,400,000", "line rate", "trials of 1 s", "Latency <script>"):
        assert words in text
    charts = [attrs for tag, attrs in page.tags if tag == "svg" and attrs.get("class") == "chart"]
    assert [attrs["aria-label"] for attrs in charts] == [CHART.title, BARS.title]


def test_a_graph_is_well_formed_and_shows_what_was_measured() -> None:
    svg = read_svg(draw_chart(CHART))
    titles = [each.text for each in svg.iter("title")]
    assert "throughput: 1,400,000 (frames/s) at 64" in titles
    assert any(title.startswith("line rate: 1,488,000") for title in titles)
    legend = [each.text for each in svg.iter("text")]
    assert "line rate" in legend
    assert "far away" not in legend, "a limit far above all else would flatten the graph"


def test_a_histogram_has_a_bar_for_each_class() -> None:
    svg = read_svg(draw_chart(BARS))
    bars = list(svg.iter("rect"))
    assert len(bars) == 3
    heights = [float(bar.get("height")) for bar in bars]
    assert heights[1] == max(heights)
    assert heights[2] > 0


def test_nothing_to_draw_draws_nothing() -> None:
    assert draw_chart(replace(CHART, series=())) == ""
    empty = SeriesRecord(name="x", points=((math.nan, 1.0), (1.0, math.inf)))
    assert draw_chart(replace(CHART, series=(empty,))) == ""


POINTS = st.lists(
    st.tuples(st.floats(1e-3, 1e10), st.floats(0, 1e12)), min_size=1, max_size=30
).map(tuple)


@given(POINTS, st.sampled_from(["line", "bars"]), st.booleans())
def test_whatever_is_measured_lies_within_the_graph(points, kind, doubling) -> None:
    series = (SeriesRecord(name="x", points=points),)
    svg = read_svg(draw_chart(replace(CHART, series=series, kind=kind, doubling=doubling)))
    for mark in svg.iter("circle"):
        assert 0 <= float(mark.get("cx")) <= 560
        assert 0 <= float(mark.get("cy")) <= 300
    for bar in svg.iter("rect"):
        assert 0 <= float(bar.get("y")) <= 300
        assert 0 <= float(bar.get("height")) <= 300


@given(st.floats(-1e6, 0), st.floats(1e-6, 1e12))
def test_ticks_are_few_and_go_around_all(low, high) -> None:
    marks = ticks(low, high)
    assert marks[0] <= low + 1e-9 * (high - low)
    assert marks[-1] >= high - 1e-9 * (high - low)
    assert len(marks) <= 12
    assert list(marks) == sorted(set(marks))
