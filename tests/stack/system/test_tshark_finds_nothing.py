"""Wireshark's dissectors and its TCP analysis find no fault with what stacks send."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest
from pair import Pair
from soak import End, is_ip, run_seed

from testbed.link.impair import Chance, Drop, Duplicate, Reorder
from testbed.stack.config import StackConfig
from testbed.stack.sockets import SocketApi
from testbed.timing import milliseconds, seconds

pytestmark = pytest.mark.skipif(
    shutil.which("tshark") is None, reason="tshark is not installed (apt install tshark)"
)

FAULTS = (
    "_ws.malformed or ip.checksum.status == 0 or tcp.checksum.status == 0 or "
    "udp.checksum.status == 0 or icmp.checksum.status == 0 or _ws.expert.severity == error"
)
CHECKS = [
    word
    for name in ("ip.check_checksum", "tcp.check_checksum", "udp.check_checksum")
    for word in ("-o", f"{name}:TRUE")
] + ["-d", "tcp.port==80,data", "-o", "tcp.desegment_tcp_streams:FALSE"]
"""Random bytes on port 80 are no HTTP: it is TCP and below that is looked at."""


def read(file: Path, wanted: str) -> list[str]:
    """The frames that a display filter matches, one line each."""
    done = subprocess.run(
        ["tshark", "-r", str(file), *CHECKS, "-Y", wanted],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return done.stdout.splitlines()


def capture(pair: Pair, tmp_path: Path) -> Path:
    file = tmp_path / "left.pcapng"
    pair.write_pcapng(file, pair.left)
    return file


def transfer(pair: Pair, size: int) -> None:
    here, there = (
        SocketApi(stack, lambda: pair.now, pair.run_until) for stack in (pair.left, pair.right)
    )
    listener = there.stream()
    listener.bind(("", 80))
    listener.listen()
    client = here.stream()
    client.connect(("10.0.0.2", 80))
    server, _ = listener.accept()
    luck = random.Random(1)  # noqa: S311 - repeatable on purpose
    ends = []
    for socket, name in ((client, "left"), (server, "right")):
        end = End(pair, luck, luck.randbytes(size), name)
        end.chunk, end.read_size, end.pause = 5000, 5000, 0
        end.connection = socket.connection
        ends.append(end)
    limit = pair.now + seconds(1000)
    while not all(end.closed for end in ends):
        assert pair.step(limit)
        for end in ends:
            end.pump()
    pair.run(seconds(1))


def test_a_clean_transfer_looks_perfect(tmp_path):
    pair = Pair()
    transfer(pair, 300_000)
    file = capture(pair, tmp_path)
    assert len(read(file, "tcp")) > 300
    assert read(file, f"({FAULTS}) or tcp.analysis.retransmission") == []
    assert read(file, "tcp.analysis.lost_segment or tcp.analysis.ack_lost_segment") == []
    assert read(file, "tcp.analysis.out_of_order or tcp.analysis.zero_window") == []


@pytest.mark.parametrize("timestamps", [True, False])
@pytest.mark.parametrize("sack", [True, False])
def test_a_transfer_under_loss_has_only_retransmissions(tmp_path, timestamps, sack):
    config = StackConfig.of(tcp={"timestamps": timestamps, "sack": sack})
    pair = Pair(config, config, delay=milliseconds(20))
    for number, line in enumerate((pair.to_left, pair.to_right)):
        line.impair.add(Drop(Chance(0.03, number, matching=is_ip)))
        line.impair.add(Reorder(Chance(0.02, number + 5), 3))
        line.impair.add(Duplicate(Chance(0.02, number + 9)))
    transfer(pair, 200_000)
    file = capture(pair, tmp_path)
    assert read(file, FAULTS) == []
    assert read(file, "tcp.analysis.retransmission") != []


@pytest.mark.parametrize("seed", [8, 84, 102, 113, 142])
def test_what_soak_seeds_send_is_well_formed(tmp_path, seed):
    outcome, pair = run_seed(seed, trace=True)
    assert not outcome.fault
    pair.trace = [seen for seen in pair.trace if seen.direction.value == "out"]
    for stack in (pair.left, pair.right):
        file = tmp_path / f"{stack.name}.pcapng"
        pair.write_pcapng(file, stack)
        assert read(file, FAULTS) == []


def test_the_filter_sees_a_wrong_checksum(tmp_path):
    pair = Pair()
    transfer(pair, 1000)
    spoilt = next(index for index, seen in enumerate(pair.trace) if len(seen.frame) > 500)
    seen = pair.trace[spoilt]
    damaged = seen.frame[:-1] + bytes([seen.frame[-1] ^ 1])
    pair.trace[spoilt] = type(seen)(seen.at, pair.left, seen.interface, damaged, seen.direction)
    assert len(read(capture(pair, tmp_path), FAULTS)) == 1
