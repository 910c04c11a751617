"""Chance without a global source: the same seed gives the same numbers, everywhere."""

from __future__ import annotations

from hashlib import blake2b

__all__ = ["Entropy"]


class Entropy:
    """A stream of pseudo-random numbers from a seed: BLAKE2b over a counter (RFC 7693)."""

    def __init__(self, seed: int | bytes) -> None:
        raw = seed if isinstance(seed, bytes) else str(seed).encode()
        self._key = blake2b(raw, digest_size=32).digest()
        self._count = 0

    def octets(self, count: int) -> bytes:
        """``count`` random bytes."""
        out = b""
        while len(out) < count:
            self._count += 1
            out += blake2b(self._count.to_bytes(8, "big"), key=self._key).digest()
        return out[:count]

    def below(self, bound: int) -> int:
        """A number from 0 to ``bound`` - 1."""
        return int.from_bytes(self.octets(16), "big") % bound

    def between(self, low: int, high: int) -> int:
        """A number from ``low`` to ``high``, both included."""
        return low + self.below(high - low + 1)

    def keyed(self, *parts: bytes) -> int:
        """A 64-bit number that nobody without the seed can tell from ``parts`` (RFC 6528's F)."""
        digest = blake2b(key=self._key, digest_size=8)
        for part in parts:
            digest.update(len(part).to_bytes(4, "big") + part)
        return int.from_bytes(digest.digest(), "big")
