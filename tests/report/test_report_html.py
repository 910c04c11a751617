import base64
import hashlib
import re
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from report_page import Page
from report_sample import plan, sample_history, sample_run

from testbed.report.history import History, PastVerdict
from testbed.report.records import (
    VERDICTS,
    ArtifactRecord,
    ConsoleRecord,
    JudgementRecord,
    LadderRecord,
    PlanRecord,
    RunRecord,
)
from testbed.report.render import render

HOSTILE = [
    "</script><script>document.documentElement.dataset.owned=1</script>",
    "<img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "'><svg onload=alert(1)>",
    "javascript:alert(1)",
    "{{ 7*7 }}{% raw %}",
    "--><!--",
    "]]>",
    "\x1b]0;owned\x07\x1b[2J",
    "\u202egpj.exe\u2066",
    "\x00\x08\x7f\x9b31m",
    "\udcff\udc80",
    "&lt;b&gt; &#60;",
    "</textarea></style></title>",
    "https://evil.example/x.js",
]


def check(html):
    page = Page(html)
    assert not page.faults
    assert not page.handlers
    assert len(page.ids) == len(set(page.ids))
    for address in page.addresses:
        assert address.startswith(("#", "./")), address
        assert not address.startswith(".//"), address
    local = {f"#{identity}" for identity in page.ids}
    assert {address for address in page.addresses if address.startswith("#")} <= local
    assert [tag for tag, _ in page.tags].count("script") == 2
    assert not {"img", "iframe", "object", "embed", "link", "base", "form"} & {
        t for t, _ in page.tags
    }
    return page


@pytest.mark.parametrize("run", [sample_run(), sample_run(failing=True), sample_run(drills=True)])
def test_page_is_whole_self_contained_and_names_every_plan(run):
    page = check(render(run, sample_history(run)))
    assert all(item.title in page.words for item in run.plans)
    assert page.classes("details").count({"plan", "t-pass"}) == sum(
        item.verdict == "pass" for item in run.plans
    )
    cells = [names for names in page.classes("a") if "cell" in names]
    assert len(cells) == len(run.plans)
    assert {f"plan-{index}" for index in range(1, len(run.plans) + 1)} <= set(page.ids)


def test_only_troubles_are_open_and_lead_the_page():
    page = check(render(sample_run(failing=True)))
    opened = [set(a["class"].split()) for tag, a in page.tags if tag == "details" and "open" in a]
    plans = [names for names in opened if "plan" in names]
    assert len(plans) == 3
    assert all("trouble" in names for names in plans)
    assert page.words.index("Needs attention") < page.words.index("Verdicts")


def test_failed_expectation_shows_its_differences_and_leads_to_the_frame():
    page = check(render(sample_run(failing=True)))
    assert "wanted 02:57:a7:00:00:02 , got 02:57:a7:00:00:01" in page.words
    assert "#p3f9" in page.addresses
    assert "p3f9" in page.ids
    assert "tshark -r artifacts/sw-02-sw1.pcapng -Y 'frame.number == 9' -V" in page.words
    assert "wireshark -r artifacts/sw-02-sw1.pcapng -g 9" in page.words


def test_the_clock_of_the_frames_is_named_below_them():
    page = render(sample_run(failing=True))
    assert "Time stamps by CLOCK_REALTIME: the kernel&#39;s software stamp" in page


def test_every_verdict_has_a_shape_of_its_own():
    plans = tuple(plan("SW-02", "sw1", i, verdict) for i, verdict in enumerate(VERDICTS))
    page = check(render(replace(sample_run(), plans=plans)))
    for verdict in VERDICTS:
        assert f"#i-{verdict}" in page.addresses
        assert any(f"v-{verdict}" in names for names in page.classes("a"))


def test_policy_allows_the_two_scripts_of_the_page_and_nothing_else():
    html = render(sample_run())
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', html)[1]
    assert "default-src &#39;none&#39;" in policy
    for script in re.findall(r"<script>(.*?)</script>", html, re.DOTALL):
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"sha256-{digest}" in policy.replace("&#43;", "+")


def test_text_for_readers_who_see_no_picture():
    page = check(render(sample_run(failing=True), sample_history(sample_run(failing=True))))
    images = [attrs for tag, attrs in page.tags if tag == "svg"]
    assert all("aria-hidden" in attrs or attrs.get("aria-label") for attrs in images)
    headings = [tag for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert headings.count("h1") == 1
    buttons = [attrs for tag, attrs in page.tags if tag == "button"]
    assert buttons
    assert "last 10 runs, newest last" in str(page.tags)


@pytest.mark.parametrize("verdict", VERDICTS)
def test_a_plan_that_was_only_ever_skipped_has_a_past_all_the_same(verdict):
    past = History(past={"p": (PastVerdict(run_id="old", verdict="skip", at=0),)})
    plans = (PlanRecord(nodeid="p", verdict=verdict),)
    run = RunRecord(run_id="new", bench="b", lab="sim", started=0, ended=1, plans=plans)
    assert "newest last: skip" in render(run, past)


def test_history_tells_regressions_from_flaky_plans():
    run = sample_run(failing=True)
    words = Page(render(run, sample_history(run))).words
    assert "regression" in words
    assert "flaky" in words
    assert "fixed" in words


def test_history_of_this_very_run_is_not_counted_twice():
    run = sample_run()
    history = sample_history(run)
    past = {
        key: tuple(replace(v, run_id=run.run_id) for v in seen)
        for key, seen in history.past.items()
    }
    assert "newest last" not in render(run, replace(history, past=past))


def test_a_run_without_anything_is_still_a_page():
    empty = RunRecord(run_id="", bench="", lab="", started=0, ended=0)
    assert "No plan ran" in check(render(empty)).words
    absurd = replace(empty, started=10**30, ended=-(10**30))
    check(render(absurd))


def hostile_run(text):
    base = plan(
        "SW-02",
        "sw1",
        1,
        "fail",
    )
    row = base.ladder.rows[0]
    nasty = replace(
        base,
        nodeid=text,
        title=text,
        oracle=text,
        behaviour=text,
        family=text,
        clause=text,
        topology=text,
        mapping={text: text},
        drill=text,
        reason=text,
        details=f"{text}\n#9 wanted {text}, got {text}; {text}",
        judgements=(
            JudgementRecord(text=text, point=text, verdict=text, details=text, source=text),
        ),
        ladder=LadderRecord(
            columns=(replace(base.ladder.columns[0], key=text, title=text, subtitle=text),),
            rows=(replace(row, source=text, label=text, note=text, kind=text, highlight=True),),
        ),
        console=(ConsoleRecord(device=text, transport=text, at=1, direction=text, text=text),),
        changes=tuple(replace(c, device=text, summary=text, undo=(text,)) for c in base.changes),
        notes=tuple(replace(note, text=text) for note in base.notes),
        artifacts=(ArtifactRecord(path=text, frame=1, command=text, description=text),),
    )
    run = sample_run()
    return replace(
        run,
        run_id=text,
        bench=text,
        lab=text,
        command=text,
        version=text,
        python=text,
        platform=text,
        nics=tuple(replace(nic, interface=text, mac=text, state=text) for nic in run.nics),
        boxes=tuple(replace(box, name=text) for box in run.boxes),
        devices=tuple(replace(device, platform=text, kind=text) for device in run.devices),
        cables=tuple(replace(cable, note=text) for cable in run.cables),
        plans=(nasty, nasty),
        environment=((text, text),),
        restored=False,
        restore_notes=(text,),
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text):
    html = render(hostile_run(text))
    check(html)
    html.encode("utf-8")  # nothing undecodable is left in the page
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", html)


@given(
    st.text(max_size=60)
    | st.text(st.sampled_from("<>&\"'/{}%#;,\n\r\t\x1b\u202e\udcff=-]! "), max_size=40)
)
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_any_text_stays_text(text):
    html = render(hostile_run(text))
    check(html)
    html.encode("utf-8")


def test_an_address_is_a_path_below_the_report():
    paths = [
        "//evil.example/x",
        "https://evil.example",
        "javascript:x",
        "a b/ü.pcapng",
        "/etc/passwd",
    ]
    item = replace(plan("SW-02", "sw1", 1), artifacts=tuple(ArtifactRecord(path=p) for p in paths))
    page = check(render(replace(sample_run(), plans=(item,))))
    assert "./a%20b/%C3%BC.pcapng" in page.addresses


def big_plan(index, verdict):
    item = plan("SW-02", "sw1", index, verdict)
    row = item.ladder.rows[3]
    rows = tuple(
        replace(row, time_ns=item.started + i * 1000, number=i, highlight=i == 290)
        for i in range(300)
    )
    log = ConsoleRecord(
        device="sw1", transport="ssh", at=item.started, direction="received", text="é<&" * 40 + "\n"
    )
    return replace(
        item,
        ladder=replace(item.ladder, rows=rows),
        console=(log,) * 400,
        notes=item.notes * 200,
        changes=item.changes * 200,
        judgements=item.judgements * 100,
    )


def test_a_large_run_stays_small_and_says_what_is_left_out():
    plans = tuple(big_plan(i, "fail" if i % 40 == 0 else "pass") for i in range(200))
    html = render(replace(sample_run(), plans=plans))
    assert len(html.encode()) < 15_000_000
    page = check(html)
    assert "rows are not drawn here; the pcapng below has every frame" in page.words
    assert "entries left out here" in page.words
    assert "Left out of this page" in page.words
    assert "p2f290" in page.ids  # what decided is drawn, however late it came


def test_a_plan_of_hostile_size_is_cut():
    item = big_plan(1, "fail")
    rows = item.ladder.rows[:1] * 50_000
    huge = PlanRecord(
        nodeid="x" * 100_000,
        verdict="fail",
        reason="y" * 1_000_000,
        details="z\n" * 1_000_000,
        ladder=replace(item.ladder, rows=rows),
    )
    assert len(render(replace(sample_run(), plans=(huge,)))) < 1_000_000
