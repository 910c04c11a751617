"""Sequence number arithmetic modulo 2**32 (RFC 9293 3.4).

Numbers are compared by the shorter way round: ``a`` comes before ``b`` if fewer than 2**31 steps
lead from ``a`` to ``b`` (RFC 1982 3.2).
"""

from __future__ import annotations

__all__ = ["seq_add", "seq_before", "seq_between", "seq_diff", "seq_max", "seq_min"]

_MASK = 0xFFFFFFFF
_HALF = 0x80000000


def seq_add(number: int, steps: int) -> int:
    """``number`` moved on by ``steps``, which may be negative."""
    return (number + steps) & _MASK


def seq_diff(later: int, earlier: int) -> int:
    """Steps from ``earlier`` to ``later``: -2**31 to 2**31 - 1, negative if it is not later."""
    return ((later - earlier + _HALF) & _MASK) - _HALF


def seq_before(first: int, second: int) -> bool:
    """Whether ``first`` comes before ``second``; equal numbers do not."""
    return ((first - second) & _MASK) >= _HALF and first != second


def seq_between(low: int, number: int, high: int) -> bool:
    """Whether ``number`` lies in the window that starts at ``low`` and ends before ``high``.

    An empty window, ``low`` equal to ``high``, holds no number.
    """
    return ((number - low) & _MASK) < ((high - low) & _MASK)


def seq_max(first: int, second: int) -> int:
    """The later of two numbers."""
    return second if seq_before(first, second) else first


def seq_min(first: int, second: int) -> int:
    """The earlier of two numbers."""
    return first if seq_before(first, second) else second
