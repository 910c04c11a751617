"""Logins over SSH against a real sshd, as they should be and as they go wrong."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from testbed.console import Session, open_fabric, open_ssh
from testbed.errors import ConsoleError, PlanError
from testbed.timing import milliseconds, seconds
from testbed.wire.frame import Direction

pytestmark = pytest.mark.root


@pytest.fixture
def login(sshd, clock, log) -> Iterator[Callable[..., Session]]:
    sessions: list[Session] = []

    def opened(**changes) -> Session:
        wanted = {
            "port": sshd.port,
            "user": "root",
            "key": sshd.key,
            "host_key": sshd.host_key,
            "clock": clock,
            "log": log,
        }
        sessions.append(open_ssh("r1", "127.0.0.1", **(wanted | changes)))
        return sessions[-1]

    yield opened
    for session in sessions:
        session.close()


@contextmanager
def server(answer: bytes | None) -> Iterator[int]:
    """A TCP service that accepts, says ``answer`` (None: closes at once), and no more."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held: list[socket.socket] = []

        def serve() -> None:
            try:
                while True:
                    peer, _ = listener.accept()
                    held.append(peer)
                    if answer is None:
                        peer.close()
                    else:
                        peer.sendall(answer)
            except OSError:
                return

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
        for peer in held:
            peer.close()


def listener_pid(sshd) -> int:
    """The sshd within the namespaces that were made for it."""
    children = Path(f"/proc/{sshd.process.pid}/task/{sshd.process.pid}/children").read_text()
    return int(children.split()[0])


def test_a_command_gives_its_output_and_its_status(login):
    cli = login()
    assert cli.run("echo one; echo two") == cli.run("printf 'one\\ntwo\\n'")
    assert cli.run("echo hello").output == "hello\n"
    assert cli.run("echo hello").status == 0
    assert cli.run("exit_with() { return $1; }; exit_with 42").status == 42
    assert cli.run("false").status == 1
    assert cli.run("printf unterminated").output == "unterminated"
    assert cli.run("true") == cli.run(":")


@pytest.mark.parametrize(
    ("command", "output"),
    [
        ("echo '# $ > login: '", "# $ > login: \n"),
        ("printf 'r1(config)# '", "r1(config)# "),
        ("printf '\\033[1mbold\\033[0m\\n'", "bold\n"),
        ("printf 'a\\r\\nb\\n'", "a\nb\n"),
        ("printf 'tab\\there\\n'", "tab\there\n"),
        ("echo '!history !!'", "!history !!\n"),
        ("echo 'gr\u00fc\u00df \u2713'", "gr\u00fc\u00df \u2713\n"),
        ("echo '  kept  '", "  kept  \n"),
        ("printf '\\n\\n'", "\n\n"),
        ('echo "$PAGER $TERM"', "cat dumb\n"),
        ("echo \tx", "x\n"),
    ],
)
def test_output_comes_as_it_was_printed(login, command, output):
    assert login().run(command).output == output


def test_a_line_is_as_long_as_the_tty_takes_and_longer(login):
    cli = login()
    for length in (4000, 4095, 4096, 20_000):
        text = "x'" * ((length - 8) // 2)
        command = 'echo "' + text + '"'
        command += " " * (length - len(command))
        assert cli.run(command).output == text + "\n"
    long = "false " + " " * 5000
    assert cli.run(long).status == 1


def test_binary_output_is_survived(login):
    cli = login()
    cli.run("head -c 200000 /dev/urandom")
    assert cli.run("echo after").output == "after\n"


def test_what_is_no_command_line_is_refused(login):
    cli = login()
    for command in ("", "  ", "echo a\necho b", "echo a\r", "echo \x03", "echo \x1b[A"):
        with pytest.raises(PlanError, match="r1"):
            cli.run(command)
    with pytest.raises(PlanError, match="not complete"):
        cli.run("echo 'unclosed")
    with pytest.raises(PlanError, match="not complete"):
        cli.run("if true; then")
    assert cli.run("echo still here").output == "still here\n"


def test_commands_from_several_threads_take_turns(login):
    cli = login()
    answers: dict[int, str] = {}

    def ask(number: int) -> None:
        answers[number] = cli.run(f"sleep 0.0{number}; echo {number}").output

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {n: f"{n}\n" for n in range(5)}


def test_the_transcript_has_both_sides_on_the_capture_clock(login, log):
    login().run("echo said")
    lines = [line for line in log.lines if "said" in line.text]
    assert [(line.direction, line.text) for line in lines] == [
        (Direction.OUT, "echo said"),
        (Direction.IN, "said"),
    ]
    assert lines[0].device == "r1"
    assert lines[0].transport.startswith("ssh root@127.0.0.1:")
    assert [line.at for line in log.lines] == sorted(line.at for line in log.lines)


def test_nothing_of_the_login_stays_in_the_history(login):
    home = login().run("cat ~/.bash_history").output
    assert "testbed" not in home


def test_closing_twice_is_no_error_and_a_closed_session_says_so(login):
    cli = login()
    cli.close()
    cli.close()
    with pytest.raises(ConsoleError, match="closed"):
        cli.run("true")


def test_other_host_keys_of_the_host_may_be_pinned(login, sshd):
    assert login(host_key=sshd.other_host_key).run("echo in").output == "in\n"


def test_a_changed_host_key_is_refused_with_both_fingerprints(login, sshd):
    pinned = "SHA256:" + "A" * 43
    with pytest.raises(ConsoleError) as caught:
        login(host_key=pinned)
    assert pinned in caught.value.awaited
    assert sshd.host_key in caught.value.got
    assert sshd.other_host_key in caught.value.got
    assert "bench file" in caught.value.hint


def test_a_wrong_key_is_refused(login, tmp_path):
    subprocess.run(["ssh-keygen", "-qt", "ed25519", "-N", "", "-f", tmp_path / "k"], check=True)
    with pytest.raises(ConsoleError) as caught:
        login(key=tmp_path / "k")
    assert caught.value.awaited == "to be let in as root"
    assert "publickey" in caught.value.got or "refused" in caught.value.got


def test_a_wrong_password_is_refused_and_told_nowhere(start_sshd, clock, log):
    sshd = start_sshd("PasswordAuthentication yes")
    with pytest.raises(ConsoleError) as caught:
        open_ssh(
            "r1", "127.0.0.1", port=sshd.port, user="root", password="s3cret-word",
            host_key=sshd.host_key, clock=clock, log=log,
        )  # fmt: skip
    assert caught.value.awaited == "to be let in as root"
    assert "refused" in caught.value.got
    assert "s3cret" not in str(caught.value)


def test_a_password_where_only_keys_are_taken_is_told(login):
    with pytest.raises(ConsoleError, match="publickey"):
        login(key=None, password="x")


@pytest.mark.parametrize("content", [None, b"", b"junk", b"-----BEGIN OPENSSH PRIVATE KEY-----\n"])
def test_an_unreadable_key_is_named(login, tmp_path, content):
    if content is not None:
        (tmp_path / "bad").write_bytes(content)
    with pytest.raises(ConsoleError, match=r"the private key .*bad"):
        login(key=tmp_path / "bad")


def test_an_encrypted_key_is_named(login, tmp_path):
    subprocess.run(
        ["ssh-keygen", "-qt", "ed25519", "-N", "phrase", "-f", tmp_path / "k"], check=True
    )
    with pytest.raises(ConsoleError, match="unencrypted"):
        login(key=tmp_path / "k")


def test_connection_refused(login):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(ConsoleError, match="connection refused"):
            login(port=unused.getsockname()[1])


def test_a_host_that_accepts_and_says_nothing(login, clock):
    with server(b"") as port:
        before = clock.now()
        with pytest.raises(ConsoleError) as caught:
            login(port=port, within=milliseconds(300))
        assert clock.now() - before < seconds(2)
    assert caught.value.awaited == "an SSH banner and key exchange"
    assert caught.value.got == "no answer in time"


@pytest.mark.parametrize(
    "said",
    [None, b"220 mail ESMTP\r\n" * 3, b"SSH-2.0-x\r\n", b"SSH-2.0-x\r\n\0\0\0\x0c" + b"\xff" * 64],
)
def test_a_host_that_is_no_ssh_host(login, said):
    with server(said) as port, pytest.raises(ConsoleError) as caught:
        login(port=port, within=milliseconds(500))
    assert caught.value.awaited == "an SSH banner and key exchange"


def test_a_host_that_hangs_after_the_key_exchange(login, sshd, clock):
    """sshd itself is stopped once it has accepted: the kernel goes on accepting for it."""
    os.kill(listener_pid(sshd), signal.SIGSTOP)
    try:
        with pytest.raises(ConsoleError, match="no answer in time"):
            login(within=milliseconds(300))
    finally:
        os.kill(listener_pid(sshd), signal.SIGCONT)


def test_only_old_algorithms_get_the_hint(start_sshd, clock, log):
    sshd = start_sshd("KexAlgorithms diffie-hellman-group1-sha1")
    with pytest.raises(ConsoleError, match="legacy-ssh"):
        open_ssh(
            "old", "127.0.0.1", port=sshd.port, user="root", key=sshd.key,
            host_key=sshd.host_key, clock=clock, log=log,
        )  # fmt: skip


def test_a_drop_in_mid_command_breaks_the_session_for_good(login, sshd):
    cli = login()
    threading.Timer(0.3, sshd.process.kill).start()
    with pytest.raises(ConsoleError) as caught:
        cli.run("echo begun; sleep 30", within=seconds(10))
    assert "sleep 30" in caught.value.awaited
    assert "begun" in caught.value.got
    assert "connection" in caught.value.got or "login ended" in caught.value.got
    with pytest.raises(ConsoleError, match="broke before") as again:
        cli.run("true")
    assert again.value.__cause__ is caught.value


def test_a_shell_that_ends_is_told(login):
    with pytest.raises(ConsoleError, match=r"got nothing, then the login ended \(status 7"):
        login().run("exit 7")


def test_a_command_that_does_not_end_breaks_the_session(login):
    cli = login()
    with pytest.raises(ConsoleError, match=r"awaited the end of 'sleep 20' within 200 ms"):
        cli.run("sleep 20", within=milliseconds(200))
    with pytest.raises(ConsoleError, match="broke before"):
        cli.run("true")


def test_a_flood_is_cut_off(login):
    with pytest.raises(ConsoleError, match="floods"):
        login().run("yes some words to fill the line with", within=seconds(60))


def test_a_pager_that_opens_all_the_same_is_told(login):
    if not Path("/usr/bin/less").exists():
        pytest.skip("needs less")
    with pytest.raises(ConsoleError, match="pager"):
        login().run("seq 5000 | TERM=vt100 LESS= less -M", within=seconds(20))


def test_a_prompt_that_never_comes(start_sshd, clock, log):
    sshd = start_sshd("ForceCommand printf 'no prompt here'; exec sleep 60")
    with pytest.raises(ConsoleError) as caught:
        open_ssh(
            "r1", "127.0.0.1", port=sshd.port, user="root", key=sshd.key,
            host_key=sshd.host_key, clock=clock, log=log, within=seconds(1),
        )  # fmt: skip
    assert "the first command prompt" in caught.value.awaited
    assert "no prompt here" in caught.value.got


@pytest.mark.parametrize("shell", ["bash --norc", "dash", "sh"])
def test_any_login_shell_will_do(start_sshd, clock, log, shell):
    sshd = start_sshd(f"ForceCommand exec {shell}")
    cli = open_ssh(
        "r1", "127.0.0.1", port=sshd.port, user="root", key=sshd.key,
        host_key=sshd.host_key, clock=clock, log=log,
    )  # fmt: skip
    assert cli.run("echo $((6 * 7)); (exit 3)") == type(cli.run("true"))("42\n", 3)
    cli.close()


def test_fabric_runs_and_copies_both_ways(sshd, clock, tmp_path):
    host = open_fabric(
        "h1", "127.0.0.1", port=sshd.port, user="root", key=sshd.key,
        host_key=sshd.host_key, clock=clock,
    )  # fmt: skip
    try:
        reply = host.run("echo out; echo err >&2; exit 5")
        assert (sorted(reply.output.split()), reply.status) == (["err", "out"], 5)
        content = bytes(range(256)) * 100
        (tmp_path / "up").write_bytes(content)
        host.put(tmp_path / "up", str(tmp_path / "there"))
        assert (tmp_path / "there").read_bytes() == content
        host.put(b"bytes", str(tmp_path / "there2"))
        assert host.get(str(tmp_path / "there2"), tmp_path / "back") == b"bytes"
        assert (tmp_path / "back").read_bytes() == b"bytes"
        with pytest.raises(ConsoleError, match="No such file"):
            host.get("/nonexistent/file")
        with pytest.raises(ConsoleError, match="within 200 ms"):
            host.run("sleep 20", within=milliseconds(200))
    finally:
        host.close()
        host.close()


def test_fabric_pins_the_host_key_too(sshd, clock):
    with pytest.raises(ConsoleError, match="host key changed"):
        open_fabric(
            "h1", "127.0.0.1", port=sshd.port, user="root", key=sshd.key,
            host_key="SHA256:" + "B" * 43, clock=clock,
        )  # fmt: skip


def test_importing_the_package_loads_no_library():
    code = (
        "import sys, testbed.console;"
        "bad = {'paramiko', 'serial', 'fabric', 'invoke'} & set(sys.modules); assert not bad, bad"
    )
    subprocess.run(["/usr/bin/env", os.sys.executable, "-c", code], check=True)
