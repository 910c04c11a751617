"""``testbed console``: an interactive login."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from testbed.cli.options import bench_option, load_bench
from testbed.console.interactive import interact
from testbed.labs.opening import open_lab, open_transport

__all__ = ["console"]


@click.command()
@click.argument("device")
@bench_option
@click.option("--serial", is_flag=True, help="Over the serial console rather than SSH.")
def console(device: str, bench_file: Path, serial: bool) -> None:
    """Log in to DEVICE and hand the terminal over; Ctrl-] ends it.

    On a virtual bench the device lives as long as this login: to have it stay, bring the bench up
    with testbed lab up --hold and use the file that it writes.
    """
    bench = load_bench(bench_file)
    with (
        open_lab(bench, lambda text: click.echo(text, err=True)) as hardware,
        open_transport(hardware, device, serial=serial) as transport,
    ):
        click.echo(f"{device}: {transport.name}; Ctrl-] ends", err=True)
        why = interact(transport, sys.stdin.fileno(), sys.stdout.fileno())
    click.echo(f"{device}: {why}", err=True)
