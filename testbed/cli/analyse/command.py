"""The command itself: opens the file, and prints or writes what was asked for."""

from __future__ import annotations

import json
import mmap
import sys
from pathlib import Path

import click
from rich.console import Console

from testbed.errors import UsageError, WireError

__all__ = ["analyse"]


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
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
def analyse(file: Path, *, as_json: bool, limit: int | None, page: Path | None) -> None:
    """Tell what became of the TCP connections of FILE.

    FILE is a pcap or pcapng capture, plain, gzip or zstd. Retransmissions are told apart by their
    cause, stalls by what they waited for; the meanings of the flags are Wireshark's. Of a capture
    with several interfaces each is looked at by itself.
    """
    from testbed.capture.columns import read_columns  # noqa: PLC0415 - numpy is heavy
    from testbed.capture.tcp import analyse as analyse_tcp  # noqa: PLC0415
    from testbed.cli.analyse.summary import summarise  # noqa: PLC0415
    from testbed.cli.analyse.table import show  # noqa: PLC0415

    try:
        columns = read_columns(_open(file), lenient=True)
    except WireError as error:
        raise UsageError(f"{file}: {error}") from error
    if columns.fault is not None:
        click.echo(f"warning: {file}: {columns.fault}; what is before it is told", err=True)
    elif columns.truncated is not None:
        click.echo(f"warning: {file}: ends within a packet, at {columns.truncated}", err=True)
    analysis = analyse_tcp(columns, apart=True)
    chosen = analysis.largest(limit or (len(analysis) if as_json else 40))
    if page is not None:
        from testbed.report.tcp import render_tcp  # noqa: PLC0415 - as above

        drawn = analysis.largest(limit or 40)
        page.write_text(render_tcp(file.name, drawn, len(analysis)), "utf-8")
        click.echo(f"written to {page}", err=True)
    told = [summarise(connection) for connection in chosen]
    if as_json:
        packets = {"packets": len(columns), "segments": len(analysis.segments)}
        click.echo(json.dumps({"file": str(file), **packets, "connections": told}, indent=1))
        return
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    show(console, told, len(analysis))


def _open(file: Path) -> bytes | mmap.mmap:
    """The file's bytes, mapped: nothing is read that is not looked at."""
    with file.open("rb") as stream:
        if not file.stat().st_size:
            return b""
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
