"""``testbed analyse``: the table, JSON, and files that are no captures."""

import json

from click.testing import CliRunner
from tcp_captures import frame_of, pcap_of, scenes

from testbed.capture import Trace, write_pcapng
from testbed.cli.main import main
from testbed.timing import Instant
from testbed.wire.frame import Frame


def written(tmp_path, data):
    file = tmp_path / "capture.pcap"
    file.write_bytes(data)
    return str(file)


def test_the_table_has_a_row_for_every_connection(tmp_path):
    file = written(tmp_path, pcap_of(scenes().values()))
    result = CliRunner().invoke(main, ["analyse", file])
    assert result.exit_code == 0, result.output
    assert "10.0.0.1:1001 > 10.0.0.2:80" in result.output
    assert "1 timeout" in result.output
    assert f"{len(scenes()) + 1} connections" in result.output
    fewer = CliRunner().invoke(main, ["analyse", file, "--limit", "2"])
    assert f"the 2 longest of {len(scenes()) + 1} connections" in fewer.output


def test_json_tells_everything(tmp_path):
    file = written(tmp_path, pcap_of([scenes()["timeout"]]))
    result = CliRunner().invoke(main, ["analyse", "--json", file])
    told = json.loads(result.output)
    assert (told["packets"], told["segments"]) == (6, 6)
    (connection,) = told["connections"]
    assert connection["retransmissions"] == {"timeout": 1}
    assert connection["flags"] == {"retransmission": 1}
    assert connection["flagged_frames"] == {"retransmission": [5]}
    assert connection["up"]["bytes"] == 100
    (stall,) = connection["stalls"]
    assert (stall["cause"], stall["ended_by_frame"]) == ("network", 5)


def test_a_capture_cut_short_is_told_of_and_analysed(tmp_path):
    data = pcap_of([scenes()["clean"]])
    result = CliRunner().invoke(main, ["analyse", written(tmp_path, data[:-5])])
    assert result.exit_code == 0
    assert "ends within a packet" in result.output
    assert "1 connection" in result.output


def test_what_is_no_capture_is_refused_with_the_offset(tmp_path):
    result = CliRunner().invoke(main, ["analyse", written(tmp_path, b"no capture at all")])
    assert result.exit_code == 2
    assert "byte 0: neither a pcap nor a pcapng file begins here" in result.output
    assert CliRunner().invoke(main, ["analyse", written(tmp_path, b"")]).exit_code == 2


def test_a_capture_without_tcp_has_no_connections(tmp_path):
    result = CliRunner().invoke(main, ["analyse", written(tmp_path, pcap_of([]))])
    assert result.exit_code == 0
    assert "0 connections" in result.output


def test_a_page_is_written_beside_the_table(tmp_path):
    file, page = written(tmp_path, pcap_of([scenes()["fast"]])), tmp_path / "out.html"
    result = CliRunner().invoke(main, ["analyse", file, "--html", str(page)])
    assert result.exit_code == 0, result.output
    assert f"written to {page}" in result.output
    assert "<h1>capture.pcap</h1>" in page.read_text()


def test_what_two_points_saw_of_a_connection_is_told_apart(tmp_path):
    trace = Trace(["near", "far"])
    at = 0
    for segment in scenes()["clean"]:
        at += round(segment.wait * 1e9)
        trace.add("near", (Frame(frame_of(segment), Instant(at)),))
        trace.add("far", (Frame(frame_of(segment), Instant(at + 10)),))
    file = tmp_path / "two.pcapng"
    with file.open("wb") as stream:
        write_pcapng(stream, trace)
    result = CliRunner().invoke(main, ["analyse", "--json", str(file)])
    told = json.loads(result.output)["connections"]
    assert [each["point"] for each in told] == ["near", "far"]
    assert [each["retransmissions"] for each in told] == [{}, {}]
    shown = CliRunner().invoke(main, ["analyse", str(file)])
    assert "10.0.0.2:80 at near" in shown.output
    assert "2 connections" in shown.output
    (journey,) = json.loads(result.output)["journeys"]
    assert journey["points"] == ["near", "far"]
    (up, down) = journey["passages"]
    assert (up["sent"], up["arrived"], up["lost_frames"]) == (4, 4, [])
    assert down["delay"]["least"] == -1e-8
    assert "near > far" in shown.output


def test_several_files_are_points_of_one_path(tmp_path):
    near, far = tmp_path / "near.pcap", tmp_path / "far.pcap"
    near.write_bytes(pcap_of([scenes()["clean"]]))
    far.write_bytes(pcap_of([scenes()["clean"][:-1]]))
    page = tmp_path / "out.html"
    result = CliRunner().invoke(main, ["analyse", str(near), str(far), "--html", str(page)])
    assert result.exit_code == 0, result.output
    assert "10.0.0.2:80 at near.pcap" in result.output
    assert "near.pcap > far.pcap" in result.output
    assert "<h1>near.pcap, far.pcap</h1>" in page.read_text()
    told = CliRunner().invoke(main, ["analyse", "--json", str(near), str(far)])
    assert json.loads(told.output)["files"] == [str(near), str(far)]
