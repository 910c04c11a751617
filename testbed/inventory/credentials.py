"""Fetches secrets from where a bench file says they are kept."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path

from testbed.errors import BenchError
from testbed.inventory.model import Secret

__all__ = ["resolve"]

_LARGEST = 4096
"""Bytes beyond which a file holds no password."""


def resolve(secret: Secret) -> str:
    """The secret itself; BenchError says where it was looked for and what mends its absence.

    Of a file, the first line counts, without its line end. The keyring needs the ``keyring``
    package, which the testbed does not install.
    """
    if secret.env is not None:
        return _from_environment(secret.env)
    if secret.file is not None:
        return _from_file(secret.file)
    return _from_keyring(str(secret.keyring))


def _from_environment(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        state = "is not set" if value is None else "is empty"
        raise BenchError(
            f"the environment variable {name}, which holds a secret, {state}; "
            f"set it with: read -rs {name} && export {name}"
        )
    return value


def _from_file(path: Path) -> str:
    try:
        path = path.expanduser()
        if not path.is_file():
            raise BenchError(f"there is no file {path}, expected one whose first line is a secret")
        with path.open("rb") as file:
            line = file.read(_LARGEST + 1).partition(b"\n")[0].removesuffix(b"\r")
        value = line.decode()
    except OSError as error:
        raise BenchError(
            f"{path}, which holds a secret, cannot be read: {error.strerror}; "
            "make it readable for the user who runs the plans"
        ) from None
    except (UnicodeDecodeError, RuntimeError):
        raise BenchError(f"{path} holds no secret: expected a first line of UTF-8 text") from None
    if not value or len(line) > _LARGEST:
        raise BenchError(
            f"{path} holds no secret: expected its first line, {_LARGEST} bytes at most"
        )
    return value


def _from_keyring(entry: str) -> str:
    service, _, user = entry.partition("/")
    try:
        keyring = import_module("keyring")
        failures = import_module("keyring.errors").KeyringError
    except ImportError:
        raise BenchError(
            f"the secret {entry} is in the keyring, and the package that reads it is missing; "
            "install it with: pip install keyring"
        ) from None
    try:
        value = keyring.get_password(service, user)
    except failures as error:
        raise BenchError(
            f"the keyring did not give {entry}: {error}; unlock it, or keep the secret elsewhere"
        ) from None
    if not value:
        raise BenchError(
            f"the keyring has no entry {entry}; add it with: keyring set {service} {user}"
        )
    return str(value)
