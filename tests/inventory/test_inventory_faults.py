"""What is wrong inside a bench file: every fault at its place, all of them at once."""

import pytest

from testbed.inventory import load


def only(problems: list[str]) -> str:
    assert len(problems) == 1, problems
    return problems[0]


def test_unknown_key_offers_the_nearest(problems, small):
    found = only(problems(small.replace("platform:", "platfrom: openvswitch\n    platform:")))
    assert found == (
        "9:5: devices.sw1.platfrom: unknown key 'platfrom', did you mean 'platform'? "
        "expected platform, ports, ssh, console, power, baseline or stated"
    )


def test_unknown_key_with_nothing_near(problems, small):
    found = only(problems(small + "zzz: 1\n"))
    assert found.startswith("14:1: zzz: unknown key 'zzz', expected bench, lab, controller")


@pytest.mark.parametrize(
    ("before", "after", "near"),
    [
        ("    a: {}", "    a: {nac: x}", "'mac'"),
        ("  - [controller:a, sw1:p1]", "  - {ends: [controller:a, sw1:p1], mto: 1}", "'mtu'"),
        ("cables:", "mirrors: [{device: sw1, to: p2, too: x}]\ncables:", "'to'"),
        ("cables:", "limits: {max_rates: 1pps}\ncables:", "'max_rate'"),
        ("    ports:", "    power: {relay: r, channel: 1, chanel: 1}\n    ports:", "'channel'"),
    ],
)
def test_unknown_key_at_every_depth(before, after, near, problems, small):
    found = problems(small.replace(before, after))
    assert any(f"did you mean {near}?" in problem for problem in found)


def test_missing_key_says_what_it_is(problems, small):
    found = only(problems(small.replace("    platform: openvswitch\n", "")))
    assert found.startswith("8:3: devices.sw1.platform: missing, expected the driver")


def test_duplicate_key_names_both_places(problems, small):
    found = only(problems(small.replace("lab: virtual", "lab: virtual\nbench: again")))
    assert found == (
        "3:1: bench: this key is given twice, expected it once (the other is bench at 1:1)"
    )


def test_cable_to_a_port_that_does_not_exist(problems, small):
    found = problems(small.replace("sw1:p2", "sw1:p22"))
    assert only(found) == (
        "13:20: cables[1][1]: 'p22' is no port of sw1, did you mean 'p2'? expected one of p1, p2"
    )


def test_cable_to_a_nic_that_does_not_exist(problems, small):
    found = problems(small.replace("[controller:b", "[controller:zz"))
    assert only(found) == "13:6: cables[1][0]: 'zz' is no NIC, expected one of a, b"


def test_cable_to_a_device_that_does_not_exist(problems, small):
    found = problems(small.replace("sw1:p2]", "sw2:p2]"))
    assert only(found) == (
        "13:20: cables[1][1]: there is no device 'sw2', did you mean 'sw1'? "
        "expected one of controller, sw1"
    )


def test_many_ports_are_not_all_listed(problems, small):
    ports = ", ".join(f"p{n}" for n in range(1, 49))
    found = only(problems(small.replace("[p1, p2]", f"[{ports}]").replace("sw1:p2", "sw1:x")))
    assert found.endswith("p11, p12 and 36 more")


@pytest.mark.parametrize(
    "second", ["  - [controller:b, sw1:p1]", "  - {ends: [sw1:p1, controller:b]}"]
)
def test_port_cabled_twice_names_both_places(second, problems, small):
    found = only(problems(small.replace("  - [controller:b, sw1:p2]", second)))
    assert found.startswith("13:")
    assert found.endswith(
        "sw1:p1 is cabled twice, expected one cable in one port "
        "(the other is cables[0][1] at 12:20)"
    )


def test_cable_from_a_port_to_itself(problems, small):
    found = only(problems(small.replace("[controller:b, sw1:p2]", "[sw1:p2, sw1:p2]")))
    assert "sw1:p2 is both ends of this cable" in found


@pytest.mark.parametrize(
    ("cable", "expected"),
    [
        ("7", "this is no cable, expected its two ends as [end, end]"),
        ("[]", "13:5: cables[1][0]: the first one is missing, expected two"),
        ("[controller:b]", "the second one is missing, expected two"),
        ("[controller:b, sw1:p2, x:y]", "too many entries, expected 2"),
        ("[controller:b, 7]", "this is no end of a cable, expected node:port"),
        ("[controller:b, sw1]", "'sw1' is no end of a cable, expected node:port"),
        ("[controller:b, 'sw1:']", "'sw1:' is no end of a cable"),
        ("[controller:b, 'sw1: p2']", "' p2' is malformed, expected the port as"),
        ("{ends: [controller:b, sw1:p2], mtu: 67}", "67 is too small, expected 68 at least"),
        ("{ends: [controller:b, sw1:p2], mtu: 65536}", "65536 is too large, expected 65535"),
        ("{ends: [controller:b, sw1:p2], mtu: '1500'}", "expected one without quotes"),
        ("{ends: [controller:b, sw1:p2], mtu: true}", "true is no whole number"),
        ("{ends: [controller:b, sw1:p2], speed: 1Gb}", "no link speed, expected one such as"),
        ("{ends: [controller:b, sw1:p2], delay: 3}", "a cable of a virtual bench is as it is"),
        ("{ends: [controller:b, sw1:p2], delay: 3 min}", "no delay, expected one such as 300ns"),
        ("{ends: [controller:b, sw1:p2], loss: 1.5}", "1.5 is too large, expected 1 at most"),
        ("{ends: [controller:b, sw1:p2], loss: 0.5}", "is as it is, expected only on a sim bench"),
        ("{ends: [controller:b, sw1:p2], duplex: both}", "expected"),
        ("{mtu: 1500}", "missing, expected the two ports it joins"),
    ],
)
def test_malformed_cable(cable, expected, problems, small):
    found = problems(small.replace("[controller:b, sw1:p2]", cable))
    assert any(problem.startswith("13:") and expected in problem for problem in found), found


@pytest.mark.parametrize(
    "mac",
    ["02:00:00:00:00", "02:00:00:00:00:0g", "020000000001", "", "02:00-00:00:00:01", "x" * 500],
)
def test_malformed_mac(mac, problems, small):
    found = only(problems(small.replace("    a: {}", f'    a: {{mac: "{mac}"}}')))
    assert found.startswith("5:14: controller.nics.a.mac: ")
    assert "is no MAC address, expected six hex pairs with colons" in found
    assert len(found) < 250


def test_group_mac(problems, small):
    found = only(problems(small.replace("    a: {}", '    a: {mac: "01:00:5e:00:00:01"}')))
    assert "'01:00:5e:00:00:01' is a group address, expected the NIC's own" in found


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("192.0.2.300", "'192.0.2.300' is no IPv4 address"),
        ("192.0.2", "'192.0.2' is no IPv4 address"),
        ('"2001:db8::g"', "'2001:db8::g' is no IPv6 address"),
        ("192.0.2.1:22", "is no IPv6 address, expected an address such as 192.0.2.10"),
        ("-x.example", "'-x.example' is no host name"),
        ("a b", "'a b' is no host name"),
        ('""', "'' is no host name"),
        ("7", '7 is no text, expected text in quotes: "7"'),
        ("lab@192.0.2.1", "a host with a login"),
    ],
)
def test_malformed_address(host, expected, problems, hardware):
    found = only(problems(hardware.replace("192.0.2.10", host)))
    assert found.startswith("11:13: devices.sw1.ssh.host: ")
    assert expected in found


@pytest.mark.parametrize("host", ["192.0.2.1", '"2001:db8::1"', "sw1", "sw_1.lab.example."])
def test_good_address(host, read, hardware):
    assert read(hardware.replace("192.0.2.10", host))


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        ("192.0.2.10/24", "'192.0.2.10/24' has host bits set, expected 192.0.2.0/24"),
        ("192.0.2.0/33", "'192.0.2.0/33' is no IPv4 network"),
        ("2001:db8::/32", "'2001:db8::/32' is no IPv4 network"),
        ("7", "this is no network"),
    ],
)
def test_malformed_network(network, expected, problems, small):
    found = only(problems(f"{small}limits: {{management: [{network}]}}\n"))
    assert "limits.management[0]: " in found
    assert expected in found


def test_fingerprint(problems, hardware):
    found = only(problems(hardware.replace("SHA256:47", "MD5:47")))
    assert "devices.sw1.ssh.host_key: " in found
    assert "ssh-keygen -lf" in found


@pytest.mark.parametrize("rate", ["1Mbps", "0pps", "1.0000001Mpps", "fast", "-1", "1.5", "0"])
def test_malformed_rate(rate, problems, small):
    assert "limits.max_rate: " in only(problems(f"{small}limits: {{max_rate: {rate}}}\n"))


@pytest.mark.parametrize("value", ["-1", ".inf", ".nan", "'1'", "~", "[1]", "1e999"])
def test_malformed_tolerance(value, problems, small):
    found = only(problems(f"{small}tolerances: {{ageing: {value}}}\n"))
    assert "tolerances.ageing: " in found
    assert "expected" in found


@pytest.mark.parametrize("value", ["-1", ".inf", ".nan", "'8k'", "~", "[1]"])
def test_malformed_stated_figure(value, problems, small):
    port = "    ports: [p1, p2]\n"
    assert port in small
    found = problems(small.replace(port, f"{port}    stated: {{fdb_capacity: {value}}}\n", 1))
    assert "stated.fdb_capacity: " in only(found)
    assert "expected" in only(found)


def test_name_of_wrong_form(problems, small):
    found = problems(small.replace("  sw1:\n", '  "sw 1":\n'))
    assert "8:3: devices.sw 1: 'sw 1' is malformed, expected letters, digits" in found[0]


def test_lab_of_unknown_kind(problems, small):
    found = only(problems(small.replace("lab: virtual", "lab: virtuel")))
    assert found == "2:6: lab: 'virtuel' is not known, expected 'sim', 'virtual' or 'hardware'"


def test_all_faults_at_once_in_the_order_of_the_file(problems):
    found = problems(
        "bench: a b\n"
        "lab: here\n"
        "controller: {nics: {a: {mac: nonsense}}, boxes: {w1: [a, b]}}\n"
        "devices:\n"
        "  sw1: {platform: none, ports: [1, p2, p2], baseline: missing.cfg}\n"
        "  sw1: {}\n"
        "cables: [[controller:z, sw1:p9], *x]\n"
    )
    places = [tuple(map(int, problem.split(":")[:2])) for problem in found]
    assert places == sorted(places)
    assert [place for place, _ in places] == [1, 2, 3, 3, 3, 5, 5, 5, 5, 6, 7, 7, 7]


def test_every_fault_says_what_was_expected(problems):
    found = problems("bench: 1\nlab: 2\ncontroller: 3\ndevices: 4\nhosts: [5]\ncables: 6\n")
    assert len(found) == 6
    assert all(", expected " in problem for problem in found)


def test_unused_ports_are_warned_of(read, small, tmp_path):
    text = small.replace("[p1, p2]", "[p1, p2, p3]").replace("    b: {}", "    b: {}\n    c: {}")
    assert read(text).warnings == (
        f"{tmp_path}/bench.yaml:7:5: controller.nics.c: controller:c has no cable, expected one",
        f"{tmp_path}/bench.yaml:11:21: devices.sw1.ports[2]: sw1:p3 has no cable, expected one",
    )


def test_platform_is_judged_only_where_platforms_are_given(problems, small, tmp_path):
    text = small.replace("openvswitch", "openvsiwtch")
    assert "did you mean 'openvswitch'? expected one of frr, linux_bridge" in only(problems(text))
    path = tmp_path / "bench.yaml"
    path.write_text(text)
    assert load(path).bench.devices["sw1"].platform == "openvsiwtch"


def test_baseline_is_looked_for_beside_the_file_then_here(
    read, problems, small, tmp_path, monkeypatch
):
    text = small.replace("    ports:", "    baseline: sw1.cfg\n    ports:")
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    missing = only(problems(text))
    assert missing == (
        f"10:15: devices.sw1.baseline: there is no file '{tmp_path}/sw1.cfg', "
        "expected the baseline configuration"
    )
    (here / "sw1.cfg").touch()
    assert read(text).bench.devices["sw1"].baseline == here / "sw1.cfg"
    (tmp_path / "sw1.cfg").touch()
    assert read(text).bench.devices["sw1"].baseline == tmp_path / "sw1.cfg"
    monkeypatch.setenv("HOME", str(here))
    home = text.replace("sw1.cfg", "~/sw1.cfg")
    assert read(home).bench.devices["sw1"].baseline == here / "sw1.cfg"


@pytest.mark.parametrize("path", ["~nobody-of-that-name/x", "a" * 5000, '""'])
def test_baseline_that_can_be_no_path(path, problems, small):
    found = only(problems(small.replace("    ports:", f"    baseline: {path}\n    ports:")))
    assert "devices.sw1.baseline: " in found


def test_missing_key_file_is_a_warning(read, hardware):
    (warning,) = read(hardware.replace("password: {env: LAB}", "key: no/such/key")).warnings
    assert "devices.sw1.ssh.key: there is no such file on this machine" in warning
