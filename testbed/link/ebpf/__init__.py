"""Programs in the kernel, from plain Python: assembled here, loaded by bpf(2), no library needed.

A program is what an ``Assembler`` wrote; the kernel's verifier accepts it (``Program``) or says
what is wrong with it (``BpfError.log``). It shares memory with Python through a ``SharedArray``,
sees frames through an ``XdpLink``, and sends by ``Program.run_live``. All of these are descriptors:
whatever happens to this process, the kernel takes them back.
"""

from __future__ import annotations

from testbed.link.ebpf.assembler import (
    R0,
    R1,
    R2,
    R3,
    R4,
    R5,
    R6,
    R7,
    R8,
    R9,
    R10,
    Assembler,
)
from testbed.link.ebpf.btf import function_number
from testbed.link.ebpf.instruction import Instruction, Register, decode, encode
from testbed.link.ebpf.maps import PerCpuCounters, SharedArray
from testbed.link.ebpf.netdev import XdpFeature, xdp_features
from testbed.link.ebpf.probes import (
    Probe,
    can_attach,
    can_load,
    can_redirect_to,
    can_run_live,
)
from testbed.link.ebpf.program import Helper, Program, Verdict, XdpAction, XdpLink
from testbed.link.ebpf.syscall import BpfError

__all__ = [
    "R0",
    "R1",
    "R2",
    "R3",
    "R4",
    "R5",
    "R6",
    "R7",
    "R8",
    "R9",
    "R10",
    "Assembler",
    "BpfError",
    "Helper",
    "Instruction",
    "PerCpuCounters",
    "Probe",
    "Program",
    "Register",
    "SharedArray",
    "Verdict",
    "XdpAction",
    "XdpFeature",
    "XdpLink",
    "can_attach",
    "can_load",
    "can_redirect_to",
    "can_run_live",
    "decode",
    "encode",
    "function_number",
    "xdp_features",
]
