"""The HTML of an analysis: one file that needs no network and trusts no text of a capture."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from testbed.capture.tcp import Connection
from testbed.capture.tcp.between import Journey
from testbed.report.tcp.graph import KINDS, POINTS, graph_of

__all__ = ["render_tcp"]


def render_tcp(
    name: str,
    connections: Sequence[tuple[str, Connection]],
    total: int,
    journeys: Sequence[Journey] = (),
) -> str:
    """The page of some connections, each with its point, of what is called ``name``.

    It has ``total`` of them; ``journeys`` are those that several points saw.
    """
    environment = Environment(
        loader=PackageLoader("testbed.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    theme, behaviour = _asset("theme.js"), _asset("tcp.js")
    data = {
        "kinds": [kind for kind, _ in KINDS],
        "points": POINTS,
        "connections": [graph_of(*each, journeys) for each in connections],
    }
    return environment.get_template("tcp.html.j2").render(
        name=name,
        shown=len(connections),
        total=total,
        style=_asset("tcp.css"),
        theme=theme,
        script=behaviour,
        policy=_policy(theme, behaviour),
        # The only thing that could end the element early is "<".
        data=Markup(json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")),  # noqa: S704
    )


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
