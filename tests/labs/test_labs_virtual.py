"""The virtual bench as its user meets it: logins, consoles, cables, MTUs, power."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import threading
from contextlib import ExitStack
from pathlib import Path

import paramiko
import pytest
import serial

from testbed.errors import LabError
from testbed.inventory import CONTROLLER, Bench, dump, load
from testbed.labs.netns import enter_controller
from testbed.labs.virtual import VirtualLab, layout
from testbed.labs.virtual import lab as lab_module
from testbed.labs.virtual.wiring import inside

pytestmark = pytest.mark.root

NODES = ("sw1", "sw2", "r1", "r2", "h1", "h2")
ETH_P_ALL = 3
TEST_ETHERTYPE = 0x88B5  # IEEE 802: local experimental


def login(bench: Bench, name: str, within: float = 10) -> paramiko.SSHClient:
    ssh = bench.node(name).ssh
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(Pinned(ssh.host_key))
    client.connect(
        ssh.host,
        port=ssh.port,
        username=ssh.user,
        key_filename=str(ssh.key),
        allow_agent=False,
        look_for_keys=False,
        timeout=within,
    )
    return client


class Pinned(paramiko.MissingHostKeyPolicy):
    def __init__(self, fingerprint: str) -> None:
        self.fingerprint = fingerprint

    def missing_host_key(self, client, hostname, key):
        assert key.fingerprint == self.fingerprint


def run(bench: Bench, name: str, command: str) -> str:
    with login(bench, name) as client:
        _, out, err = client.exec_command(command, timeout=10)
        text = out.read().decode()
        assert out.channel.recv_exit_status() == 0, text + err.read().decode()
        return text


def links(bench: Bench, name: str) -> dict[str, dict]:
    return {link["ifname"]: link for link in json.loads(run(bench, name, "ip -json link show"))}


def own_links(*which: str) -> list[dict]:
    """The interfaces of the namespace that this process is in."""
    command = ["ip", "-json", "link", "show", *which]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def device_namespaces(lab: VirtualLab) -> dict[str, int]:
    """Descriptors of the network namespaces of all nodes, by name."""
    rack = lab.rack_pid
    children = Path(f"/proc/{rack}/task/{rack}/children").read_text().split()
    found = {CONTROLLER: os.open(f"/proc/{rack}/ns/net", os.O_RDONLY)}
    for pid in children:
        name = Path(f"/proc/{pid}/root/etc/hostname").read_text().strip()
        found[name] = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    return found


def test_inventory_is_complete_hardware(lab, tmp_path):
    bench = lab.inventory
    assert bench.lab == "hardware"
    assert all(nic.interface for nic in bench.controller.nics.values())
    for name in NODES:
        assert bench.node(name).ssh.host_key.startswith("SHA256:")
        assert bench.node(name).console.user == "admin"
    path = tmp_path / "hardware.yaml"
    path.write_text(dump(bench))
    assert load(path).bench == bench


@pytest.mark.parametrize("name", NODES)
def test_login_over_ssh_with_pinned_key(lab, name):
    with enter_controller(lab.inventory):
        assert run(lab.inventory, name, "hostname; id -u; id -un").split() == [name, "0", "admin"]


@pytest.mark.parametrize("name", NODES)
def test_login_on_serial_console(lab, name):
    console = lab.inventory.node(name).console
    password = Path(console.password.file).read_text().splitlines()[0]
    with serial.Serial(console.serial, console.baud, timeout=10) as line:
        line.write(b"\r")
        assert b"login: " in line.read_until(b"login: ")
        line.write(b"admin\r")
        assert b"Password: " in line.read_until(b"Password: ")
        line.write(password.encode() + b"\r")
        assert line.read_until(b"# ").endswith(f"admin@{name}:~# ".encode())
        # Longer than every buffer on the way: nothing may be lost to a reader that keeps up.
        line.write(b"seq 1 1500\r")
        said = line.read_until(b"# ").decode().split("\r\n")
        assert said[1:-1] == [str(number) for number in range(1, 1501)]
        line.write(b"exit\r")
        assert line.read_until(b"login: ").endswith(f"{name} login: ".encode())


def test_console_refuses_a_wrong_password(lab):
    console = lab.inventory.node("h1").console
    with serial.Serial(console.serial, console.baud, timeout=10) as line:
        line.write(b"\r")
        line.read_until(b"login: ")
        line.write(b"admin\r")
        line.read_until(b"Password: ")
        line.write(b"wrong\r")
        assert b"Login incorrect" in line.read_until(b"login: ")
        # Leave the console as it was found: login(1) gives way to a fresh prompt at end of file.
        line.write(b"\x04")
        line.read_until(b"login: ")


def test_secrets_are_readable_by_their_owner_only(lab):
    for place in (
        lab.inventory.node("sw1").ssh.key,
        lab.inventory.node("sw1").console.password.file,
    ):
        assert Path(place).stat().st_mode & 0o777 == 0o600


def test_every_cable_joins_what_the_file_says(lab, shipped):
    namespaces = device_namespaces(lab)
    with ExitStack() as stack:
        sockets = {}
        for cable in shipped.cables:
            for end in cable.ends:
                with inside(namespaces[end.node]):
                    opened = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW))
                    opened.bind((end.port, ETH_P_ALL))
                opened.settimeout(5)
                sockets[str(end)] = opened
        for cable in shipped.cables:
            for sender, receiver in (cable.ends, cable.ends[::-1]):
                frame = (
                    b"\xff" * 6
                    + bytes.fromhex("020000000099")
                    + TEST_ETHERTYPE.to_bytes(2, "big")
                    + f"{sender}>{receiver}".encode().ljust(50, b"\0")
                )
                sockets[str(sender)].send(frame)
                while True:
                    data, address = sockets[str(receiver)].recvfrom(2000)
                    # Whatever else comes was flooded by a switch: these ports say nothing.
                    assert data[12:14] == TEST_ETHERTYPE.to_bytes(2, "big")
                    if data == frame and address[2] != socket.PACKET_OUTGOING:
                        break
    for descriptor in namespaces.values():
        os.close(descriptor)


def test_mtus_and_offloads_are_those_of_the_cables(lab, shipped):
    with enter_controller(lab.inventory):
        found = {name: links(lab.inventory, name) for name in NODES}
        for cable in shipped.cables:
            for end in cable.ends:
                if end.node == CONTROLLER:
                    continue
                link = found[end.node][end.port]
                assert link["mtu"] == (cable.mtu or 1500), end
                assert "LOWER_UP" in link["flags"], end
        for name in NODES:
            port = lab.inventory.node(name).ports[0]
            features = run(lab.inventory, name, f"ethtool -k {port}")
            assert "tx-checksumming: off" in features
            assert "tx-tcp-segmentation: off" in features
        mtus = {link["ifname"]: link["mtu"] for link in own_links()}
    assert (mtus["a"], mtus["k"], mtus["l"]) == (1500, 1400, 1280)


def test_data_ports_carry_no_addresses(lab):
    with enter_controller(lab.inventory):
        for name in NODES:
            addresses = json.loads(run(lab.inventory, name, "ip -json address show"))
            ports = lab.inventory.node(name).ports
            assert [a["addr_info"] for a in addresses if a["ifname"] in ports] == [[]] * len(ports)


def test_only_routers_forward(lab):
    with enter_controller(lab.inventory):
        said = {n: run(lab.inventory, n, "sysctl -n net.ipv4.ip_forward").strip() for n in NODES}
    assert said == {"sw1": "0", "sw2": "0", "r1": "1", "r2": "1", "h1": "0", "h2": "0"}


def test_switch_ports_have_their_numbers(lab):
    with enter_controller(lab.inventory):
        said = run(
            lab.inventory, "sw1", "for p in 1 2 3 4 5; do ovs-vsctl get int p$p ofport; done"
        )
    assert said.split() == ["1", "2", "3", "4", "5"]


def test_router_takes_a_static_route(shipped):
    with VirtualLab(shipped) as lab, enter_controller(lab.inventory):
        run(
            lab.inventory,
            "r1",
            "vtysh -c 'configure' -c 'interface eth1' -c 'ip address 10.0.0.1/24' -c 'exit' "
            "-c 'ip route 10.9.0.0/16 10.0.0.2'",
        )
        running = run(lab.inventory, "r1", "vtysh -c 'show running-config'")
    assert "ip route 10.9.0.0/16 10.0.0.2" in running


def test_device_cannot_write_to_the_machines_disk(lab):
    with enter_controller(lab.inventory):
        for path in ("/etc", "/usr", "/var/lib", "/root", "/opt"):
            assert "refused" in run(
                lab.inventory, "h1", f"touch {path}/probe 2>/dev/null || echo refused"
            )
        for path in ("/tmp", "/var/tmp", "/var/log", "/run", "$HOME"):
            run(lab.inventory, "h1", f"touch {path}/probe-of-h1")
    for path in ("/tmp", "/var/tmp", "/var/log", "/run"):
        assert not Path(path, "probe-of-h1").exists()


def test_threads_started_inside_are_inside(lab):
    seen = []
    home = Path("/proc/thread-self/ns/net").readlink()
    with enter_controller(lab.inventory):
        thread = threading.Thread(
            target=lambda: seen.append(Path("/proc/thread-self/ns/net").readlink())
        )
        thread.start()
        thread.join()
        seen.append(Path("/proc/thread-self/ns/net").readlink())
    assert seen[0] == seen[1] == Path(lab.inventory.controller.netns).readlink()
    assert Path("/proc/thread-self/ns/net").readlink() == home


def test_power_cycle_keeps_cables_and_forgets_settings(shipped):
    with VirtualLab(shipped) as lab, enter_controller(lab.inventory):
        run(lab.inventory, "r1", "ip link set eth1 mtu 900; nft add table inet leftover")
        lab.power("r1", on=False)
        carrier = own_links("i")
        assert "NO-CARRIER" in carrier[0]["flags"]
        with pytest.raises((OSError, paramiko.SSHException)):
            login(lab.inventory, "r1", within=0.5)
        lab.power("r1", on=True)
        after = links(lab.inventory, "r1")
        assert (after["eth1"]["mtu"], after["eth3"]["mtu"]) == (1500, 1400)
        assert run(lab.inventory, "r1", "nft list ruleset") == ""
        carrier = own_links("i")
        assert "LOWER_UP" in carrier[0]["flags"]
        for name in ("sw1", "sw2"):
            lab.power(name, on=False)
            lab.power(name, on=True)
            assert set(lab.inventory.node(name).ports) < set(links(lab.inventory, name))


def test_power_of_an_unknown_device(lab):
    with pytest.raises(LabError, match="no device 'sw9'; it has h1, h2, r1, r2, sw1, sw2"):
        lab.power("sw9", on=False)


def test_fifty_testers(shipped):
    nics = [f"t{number}" for number in range(50)]
    bench = Bench.model_validate(
        {
            "bench": "fifty",
            "lab": "virtual",
            "controller": {"nics": {nic: {} for nic in nics}},
            "devices": {"sw": {"platform": "linux_bridge", "ports": [f"p{n}" for n in range(50)]}},
            "cables": [[f"controller:t{n}", f"sw:p{n}"] for n in range(50)],
        }
    )
    with VirtualLab(bench) as lab, enter_controller(lab.inventory):
        assert (
            sum(
                link["master"] == "br0"
                for link in links(lab.inventory, "sw").values()
                if "master" in link
            )
            == 50
        )


def test_port_without_a_cable_has_no_carrier(shipped):
    cables = [c for c in shipped.cables if "r2" not in {end.node for end in c.ends}]
    devices = {name: device for name, device in shipped.devices.items() if name != "r2"}
    bench = shipped.model_copy(update={"cables": tuple(cables), "devices": devices})
    with VirtualLab(bench) as lab, enter_controller(lab.inventory):
        assert lab.inventory.controller.nics.keys() == shipped.controller.nics.keys()
        ports = links(lab.inventory, "r1")
        assert "NO-CARRIER" in ports["eth6"]["flags"]
        assert "LOWER_UP" in ports["eth5"]["flags"]
        assert "NO-CARRIER" in own_links("l")[0]["flags"]


def test_progress_names_every_device(shipped):
    said = []
    with VirtualLab(shipped, said.append):
        pass
    assert said[0] == "cables plugged in"
    assert sorted(said[1:]) == [f"{name} is up" for name in sorted(NODES)]


def test_daemon_that_dies_at_the_start(shipped, monkeypatch):
    good = layout.new_key_pair
    calls = iter(range(100))

    def spoil():
        pair = good()
        return type(pair)("no key\n", pair.public) if next(calls) == 3 else pair

    monkeypatch.setattr(layout, "new_key_pair", spoil)
    lab = VirtualLab(shipped)
    with pytest.raises(LabError, match=r"virtual device r1 ended with status 1") as caught:
        lab.up()
    assert "sshd ended with status" in str(caught.value)
    assert "r1: " in str(caught.value)
    with pytest.raises(LabError, match="is not up"):
        _ = lab.inventory


def test_device_that_never_comes_up(shipped, monkeypatch):
    monkeypatch.setattr(lab_module, "_UP_WITHIN", 0.0)
    with pytest.raises(LabError, match="waited in vain for h1, h2, r1, r2, sw1, sw2 to come up"):
        VirtualLab(shipped).up()


def test_bench_that_has_been_taken_down(shipped):
    with VirtualLab(shipped) as lab:
        bench = lab.inventory
    with pytest.raises(LabError, match="is gone, and the gear with it"), enter_controller(bench):
        pass
