"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

from testbed.devices.registry import PLATFORMS
from testbed.inventory import Bench, load

__all__ = ["bench_option", "load_bench"]

bench_option = click.option(
    "--bench",
    "bench_file",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="The bench file, such as inventory/virtual.yaml.",
)


def load_bench(path: Path) -> Bench:
    """The bench of ``path``; its warnings go to standard error."""
    loaded = load(path, platforms=frozenset(PLATFORMS))
    for warning in loaded.warnings:
        click.echo(f"warning: {warning}", err=True)
    return loaded.bench
