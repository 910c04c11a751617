"""The shell's way in: ``testbed COMMAND``."""

from testbed.cli.main import main

__all__ = ["main"]
