"""The rack: the process that holds a virtual bench together, first in a pid namespace of its own.

It plugs the cables in, powers the devices, carries their serial lines, and tells the runner about
it, one JSON object per line. All that the bench is made of (processes, namespaces, interfaces,
mounts, files on tmpfs) hangs on this one process: when it ends, however it ends, the kernel takes
the rest away. It ends when its standard input does, which is when the runner dies, unless it was
told to hold.

It runs without site-packages and loads only the modules of the standard library and of
``testbed.labs`` that keep to it, so that it is up within 50 ms.
"""

from __future__ import annotations

import fcntl
import json
import os
import selectors
import signal
import traceback
from pathlib import Path
from typing import Any

from testbed.labs.interfaces import bring_up, set_address, settle_offloads
from testbed.labs.syscalls import MS_NODEV, MS_NOSUID, mount, set_name, succeed_quietly
from testbed.labs.virtual.device import Running, Settings, power_on
from testbed.labs.virtual.pump import SerialLine
from testbed.labs.virtual.spec import (
    CONTROLLER,
    FILES,
    LOOSE,
    MANAGEMENT,
    RACK_COMM,
    CableSpec,
    DeviceSpec,
    PortSpec,
    RackSpec,
)
from testbed.labs.virtual.wiring import (
    cable_lines,
    inside,
    move_line,
    new_namespace,
    open_own_namespace,
    quiet,
    run_ip,
)

__all__ = ["main"]

_ROUTERS = frozenset({"frr"})
_ETHERNET_MTU = 1500
_TUNGETFEATURES = 0x800454CF  # include/uapi/linux/if_tun.h


class _Bay:
    """A device's place in the rack: its cables and console stay when its power goes."""

    def __init__(self, spec: DeviceSpec, namespace: int, line: SerialLine) -> None:
        self.spec = spec
        self.namespace = namespace
        self.line = line
        self.running: Running | None = None
        self.up = False


class Rack:
    """A bench in the making, standing, and changing at the runner's word."""

    def __init__(self, spec: RackSpec, selector: selectors.BaseSelector) -> None:
        self._spec = spec
        self._selector = selector
        self._namespaces = {CONTROLLER: open_own_namespace()}
        self._bays: dict[str, _Bay] = {}
        self._options: tuple[str, ...] = () if _has_tun() else ("no-tun",)

    def build(self) -> None:
        """Plug everything in and switch every device on."""
        quiet(forwarding=False)
        for name, text in self._spec.files.items():
            _write_private(Path(FILES) / name, text)
        for device in self._spec.devices:
            namespace = new_namespace(forwarding=device.platform in _ROUTERS)
            self._namespaces[device.name] = namespace
            self._bays[device.name] = _Bay(device, namespace, SerialLine(self._selector))
        if any(cable.right.node == LOOSE for cable in self._spec.cables):
            self._namespaces[LOOSE] = new_namespace(forwarding=False)
        cables = [*self._spec.cables, *(_management(bay.spec) for bay in self._bays.values())]
        run_ip(
            "".join(cable_lines(cable, self._namespaces) for cable in cables),
            list(self._namespaces.values()),
        )
        for bay in self._bays.values():
            set_address(bay.spec.management_nic, bay.spec.gateway)
        for node, namespace in self._namespaces.items():
            with inside(namespace):
                for port in (end for cable in cables for end in (cable.left, cable.right)):
                    if port.node == node and node != LOOSE:
                        settle_offloads(port.name)
                        bring_up(port.name)
        for bay in self._bays.values():
            self._switch_on(bay)
        tell(
            event="wired",
            consoles={name: bay.line.controller_path for name, bay in self._bays.items()},
        )

    def power(self, device: str, *, on: bool) -> None:
        """Switch a device on or off; one that is already so stays as it is."""
        bay = self._bays[device]
        if on and not bay.running:
            self._switch_on(bay)
        elif not on and bay.running:
            self._switch_off(bay)
        else:
            tell(event="power", device=device, on=on)
            if on and bay.up:
                tell(event="up", device=device)

    def _switch_on(self, bay: _Bay) -> None:
        with inside(bay.namespace):
            set_address(MANAGEMENT, bay.spec.address)
            for port in bay.spec.ports:
                bring_up(port)
        settings = Settings(bay.line.device_path, self._spec.authorized_key, self._options)
        running = power_on(bay.spec, bay.namespace, settings)
        bay.running = running
        os.set_blocking(running.output, False)
        name = bay.spec.name
        self._selector.register(running.output, selectors.EVENT_READ, lambda _: self._log(bay))
        self._selector.register(running.ready, selectors.EVENT_READ, lambda _: self._ready(bay))
        tell(event="power", device=name, on=True)

    def _switch_off(self, bay: _Bay) -> None:
        """Pull the plug: its processes die at once, its ports lose their carrier."""
        running = bay.running
        if running is None:
            return
        os.kill(running.pid, signal.SIGKILL)
        os.waitpid(running.pid, 0)  # its pid namespace is empty when this returns
        self._forget(bay, running)
        self._strip(bay)
        tell(event="power", device=bay.spec.name, on=False)

    def _strip(self, bay: _Bay) -> None:
        """Move the ports to a fresh namespace: bridges, routes, rules and settings stay behind."""
        name = bay.spec.name
        old = bay.namespace
        bay.namespace = new_namespace(forwarding=bay.spec.platform in _ROUTERS)
        cables = [*self._spec.cables, _management(bay.spec)]
        ports = [
            (port, cable)
            for cable in cables
            for port in (cable.left, cable.right)
            if port.node == name
        ]
        with inside(old):
            run_ip(
                "".join(move_line(port.name, bay.namespace) for port, _ in ports), [bay.namespace]
            )
        os.close(old)
        self._namespaces[name] = bay.namespace
        with inside(bay.namespace):
            run_ip("".join(f"link set {port.name} mtu {cable.mtu}\n" for port, cable in ports), [])

    def _log(self, bay: _Bay) -> None:
        running = bay.running
        if running is None:
            return
        data = os.read(running.output, 65536)
        if data:
            tell(event="log", device=bay.spec.name, text=data.decode(errors="replace"))
        else:
            self._selector.unregister(running.output)

    def _ready(self, bay: _Bay) -> None:
        running = bay.running
        if running is None:
            return
        self._selector.unregister(running.ready)
        if os.read(running.ready, 16):
            bay.up = True
            tell(event="up", device=bay.spec.name)

    def buried(self, pid: int, status: int) -> None:
        """A child has ended; when it was a device that nobody switched off, say so."""
        for bay in self._bays.values():
            running = bay.running
            if running is not None and running.pid == pid:
                self._drain(bay, running)
                self._forget(bay, running)
                tell(event="died", device=bay.spec.name, status=os.waitstatus_to_exitcode(status))

    def _drain(self, bay: _Bay, running: Running) -> None:
        try:
            while data := os.read(running.output, 65536):
                tell(event="log", device=bay.spec.name, text=data.decode(errors="replace"))
        except BlockingIOError:
            return

    def _forget(self, bay: _Bay, running: Running) -> None:
        for descriptor in (running.output, running.ready):
            if descriptor in self._selector.get_map():
                self._selector.unregister(descriptor)
        running.close()
        bay.running = None
        bay.up = False


class _Runner:
    """The runner's end of the pipe: orders come as lines, its death as the end of input."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._pending = b""
        self._rack: Rack | None = None
        selector.register(0, selectors.EVENT_READ, self._hear)

    def buried(self, pid: int, status: int) -> None:
        """Pass a child's end on to the rack."""
        if self._rack is not None:
            self._rack.buried(pid, status)

    def _hear(self, _: int) -> None:
        data = os.read(0, 1 << 20)
        if not data:
            os._exit(0)  # and with this process, all of the bench
        *lines, self._pending = (self._pending + data).split(b"\n")
        for line in lines:
            self._obey(json.loads(line))

    def _obey(self, order: dict[str, Any]) -> None:
        if order["order"] == "build":
            self._rack = Rack(RackSpec.from_json(order["spec"]), self._selector)
            self._rack.build()
        elif order["order"] == "hold":
            for name, text in order["files"].items():
                _write_private(Path(FILES) / name, text)
            self._selector.unregister(0)
            tell(event="held")
        elif self._rack is not None:
            self._rack.power(order["device"], on=order["on"])


def tell(**event: Any) -> None:
    """Report to the runner; one that no longer listens is no error."""
    try:
        os.write(1, json.dumps(event).encode() + b"\n")
    except BrokenPipeError:
        return


def main() -> None:
    """Serve one runner; returns never."""
    try:
        set_name(RACK_COMM)
        if Path("/proc/self/setgroups").read_text().strip() == "deny":
            succeed_quietly()
        mount("testbed", "/run", "tmpfs", MS_NODEV | MS_NOSUID, "mode=0700")
        Path(FILES).mkdir()
        selector = selectors.DefaultSelector()
        runner = _Runner(selector)
        bell, ringer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(ringer)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        selector.register(bell, selectors.EVENT_READ, lambda _: _bury(bell, runner))
        # The machine's /proc still shows: the pid that the runner knows this process by.
        tell(event="rack", pid=int(Path("/proc/self").readlink().name))
        while True:
            for key, events in selector.select():
                key.data(events)
    except BaseException as error:  # noqa: BLE001 - the runner gets to know, whatever it is
        tell(event="failed", text=f"{type(error).__name__}: {error}")
        if not isinstance(error, OSError):
            traceback.print_exc()
        os._exit(1)


def _bury(bell: int, runner: _Runner) -> None:
    os.read(bell, 4096)
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        runner.buried(pid, status)


def _management(device: DeviceSpec) -> CableSpec:
    return CableSpec(
        PortSpec(device.name, MANAGEMENT, device.management_mac),
        PortSpec(CONTROLLER, device.management_nic, device.gateway_mac),
        _ETHERNET_MTU,
    )


def _has_tun() -> bool:
    try:
        descriptor = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.ioctl(descriptor, _TUNGETFEATURES, bytes(4))
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _write_private(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o600)
