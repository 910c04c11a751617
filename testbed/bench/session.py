"""A run's hold on a bench: lease, journal, gear, wire proof, and everything put back at the end."""

from __future__ import annotations

import difflib
import hashlib
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from testbed.bench.journal import Entry, Journal
from testbed.bench.lease import Lease
from testbed.bench.state import state_file
from testbed.bench.wireproof import Proof, prove_wires
from testbed.console.transcript import ConsoleLog
from testbed.errors import BenchError, CablingError
from testbed.hosts import RealLoop
from testbed.inventory import Bench as BenchFile
from testbed.labs.hardware import Gear
from testbed.labs.opening import open_lab
from testbed.link.claim import NicBefore, restore

__all__ = ["BenchSession", "held"]


class BenchSession:
    """One bench, held by one run, from lease to release.

    ``keep_config`` leaves the changes of plans in place at the end. ``say`` is told what happens.
    """

    def __init__(
        self,
        bench_file: BenchFile,
        *,
        keep_config: bool = False,
        prove: bool = True,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.file = bench_file
        self.keep_config = keep_config
        self.proofs: list[Proof] = []
        self.restore_notes: list[str] = []
        self._prove = prove
        self._say = say
        self._stack = ExitStack()
        self._baselines: dict[str, str] = {}
        self.versions: dict[str, str] = {}

    def open(self) -> None:
        """Take the bench and make it ready; whatever fails, what was taken is given back."""
        with ExitStack() as undo:
            undo.enter_context(
                Lease(state_file("leases", self.file.bench, ".lock"), self.file.bench)
            )
            self.hardware = undo.enter_context(open_lab(self.file, self._say))
            self.loop = RealLoop()
            undo.callback(self.loop.close)
            self.journal = Journal(self._journal_path(undo), self.loop.wall_now)
            undo.callback(self.journal.close)
            self.console = ConsoleLog(self.loop.wall_now)
            self.gear = Gear(self.hardware, self.loop, self.journal, self.console, self._note_claim)
            undo.callback(self._close_gear)
            self._recover()
            if self._prove:
                self._refuse_miswired()
            self._stack = undo.pop_all()

    def close(self) -> None:
        """Undo what is still changed, compare every device with how it was found, release."""
        with self._stack:
            if not self.keep_config:
                self.undo_since(0)
                self._compare_with_baselines()

    def driver(self, name: str) -> Any:
        """The driver of a device; its configuration is read before it is first touched."""
        opened = name in self.gear.opened()
        driver = self.gear.driver(name)
        if not opened:
            self.versions[name] = driver.version()
            self._baselines[name] = driver.read_config()
        return driver

    def mark(self) -> int:
        """A place in the journal: give it to undo_since()."""
        return self.journal.entries[-1].number + 1 if self.journal.entries else 0

    def undo_since(self, mark: int) -> list[str]:
        """Undo every device's changes made since ``mark``; the messages of what went wrong."""
        changed = [e for e in self.journal.open_entries() if e.change and e.number >= mark]
        failures = self.journal.undo_all(self._undo, changed)
        self.restore_notes += failures
        return failures

    @property
    def restored(self) -> bool:
        """Whether every device is as it was found."""
        return not self.restore_notes

    def _journal_path(self, undo: ExitStack) -> Path:
        if self.file.lab == "virtual":
            # Its devices die with the run: nothing of theirs can be left to undo.
            return Path(undo.enter_context(tempfile.TemporaryDirectory())) / "journal"
        pins = [
            f"{name}={device.ssh.host_key if device.ssh else ''}"
            for name, device in {**self.file.devices, **self.file.hosts}.items()
        ]
        digest = hashlib.sha256("\n".join(pins).encode()).hexdigest()[:12]
        return state_file("journals", f"{self.file.bench}-{digest}", ".jsonl")

    def _note_claim(self, before: NicBefore) -> Callable[[], None]:
        entry = self.journal.before_nic(before)
        return lambda: self.journal.undone(entry)

    def _undo(self, entry: Entry) -> None:
        if entry.nic is not None:
            restore(entry.nic)
        if entry.change is not None:
            self.gear.driver(entry.change.device).undo(entry.change.undo)

    def _recover(self) -> None:
        """Undo what a run that was killed has left changed."""
        left = self.journal.open_entries()
        if not left:
            return
        self._say(f"an earlier run ended without putting {len(left)} changes back: undoing them")
        failures = self.journal.undo_all(self._undo, left)
        if failures:
            raise BenchError(
                "what an earlier run changed could not be undone:\n  " + "\n  ".join(failures)
            )

    def _refuse_miswired(self) -> None:
        self._say("proving the cabling")
        mark = self.mark()
        try:
            self.proofs = prove_wires(self.gear, self.driver)
        finally:
            self.undo_since(mark)
        wrong = [str(proof) for proof in self.proofs if proof.state in ("wrong", "down")]
        if wrong:
            raise CablingError(
                f"bench {self.file.bench} is not wired as its file says:\n  "
                + "\n  ".join(wrong)
                + "\nMend the cables or the file; testbed bench check shows all of them"
            )

    def _compare_with_baselines(self) -> None:
        for name, baseline in self._baselines.items():
            try:
                self._put_back(name, baseline)
            except BenchError as error:
                self.restore_notes.append(f"{name}: {error}")

    def _put_back(self, name: str, baseline: str) -> None:
        driver = self.gear.driver(name)
        found = driver.read_config()
        if found == baseline:
            return
        diff = "\n".join(
            difflib.unified_diff(
                baseline.splitlines(), found.splitlines(), "as found", "as left", lineterm="", n=0
            )
        )
        driver.restore_config(baseline)
        self.restore_notes.append(
            f"{name}: undoing left its configuration changed; the whole was restored:\n{diff}"
        )

    def _close_gear(self) -> None:
        self.restore_notes += self.gear.close()


@contextmanager
def held(session: BenchSession) -> Iterator[BenchSession]:
    """Open ``session`` for a block and close it after, whatever happens in it."""
    session.open()
    try:
        yield session
    finally:
        session.close()
