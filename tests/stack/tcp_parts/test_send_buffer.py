"""The send buffer against a plain bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.stack.tcp.sendbuffer import SendBuffer

START = (1 << 32) - 5


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("append"), st.binary(max_size=6000)),
            st.tuples(st.just("read"), st.tuples(st.floats(0, 1), st.integers(0, 9000))),
            st.tuples(st.just("release"), st.floats(0, 1)),
        ),
        max_size=40,
    )
)
def test_it_gives_back_what_was_put_in(steps):
    buffer, model, start = SendBuffer(START), b"", START
    for step, value in steps:
        if step == "append":
            buffer.append(value)
            model += value
        elif step == "read":
            where = start + int(value[0] * (len(model) - (start - START)))
            assert buffer.read(where, value[1]) == model[where - START :][: value[1]]
        else:
            start += int(value * (len(model) - (start - START)))
            buffer.release(start)
        assert (buffer.start, buffer.end) == (start, START + len(model))
        assert buffer.size == START + len(model) - start


def test_what_was_released_cannot_be_read():
    buffer = SendBuffer(0)
    buffer.append(b"abcdef")
    buffer.release(3)
    assert buffer.read(3, 9) == b"def"
    with pytest.raises(IndexError):
        buffer.read(2, 1)
    with pytest.raises(IndexError):
        buffer.read(7, 1)


def test_many_small_writes_become_few_chunks():
    buffer = SendBuffer(0)
    for _ in range(10_000):
        buffer.append(b"x")
    assert len(buffer._chunks) <= 3
    assert buffer.read(0, 10_000) == b"x" * 10_000


def test_a_callers_bytearray_may_change_afterwards():
    buffer = SendBuffer(0)
    data = bytearray(b"abc")
    buffer.append(data)
    data[0] = 0
    assert buffer.read(0, 3) == b"abc"
