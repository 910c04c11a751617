"""``testbed record``: frames of a network interface into a file, at full rate."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from testbed.cli.exits import Exit
from testbed.timing import seconds

if TYPE_CHECKING:  # it brings numpy and what only Linux has
    from testbed.link.recorder.recorder import Recorder

__all__ = ["record"]

LOOK_EVERY = 0.1
UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def _size(_ctx: click.Context, _param: click.Parameter, value: str | None) -> int | None:
    """Bytes, or as many KiB, MiB or GiB."""
    if value is None:
        return None
    found = re.fullmatch(r"(\d+)([kmg]?)", value, re.IGNORECASE)
    if found is None:
        raise click.BadParameter(f"{value!r} is no size: expected bytes, or as in 64M")
    return int(found[1]) * UNITS[found[2].lower()]


@click.command()
@click.argument("interface")
@click.argument("expression", nargs=-1)
@click.option(
    "-w", "--write", "path", type=click.Path(path_type=Path, dir_okay=False, writable=True),
    required=True, metavar="FILE", help="The pcapng file; one that is there is overwritten.",
)  # fmt: skip
@click.option("--snap", type=click.IntRange(14, 65535), help="Keep N bytes of each frame.")
@click.option("--count", type=click.IntRange(min=1), help="End after N frames.")
@click.option(
    "--size", callback=_size, metavar="SIZE", help="End before the file is larger: 500M, 2G."
)
@click.option("--duration", type=float, metavar="SECONDS", help="End after this time.")
@click.option("--until", metavar="EXPRESSION", help="End with the first frame that matches.")
@click.option(
    "--ring", callback=_size, metavar="SIZE", help="Memory for what waits to be written: 128M."
)
@click.option("--take", is_flag=True, help="Frames go no further than into the file: the fastest.")
def record(
    interface: str,
    expression: tuple[str, ...],
    *,
    path: Path,
    snap: int | None,
    count: int | None,
    size: int | None,
    duration: float | None,
    until: str | None,
    ring: int | None,
    take: bool,
) -> None:
    """Record what comes to INTERFACE, all or what EXPRESSION (man pcap-filter) describes.

    Recorded by a program in the kernel where that can be, else by a packet ring; what this machine
    sends is not recorded. It ends with Ctrl-C, or as the options say. Frames that were lost are
    told of, in the file, too; the exit code is 3 then.
    """
    from testbed.link.recorder import Limits, Wish, as_filter  # noqa: PLC0415 - what Linux has
    from testbed.link.recorder.choosing import open_recorder  # noqa: PLC0415
    from testbed.link.recorder.wish import RING, SNAP  # noqa: PLC0415

    wish = Wish(
        wanted=as_filter(" ".join(expression) or None),
        until=as_filter(until),
        limits=Limits(count, size, None if duration is None else seconds(duration)),
        snap=snap or SNAP,
        take=take,
        ring=ring or RING,
        path=path,
    )
    recorder = open_recorder(wish, interface)
    click.echo(f"{interface}: recording by {recorder.engine} ({recorder.why})", err=True)
    click.echo(f"clock: {recorder.clock}", err=True)
    try:
        _watch(recorder)
    except KeyboardInterrupt:
        click.echo("", err=True)
    finally:
        try:
            recorder.stop()
        finally:
            recorder.store.close()
    ended = f", ended by its {recorder.ended_by}" if recorder.ended_by else ""
    click.echo(f"{recorder.frames} frames in {path}{ended}; {recorder.lost} lost", err=True)
    for overrun in recorder.overruns:
        click.echo(f"lost: {overrun}", err=True)
    if recorder.fault:
        click.echo(f"warning: {recorder.fault}", err=True)
    if recorder.lost:
        sys.exit(Exit.RIG)


def _watch(recorder: Recorder) -> None:
    """Until it has ended; how far it is, where somebody looks."""
    shown, began = sys.stderr.isatty(), time.monotonic()
    while not recorder.wait(LOOK_EVERY):
        if shown:
            took = time.monotonic() - began
            told = f"{recorder.frames} frames, {recorder.store.size >> 20} MiB, {took:.0f} s"
            lost = f", {recorder.lost} LOST" if recorder.lost else ""
            click.echo(f"\r{told}{lost}  ", nl=False, err=True)
    if shown:
        click.echo("", err=True)
