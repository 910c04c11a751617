"""Ready-made faults for drills: real means of making a real device wrong.

Each function here gives a fault for ``drill(...)``. In commands, ``{NODE}`` stands for the port of
the broken device toward that node of the topology, ``{bridge}`` for a software switch's bridge.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.bench.topology import Kind
from testbed.errors import DeviceError, PlanError, Unsupported
from testbed.stack.config import StackConfig
from testbed.stack.variants import Defect

if TYPE_CHECKING:
    from testbed.bench.bench import Bench

__all__ = [
    "all_of",
    "bridge_port",
    "nft",
    "ovs_flow",
    "program",
    "python_stack",
    "repeatedly",
    "shell",
    "sysctl",
]

Fault = Callable[["Bench"], None]

BRIDGES = {
    "openvswitch": "$(ovs-vsctl list-br | head -n 1)",
    "linux_bridge": "$(cd /sys/class/net && ls -d */bridge | head -n 1 | cut -d/ -f1)",
}

NFT_TABLE = "testbed_fault"

PROGRAM = "/run/testbed_fault"


def _fill(bench: Bench, role: str, command: str) -> str:
    names = {
        link.other(role): bench.placement.port(role, link.name)
        for link in bench.topology.links_of(role)
    }
    names["bridge"] = BRIDGES.get(bench.platforms.get(role, ""), "")
    try:
        return command.format(**names)
    except (KeyError, IndexError, ValueError) as error:
        raise PlanError(
            f"fault {command!r}: {error} is no node next to {role}; write braces twice to mean them"
        ) from None


def shell(*do: str, undo: tuple[str, ...] = (), role: str = "dut") -> Fault:
    """Run shell commands on the device; ``undo`` puts it back, and may run more than once."""

    def fault(bench: Bench) -> None:
        commands = (_fill(bench, role, command) for command in do)
        back = tuple(_fill(bench, role, command) for command in undo)
        bench.sabotage(role).run(*commands, undo=back)

    return fault


def repeatedly(command: str, *, every: float = 0.05, role: str = "dut") -> Fault:
    """Run a shell command again and again, ``every`` so many seconds, until the drill ends."""

    def fault(bench: Bench) -> None:
        bench.sabotage(role).keep_doing(_fill(bench, role, command), every)

    return fault


def ovs_flow(match: str, actions: str, *, role: str = "dut") -> Fault:
    """Put an OpenFlow rule above normal switching: ``ovs_flow("dl_dst=...", "output:{c}")``."""
    flow = f"priority=900,{match}" if match else "priority=900"
    return shell(
        f"ovs-ofctl add-flow {{bridge}} '{flow},actions={actions}'",
        undo=(f"ovs-ofctl --strict del-flows {{bridge}} '{flow}'",),
        role=role,
    )


def bridge_port(flag: str, value: str, *toward: str, role: str = "dut") -> Fault:
    """Set a flag of the Linux bridge's ports toward some nodes (all of them, if none is named)."""
    back = {"on": "off", "off": "on"}[value]

    def fault(bench: Bench) -> None:
        nodes = toward or [
            link.other(role)
            for link in bench.topology.links_of(role)
            if bench.topology.kind(link.other(role)) is Kind.NIC
        ]
        ports = [bench.port(role, toward=node) for node in nodes]
        bench.sabotage(role).run(
            *(f"bridge link set dev {port} {flag} {value}" for port in ports),
            undo=tuple(f"bridge link set dev {port} {flag} {back}" for port in ports),
        )

    return fault


def nft(chain: str, *rules: str, family: str = "ip", role: str = "dut") -> Fault:
    """Filter or rewrite packets: ``nft("type filter hook forward priority 0;", "udp drop")``.

    ``chain`` declares the base chain; ``rules`` go into it, in a table that the drill removes.
    """
    table = f"{family} {NFT_TABLE}"
    return shell(
        f"nft add table {table}",
        f"nft 'add chain {table} fault {{{{ {chain} }}}}'",
        *(f"nft 'add rule {table} fault {rule}'" for rule in rules),
        undo=(f"nft delete table {table} 2>/dev/null || true",),
        role=role,
    )


def sysctl(name: str, value: str, *, role: str = "dut") -> Fault:
    """Set a kernel setting of the device, and put the old value back.

    Unsupported where its kernel has no such setting: the drill is skipped.
    """

    def fault(bench: Bench) -> None:
        setting, device = _fill(bench, role, name), bench.device(role)
        try:
            old = device.execute(f"sysctl -n {setting}").strip()
        except DeviceError:
            raise Unsupported(f"the kernel of {device.name} has no setting {setting}") from None
        bench.sabotage(role).run(
            f"sysctl -qw {setting}='{value}'", undo=(f"sysctl -qw {setting}='{old}'",)
        )

    return fault


def program(source: str, *toward: str, role: str = "dut") -> Fault:
    """Run a Python program on the device in the background until the drill ends.

    For what no setting of a software device can do wrong. Its arguments are the names of the ports
    toward these nodes, and it prints a line once it is at work. Standard library only.
    """
    encoded = base64.b64encode(source.encode()).decode()
    ports = " ".join(f"{{{node}}}" for node in toward)
    return shell(
        f"echo {encoded} | base64 -d >{PROGRAM}.py; rm -f {PROGRAM}.said; mkfifo {PROGRAM}.said",
        # An interactive shell has setsid go on in a child: only the program knows its own number.
        f"setsid sh -c 'echo $$ >{PROGRAM}.pid; exec python3 {PROGRAM}.py {ports}' "
        f"</dev/null >{PROGRAM}.said 2>{PROGRAM}.log & "
        f"read -r said <{PROGRAM}.said || {{{{ cat {PROGRAM}.log; false; }}}}",
        undo=(
            # It leads a session of its own: whatever it started goes with it.
            f"kill -- -$(cat {PROGRAM}.pid) 2>/dev/null || true",
            f"rm -f {PROGRAM}.py {PROGRAM}.said {PROGRAM}.log {PROGRAM}.pid",
        ),
        role=role,
    )


@dataclass(frozen=True, slots=True)
class _OfDefects:
    """A fault that is known by its defects, each with the role that it is given to."""

    fault: Fault
    parts: tuple[tuple[Defect, str], ...]

    def __call__(self, bench: Bench) -> None:
        self.fault(bench)


def python_stack(
    *defects: Defect, config: StackConfig | None = None, role: str = "dut", seed: int | None = None
) -> Fault:
    """Put a Python stack with these defects in the place of the kernel host ``role``.

    On the host's own ports, with Linux's values unless ``config`` has others. Without defects it is
    a good host: a plan that fails on it judges something else than the standard. Unsupported, so
    that the drill is skipped, where the host is another machine.

    Where ``role`` is a NIC, the stack that the plan makes there has the defects: the plan itself
    says with which settings.
    """

    def fault(bench: Bench) -> None:
        if bench.topology.kind(role) is Kind.NIC:
            bench.spoil(role, *defects)
        else:
            bench.stand_in(role, *defects, config=config, seed=seed)

    return _OfDefects(fault, tuple((defect, role) for defect in defects))


def all_of(*faults: Fault) -> Fault:
    """Several faults together make one defect."""

    def fault(bench: Bench) -> None:
        for one in faults:
            one(bench)

    return _OfDefects(fault, tuple(part for one in faults for part in getattr(one, "parts", ())))
