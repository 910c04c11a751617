"""The command itself: opens the files, and prints or writes what was asked for."""

from __future__ import annotations

import json
import sys
from heapq import nlargest
from pathlib import Path

import click
from rich.console import Console

__all__ = ["analyse"]

_SHOWN = 40


@click.command()
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True, dir_okay=False)
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Tell of the N connections with the most packets: 40 in the table, all in JSON.",
)
@click.option(
    "--html",
    "page",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    metavar="OUT",
    help="Write a page with time-sequence, round-trip and flight graphs, of 40 connections.",
)
def analyse(
    files: tuple[Path, ...], *, as_json: bool, limit: int | None, page: Path | None
) -> None:
    """Tell what became of the TCP connections of FILES.

    A file is a pcap or pcapng capture, plain, gzip or zstd. Retransmissions are told apart by their
    cause, stalls by what they waited for; the meanings of the flags are Wireshark's. Every file and
    every interface is a point of its own; what several points saw of a connection is compared: what
    was lost, late, overtaken or changed between them.
    """
    from testbed.cli.analyse.between import (  # noqa: PLC0415 - numpy is heavy
        show_journeys,
        summarise_journey,
        travel,
    )
    from testbed.cli.analyse.captures import largest, open_captures  # noqa: PLC0415
    from testbed.cli.analyse.summary import summarise  # noqa: PLC0415
    from testbed.cli.analyse.table import show  # noqa: PLC0415

    captures = open_captures(files)
    total = sum(len(capture.analysis) for capture in captures)
    seen = largest(captures, limit or (None if as_json else _SHOWN))
    journeys = travel(seen)
    if page is not None:
        from testbed.report.tcp import render_tcp  # noqa: PLC0415 - as above

        chosen = nlargest(limit or _SHOWN, seen, key=lambda each: each.connection.packets)
        drawn = [(each.point, each.connection) for each in seen if each in chosen]
        name = ", ".join(file.name for file in files)
        page.write_text(render_tcp(name, drawn, total, journeys), "utf-8")
        click.echo(f"written to {page}", err=True)
    told = [summarise(each.point, each.connection) for each in seen]
    ways = [summarise_journey(journey) for journey in journeys]
    if as_json:
        counts = {
            "files": [str(file) for file in files],
            "packets": sum(capture.packets for capture in captures),
            "segments": sum(len(capture.analysis.segments) for capture in captures),
        }
        click.echo(json.dumps({**counts, "connections": told, "journeys": ways}, indent=1))
        return
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    show(console, told, total)
    if ways:
        console.print()
        show_journeys(console, ways)
