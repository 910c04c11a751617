import json
import multiprocessing
from dataclasses import replace

import pytest
from report_sample import sample_run

from testbed.report.history import append, history_path, load


def test_past_verdicts_come_back_oldest_first_and_only_the_last_ones(tmp_path):
    run = sample_run()
    for i in range(20):
        append(tmp_path, replace(run, run_id=f"r{i}", started=i))
    append(tmp_path, replace(sample_run(failing=True), run_id="bad", started=99))
    history = load(tmp_path, "virtual", last=4)
    seen = history.past["plans/switching/test_sw_02.py::test_sw_02[sw1]"]
    assert [(past.run_id, past.verdict) for past in seen] == [
        ("r17", "pass"),
        ("r18", "pass"),
        ("r19", "pass"),
        ("bad", "fail"),
    ]
    assert history.notes == ()


def test_a_bench_without_a_past(tmp_path):
    assert load(tmp_path / "none", "virtual").past == {}


@pytest.mark.parametrize(
    "junk",
    [
        b"{",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"run": "r", "plan": "p", "verdict": "maybe", "at": 1, "duration": 1}',
        b'{"run": "r", "plan": ["p"], "verdict": "pass", "at": 1, "duration": 1}',
        b"[" * 10_000,
    ],
)
def test_a_corrupt_line_is_skipped_with_a_note(tmp_path, junk):
    run = sample_run()
    path = append(tmp_path, run)
    path.write_bytes(path.read_bytes() + junk + b"\n")
    append(tmp_path, run)
    history = load(tmp_path, "virtual")
    assert all(len(seen) == 2 for seen in history.past.values())
    assert history.notes == (f"{path}: 1 corrupt line(s) skipped",)


def test_a_torn_line_does_not_swallow_the_next_run(tmp_path):
    run = sample_run()
    path = append(tmp_path, run)
    path.write_bytes(path.read_bytes()[:-7])
    append(tmp_path, run)
    history = load(tmp_path, "virtual")
    assert len(history.notes) == 1
    assert sorted(map(len, history.past.values())) == [1] + [2] * (len(run.plans) - 1)


def _append_many(directory, name):
    run = sample_run()
    for i in range(10):
        append(directory, replace(run, run_id=f"{name}-{i}"))


def test_runs_that_end_together_tear_no_lines(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=_append_many, args=(tmp_path, f"w{i}")) for i in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    # Another's write that is under way looks torn: that costs a blank line, which readers skip.
    lines = [line for line in history_path(tmp_path, "virtual").read_bytes().splitlines() if line]
    assert len(lines) == 30 * len(sample_run().plans)
    assert all(json.loads(line)["verdict"] == "pass" for line in lines)


def test_a_benchs_name_cannot_leave_the_directory(tmp_path):
    names = ["../../etc/passwd", "", "a/b", "a b", "x" * 500, "\udcff", "rack7", "Rack7"]
    paths = {history_path(tmp_path, name) for name in names}
    assert len(paths) == len(names)
    assert all(path.parent == tmp_path and len(path.name) < 100 for path in paths)


def test_a_history_that_cannot_be_read_is_a_note(tmp_path):
    history_path(tmp_path, "virtual").mkdir(parents=True)
    assert "history not read" in load(tmp_path, "virtual").notes[0]
