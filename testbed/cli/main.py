"""The command group, and how errors become exit codes."""

from __future__ import annotations

import signal
import sys
from types import FrameType

import click

from testbed.cli.analyse import analyse
from testbed.cli.bench import bench
from testbed.cli.console import console
from testbed.cli.doctor import doctor
from testbed.cli.exits import Exit
from testbed.cli.inventory import inventory
from testbed.cli.lab import lab
from testbed.cli.plans import plans
from testbed.cli.record import record
from testbed.cli.replay import replay
from testbed.cli.run import drill, run
from testbed.cli.stack import stack
from testbed.errors import TestbedError, UsageError

__all__ = ["main"]


class _Group(click.Group):
    """Shows our own errors in one line, with the exit code of whose fault it is."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except UsageError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(Exit.USAGE)
        except TestbedError as error:
            click.echo(f"error: {error}", err=True)
            sys.exit(Exit.RIG)
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            sys.exit(Exit.INTERRUPTED)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="testbed")
def main() -> None:
    """Judge switches, routers, hosts and links, with the packets to prove it.

    A bench file says what is plugged into what. Plans say what must happen. The same plans run on
    any bench that has the topology they ask for.

    \b
    First steps:
      testbed run --bench inventory/sim.yaml         every plan, simulated, in seconds
      testbed doctor                                 what this machine can do
      testbed run --bench inventory/virtual.yaml     every plan, on software devices
      testbed inventory check my-lab.yaml            a file for your own gear
      testbed bench check --bench my-lab.yaml        is it plugged in as the file says?

    \b
    Exit codes: 0 all passed; 1 a device failed; 2 the command, a plan or a file is wrong;
    3 the bench is wrong; 4 nothing ran; 130 interrupted.
    """  # noqa: D301 - \b is click's mark
    signal.signal(signal.SIGTERM, _terminate)


def _terminate(_number: int, _frame: FrameType | None) -> None:
    """Let a SIGTERM put everything back, as Ctrl-C does."""
    raise KeyboardInterrupt


for command in (
    run, drill, plans, inventory, bench, lab, console, doctor, stack, analyse, record, replay,
):  # fmt: skip
    main.add_command(command)
