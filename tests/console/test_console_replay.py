"""Replayed conversations: what a real vtysh said once, and how a mismatch is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.console import VTYSH, Access, Recorder, ReplayTransport, Session
from testbed.console.replay import Say, Sent, emit_script, parse_script
from testbed.console.steps import Entry
from testbed.console.transcript import ConsoleLog
from testbed.errors import ConsoleError
from testbed.timing import ManualClock, milliseconds, seconds

RECORDED = Path(__file__).with_name("vtysh.replay")


def session(transport, clock, entry=Entry.CONSOLE) -> Session:
    access = Access(VTYSH, entry, milliseconds(150))
    return Session("r1", transport, access, clock=clock, log=ConsoleLog(clock.now))


@pytest.mark.parametrize("chunk", [1, 2, 7, 65536])
def test_what_vtysh_once_said_is_understood_in_pieces_of_any_size(chunk):
    clock = ManualClock()
    replay = ReplayTransport("r1", parse_script(RECORDED.read_text()), clock, chunk=chunk)
    cli = session(replay, clock).login(seconds(10))
    assert cli.run("show version").output.startswith("FRRouting 8.")
    assert cli.run("show nonsense").status == 1
    assert "hostname r1\n" in cli.run("show running-config").output
    assert replay.left == ()
    cli.close()


def test_a_conversation_that_takes_another_turn_is_told():
    clock = ManualClock()
    replay = ReplayTransport("r1", parse_script(RECORDED.read_text()), clock)
    cli = session(replay, clock).login(seconds(10))
    with pytest.raises(ConsoleError, match=r"to be sent b'show version.*got b'show clock"):
        cli.run("show clock")


def test_speaking_out_of_turn_is_told():
    replay = ReplayTransport("r1", [Say(b"first")], ManualClock())
    with pytest.raises(ConsoleError, match="device's turn"):
        replay.write(b"me first")


def test_the_end_of_a_script_is_silence_or_a_hang_up():
    clock = ManualClock()
    script = [Say(b"r1# "), Sent(b"terminal length 0\r")]
    with pytest.raises(ConsoleError, match="within 10 s"):
        session(ReplayTransport("r1", script, clock), clock).login(seconds(10))
    assert clock.now() == seconds(10)
    with pytest.raises(ConsoleError, match="then the script ended"):
        session(ReplayTransport("r1", script, clock, hangs_up=True), clock).login(seconds(10))


def test_a_recorder_writes_what_passes():
    clock = ManualClock()
    script = (Say(b"r1# "), Sent(b"show\r"), Say(b"a\r\nb"))
    recorder = Recorder(ReplayTransport("r1", script, clock, chunk=1))
    for _ in range(4):
        recorder.read(seconds(1))
    recorder.write(b"show\r")
    while recorder.read(seconds(1)):
        pass
    assert recorder.script == script


@given(st.lists(st.builds(Say, st.binary()) | st.builds(Sent, st.binary())))
def test_a_script_written_is_a_script_read(steps):
    assert parse_script(emit_script(steps)) == tuple(steps)


def test_a_line_that_is_no_script_is_named():
    with pytest.raises(ValueError, match="line 2"):
        parse_script("< fine\nnot fine\n")
