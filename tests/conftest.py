"""For the whole test suite: in CI, a test may be skipped only for a reason that is known here."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

ALLOWED_SKIPS = (
    # Optional features of the kernel, which the tests ask for and CI's machines may lack.
    r"this kernel (has no|lacks) .+",
    # Only root can make a directory below /root fit for other users, and tests do not.
    r"this machine keeps its Python, or this checkout, from other users",
)
"""Reasons for which a test may be skipped even in CI, as regular expressions."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--known-skips-only",
        action="store_true",
        default=os.environ.get("CI") == "true",
        help="fail when a test is skipped for a reason that tests/conftest.py does not list "
        "(the default where CI=true)",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--known-skips-only"):
        config.pluginmanager.register(SkipGuard(), "skip-guard")


class SkipGuard:
    """Turns skips for unknown reasons into a failed session."""

    def __init__(self) -> None:
        self.unexpected: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.unexpected and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.unexpected:
            terminalreporter.section("skipped for unknown reasons: failed", red=True)
            for line in self.unexpected:
                terminalreporter.line(line)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        longrepr = report.longrepr
        reason = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
        reason = reason.removeprefix("Skipped: ")
        if not any(re.fullmatch(allowed, reason) for allowed in ALLOWED_SKIPS):
            self.unexpected.append(f"{report.nodeid or Path.cwd()}: {reason}")
