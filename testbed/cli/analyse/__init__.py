"""``testbed analyse``: what became of the TCP connections of a capture."""

from __future__ import annotations

from testbed.cli.analyse.command import analyse

__all__ = ["analyse"]
