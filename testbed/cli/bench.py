"""``testbed bench``: whether the bench is as its file says, and as it was."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from testbed.bench.session import BenchSession, held
from testbed.bench.wireproof import prove_wires
from testbed.cli.exits import Exit
from testbed.cli.options import bench_option, load_bench

__all__ = ["bench"]

COLOURS = {"proven": "green", "wrong": "bold red", "down": "red", "unproven": "yellow"}


@click.group()
def bench() -> None:
    """Check the cabling of a bench, and put it back after a crash."""


@bench.command()
@bench_option
def check(bench_file: Path) -> None:
    """Find out where every cable really ends, and hold that against the file.

    Each controller NIC sends a frame with an address of its own, and the switches' MAC tables tell
    where it came in; ports of routers and hosts are switched off for a moment to see who loses the
    link. Exit code 3 when a cable is not where the file says.
    """
    session = BenchSession(
        load_bench(bench_file), prove=False, say=lambda text: click.echo(text, err=True)
    )
    with held(session):
        proofs = session.proofs or prove_wires(session.gear, session.driver)
    table = Table(title=f"cabling of {session.file.bench}, as found")
    for heading in ("cable", "", "state", "how it is known, or what was found"):
        table.add_column(heading)
    for proof in proofs:
        near, far = proof.cable.ends
        colour = COLOURS[proof.state]
        table.add_row(str(near), str(far), f"[{colour}]{proof.state}[/]", proof.note)
    Console().print(table)
    for note in session.restore_notes:
        click.echo(f"not put back: {note}", err=True)
    if any(proof.state in ("wrong", "down") for proof in proofs) or session.restore_notes:
        sys.exit(Exit.RIG)


@bench.command()
@bench_option
def recover(bench_file: Path) -> None:
    """Undo what a run that was killed has left changed on the devices.

    The next run does so by itself before anything else; this is for when none is due.
    """
    said: list[str] = []
    with held(BenchSession(load_bench(bench_file), prove=False, say=said.append)) as session:
        pass  # opening it undoes what was left
    click.echo("\n".join(said) if said else f"{session.file.bench}: nothing was left to undo")
