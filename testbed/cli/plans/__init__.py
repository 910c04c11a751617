"""``testbed plans``: what there is to run, and what it is worth."""

from __future__ import annotations

import click

from testbed.cli.plans.diff import diff
from testbed.cli.plans.grading import grade
from testbed.cli.plans.listing import list_plans
from testbed.cli.plans.new import new

__all__ = ["plans"]


@click.group()
def plans() -> None:
    """List plans, begin new ones, and grade them: whether they tell a good device from a bad."""


for command in (list_plans, grade, diff, new):
    plans.add_command(command)
