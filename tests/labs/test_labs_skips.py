"""In CI a test is skipped for a known reason, or the session fails."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

CONFTEST = Path(__file__).parents[1] / "conftest.py"


def session(tmp_path: Path, reason: str, *options: str) -> subprocess.CompletedProcess[str]:
    shutil.copy(CONFTEST, tmp_path)
    (tmp_path / "test_one.py").write_text(
        f"import pytest\ndef test_one():\n    pytest.skip({reason!r})\ndef test_two():\n    pass\n"
    )
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:testbed",
            "-p",
            "no:cacheprovider",
            *options,
            str(tmp_path),
        ],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_unknown_reason_fails_the_session(tmp_path):
    done = session(tmp_path, "no mood", "--known-skips-only")
    assert done.returncode == 1
    assert "test_one.py::test_one: no mood" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("1 passed, 1 skipped")


def test_known_reason_passes(tmp_path):
    done = session(tmp_path, "this kernel has no vlan_filtering", "--known-skips-only")
    assert done.returncode == 0


def test_without_the_option_any_reason_passes(tmp_path):
    assert session(tmp_path, "no mood").returncode == 0
