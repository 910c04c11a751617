"""Each parser on what real devices said, and on the same, damaged."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from devices_samples import PARSERS, SAMPLES, expected, plain, samples
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.errors import DeviceError

ALL = samples()


@pytest.mark.parametrize(("command", "raw"), ALL, ids=[f"{c}/{p.stem}" for c, p in ALL])
def test_the_answer_of_a_device_is_read(command, raw):
    assert plain(PARSERS[command](raw.read_text())) == expected(raw)


def test_every_parser_has_a_sample_and_every_sample_a_parser():
    assert {command for command, _ in ALL} == set(PARSERS)
    assert not [p for p in SAMPLES.glob("*/*/*.json") if not p.with_suffix(".raw").exists()]


NUMBERS = ("-1", "0", "1e999", "NaN", "99999999999999999999999999", '"x"', "null", "[]", "{}")


@st.composite
def damaged(draw):
    """A sample with some of it cut out, doubled, or replaced."""
    command, raw = draw(st.sampled_from(ALL))
    text = raw.read_text()
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 40)))
        patch = draw(
            st.one_of(
                st.just(""),
                st.just(text[start:end] * 2),
                st.sampled_from(NUMBERS),
                st.text(max_size=8),
                st.text("0123456789", min_size=1, max_size=30),
            )
        )
        text = text[:start] + patch + text[end:]
    return command, text


@given(damaged())
@settings(max_examples=400, deadline=None, derandomize=True, database=None)
def test_damaged_answers_are_read_or_refused_and_nothing_else(case):
    command, text = case
    with suppress(DeviceError):
        plain(PARSERS[command](text))


@pytest.mark.parametrize(
    "command", [c for c in PARSERS if not c.endswith(("sysctl", "snmp", "ss"))]
)
@pytest.mark.parametrize("text", ["", "[", "null", "[[[[", '{"a": 1}', "[1]", '[["x"]]'])
def test_answers_of_another_shape_are_read_or_refused(command, text):
    with suppress(DeviceError):
        plain(PARSERS[command](text))


def test_a_refusal_names_the_place():
    link = {"ifname": "p1", "flags": [], "mtu": "wide", "address": "02:00:00:00:00:01"}
    with pytest.raises(DeviceError, match=r"\$\[0\]\.mtu: Input should be a valid integer"):
        PARSERS["linux/ip-link"](json.dumps([link]))
    with pytest.raises(DeviceError, match=r"line 2: '1 x' is not of the form expected"):
        PARSERS["openvswitch/fdb-show"](" port  VLAN  MAC                Age\n\n1 x\n")
