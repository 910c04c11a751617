"""A real browser reads the page: nothing hostile runs, the scripts of the page do."""

import shutil
import subprocess

import pytest
from test_report_html import HOSTILE, hostile_run

from testbed.report.render import render

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--dump-dom",
)


@pytest.mark.skipif(BROWSER is None, reason="chromium is not installed: apt install chromium")
def test_a_browser_runs_the_pages_scripts_and_no_others(tmp_path):
    page = tmp_path / "report.html"
    page.write_text(render(hostile_run("".join(HOSTILE))), encoding="utf-8")
    command = [
        BROWSER,
        *OPTIONS,
        f"--user-data-dir={tmp_path / 'profile'}",
        f"{page.as_uri()}?theme=dark",
    ]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert 'data-theme="dark"' in found[:300]
    assert 'class="js"' in found[:300]
    assert "data-owned" not in found[:300]
    assert (
        'id="theme" type="button" class="js-only" aria-label="Dark mode" aria-pressed="true"'
        in found
    )
