"""`gateway password` and `gateway seal-key`: the two secrets of a node.

Guarantees: a password is never shown, logged or taken from the command line; a key file is written once, whole, with
mode 0600, and an existing file is never overwritten. Failures: a sentence and exit code 1 or 2.
"""

from __future__ import annotations

import getpass
import os
import secrets
import sys
from pathlib import Path
from typing import Annotated

import argon2
import typer

from gateway.cli.common import err, out
from gateway.directory.check_node import SEAL_KEY_BYTES
from gateway.errors import StartupError

SHORTEST = 12  # characters; a machine's password is made by a machine


def password() -> None:
    """Print the argon2id hash of a password, for password_hash in gateway.toml.

    The password is read from the terminal, unseen, or from the first line of standard input.
    """
    text = _from_terminal() if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    if len(text) < SHORTEST:
        err.print(f"A password needs at least {SHORTEST} characters. One way to make one: openssl rand -base64 24")
        raise typer.Exit(2)
    sys.stdout.write(hash_of(text) + "\n")


def hash_of(text: str) -> str:
    """The argon2id hash of `text` (RFC 9106, its second recommended option: 64 MiB, 3 passes)."""
    return argon2.PasswordHasher.from_parameters(argon2.profiles.RFC_9106_LOW_MEMORY).hash(text)


def _from_terminal() -> str:
    first = getpass.getpass("Password: ")
    if getpass.getpass("Again: ") != first:
        err.print("The two were not the same.", style="red")
        raise typer.Exit(1)
    return first


def seal_key(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write; it must not exist.")],
) -> None:
    """Write a new seal key: 32 random bytes, readable by the owner only. Refuses to overwrite a file."""
    write_key(file)
    out.print(f"Written: {file}. Give it to the gateway's user, and keep a copy in a safe: ", soft_wrap=True, end="")
    out.print("mail that is queued under this key cannot be opened without it.", soft_wrap=True)


def write_key(file: Path) -> None:
    """Writes a new key to `file`, durably, with mode 0600. Raises StartupError where it exists or cannot be written."""
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        problem = f"{file} exists already and is left as it is: mail may be sealed with it. Name another file."
        raise StartupError(problem) from error
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        raise StartupError(f"{file} cannot be written: {reason}. Choose a folder that you may write to.") from error
    try:
        with os.fdopen(handle, "wb") as stream:
            os.fchmod(stream.fileno(), 0o600)
            stream.write(secrets.token_bytes(SEAL_KEY_BYTES))
            stream.flush()
            os.fsync(stream.fileno())
    except OSError as error:
        file.unlink(missing_ok=True)
        reason = (error.strerror or "unknown reason").lower()
        raise StartupError(f"{file} could not be written whole and was removed: {reason}. Make room.") from error
