"""The page of a TCP analysis: what it holds, and that a browser draws it and runs nothing else."""

import html
import json
import re
import shutil
import subprocess

import pytest
from tcp_captures import pcap_of, scenes

from testbed.capture.columns import read_columns
from testbed.capture.tcp import analyse
from testbed.report.tcp import render_tcp

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
NAME = '<script>document.title="owned"</script>.pcap'


def page_of(names):
    analysis = analyse(read_columns(pcap_of([scenes()[name] for name in names])))
    return render_tcp(NAME, [("", connection) for connection in analysis], len(analysis))


def data_of(page):
    (found,) = re.findall(
        r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL
    )
    return json.loads(found)


def test_the_data_of_the_graphs_are_in_the_page():
    data = data_of(page_of(["fast", "closed window"]))
    fast, closed = data["connections"]
    assert fast["name"] == "10.0.0.1:1000 > 10.0.0.2:80"
    up = fast["ways"][0]
    assert up["b"] == [1, 101, 201, 301, 401, 501, 101]
    assert [data["kinds"][kind] for kind in up["k"]] == ["new"] * 6 + ["fast"]
    assert up["sack"][0][1:] == [101, 201]
    assert up["ack"] == [1, 1, 1, 1, 1, 501]
    assert up["edge"][1] - up["ack"][1] == 1000
    assert "probe" in {data["kinds"][kind] for kind in closed["ways"][0]["k"]}
    assert closed["stalls"][0][2] == "receiver"
    assert len(up["ct"]) == len(up["cw"]) == len(up["cl"]) > 0


def test_the_page_asks_for_nothing_from_outside():
    page = page_of(["clean"])
    assert "default-src 'none'" in html.unescape(page)
    assert not re.search(r"(src|href)=", page)
    assert "http" not in page.replace("http-equiv", "")
    assert "<script>document.title" not in page


@pytest.mark.skipif(BROWSER is None, reason="chromium is not installed: apt install chromium")
def test_a_browser_draws_the_graphs_and_runs_no_text_of_the_capture(tmp_path):
    page = tmp_path / "tcp.html"
    page.write_text(page_of(["timeout", "fast"]), encoding="utf-8")
    command = [BROWSER, *OPTIONS, f"--user-data-dir={tmp_path / 'profile'}", page.as_uri()]
    found = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    assert "<title>TCP · &lt;script&gt;" in found
    assert "sent again: 1 timeout" in found
    assert "network: what was lost was sent again" in found
    assert re.search(r'<canvas id="sequence"[^>]* width="\d{3,4}"', found)
