"""The dialogue itself: its table, how it reads prompts, and that cuts in a stream are nothing."""

from __future__ import annotations

import ast
import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import testbed.console
from testbed.console import LINUX_SHELL, SIM_CLI, VTYSH
from testbed.console.dialog import Dialog
from testbed.console.events import CommandDone, Event, Failed, LineSeen, Ready, Transmit
from testbed.console.profiles import Sight
from testbed.console.screen import Screen
from testbed.console.steps import STEPS, Entry, State, Step
from testbed.timing import Instant, after, milliseconds, seconds

SETTLE = milliseconds(50)


def dialog(profile=LINUX_SHELL, entry=Entry.LOGIN, **options) -> Dialog:
    given = {"nonce": "1", "settle": SETTLE, "user": "admin", "password": "hunter2"}
    made = Dialog(profile, entry, **(given | options))
    made.start(Instant(0))
    return made


def quiet(made: Dialog) -> tuple[Event, ...]:
    """Let the line rest until the dialogue acts."""
    due = made.poll_timeout()
    return made.handle_timeout(due) if due is not None else ()


def sent(made: Dialog) -> list[str]:
    labels = []
    while (item := made.poll_transmit()) is not None:
        labels.append(item.label)
    return labels


def ready(profile=LINUX_SHELL, entry=Entry.LOGIN, **options) -> Dialog:
    made = dialog(profile, entry, **options)
    made.feed(b"r1# ", Instant(1))
    quiet(made)
    now = Instant(seconds(1))
    nonce = "g1" if entry is Entry.CONSOLE else "o1"
    prompt = f"[[testbed:{nonce}:0]]".encode() if profile.enter else b"r1# "
    if profile.enter:
        made.feed(prompt, now)
        events = made.feed(prompt, now)
    else:
        events = made.feed(b"terminal length 0\r\n" + prompt, now)
    assert isinstance(events[-1], Ready)
    sent(made)
    return made


@pytest.mark.parametrize(
    ("line", "sight"),
    [
        ("", Sight.BLANK),
        ("r1 login: ", Sight.LOGIN),
        ("login:", Sight.LOGIN),
        ("Username: ", Sight.LOGIN),
        ("Last login: ", Sight.OTHER),
        ("Last login: Mon Jan 1 10:00:00 from 192.0.2.1", Sight.OTHER),
        ("Password: ", Sight.PASSWORD),
        ("admin@r1's password: ", Sight.PASSWORD),
        ("[sudo] password for admin: ", Sight.PASSWORD),
        ("New password: ", Sight.EXPIRED),
        ("(current) UNIX password: ", Sight.EXPIRED),
        ("# ", Sight.PROMPT),
        ("$ ", Sight.PROMPT),
        ("root@r1:~# ", Sight.PROMPT),
        ("admin@r1 ~> ", Sight.PROMPT),
        ("host% ", Sight.PROMPT),
        ("[[testbed:o12ab:0]]", Sight.PROMPT),
        ("Downloading 45%", Sight.OTHER),
        ("mysql>", Sight.OTHER),
        ("> ", Sight.TYPED),
        (">>> ", Sight.TYPED),
        ("dquote> ", Sight.TYPED),
        ("root@r1:~# reload", Sight.TYPED),
        ("$ rm -rf /", Sight.TYPED),
        ("r1(config)# ", Sight.CONFIG),
        ("r1(config-if)#", Sight.CONFIG),
        ("RP/0/RP0/CPU0:r1(config-if)#", Sight.CONFIG),
        ("--More--", Sight.PAGER),
        (" --More-- ", Sight.PAGER),
        ("--More--(5%)", Sight.PAGER),
        ("<--- More --->", Sight.PAGER),
        ("---(more)---", Sight.PAGER),
        ("---(more 45%)---", Sight.PAGER),
        ("lines 1-23", Sight.PAGER),
        ("/etc/services lines 1-22/361 5%", Sight.PAGER),
        ("(END)", Sight.PAGER),
        ("/etc/hostname (END)", Sight.PAGER),
        (":", Sight.PAGER),
        ("Press RETURN to get started.", Sight.ENTER),
        ("Hit any key to stop autoboot:  3 ", Sight.AUTOBOOT),
        ("Please press Enter to activate this console. ", Sight.ENTER),
        ("# ^L", Sight.ECHO),
    ],
)
def test_what_a_quiet_line_is_taken_for(line, sight):
    assert LINUX_SHELL.sight(line) is sight


@pytest.mark.parametrize(
    ("line", "sight"),
    [
        ("r1# ", Sight.PROMPT),
        ("r1> ", Sight.PROMPT),
        ("core-1.lab# ", Sight.PROMPT),
        ("r1(config)# ", Sight.CONFIG),
        ("r1# show ip", Sight.TYPED),
        ("root@r1:~# ", Sight.OTHER),
    ],
)
def test_what_vtysh_shows(line, sight):
    assert VTYSH.sight(line) is sight


def test_the_machine_never_types_where_it_gives_up():
    for (state, sight), step in STEPS.items():
        if sight in {Sight.CONFIG, Sight.PAGER} and state is not State.LEAVING:
            assert step is Step.REFUSE, (state, sight)


def test_only_probes_precede_the_first_enter_on_a_console():
    for sight in (Sight.BLANK, Sight.OTHER, Sight.TYPED):
        assert STEPS[State.LISTENING, sight] is Step.PROBE


def test_a_login_from_boot_to_prompt():
    made = dialog(entry=Entry.CONSOLE)
    now = Instant(0)
    for data, said in [
        (b"\r\nU-Boot 2023.01\r\n[    0.000000] Linux version 6.1\r\n", []),
        (b"######\r\n# Welcome to r1 #\r\n######\r\n\r\nr1 login: ", ["admin"]),
        (b"admin\r\nPassword: ", ["<password>"]),
        (b"\r\nLast login: Mon Jan 1 from tty1\r\n# motd # with # signs\r\nroot@r1:~# ", None),
    ]:
        now = after(now, seconds(1))
        made.feed(data, now)
        assert made.handle_timeout(after(now, SETTLE)) is not None
        typed = sent(made)
        assert typed == said if said is not None else typed[0].startswith("unset HISTFILE; exec sh")
    events = made.feed(b"[[testbed:o1:0]]", now)
    made.poll_transmit()
    events = made.feed(b"[[testbed:o1:0]]", now)
    assert events == (Ready(found=False),)


def test_a_countdown_of_a_boot_loader_is_not_stopped():
    made = dialog(entry=Entry.CONSOLE, booting=True)
    made.feed(b"U-Boot 2023.01\r\nHit any key to stop autoboot:  3 ", Instant(1))
    made.handle_timeout(Instant(seconds(60)))
    assert sent(made) == []


def test_a_booting_device_is_left_alone_for_a_while():
    made = dialog(entry=Entry.CONSOLE)
    made.feed(b"[    0.100000] ACPI: something\r\n", Instant(0))
    made.handle_timeout(Instant(seconds(4)))
    assert sent(made) == []
    made.handle_timeout(Instant(seconds(5)))
    assert sent(made) == ["<Ctrl-L>"]


def test_a_prompt_that_comes_after_a_probe_with_half_a_command_stays_untouched():
    made = dialog(entry=Entry.CONSOLE)
    quiet(made)
    assert sent(made) == ["<Ctrl-L>"]
    made.feed(b"\x1b[H\x1b[2Jr1# reload in 5", Instant(1))
    (failed,) = [event for event in quiet(made) if isinstance(event, Failed)]
    assert sent(made) == []
    assert "reload in 5" in failed.got


def test_the_password_shows_nowhere_even_if_the_device_echoes_it():
    made = dialog(entry=Entry.CONSOLE)
    made.feed(b"login: ", Instant(1))
    quiet(made)
    made.feed(b"admin\r\nPassword: ", Instant(2))
    quiet(made)
    events = made.feed(b"hunter2\r\nLogin incorrect\r\n", Instant(3))
    assert any(isinstance(event, Failed) for event in events)
    assert "hunter2" not in repr(events)
    assert "hunter2" not in made.got


@pytest.mark.parametrize(
    "said",
    [b"Login incorrect\r\n", b"% Login invalid\r\n", b"Permission denied\r\n", b"r1 login: "],
)
def test_a_refused_login(said):
    made = dialog(entry=Entry.CONSOLE)
    made.feed(b"login: ", Instant(1))
    quiet(made)
    made.feed(b"Password: ", Instant(2))
    quiet(made)
    events = made.feed(said, Instant(3)) + quiet(made)
    (failed,) = [event for event in events if isinstance(event, Failed)]
    assert failed.awaited == "a command prompt after the password"
    assert "password" in failed.hint


@pytest.mark.parametrize(
    "said", [b"% Bad secrets\r\n", b"% Error in authentication.\r\nr1> ", b"Password: ", b"r1> "]
)
def test_all_rights_that_are_refused(said):
    made = dialog(SIM_CLI, Entry.CONSOLE, secret="swordfish")
    for data in (b"r1> ", b"enable\r\nPassword: "):
        made.feed(data, Instant(1))
        quiet(made)
    events = made.feed(b"\r\n" + said, Instant(3)) + quiet(made)
    (failed,) = [event for event in events if isinstance(event, Failed)]
    assert failed.awaited == "a prompt with all rights after the password"
    assert "enable password" in failed.hint
    assert sent(made) == ["enable", "<password>"]


def answer(made: Dialog, command: str, *parts: bytes) -> CommandDone:
    made.run(command, Instant(seconds(2)))
    events: list[Event] = []
    for part in parts:
        events += made.feed(part, Instant(seconds(2)))
    (done,) = [event for event in events if isinstance(event, CommandDone)]
    return done


def test_a_wrapped_echo_is_taken_out():
    command = "description " + "abc" * 40
    echo = b"description abcabc \rabc" + b"abc" * 20 + b"a\rabc" + b"abc" * 16 + b"\r\n"
    made = ready(VTYSH)
    assert answer(made, command, echo, b"out\r\nr1(config-if)# ").output == "out\n"


def test_a_prompt_of_an_older_answer_does_not_end_a_command():
    made = ready(VTYSH)
    done = answer(made, "show clock", b"\r\nr1# ", b"show clock\r\n12:00\r\nr1# ")
    assert done.output == "12:00\n"


def test_vtysh_tells_a_refusal_by_its_words():
    made = ready(VTYSH)
    said = b"nonsense\r\n% Unknown command: nonsense\r\nr1# "
    assert answer(made, "nonsense", said).status == 1


def test_log_lines_that_intrude_on_a_console_are_taken_out_and_told():
    made = ready(entry=Entry.CONSOLE)
    made.run("cat file", Instant(seconds(2)))
    said = b"first li[   99.123456] usb 1-1: new\r\nne\nsecond\n[[test[  100.000001] eth0: up\n"
    events = made.feed(said + b"bed:g1:0]]", Instant(seconds(2)))
    assert CommandDone("first line\nsecond\n", 0, incomplete=False) in events
    assert LineSeen("[   99.123456] usb 1-1: new", intruding=True) in events


def test_output_beyond_the_limit_is_a_flood():
    made = ready(limit=1000)
    made.run("yes", Instant(seconds(2)))
    events = made.feed(b"y\n" * 501, Instant(seconds(2)))
    assert isinstance(events[-1], Failed)
    assert made.feed(b"y\n" * 500, Instant(seconds(3))) == ()


def script_of(events: tuple[Event, ...] | list[Event], made: Dialog) -> list[Event | Transmit]:
    out: list[Event | Transmit] = list(events)
    while (item := made.poll_transmit()) is not None:
        out.append(item)
    return out


PIECES = st.sampled_from(
    [
        b"\r\n", b"\n", b"\r", b"\b", b"\x1b[K", b"\x1b[H\x1b[2J", b"\x1b[5D", b"\x1b[3C", b"\x1b",
        b"\x1b]0;title\x07", b"\x1b[", b"[[testbed:o1:0]]", b"[[testbed:g1:3]]",
        b"[[testbed:o1:more]]", b"--More--", b"(END)",
        b"r1# ", b"r1(config)# ", b"login: ", b"Password: ", b"Login incorrect",
        b"[    1.000000] kernel: x", b"U-Boot 2023", b"\xc3\xa9", b"\xc3", b"\xff\xfe",
        b"r1> ", b" --More-- ", b"% Bad secrets",
        b"cmd", b" \r", b"terminal length 0", b"^L", b"$ ", b"> ", b"\x00", b"\x07", b"text" * 20,
    ]
)  # fmt: skip
STREAMS = st.lists(PIECES | st.binary(max_size=8), max_size=40).map(b"".join)
STARTS = st.sampled_from(
    [
        lambda: dialog(limit=400),
        lambda: dialog(VTYSH, Entry.CONSOLE, limit=400),
        lambda: dialog(entry=Entry.CONSOLE),
        lambda: with_command(ready(limit=400)),
        lambda: with_command(ready(VTYSH)),
        lambda: with_command(ready(entry=Entry.CONSOLE)),
        lambda: with_command(ready(VTYSH, Entry.CONSOLE)),
        lambda: dialog(SIM_CLI, Entry.CONSOLE, secret="swordfish", limit=400),
        lambda: with_command(ready(SIM_CLI, secret="swordfish")),
    ]
)


def with_command(made: Dialog) -> Dialog:
    made.run("cmd", Instant(seconds(2)))
    sent(made)
    return made


@settings(max_examples=400, deadline=None)
@given(STARTS, STREAMS, st.lists(st.integers(0, 300), max_size=20))
def test_any_stream_gives_the_same_events_wherever_it_is_cut(start, stream, cuts):
    now = Instant(seconds(3))
    whole, cut = start(), start()
    expected = script_of(whole.feed(stream, now), whole)
    edges = sorted({0, *(edge for edge in cuts if edge < len(stream)), len(stream)})
    events: list[Event] = []
    for left, right in itertools.pairwise(edges):
        events += cut.feed(stream[left:right], now)
    assert script_of(events, cut) == expected
    assert cut.got == whole.got
    assert cut.state is whole.state
    later = Instant(seconds(60))
    assert script_of(cut.handle_timeout(later), cut) == script_of(
        whole.handle_timeout(later), whole
    )


OURS = (
    "<",
    "enable",
    "unset HISTFILE; exec sh -c ",
    " sh -c ",
    "terminal length 0",
    '[ -z "${BASH_',
)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(STREAMS, max_size=6),
    st.sampled_from([LINUX_SHELL, SIM_CLI, VTYSH]),
    st.sampled_from(Entry),
)
def test_no_device_can_make_it_raise_or_type_a_command(streams, profile, entry):
    made = dialog(profile, entry)
    now = Instant(0)
    for stream in streams:
        now = after(now, seconds(3))
        made.feed(stream, now)
        now = after(now, seconds(6))
        made.handle_timeout(now)
        for label in sent(made):
            assert label == "admin" or label.startswith(OURS), label
        assert isinstance(made.got + made.hint + made.awaited, str)


def test_a_screen_edits_one_line():
    screen = Screen()

    def shown(data: bytes) -> str:
        for kind, text in screen.tokens(data):
            if kind == "text":
                screen.write(text)
            else:
                (screen.csi if kind == "csi" else screen.control)(text)
        line = screen.line
        screen.restart()
        return line

    assert shown(b"abc\b\bX") == "aXc"
    assert shown(b"abc\rX") == "Xbc"
    assert shown(b"abc\r\x1b[KX") == "X"
    assert shown(b"abcdef\x1b[4D\x1b[P") == "abdef"
    assert shown(b"ac\x1b[D\x1b[@b") == "abc"
    assert shown(b"a\x1b[3Cb") == "a   b"
    assert shown(b"\x1b[1;31mred\x1b[0m") == "red"
    assert shown(b"\x1b]0;root@r1: ~\x07# ") == "# "
    assert shown(b"\x1b(B\x1b)0ok\x0f") == "ok"
    assert shown(b"old\x1b[2J\x1b[Hnew") == "new"


@pytest.mark.parametrize(
    "module", ["dialog", "steps", "hints", "profiles", "screen", "answer", "events", "heard"]
)
def test_the_dialogue_imports_nothing_that_touches_the_machine(module):
    source = Path(testbed.console.__file__).with_name(f"{module}.py").read_text()
    names = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).split(".")[0]
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert names <= {"__future__", "testbed", "re", "codecs", "collections", "dataclasses", "enum"}
