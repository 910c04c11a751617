"""Drivers over a console, through login, enable and pager, as over the very command line."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from plan_runs import ROOT, Sandbox

from testbed.console import SIM_CLI, Access, Session
from testbed.console.steps import Entry
from testbed.console.transcript import ConsoleLog
from testbed.devices.registry import PLATFORMS, open_driver
from testbed.devices.values import VlanMode
from testbed.errors import TestbedError
from testbed.inventory import load
from testbed.labs.sim import gear
from testbed.labs.sim.login import SimLogin
from testbed.labs.sim.loop import SimLoop
from testbed.labs.sim.world import World
from testbed.sim.cli.connect import connect
from testbed.sim.cli.terminal import Account
from testbed.timing import seconds
from testbed.wire import MacAddr

SIM = ROOT / "inventory" / "sim.yaml"
BENCH = load(SIM, platforms=frozenset(PLATFORMS)).bench
PAGED = replace(SIM_CLI, setup=())
FIRST, SECOND = MacAddr("02:00:00:00:00:01"), MacAddr("02:00:00:00:00:02")


class Changes:
    """Nobody undoes anything."""

    def before(self, change) -> None:
        """Pass over it."""


def over_console(name, world, loop, log, *, profile=SIM_CLI, seed=1) -> Session:
    """A login through the console, whose bytes come in pieces of any size."""
    chance = random.Random(f"{seed} {name}")  # noqa: S311 - sizes of pieces
    account = Account()
    line = connect(
        world.devices[name],
        loop,
        touched=lambda: world.network.refresh(name),
        piece=lambda data: chance.randint(1, max(1, len(data))),
    )
    access = Access(
        profile, Entry.CONSOLE, user=account.user, password=account.password, secret=account.enable
    )
    return Session(name, line, access, clock=loop, log=log).login(seconds(20))


def open_one(name, login, **options):
    world = World(BENCH, "1")
    loop = SimLoop(world.network)
    cli = login(name, world, loop, ConsoleLog(loop.now), **options)
    entry = BENCH.devices[name]
    return open_driver(entry.platform, name, cli, Changes(), loop, entry.ports)


def answer(ask, driver):
    """What a driver gives, or what it says is wrong."""
    try:
        return ask(driver)
    except TestbedError as error:
        return type(error), str(error)


ASKED = {
    "sim_switch": [
        lambda d: d.flush_fdb(),
        lambda d: [d.add_static(mac, d.ports[0]) for mac in (FIRST, SECOND)],
        lambda d: d.fdb(),
        lambda d: d.set_vlan_mode(d.ports[1], VlanMode(access=7)),
        lambda d: d.vlan_mode(d.ports[1]),
        lambda d: d.set_ageing_time(seconds(20)),
        lambda d: d.ageing_time(),
        lambda d: d.set_mirror((d.ports[0],), d.ports[4]),
        lambda d: d.set_storm_control(d.ports[0], 100),
        lambda d: d.set_mtu(d.ports[0], 9000),
        lambda d: d.mtu(d.ports[0]),
        lambda d: d.flush_fdb(d.ports[0]),
        lambda d: d.execute("show interfaces"),
        lambda d: d.execute("show nonsense"),
        lambda d: d.execute("configure terminal ; vlan 99999 ; end"),
    ],
}
ALWAYS = [
    lambda d: d.version(),
    lambda d: d.read_config(),
    lambda d: [d.port_is_up(port) for port in d.ports],
    lambda d: [d.counters(port) for port in d.ports],
    lambda d: d.set_port_up(d.ports[0], False),
    lambda d: d.port_is_up(d.ports[0]),
    lambda d: d.restore_config(d.read_config()),
    lambda d: d.execute("show running-config"),
]


@pytest.mark.parametrize("profile", [SIM_CLI, PAGED], ids=["endless", "paged"])
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", BENCH.devices)
def test_a_driver_gets_the_same_answers_over_the_console(name, profile, seed):
    direct = open_one(name, SimLogin)
    console = open_one(name, over_console, profile=profile, seed=seed)
    asked = [*ALWAYS, *ASKED.get(BENCH.devices[name].platform, []), *ALWAYS]
    for number, ask in enumerate(asked):
        assert answer(ask, console) == answer(ask, direct), number


QUICK = "sw01 or sw02 or sw06 or sw10 or sw13"
"""Plans that take no long: those of storms and full tables do not ask a device more."""


def test_shipped_plans_pass_with_all_drivers_on_consoles(tmp_path, monkeypatch):
    place = Sandbox(tmp_path)
    monkeypatch.setattr(gear, "SimLogin", over_console)
    plans = str(ROOT / "plans" / "switching")
    done = place.call("run", "--bench", str(SIM), plans, "-k", QUICK)
    assert done.code == 0, done.text
    assert set(place.verdicts().values()) == {"pass"}
    assert any(line.text == "terminal length 0" for line in place.report().plans[0].console)
