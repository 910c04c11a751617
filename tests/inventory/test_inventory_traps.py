"""Where YAML 1.1 and YAML 1.2 disagree, a bench file must say which it means."""

import pytest

from testbed.inventory.scalars import resolve, trap


def only(problems: list[str]) -> str:
    assert len(problems) == 1, problems
    return problems[0]


def test_mac_that_looks_like_a_number(problems, read, small):
    text = small.replace("    a: {}", "    a: {mac: 12:34:56:11:22:33}")
    assert only(problems(text)) == (
        "5:14: controller.nics.a.mac: '12:34:56:11:22:33' without quotes is a base-60 number in "
        "YAML 1.1, expected quotes around it"
    )
    quoted = text.replace("12:34:56:11:22:33", '"12:34:56:11:22:33"')
    assert str(read(quoted).bench.controller.nics["a"].mac) == "12:34:56:11:22:33"


@pytest.mark.parametrize("mac", ["02:00:00:00:00:01", "3c:fd:fe:00:00:03", "12:34:56:78:90:12"])
def test_mac_that_looks_like_nothing_else(mac, read, small):
    assert read(small.replace("    a: {}", f"    a: {{mac: {mac}}}"))


@pytest.mark.parametrize("word", ["on", "off", "yes", "no", "NO", "On", "No", "YES"])
def test_truth_values(word, problems, read, small):
    text = small.replace("p2", word)
    places = ["10:17: devices.sw1.ports[1]"]
    assert only(problems(text)).startswith(
        f"{places[0]}: '{word}' without quotes is a truth value in YAML 1.1"
    )
    assert read(text.replace(f", {word}]", f', "{word}"]', 1)).bench.devices["sw1"].ports[1] == word


def test_norway_as_a_name(problems, read, small):
    text = small.replace("sw1", "no")
    assert only(problems(text)) == (
        "8:3: devices.no: 'no' without quotes is a truth value in YAML 1.1, "
        "expected quotes around it"
    )
    assert "no" in read(text.replace("  no:", '  "no":')).bench.devices


def test_letters_that_are_no_truth_values(read, small):
    text = small.replace("    a:", "    n:").replace("    b:", "    y:")
    nics = read(
        text.replace("controller:a", "controller:n").replace("controller:b", "controller:y")
    )
    assert list(nics.bench.controller.nics) == ["n", "y"]


@pytest.mark.parametrize(
    ("port", "quoted"), [("1", '"1"'), ("1.5", '"1.5"'), ("true", '"true"'), ("0x1F", '"31"')]
)
def test_ports_that_are_numbers(port, quoted, problems, small):
    found = problems(small.replace("[p1, p2]", f"[p1, {port}]"))
    expected = f"devices.sw1.ports[1]: {quoted[1:-1]} is no text, expected text in quotes: {quoted}"
    assert any(expected in problem for problem in found)


@pytest.mark.parametrize("number", ["010", "0o17", "1_000", "0b11", "00", "08"])
def test_numbers_that_are_read_in_two_ways(number, problems, hardware):
    found = only(problems(hardware.replace("user: lab", f"port: {number}\n      user: lab")))
    assert f"12:13: devices.sw1.ssh.port: '{number}' without quotes is " in found
    assert "expected a plain decimal number, or quotes around a name" in found


def test_date(problems, small):
    assert "is a date in YAML 1.1" in only(problems(small.replace("small", "2024-11-05")))


def test_endless_number(problems, small):
    found = only(problems(small.replace("[p1, p2]", f"[p1, p2, {'9' * 5000}]")))
    assert "is a number too long to be one" in found
    assert len(found) < 250


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("Null", None),
        ("true", True),
        ("FALSE", False),
        ("-12", -12),
        ("0o17", 15),
        ("0x1f", 31),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ("yes", "yes"),
        ("12:30", "12:30"),
        ("1_0", "1_0"),
        ("tRue", "tRue"),
        ("9" * 33, "9" * 33),
        ("6.91136132049436e-195", 6.91136132049436e-195),
    ],
)
def test_core_schema(text, value):
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


@pytest.mark.parametrize(
    "text", ["p1", "Gi0/1", "controller:a", "0", "10", "1.5", "y", "N", "", "~"]
)
def test_no_trap(text):
    assert trap(text) is None


def test_traps_do_not_hide_other_faults(problems, small):
    found = problems(small.replace("p2]\ncables", "on]\ncables").replace("lab: virtual", "lab: no"))
    assert [problem.split(": ")[0] for problem in found] == ["2:6", "10:17", "13:20"]
