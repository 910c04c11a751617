"""Offloads that make lies of lengths and checksums: what they are, off with them, and back.

A NIC that merges received frames (GRO, LRO), cuts large ones late (TSO, GSO), fills checksums in
after the capture saw them or takes VLAN tags away shows frames that never were on the cable.
"""

from __future__ import annotations

import re

from testbed.link.ethtool import Ethtool

__all__ = ["apply", "liars", "switch_off"]

_LIARS = re.compile(
    r"""
    rx-checksum | tx-checksum-.*            # checksums left to the NIC
  | tx-scatter-gather.*                     # what segmentation builds on
  | tx-.*segmentation | tx-gso-.*           # TSO, UFO, USO, GSO and their kin
  | rx-gro.* | rx-lro | rx-udp-gro-forwarding
  | [rt]x-vlan-(stag-)?hw-(parse|insert)    # tags that travel beside the frame
  | rx-vlan-(stag-)?filter                  # tagged frames dropped unseen
  | rx-fcs                                  # four bytes that no length counts
    """,
    re.VERBOSE,
)
"""By the kernel's feature names (netdev_features_strings in net/ethtool/common.c)."""


def liars(interface: str) -> dict[str, bool]:
    """Those offloads of ``interface`` that lie and are wanted on or are on, with what is wanted.

    This is what ``apply`` takes to put them back, and it goes through JSON unharmed. An offload
    that is on and cannot be changed is among them too.
    """
    with Ethtool(interface) as ethtool:
        features = ethtool.features()
    return {
        name: feature.wanted
        for name, feature in features.items()
        if _LIARS.fullmatch(name) and (feature.active or (feature.wanted and feature.changeable))
    }


def switch_off(interface: str) -> tuple[str, ...]:
    """Switch off all that lies on ``interface``; names those that the driver keeps on."""
    apply(interface, dict.fromkeys(liars(interface), False))
    with Ethtool(interface) as ethtool:
        features = ethtool.features()
    return tuple(sorted(n for n, f in features.items() if _LIARS.fullmatch(n) and f.active))


def apply(interface: str, wanted: dict[str, bool]) -> None:
    """Want each of these offloads on or off; those that cannot be changed stay as they are.

    Raises LinkError when the driver refuses.
    """
    with Ethtool(interface) as ethtool:
        features = ethtool.features()
        changes = {
            name: on
            for name, on in wanted.items()
            if name in features and features[name].changeable and features[name].wanted != on
        }
        if changes:
            ethtool.set_features(changes)
