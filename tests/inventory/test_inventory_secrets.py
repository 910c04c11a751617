import sys
from pathlib import Path
from types import ModuleType

import pytest
from pydantic import ValidationError

from testbed.errors import BenchError
from testbed.inventory import Secret, Ssh
from testbed.inventory.credentials import resolve

LITERAL = "hunter2"
REMEDY = "expected where it is kept: {env: NAME}, {file: PATH} or {keyring: service/user}"


def only(problems: list[str]) -> str:
    assert len(problems) == 1, problems
    return problems[0]


def test_literal_is_refused(problems, hardware):
    found = only(problems(hardware.replace("{env: LAB}", LITERAL)))
    assert found == (
        "13:17: devices.sw1.ssh.password: a secret does not belong in a bench file, " + REMEDY
    )


@pytest.mark.parametrize(
    "written",
    [
        f"password: {LITERAL}",
        f"password: '{LITERAL}'",
        f"password: [{LITERAL}]",
        f"password: {{{LITERAL}}}",
        f"password: {{{LITERAL}: {LITERAL}}}",
        f"password: {{env: '{LITERAL}!'}}",
        f"password: {{env: [{LITERAL}]}}",
        f"password: {{env: {LITERAL}, file: {LITERAL}}}",
        f"password: {{keyring: {LITERAL}}}",
        f"password: {{file: {LITERAL}}}\n      no_such_key: 1",
        f"password: {{{LITERAL}: 1, {LITERAL}: 2}}",
        f"password: !{LITERAL} x",
        f"password: !{LITERAL}!{LITERAL} x",
        f"password: *{LITERAL}",
        f"password: &{LITERAL} x",
        f"password: {{env: LAB}}\n      passwd: {LITERAL}",
        f"password: {{env: LAB}}\n      pasword: {{{LITERAL}: {LITERAL}}}",
        f"password: {{env: LAB}}\n      password: {LITERAL}",
        f"password: '{LITERAL}",
        f"password: {LITERAL}: {LITERAL}",
        f"password: @{LITERAL}",
        f"password: %{LITERAL}",
        f"password: [{LITERAL}",
        f"password: {LITERAL}\n\tx",
    ],
)
def test_no_message_repeats_a_secret(written, problems, hardware):
    found = problems(hardware.replace("password: {env: LAB}", written))
    assert LITERAL not in "\n".join(found)


@pytest.mark.parametrize("number", ["0123456", "12:34:56", "2024-01-02", "1234567", "12345.5"])
@pytest.mark.parametrize(
    "form", ["password: {}", "password: {{env: {}}}", "passwd: {}", "password: {{{}: x}}"]
)
def test_no_message_repeats_a_secret_that_is_a_number(form, number, problems, hardware):
    found = "\n".join(problems(hardware.replace("password: {env: LAB}", form.format(number))))
    assert number not in found


def test_no_message_repeats_a_login_in_a_host(problems, hardware):
    assert LITERAL not in only(problems(hardware.replace("192.0.2.10", f"lab:{LITERAL}@h")))


def test_models_do_not_repeat_a_secret_either():
    with pytest.raises(ValidationError) as caught:
        Ssh(host="h", user="u", password=LITERAL)
    assert LITERAL not in str(caught.value)


@pytest.mark.parametrize("given", [{}, {"env": "A", "file": Path("/b")}])
def test_a_secret_is_in_one_place(given):
    with pytest.raises(ValidationError, match="exactly one of"):
        Secret(**given)


def test_str_is_the_reference():
    assert str(Secret(env="LAB")) == "env LAB"
    assert str(Secret(file=Path("/a"))) == "file /a"


def test_environment(monkeypatch):
    monkeypatch.setenv("LAB", "s3cret")
    assert resolve(Secret(env="LAB")) == "s3cret"
    monkeypatch.setenv("LAB", "")
    with pytest.raises(BenchError, match="LAB, which holds a secret, is empty; set it with"):
        resolve(Secret(env="LAB"))
    monkeypatch.delenv("LAB")
    with pytest.raises(BenchError, match="is not set; set it with: read -rs LAB && export LAB"):
        resolve(Secret(env="LAB"))


@pytest.mark.parametrize("content", [b"s3cret", b"s3cret\n", b"s3cret\r\n", b"s3cret\nmore\n"])
def test_file(content, tmp_path):
    path = tmp_path / "password"
    path.write_bytes(content)
    assert resolve(Secret(file=path)) == "s3cret"


@pytest.mark.parametrize("content", [b"", b"\nx", b"\xff\xfe\n", b"x" * 5000])
def test_file_that_holds_none(content, tmp_path):
    path = tmp_path / "password"
    path.write_bytes(content)
    with pytest.raises(BenchError, match="password holds no secret: expected"):
        resolve(Secret(file=path))


def test_file_that_is_not_there(tmp_path):
    for path in (tmp_path / "none", tmp_path, Path("~nobody-of-that-name/x")):
        with pytest.raises(BenchError, match=r"no file|holds no secret"):
            resolve(Secret(file=path))


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs Linux")
def test_file_that_cannot_be_read():
    with pytest.raises(BenchError, match="cannot be read: Input/output error; make it readable"):
        resolve(Secret(file=Path("/proc/self/mem")))


class LockedError(Exception):
    """What the keyring package raises where the keyring stays shut."""


@pytest.fixture
def keyring(monkeypatch):
    # The package is not among the testbed's; this is the part of its interface that is used.
    entries: dict[tuple[str, str], str] = {}
    package, errors = ModuleType("keyring"), ModuleType("keyring.errors")

    def get_password(service, user):
        if service == "locked":
            raise LockedError("it is locked")
        return entries.get((service, user))

    package.get_password = get_password
    errors.KeyringError = LockedError
    monkeypatch.setitem(sys.modules, "keyring", package)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)
    return entries


def test_keyring(keyring):
    keyring["rack7", "lab"] = "s3cret"
    assert resolve(Secret(keyring="rack7/lab")) == "s3cret"
    with pytest.raises(BenchError, match="add it with: keyring set rack7 admin"):
        resolve(Secret(keyring="rack7/admin"))
    with pytest.raises(BenchError, match="did not give locked/lab: it is locked; unlock it"):
        resolve(Secret(keyring="locked/lab"))


def test_keyring_without_its_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(BenchError, match="install it with: pip install keyring"):
        resolve(Secret(keyring="rack7/lab"))
