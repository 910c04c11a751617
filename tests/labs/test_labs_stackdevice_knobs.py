"""Linux's settings on a Python stack: what is set is told, and is what the stack does."""

from __future__ import annotations

import pytest

from testbed.errors import PlanError
from testbed.labs.stackdevice.knobs import apply_knob, read_knob
from testbed.stack.config import StackConfig
from testbed.timing import milliseconds, seconds

LINUX = StackConfig.linux()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("net.ipv4.tcp_sack", "0"),
        ("net/ipv4/tcp_timestamps", "0"),
        ("net.ipv4.tcp_syn_retries", "2"),
        ("net.ipv4.tcp_syncookies", "2"),
        ("net.ipv4.tcp_retries2", "8"),
        ("net.ipv4.tcp_invalid_ratelimit", "0"),
        ("net.ipv4.tcp_congestion_control", "reno"),
        ("net.ipv4.tcp_mtu_probing", "1"),
        ("net.ipv4.tcp_fin_timeout", "5"),
        ("net.ipv4.tcp_keepalive_time", "10"),
        ("net.ipv4.tcp_rto_min_us", "100000"),
        ("net.ipv4.ip_local_port_range", "40000\t40010"),
        ("net.ipv4.ip_no_pmtu_disc", "1"),
        ("net.ipv4.ipfrag_time", "3"),
        ("net.ipv4.icmp_ratelimit", "0"),
        ("net.ipv4.icmp_ratelimit", "250"),
        ("net.ipv4.icmp_echo_ignore_all", "1"),
        ("net.ipv4.route.mtu_expires", "20"),
        ("net/ipv4/conf/eth1/accept_redirects", "0"),
        ("net/ipv4/neigh/eth1/base_reachable_time_ms", "2000"),
    ],
)
def test_what_is_set_is_told(name, value):
    changed = apply_knob(LINUX, name, value)
    assert changed is not None
    assert changed != LINUX
    assert read_knob(changed, name) == value


def test_settings_become_fields():
    config = LINUX
    for name, value in {
        "net.ipv4.tcp_rmem": "4096 65536 6291456",
        "net.ipv4.tcp_dsack": "0",
        "net.ipv4.tcp_early_retrans": "0",
        "net.ipv4.ipfrag_time": "7",
        "net.ipv4.ip_local_port_range": "1024 2000",
        "net/ipv4/neigh/eth1/retrans_time_ms": "300",
    }.items():
        config = apply_knob(config, name, value)
    assert config.tcp.receive_buffer == 65536
    assert not config.tcp.dsack
    assert not config.tcp.tlp
    assert config.ip.reassembly_timeout == seconds(7)
    assert config.tcp.ephemeral == config.udp.ephemeral == (1024, 2000)
    assert config.arp.retry == milliseconds(300)


def test_retries_are_a_span_as_linux_counts_them():
    """ip-sysctl.rst: tcp_retries2 of 15 is a hypothetical time-out of 924.6 s."""
    assert apply_knob(LINUX, "net.ipv4.tcp_retries2", "15").tcp.give_up == seconds(924.6)
    assert read_knob(LINUX, "net.ipv4.tcp_retries2") == "15"


@pytest.mark.parametrize("name", ["net.ipv4.tcp_fastopen", "net.core.somaxconn", "kernel.pid_max"])
def test_what_a_python_stack_has_not_is_told(name):
    assert apply_knob(LINUX, name, "1") is None
    assert read_knob(LINUX, name) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("net.ipv4.tcp_sack", "maybe"),
        ("net.ipv4.tcp_congestion_control", "vegas"),
        ("net.ipv4.tcp_rmem", "4096"),
    ],
)
def test_nonsense_is_refused(name, value):
    with pytest.raises(PlanError, match="cannot be set to"):
        apply_knob(LINUX, name, value)
