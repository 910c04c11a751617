"""eBPF: encodings beside LLVM's, programs judged by the kernel, and nothing left behind."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from netns import Namespace, sh

from testbed.errors import WireError
from testbed.link.ebpf import (
    R0,
    R1,
    R2,
    R3,
    R4,
    R6,
    R10,
    Assembler,
    BpfError,
    Helper,
    Instruction,
    PerCpuCounters,
    Program,
    Register,
    SharedArray,
    XdpAction,
    XdpFeature,
    XdpLink,
    can_attach,
    can_load,
    can_redirect_to,
    can_run_live,
    decode,
    encode,
    xdp_features,
)
from testbed.link.ebpf.instruction import CONDITIONS

needs_bpf = pytest.mark.skipif(not can_load().works, reason=can_load().why)
needs_llvm = pytest.mark.skipif(shutil.which("llvm-mc") is None, reason="llvm-mc is not installed")

REGISTERS = st.sampled_from(list(Register))
IMMEDIATES = st.integers(-(2**31), 2**31 - 1)
OFFSETS = st.integers(-(2**15), 2**15 - 1)


def disassembled(code: bytes) -> list[str]:
    done = subprocess.run(
        ["llvm-mc", "--disassemble", "-triple=bpfel", "-mcpu=v3"],
        input=" ".join(f"{byte:#04x}" for byte in code),
        capture_output=True,
        text=True,
        check=True,
    )
    assert not done.stderr, done.stderr
    return [line.strip() for line in done.stdout.splitlines() if not line.startswith("\t.")]


def written(asm: Assembler) -> list[str]:
    return [str(each) for each in asm.instructions()]


ARITHMETIC = ("add", "sub", "mul", "div", "bit_or", "bit_and", "shift_left", "shift_right",
              "bit_xor", "mov", "shift_signed")  # fmt: skip
JUMPS = [name for name in CONDITIONS if name not in ("goto", "call", "exit", "&")]


@needs_llvm
@pytest.mark.parametrize("bits", [64, 32])
def test_llvm_reads_arithmetic_as_it_was_meant(bits: int) -> None:
    asm = Assembler()
    for name in ARITHMETIC:
        getattr(asm, name)(R1, R2, bits=bits)
        getattr(asm, name)(R3, 5 if name.startswith("shift") else -5, bits=bits)
    asm.negate(R4, bits=bits)
    assert disassembled(asm.assemble()) == written(asm)


@needs_llvm
def test_llvm_reads_loads_stores_and_byte_orders_as_they_were_meant() -> None:
    asm = Assembler()
    for size in (1, 2, 4, 8):
        asm.load(R1, R2, -3, size=size).store(R2, 5, R3, size=size)
    for bits in (16, 32, 64):
        asm.to_big_endian(R1, bits).to_little_endian(R2, bits)
    asm.load_constant(R6, 0x7877_6655_F433_2211).load_constant(R6, 1).call(5).exit()
    assert disassembled(asm.assemble()) == written(asm)


@needs_llvm
@pytest.mark.parametrize("bits", [64, 32])
def test_llvm_reads_jumps_as_they_were_meant(bits: int) -> None:
    asm = Assembler().label("back")
    for condition in JUMPS:
        asm.jump_if(R1, condition, R2, "back", bits=bits)
        asm.jump_if(R1, condition, -7, "on", bits=bits)
    asm.jump("on").load_constant(R1, 2**40).label("on").exit()
    assert disassembled(asm.assemble()) == written(asm)


@needs_llvm
def test_llvm_reads_atomics_as_they_were_meant() -> None:
    asm = Assembler()
    asm.atomic("+=", R1, 8, R2).atomic("+=", R1, 8, R2, fetch=True)
    asm.atomic("exchange", R1, -8, R2).compare_exchange(R1, 8, R2)
    assert disassembled(asm.assemble()) == [
        "lock *(u64 *)(r1 + 8) += r2",
        "r2 = atomic_fetch_add((u64 *)(r1 + 8), r2)",
        "r2 = xchg_64(r1 - 8, r2)",
        "r0 = cmpxchg_64(r1 + 8, r0, r2)",
    ]


@given(
    st.lists(
        st.builds(
            Instruction,
            st.integers(0, 255).filter(lambda opcode: opcode != 0x18),
            REGISTERS,
            REGISTERS,
            OFFSETS,
            IMMEDIATES,
        )
        | st.builds(Instruction, st.just(0x18), REGISTERS, REGISTERS, OFFSETS, IMMEDIATES,
                    IMMEDIATES),
        max_size=20,
    )
)  # fmt: skip
@settings(max_examples=200)
def test_what_is_encoded_is_decoded(code: list[Instruction]) -> None:
    data = encode(code)
    assert list(decode(data)) == code
    assert len(data) == 8 * sum(each.slots for each in code)
    assert all(str(each) for each in code)


def test_a_program_that_is_cut_off_is_told_with_the_offset() -> None:
    code = Assembler().mov(R0, 1).load_constant(R1, 5).assemble()
    with pytest.raises(WireError, match=r"byte 8: .*64 bits is cut off"):
        list(decode(code[:-8]))
    with pytest.raises(WireError, match=r"byte 0: .*cut off"):
        list(decode(code[:5]))


def test_labels_must_be_somewhere_and_only_once() -> None:
    with pytest.raises(WireError, match="'out', which is nowhere"):
        Assembler().jump("out").assemble()
    with pytest.raises(WireError, match="is there already"):
        Assembler().label("out").label("out")


def test_numbers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(WireError, match="does not fit into 32 bits"):
        Assembler().mov(R0, 1 << 32)
    with pytest.raises(WireError, match="offset 32768"):
        Assembler().load(R0, R1, 1 << 15)


def computed(asm: Assembler) -> int:
    """What a program leaves in R0, by the kernel."""
    with SharedArray(8) as memory:
        asm.load_map_value(R1, memory.fd).store(R1, 0, R0).mov(R0, XdpAction.PASS).exit()
        with Program(asm.assemble()) as program:
            program.try_on(bytes(60))
        return int(memory.view("u8")[0])


@needs_bpf
@pytest.mark.parametrize(
    ("name", "left", "right", "bits", "result"),
    [
        ("add", 5, -6, 64, 2**64 - 1),
        ("add", 5, -6, 32, 2**32 - 1),
        ("sub", 5, 3, 64, 2),
        ("mul", -3, 3, 64, 2**64 - 9),
        ("div", 17, 5, 64, 3),
        ("mod", 17, 5, 64, 2),
        ("bit_or", 0x50, 0x0F, 64, 0x5F),
        ("bit_and", -1, 0xFF, 64, 0xFF),
        ("bit_xor", 0xFF, 0x0F, 64, 0xF0),
        ("shift_left", 1, 40, 64, 1 << 40),
        ("shift_right", -1, 60, 64, 15),
        ("shift_signed", -16, 2, 64, 2**64 - 4),
        ("mov", 0, -1, 32, 2**32 - 1),
    ],
)
def test_the_kernel_computes_what_is_written(
    name: str, left: int, right: int, bits: int, result: int
) -> None:
    for operand in (right, R2):
        asm = Assembler().mov(R0, left).mov(R2, right)
        getattr(asm, name)(R0, operand, bits=bits)
        assert computed(asm) == result


@needs_bpf
@pytest.mark.parametrize("condition", [*JUMPS, "&"])
@pytest.mark.parametrize(("left", "right"), [(1, 2), (2, 1), (3, 3), (-1, 1), (1, -1)])
def test_the_kernel_jumps_as_it_is_written(condition: str, left: int, right: int) -> None:
    whole = 2**64
    expected = {
        "==": left == right,
        "!=": left != right,
        ">": left % whole > right % whole,
        ">=": left % whole >= right % whole,
        "<": left % whole < right % whole,
        "<=": left % whole <= right % whole,
        "s>": left > right,
        "s>=": left >= right,
        "s<": left < right,
        "s<=": left <= right,
        "&": bool(left & right),
    }[condition]
    for operand in (right, R2):
        asm = Assembler().mov(R0, left).mov(R2, right).jump_if(R0, condition, operand, "yes")
        asm.mov(R0, 0).jump("done").label("yes").mov(R0, 1).label("done")
        assert computed(asm) == expected


@needs_bpf
def test_the_kernel_does_atomics_and_stores_of_constants_as_they_are_written() -> None:
    with SharedArray(64) as memory:
        words = memory.view("u8")
        words[:] = [10, 0x0C, 0x0C, 0x0C, 5, 7, 0, 0]
        asm = Assembler().load_map_value(R6, memory.fd).mov(R1, 0x0A)
        asm.atomic("+=", R6, 0, R1).atomic("|=", R6, 8, R1).atomic("&=", R6, 16, R1)
        asm.atomic("^=", R6, 24, R1).atomic("exchange", R6, 32, R1).store(R6, 48, R1)
        asm.mov(R0, 7).mov(R2, 9).compare_exchange(R6, 40, R2).store(R6, 56, -2, size=2)
        asm.negate(R0).mov(R0, XdpAction.DROP).exit()
        with Program(asm.assemble()) as program:
            assert program.try_on(bytes(60)).action == XdpAction.DROP
        assert words.tolist() == [20, 0x0E, 0x08, 0x06, 0x0A, 9, 5, 0xFFFE]


@needs_bpf
def test_a_program_changes_frames_and_python_sees_its_memory() -> None:
    with SharedArray(4096) as memory:
        asm = Assembler().mov(R6, R1).load(R2, R6, 0, size=4).load(R3, R6, 4, size=4)
        asm.mov(R4, R2).add(R4, 14).jump_if(R4, ">", R3, "out")
        asm.mov(R1, 0x1234).to_big_endian(R1, 16).store(R2, 12, R1, size=2)
        asm.load_map_value(R1, memory.fd, 8).mov(R2, 1).atomic("+=", R1, 0, R2)
        asm.label("out").mov(R0, XdpAction.TX).exit()
        with Program(asm.assemble()) as program:
            verdict = program.try_on(bytes(60), repeat=3)
        assert verdict.action == XdpAction.TX
        assert verdict.frame[12:14] == b"\x12\x34"
        assert memory.view("u8", 1, offset=8)[0] == 3


@needs_bpf
def test_counters_of_every_cpu_add_up() -> None:
    counters = PerCpuCounters(4)
    asm = Assembler().store(R10, -4, 2, size=4).load_map(R1, counters.fd).mov(R2, R10).add(R2, -4)
    asm.call(Helper.MAP_LOOKUP_ELEM).jump_if(R0, "==", 0, "out")
    asm.load(R1, R0, 0).add(R1, 1).store(R0, 0, R1).label("out").mov(R0, XdpAction.PASS).exit()
    with Program(asm.assemble()) as program:
        program.try_on(bytes(60), repeat=5)
    assert [counters.read(index) for index in range(4)] == [0, 0, 5, 0]
    counters.close()
    counters.close()


@needs_bpf
def test_a_refused_program_is_told_with_the_verifiers_words() -> None:
    with pytest.raises(BpfError, match="R5 !read_ok") as caught:
        Program(Assembler().mov(R0, Register.R5).exit().assemble(), "bad")
    assert "program bad is refused" in str(caught.value)
    assert "R5 !read_ok" in caught.value.log


@needs_bpf
def test_a_map_that_is_too_large_is_refused_by_name() -> None:
    with pytest.raises(BpfError, match="cannot make the map huge"):
        SharedArray(1 << 40 & 0xFFFF_FFFF | 0xFFFF_FFF0, "huge")


@needs_bpf
def test_a_program_sees_what_arrives_until_its_link_is_closed(
    netns: Namespace, veth: tuple[str, str]
) -> None:
    index = socket_index(veth[1])
    with SharedArray(8) as memory:
        asm = Assembler().load_map_value(R1, memory.fd).mov(R2, 1).atomic("+=", R1, 0, R2)
        asm.mov(R0, XdpAction.DROP).exit()
        with Program(asm.assemble()) as program, XdpLink(program, index):
            assert "xdp" in sh("ip", "link", "show", veth[1])
            with pytest.raises(BpfError, match="another program is attached"):
                XdpLink(program, index)
            send_plain(veth[0], 10)
            assert int(memory.view("u8")[0]) == 10
    assert "xdp" not in sh("ip", "link", "show", veth[1])


@needs_bpf
def test_a_killed_process_leaves_no_program_attached(
    netns: Namespace, veth: tuple[str, str]
) -> None:
    script = f"""
        import sys
        from testbed.link.ebpf import *
        program = Program(Assembler().mov(R0, 2).exit().assemble())
        link = XdpLink(program, {socket_index(veth[1])})
        print("attached", flush=True)
        sys.stdin.read()
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout.readline() == b"attached\n"
    assert "xdp" in sh("ip", "link", "show", veth[1])
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert "xdp" not in sh("ip", "link", "show", veth[1])


@needs_bpf
def test_a_veth_takes_redirected_frames_while_its_far_end_has_a_program(
    netns: Namespace, veth: tuple[str, str]
) -> None:
    near, far = socket_index(veth[0]), socket_index(veth[1])
    if xdp_features(near) is None:
        pytest.skip("this kernel does not tell")
    before = can_redirect_to(veth[0], near)
    assert not before.works
    assert "its far end has an XDP program or GRO on" in before.why
    assert can_attach(veth[1], far).works
    passing = Assembler().mov(R0, XdpAction.PASS).exit().assemble()
    with Program(passing) as program, XdpLink(program, far):
        assert can_redirect_to(veth[0], near).works
        assert xdp_features(near) & XdpFeature.TRANSMIT
    assert not can_redirect_to(veth[0], near).works
    with pytest.raises(OSError, match="No such device"):
        xdp_features(99_999)


@needs_bpf
def test_live_frames_are_run_as_often_as_asked() -> None:
    if not can_run_live().works:
        pytest.skip(can_run_live().why)
    with SharedArray(8) as memory:
        asm = Assembler().load_map_value(R1, memory.fd).mov(R2, 1).atomic("+=", R1, 0, R2)
        asm.mov(R0, XdpAction.DROP).exit()
        with Program(asm.assemble()) as program:
            assert program.run_live(bytes(60), 1000, batch=32)
        assert int(memory.view("u8")[0]) == 1000


@needs_bpf
def test_a_thousand_programs_and_maps_leave_no_descriptor() -> None:
    before = set(Path("/proc/self/fd").iterdir())
    code = Assembler().mov(R0, XdpAction.PASS).exit().assemble()
    for _ in range(1000):
        with SharedArray(8), Program(code):
            pass
    assert set(Path("/proc/self/fd").iterdir()) == before


def test_without_rights_the_probe_says_what_is_missing() -> None:
    script = """
        import os, sys
        from testbed.link.ebpf.probes import can_load, can_run_live
        probe = can_run_live()
        print(probe.works, probe.why)
    """
    if os.geteuid() != 0:
        pytest.skip("needs rights to drop")
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--bounding-set=-all", "--", sys.executable, "-c",
         textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=True,
    )  # fmt: skip
    assert done.stdout.startswith("False no eBPF: ")
    assert "it takes root" in done.stdout


def socket_index(interface: str) -> int:
    return socket.if_nametoindex(interface)


def send_plain(interface: str, count: int) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind((interface, 0))
        for _ in range(count):
            sender.send(bytes.fromhex("ffffffffffff02000000000188b5") + bytes(46))
