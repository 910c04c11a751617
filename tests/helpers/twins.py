"""The same script twice: in Python, and in the kernel by hand, in step on one clock."""

from testbed.link.impair import Pipeline
from testbed.link.inline.lane import ARMED, CLOCK, PASSED, READY_HEAD, READY_TAIL, RUN, Lane
from testbed.link.inline.script import Script
from testbed.timing import Instant

REDIRECT = 4


class Twins:
    """``make`` gives the stages, the same ones each time."""

    def __init__(self, make, lane, mtu=1500):
        self.python, self.kernel = make(), make()
        self.pipeline = Pipeline(*self.python)
        self.lane = lane
        self.now = 0
        self.by_python = None
        self.script = Script(self.kernel, lane, ("out", 1, mtu), by_hand=True)
        assert self.script.load()
        lane[ARMED] = lane[READY_HEAD]
        lane[RUN] = 1

    def push(self, frame, now):
        """Both outputs of one frame at one time, and of all that was due before."""
        ours, theirs = self.until(now)
        ours += [(now, out) for out in self.pipeline.push(frame, Instant(now))]
        theirs += self._enter(frame, now)
        return ours, theirs

    def until(self, end):
        ours, theirs = [], []
        while (at := self.pipeline.next_deadline()) is not None and at <= end:
            at = self.now = max(at, self.now)  # a deadline that has passed means: now
            ours += [(at, out) for out in self.pipeline.due(at)]
            theirs += self._work(at)
        self.now = end
        return ours, theirs

    def change_hands(self):
        """Have Python go on with the kernel's twins, or the kernel where Python has got to."""
        if self.by_python is None:
            self.finish()
            self.by_python = Pipeline(*self.kernel)
        else:
            for stage in self.kernel:
                stage.detach()
            self.by_python = None
            assert self.script.load()

    def _enter(self, frame, now):
        if self.by_python is not None:
            return [(now, out) for out in self.by_python.push(frame, Instant(now))]
        self.lane[CLOCK] = now
        before = self.lane[PASSED]
        verdict = self.script.entrance.try_on(frame)
        if self.script.direct:
            assert (verdict.action == REDIRECT) == (self.lane[PASSED] > before)
            return [(now, verdict.frame)] * (self.lane[PASSED] - before)
        return self._work(now)

    def _work(self, now):
        if self.by_python is not None:
            return [(now, out) for out in self.by_python.due(Instant(now))]
        self.lane[CLOCK] = now
        out = []
        while True:
            before, copies = self._progress(), self.script.is_eager
            verdict = self.script.worker.try_on(bytes(60))
            if verdict.action == REDIRECT:
                out.append((now, verdict.frame))
            elif self._progress() == before and not copies:
                return out

    def _progress(self):
        words = self.script.words
        heads = [
            words[part.queue // 8 : part.queue // 8 + 3].tolist()
            for part in self.script.parts
            if hasattr(part, "queue")
        ]
        return self.lane[READY_TAIL], heads

    def finish(self):
        """Give the kernel's twins back what they remember."""
        if self.by_python is None:
            self.script.tell()
            self.script.store()

    def close(self):
        self.script.close()


def memory(stage):
    """All that a stage remembers, as plain values."""
    kept = {}
    for name, value in vars(stage).items():
        if name in ("log", "_changed", "stage"):
            continue
        kept[name] = sorted(value) if name == "waiting" else _plain(value)
    return kept


def _plain(value):
    if isinstance(value, (int, float, str, bytes, type(None))):
        return value
    if isinstance(value, (list, tuple)) or type(value).__name__ == "deque":
        return [_plain(each) for each in value]
    if hasattr(value, "__dict__"):
        return {name: _plain(each) for name, each in vars(value).items()}
    if hasattr(value, "__slots__"):
        return {name: _plain(getattr(value, name)) for name in value.__slots__}
    return repr(value)


def fresh_lane():
    return Lane(1518)
