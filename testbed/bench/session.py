"""A run's hold on a bench: lease, journal, gear, wire proof, and everything put back at the end."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

from testbed.bench.journal import Entry, Journal
from testbed.bench.state import journal_file, state_file
from testbed.bench.wireproof import Proof, prove_wires
from testbed.console.transcript import ConsoleLog
from testbed.devices.settings import ConfiguredDriver
from testbed.errors import BenchError, CablingError, ConsoleError, TestbedError
from testbed.inventory import Bench as BenchFile
from testbed.labs.opening import open_bench
from testbed.link.before import NicBefore

__all__ = ["BenchSession", "held"]


class BenchSession:
    """One bench, held by one run, from lease to release.

    ``keep_config`` leaves the changes of plans in place at the end. ``seed`` is where the chance of
    a sim bench comes from. ``say`` is told what happens.
    """

    def __init__(
        self,
        bench_file: BenchFile,
        *,
        keep_config: bool = False,
        prove: bool = True,
        seed: int = 1,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.file = bench_file
        self.keep_config = keep_config
        self.proofs: list[Proof] = []
        self.restore_notes: list[str] = []
        self.seed = seed
        self._prove = prove
        self._say = say
        self._stack = ExitStack()
        self._baselines: dict[str, str] = {}
        self._lost: dict[str, ConsoleError] = {}
        self.versions: dict[str, str] = {}

    def open(self) -> None:
        """Take the bench and make it ready; whatever fails, what was taken is given back."""
        with ExitStack() as undo:
            if self.outlives_us:
                self._take_lease(undo)
            lab = undo.enter_context(open_bench(self.file, str(self.seed), self._say))
            self.hardware, self.loop = lab.bench, lab.loop
            path = journal_file(self.file) if self.outlives_us else None
            self.journal = Journal(path, self.loop.wall_now)
            undo.callback(self.journal.close)
            self.console = ConsoleLog(self.loop.wall_now)
            self.gear = lab.gear(self.journal, self.console, self._note_claim)
            undo.callback(self._close_gear)
            self._recover()
            if self.simulated:
                cables = self.file.cables
                self.proofs = [Proof(cable, "proven", "laid by the lab") for cable in cables]
            elif self._prove:
                self._refuse_miswired()
            self._stack = undo.pop_all()

    @property
    def outlives_us(self) -> bool:
        """Whether the gear is there before the run and after it: nothing of it may be lost.

        Every run builds a virtual or a sim bench of its own, which ends with it.
        """
        return self.file.lab == "hardware"

    @property
    def simulated(self) -> bool:
        """Whether time is virtual, and the bench made, and so wired, as the file says."""
        return self.file.lab == "sim"

    def _take_lease(self, undo: ExitStack) -> None:
        from testbed.bench.lease import Lease  # noqa: PLC0415 - it locks files as only Unix does

        name = self.file.bench
        undo.enter_context(Lease(state_file("leases", name, ".lock"), name))

    def renew(self, plan: str, seed: int | None = None) -> None:
        """Have a sim bench as new for a plan: how it goes follows from the seed and its name."""
        if self.simulated:
            self.gear.renew(f"{self.seed if seed is None else seed} {plan}")
            self.journal.forget()
            self.console.forget()
            self._baselines.clear()

    def close(self) -> None:
        """Undo what is still changed, compare every device with how it was found, release."""
        with self._stack:
            if self.simulated:
                return  # each plan had a bench of its own
            if self.keep_config:
                self._tell_what_stays()
                return
            self.restore_notes += self.undo_since(0)
            self._compare_with_baselines()

    def say(self, text: str) -> None:
        """Tell whoever runs this what happens."""
        self._say(text)

    def driver(self, name: str) -> ConfiguredDriver:
        """The driver of a device; its configuration is read before it is first touched."""
        driver: ConfiguredDriver = self.gear.driver(name)
        if name not in self._baselines:
            self.versions[name] = driver.version()
            self._baselines[name] = driver.read_config()
            self._bring_to_baseline(name, driver)
        return driver

    def _bring_to_baseline(self, name: str, driver: ConfiguredDriver) -> None:
        """Start from the configuration that the bench file names; the old one comes back."""
        entry = self.hardware.node(name)
        if entry.baseline is None:
            return
        wanted = entry.baseline.read_text()
        if driver.diff_config(wanted):
            self._say(f"{name}: bringing it to its baseline, {entry.baseline}")
            driver.apply_config(wanted)

    def mark(self) -> int:
        """A place in the journal: give it to undo_since()."""
        return self.journal.entries[-1].number + 1 if self.journal.entries else 0

    def undo_since(self, mark: int) -> list[str]:
        """Undo every device's changes made since ``mark``; the messages of what went wrong."""
        changed = [e for e in self.journal.open_entries() if e.change and e.number >= mark]
        return self._undo_all(changed)

    def restore(self, names: Iterable[str]) -> None:
        """Make the configuration of these devices what it was when they were first touched."""
        for name in names:
            baseline = self._baselines.get(name)
            if baseline is not None and self.gear.driver(name).read_config() != baseline:
                self.gear.driver(name).restore_config(baseline)

    @property
    def restored(self) -> bool:
        """Whether every device is as it was found."""
        return not self.restore_notes

    def _note_claim(self, before: NicBefore) -> Callable[[], None]:
        entry = self.journal.before_nic(before)
        return lambda: self.journal.undone(entry)

    def _undo_all(self, entries: list[Entry]) -> list[str]:
        self._lost = {}
        return self.journal.undo_all(self._undo, entries)

    def _undo(self, entry: Entry) -> None:
        if entry.nic is not None:
            from testbed.link.claim import restore  # noqa: PLC0415 - of Linux

            restore(entry.nic)
        if entry.change is None:
            return
        device = entry.change.device
        if device in self._lost:  # it was asked already, and every time it costs a login's patience
            raise self._lost[device]
        try:
            self.gear.driver(device).undo(entry.change.undo)
        except ConsoleError as error:
            self._lost[device] = error
            raise

    def _recover(self) -> None:
        """Undo what a run that was killed has left changed."""
        left = self.journal.open_entries()
        if not left:
            return
        self._say(f"an earlier run ended without putting {len(left)} changes back: undoing them")
        failures = self._undo_all(left)
        if failures:
            raise BenchError(
                "what an earlier run changed could not be undone:\n  "
                + "\n  ".join(failures)
                + "\nMend the devices, then: testbed bench recover. Where they are as they should "
                f"be, remove {journal_file(self.file)}"
            )

    def _refuse_miswired(self) -> None:
        self._say("proving the cabling")
        mark = self.mark()
        try:
            self.proofs = prove_wires(self.gear, self.driver)
        finally:
            left = self.undo_since(mark)
        if left:
            raise BenchError("the proof of the cabling left changes:\n  " + "\n  ".join(left))
        wrong = [str(proof) for proof in self.proofs if proof.state in ("wrong", "down")]
        if wrong:
            raise CablingError(
                f"bench {self.file.bench} is not wired as its file says:\n  "
                + "\n  ".join(wrong)
                + "\nMend the cables or the file; testbed bench check shows all of them"
            )

    def _tell_what_stays(self) -> None:
        left = [entry for entry in self.journal.open_entries() if entry.change]
        if left and self.file.lab != "virtual":
            self._say(f"{len(left)} changes stay on the devices; testbed bench recover undoes them")

    def _compare_with_baselines(self) -> None:
        for name, baseline in self._baselines.items():
            if name in self._lost:
                continue  # it has been noted that it cannot be reached
            try:
                self._put_back(name, baseline)
            except TestbedError as error:
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
