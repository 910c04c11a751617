"""The report: one HTML file that shows a whole run, needs no network, and trusts no text in it.

A Content-Security-Policy in the file allows its own two scripts by their hashes and nothing else:
no request leaves the page, and no text of a device could run even if it escaped its element.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from testbed.report.history import History
from testbed.report.picture import cable_title, draw_bench
from testbed.report.records import RunRecord
from testbed.report.text import clip, first_line, span, visible
from testbed.report.view import LABELS, view_run

__all__ = ["render"]


def _finalize(value: object) -> object:
    """Whatever text a template prints is made visible before it is escaped."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("testbed.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.filters.update(clip=clip, first_line=first_line, span=span, title_of=cable_title)
    return environment


@cache
def _asset(name: str) -> Markup:
    # The package's own stylesheet and scripts, no template of anybody else's.
    return Markup((files("testbed.report") / "templates" / name).read_text("utf-8"))  # noqa: S704


def _policy(*scripts: str) -> str:
    digests = (hashlib.sha256(script.encode()).digest() for script in scripts)
    hashes = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)
    return (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src {hashes}; "
        "base-uri 'none'; form-action 'none'"
    )


def render(run: RunRecord, history: History | None = None) -> str:
    """The HTML of ``run``; ``history`` gives each plan's verdicts in earlier runs."""
    theme, behaviour = _asset("theme.js"), _asset("report.js")
    page = _environment().get_template("report.html.j2")
    return page.render(
        run=run,
        view=view_run(run, history or History()),
        picture=draw_bench(run),
        labels=LABELS,
        style=_asset("report.css"),
        theme=theme,
        script=behaviour,
        policy=_policy(theme, behaviour),
    )
