"""What must agree between two places, and what each kind of lab asks for."""

import pytest


def only(problems: list[str]) -> str:
    assert len(problems) == 1, problems
    return problems[0]


BOXED = """\
bench: boxed
lab: virtual
controller:
  nics: {a: {}, x1: {}, x2: {}}
  boxes: {w1: [x1, x2]}
devices:
  sw1: {platform: openvswitch, ports: [p1, p2, p3]}
hosts:
  h1: {platform: linux_host, ports: [eth1]}
cables:
  - [controller:a, sw1:p1]
  - [controller:x1, sw1:p2]
  - [controller:x2, h1:eth1]
mirrors:
  - {device: sw1, to: p1}
"""


def test_boxed_bench_has_no_fault(read):
    assert read(BOXED).bench.controller.boxes == {"w1": ("x1", "x2")}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (
            "[x1, x2]",
            "[x1, x9]",
            "5:20: controller.boxes.w1[1]: there is no NIC 'x9', expected one of a,",
        ),
        ("[x1, x2]", "[x1, x1]", "'x1' is a side of a box already, expected each once (the other"),
        ("{w1: [x1, x2]}", "{w1: [x1, x2], w2: [x2, a]}", "'x2' is a side of a box already"),
        ("[x1, x2]", "[x1]", "w1[1]: the second one is missing, expected two"),
        ("{w1:", "{a:", "5:11: controller.boxes.a: 'a' is the name of something else too"),
        ("{w1:", "{sw1:", "'sw1' is the name of something else too"),
        ("  - [controller:x1, sw1:p2]\n", "", "the NIC 'x1' has no cable, expected one on both"),
        ("device: sw1", "device: sw9", "mirrors[0].device: there is no device 'sw9', did you"),
        ("device: sw1", "device: h1", "there is no device 'h1'"),
        ("to: p1", "to: p9", "mirrors[0].to: 'p9' is no port of sw1, expected one of p1,"),
        ("to: p1", "to: p3", "sw1:p3 is not cabled to the controller, expected a NIC that hears"),
        ("to: p1}", "to: p1}\n  - {device: sw1, to: p1}", "16:5: mirrors[1]: this mirror is given"),
        ("  h1:", "  sw1:", "a device and a host are both called 'sw1'"),
        ("  h1:", "  controller:", "'controller' is the name of the machine that runs the plans"),
        ("[p1, p2, p3]", "[p1, p2, p2]", "a port of sw1 called 'p2' is taken already"),
        (
            "{a: {}, x1: {}",
            '{a: {mac: "02:00:00:00:00:0A"}, x1: {mac: "02-00-00-00-00-0a"}',
            "the MAC address '02:00:00:00:00:0a' is taken already",
        ),
    ],
)
def test_places_that_disagree(before, after, expected, problems):
    assert before in BOXED
    found = problems(BOXED.replace(before, after))
    assert any(expected in problem for problem in found), found


@pytest.mark.parametrize(
    ("before", "after", "where"),
    [
        ("a: {}", "a: {interface: eth0}", "5:9: controller.nics.a.interface"),
        ("    ports:", "    ssh: {host: h, user: u, key: k}\n    ports:", "devices.sw1.ssh"),
        ("    ports:", "    console: {serial: /dev/ttyS0}\n    ports:", "devices.sw1.console"),
        ("    ports:", "    power: {relay: r, channel: 0}\n    ports:", "devices.sw1.power"),
        ("controller:\n", "controller:\n  netns: rack\n", "4:3: controller.netns"),
    ],
)
@pytest.mark.parametrize("lab", ["virtual", "sim"])
def test_what_the_lab_brings_up_itself(lab, before, after, where, problems, small):  # noqa: PLR0917
    text = small.replace(before, after, 1).replace("lab: virtual", f"lab: {lab}")
    if lab == "sim":
        text = text.replace("openvswitch", "sim_switch")
    found = only(problems(text))
    assert f"{where}: this is brought up by the {lab} lab itself" in found


@pytest.mark.parametrize(
    ("lab", "platform", "fit"),
    [("sim", "openvswitch", "sim_switch"), ("virtual", "sim_switch", "openvswitch")],
)
def test_simulated_platforms_are_on_sim_benches_only(lab, platform, fit, problems, small):
    text = small.replace("lab: virtual", f"lab: {lab}").replace("openvswitch", platform)
    found = only(problems(text))
    assert f"9:15: devices.sw1.platform: a {lab} bench has no '{platform}', expected" in found
    assert fit in found


def test_hardware_without_fault(read, hardware):
    assert read(hardware).warnings == ()


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("{interface: eth0}", "{}", "5:5: controller.nics.a.interface: missing, expected"),
        ("host_key", "#", "10:5: devices.sw1.ssh.host_key: missing, expected the fingerprint"),
        ("password", "#", "10:5: devices.sw1.ssh: nothing to log in with, expected key, password"),
        ("eth0", "a/b", "'a/b' is malformed, expected a network interface"),
        ("eth0", "abcdefghijklmnop", "has 16 characters, expected 15 at most"),
        ("user: lab", "user: a b", "'a b' is malformed, expected a login name"),
        ("user: lab", "port: 0\n      user: lab", "0 is too small, expected 1 at least"),
        ("user: lab", "port: 70000\n      user: lab", "70000 is too large, expected 65535"),
        ("user: lab", "key: ''\n      user: lab", "this is no path"),
    ],
)
def test_hardware_needs(before, after, expected, problems, hardware):
    found = problems(hardware.replace(before, after))
    assert expected in only(found)


def test_hardware_needs_a_way_in(problems, hardware):
    text = hardware[: hardware.index("    ssh:")] + "cables: [[controller:a, sw1:p1]]\n"
    assert only(problems(text)) == (
        "7:3: devices.sw1: no way to log in, expected ssh, console or both"
    )


def test_console_alone_is_a_way_in(read, hardware):
    front = hardware[: hardware.index("    ssh:")]
    text = f"{front}    console: {{serial: /dev/ttyS0}}\ncables: [[controller:a, sw1:p1]]\n"
    assert read(text).bench.devices["sw1"].console.baud == 9600


@pytest.mark.parametrize("serial", ["ttyUSB0", "socket://user:pw@h:1", "", "/dev/tty USB"])
def test_malformed_serial_device(serial, problems, hardware):
    text = hardware.replace("    ssh:", f'    console: {{serial: "{serial}"}}\n    ssh:')
    found = only(problems(text))
    assert "devices.sw1.console.serial: this is malformed, expected a device such as" in found


@pytest.mark.parametrize(
    ("extra", "what"),
    [
        ("ssh: {host: 192.0.2.10, user: u, password: {env: A}, host_key: K}", "the SSH server"),
        ("console: {serial: /dev/ttyS0}", "the serial console '/dev/ttyS0'"),
        ("console: {serial: /dev/x}\n    power: {relay: r, channel: 1}", "the power relay 'r:1'"),
    ],
)
def test_one_thing_claimed_by_two_devices(extra, what, problems, hardware):
    fingerprint = '"SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"'
    text = hardware.replace(
        "    ssh:",
        "    console: {serial: /dev/ttyS0}\n    power: {relay: r, channel: 1}\n    ssh:",
    ).replace(
        "cables:",
        f"  sw2:\n    platform: frr\n    ports: [p1]\n    {extra}\ncables:".replace(
            "K}", fingerprint + "}"
        ),
    )
    found = only(problems(text))
    assert what in found
    assert "is taken already, expected each once (the other is devices.sw1." in found


def test_two_nics_of_one_interface(problems, hardware):
    text = hardware.replace(
        "a: {interface: eth0}", "a: {interface: eth0}\n    b: {interface: eth0}"
    )
    assert "the interface 'eth0' is taken already" in only(problems(text))
