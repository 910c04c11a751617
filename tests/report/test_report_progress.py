"""Bars for what is sent: shown on a terminal, with live rates, and nowhere else."""

import io

from rich.console import Console

from testbed.report.progress import SendingBars, rate_text


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def bars(*, terminal: bool) -> tuple[SendingBars, io.StringIO, Clock]:
    shown, clock = io.StringIO(), Clock()
    console = Console(file=shown, force_terminal=terminal, width=150, _environ={"TERM": "xterm"})
    return SendingBars(console, clock), shown, clock


def test_a_bar_tells_what_was_sent_the_rates_and_what_remains() -> None:
    made, shown, clock = bars(terminal=True)
    with made:
        made.show("a", "a: stream", 0, 0, 10_000)
        clock.now = 0.5
        made.show("a", "a: stream", 1000, 60_000, 10_000)
        assert "1,000 of 10,000, 9,000 to go" in shown.getvalue()
        assert "2 kpps, 960 kbit/s" in shown.getvalue()
        clock.now = 1.0
        made.show("a", "a: stream", 4000, 240_000, 10_000)
        assert "6 kpps, 2.88 Mbit/s" in shown.getvalue()


def test_what_has_no_end_is_counted_and_each_has_its_bar() -> None:
    made, shown, _ = bars(terminal=True)
    made.show(1, "a: stream", 1234, 0)
    made.show(2, "b: replay", 7, 0)
    assert "1,234 frames" in shown.getvalue()
    assert "to go" not in shown.getvalue()
    made.hide(1)
    made.hide(1)
    shown.truncate(0)
    made.show(2, "b: replay", 8, 0)
    assert "b: replay" in shown.getvalue()
    assert "a: stream" not in shown.getvalue()
    made.close()
    made.show(1, "a: stream", 5, 0)
    made.close()


def test_nothing_is_shown_where_there_is_no_terminal() -> None:
    made, shown, _ = bars(terminal=False)
    with made:
        made.show(1, "a: stream", 1, 1, 2)
        made.hide(1)
    assert not shown.getvalue()


def test_rates_have_three_digits() -> None:
    rates = (0, 5, 999, 1000, 1234, 1_250_000, 9.99e9)
    told = [rate_text(rate, "pps") for rate in rates]
    assert told == ["0 pps", "5 pps", "999 pps", "1 kpps", "1.23 kpps", "1.25 Mpps", "9.99 Gpps"]
