"""Real devices in namespaces, without SSH: what the drivers are tried on."""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from testbed.console.cli import DEFAULT_WITHIN, Reply
from testbed.devices import Change, Driver, DriverContext
from testbed.timing import Duration, Instant
from testbed.wire.addresses import MacAddr

SWITCH_PORTS = ("p1", "p2", "p3", "p4", "p5")
ROUTER_PORTS = ("eth1", "eth2", "eth3", "eth4")

NEEDED = ("unshare", "nsenter", "ip", "bridge", "tc", "nft", "ss", "ethtool")
NEEDED_FOR = {
    "openvswitch": ("ovs-vsctl", "ovs-vswitchd", "ovsdb-server"),
    "frr": ("vtysh", "/usr/lib/frr/zebra", "/usr/lib/frr/staticd"),
}

_INIT = r"""
set -e
D=$1; KIND=$2; NAME=$3; PATH=$PATH:/usr/sbin:/sbin; export PATH
hostname "$NAME"
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/frr /run/openvswitch "$D/etc" "$D/frr" "$D/ovs"
printf 'root:x:0:0:root:/root:/bin/sh\nfrr:x:0:0:frr:/:/bin/false\n' > "$D/etc/passwd"
printf 'root:x:0:\nfrr:x:0:\nfrrvty:x:0:\ntty:x:0:\n' > "$D/etc/group"
for file in passwd group; do mount --bind "$D/etc/$file" "/etc/$file"; done
ip link set lo up
case $KIND in
frr)
    mount --bind "$D/frr" /etc/frr
    echo 1 > /proc/sys/net/ipv4/ip_forward
    printf 'hostname %s\nno service integrated-vtysh-config\n' "$NAME" > /etc/frr/vtysh.conf
    for daemon in zebra staticd; do
        printf 'hostname %s\n' "$NAME" > "/etc/frr/$daemon.conf"
        "/usr/lib/frr/$daemon" -d -u root -g root -A 127.0.0.1 < /dev/null > "$D/$daemon.out" 2>&1
    done
    ;;
openvswitch)
    export OVS_DBDIR="$D/ovs" OVS_LOGDIR="$D/ovs"
    ovsdb-tool create "$D/ovs/conf.db" /usr/share/openvswitch/vswitch.ovsschema
    set -- --pidfile --detach --no-chdir --log-file -vconsole:off
    ovsdb-server "$D/ovs/conf.db" --remote=punix:/run/openvswitch/db.sock "$@" \
        < /dev/null > /dev/null 2>&1
    ovs-vsctl --no-wait init
    ovs-vswitchd "$@" < /dev/null > /dev/null 2>&1
    ovs-vsctl add-br br0 -- set bridge br0 datapath_type=netdev
    ;;
linux_bridge)
    ip link add br0 type bridge
    ip link set br0 up
    ;;
esac
echo ready
exec cat > /dev/null
"""

_LIBC = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNET = 0x40000000


class WallClock:
    def now(self) -> Instant:
        return Instant(time.monotonic_ns())


class Journal:
    """A ChangeLog in memory."""

    def __init__(self) -> None:
        self.changes: list[Change] = []

    def before(self, change: Change) -> None:
        self.changes.append(change)

    def undo_all(self, driver: Driver) -> None:
        for change in reversed(self.changes):
            driver.undo(change.undo)
        self.changes.clear()


class LocalCli:
    """A command line of a device, without a login."""

    def __init__(self, name: str, enter: list[str]) -> None:
        self.device = name
        self.transport = "nsenter"
        self.commands: list[str] = []
        self._enter = enter

    def run(self, command: str, *, within: Duration = DEFAULT_WITHIN) -> Reply:
        assert "\n" not in command
        self.commands.append(command)
        done = subprocess.run(
            [*self._enter, "sh", "-c", command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=within / 1e9,
            check=False,
        )
        return Reply(done.stdout, done.returncode)

    def close(self) -> None:
        pass


class Space:
    """One device: a set of namespaces that dies with its first process."""

    def __init__(self, name: str, platform: str) -> None:
        self.name = name
        self.platform = platform
        self.directory = tempfile.mkdtemp(prefix=f"testbed-{name}-")
        self._init = subprocess.Popen(
            [
                "unshare", "--net", "--mount", "--uts", "--ipc", "--pid", "--fork",
                "--kill-child", "--mount-proc",
                "bash", "-c", _INIT, "init", self.directory, platform, name,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        assert self._init.stdout is not None
        if self._init.stdout.readline() != "ready\n":
            self.close()
            raise RuntimeError(f"{name} ({platform}) did not start")
        pid = self._init.pid
        self.pid = int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])

    def cli(self) -> LocalCli:
        return LocalCli(self.name, ["nsenter", "-t", str(self.pid), "-n", "-m", "-p", "-u", "-i"])

    def sh(self, command: str) -> str:
        reply = self.cli().run(command)
        assert reply.status == 0, reply
        return reply.output

    @contextmanager
    def network(self) -> Iterator[None]:
        """Be in this device's network namespace: sockets opened meanwhile stay in it."""
        own_path, other_path = Path("/proc/thread-self/ns/net"), Path(f"/proc/{self.pid}/ns/net")
        with own_path.open() as own, other_path.open() as other:
            _setns(other.fileno())
            try:
                yield
            finally:
                _setns(own.fileno())

    def close(self) -> None:
        self._init.kill()
        self._init.wait()
        for pipe in (self._init.stdin, self._init.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        shutil.rmtree(self.directory, ignore_errors=True)


class Wire:
    """The tester's end of a cable."""

    def __init__(self, space: Space, port: str) -> None:
        self.port = port
        self._space = space
        with space.network():
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self._socket.bind((port, 3))
        # PACKET_IGNORE_OUTGOING, linux/if_packet.h: what is heard came from the device.
        self._socket.setsockopt(263, 23, 1)

    def send(self, frame: bytes) -> None:
        self._socket.send(frame)

    def heard(self, marker: bytes, *, within: float = 2.0) -> bytes | None:
        """The next frame that holds ``marker``, or None when none came in time."""
        deadline = time.monotonic() + within
        while (left := deadline - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                frame = self._socket.recv(65535)
            except TimeoutError:
                return None
            if marker in frame:
                return frame
        return None

    def carrier(self) -> bool:
        return "LOWER_UP" in self._space.sh(f"ip -o link show dev {self.port}")

    def close(self) -> None:
        self._socket.close()


def join(one: Space, port: str, other: Space, far: str, mtu: int = 1500) -> None:
    """A cable between two devices."""
    _host(
        f"nsenter -t {one.pid} -n ip link add {port} mtu {mtu} type veth "
        f"peer name {far} mtu {mtu} netns {other.pid}"
    )
    for space, name in ((one, port), (other, far)):
        space.sh(f"echo 1 > /proc/sys/net/ipv6/conf/{name}/disable_ipv6")
        space.sh(f"ethtool -K {name} tx off > /dev/null; ip link set {name} up")


def context(space: Space, ports: tuple[str, ...], journal: Journal) -> DriverContext:
    return DriverContext(space.name, space.cli(), journal, WallClock(), ports)


def frame(src: str, dst: str, marker: bytes, vlan: int | None = None) -> bytes:
    """An Ethernet frame of the local experimental EtherType (IEEE 802 9.2.3)."""
    tag = b"" if vlan is None else b"\x81\x00" + vlan.to_bytes(2, "big")
    body = (marker + bytes(46))[: max(46, len(marker))]
    return MacAddr(dst).packed + MacAddr(src).packed + tag + b"\x88\xb5" + body


def _setns(descriptor: int) -> None:
    if _LIBC.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _host(command: str) -> None:
    subprocess.run(command.split(), check=True)
