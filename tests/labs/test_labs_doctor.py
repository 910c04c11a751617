"""What the machine lacks is named, with the command that mends it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from testbed.errors import InventoryError, LabError
from testbed.inventory import Bench
from testbed.labs import requirements
from testbed.labs.doctor import examine
from testbed.labs.netns import enter_controller, namespace_path
from testbed.labs.requirements import install_command, packages, require
from testbed.labs.virtual.credentials import hash_password, new_key_pair
from testbed.labs.virtual.layout import lay_out
from testbed.labs.virtual.spec import RackSpec


def bench(**changes) -> Bench:
    data = {
        "bench": "small",
        "lab": "virtual",
        "controller": {"nics": {"a": {}}},
        "devices": {"sw": {"platform": "linux_bridge", "ports": ["p1"]}},
        "cables": [["controller:a", "sw:p1"]],
    }
    return Bench.model_validate({**data, **changes})


@pytest.fixture
def bare_machine(monkeypatch, tmp_path):
    monkeypatch.setattr(requirements, "SYSTEM_PATH", str(tmp_path))


def test_report_covers_all_groups_and_every_failure_says_what_was_found():
    report = examine()
    engines = {"senders", "recorders", "boxes", "clocks"}
    groups = {"rights", "kernel", *engines, "commands", "python"}
    assert {check.group for check in report.checks} == groups
    senders = [check.name for check in report.checks if check.group == "senders"]
    assert senders == ["streams by XDP live frames", "streams by UDP GSO", "streams by sendmmsg"]
    clocks = [check for check in report.checks if check.group == "clocks"]
    assert clocks[-1].name == "time stamps at virtual interfaces"
    assert clocks[-1].found == "CLOCK_REALTIME (not hardware: there is none)"
    recorders = [check.name for check in report.checks if check.group == "recorders"]
    assert recorders == ["recordings by XDP", "recordings by TPACKET_V3"]
    assert [state.lab for state in report.labs] == ["sim", "virtual", "hardware"]
    assert all(check.found for check in report.checks)
    assert not any(check.mend for check in report.checks if check.ok)


def test_report_of_a_bare_machine_names_the_packages(bare_machine):
    report = examine()
    sim, virtual = report.labs[:2]
    assert sim.runs
    assert not virtual.runs
    assert "sshd" in virtual.why
    mends = [check.mend for check in report.missing if check.group == "commands"]
    assert "sudo apt-get install --yes --no-install-recommends openssh-server" in mends


def test_missing_programs_are_named_with_their_packages(bare_machine):
    with pytest.raises(LabError) as caught:
        require("virtual", {"openvswitch"})
    text = str(caught.value)
    assert "sshd (package openssh-server)" in text
    assert "ovs-vswitchd" in text
    assert "vtysh" not in text
    assert text.endswith("openssh-server procps nftables ethtool openvswitch-switch")


def test_every_package_is_listed_once_and_on_a_line_of_its_own():
    listed = re.findall(
        r'^  \{"package": "([a-z0-9-]+)",.*\},?$',
        Path(requirements.__file__).with_name("packages.json").read_text(),
        re.MULTILINE,
    )
    assert listed == [package.name for package in packages()]
    assert len(set(listed)) == len(listed)


def test_install_command_installs_nothing_but_what_is_named():
    assert install_command(["frr"]) == "apt-get install --yes --no-install-recommends frr"


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"lab": "sim"}, "lab is sim, expected virtual"),
        (
            {"devices": {"sw": {"platform": "cisco_ios", "ports": ["p1"]}}},
            "device sw: no virtual device of platform 'cisco_ios', expected one of frr, ",
        ),
        (
            {"devices": {"sw": {"platform": "frr", "ports": ["Gi0/1"]}}, "cables": []},
            "sw: port Gi0/1: 'Gi0/1' cannot be the name of a Linux interface",
        ),
        ({"controller": {"nics": {"a" * 16: {}}}, "cables": []}, "at most 15 characters"),
        ({"controller": {"nics": {"mgmt1": {}}}, "cables": []}, "NIC mgmt1: "),
    ],
)
def test_bench_that_cannot_be_built(changes, problem):
    with pytest.raises(InventoryError) as caught:
        lay_out(bench(**changes))
    assert problem in str(caught.value)
    assert str(caught.value).startswith("bench small: ")


def test_layout_travels_as_one_line():
    spec = lay_out(bench()).spec
    line = spec.to_json()
    assert "\n" not in line
    assert RackSpec.from_json(line) == spec


def test_every_run_has_secrets_of_its_own():
    one, other = lay_out(bench()), lay_out(bench())
    assert one.spec.files.keys() == other.spec.files.keys()
    assert all(one.spec.files[name] != other.spec.files[name] for name in one.spec.files)
    assert one.host_keys["sw"].private not in one.spec.files.values()


def test_addresses_are_the_same_in_every_run():
    one, other = lay_out(bench()).spec, lay_out(bench()).spec
    assert one.cables == other.cables
    assert one.devices[0].address == other.devices[0].address == "100.127.0.3"


def test_password_hash_is_salted_and_holds_no_password():
    one, other = hash_password("secret"), hash_password("secret")
    assert one != other
    assert one.startswith("$5$")
    assert "secret" not in one


def test_fingerprint_is_that_of_ssh_keygen(tmp_path):
    if shutil.which("ssh-keygen") is None:
        pytest.skip("needs ssh-keygen: apt-get install openssh-client")
    pair = new_key_pair()
    public = tmp_path / "key.pub"
    public.write_text(pair.public + "\n")
    said = subprocess.run(
        ["ssh-keygen", "-l", "-f", public], capture_output=True, text=True, check=True
    ).stdout
    assert said.split()[1] == pair.fingerprint


def test_namespace_is_a_path_or_a_name():
    assert namespace_path("/proc/1/ns/net") == Path("/proc/1/ns/net")
    assert namespace_path("blue") == Path("/run/netns/blue")


def test_entering_where_there_is_no_namespace(tmp_path):
    nowhere = bench(controller={"nics": {"a": {}}, "netns": str(tmp_path / "absent")})
    with pytest.raises(LabError, match="is gone, and the gear with it"), enter_controller(nowhere):
        pass
    plain = tmp_path / "plain"
    plain.write_text("")
    file = bench(controller={"nics": {"a": {}}, "netns": str(plain)})
    with pytest.raises(LabError, match="is no network namespace"), enter_controller(file):
        pass


def test_bench_without_namespace_stays_where_it_is():
    home = Path("/proc/thread-self/ns/net").readlink()
    with enter_controller(bench()):
        assert Path("/proc/thread-self/ns/net").readlink() == home
