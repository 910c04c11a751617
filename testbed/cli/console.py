"""``testbed console``: an interactive login."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from testbed.cli.options import bench_option, load_bench
from testbed.console.transport import Transport
from testbed.hosts.loop import MonotonicClock
from testbed.inventory import Bench
from testbed.labs.opening import open_lab, open_transport

# A terminal of this machine is of Unix; the sim lab is loaded where it is used.
# ruff: noqa: PLC0415

__all__ = ["console"]


@click.command()
@click.argument("device")
@bench_option
@click.option("--serial", is_flag=True, help="Over the serial console rather than SSH.")
def console(device: str, bench_file: Path, serial: bool) -> None:
    """Log in to DEVICE and hand the terminal over; Ctrl-] ends it.

    On a virtual bench the device lives as long as this login: to have it stay, bring the bench up
    with testbed lab up --hold and use the file that it writes. On a sim bench, where every device
    has a console only, it is a device fresh from its box.
    """
    from testbed.console.interactive import interact

    bench = load_bench(bench_file)
    opened = _simulated(bench, device) if bench.lab == "sim" else _real(bench, device, serial)
    with opened as transport:
        click.echo(f"{device}: {transport.name}; Ctrl-] ends", err=True)
        pace = MonotonicClock() if bench.lab == "sim" else None
        why = interact(transport, sys.stdin.fileno(), sys.stdout.fileno(), pace=pace)
    click.echo(f"{device}: {why}", err=True)


@contextmanager
def _real(bench: Bench, device: str, serial: bool) -> Iterator[Transport]:
    with (
        open_lab(bench, lambda text: click.echo(text, err=True)) as hardware,
        open_transport(hardware, device, serial=serial) as transport,
    ):
        yield transport


@contextmanager
def _simulated(bench: Bench, device: str) -> Iterator[Transport]:
    from testbed.labs.sim.terminal import open_terminal
    from testbed.sim.cli.terminal import Account

    account = Account()
    transport = open_terminal(bench, device, account)
    click.echo(
        f"{device}: user {account.user}, password {account.password}, "
        f"enable password {account.enable}",
        err=True,
    )
    try:
        yield transport
    finally:
        transport.close()
