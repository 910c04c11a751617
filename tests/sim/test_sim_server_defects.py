"""Each defect of the server changes what leaves it, in the way that its name says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from ipaddress import IPv4Address

import pytest
from appliance_rig import Rig

from testbed.sim.server import SimServer
from testbed.sim.server.defects import authentication, ppp, pppoe, served
from testbed.stack.services.ppp_config import PppConfig
from testbed.stack.services.pppoe import PppoeConfig
from testbed.stack.services.pppoe_host import PppoeHost
from testbed.stack.variants import Defect
from testbed.timing import seconds
from testbed.wire import (
    ChapCode,
    ChapValue,
    ControlCode,
    ControlPacket,
    EtherType,
    EthFrame,
    MacAddr,
    PppFrame,
    PppoeCode,
    PppoePacket,
    PppoeTag,
    PppProtocol,
    TagType,
    chap_md5,
)

ALL = [
    value
    for module in (authentication, ppp, pppoe, served)
    for name, value in vars(module).items()
    if name.isupper() and isinstance(value, Defect)
]
OTHER, THIEF = MacAddr("02:00:00:00:03:09"), MacAddr("02:00:00:00:03:0a")


def scene(defects: tuple[Defect, ...]) -> Rig:
    rig = Rig(SimServer, defects=defects)
    rig.type(
        "pppoe service gold",
        "pppoe echo 2",
        "pppoe rechallenge 3",
        "pppoe user alice wonderland",
        "pppoe user bob builder",
        "pppoe pool 10.9.0.1 10.9.0.10 10.9.0.19",
        "interface p1",
        "pppoe enable",
    )
    return rig


def dialled(rig: Rig, **settings: object) -> PppoeHost:
    client = rig.host(1)
    config = PppoeConfig(ppp=PppConfig(name=b"alice", secret=b"wonderland", **settings))
    host = PppoeHost(client, "eth0", config)
    host.open(rig.now)
    rig.run(seconds(5))
    return host


def raw(rig: Rig, code: int, *tags: PppoeTag, session: int = 0, dst: MacAddr | None = None) -> None:
    """A packet of the discovery stage from another host on the cable."""
    packet = PppoePacket.discovery(code, tags, session)
    to = dst or rig.dut.jacks["p1"].mac
    frame = EthFrame(to, OTHER, EtherType.PPPOE_DISCOVERY, packet.emit())
    rig.inject(rig.dut, frame.emit(pad=True), "p1")


def every_trick(rig: Rig) -> None:
    """A good deal of what a tester would do, in one go."""
    service = PppoeTag(TagType.SERVICE_NAME, b"gold")
    uniq = PppoeTag(TagType.HOST_UNIQ, b"me")
    relay = PppoeTag(TagType.RELAY_SESSION_ID, b"relay")
    nobodys = PppoeTag(TagType.SERVICE_NAME, b"tin")
    half = PppoeTag(TagType.SERVICE_NAME, b"go")
    raw(rig, PppoeCode.PADI, service, uniq, relay, dst=MacAddr.BROADCAST)
    raw(rig, PppoeCode.PADI, nobodys, dst=MacAddr.BROADCAST)
    raw(rig, PppoeCode.PADI, half, dst=MacAddr.BROADCAST)
    raw(rig, PppoeCode.PADR, service, PppoeTag(TagType.AC_COOKIE, b"forged"))
    cookie = PppoeTag(TagType.AC_COOKIE, good_cookie(rig))
    raw(rig, PppoeCode.PADR, nobodys, cookie)
    raw(rig, PppoeCode.PADR, service, cookie, uniq, relay)
    raw(rig, PppoeCode.PADR, service, cookie)
    for methods in ("chap", "pap", None):
        with_authentication(rig, methods)
    rig.run(seconds(10))


def good_cookie(rig: Rig) -> bytes:
    return rig.dut.access["p1"]._server.concentrator.cookie(OTHER)


def with_authentication(rig: Rig, method: str | None) -> None:
    """Hosts by hand that open a link, and then do all that is right and much that is wrong."""
    for line in ("pppoe authentication chap", "pppoe authentication pap"):
        rig.run_line(f"configure terminal ; no {line} ; end")
    if method:
        rig.type(f"pppoe authentication {method}")
    cookie = PppoeTag(TagType.AC_COOKIE, good_cookie(rig))
    service = PppoeTag(TagType.SERVICE_NAME, b"gold")
    for _ in range(2):
        raw(rig, PppoeCode.PADR, service, cookie)
        for step in steps(rig, method):
            step()
    rig.run(seconds(16))
    for session in tuple(rig.dut.access["p1"].sessions):
        foreign = session.ident
        raw(rig, PppoeCode.PADT, session=foreign)
    rig.run(seconds(4))


def steps(rig: Rig, method: str | None) -> Iterator[Callable[[], None]]:
    session = last_session(rig)

    def control(
        protocol: int, code: int, ident: int, data: bytes = b"", source: MacAddr = OTHER
    ) -> None:
        frame = PppFrame(protocol, ControlPacket(code, ident, data).emit()).emit()
        packet = PppoePacket(PppoeCode.SESSION, session, frame)
        own = rig.dut.jacks["p1"].mac
        eth = EthFrame(own, source, EtherType.PPPOE_SESSION, packet.emit())
        rig.inject(rig.dut, eth.emit(pad=True), "p1")

    lcp, ipcp = PppProtocol.LCP, PppProtocol.IPCP
    yield lambda: control(lcp, 1, 1, b"\x4d\x03x\x09\x03\x04\x01\x04\x05\xdc")
    yield lambda: control(lcp, 1, 2, b"\x01\x04\x05\xdc")
    yield lambda: control(lcp, 1, 3, b"\x01\x04\x00\xc8\x05\x06\x01\x02\x03\x04")
    yield lambda: acknowledge(rig, control)
    yield lambda: control(ipcp, 1, 4, b"\x03\x06\x00\x00\x00\x00")
    yield lambda: control(PppProtocol.CHAP, 2, 77, b"\x10" + bytes(16) + b"alice")
    if method == "chap" and session % 2:
        yield lambda: chap(rig, control, b"wonderland", spoiled=8)
    if method == "pap" and session % 2:
        yield lambda: control(PppProtocol.PAP, 1, 5, b"\x05alice\x0aWONDERLAND")
    yield lambda: control(PppProtocol.PAP, 1, 5, b"\x05alice\x05wrong")
    if method == "chap":
        yield lambda: chap(rig, control, b"wonderland")
        yield lambda: chap(rig, control, b"wonderland")
    yield lambda: control(ipcp, 1, 6, b"\x03\x06\xcb\x00\x71\x01")
    yield lambda: control(lcp, ControlCode.ECHO_REQUEST, 7, b"\x01\x02\x03\x04hello" * 90)
    yield lambda: control(lcp, ControlCode.ECHO_REQUEST, 8, bytes(4), THIEF)
    yield lambda: control(lcp, 0x77, 8)
    yield lambda: control(0x7E57, 1, 9)
    if method:
        yield lambda: control(lcp, ControlCode.TERMINATE_REQUEST, 10)


def last_session(rig: Rig) -> int:
    sessions = rig.dut.access["p1"].sessions
    return sessions[-1].ident if sessions else 0


def acknowledge(rig: Rig, control: Callable[..., None]) -> None:
    """Ack the last Configure-Request that the server sent."""
    for frame in reversed(rig.frames(rig.dut)):
        packet = control_of(frame, PppProtocol.LCP)
        if packet is not None and packet.code == ControlCode.CONFIGURE_REQUEST:
            control(PppProtocol.LCP, ControlCode.CONFIGURE_ACK, packet.ident, packet.data)
            return


def control_of(frame: bytes, protocol: int) -> ControlPacket | None:
    eth = EthFrame.parse(frame)
    if eth.ethertype != EtherType.PPPOE_SESSION:
        return None
    inner = PppFrame.parse(PppoePacket.parse(eth.payload).payload)
    return ControlPacket.parse(inner.information) if inner.protocol == protocol else None


def chap(rig: Rig, control: Callable[..., None], secret: bytes, *, spoiled: int = 0) -> None:
    """Answer the last challenge that the server sent, with this secret, but for so many bytes."""
    for frame in reversed(rig.frames(rig.dut)):
        packet = control_of(frame, PppProtocol.CHAP)
        if packet is not None and packet.code == ChapCode.CHALLENGE:
            value = chap_md5(packet.ident, secret, ChapValue.parse(packet.data).value)
            value = value[: 16 - spoiled] + bytes(spoiled)
            control(PppProtocol.CHAP, 2, packet.ident, b"\x10" + value + b"alice")
            return


def seen_of(defects: tuple[Defect, ...]) -> list[bytes]:
    rig = scene(defects)
    every_trick(rig)
    rig.type("pppoe authentication chap")
    host = dialled(rig)
    rig.run(seconds(20))
    host.close(rig.now)
    rig.run(seconds(10))
    return rig.frames(rig.dut)


@pytest.fixture(scope="module")
def good() -> list[bytes]:
    return seen_of(())


PPP = [each for each in ALL if each.behaviour in {"AP-04", "AP-05"}]


@pytest.mark.parametrize("defect", PPP, ids=lambda each: each.name)
def test_a_defect_shows_on_the_wire(defect: Defect, good: list[bytes]):
    assert seen_of((defect,)) != good


def test_two_good_servers_send_the_same_bytes(good: list[bytes]):
    assert seen_of(()) == good


def test_names_and_stories_are_there_once():
    assert len({(each.behaviour, each.name) for each in ALL}) == len(ALL)
    assert all(each.story.endswith(".") and each.mixins for each in ALL)
    named = {each.name for each in ALL}
    assert {"accepts any CHAP response", "MRU 1500", "offers a taken address"} <= named


def test_one_address_for_all_is_given_twice():
    rig = scene((ppp.ONE_ADDRESS_FOR_ALL,))
    book = rig.dut.access["p1"]._book
    assert book is not None
    assert book.take() == book.take() == IPv4Address("10.9.0.10")
