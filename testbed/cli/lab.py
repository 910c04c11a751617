"""``testbed lab``: virtual benches that stand on their own."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from testbed.bench.state import journal_file
from testbed.cli.options import load_bench
from testbed.errors import InventoryError, PlanError
from testbed.inventory import Bench, dump, load

if TYPE_CHECKING:
    from testbed.labs.virtual import Held

# The virtual lab is of Linux: it is loaded by those who use it.
# ruff: noqa: PLC0415

__all__ = ["lab"]


@click.group()
def lab() -> None:
    """Bring virtual benches up and down."""


@lab.command()
@click.argument("bench_file", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--hold", "held", is_flag=True, help="Leave it standing when this command ends.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Where to write the bench file of the gear (default: NAME-held.yaml).",
)
def up(bench_file: Path, held: bool, out: Path | None) -> None:
    """Bring the virtual bench of FILE up, and write a bench file of kind hardware for it.

    Without --hold it stands until Ctrl-C. With it, drive it as you would hardware:

    \b
      testbed lab up inventory/virtual.yaml --hold
      testbed run --bench virtual-held.yaml
      testbed lab down virtual
    """  # noqa: D301 - \b is click's mark
    from testbed.labs.virtual import VirtualLab, hold

    bench = load_bench(bench_file)
    if bench.lab != "virtual":
        raise PlanError(f"{bench_file}: lab is {bench.lab}; only a virtual bench can be brought up")
    path = out or Path(f"{bench.bench}-held.yaml")

    def say(text: str) -> None:
        click.echo(text, err=True)

    if held:
        standing = hold(bench, path, say)
        click.echo(f"bench {standing.name} stands (process {standing.pid}): {standing.inventory}")
        click.echo(f"run plans on it:  testbed run --bench {path}")
        click.echo(f"take it down:     testbed lab down {standing.name}")
        return
    with VirtualLab(bench, say) as gear:
        try:
            path.write_text(dump(gear.inventory))
            click.echo(f"bench {bench.bench} stands: {path}; Ctrl-C takes it down")
            signal.pause()
        except KeyboardInterrupt:
            click.echo("")
        finally:
            path.unlink(missing_ok=True)


@lab.command()
@click.argument("name")
def down(name: str) -> None:
    """Take the held bench NAME down, with everything in it."""
    from testbed.labs.virtual import held_labs, take_down

    gear = [_described(held) for held in held_labs() if held.name == name]
    ended = take_down(name)
    for bench in filter(None, gear):
        # What a run that was killed left changed is gone with its devices.
        journal_file(bench).unlink(missing_ok=True)
    click.echo(f"bench {ended.name} is down")


def _described(held: Held) -> Bench | None:
    """The bench that the file of a held lab describes, if it is still there."""
    try:
        return load(held.inventory).bench
    except InventoryError:
        return None


@lab.command("list")
def list_labs() -> None:
    """List the benches that are held up."""
    from testbed.labs.virtual import held_labs

    labs = held_labs()
    for held in labs:
        click.echo(f"{held.name}: process {held.pid}, {held.inventory}")
    if not labs:
        click.echo("no bench is held up")
