"""The page of ``testbed analyse --html``: time-sequence, round-trip and flight graphs."""

from __future__ import annotations

from testbed.report.tcp.page import render_tcp

__all__ = ["render_tcp"]
