import json
import threading

import pytest
from netns import sh

from testbed.errors import LinkError
from testbed.link.nic import LinkWatch, read_nic, wait_for_link
from testbed.timing import milliseconds, seconds

pytestmark = pytest.mark.root


def test_state_is_what_ip_and_ethtool_say(veth):
    (told,) = json.loads(sh("ip", "-j", "link", "show", "va"))
    state = read_nic("va")
    assert str(state.mac) == told["address"]
    assert (state.index, state.mtu) == (told["ifindex"], told["mtu"])
    assert state.admin_up
    assert state.carrier
    assert f"driver: {state.driver}\n" in sh("ethtool", "-i", "va")
    mode = sh("ethtool", "va")
    assert f"Speed: {state.speed}Mb/s" in mode
    assert f"Duplex: {state.duplex.capitalize()}" in mode
    assert state.addresses == ()


def test_every_feature_is_what_ethtool_says(veth):
    sh("ethtool", "-K", "va", "tx", "off")  # takes segmentation with it: "off [requested on]"
    told = sh("ethtool", "-k", "va")
    names = {"rx-checksumming": "rx-checksum", "generic-receive-offload": "rx-gro"}
    names |= {"large-receive-offload": "rx-lro", "rx-vlan-offload": "rx-vlan-hw-parse"}
    checked = 0
    features = read_nic("va").features
    for line in told.splitlines()[1:]:
        name, _, value = line.strip().partition(": ")
        feature = features.get(names.get(name, name))
        if feature is None:
            continue
        checked += 1
        assert value.startswith("on" if feature.active else "off"), line
        assert ("[fixed]" in value) == (not feature.changeable), line
        assert ("[requested on]" in value) == (feature.wanted and not feature.active), line
    assert checked > 50


def test_addresses_are_told(veth):
    sh("ip", "addr", "add", "192.0.2.1/24", "dev", "va")
    sh("ip", "addr", "add", "192.0.2.9/32", "dev", "vb")
    assert [str(address) for address in read_nic("va").addresses] == ["192.0.2.1/24"]


def test_an_unknown_interface_names_those_that_exist(veth):
    with pytest.raises(LinkError) as caught:
        read_nic("enp3s0")
    assert "no network interface 'enp3s0'" in str(caught.value)
    for name in ("lo", "va", "vb"):
        assert name in str(caught.value)
    with pytest.raises(LinkError, match="no network interface ''"):
        read_nic("")
    with pytest.raises(LinkError, match="no network interface"):
        read_nic("a-name-that-no-kernel-takes")


def test_loopback_is_an_interface_and_a_tunnel_is_not(netns):
    assert read_nic("lo").index == 1
    sh("ip", "tuntap", "add", "dev", "tun9", "mode", "tun")
    with pytest.raises(LinkError, match="tun9 is no Ethernet interface"):
        read_nic("tun9")


def test_waiting_for_a_link_ends_when_it_comes(netns):
    netns.veth("va", "vb", up=False)
    sh("ip", "link", "set", "va", "up")
    with pytest.raises(LinkError, match=r"va \(veth\) has no link.*waited 20 ms"):
        wait_for_link("va", milliseconds(20))
    # A thread started here lives in this namespace.
    plug = threading.Timer(0.05, sh, ("ip", "link", "set", "vb", "up"))
    plug.start()
    assert wait_for_link("va", seconds(5)).carrier
    plug.join()


def test_watch_counts_what_happened_between_two_looks(veth):
    watch = LinkWatch("va")
    watch.check()
    assert watch.downs() == 0
    for state in ("down", "up") * 3:
        sh("ip", "link", "set", "vb", state)
    wait_for_link("va", seconds(5))
    assert watch.downs() == 3
    with pytest.raises(LinkError, match="3 times"):
        watch.check()
    watch.forgive()
    watch.check()
    watch.close()


def test_watch_tells_a_new_address_and_another_interface_of_the_same_name(netns):
    netns.veth("va", "vb")
    watch = LinkWatch("va")
    sh("ip", "link", "set", "va", "address", "02:00:00:00:00:77")
    with pytest.raises(LinkError, match=r"MAC address changed from .* to 02:00:00:00:00:77"):
        watch.check()
    sh("ip", "link", "del", "va")
    netns.veth("va", "vb")
    with pytest.raises(LinkError, match="va is gone"):
        watch.check()
    watch.close()
