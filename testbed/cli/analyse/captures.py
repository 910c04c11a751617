"""The captures that were named, and the points that they have."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from testbed.capture.columns import read_columns
from testbed.capture.tcp import Analysis, Connection, analyse
from testbed.errors import UsageError, WireError

__all__ = ["Capture", "Seen", "largest", "open_captures"]


@dataclass(frozen=True, eq=False)
class Capture:
    """A file and its analysis. ``name`` is empty of one that is the only one."""

    name: str
    analysis: Analysis

    @property
    def packets(self) -> int:
        """How many packets it has, TCP or not."""
        return len(self.analysis.segments.columns)

    def point(self, connection: Connection) -> str:
        """What the point that saw a connection is called: each interface is one."""
        if not self.name:
            return connection.point
        several = len(self.analysis.segments.columns.sources) > 1
        return f"{self.name}:{connection.point}" if several else self.name


@dataclass(frozen=True, eq=False)
class Seen:
    """A connection and the point that saw it."""

    point: str
    connection: Connection


def open_captures(files: Sequence[Path]) -> list[Capture]:
    """Read and analyse every file; what is wrong with one is said on standard error."""
    if len(files) == 1:
        return [Capture("", _analysed(files[0]))]
    alike = len({file.name for file in files}) < len(files)
    return [Capture(str(file) if alike else file.name, _analysed(file)) for file in files]


def _analysed(file: Path) -> Analysis:
    try:
        columns = read_columns(_open(file), lenient=True)
    except WireError as error:
        raise UsageError(f"{file}: {error}") from error
    if columns.fault is not None:
        click.echo(f"warning: {file}: {columns.fault}; what is before it is told", err=True)
    elif columns.truncated is not None:
        click.echo(f"warning: {file}: ends within a packet, at {columns.truncated}", err=True)
    return analyse(columns, apart=True)


def _open(file: Path) -> bytes | mmap.mmap:
    """The file's bytes, mapped: nothing is read that is not looked at."""
    with file.open("rb") as stream:
        if not file.stat().st_size:
            return b""
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)


def largest(captures: Sequence[Capture], count: int | None) -> list[Seen]:
    """The connections with the most segments of every capture, at most ``count`` of each."""
    return list(_largest(captures, count))


def _largest(captures: Sequence[Capture], count: int | None) -> Iterator[Seen]:
    for capture in captures:
        analysis = capture.analysis
        for connection in analysis.largest(len(analysis) if count is None else count):
            yield Seen(capture.point(connection), connection)
