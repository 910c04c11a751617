"""What this machine can do for a lab, what it lacks, and the command that mends it."""

from __future__ import annotations

import os
import platform
import re
import socket
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from testbed.labs.requirements import SYSTEM_PATH, install_command, packages
from testbed.labs.rootless import is_root
from testbed.link.inline.prospects import prospects as box_engines
from testbed.link.recorder.choosing import prospects as recorders
from testbed.link.streams.choosing import prospects
from testbed.link.timestamping import clocks

__all__ = ["Check", "LabState", "Report", "examine"]

_PROBE = Path(__file__).parent / "virtual" / "scripts" / "probe.sh"
_PROBE_WITHIN = 20


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that a lab needs or can use."""

    group: str
    """``rights``, ``kernel``, ``senders``, ``recorders``, ``boxes``, ``clocks``, ``commands`` or
    ``python``."""
    name: str
    ok: bool
    found: str
    """What there is, or what the machine said."""
    mend: str
    """The command that provides it; empty when it is there or nothing can be done."""
    needed_by: tuple[str, ...]
    """Labs, or lab/platform, that cannot do without it; empty where it is only useful."""


@dataclass(frozen=True, slots=True)
class LabState:
    """Whether a lab can run here."""

    lab: str
    runs: bool
    why: str
    """What is missing; for a lab that runs, how."""


@dataclass(frozen=True, slots=True)
class Report:
    """All that was found out."""

    checks: tuple[Check, ...]
    labs: tuple[LabState, ...]

    @property
    def missing(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if not check.ok)


@dataclass(frozen=True, slots=True)
class _Feature:
    name: str
    title: str
    needed_by: tuple[str, ...]
    module: str
    """What to load when the kernel has it as a module; empty where it is no module."""


_FEATURES = (
    _Feature("tmpfs", "tmpfs mounts", ("virtual",), ""),
    _Feature("proc", "/proc of its own for each device", ("virtual",), ""),
    _Feature("pty", "pseudo-terminals", ("virtual",), ""),
    _Feature("af_packet", "AF_PACKET rings (TPACKET_V3)", ("virtual", "hardware"), "af_packet"),
    _Feature("veth", "veth pairs", ("virtual",), "veth"),
    _Feature("bridge", "Linux bridge", ("virtual/linux_bridge",), "bridge"),
    _Feature("nft", "nftables", ("virtual",), "nf_tables"),
    _Feature("clsact", "tc clsact", ("virtual/linux_bridge",), "sch_ingress"),
    _Feature("mirred", "tc u32 and mirred", ("virtual/linux_bridge",), "act_mirred"),
    # Without it Open vSwitch's userspace datapath runs under its name for tests.
    _Feature("tun", "tun/tap devices", (), "tun"),
    _Feature("nft_netdev", "nftables at a port's ingress", (), "nf_tables"),
    _Feature("vlan_filtering", "VLAN filtering of the Linux bridge", (), "8021q"),
    _Feature("vlan", "VLAN interfaces", (), "8021q"),
    _Feature("netem", "tc netem", (), "sch_netem"),
)


def examine() -> Report:
    """Look at everything. Features of the kernel are tried in throw-away namespaces."""
    rights, said = _rights()
    engines = (*_senders(), *_recorders(), *_boxes(), *_clocks())
    checks = (rights, _raw_access(), *_kernel(said), *engines, *_commands(), *_python())
    simulated = LabState("sim", True, "anywhere: it touches nothing of this machine")
    return Report(checks, (simulated, _lab("virtual", checks), _lab("hardware", checks)))


def _rights() -> tuple[Check, str | None]:
    """The check, and what the probe printed where it could run."""
    root = is_root()
    namespaces = ["--net", "--mount", "--uts", "--ipc", "--pid", "--fork", "--kill-child"]
    if not root:
        namespaces = ["--user", "--map-root-user", *namespaces]
    try:
        done = subprocess.run(
            ["unshare", *namespaces, "sh", str(_PROBE)],
            env={"PATH": SYSTEM_PATH, "PYTHON": sys.executable, "LANG": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PROBE_WITHIN,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check("rights", "namespaces", False, str(error), "", ("virtual",)), None
    if done.returncode or not done.stdout:
        found = done.stderr.strip() or f"unshare ended with status {done.returncode}"
        return Check("rights", "namespaces", False, found, _mend_rights(), ("virtual",)), None
    how = "as root" if root else "in a user namespace, without root"
    return Check("rights", "namespaces", True, how, "", ("virtual",)), done.stdout


def _raw_access() -> Check:
    title = "raw access to this machine's NICs"
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
    except OSError as error:
        mend = "run as root (sudo)"
        return Check("rights", title, False, error.strerror or str(error), mend, ("hardware",))
    return Check("rights", title, True, "allowed", "", ("hardware",))


def _mend_rights() -> str:
    for name, bad, good in (
        ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ("user/max_user_namespaces", "0", "user.max_user_namespaces=10000"),
    ):
        switch = Path("/proc/sys") / name
        if switch.exists() and switch.read_text().strip() == bad:
            return f"sudo sysctl {good}"
    if os.geteuid() == 0:
        return "in a container: start it with --privileged, or with --cap-add SYS_ADMIN,NET_ADMIN"
    return "run as root (sudo)"


def _kernel(said: str | None) -> list[Check]:
    answers = dict(line.split(" ", 1) for line in (said or "").splitlines() if " " in line)
    release = platform.release()
    checks = []
    for feature in _FEATURES:
        answer = answers.get(feature.name, "not tried: no namespaces").strip()
        ok = answer == "ok"
        built_in = Path(f"/lib/modules/{release}").is_dir()
        mend = f"sudo modprobe {feature.module}" if feature.module and built_in else ""
        checks.append(
            Check(
                "kernel",
                feature.title,
                ok,
                f"Linux {release}" if ok else answer,
                "" if ok or said is None else mend,
                feature.needed_by,
            )
        )
    return checks


def _senders() -> list[Check]:
    """How streams can be sent here, the fastest first; each falls through to the next."""
    return [
        Check("senders", f"streams by {name}", works, why, "", ())
        for name, works, why in prospects()
    ]


def _boxes() -> list[Check]:
    """What can carry the frames of fault boxes here, the fastest first."""
    return [
        Check("boxes", f"fault boxes by {name}", works, why, "", ())
        for name, works, why in box_engines()
    ]


def _recorders() -> list[Check]:
    """How frames can be recorded here, the fastest first."""
    return [
        Check("recorders", f"recordings by {name}", works, why, "", ())
        for name, works, why in recorders()
    ]


def _clocks() -> list[Check]:
    """What stamps the frames that arrive at each NIC; no plan needs better than the kernel."""
    return [
        Check("clocks", f"time stamps at {nic}", True, f"{clock.name} ({clock.why})", "", ())
        for nic, clock in clocks()
    ]


def _commands() -> list[Check]:
    checks = []
    for package in packages():
        if not package.commands:
            continue
        missing = package.missing()
        needed_by = tuple(
            f"{lab}/{name}" if name else lab
            for lab in package.labs
            for name in (package.platforms or ("",))
        )
        checks.append(
            Check(
                "commands",
                ", ".join(Path(command).name for command in package.commands),
                not missing,
                f"missing: {', '.join(missing)}" if missing else package.use,
                f"sudo {install_command([package.name])}" if missing else "",
                needed_by,
            )
        )
    return checks


def _python() -> list[Check]:
    version = platform.python_version()
    checks = [Check("python", "Python", True, version, "", ("virtual", "hardware"))]
    try:
        requirements = metadata.requires("testbed") or []
    except metadata.PackageNotFoundError:
        mend = f"{sys.executable} -m pip install -e ."
        found = "not installed"
        return [*checks, Check("python", "testbed", False, found, mend, ("virtual", "hardware"))]
    for requirement in requirements:
        if "extra ==" in requirement:
            continue
        name = re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]
        try:
            found, ok = metadata.version(name), True
        except metadata.PackageNotFoundError:
            found, ok = "not installed", False
        mend = "" if ok else f"{sys.executable} -m pip install '{requirement}'"
        checks.append(Check("python", name, ok, found, mend, ("virtual", "hardware")))
    return checks


def _lab(lab: str, checks: tuple[Check, ...]) -> LabState:
    missing = [check for check in checks if not check.ok and lab in check.needed_by]
    if missing:
        why = "; ".join(f"{check.name} ({check.found})" for check in missing)
        return LabState(lab, False, f"missing: {why}")
    devices = sorted(
        {
            need.removeprefix(f"{lab}/")
            for check in checks
            if not check.ok
            for need in check.needed_by
            if need.startswith(f"{lab}/")
        }
    )
    if devices:
        return LabState(lab, True, f"but not with devices of these platforms: {', '.join(devices)}")
    if lab == "virtual":
        return LabState(lab, True, checks[0].found)
    return LabState(lab, True, "given the gear, and its bench file")
