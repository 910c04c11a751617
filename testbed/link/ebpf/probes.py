"""What this kernel and its interfaces can do for programs: tried, never assumed."""

from __future__ import annotations

import errno
import platform
from dataclasses import dataclass
from functools import cache

from testbed.link.ebpf.assembler import R0, Assembler
from testbed.link.ebpf.netdev import XdpFeature, xdp_features
from testbed.link.ebpf.program import Program, XdpAction
from testbed.link.ebpf.syscall import BpfError

__all__ = ["Probe", "can_attach", "can_load", "can_redirect_to", "can_run_live"]


@dataclass(frozen=True, slots=True)
class Probe:
    """Whether something works here, and why not; or how, where it does."""

    works: bool
    why: str


def _dropping() -> Program:
    return Program(Assembler().mov(R0, XdpAction.DROP).exit().assemble(), "probe")


@cache
def can_load() -> Probe:
    """Whether this process may load programs."""
    try:
        _dropping().close()
    except (BpfError, OSError) as error:
        return Probe(works=False, why=f"no eBPF: {error}")
    return Probe(works=True, why=f"Linux {platform.release()} takes programs")


@cache
def can_run_live() -> Probe:
    """Whether frames can be sent by running a program (Linux 5.18)."""
    allowed = can_load()
    if not allowed.works:
        return allowed
    with _dropping() as program:
        try:
            program.run_live(bytes(64), 1, batch=1)
        except BpfError as error:
            if error.number == errno.EINVAL:
                why = f"Linux {platform.release()} has no XDP live frames; 5.18 and later have them"
            else:
                why = f"no XDP live frames: {error}"
            return Probe(works=False, why=why)
    return Probe(works=True, why=f"Linux {platform.release()} runs programs on live frames")


def can_redirect_to(interface: str, index: int) -> Probe:
    """Whether the interface, of this thread's network namespace, sends what programs redirect."""
    features = xdp_features(index)
    if features is None:
        why = f"this kernel does not tell whether {interface} sends XDP frames; 6.3 and later do"
        return Probe(works=False, why=why)
    if not features & XdpFeature.TRANSMIT:
        return Probe(
            works=False,
            why=f"{interface} sends no XDP frames now: a veth does while its far end has an XDP "
            "program or GRO on; a NIC while it has an XDP program itself, where its driver can",
        )
    return Probe(works=True, why=f"{interface} sends XDP frames")


def can_attach(interface: str, index: int) -> Probe:
    """Whether the interface, of this thread's network namespace, takes programs in its driver."""
    allowed = can_load()
    if not allowed.works:
        return allowed
    features = xdp_features(index)
    if features is not None and not features & XdpFeature.PROGRAMS:
        return Probe(works=False, why=f"the driver of {interface} takes no XDP programs")
    return Probe(works=True, why=f"{interface} takes XDP programs")
