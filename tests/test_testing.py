from pathlib import Path

import pytest

from testbed import EthFrame, MacAddr, PlanError, match
from testbed.errors import CaptureError, ExpectationFailed
from testbed.testing import load_trace, trace_of

LOSSY = Path(__file__).parent / "capture" / "data" / "lossy-transfer.pcapng"
HELLO = EthFrame(MacAddr.BROADCAST, MacAddr("02:00:00:00:00:01"))


def test_a_made_trace_is_proven() -> None:
    trace = trace_of(**{"a--dut": [HELLO, HELLO], "b--dut": []})
    trace.at("a--dut").expect_count(match.eth(dst=MacAddr.BROADCAST), 2)
    trace.at("b--dut").expect_none(match.any())
    with pytest.raises(ExpectationFailed):
        trace.at("b--dut").expect(match.any())


def test_a_capture_of_a_report_can_be_asked_again() -> None:
    trace = load_trace(LOSSY)
    point = trace.points[0].name
    assert trace.at(point).both.all(match.tcp(flags="SYN"))
    with pytest.raises(CaptureError):
        trace.at(point).both.expect_none(match.udp())


def test_a_file_that_is_no_capture_is_named(tmp_path) -> None:
    path = tmp_path / "x.pcapng"
    path.write_bytes(b"hello")
    with pytest.raises(PlanError, match=r"x\.pcapng"):
        load_trace(path)
