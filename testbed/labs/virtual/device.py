"""One device of a rack: a process in namespaces of its own, with a private view of the disk.

What a device writes goes to tmpfs mounts that only it sees; the rest of the root filesystem is
read-only to it. It dies with its first process, and that dies with the rack.

Only the standard library is imported here; see ``testbed.labs.virtual.rack``.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from testbed.labs.syscalls import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUTS,
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_REC,
    mount,
    protect,
    setns,
    unshare,
)
from testbed.labs.virtual.spec import DeviceSpec

__all__ = ["Running", "Settings", "power_on"]

_SCRIPTS = Path(__file__).parent / "scripts"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_OWN = ("/run", "/tmp", "/var/tmp", "/var/log", "/var/lib/openvswitch", "/home", "/dev/shm")  # noqa: S108
"""Where a device may write: each a tmpfs that only it sees."""

_OVERLAID = {"/etc/frr", "/etc/openvswitch", "/etc/pam.d"}
"""Directories of /etc that a device has to itself; those that this machine lacks are left out."""

_HOME = "/home/admin"

# Every account has uid 0, for without root a user namespace maps a single id. The first name that
# has it is the one that prompts and process lists show.
_PASSWD = f"""\
admin:x:0:0:admin:{_HOME}:/bin/bash
root:x:0:0:root:{_HOME}:/bin/bash
frr:x:0:0:frr:/run/frr:/usr/sbin/nologin
sshd:x:0:0:sshd:/run/sshd:/usr/sbin/nologin
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
"""
_GROUP = "root:x:0:\ntty:x:0:\nfrr:x:0:\nfrrvty:x:0:\nnogroup:x:65534:\n"

# pam.conf(5). The machine's own stack may ask for modules that need what a device has not. The
# password guards the console; vtysh (service "frr") asks too, of users who have logged in already.
_PAM_KINDS = ("auth", "account", "password", "session")
_PAM = {
    "login": "auth required pam_unix.so\naccount required pam_unix.so\n"
    "password required pam_deny.so\nsession required pam_permit.so\n",
    "frr": "".join(f"{kind} required pam_permit.so\n" for kind in _PAM_KINDS),
    "other": "".join(f"{kind} required pam_deny.so\n" for kind in _PAM_KINDS),
}

_SSHD_CONFIG = """\
Port 22
AddressFamily inet
HostKey /run/ssh/host_key
AuthorizedKeysFile /run/ssh/authorized_keys
# A named pipe: sshd writes its pid there once it listens, and the init script waits for that.
PidFile /run/sshd/listening
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
PrintLastLog no
MaxSessions 100
MaxStartups 100
Subsystem sftp internal-sftp
"""

_PROFILE = """\
PS1='\\u@\\h:\\w\\$ '
unset PROMPT_COMMAND HISTFILE
"""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the rack decides about a device."""

    console: str
    """The terminal of its serial console."""
    authorized_key: str
    options: tuple[str, ...]
    """Words that the platform's script knows."""


@dataclass(frozen=True, slots=True)
class Running:
    """A device that has power."""

    pid: int
    life: int
    """Its standard input: closing it is pulling the plug."""
    output: int
    """What its init script and the start of its daemons print."""
    ready: int
    """Readable when the device is up, or when its init script has ended."""

    def close(self) -> None:
        """Release the descriptors."""
        for descriptor in (self.life, self.output, self.ready):
            os.close(descriptor)


def _read_scripts(platform: str) -> dict[str, str]:
    """The init script and the platform's own, by name."""
    return {
        "init.sh": (_SCRIPTS / "init.sh").read_text(),
        "platform.sh": (_SCRIPTS / f"{platform}.sh").read_text(),
    }


def power_on(spec: DeviceSpec, namespace: int, settings: Settings) -> Running:
    """Start a device in a network namespace; it reports on ``ready`` when it is up."""
    scripts = _read_scripts(spec.platform)
    life_read, life = os.pipe()
    output, output_write = os.pipe()
    ready, ready_write = os.pipe()
    own_pids = os.open("/proc/thread-self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    unshare(CLONE_NEWPID)  # for the next child; this process stays where it is
    try:
        pid = os.fork()
        if not pid:
            _connect(life_read, output_write, ready_write)
            _become(spec, namespace, settings, scripts)
    finally:
        setns(own_pids, CLONE_NEWPID)
        os.close(own_pids)
    for descriptor in (life_read, output_write, ready_write):
        os.close(descriptor)
    return Running(pid, life, output, ready)


def _connect(life: int, output: int, ready: int) -> None:
    """Give the child its four descriptors; all others close when it becomes another program."""
    copies = [os.dup(descriptor) for descriptor in (life, output, output, ready)]
    for target, copy in enumerate(copies):
        os.dup2(copy, target, inheritable=True)


def _become(
    spec: DeviceSpec, namespace: int, settings: Settings, scripts: dict[str, str]
) -> NoReturn:
    """Turn the child into the device's first process."""
    try:
        setns(namespace, CLONE_NEWNET)
        unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC)
        socket.sethostname(spec.name)
        _mount_own_view()
        _write_files(spec, settings, scripts)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.chdir("/")
        os.execve(  # noqa: S606 - no shell string is built
            "/bin/sh",
            ["sh", "/run/init/init.sh"],
            {
                "PATH": _PATH,
                "HOME": _HOME,
                "LANG": "C.UTF-8",
                "CONSOLE": settings.console.removeprefix("/dev/"),
                "PORTS": " ".join(spec.ports),
                "OPTIONS": " ".join(settings.options),
            },
        )
    except BaseException as error:  # noqa: BLE001 - this process must end here, whatever happened
        os.write(2, f"{type(error).__name__}: {error}\n".encode())
        os._exit(1)


def _mount_own_view() -> None:
    mount("none", "/", None, MS_REC | MS_PRIVATE)
    protect("/", writable=False)
    protect("/dev", writable=True)  # logins change the owner of their terminal
    mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    with contextlib.suppress(PermissionError):
        # Shows the interfaces of this namespace. Where a container masks parts of /sys the kernel
        # refuses it; then /sys shows those of the machine, and no tool of a device reads it.
        mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for path in _OWN:
        if Path(path).is_dir():
            mount("testbed", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755")
    with contextlib.suppress(FileNotFoundError):
        # What a device logs is its own business, not this machine's.
        if stat.S_ISSOCK(os.lstat("/dev/log").st_mode):
            mount("/dev/null", "/dev/log", None, MS_BIND)
    for path in ("/tmp", "/var/tmp", "/dev/shm"):  # noqa: S108
        Path(path).chmod(0o1777)
    for path in _OVERLAID:
        if Path(path).is_dir():
            Path(f"/run{path}").mkdir(parents=True, exist_ok=True)
            mount(f"/run{path}", path, None, MS_BIND)


def _write_files(spec: DeviceSpec, settings: Settings, scripts: dict[str, str]) -> None:
    for name, text in scripts.items():
        _write(f"/run/init/{name}", text)
    _write("/run/ssh/host_key", spec.host_key)
    _write("/run/ssh/authorized_keys", settings.authorized_key)
    _write("/run/ssh/sshd_config", _sshd_config())
    for name in (".profile", ".bashrc"):
        _write(f"{_HOME}/{name}", _PROFILE)
    # Readline would wrap every prompt in escape sequences that no network device sends.
    _write(f"{_HOME}/.inputrc", "set enable-bracketed-paste off\n")
    _write(f"{_HOME}/.hushlogin", "")
    for name, text in _PAM.items():
        _write(f"/run/etc/pam.d/{name}", text)
    for name, text in {
        "passwd": _PASSWD,
        "group": _GROUP,
        "shadow": f"root:*:19000::::::\nadmin:{spec.password_hash}:19000::::::\n",
        "shells": "/bin/sh\n/bin/bash\n",
        "hosts": f"127.0.0.1 localhost {spec.name}\n",
        "hostname": f"{spec.name}\n",
    }.items():
        _write(f"/run/etc/{name}", text, mode=0o600 if name == "shadow" else 0o644)
        if Path(f"/etc/{name}").exists():
            mount(f"/run/etc/{name}", f"/etc/{name}", None, MS_BIND)


def _sshd_config() -> str:
    # OpenSSH 9.8 split sshd-session off and began to punish addresses for failed logins: a plan
    # that provokes them would shut itself out.
    punishes = Path("/usr/lib/openssh/sshd-session").exists()
    return _SSHD_CONFIG + ("PerSourcePenalties no\n" if punishes else "")


def _write(path: str, text: str, mode: int = 0o600) -> None:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    file.chmod(mode)
