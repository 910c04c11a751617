import os
import signal
import subprocess
import sys

import pytest

from testbed.bench.lease import Lease
from testbed.errors import LeaseError

HOLDER = """
import sys
from pathlib import Path
from testbed.bench.lease import Lease
with Lease(Path(sys.argv[1]), "rack7"):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(path):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_run_is_told_who_holds_the_bench(tmp_path) -> None:
    path = tmp_path / "lease"
    with holder(path) as first:
        with pytest.raises(LeaseError, match=rf"rack7 is in use by .*process {first.pid}, since"):
            Lease(path, "rack7").acquire()
        first.stdin.close()
    Lease(path, "rack7").acquire()


def test_a_killed_holder_holds_no_more(tmp_path) -> None:
    path = tmp_path / "lease"
    with holder(path) as first:
        os.kill(first.pid, signal.SIGKILL)
    with Lease(path, "rack7"):
        pass


def test_releasing_twice_is_no_error(tmp_path) -> None:
    lease = Lease(tmp_path / "lease", "rack7")
    lease.acquire()
    lease.release()
    lease.release()
