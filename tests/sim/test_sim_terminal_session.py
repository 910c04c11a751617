"""The console dialogue on a simulated device's terminal: login, enable, pager, log lines, leave."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sim_terminal_rig import ODD, Toy

from testbed.console import SIM_CLI, Access, Session
from testbed.console.conversation import ConversationTransport, whole
from testbed.console.steps import Entry
from testbed.console.transcript import ConsoleLog
from testbed.errors import ConsoleError
from testbed.sim.cli.commands import Mode
from testbed.sim.cli.connect import connect
from testbed.sim.cli.terminal import Account
from testbed.timing import ManualClock, milliseconds, seconds
from testbed.wire.frame import Direction

ADMIN = Account("admin", "secret", "more secret")
PAGED = replace(SIM_CLI, setup=())
"""A dialogue that does not ask for a screen without end, and so has to turn pages."""


def cut(seed: int):
    """Pieces of any size, as a line delivers them."""
    chance = random.Random(seed)  # noqa: S311 - sizes of pieces
    return lambda data: chance.randint(1, max(1, len(data)))


class Rig:
    """A device, a cable to it, and the time that they have in common."""

    def __init__(self, *, piece=whole, **options) -> None:
        self.device = Toy()
        self.clock = ManualClock()
        self.log = ConsoleLog(self.clock.now)
        self.cable = connect(self.device, self.clock, account=ADMIN, piece=piece, **options)

    def session(self, profile=SIM_CLI, entry=Entry.CONSOLE, **credentials) -> Session:
        known = {"user": "admin", "password": "secret", "secret": "more secret"} | credentials
        access = Access(profile, entry, milliseconds(30), **known)
        return Session("sw1", self.cable, access, clock=self.clock, log=self.log)

    def login(self, profile=SIM_CLI, entry=Entry.CONSOLE, **credentials) -> Session:
        return self.session(profile, entry, **credentials).login(seconds(10))

    def type(self, text: str) -> str:
        """What a person types, and what it shows."""
        self.cable.write(text.encode())
        shown = b""
        while data := self.cable.read(milliseconds(5)):
            shown += data
        return shown.decode()

    def written(self, direction=Direction.OUT) -> list[str]:
        return [line.text for line in self.log.lines if line.direction is direction]


@pytest.mark.parametrize("seed", range(20))
def test_a_login_goes_through_user_enable_and_pager_wherever_the_stream_is_cut(seed):
    rig = Rig(piece=cut(seed))
    cli = rig.login()
    assert not cli.found_logged_in
    assert rig.written() == ["admin", "<password>", "enable", "<password>", "terminal length 0"]
    reply = cli.run("show numbers 100")
    assert reply.output == "".join(f"line {n}\n" for n in range(100))
    assert reply.status == 0
    assert rig.clock.now() < seconds(1)


def test_a_refusal_is_a_status_and_leaves_the_line_usable():
    cli = Rig().login()
    reply = cli.run("configure terminal ; interface p9 ; shutdown")
    assert (reply.status, reply.output) == (1, "% No such port: p9; there are p1, p2\n")
    assert cli.run("show version").output == "toy of sw1\n"


@pytest.mark.parametrize("profile", [SIM_CLI, PAGED], ids=["endless", "paged"])
@pytest.mark.parametrize("seed", [None, 1, 2, 3])
def test_odd_output_comes_as_it_is(profile, seed):
    cli = Rig(piece=whole if seed is None else cut(seed)).login(profile)
    assert cli.run("show odd").output == ODD
    assert cli.run("show nothing").output == ""


LINES = st.sampled_from(
    [
        "show version", "show numbers 0", "show numbers 22", "show numbers 23", "show numbers 24",
        "show numbers 61", "show numbers many", "show nothing", "show odd", "show label",
        "show version ; show numbers 30", "sh ver", "nonsense", "show", "!",
        "configure terminal ; label a b ; end", "configure terminal ; label x ; exit",
        "configure terminal ; interface p1 ; description x ; shutdown ; end",
        "configure terminal ; interface p3 ; shutdown ; end", "terminal length 7",
        "disable ; enable",
    ]
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(LINES, max_size=8), st.integers(0, 1000), st.booleans())
def test_a_console_answers_as_the_command_line_itself_does(lines, seed, paged):
    account = Account("admin", "secret", "")  # with a password, "disable ; enable" is refused
    rig = Rig(piece=cut(seed))
    rig.cable = connect(rig.device, rig.clock, account=account, piece=cut(seed))
    cli = rig.login(PAGED if paged else SIM_CLI)
    other = Toy()
    direct = other.login(Mode.ENABLE)
    for line in lines:
        reply, answer = cli.run(line), direct.run(line, rig.clock.now())
        assert (reply.output, reply.status) == (answer.output, answer.status)
    assert (rig.device.label, rig.device.descriptions) == (other.label, other.descriptions)
    assert rig.device.enabled == other.enabled


@pytest.mark.parametrize(
    ("known", "awaited", "hint"),
    [
        ({"password": "wrong"}, "command prompt after the password", "Check the user and the pass"),
        ({"secret": "wrong"}, "all rights after the password", "Check the enable password"),
        ({"secret": None}, "a command prompt", "names no enable password"),
        ({"user": None}, "a command prompt", "names no user"),
    ],
)
def test_what_is_wrong_with_the_credentials_is_told(known, awaited, hint):
    rig = Rig()
    with pytest.raises(ConsoleError, match=awaited) as caught:
        rig.login(**known)
    assert hint in caught.value.hint
    assert not any("secret" in line.text or "wrong" in line.text for line in rig.log.lines)


def test_enable_that_asks_for_nothing_and_gives_nothing_is_told():
    rig = Rig()
    with pytest.raises(ConsoleError, match="a prompt with all rights") as caught:
        rig.login(replace(SIM_CLI, enable="show version"))
    assert "Check the enable password" in caught.value.hint


def test_a_console_is_left_logged_out():
    rig = Rig()
    rig.login().close()
    assert rig.written()[-2:] == ["end", "exit"]
    assert rig.written(Direction.IN)[-1] == "sw1 login:"


@pytest.mark.parametrize(("typed", "given_back"), [("", "sw1>"), ("enable\rmore secret\r", "sw1#")])
def test_a_console_that_was_found_is_given_back_as_it_was(typed, given_back):
    rig = Rig()
    rig.type("admin\rsecret\r" + typed)
    cli = rig.login()
    assert cli.found_logged_in
    assert cli.run("configure terminal").status == 0
    cli.run("end")
    cli._leave()
    assert rig.type("\r").split()[-1] == given_back


def test_settings_that_somebody_is_in_are_left_alone():
    rig = Rig()
    rig.type("admin\rsecret\renable\rmore secret\rconfigure terminal\r")
    with pytest.raises(ConsoleError, match="a configuration prompt"):
        rig.login()
    assert rig.written() == ["<Ctrl-L>"]


def test_half_a_command_of_somebody_is_not_sent():
    rig = Rig()
    rig.type("admin\rsecret\renable\rmore secret\rshow numb")
    with pytest.raises(ConsoleError, match="half typed"):
        rig.login()


def test_a_login_over_the_net_needs_enable_only():
    rig = Rig(serial=False)
    cli = rig.login(entry=Entry.LOGIN)
    assert rig.written() == ["enable", "<password>", "terminal length 0"]
    assert cli.run("show version").status == 0


def test_links_that_change_while_a_command_runs_do_not_spoil_its_answer():
    rig = Rig()
    cli = rig.login()
    for up in (True, False):
        rig.device.set_link("p1", up, rig.clock.now())
        assert cli.run("show version").output == "toy of sw1\n"
    told = [line for line in rig.written(Direction.IN) if "%LINK-3-UPDOWN" in line]
    assert [line.rpartition(" ")[2] for line in told] == ["up", "down"]


def test_a_line_that_was_idle_for_too_long_is_told():
    rig = Rig(idle=seconds(60))
    cli = rig.login()
    rig.clock.advance(seconds(61))
    with pytest.raises(ConsoleError, match="show version"):
        cli.run("show version")


def test_a_line_that_the_device_let_go_of_is_a_hang_up():
    rig = Rig(serial=False)
    cli = rig.login(entry=Entry.LOGIN)
    with pytest.raises(ConsoleError, match="let go of the line"):
        cli.run("exit")


def test_waiting_passes_on_the_clock_and_no_further_than_asked():
    rig = Rig()
    assert rig.cable.read(seconds(1)).startswith(b"\r\nsw1, a simulated switch")
    assert rig.clock.now() == 0
    assert rig.cable.read(milliseconds(250)) == b""
    assert rig.clock.now() == milliseconds(250)


def test_an_answer_takes_its_time_and_nobody_need_wait_longer():
    rig = Rig()
    rig.cable.read(seconds(1))
    rig.cable.write(b"admin\r")
    assert rig.cable.read(milliseconds(0)) == b""
    assert rig.cable.read(milliseconds(1)) == b""
    assert rig.cable.read(seconds(1)) == b"admin\r\nPassword: "
    assert rig.clock.now() == milliseconds(2)


def test_what_happens_while_one_waits_is_shown_in_its_time():
    rig = Rig()
    rig.type("admin\rsecret\r")

    class Passing(ManualClock):
        def advance(self, span):
            now = super().advance(span)
            if now >= seconds(1):
                rig.device.set_link("p2", True, now)
            return now

    clock = Passing()
    cable = connect(rig.device, clock, account=ADMIN)
    cable.write(b"admin\rsecret\r")
    while cable.read(milliseconds(5)):
        pass
    assert b"Interface p2, changed state to up" in cable.read(seconds(5))
    assert 0 <= clock.now() - seconds(1) <= milliseconds(100)


def test_a_device_that_has_something_to_send_is_asked_for_it_after_each_command():
    told = []
    rig = Rig(touched=lambda: told.append(1))
    rig.login().run("show version")
    assert told


def test_a_cable_that_was_let_go_carries_nothing():
    rig = Rig()
    rig.cable.read(seconds(1))
    rig.cable.close()
    rig.cable.close()
    with pytest.raises(ConsoleError, match="the line is closed"):
        rig.login()
    assert isinstance(rig.cable, ConversationTransport)
