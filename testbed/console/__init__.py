"""Logins on devices: one dialogue over SSH, a serial line or a replay.

Importing this loads neither paramiko, pyserial nor fabric: they load when a login is opened.
"""

from testbed.console.cli import DEFAULT_WITHIN, Cli, Reply
from testbed.console.files import FabricHost, open_fabric
from testbed.console.interactive import interact
from testbed.console.profiles import LINUX_SHELL, SIM_CLI, VTYSH, DialogProfile
from testbed.console.replay import Recorder, ReplayTransport
from testbed.console.serial_line import SerialTransport, connect_serial, open_serial
from testbed.console.session import Access, Session
from testbed.console.ssh import SshTransport, connect_ssh, open_ssh
from testbed.console.transcript import ConsoleLine, ConsoleLog
from testbed.console.transport import HangupError, Transport

__all__ = [
    "DEFAULT_WITHIN",
    "LINUX_SHELL",
    "SIM_CLI",
    "VTYSH",
    "Access",
    "Cli",
    "ConsoleLine",
    "ConsoleLog",
    "DialogProfile",
    "FabricHost",
    "HangupError",
    "Recorder",
    "ReplayTransport",
    "Reply",
    "SerialTransport",
    "Session",
    "SshTransport",
    "Transport",
    "connect_serial",
    "connect_ssh",
    "interact",
    "open_fabric",
    "open_serial",
    "open_ssh",
]
