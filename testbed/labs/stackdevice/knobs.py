"""Kernel settings by Linux's names, as a Python stack has them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from testbed.devices.linux.kernel import sysctl_path
from testbed.errors import PlanError
from testbed.stack.config import StackConfig
from testbed.timing import Duration, milliseconds, seconds

__all__ = ["apply_knob", "read_knob"]

_RTO_MIN = 200_000_000  # ns: TCP_RTO_MIN of include/net/tcp.h
_RTO_MAX = 120_000_000_000  # ns: TCP_RTO_MAX


@dataclass(frozen=True, slots=True)
class _Knob:
    """One field of ``StackConfig`` that follows a setting: how from text, and back."""

    section: str
    field: str
    take: Callable[[str], Any]
    tell: Callable[[Any], str]


def _flag(section: str, field: str) -> _Knob:
    return _Knob(section, field, lambda text: int(text) != 0, lambda on: str(int(on)))


def _inverse(section: str, field: str) -> _Knob:
    return _Knob(section, field, lambda text: int(text) == 0, lambda on: str(int(not on)))


def _number(section: str, field: str) -> _Knob:
    return _Knob(section, field, int, str)


def _seconds(section: str, field: str) -> _Knob:
    return _Knob(section, field, lambda text: seconds(int(text)), lambda t: str(t // seconds(1)))


def _millis(section: str, field: str) -> _Knob:
    return _Knob(
        section, field, lambda text: milliseconds(int(text)), lambda t: str(t // milliseconds(1))
    )


def _choice(section: str, field: str, **words: str) -> _Knob:
    """Numbers or names of Linux for words of ours: ``n0="off"`` stands for 0."""
    named = {word.removeprefix("n"): own for word, own in words.items()}
    back = {own: word for word, own in named.items()}
    return _Knob(section, field, named.__getitem__, lambda own: back.get(own, str(own)))


def _middle(section: str, field: str) -> _Knob:
    """Of least, default and most, the default: a Python stack tunes no buffers."""
    return _Knob(section, field, lambda text: int(text.split()[1]), lambda n: f"4096 {n} {n}")


def _ports(section: str) -> _Knob:
    return _Knob(
        section,
        "ephemeral",
        lambda text: tuple(map(int, text.split())),
        lambda pair: "\t".join(map(str, pair)),
    )


def _give_up(text: str) -> Duration:
    """Linux counts retransmissions, with the least RTO for a measure (ip-sysctl: tcp_retries2)."""
    return Duration(sum(min(_RTO_MIN << turn, _RTO_MAX) for turn in range(int(text) + 1)))


def _retries(span: Duration) -> str:
    return str(next(n for n in range(1000) if _give_up(str(n)) >= span))


_TCP = {
    "tcp_base_mss": (_number("pmtu", "base"),),
    "tcp_challenge_ack_limit": (_number("tcp", "challenge_ack_limit"),),
    "tcp_congestion_control": (
        _choice("tcp", "congestion_control", reno="newreno", cubic="cubic"),
    ),
    "tcp_dsack": (_flag("tcp", "dsack"),),
    "tcp_early_retrans": (_flag("tcp", "tlp"),),
    "tcp_fin_timeout": (_seconds("tcp", "fin_wait2_timeout"),),
    "tcp_frto": (_flag("tcp", "frto"),),
    "tcp_invalid_ratelimit": (_millis("tcp", "invalid_ack_interval"),),
    "tcp_keepalive_intvl": (_seconds("tcp", "keepalive_interval"),),
    "tcp_keepalive_probes": (_number("tcp", "keepalive_probes"),),
    "tcp_keepalive_time": (_seconds("tcp", "keepalive_idle"),),
    "tcp_max_syn_backlog": (_number("tcp", "backlog"),),
    "tcp_mtu_probing": (_choice("pmtu", "probing", n0="off", n1="blackhole", n2="always"),),
    "tcp_recovery": (_flag("tcp", "rack"),),
    "tcp_retries1": (_number("tcp", "retries_r1"),),
    "tcp_retries2": (_Knob("tcp", "give_up", _give_up, _retries),),
    "tcp_rfc1337": (_flag("tcp", "time_wait_ignores_rst"),),
    "tcp_rmem": (_middle("tcp", "receive_buffer"),),
    "tcp_rto_max_ms": (_millis("tcp", "max_rto"),),
    "tcp_rto_min_us": (
        _Knob("tcp", "min_rto", lambda us: Duration(int(us) * 1000), lambda t: str(t // 1000)),
    ),
    "tcp_sack": (_flag("tcp", "sack"),),
    "tcp_slow_start_after_idle": (_flag("tcp", "restart_after_idle"),),
    "tcp_syn_linear_timeouts": (_number("tcp", "syn_linear_timeouts"),),
    "tcp_syn_retries": (_number("tcp", "syn_retries"),),
    "tcp_synack_retries": (_number("tcp", "synack_retries"),),
    "tcp_syncookies": (_choice("tcp", "syn_cookies", n0="off", n1="full", n2="always"),),
    "tcp_timestamps": (_flag("tcp", "timestamps"),),
    "tcp_tw_reuse": (_flag("tcp", "time_wait_reuse"),),
    "tcp_window_scaling": (_flag("tcp", "window_scaling"),),
    "tcp_wmem": (_middle("tcp", "send_buffer"),),
}

_IP = {
    "icmp_echo_ignore_all": (_inverse("icmp", "answer_echo"),),
    "icmp_echo_ignore_broadcasts": (_inverse("icmp", "answer_broadcast_echo"),),
    "icmp_ratelimit": (
        _Knob(
            "icmp",
            "error_rate",
            lambda ms: 1000 / int(ms) if int(ms) else 0.0,
            lambda rate: str(round(1000 / rate)) if rate else "0",
        ),
    ),
    "ip_default_ttl": (_number("ip", "ttl"),),
    "ip_forward": (_flag("ip", "forwarding"),),
    "ip_local_port_range": (_ports("tcp"), _ports("udp")),
    "ip_no_pmtu_disc": (_inverse("pmtu", "enabled"),),
    "ipfrag_high_thresh": (_number("ip", "reassembly_bytes"),),
    "ipfrag_time": (_seconds("ip", "reassembly_timeout"),),
    "route/min_pmtu": (_number("pmtu", "floor"),),
    # Linux has no bound of its own below which nothing larger is tried: this is all there is.
    "route/mtu_expires": (_seconds("pmtu", "lifetime"), _seconds("pmtu", "never_before")),
}

_LINK = {
    "accept_redirects": (_flag("ip", "accept_redirects"),),
    "accept_source_route": (_flag("ip", "source_route"),),
    "base_reachable_time_ms": (_millis("arp", "reachable"),),
    "mcast_solicit": (_number("arp", "attempts"),),
    "retrans_time_ms": (_millis("arp", "retry"),),
    "send_redirects": (_flag("ip", "send_redirects"),),
}
"""Settings that Linux has per interface; a Python stack has one for all."""


def apply_knob(config: StackConfig, name: str, value: str) -> StackConfig | None:
    """``config`` with a kernel setting changed; None where a Python stack has no such setting.

    PlanError where the value makes no sense.
    """
    knobs = _knobs(name)
    if knobs is None:
        return None
    for knob in knobs:
        try:
            taken = knob.take(value)
        except (ValueError, KeyError, IndexError):
            raise PlanError(f"{name} cannot be set to {value!r} on a Python stack") from None
        section = replace(getattr(config, knob.section), **{knob.field: taken})
        config = replace(config, **{knob.section: section})
    return config


def read_knob(config: StackConfig, name: str) -> str | None:
    """A kernel setting as ``config`` has it; None where a Python stack has no such setting."""
    knobs = _knobs(name)
    if knobs is None:
        return None
    held = getattr(getattr(config, knobs[0].section), knobs[0].field)
    return "0" if held is None else knobs[0].tell(held)


def _knobs(name: str) -> tuple[_Knob, ...] | None:
    parts = sysctl_path(name).split("/")
    if parts[:2] != ["net", "ipv4"]:
        return None
    if parts[2] in ("conf", "neigh"):
        return _LINK.get(parts[-1])
    rest = "/".join(parts[2:])
    return _TCP.get(rest) or _IP.get(rest)
