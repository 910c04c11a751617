import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_sample import plan, sample_run
from rich.cells import cell_len
from rich.console import Console

from testbed.report.records import VERDICTS
from testbed.report.terminal import ClosingSummary, PlanEnded, PlanStarted

REPORT = Path("reports/last/report.html")


def shown(*renderables, width=100, encoding="utf-8", **more):
    raw = io.BytesIO()
    console = Console(
        file=io.TextIOWrapper(raw, encoding=encoding, write_through=True), width=width, **more
    )
    console.print(*renderables, sep="\n")
    return raw.getvalue().decode(encoding)


def test_a_plan_is_told_as_it_starts_and_as_it_ends():
    assert shown(PlanStarted("SW-02", "station move", {"dut": "sw1"})) == (
        "▶ SW-02 station move [dut=sw1]\n"
    )
    ended = replace(plan("SW-02", "sw1", 1), duration=420_000_000)
    assert shown(PlanEnded(ended)).replace("\u00a0", " ") == "✔ pass 420 ms SW-02\n"
    assert "1 frame came" in shown(PlanEnded(plan("SW-02", "sw1", 1, "fail")))


def test_the_end_tells_verdicts_troubles_commands_and_the_report():
    text = shown(ClosingSummary(sample_run(failing=True), REPORT), width=140)
    assert "2 failed, 1 could not be judged on virtual" in text
    assert "tshark -r reports/last/artifacts/sw-02-sw1.pcapng -Y 'frame.number == 9' -V" in text
    assert "awaited a prompt of sw2" in text
    assert "testbed bench recover" in text
    assert "report: reports/last/report.html" in text
    assert "All 48 plans passed" in shown(ClosingSummary(sample_run(), REPORT))


@pytest.mark.parametrize("width", [20, 40, 80, 200])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_no_line_is_wider_than_the_terminal(width, encoding):
    run = sample_run(failing=True)
    parts = [ClosingSummary(run, REPORT), *(PlanEnded(item) for item in run.plans)]
    for line in shown(*parts, width=width, encoding=encoding).splitlines():
        assert cell_len(line) <= width


@pytest.mark.parametrize("verdict", VERDICTS)
def test_every_verdict_is_a_word_with_or_without_colour(verdict, monkeypatch):
    item = plan("SW-02", "sw1", 1, verdict)
    assert f" {verdict} " in shown(PlanEnded(item))
    colour = {"force_terminal": True, "color_system": "standard"}
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert re.search("\x1b\\[([12];)?[23]", shown(PlanEnded(item), **colour))
    assert not re.search("\x1b\\[([0-9;]*;)?3", shown(PlanEnded(item), no_color=True, **colour))
    assert "\x1b" not in shown(PlanEnded(item))


@given(
    st.text(max_size=40)
    | st.text(st.sampled_from("\x1b[]0;2J\x07\r\x9b\u202e\udcff[red]/\\"), max_size=30)
)
@settings(max_examples=60, deadline=None)
def test_no_text_of_a_device_acts_on_the_terminal(text):
    item = replace(
        plan("SW-02", "sw1", 1, "fail"),
        nodeid=text,
        title=text,
        behaviour=text,
        family=text,
        reason=text,
        details=text,
        mapping={text: text},
    )
    run = replace(sample_run(), bench=text, plans=(item,), restored=False, restore_notes=(text,))
    for encoding in ("utf-8", "ascii"):
        out = shown(
            PlanStarted(text, text, {text: text}),
            PlanEnded(item),
            ClosingSummary(run, REPORT),
            encoding=encoding,
        )
        assert not set(out) & {"\x1b", "\x07", "\r", "\x9b", "\u202e"}
