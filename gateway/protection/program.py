"""Runs the gpg program for python-gnupg: bounded in time, output and number, with no thread and no file.

python-gnupg waits for ever and starts three threads per call. This subclass keeps its interface (arguments, results,
status lines) and replaces how the program is run: input, output and status go through anonymous memory
(memfd_create), and the end is awaited on a process descriptor.

Guarantees: no clear text in any file; the program and all that it started are killed when its time is up; output
above a limit cannot be written; gpg.conf, the agent, key servers and the trust database are not used.
Failures: `ProtectionUnavailableError` where the program cannot be run or does not end in time.
"""

from __future__ import annotations

import contextlib
import copy
import fcntl
import logging
import os
import select
import shutil
import signal
import subprocess
import threading
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import gnupg

from gateway.errors import ProtectionUnavailableError, StartupError

# python-gnupg writes what it reads and returns to its log at debug level: never wanted here.
logging.getLogger("gnupg").setLevel(logging.ERROR)

LEAST_VERSION = (2, 2)
_MOST_STATUS = 4 * 1024 * 1024
_MOST_LISTING = 64 * 1024 * 1024

_OPTIONS = (
    "--no-options",
    "--no-autostart",
    "--no-random-seed-file",
    "--no-auto-check-trustdb",
    "--trust-model",
    "always",
    "--no-auto-key-locate",
    "--no-encrypt-to",
    "--no-default-recipient",
    "--no-emit-version",
    "--no-comments",
    "--display-charset",
    "utf-8",
    # A key's own preferences may name nothing better than 3DES, which the message would then hide.
    "--cipher-algo",
    "AES256",
    "-z",
    "0",
)


@dataclass(frozen=True, slots=True)
class Finished:
    """How a run of the program ended. `stdin` is there because python-gnupg asks for it."""

    returncode: int  # exit status, negative for the signal that killed it
    output: bytes = field(repr=False)
    status: bytes = field(repr=False)
    stdin: None = None


class EncryptResult(gnupg.Crypt):  # type: ignore[misc]
    """python-gnupg's result of an encryption, with the status lines kept as they came."""

    def __init__(self, gpg: gnupg.GPG) -> None:
        super().__init__(gpg)
        self.keywords: list[str] = []
        self.rejected: list[str] = []

    def handle_status(self, key: str, value: str) -> None:
        self.keywords.append(key)
        if key == "INV_RECP":
            self.rejected.append(value)
        super().handle_status(key, value)


class ImportResult(gnupg.ImportResult):  # type: ignore[misc]
    """python-gnupg's result of an import, tolerant of status lines that it does not foresee."""

    def handle_status(self, key: str, value: str) -> None:
        if key in ("IMPORT_OK", "IMPORT_RES"):
            super().handle_status(key, value)


class Gpg(gnupg.GPG):  # type: ignore[misc]
    """python-gnupg on the gateway's own home folder, run as the module says. Usable from several threads at once."""

    decode_errors = "replace"

    def __init__(self, program: str, home: Path, *, timeout: float, processes: int) -> None:
        self._copy: _Copy | None = None
        self._timeout = timeout
        self._processes = threading.BoundedSemaphore(processes)
        self.result_map = gnupg.GPG.result_map | {"crypt": EncryptResult, "import": ImportResult}
        path = shutil.which(program)
        if path is None:
            raise StartupError(
                f"The program {program} was not found: install the package gnupg or set openpgp.program to its path."
            )
        environment = {"LC_ALL": "C", "PATH": os.environ.get("PATH", os.defpath)}
        try:
            path = str(Path.cwd() / path)  # it is not run from the working directory
            super().__init__(path, str(home), options=list(_OPTIONS), env=environment, encoding="utf-8")
        except (OSError, ValueError, ProtectionUnavailableError):
            raise StartupError(
                f"The program {path} cannot be run with the home folder {home}: try '{path} --homedir {home} -k'."
            ) from None
        if self.version is None or self.version[:2] < LEAST_VERSION:
            found = ".".join(map(str, self.version)) if self.version else "of an unknown version"
            raise StartupError(f"The program {path} is {found}: version 2.2 or newer is needed.")

    def on_copy(self, ring: bytes) -> Gpg:
        """The same program, reading the keys from a copy of a key ring file instead of the home folder.

        For reading only. gpg would otherwise make a lock file in the home folder for each message, and fail on a full
        disk. The processes allowed are shared with this object.
        """
        other = copy.copy(self)
        other._copy = _Copy(ring)
        other.keyring = [f"/proc/self/fd/{other._copy.descriptor}"]
        other.options = [*self.options, "--lock-never"]
        return other

    # ------------------------------------------------------------ what python-gnupg calls

    def _open_subprocess(self, args: Sequence[str], passphrase: bool = False) -> Finished:
        return self._run(args, b"", _MOST_LISTING)

    def _handle_io(
        self, args: Sequence[str], fileobj_or_path: BytesIO, result: Any, passphrase: Any = None, binary: bool = False
    ) -> Any:
        data = fileobj_or_path.getvalue()
        self._collect_output(self._run(args, data, 2 * len(data) + 65536), result)
        return result

    def _collect_output(self, process: Finished, result: Any, writer: Any = None, stdin: Any = None) -> int:
        result.data = process.output
        result.stderr = process.status.decode("utf-8", "replace")
        for line in result.stderr.split("\n"):
            if line.startswith("[GNUPG:] "):
                keyword, _, value = line[9:].partition(" ")
                result.handle_status(keyword, value)
        result.returncode = process.returncode
        return process.returncode

    def _decode_result(self, result: Any) -> Any:
        # Only LF ends a line: a user id may hold other separators, and must not be able to forge a record.
        for line in result.data.decode("utf-8", "replace").split("\n"):
            record = line.split(":")
            if record[0] in ("pub", "uid", "sec", "fpr", "sub", "ssb", "grp"):
                getattr(result, record[0])(record)
        return result

    # ------------------------------------------------------------ running

    def _run(self, args: Sequence[str], data: bytes, most_output: int) -> Finished:
        descriptors = () if self._copy is None else (self._copy.descriptor,)
        if not self._processes.acquire(timeout=self._timeout):
            raise ProtectionUnavailableError(f"All gpg processes were busy for {self._timeout:g} s.")
        try:
            return run(self.make_args(args, False), data, most_output, self._timeout, self.env, descriptors)
        finally:
            self._processes.release()


class _Copy:
    """A file in anonymous memory that lives as long as this object."""

    def __init__(self, data: bytes) -> None:
        try:
            self.descriptor = _filled(data)
        except OSError as error:
            raise ProtectionUnavailableError(f"There is no memory for the key ring: {error.strerror}.") from None
        weakref.finalize(self, os.close, self.descriptor)


def run(
    command: list[str],
    data: bytes,
    most_output: int,
    timeout: float,
    environment: dict[str, str],
    descriptors: tuple[int, ...] = (),
) -> Finished:
    """Runs a program on `data`, for at most `timeout` seconds and `most_output` bytes of output.

    `descriptors` are left open for it.
    Raises `ProtectionUnavailableError` where it cannot be started or does not end in time; it is dead then.
    """
    try:
        with _memory(data) as source, _room(most_output) as output, _room(_MOST_STATUS) as status:
            process = subprocess.Popen(
                command,
                stdin=source,
                stdout=output,
                stderr=status,
                env=environment,
                cwd="/",
                pass_fds=descriptors,
                start_new_session=True,
            )
            try:
                ended = _ends_within(process, timeout)
            finally:
                if process.returncode is None:
                    with contextlib.suppress(ProcessLookupError):
                        os.killpg(process.pid, signal.SIGKILL)
                    process.wait()
            if not ended:
                raise ProtectionUnavailableError(f"The gpg program did not end within {timeout:g} s and was killed.")
            return Finished(process.returncode, _written(output), _written(status))
    except OSError as error:
        reason = error.strerror or "unknown reason"
        raise ProtectionUnavailableError(f"The gpg program could not be run: {reason}.") from None


def _ends_within(process: subprocess.Popen[bytes], timeout: float) -> bool:
    """Waits for the process on its descriptor: neither a thread nor a signal handler is needed."""
    descriptor = os.pidfd_open(process.pid)
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if not poll.poll(timeout * 1000):
            return False
        process.wait()
        return True
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _memory(data: bytes) -> Iterator[int]:
    """A descriptor of anonymous memory that holds `data`, to be read from its start."""
    descriptor = _filled(data)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _filled(data: bytes) -> int:
    descriptor = os.memfd_create("input")
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.lseek(descriptor, 0, os.SEEK_SET)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


@contextlib.contextmanager
def _room(size: int) -> Iterator[int]:
    """A descriptor of anonymous memory that takes `size` bytes and refuses more."""
    descriptor = os.memfd_create("output", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(descriptor, size)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
        yield descriptor
    finally:
        os.close(descriptor)


def _written(descriptor: int) -> bytes:
    """What was written: the offset is shared with the program that wrote."""
    size = os.lseek(descriptor, 0, os.SEEK_CUR)
    parts: list[bytes] = []
    position = 0
    while position < size:
        part = os.pread(descriptor, size - position, position)
        if not part:
            break
        parts.append(part)
        position += len(part)
    return b"".join(parts)
