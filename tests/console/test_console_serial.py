"""Consoles: real ptys with a real getty, real shells, and what people leave behind on them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from console_rig import answers, free_port, wait_until

from testbed.console import LINUX_SHELL, VTYSH, Session, connect_serial, open_serial
from testbed.errors import ConsoleError
from testbed.timing import milliseconds, seconds

PASSWORD = "correct horse"


@pytest.fixture
def login(modem, clock, log) -> Iterator[Callable[..., Session]]:
    sessions: list[Session] = []

    def opened(**changes) -> Session:
        wanted = {"clock": clock, "log": log, "user": "admin", "password": PASSWORD}
        sessions.append(open_serial("r1", modem.url, **(wanted | changes)))
        return sessions[-1]

    yield opened
    for session in sessions:
        session.close()


def type_on(modem, clock, text: bytes, shows: bytes) -> None:
    """Somebody at the console types ``text``, sees ``shows``, and walks away."""
    line = connect_serial("r1", modem.url)
    line.write(text)
    seen = b""
    end = clock.now() + seconds(10)
    while shows not in seen:
        assert clock.now() < end, seen
        seen += line.read(milliseconds(100))
    while line.read(milliseconds(100)):
        pass
    line.close()


@pytest.mark.root
def test_a_getty_lets_us_in_and_gets_the_line_back(getty, login, clock, modem, log):
    before = clock.now()
    cli = login()
    assert clock.now() - before < seconds(8)
    assert not cli.found_logged_in
    assert cli.run("hostname; false") == type(cli.run("true"))("r1\n", 1)
    assert cli.run("echo '" + "x" * 3000 + "'").output == "x" * 3000 + "\n"
    cli.close()
    again = login()
    assert not again.found_logged_in
    assert PASSWORD not in "\n".join(line.text for line in log.lines)
    assert "<password>" in [line.text for line in log.lines]


@pytest.mark.root
def test_a_wrong_password_is_told_and_the_line_is_left_at_its_login_prompt(getty, login):
    with pytest.raises(ConsoleError) as caught:
        login(password="wrong-word")
    assert caught.value.awaited == "a command prompt after the password"
    assert "incorrect" in caught.value.got.lower()
    assert "wrong-word" not in str(caught.value)
    assert login().run("echo in").output == "in\n"


@pytest.mark.root
def test_a_half_given_login_of_somebody_is_no_obstacle(getty, login, modem, clock):
    type_on(modem, clock, b"\r", b"login:")
    type_on(modem, clock, b"somebody\r", b"assword:")
    assert login().run("echo in").output == "in\n"


@pytest.mark.root
def test_a_login_prompt_without_credentials_is_told(getty, login):
    with pytest.raises(ConsoleError, match="names no user"):
        login(user=None, password=None)


@pytest.mark.root
def test_what_a_killed_run_left_logged_in_is_taken_over_and_logged_out(getty, login, modem):
    first = login()
    first._transport.close()  # as a kill -9 does: no log-out
    second = login()
    assert not second.found_logged_in
    assert second.run("echo in").output == "in\n"
    second.close()
    assert not login(within=seconds(15)).found_logged_in


@pytest.mark.parametrize("shell", [("bash", "--norc", "--noprofile"), ("dash",), ("sh",)])
def test_a_shell_found_logged_in_is_used_and_given_back(on_console, login, modem, shell, clock):
    on_console(*shell, PS1="somebody@r1:~$ ")
    type_on(modem, clock, b"MINE=kept\r", b"kept")
    settings = subprocess.run(
        ["stty", "-F", modem.device_name, "-g"], check=True, capture_output=True
    ).stdout
    cli = login(user=None, password=None)
    assert cli.found_logged_in
    assert cli.run("echo $0; exit_with() { return 9; }; exit_with").status == 9
    cli.close()
    type_on(modem, clock, b"echo it-was-$MINE\r", b"it-was-kept")
    after = subprocess.run(
        ["stty", "-F", modem.device_name, "-g"], check=True, capture_output=True
    ).stdout
    if shell[0] != "bash":  # readline sets the line as it likes while it waits
        assert after == settings


@pytest.mark.parametrize(
    ("program", "keys", "shows"),
    [
        (("less", "/etc/services"), b"", b"/etc/services"),
        (("less", "/etc/services"), b" ", b":"),
        (("more", "/etc/services"), b"", b"--More--"),
        (("sh", "-c", "seq 1000 | less -P'lines %lt-%lb'"), b"", b"lines 1-"),
        (("sh", "-c", "seq 3 | less"), b"", b"(END)"),
    ],
)
def test_a_console_left_in_a_pager(  # noqa: PLR0917 - fixtures
    on_console, login, modem, clock, program, keys, shows
):
    if shutil.which(program[0]) is None:
        pytest.skip(f"needs {program[0]}")
    on_console(*program)
    type_on(modem, clock, keys, shows)
    with pytest.raises(ConsoleError) as caught:
        login()
    assert caught.value.awaited == "a command prompt"
    assert caught.value.got.startswith("a pager: ")
    assert "testbed console" in caught.value.hint


@pytest.mark.parametrize("shell", [("bash", "--norc", "--noprofile"), ("dash",)])
def test_a_half_typed_command_is_neither_sent_nor_changed(  # noqa: PLR0917 - fixtures
    on_console, login, modem, clock, shell, tmp_path
):
    victim = tmp_path / "victim"
    victim.touch()
    on_console(*shell, PS1="r1$ ")
    type_on(modem, clock, b"rm " + bytes(victim), b"victim")
    with pytest.raises(ConsoleError) as caught:
        login()
    assert caught.value.got.startswith("a command that is half typed: ")
    assert "victim" in caught.value.got
    assert victim.exists()
    type_on(modem, clock, b"\r", b"r1$ ")
    wait_until(lambda: not victim.exists(), "end of the command as somebody typed it")


def test_an_unclosed_quote_is_a_half_typed_command(on_console, login, modem, clock):
    on_console("dash", PS1="r1$ ")
    type_on(modem, clock, b"echo 'begun\r", b"> ")
    with pytest.raises(ConsoleError, match="half typed"):
        login()


def test_a_program_that_runs_on_the_console_is_told(on_console, login, modem, clock):
    on_console("sh", "-c", "read start; echo counting; exec sleep 600")
    type_on(modem, clock, b"go\r", b"counting")
    with pytest.raises(ConsoleError) as caught:
        login(within=seconds(4))
    assert "prompt" in caught.value.awaited


def test_a_dead_line_says_that_nothing_came(login, modem, clock):
    before = clock.now()
    with pytest.raises(ConsoleError) as caught:
        login(within=seconds(2))
    assert clock.now() - before < seconds(3)
    assert "within 2 s" in caught.value.awaited
    assert caught.value.got == "nothing"


NOISY = """
import os
while os.read(0, 1):
    os.write(1, bytes((0xFC, 0x80, 0xE6, 0x1F, 0x98, 0xF8, 0x06, 0x9E)) * 20)
"""


def test_noise_of_a_wrong_baud_rate_gets_the_hint(login, on_console):
    on_console(sys.executable, "-c", NOISY)  # as the far end reads it, so it answers
    with pytest.raises(ConsoleError, match="baud"):
        login(within=seconds(2))


@pytest.mark.root
def test_a_device_that_restarts_in_mid_command_is_waited_for(getty, login, modem):
    cli = login()
    cli.send("kill -9 $PPID $$")  # the shell goes, and login(1) with it: a login prompt again
    with pytest.raises(ConsoleError, match="broke before"):
        cli.run("true")
    modem.say(b"\r\n[    0.000000] Linux version 6.1\r\n[    0.100000] Kernel command line:\r\n")
    cli.wait_for_boot(seconds(20))
    assert cli.run("echo back").output == "back\n"


@pytest.mark.root
def test_a_restart_in_mid_command_is_told(getty, login, modem):
    cli = login()
    with pytest.raises(ConsoleError) as caught:
        cli.run("printf '\\n[    0.000000] Linux version 6.1\\n\\nr1 login: '; sleep 30")
    assert "sleep 30" in caught.value.awaited
    assert "login:" in caught.value.got
    assert "restarted" in caught.value.hint


@pytest.mark.root
def test_kernel_messages_in_between_are_taken_out_of_the_answer(getty, login, log):
    cli = login()
    reply = cli.run("printf 'on[   12.345678] usb 1-1: new device\\ne\\ntwo\\n'")
    assert reply.output == "one\ntwo\n"
    assert "[   12.345678] usb 1-1: new device" in [line.text for line in log.lines]


def test_a_missing_device_is_named(clock, log):
    with pytest.raises(ConsoleError, match=r"serial /dev/ttyNONE: .* no such device"):
        open_serial("r1", "/dev/ttyNONE", clock=clock, log=log)


def test_a_file_is_no_serial_device(clock, log, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConsoleError, match="no serial device"):
        open_serial("r1", str(tmp_path / "file"), clock=clock, log=log)


def test_a_line_in_use_is_told(modem, clock, log):
    holder = connect_serial("r1", modem.url)
    try:
        with pytest.raises(ConsoleError, match="in use by somebody else"):
            open_serial("r1", modem.url, clock=clock, log=log)
    finally:
        holder.close()


def test_a_by_id_link_is_as_good_as_the_device(modem, on_console, clock, log, tmp_path):
    (tmp_path / "usb-FTDI-if00").symlink_to(modem.url)
    on_console("dash", PS1="$ ")
    cli = open_serial("r1", str(tmp_path / "usb-FTDI-if00"), clock=clock, log=log)
    assert cli.run("echo in").output == "in\n"
    cli.close()


def test_a_console_server_over_tcp(clock, log, on_console, modem, tmp_path):
    """socat serves the line as a console server does."""
    if shutil.which("socat") is None:
        pytest.skip("needs socat")
    port = free_port()
    server = subprocess.Popen(
        ["socat", f"TCP-LISTEN:{port},bind=127.0.0.1,reuseaddr,fork",
         "EXEC:dash -i,pty,setsid,ctty,stderr"],
        env={"PATH": os.environ["PATH"], "PS1": "$ "},
    )  # fmt: skip
    try:
        wait_until(lambda: answers(port), "socat")
        cli = open_serial("r1", f"socket://127.0.0.1:{port}", clock=clock, log=log)
        assert cli.run("echo over tcp; exit_with() { return 4; }; exit_with").status == 4
        cli.close()
    finally:
        server.terminate()
        server.wait()


FRR = """
mount -t tmpfs -o mode=755 tmpfs /run && mkdir -p /run/frr {dir}/frr
mount -t tmpfs tmpfs /var/tmp
printf 'root:x:0:\nfrr:x:0:\nfrrvty:x:0:root\n' > {dir}/group && mount --bind {dir}/group /etc/group
mount --bind {dir}/frr /etc/frr
printf 'hostname r1\\nno service integrated-vtysh-config\\n' > /etc/frr/vtysh.conf
printf 'hostname r1\\n' > /etc/frr/zebra.conf
ip link set lo up; hostname r1
/usr/lib/frr/zebra -d -u root -g root -A 127.0.0.1 >{dir}/zebra.out 2>&1
test -S /run/frr/zebra.vty && touch {dir}/ready
exec setsid --ctty --wait vtysh
"""


@pytest.fixture
def vtysh(on_console, tmp_path, modem) -> None:
    """FRR in namespaces of its own, with vtysh on the console."""
    if os.geteuid() != 0:
        pytest.skip("needs root: FRR does")
    if shutil.which("vtysh") is None or not Path("/usr/lib/frr/zebra").exists():
        pytest.skip("needs FRR: apt-get install frr")
    modem.sane()
    on_console(
        "unshare", "--net", "--mount-proc", "--uts", "--fork", "--kill-child", "--pid",
        "sh", "-c", FRR.format(dir=tmp_path), HOME=str(tmp_path),
    )  # fmt: skip
    wait_until((tmp_path / "ready").exists, "FRR")


@pytest.mark.root
def test_vtysh_on_a_console(vtysh, login, modem, clock):
    type_on(modem, clock, b"", b"r1# ")
    cli = login(profile=VTYSH)
    assert cli.found_logged_in
    assert "FRRouting" in cli.run("show version").output
    assert "hostname r1" in cli.run("show running-config").output
    refused = cli.run("show nonsense")
    assert refused.status == 1
    assert "% Unknown command" in refused.output
    assert cli.run("configure terminal").status == 0
    assert cli.run("interface lo").output == ""
    assert cli.run("description " + "x" * 150).status == 0
    assert cli.run("end").status == 0
    assert "description " + "x" * 150 in cli.run("show running-config").output
    cli.close()


@pytest.mark.root
@pytest.mark.parametrize("profile", [VTYSH, LINUX_SHELL], ids=lambda p: p.name)
@pytest.mark.parametrize("steps", [["configure terminal"], ["configure terminal", "interface lo"]])
def test_a_console_left_in_configuration_mode(  # noqa: PLR0917 - fixtures
    vtysh, login, modem, clock, steps, profile
):
    type_on(modem, clock, b"", b"r1# ")
    for step in steps:
        type_on(modem, clock, step.encode() + b"\r", b")# ")
    with pytest.raises(ConsoleError) as caught:
        login(profile=profile)
    assert caught.value.device == "r1"
    assert "r1(config" in caught.value.got
    assert "configuration" in str(caught.value)
    type_on(modem, clock, b"do show version\r", b"FRRouting")


@pytest.mark.root
def test_half_a_line_of_vtysh_is_left_alone(vtysh, login, modem, clock):
    type_on(modem, clock, b"", b"r1# ")
    type_on(modem, clock, b"clear ip ospf", b"ospf")
    with pytest.raises(ConsoleError, match="half typed"):
        login(profile=VTYSH)


def test_a_half_typed_command_that_the_tty_cannot_show_is_erased(on_console, login, modem, clock):
    """agetty leaves IEXTEN off: Ctrl-R is a character like any other."""
    on_console("sh", "-c", "stty -iexten; PS1='r1$ ' exec dash")
    type_on(modem, clock, b"touch /nonexistent/x", b"/x")
    with pytest.raises(ConsoleError, match="half typed; it was erased, not sent"):
        login()
    assert login().run("echo in").output == "in\n"
