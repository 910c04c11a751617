"""The sim lab runs where there is no Linux and no Unix: nothing of them is used on that path."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from plan_runs import PATIENCE, ROOT, Done

PROGRAM = ROOT / "tests" / "helpers" / "without_unix.py"
SIM = "inventory/sim.yaml"


def run(place: Path, *arguments: str, program: Path = PROGRAM) -> Done:
    done = subprocess.run(
        [sys.executable, str(program), *arguments],
        cwd=ROOT,
        env={**os.environ, "TESTBED_STATE": str(place / "state"), "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return Done(done.returncode, done.stdout + done.stderr)


PLANS = (
    "plans/switching/test_sw01_source_learning.py",
    "plans/routing/test_ip04_forwarding.py",
    "plans/routing/test_ip08_echo.py",
    "plans/udp/test_ud01_datagrams.py",
    "plans/tcp/test_tc20_fast_retransmit.py",
    "plans/services/test_ap08_page.py",
)
"""One of each kind: what they use is what all use."""


def test_plans_run_on_the_sim_lab_without_linux(tmp_path):
    done = run(tmp_path, "run", "--bench", SIM, *PLANS, "--artifacts", str(tmp_path))
    assert done.code == 0, done.text
    assert "passed on sim" in done
    assert list(tmp_path.glob("*/report.html"))
    captures = {path.name.partition("-")[0] for path in tmp_path.glob("*/captures/*.pcapng")}
    assert captures == {Path(plan).stem for plan in PLANS}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--help",), "Exit codes"),
        (("inventory", "check", SIM), "bench sim (sim)"),
        (("plans", "list", "plans/switching"), "SW-01"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_what_leads_to_the_sim_lab_runs_without_linux(arguments, told, tmp_path):
    done = run(tmp_path, *arguments)
    assert done.code == 0, done.text
    assert told in done


def test_the_guard_lets_nothing_pass(tmp_path):
    probe = tmp_path / "probe.py"
    probe.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(PROGRAM.parent)!r})\n"
        "import without_unix\n"
        "without_unix.strip()\n"
        "for name in sorted(without_unix.FOREIGN):\n"
        "    try:\n"
        "        __import__(name)\n"
        "    except ImportError:\n"
        "        continue\n"
        "    sys.exit(f'{name} was imported')\n"
        "for module, names in without_unix.ABSENT.items():\n"
        "    for name in names.split():\n"
        "        assert not hasattr(module, name), (module, name)\n"
        "import testbed.link.afpacket\n"
    )
    done = run(tmp_path, program=probe)
    assert done.code == 1
    assert "fcntl is not on every operating system" in done
