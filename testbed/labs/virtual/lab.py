"""A virtual bench from the runner's side: brought up, handed over as hardware, taken down."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import testbed.labs
from testbed.errors import LabError
from testbed.inventory import Bench
from testbed.labs.requirements import SYSTEM_PATH, require
from testbed.labs.rootless import become_root
from testbed.labs.virtual.layout import Layout, lay_out
from testbed.labs.virtual.processes import ended

__all__ = ["VirtualLab"]

_UP_WITHIN = 30.0
_DOWN_WITHIN = 5.0
_LOG_LINES = 40

# The rack runs without site-packages and must not load this package's facade, which imports what it
# has no use for: it gets empty packages in place of the three on the way to its own module.
_BOOT = """
import sys, types
for name in ("testbed", "testbed.labs", "testbed.labs.virtual"):
    module = sys.modules[name] = types.ModuleType(name)
    module.__path__ = ["/".join((sys.argv[1], *name.split(".")))]
from testbed.labs.virtual.rack import main
main()
"""


class VirtualLab:
    """The software devices of a bench file of kind ``virtual``, alive between up() and down().

    A context manager. ``on_progress`` hears one short line for each step.
    Raises InventoryError for a bench that cannot be built, and LabError with what is missing, or
    with the device and the end of its logs, when bringing it up fails.
    """

    def __init__(self, bench: Bench, on_progress: Callable[[str], None] | None = None) -> None:
        self._bench = bench
        self._progress = on_progress or (lambda _: None)
        self._process: subprocess.Popen[bytes] | None = None
        self._layout: Layout | None = None
        self._inventory: Bench | None = None
        self._rack_pid = 0
        self._consoles: dict[str, str] = {}
        self._logs: dict[str, deque[str]] = {}
        self._pending = b""

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.down()

    @property
    def inventory(self) -> Bench:
        """The bench file of kind ``hardware`` that describes the gear; LabError when it is down."""
        if self._inventory is None:
            raise LabError(f"virtual bench {self._bench.bench} is not up")
        return self._inventory

    @property
    def rack_pid(self) -> int:
        """The process on which everything hangs."""
        return self._rack_pid

    def up(self) -> None:
        """Bring everything up; returns when every device takes logins. Nothing to do when it is."""
        if self._process is not None:
            return
        gear = (*self._bench.devices.values(), *self._bench.hosts.values())
        require("virtual", (device.platform for device in gear))
        become_root()
        self._process = self._start_rack()
        try:
            self._layout = lay_out(self._bench)
            waiting = {device.name for device in self._layout.spec.devices}
            self._logs = {name: deque(maxlen=_LOG_LINES) for name in waiting}
            self._order(order="build", spec=self._layout.spec.to_json())
            self._await_up(waiting, wired=False)
            self._inventory = self._layout.as_hardware(self._rack_pid, self._consoles)
        except BaseException:
            self.down()
            raise

    def down(self) -> None:
        """Take everything down; returns when no process of it is left. Twice is no error."""
        process, self._process = self._process, None
        self._inventory = None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        # unshare(1) ends once the rack has, and that once the kernel has ended all within it.
        if not ended(process.pid, _DOWN_WITHIN):
            process.kill()
        process.wait()

    def power(self, device: str, *, on: bool) -> None:
        """Switch a device on or off; its cables and console stay.

        On returns when it takes logins; what it was told before is lost, as with hardware that
        nobody saved the configuration of. Raises LabError for an unknown device.
        """
        known = self.inventory.devices.keys() | self.inventory.hosts.keys()
        if device not in known:
            raise LabError(
                f"bench {self._bench.bench} has no device {device!r}; it has "
                f"{', '.join(sorted(known))}"
            )
        self._order(order="power", device=device, on=on)
        if on:
            self._await_up({device}, wired=True)
            return
        while True:
            event = self._next_event(time.monotonic() + _DOWN_WITHIN, f"{device} to lose power")
            if event["event"] == "power" and event["device"] == device:
                return

    def release(self, files: dict[str, str]) -> int:
        """Let the bench outlive this process: the pid of its rack, with ``files`` put beside it."""
        self._order(order="hold", files=files)
        while self._next_event(time.monotonic() + _DOWN_WITHIN, "to be held")["event"] != "held":
            continue
        process, self._process = self._process, None
        if process is not None:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
            # It goes on without us; the interpreter need not warn about it.
            process.returncode = 0
        return self._rack_pid

    def _start_rack(self) -> subprocess.Popen[bytes]:
        root = str(Path(testbed.labs.__file__).parents[2])
        namespaces = ("--net", "--mount", "--pid", "--fork", "--kill-child")
        python = (sys.executable, "-I", "-S", "-c", _BOOT, root, self._bench.bench)
        return subprocess.Popen(
            ["unshare", *namespaces, "--", *python],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={"PATH": SYSTEM_PATH, "LANG": "C.UTF-8"},
            start_new_session=True,  # an interrupt from the terminal is the runner's to handle
            bufsize=0,
        )

    def _order(self, **order: Any) -> None:
        process = self._process
        if process is None or process.stdin is None:
            raise LabError(f"virtual bench {self._bench.bench} is not up")
        try:
            view = memoryview(json.dumps(order).encode() + b"\n")
            while view:
                view = view[process.stdin.write(view) :]
        except BrokenPipeError:
            self._next_event(time.monotonic() + _DOWN_WITHIN, "the rack")

    def _await_up(self, waiting: set[str], *, wired: bool) -> None:
        deadline = time.monotonic() + _UP_WITHIN
        waiting = set(waiting)
        while waiting or not wired:
            event = self._next_event(deadline, f"{', '.join(sorted(waiting))} to come up")
            if event["event"] == "rack":
                self._rack_pid = event["pid"]
            elif event["event"] == "wired":
                wired = True
                self._consoles = event["consoles"]
                self._progress("cables plugged in")
            elif event["event"] == "up":
                waiting.discard(event["device"])
                self._progress(f"{event['device']} is up")

    def _next_event(self, deadline: float, awaited: str) -> dict[str, Any]:
        """The next event; LabError when the rack or a device fails, or the time is over."""
        while b"\n" not in self._pending:
            self._pending += self._read(deadline, awaited)
        line, _, self._pending = self._pending.partition(b"\n")
        try:
            event: dict[str, Any] = json.loads(line)
        except ValueError:
            raise self._rack_failed(line + b"\n" + self._pending) from None
        if event["event"] == "failed":
            raise LabError(f"virtual bench {self._bench.bench} could not be built: {event['text']}")
        if event["event"] == "log":
            self._logs[event["device"]].extend(event["text"].splitlines())
        if event["event"] == "died":
            raise LabError(
                f"virtual device {event['device']} ended with status {event['status']}"
                f"{self._tail(event['device'])}"
            )
        return event

    def _read(self, deadline: float, awaited: str) -> bytes:
        process = self._process
        if process is None or process.stdout is None:
            raise LabError(f"virtual bench {self._bench.bench} is not up")
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            if not selector.select(max(0.0, deadline - time.monotonic())):
                tails = "".join(self._tail(name) for name in self._logs)
                raise LabError(
                    f"virtual bench {self._bench.bench}: waited in vain for {awaited}{tails}"
                )
        data = os.read(process.stdout.fileno(), 65536)
        if not data:
            raise self._rack_failed(self._pending)
        return data

    def _rack_failed(self, output: bytes) -> LabError:
        text = output.decode(errors="replace").strip()
        hint = ""
        if "unshare" in text and "not permitted" in text:
            hint = "; making namespaces needs root or user namespaces: see testbed doctor"
        return LabError(
            f"virtual bench {self._bench.bench}: its rack ended: {text or 'without a word'}{hint}"
        )

    def _tail(self, device: str) -> str:
        lines = self._logs.get(device)
        return f"\n{device}: " + f"\n{device}: ".join(lines) if lines else ""
