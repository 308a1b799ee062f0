"""SMTP clients: one message, a load of many that notes which were answered 250, and a raw dialogue.

Guarantees: a message counts as accepted only where the final 250 was read; an interrupted one is `unknown`.
"""

from __future__ import annotations

import smtplib
import socket
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self


@dataclass(frozen=True, slots=True)
class Mail:
    """One transaction to make. `key` identifies it to the test."""

    key: str
    sender: str
    recipients: tuple[str, ...]
    content: bytes = field(repr=False)
    options: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """The reply that ended a transaction. `at` says which command got it."""

    code: int
    text: str
    at: str = "."


def transact(connection: smtplib.SMTP, mail: Mail) -> Reply:
    """Makes one transaction on an open connection; the first reply that is not positive ends it (and is reset)."""
    utf8 = "SMTPUTF8" in mail.options
    connection.command_encoding = "utf-8" if utf8 else "ascii"
    for name, path in [("MAIL", mail.sender), *(("RCPT", recipient) for recipient in mail.recipients)]:
        code, text = connection.mail(path, mail.options) if name == "MAIL" else connection.rcpt(path)
        if code // 100 != 2:
            connection.rset()
            return Reply(code, text.decode("utf-8", "replace"), name)
    try:
        code, text = connection.data(mail.content)
    except smtplib.SMTPDataError as error:
        said = error.smtp_error
        connection.rset()
        return Reply(error.smtp_code, said if isinstance(said, str) else said.decode("utf-8", "replace"), "DATA")
    return Reply(code, text.decode("utf-8", "replace"))


def connect(port: int, source: str = "127.0.0.1", timeout: float = 30.0) -> smtplib.SMTP:
    """A connection that has said EHLO."""
    connection = smtplib.SMTP("127.0.0.1", port, timeout=timeout, source_address=(source, 0))
    connection.ehlo("client.test")
    return connection


def send(port: int, mail: Mail) -> Reply:
    """One message on a connection of its own."""
    connection = connect(port)
    try:
        return transact(connection, mail)
    finally:
        connection.close()


class Load:
    """Sends messages from several threads until they are used up or `stop` is called.

    `replies` holds the final reply per key; `unknown` the keys whose connection broke before one. A key that got
    a 4yz or broke is not sent again: each is tried once.
    """

    def __init__(self, port: int, mails: Iterable[Mail], *, threads: int = 8, timeout: float = 30.0) -> None:
        self.replies: dict[str, Reply] = {}
        self.unknown: set[str] = set()
        self._port, self._timeout = port, timeout
        self._mails = iter(mails)
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(threads)]

    @property
    def accepted(self) -> set[str]:
        """Keys of messages that were answered 250."""
        with self._lock:
            return {key for key, reply in self.replies.items() if reply.code == 250}

    def start(self) -> Self:
        """Begins sending."""
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """Lets each thread finish its transaction, and ends."""
        self._stopped.set()
        self.join()

    def join(self, seconds: float = 60.0) -> None:
        """Waits for the threads; AssertionError where one does not end."""
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
            if thread.is_alive():
                raise AssertionError("a sender did not finish")

    def _next(self) -> Mail | None:
        with self._lock:
            return None if self._stopped.is_set() else next(self._mails, None)

    def _run(self) -> None:
        connection: smtplib.SMTP | None = None
        while mail := self._next():
            while connection is None and not self._stopped.is_set():
                connection = self._connect()
            if connection is None:
                break
            if not self._made(connection, mail):
                connection.close()
                connection = None
        if connection is not None:
            connection.close()

    def _made(self, connection: smtplib.SMTP, mail: Mail) -> bool:
        """Makes the transaction and notes its reply; False where the connection cannot be used again."""
        try:
            reply = transact(connection, mail)
        except (OSError, smtplib.SMTPException):
            with self._lock:
                self.unknown.add(mail.key)
            return False
        with self._lock:
            self.replies[mail.key] = reply
        return reply.code != 421

    def _connect(self) -> smtplib.SMTP | None:
        try:
            return connect(self._port, timeout=self._timeout)
        except (OSError, smtplib.SMTPException):
            time.sleep(0.05)
            return None


class Dialogue:
    """A raw connection: bytes out, replies in."""

    def __init__(self, port: int, source: str = "127.0.0.1", timeout: float = 10.0) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=timeout, source_address=(source, 0))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def write(self, data: bytes) -> None:
        """Sends bytes as they are."""
        self._socket.sendall(data)

    def reply(self) -> str:
        """The next complete reply; "" where the server closed the connection."""
        lines = []
        while True:
            line = self._line()
            lines.append(line)
            if len(line) < 4 or line[3:4] != "-":
                return "\n".join(lines)

    def ask(self, command: str | bytes) -> str:
        """One command, one reply."""
        self.write((command if isinstance(command, bytes) else command.encode()) + b"\r\n")
        return self.reply()

    def greet(self) -> str:
        """Reads the banner and says EHLO; returns whichever reply was not positive, else the EHLO reply."""
        banner = self.reply()
        return self.ask("EHLO client.test") if banner.startswith("220") else banner

    def rest(self, seconds: float = 1.0) -> str:
        """Everything that comes within the time, or until the server closes."""
        end = time.monotonic() + seconds
        got, self._buffer = self._buffer, b""
        while (left := end - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                block = self._socket.recv(65536)
            except OSError:
                break
            if not block:
                break
            got += block
        return got.decode("utf-8", "replace")

    def _line(self) -> str:
        while b"\r\n" not in self._buffer:
            try:
                block = self._socket.recv(65536)
            except ConnectionError:
                block = b""
            if not block:
                return ""
            self._buffer += block
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line.decode("utf-8", "replace")
