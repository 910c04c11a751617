"""The tester itself: its own limit, and its counts held against the kernel's."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from plan_runs import Sandbox, need_root_and, untouched_machine

from testbed.bench.trials import counters
from testbed.bench.trials.limits import AT_LIMIT, Limit
from testbed.bench.trials.selftest import measure_receiver
from testbed.errors import BenchError
from testbed.wire.frame import Direction, Frame


class Port:
    interface = "eth9"


class Tap:
    def __init__(self) -> None:
        self.port = Port()
        self.listeners = []

    def pump(self) -> None: ...

    def subscribe(self, listener):
        self.listeners.append(listener)
        return self

    def close(self) -> None:
        self.listeners.clear()


class Nic:
    role = "b"

    def __init__(self) -> None:
        self.tap = Tap()


@pytest.fixture
def kernel(monkeypatch):
    """What the kernel counts at the NIC: received, sent, missed."""
    counts = [100, 200, 0]
    monkeypatch.setattr(counters, "_read", lambda _: tuple(counts))
    return counts


def hear(nic: Nic, times: int, direction: Direction = Direction.IN) -> None:
    for _ in range(times):
        for listener in nic.tap.listeners:
            listener(Frame(bytes(60), 0, direction))


def test_counts_that_agree_to_the_frame_are_no_matter(kernel) -> None:
    nic = Nic()
    books = counters.Books([nic])
    hear(nic, 3)
    hear(nic, 50, Direction.OUT)
    kernel[:] = [100 + 1000 + 3, 200 + 50, 0]
    assert books.settle({"b": 50}, {"b": 1000}) == ()
    assert nic.tap.listeners == []


@pytest.mark.parametrize("received", [1099, 1101])
def test_one_frame_too_few_or_too_many_is_the_rigs_fault(kernel, received) -> None:
    nic = Nic()
    books = counters.Books([nic])
    kernel[:] = [received, 200, 0]
    with pytest.raises(BenchError, match="b: 1000 test frames and 0 others were counted, the kern"):
        books.settle({}, {"b": 1000})
    assert nic.tap.listeners == []


def test_a_card_that_counts_late_is_waited_for(kernel) -> None:
    nic, waits = Nic(), []

    def pause() -> None:
        waits.append(1)
        kernel[0] = 100 + 50 * len(waits)

    assert counters.Books([nic], pause).settle({}, {"b": 150}) == ()
    assert len(waits) == 3


def test_what_the_kernel_did_not_send_was_not_sent(kernel) -> None:
    books = counters.Books([Nic()])
    kernel[1] += 49
    with pytest.raises(BenchError, match="50 frames were counted as sent, the kernel counted 49"):
        books.settle({"b": 50}, {})


def test_what_the_nic_missed_is_told(kernel) -> None:
    books = counters.Books([Nic()])
    kernel[2] += 7
    assert books.settle({}, {}) == ("b: the NIC itself missed 7 frames",)


@pytest.mark.parametrize(
    ("limit", "pps", "remark"),
    [
        (Limit(1000, None, None, ""), 999.5, "line rate"),
        (Limit(1000, None, None, ""), 900, ""),
        (Limit(1000, 500, None, ""), 490, AT_LIMIT),
        (Limit(1000, 500, 300, ""), 295, AT_LIMIT),
        (Limit(1000, 500, 300, ""), 200, ""),
        (Limit(1000, 5000, 5000, ""), 1000, "line rate"),
        (Limit(None, 500, None, ""), 500, AT_LIMIT),
    ],
)
def test_a_result_at_a_limit_is_marked_so(limit, pps, remark) -> None:
    assert limit.remark(pps) == remark


@pytest.mark.root
def test_the_receiver_is_measured_in_a_namespace_that_goes_with_it() -> None:
    need_root_and("linux_bridge")

    def kept() -> tuple[int, int]:
        return len(list(Path("/proc/self/fd").iterdir())), threading.active_count()

    measure_receiver(64)
    before = kept()
    with untouched_machine():
        found = measure_receiver(1518)
    assert kept() == before
    assert 0 < found.counted <= found.sent


PLAN = """
from testbed import Trials


@STAR
@pytest.mark.performance
def test_limits(trials: Trials) -> None:
    trials.throughput("a", "b")


"""

RESET = """
from testbed import Trials


@STAR
@pytest.mark.performance
def test_outage(trials: Trials) -> None:
    trials.reset("a", "b")
"""


def measured(where: Path, body: str) -> dict:
    """The one benchmark of a plan on a small bench of software, after which nothing is left."""
    sandbox = Sandbox(where)
    options = ("--performance", "--trial-duration=0.2", "--frame-size=64", "--no-prove")
    plan = sandbox.plan("test_software", body)
    with untouched_machine():
        done = sandbox.testbed("run", "--bench=small.yaml", *options, plan)
    assert done.code == 0, done.text
    sandbox.assert_clean()
    (document,) = sandbox.path.glob("reports/*/benchmarks.json")
    (found,) = json.loads(document.read_text())["benchmarks"]
    return found


@pytest.mark.root
def test_a_software_switch_is_measured_beside_the_testers_own_limit(tmp_path: Path) -> None:
    need_root_and("linux_bridge")
    throughput = measured(tmp_path, PLAN)
    (row,) = throughput["rows"]
    assert 0 < row["fps"] <= row["line_fps"]
    assert row["tester_fps"] > 0
    assert "veth pair" in throughput["tester"][0]
    assert "sender: " in throughput["tester"][0]


@pytest.mark.root
def test_a_software_switchs_port_is_out_of_service_for_a_while(tmp_path: Path) -> None:
    need_root_and("linux_bridge")
    reset = measured(tmp_path, RESET)
    (row,) = reset["rows"]
    assert row["seconds"] > 0
    assert row["lost"] > 0
    assert any("switched off and on" in each for each in reset["departures"])
