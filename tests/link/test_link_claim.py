import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from netns import sh

from testbed.errors import LinkError
from testbed.link.afpacket import AfPacketPort
from testbed.link.claim import claim, restore
from testbed.link.nic import read_nic, wait_for_link
from testbed.timing import seconds

pytestmark = pytest.mark.root

LIES = (
    "rx-checksumming",
    "tx-checksumming",
    "scatter-gather",
    "tcp-segmentation-offload",
    "generic-segmentation-offload",
    "generic-receive-offload",
    "large-receive-offload",
    "rx-vlan-offload",
    "tx-vlan-offload",
    "tx-udp-segmentation",
)


def settings(interface):
    conf = {
        path: Path("/proc/sys/net", path).read_text()
        for path in (
            f"ipv6/conf/{interface}/disable_ipv6",
            f"ipv4/conf/{interface}/arp_ignore",
            f"ipv4/conf/{interface}/forwarding",
        )
    }
    (link,) = json.loads(sh("ip", "-j", "link", "show", interface))
    return sh("ethtool", "-k", interface), conf, "UP" in link["flags"]


def lies(interface):
    told = dict(
        line.strip().split(": ") for line in sh("ethtool", "-k", interface).splitlines()[1:]
    )
    return [name for name in LIES if told.get(name, "off").startswith("on")]


@pytest.mark.parametrize(
    "prepare",
    [
        [],
        [["ethtool", "-K", "va", "gro", "on"]],
        [["ethtool", "-K", "va", "tx", "off"]],  # leaves others "off [requested on]"
        [["ethtool", "-K", "va", "rx", "off", "gso", "off"]],
        [["ip", "link", "set", "va", "down"]],
        [["sysctl", "-qw", "net.ipv6.conf.va.disable_ipv6=0", "net.ipv4.conf.va.forwarding=1"]],
    ],
    ids=["as made", "gro on", "tx off", "rx and gso off", "down", "speaking and forwarding"],
)
def test_all_is_off_while_claimed_and_exactly_as_before_after(veth, prepare):
    for command in prepare:
        sh(*command)
    before = settings("va")
    claimed = claim("va")
    assert lies("va") == []
    assert claimed.stuck == ()
    assert read_nic("va").admin_up
    assert set(settings("va")[1].values()) == {"1\n", "8\n", "0\n"}
    claimed.restore()
    assert settings("va") == before
    claimed.restore()
    assert settings("va") == before


def test_journal_has_it_before_anything_changes(veth):
    before = settings("va")
    entries = []

    def journal(entry):
        assert settings("va") == before
        entries.append(json.loads(json.dumps(entry)))

    claim("va", journal)
    assert settings("va") != before
    restore(entries[0])
    assert settings("va") == before


def test_a_journal_that_fails_leaves_all_as_it_was(veth):
    before = settings("va")

    def journal(entry):
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        claim("va", journal)
    assert settings("va") == before


CLAIM_AND_HANG = """
import json, sys
from testbed.link.claim import claim
claim("va", lambda entry: print(json.dumps(entry), flush=True))
print("claimed", flush=True)
sys.stdin.read()
"""


def test_restored_by_another_process_after_a_kill(veth):
    before = settings("va")
    victim = subprocess.Popen(
        [sys.executable, "-c", CLAIM_AND_HANG],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    entry = json.loads(victim.stdout.readline())
    assert victim.stdout.readline() == "claimed\n"
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    assert settings("va") != before
    restore(entry)
    assert settings("va") == before


def test_an_interface_that_is_gone_or_another_is_left_alone(netns):
    netns.veth("va", "vb")
    claimed = claim("va")
    sh("ip", "link", "del", "va")
    claimed.restore()
    netns.veth("va", "vb")
    fresh = settings("va")
    claimed.restore()
    assert settings("va") == fresh


def test_addresses_that_would_be_lost_are_refused(veth):
    sh("sysctl", "-qw", "net.ipv6.conf.va.disable_ipv6=0")
    sh("ip", "addr", "add", "2001:db8::1/64", "dev", "va", "nodad")
    before = settings("va")
    with pytest.raises(LinkError, match=r"va holds 2001:db8::1/64.*ip -6 addr del"):
        claim("va")
    assert settings("va") == before
    assert "2001:db8::1" in sh("ip", "addr", "show", "va")


def test_unknown_interface(netns):
    with pytest.raises(LinkError, match="no network interface 'nope'"):
        claim("nope")


def test_a_claimed_nic_says_nothing_of_its_own(netns):
    """Up it comes with no IPv6 solicitation, and the machine's other addresses are not its own."""
    netns.veth("va", "vb", up=False)
    sh("sysctl", "-qw", "net.ipv6.conf.va.disable_ipv6=0", "net.ipv4.ip_forward=1")
    sh("ip", "addr", "add", "192.0.2.7/24", "dev", "lo")  # the controller's management address
    claimed = claim("vb")
    witness_claim = claim("va")
    wait_for_link("va", seconds(5))
    wait_for_link("vb", seconds(5))
    witness = AfPacketPort("b", "vb")
    mine = witness.mac.packed
    asked = bytes.fromhex("0001080006040001") + mine + bytes([192, 0, 2, 9]) + bytes(6)
    witness.send(b"\xff" * 6 + mine + b"\x08\x06" + asked + bytes([192, 0, 2, 7]))
    heard = [frame for frame in witness.receive() if frame.direction.value == "in"]
    assert heard == []
    witness.close()
    witness_claim.restore()
    claimed.restore()


def test_the_same_question_unclaimed_is_answered(netns):
    """The control of the test above: without the claim the kernel does answer."""
    netns.veth("va", "vb")
    sh("ip", "addr", "add", "192.0.2.7/24", "dev", "lo")
    sh("ip", "route", "add", "192.0.2.9/32", "dev", "va")
    witness = AfPacketPort("b", "vb")
    mine = witness.mac.packed
    asked = bytes.fromhex("0001080006040001") + mine + bytes([192, 0, 2, 9]) + bytes(6)
    witness.send(b"\xff" * 6 + mine + b"\x08\x06" + asked + bytes([192, 0, 2, 7]))
    heard = [frame for frame in witness.receive() if frame.direction.value == "in"]
    witness.close()
    assert [frame.data[12:14] for frame in heard] == [b"\x08\x06"]
