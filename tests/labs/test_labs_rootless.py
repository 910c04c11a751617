"""The virtual bench without root, in a user namespace."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from testbed.labs.rootless import is_root
from testbed.labs.virtual import held_labs, take_down

pytestmark = pytest.mark.root

ROOT = Path(__file__).parents[2]
BENCH = str(ROOT / "inventory" / "virtual.yaml")
NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]

SCRIPT = """
import sys
import paramiko, serial
from testbed.inventory import load
from testbed.labs.netns import enter_controller
from testbed.labs.virtual import VirtualLab

def run(bench, name, command):
    ssh = bench.node(name).ssh
    with paramiko.SSHClient() as client:
        client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        client.connect(ssh.host, username=ssh.user, key_filename=str(ssh.key),
                       allow_agent=False, look_for_keys=False)
        _, out, err = client.exec_command(command, timeout=10)
        return (out.read() + err.read()).decode().strip()

with VirtualLab(load(sys.argv[1]).bench) as lab, enter_controller(lab.inventory):
    bench = lab.inventory
    for name in ("sw1", "sw2", "r1", "r2", "h1", "h2"):
        print(name, run(bench, name, "id -u; ip link set lo mtu 9000 && echo changed").split())
    print("datapath", run(bench, "sw1", "ovs-vsctl get bridge br0 datapath_type"))
    print("ports", run(bench, "sw1", "ovs-ofctl dump-ports br0").count("rx pkts"))
    print("router", run(bench, "r1", "vtysh -c 'show interface brief'").count("up"))
    console = bench.node("h2").console
    with serial.Serial(console.serial, console.baud, timeout=10) as line:
        line.write(b"\\r")
        line.read_until(b"login: ")
        line.write(b"admin\\r")
        line.read_until(b"Password: ")
        line.write(console.password.file.read_bytes().strip() + b"\\r")
        print("console", line.read_until(b"# ").decode().split()[-2:])
"""

HOLD = """
import sys
from pathlib import Path
from testbed.inventory import load
from testbed.labs.virtual import hold
hold(load(sys.argv[1]).bench.model_copy(update={"bench": "nobodys"}), Path(sys.argv[2]))
"""

VISIT = """
import sys
from pathlib import Path
from testbed.inventory import load
from testbed.labs.netns import enter_controller
from testbed.labs.virtual import held_labs
(held,) = [held for held in held_labs() if held.name == "nobodys"]
bench = load(held.inventory).bench
with enter_controller(bench):
    print(sorted(line.split(":")[0].strip() for line in open("/proc/self/net/dev"))[:3])
    print(Path(bench.node("sw1").ssh.key).read_text().splitlines()[0])
"""

END = """
from testbed.labs.virtual import take_down
print(take_down("nobodys").name)
"""


@pytest.fixture(scope="module")
def python() -> list[str]:
    """A Python that nobody, the user, may run, with what the project needs."""
    if not is_root():
        pytest.skip("needs root: the tests become another user")
    if shutil.which("setpriv") is None:
        pytest.skip("needs setpriv: apt-get install util-linux")
    places = os.pathsep.join([str(ROOT), *(path for path in sys.path if "site-packages" in path)])
    for candidate in (sys.executable, "/usr/bin/python3"):
        command = ["env", f"PYTHONPATH={places}", "HOME=/nonexistent", candidate]
        tried = subprocess.run(
            [*NOBODY, *command, "-c", "import testbed.labs.virtual, paramiko, serial"],
            cwd="/",
            capture_output=True,
            check=False,
        )
        if tried.returncode == 0:
            return command
    pytest.skip("this machine keeps its Python, or this checkout, from other users")


def run_as_nobody(python: list[str], script: str, *arguments: str, wrap: tuple = ()) -> str:
    done = subprocess.run(
        [*wrap, *NOBODY, *python, "-c", script, *arguments],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


EVERYWHERE = [f"{name} ['0', 'changed']" for name in ("sw1", "sw2", "r1", "r2", "h1", "h2")]


def test_whole_bench_without_root(shipped, python):
    said = run_as_nobody(python, SCRIPT, BENCH).splitlines()
    assert said[:6] == EVERYWHERE
    assert said[6] in {"datapath netdev", "datapath dummy"}
    assert said[7:] == ["ports 6", "router 9", "console ['admin@h2:~#']"]  # pimd has one, too


def test_open_vswitch_without_tun(shipped, python):
    hide = ("unshare", "--mount", "sh", "-c", 'mount --bind /dev/null /dev/net/tun; exec "$@"', "-")
    said = run_as_nobody(python, SCRIPT, BENCH, wrap=hide).splitlines()
    assert said[:6] == EVERYWHERE
    assert said[6] == "datapath dummy"


def test_bench_held_without_root(shipped, python):
    with tempfile.TemporaryDirectory() as place:
        os.chown(place, 65534, 65534)
        path = Path(place, "hardware.yaml")
        run_as_nobody(python, HOLD, BENCH, str(path))
        try:
            visited = run_as_nobody(python, VISIT).splitlines()
            assert visited[1] == "-----BEGIN OPENSSH PRIVATE KEY-----"
            assert run_as_nobody(python, END) == "nobodys\n"
        finally:
            for held in held_labs():
                if held.name == "nobodys":
                    take_down(held.name)
        assert not path.exists()
