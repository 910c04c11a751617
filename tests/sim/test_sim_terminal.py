"""The terminal of a simulated device, key by key, as a person at it sees it."""

from __future__ import annotations

import datetime as dt
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sim_terminal_rig import Toy

from testbed.console.profiles import is_login_failure
from testbed.console.screen import Screen
from testbed.sim.cli.syslog import timestamp
from testbed.sim.cli.terminal import LONGEST, TRIES, Account, Terminal
from testbed.timing import Instant, after, milliseconds, seconds

T0 = Instant(0)
ADMIN = Account("admin", "secret", "more secret")


class Person:
    """Types, and reads the lines of the screen."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self.now = T0
        self.screen = Screen()
        self.lines: list[str] = []
        self.read(terminal.start(T0))

    def read(self, data: bytes) -> str:
        self.lines = []
        for kind, text in self.screen.tokens(data):
            if kind == "text":
                self.screen.write(text)
                continue
            line = (self.screen.csi if kind == "csi" else self.screen.control)(text)
            if line is not None:
                self.lines.append(line)
        return self.screen.line

    def type(self, text: str) -> str:
        """Type ``text``; the line that is under way then."""
        return self.read(self.terminal.feed(text.encode(), self.now))


def person(device: Toy | None = None, **options) -> Person:
    return Person(Terminal(device or Toy(), ADMIN, **options))


def logged_in(device: Toy | None = None, **options) -> Person:
    one = person(device, **options)
    one.type("admin\rsecret\r")
    return one


def enabled(device: Toy | None = None, **options) -> Person:
    one = logged_in(device, **options)
    one.type("enable\rmore secret\r")
    return one


def test_a_login_from_the_banner_to_the_settings_of_a_port():
    one = person(banner="keep out")
    assert one.lines == ["", "keep out"]
    assert one.screen.line == "sw1 login: "
    assert one.type("admin") == "sw1 login: admin"
    assert one.type("\r") == "Password: "
    assert one.type("secret") == "Password: "
    assert one.type("\r") == "sw1> "
    assert one.type("enable\r") == "Password: "
    assert one.type("more secret\r") == "sw1# "
    assert one.type("configure terminal\r") == "sw1(config)# "
    assert one.type("interface p1\r") == "sw1(config-if)# "
    assert one.type("exit\r") == "sw1(config)# "
    assert one.type("exit\r") == "sw1# "
    assert one.type("disable\r") == "sw1> "
    assert one.type("exit\r") == "sw1 login: "


@pytest.mark.parametrize("typed", ["admin\rwrong\r", "nobody\rsecret\r", "admin\r\r"])
def test_a_wrong_login_is_refused_at_once_and_may_be_tried_again(typed):
    one = person()
    assert one.type(typed) == "sw1 login: "
    assert any(is_login_failure(line) for line in one.lines)
    assert one.type("admin\rsecret\r") == "sw1> "


def test_an_empty_name_is_asked_for_again():
    assert person().type("\r\r") == "sw1 login: "


def test_after_too_many_tries_a_login_begins_anew():
    one = person(banner="hello")
    one.type("admin\rwrong\r" * TRIES)
    assert one.lines[-4:] == ["% Login invalid", "% Bad passwords", "", "hello"]
    assert one.screen.line == "sw1 login: "


def test_a_wrong_password_for_enable_is_asked_for_again_and_then_refused():
    one = logged_in()
    assert one.type("enable\r" + "wrong\r" * (TRIES - 1)) == "Password: "
    assert one.type("wrong\r") == "sw1> "
    assert one.lines[-1] == "% Bad secrets"
    assert one.type("enable\rmore secret\r") == "sw1# "


def test_all_rights_cannot_be_had_by_the_way():
    one = logged_in()
    assert one.type("enable ; configure terminal\r") == "sw1> "
    assert one.lines[-1].startswith("% It has a password")


def test_without_a_password_enable_asks_for_none():
    one = Person(Terminal(Toy(), Account("admin", "secret", "")))
    assert one.type("admin\rsecret\renable\r") == "sw1# "


def test_a_login_over_the_net_is_let_in_and_is_over_when_one_leaves():
    one = person(serial=False)
    assert one.screen.line == "sw1> "
    one.type("exit\r")
    assert one.terminal.over
    assert one.terminal.feed(b"show version\r", T0) == b""


def test_words_may_be_cut_short_and_are_refused_where_they_fit_two():
    one = enabled()
    one.type("sh ver\r")
    assert one.lines[-1] == "toy of sw1"
    assert one.type("conf t\re\r") == "sw1(config)# "
    assert one.lines[-1] == "% Ambiguous command: e: exit, end"
    assert one.type("int p2 ; desc to the core\r") == "sw1(config-if)# "


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        ("show vers\x7f\x7fn", "show ven"),
        ("show\b\b\b\b\b\b\bx", "x"),
        ("show version\x15help", "help"),
        ("show version\x17numbers", "show numbers"),
        ("how\x01s", "show"),
        ("shw\x1b[Do", "show"),
        ("shoow\x1b[D\x1b[D\x7f", "show"),
        ("shoxw\x1b[D\x1b[D\x1b[3~", "show"),
        ("show\x02\x02\x0b", "sh"),
        ("sw\x1bOD\x1bOD\x1bOC\x06\x05!", "sw!"),
        ("two  \x17words", "words"),
        ("\x1b[5~\x1b[1;5Cx", "x"),
        ("caf\xe9s\x7f", "caf\xe9"),
    ],
)
def test_a_line_is_edited_and_shown_as_it_is(keys, line):
    one = enabled()
    assert one.type(keys) == f"sw1# {line}"


def test_control_c_drops_the_line_and_control_z_leaves_the_settings():
    one = enabled()
    assert one.type("show version\x03") == "sw1# "
    assert one.lines == ["sw1# show version^C"]
    assert one.type("conf t\rint p1\rdescr\x1a") == "sw1# "


def test_control_c_at_the_password_for_enable_gives_up():
    assert logged_in().type("enable\rmore\x03") == "sw1> "


@pytest.mark.parametrize("key", ["\x0c", "\x12"])
def test_a_line_is_shown_again(key):
    one = enabled()
    one.type("show ver")
    one.screen.restart()
    assert one.type(key) == "sw1# show ver"


def test_older_lines_come_back():
    one = enabled()
    one.type("show version\rshow label\r")
    assert one.type("\x1b[A") == "sw1# show label"
    assert one.type("\x10") == "sw1# show version"
    assert one.type("\x1b[B") == "sw1# show label"
    assert one.type("\x0e") == "sw1# "


def test_help_names_what_may_follow_and_keeps_the_line():
    one = enabled()
    assert one.type("show ?") == "sw1# show "
    assert one.lines[1:] == [
        "  label    the label",
        "  nothing  no line at all",
        "  numbers  lines with numbers",
        "  odd      lines that are odd",
        "  version  what it is",
    ]
    one.type("\x15show n?")
    assert [line.split()[0] for line in one.lines[1:]] == ["nothing", "numbers"]
    one.type("\x15show numbers ?")
    assert one.lines[1:] == ["  <count>  lines with numbers"]
    one.type("\x15show version ?")
    assert one.lines[1:] == ["  <cr>  what it is"]
    one.type("\x15zz?")
    assert one.lines[1:] == ["% Unknown command: zz"]


def test_a_question_mark_is_a_character_of_a_password():
    one = Person(Terminal(Toy(), Account("admin", "what?", "")))
    assert one.type("admin\rwhat?\r") == "sw1> "


def test_tab_finishes_words_as_far_as_they_are_known():
    one = enabled()
    assert one.type("sh\t") == "sw1# show "
    assert one.type("ver\t") == "sw1# show version "
    assert one.type("\x15show n\t") == "sw1# show n"
    assert one.type("\x15show zz\t") == "sw1# show zz"
    one.type("\x15conf t\r")
    assert one.type("int\t") == "sw1(config)# interface "
    assert one.type("\t") == "sw1(config)# interface "


def test_output_stops_at_the_end_of_a_screen():
    one = enabled()
    assert one.type("show numbers 60\r") == " --More-- "
    assert one.lines[1:] == [f"line {n}" for n in range(23)]
    assert one.type(" ") == " --More-- "
    assert one.lines == [f"line {n}" for n in range(23, 46)]
    assert one.type("\r") == " --More-- "
    assert one.lines == ["line 46"]
    assert one.type("x") == " --More-- "
    assert one.lines == []
    assert one.type("q") == "sw1# "
    one.type("show numbers 24\r")
    assert one.type(" ") == "sw1# "
    assert one.lines == ["line 23"]


def test_output_that_fits_does_not_stop():
    assert enabled().type("show numbers 23\r") == "sw1# "


@pytest.mark.parametrize(("length", "shown"), [(0, 60), (10, 9), (1, 60)])
def test_the_length_of_the_screen_is_what_was_asked_for(length, shown):
    one = enabled()
    one.type(f"terminal length {length}\rshow numbers 60\r")
    assert sum(line.startswith("line") for line in one.lines) == shown


def test_control_c_ends_output():
    one = enabled()
    one.type("show numbers 60\r")
    assert one.type("\x03") == "sw1# "


def test_links_that_come_and_go_are_told_on_a_cable_above_what_is_typed():
    device = Toy()
    one, net = enabled(device), person(device, serial=False)
    one.type("show ver")
    device.set_link("p1", True, T0)
    later = Instant(seconds(3725.5))
    assert one.read(one.terminal.handle_timeout(later)) == "sw1# show ver"
    told = "*Jan  1 01:02:05.500: %LINK-3-UPDOWN: Interface p1, changed state to up"
    assert one.lines == [told]
    assert net.terminal.handle_timeout(later) == b""
    assert one.terminal.handle_timeout(later) == b""


@given(st.integers(0, 20_000 * 86_400_000))
def test_log_lines_tell_the_day_as_the_calendar_has_it(at):
    shown = dt.datetime(1970, 1, 1) + dt.timedelta(milliseconds=at)  # noqa: DTZ001
    text = timestamp(Instant(milliseconds(at)))
    assert text == f"*{shown:%b} {shown.day:2} {shown:%H:%M:%S}.{at % 1000:03}"


def test_one_who_does_nothing_is_logged_out():
    one = enabled(idle=seconds(600))
    due = one.terminal.poll_timeout()
    assert due == seconds(600)
    one.now = Instant(seconds(500))
    one.type("s")
    assert one.read(one.terminal.handle_timeout(due)) == "sw1# s"
    due = one.terminal.poll_timeout()
    assert due == seconds(1100)
    assert one.read(one.terminal.handle_timeout(due)) == "sw1 login: "
    assert one.terminal.poll_timeout() is None
    assert one.type("admin\rsecret\r") == "sw1> "


def test_a_line_without_end_is_not_taken():
    one = enabled()
    assert one.type("x" * (LONGEST + 50)) == "sw1# " + "x" * LONGEST
    assert one.type("\x15show version\r") == "sw1# "
    assert one.lines[-1] == "toy of sw1"


def test_a_new_login_has_nothing_of_the_one_before():
    one = enabled()
    one.type("terminal length 0\rconf t\rend\rexit\r")
    assert one.type("admin\rsecret\r") == "sw1> "
    assert one.type("\x1b[A") == "sw1> "
    assert one.type("show numbers 60\r") == " --More-- "


TYPED = st.lists(
    st.sampled_from(
        [
            b"admin\r", b"secret\r", b"enable\r", b"more secret\r", b"conf t\r\n", b"int p1\n",
            b"exit\r", b"show numbers 50\r", b"terminal length 5\r", b" ", b"q", b"?", b"\t",
            b"\x03", b"\x1a", b"\x15", b"\x7f", b"\x1b[A", b"\x1b[", b"\x1b", b"\x0c",
            b"\xc3\xa9", b"\xff", b"show ver\r", b"label x ; y\r", b"\x17", b"\x01", b"shutdown\r",
        ]
    )
    | st.binary(max_size=6),
    max_size=40,
).map(b"".join)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(TYPED, st.lists(st.integers(0, 200), max_size=12))
def test_what_it_shows_does_not_depend_on_how_the_keys_were_cut(typed, cuts):
    whole, cut = (Terminal(Toy(), ADMIN) for _ in range(2))
    shown = whole.start(T0) + whole.feed(typed, T0)
    edges = sorted({0, *(edge for edge in cuts if edge < len(typed)), len(typed)})
    pieces = [typed[left:right] for left, right in itertools.pairwise(edges)]
    assert cut.start(T0) + b"".join(cut.feed(piece, T0) for piece in pieces) == shown


@settings(max_examples=100, deadline=None)
@given(st.lists(TYPED, max_size=5), st.booleans())
def test_nothing_that_is_typed_or_happens_makes_it_raise(rounds, serial):
    device = Toy()
    terminal = Terminal(device, ADMIN, serial=serial, idle=seconds(60))
    now = T0
    assert terminal.start(now)
    for number, typed in enumerate(rounds):
        now = after(now, milliseconds(40_000))
        device.set_link("p2", number % 2 == 0, now)
        terminal.handle_timeout(now)
        terminal.feed(typed, now)
