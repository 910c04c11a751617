"""``testbed plans new``: a plan to begin with, which runs as it is."""

from __future__ import annotations

import keyword
import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import click
from jinja2 import Environment, PackageLoader, StrictUndefined

from testbed.errors import PlanError

__all__ = ["SHAPES", "Shape", "new", "write_plan"]


@dataclass(frozen=True, slots=True)
class Shape:
    """A topology to begin with: what it is, and the row that its plan is of."""

    about: str
    row: str


SHAPES = {
    "star": Shape("a switch and four NICs around it", "SW-05"),
    "mirror": Shape("a switch, three NICs and one on its mirror port", "SW-17"),
    "chain": Shape("a router between two NICs", "IP-04"),
    "pair": Shape("a host and a NIC", "UD-01"),
    "box": Shape("two hosts and a fault box in the cable between them", "TC-14"),
}
"""The plans to begin with, by the shape of their topology."""

LONGEST = 48
"""Characters of a name: with them a file name and a line of the report stay readable."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_ROW = re.compile(r"[A-Z]{2,4}-\d{2,3}")


def write_plan(name: str, shape: str, into: Path, row: str | None = None) -> Path:
    """Write the plan ``name`` of a shape of SHAPES into a folder; PlanError says why it cannot be.

    ``row`` is the catalogue's row that it is of; the shape's own by default.
    """
    name = name.removeprefix("test_").removesuffix(".py")
    if not _NAME.fullmatch(name) or keyword.iskeyword(name) or len(name) > LONGEST:
        raise PlanError(
            f"{name!r}: a plan's name is of lower-case letters, digits and _, a letter first, "
            f"{LONGEST} characters at most, such as moved_station_is_relearned"
        )
    if row is not None and not _ROW.fullmatch(row):
        raise PlanError(f"{row!r}: a row is a family and a number, such as SW-05")
    path = into / f"test_{name}.py"
    # pytest imports plans by their file names alone: two of one name cannot both be run.
    taken = [path] if path.exists() else sorted(_root(into).rglob(path.name))
    if taken:
        raise PlanError(f"{taken[0]} is there already; nothing was written")
    text = _render(name, shape, path, row or SHAPES[shape].row)
    try:
        into.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise PlanError(f"cannot write {path}: {error.strerror}") from error
    return path


def _root(folder: Path) -> Path:
    """The outermost folder called ``plans`` around ``folder``, or the folder itself."""
    around = [each for each in (folder, *folder.parents) if each.name == "plans"]
    return around[-1] if around else folder


def _render(name: str, shape: str, path: Path, row: str) -> str:
    environment = Environment(  # noqa: S701 - it writes Python
        loader=PackageLoader("testbed.cli.plans"),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    number = zlib.crc32(name.encode())
    tail = number.to_bytes(4, "big")
    shown = path.as_posix()
    return environment.get_template(f"{shape}.py.j2").render(
        name=name,
        row=row,
        path=shown if len(shown) <= LONGEST else path.name,
        mac=f"02:00:{tail.hex(':')}",
        port=5200 + number % 700,
    )


@click.command()
@click.argument("name")
@click.option(
    "--topology",
    "shape",
    type=click.Choice(tuple(SHAPES)),
    default="star",
    show_default=True,
    help="; ".join(f"{name}: {shape.about}" for name, shape in SHAPES.items()) + ".",
)
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("plans"),
    show_default=True,
    metavar="DIR",
    help="The folder to write it to.",
)
@click.option("--row", metavar="ID", help="The catalogue's row that it is of, such as SW-05.")
def new(name: str, shape: str, into: Path, row: str | None) -> None:
    """Write a commented plan NAME that runs on the sim lab at once.

    \b
      testbed plans new known_unicast --topology star
      testbed plans new my_router --topology chain --into plans/routing --row IP-04
    """  # noqa: D301 - \b is click's mark
    path = write_plan(name, shape, into, row)
    click.echo(f"wrote {path}: {SHAPES[shape].about}\n")
    click.echo(f"  testbed run --bench inventory/sim.yaml {path}      does it pass?")
    click.echo(f"  testbed plans grade {path}                         can it fail?")
