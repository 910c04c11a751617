"""What the README shows of captures as columns runs, and says what is there."""

import re
import struct
from pathlib import Path

import pytest
from tcp_captures import down, opened, pcap_of, up

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture
def example():
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    (found,) = [block for block in blocks if "read_columns(" in block]
    return found


def query(number):
    datagram = struct.pack(">HHHH", 5000 + number, 53, 9, 0) + b"?"
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(datagram), 0, 0, 64, 17, 0)
    ends = bytes.fromhex("0a0000030a000004")
    return bytes.fromhex("0200000000020200000000010800") + head + ends + datagram


def test_the_example_runs_and_tells_what_the_capture_holds(example, tmp_path, monkeypatch, capsys):
    data = pcap_of([[*opened(), up(1001), down(1101), up(1101), up(1101, wait=1.0), down(1201)]])
    for number in range(3):
        frame = query(number)
        stamp = (1_700_000_100, number * 5_000_000)
        data += struct.pack("<IIII", *stamp, len(frame), len(frame)) + frame
    (tmp_path / "capture.pcapng").write_bytes(data)
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "README.md", "exec"), {})  # noqa: S102 - it is ours
    shown = capsys.readouterr().out
    assert "ms between DNS queries: [5. 5.]" in shown
    assert "10.0.0.1 6 8" in shown
    assert "frames sent again: (7,)" in shown
    assert "10.0.0.1:1000 > 10.0.0.2:80 whole open {'retransmission': 1}" in shown
