"""``testbed inventory``: bench files."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from testbed.cli.exits import Exit
from testbed.devices.registry import PLATFORMS
from testbed.errors import InventoryError
from testbed.inventory import load, schema

__all__ = ["inventory"]


@click.group()
def inventory() -> None:
    """Check bench files, and get the schema for an editor."""


@inventory.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
def check(files: tuple[Path, ...]) -> None:
    """Say everything that is wrong with FILES, each as file:line:column: path: what.

    Exit code 2 when anything is. Warnings, such as unused ports, do not count.
    """
    wrong = False
    for path in files:
        try:
            loaded = load(path, platforms=frozenset(PLATFORMS))
        except InventoryError as error:
            wrong = True
            for problem in error.problems:
                click.echo(problem, err=True)
            continue
        for warning in loaded.warnings:
            click.echo(f"{warning} (warning)", err=True)
        bench = loaded.bench
        click.echo(
            f"{path}: bench {bench.bench} ({bench.lab}): {len(bench.controller.nics)} NICs, "
            f"{len(bench.devices)} devices, {len(bench.hosts)} hosts, {len(bench.cables)} cables"
        )
    if wrong:
        sys.exit(Exit.USAGE)


@inventory.command("schema")
def print_schema() -> None:
    """Print the JSON Schema of bench files.

    \b
    For editors that speak the YAML language server, save it and begin the bench file with
      # yaml-language-server: $schema=bench.schema.json
    """  # noqa: D301 - \b is click's mark
    click.echo(json.dumps(schema(), indent=2))
