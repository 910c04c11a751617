"""TCP transfers between two hosts: whose fault an end is, and that nothing of them stays behind."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.root

PAIR = """\
bench: pair
lab: virtual
controller:
  nics: {x: {}, y: {}}
  boxes: {w: [x, y]}
hosts:
  h1: {platform: linux_host, ports: [eth1]}
  h2: {platform: linux_host, ports: [eth1]}
cables:
  - [h1:eth1, controller:x]
  - [controller:y, h2:eth1]
"""

PLANS = """
PAIR = pytest.mark.topology(Topology.chain("client:host", "wire:box", "server:host"))
DATA = match.tcp(longer_than=0)

PROGRAM = "import time; print(1, flush=True); time.sleep(600)"
SPOILS = '''
import socket
listener = socket.create_server(("", 6000))
print("ready", flush=True)
near = listener.accept()[0]
far = socket.create_connection(("127.0.0.1", 5000))
while data := near.recv(4096):
    far.sendall(bytes(len(data)))
far.shutdown(socket.SHUT_WR)
while data := far.recv(4096):
    near.sendall(data)
'''

def client_of(bench: Bench) -> str:
    # The box may have let it come to its end after all: that leaves no more than TIME-WAIT.
    return bench.host("client").execute("ss -Htan exclude time-wait 'dport = 5001'")

@PAIR
@drill(
    "other bytes",
    faults.all_of(
        faults.program(SPOILS, role="server"),
        faults.nft(
            "type nat hook prerouting priority -100;",
            "tcp dport 5000 redirect to :6000",
            role="server",
        ),
    ),
    caught="h2, server of port 5000: received 20000 octets, but not those that the peer sent",
)
@drill("no setting", faults.sysctl("net.ipv4.no_such_thing", "1", role="client"), caught="x")
@drill("program", faults.program(PROGRAM, role="client"), caught="x")
def test_1_whole(bench: Bench) -> None:
    with bench.capture() as seen:
        transfer = bench.transfer("client", "server", port=5000, up=20_000, down=10_000)
        transfer.expect_intact(within=seconds(5))
    flow = transfer.flow(seen.at("client--wire"))
    assert testbed.tcpflow.payload_stream(flow.up) == transfer.up
    assert testbed.tcpflow.payload_stream(flow.down) == transfer.down
    assert transfer.up[:100] != transfer.down[:100]

@PAIR
def test_2_nothing_is_remembered_of_the_path(bench: Bench) -> None:
    bench.bring_up_network()
    assert bench.host("client").execute("ip tcp_metrics show") == ""
    assert bench.host("client").execute("ps ax | grep [t]ime.sleep || :") == ""

@PAIR
def test_3_hangs(bench: Bench) -> None:
    bench.box("wire").toward("server").add(testbed.Drop(DATA))
    with bench.capture() as seen:
        transfer = bench.transfer("client", "server", port=5001, up=20_000)
        seen.wait_for("client--wire", DATA)
        transfer.expect_intact(within=milliseconds(300))

@PAIR
def test_4_nothing_goes_on_of_what_hung(bench: Bench) -> None:
    assert client_of(bench) == ""

@PAIR
def test_5_refused(bench: Bench) -> None:
    bench.bring_up_network()
    bench.sabotage("server").run(
        "nft add table ip t",
        "nft 'add chain ip t c { type filter hook input priority 0; }'",
        "nft add rule ip t c tcp dport 5000 reject with tcp reset",
        undo=("nft delete table ip t",),
    )
    bench.transfer("client", "server", port=5000, up=1).expect_intact(within=seconds(5))

@PAIR
def test_6_never_begins(bench: Bench) -> None:
    with bench.capture() as seen:
        transfer = bench.transfer("client", "server", port=5000, up=1)
        transfer.expect_intact(within=seconds(5))
    with bench.capture() as later:
        pass
    transfer.flow(later.at("client--wire"))
"""


@pytest.fixture(scope="module")
def ran(sandbox):
    sandbox.write("pair.yaml", PAIR)
    plan = sandbox.plan("test_transfers", PLANS)
    done = sandbox.testbed("run", plan, "--bench", "pair.yaml")
    return done, sandbox.plans()


def test_verdicts(ran) -> None:
    done, plans = ran
    assert {name.partition("[")[0]: plan.verdict for name, plan in plans.items()} == {
        "test_1_whole": "pass",
        "test_2_nothing_is_remembered_of_the_path": "pass",
        "test_3_hangs": "fail",
        "test_4_nothing_goes_on_of_what_hung": "pass",
        "test_5_refused": "fail",
        "test_6_never_begins": "fail",
    }, done.text


def test_reasons(ran) -> None:
    reasons = {name.partition("[")[0]: plan.reason for name, plan in ran[1].items()}
    assert (
        "h1: result of port 5001: EINPROGRESS: the client has not ended: it has sent 20000"
        in (reasons["test_3_hangs"])
    )
    assert (
        "h1, client of port 5000: sending ended with ECONNREFUSED after 0 octets"
        in (reasons["test_5_refused"])
    )
    assert "client--wire: h1 opened no connection to port 5000" in reasons["test_6_never_begins"]


def test_drills(sandbox, ran) -> None:
    done = sandbox.testbed(
        "drill", "plans/test_transfers.py", "--bench", "pair.yaml", "-k", "_1_ or _2_"
    )
    assert done.code == 1, done.text
    verdicts = {name.partition("[")[2]: plan.verdict for name, plan in sandbox.plans().items()}
    assert verdicts["h1-w-h2-other bytes]"] == "drill-caught", done.text
    assert verdicts["h1-w-h2-no setting]"] == "skip", done.text
    assert verdicts["h1-w-h2-program]"] == "drill-missed", done.text
