"""Logins for one run of a virtual bench: keys and passwords that nobody had before or has after."""

from __future__ import annotations

import base64
import ctypes
import ctypes.util
import hashlib
import secrets
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from testbed.errors import LabError

__all__ = ["KeyPair", "hash_password", "new_key_pair", "new_password"]


@dataclass(frozen=True, slots=True)
class KeyPair:
    """An ed25519 key for SSH."""

    private: str
    """In OpenSSH's format, without a passphrase."""
    public: str
    """One line, as in authorized_keys."""

    @property
    def fingerprint(self) -> str:
        """``SHA256:...`` as ssh-keygen -l prints it."""
        blob = base64.b64decode(self.public.split()[1])
        digest = base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")
        return f"SHA256:{digest}"


def new_key_pair() -> KeyPair:
    """A key that has never been used."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    return KeyPair(private.decode(), public.decode())


def new_password() -> str:
    """A password of 72 random bits, without characters that a console could take for its own."""
    return secrets.token_hex(9)


def hash_password(password: str) -> str:
    """``password`` as crypt(5) puts it into /etc/shadow: SHA-256 of few rounds.

    Few, since the password is random and its life is short. Raises LabError without libcrypt.
    """
    name = ctypes.util.find_library("crypt") or "libcrypt.so.1"
    try:
        library = ctypes.CDLL(name)
    except OSError as error:
        raise LabError(
            f"the C library's crypt(3) is missing ({error}): apt-get install libcrypt1"
        ) from error
    library.crypt.restype = ctypes.c_char_p
    setting = f"$5$rounds=1000${secrets.token_hex(8)}"
    hashed: bytes | None = library.crypt(password.encode(), setting.encode())
    if hashed is None or not hashed.startswith(b"$5$"):
        raise LabError("crypt(3) of this machine knows no SHA-256 hashes ($5$)")
    return hashed.decode()
