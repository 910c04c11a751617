import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_sample import sample_run

from testbed.errors import UsageError
from testbed.report.records import ConsoleRecord, PlanRecord, RunRecord
from testbed.report.serial import from_json, to_json


@pytest.mark.parametrize("run", [sample_run(), sample_run(failing=True)])
def test_a_run_survives_the_file(run):
    assert from_json(to_json(run)) == run


@given(st.text(st.characters()) | st.just("\udcff\ud800"), st.integers(-(2**70), 2**70))
@settings(max_examples=50, deadline=None)
def test_whatever_devices_said_survives_the_file(text, number):
    line = ConsoleRecord(device=text, transport=text, at=number, direction=text, text=text)
    plan = PlanRecord(nodeid=text, verdict="pass", mapping={text: text}, console=(line,))
    run = RunRecord(run_id=text, bench=text, lab="sim", started=number, ended=number, plans=(plan,))
    written = to_json(run)
    assert written.isascii()
    assert from_json(written) == run


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "format is None"),
        ('{"format": "testbed-run/9"}', "expected 'testbed-run/1'"),
        ('{"format": "testbed-run/1"}', "not a run"),
        ('{"format": "testbed-run/1", "run": {"run_id": 3}}', "run_id"),
    ],
)
def test_any_other_file_is_refused_with_the_reason(text, told):
    with pytest.raises(UsageError, match=told):
        from_json(text)


def test_a_verdict_nobody_knows_is_refused():
    document = json.loads(to_json(sample_run()))
    document["run"]["plans"][0]["verdict"] = "maybe"
    with pytest.raises(UsageError, match=r"plans\.0\.verdict"):
        from_json(json.dumps(document))
