"""The analyser's flags beside tshark's, packet by packet and flag by flag, whatever comes."""

import shutil
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from rough_tcp import WRAPPINGS, rough_capture, wrapped

from testbed.capture.columns import read_columns
from testbed.capture.tcp import Flag, analyse

NAMES = [flag.name.lower() for flag in Flag]

needs_tshark = pytest.mark.skipif(not shutil.which("tshark"), reason="no tshark")


def theirs(file):
    """What tshark tells of each packet that it finds TCP in, by frame number."""
    fields = [word for name in NAMES for word in ("-e", f"tcp.analysis.{name}")]
    command = ["tshark", "-n", "-r", file, "-Y", "tcp", "-T", "fields", "-e", "frame.number"]
    shown = subprocess.run([*command, *fields], capture_output=True, text=True, check=True).stdout
    rows = (line.split("\t") for line in shown.splitlines())
    return {
        int(number): {name for name, value in zip(NAMES, values, strict=True) if value}
        for number, *values in rows
    }


def ours(data):
    analysis = analyse(read_columns(data))
    rows = zip(analysis.segments.row.tolist(), analysis.flags.tolist(), strict=True)
    return {row + 1: set(Flag(flags).names) for row, flags in rows}


@needs_tshark
def test_they_say_the_same_of_connections_that_go_wrong_in_every_way(tmp_path):
    files = []
    for seed in range(8):
        files.append(tmp_path / f"{seed}.pcap")
        files[-1].write_bytes(wrapped("ethernet", rough_capture(seed, 60)))
    seen = Counter()
    with ThreadPoolExecutor(2) as pool:
        for file, told in zip(files, pool.map(theirs, files), strict=True):
            mine = ours(file.read_bytes())
            assert mine == told
            seen.update(name for found in mine.values() for name in found)
    assert seen.keys() == set(NAMES)
    assert min(seen.values()) >= 5, seen


@needs_tshark
def test_they_find_the_same_segments_in_every_wrapping(tmp_path):
    capture = rough_capture(99, 12)
    # Over Frame Relay tshark forgets what options said: see testbed.capture.tcp.flags.
    files = {name: tmp_path / f"{name}.pcap" for name in WRAPPINGS if name != "frame relay"}
    for name, file in files.items():
        file.write_bytes(wrapped(name, capture))
    with ThreadPoolExecutor(2) as pool:
        told = dict(zip(files, pool.map(theirs, files.values()), strict=True))
    for name, file in files.items():
        mine = ours(file.read_bytes())
        assert len(mine) == len(capture), name
        assert mine == told[name], name


def test_every_wrapping_has_the_same_segments():
    capture = rough_capture(7, 5)
    plain = analyse(read_columns(wrapped("ethernet", capture)))
    for name in WRAPPINGS:
        analysis = analyse(read_columns(wrapped(name, capture)))
        assert np.array_equal(analysis.flags, plain.flags), name
        assert np.array_equal(analysis.segments.length, plain.segments.length), name
