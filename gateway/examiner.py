"""Inspection of what is large or costly, in processes of their own beside the worker: each one message at a time.

Guarantees: the event loop and the interpreter's lock stay free for other mail, however long a message takes; small
mail does not queue behind large. A message that breaks its process, twice, counts as clear text with the finding
`inspection-failed`. Whoever is cancelled while waiting leaves when the message is done, so that no answer meets
another question.
Failures: `TemporaryError` where no process can be had, it stays silent, the machine lacks memory or descriptors, or
somebody else kills it (the kernel's out-of-memory killer, an operator): the message is deferred, not judged.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass

from gateway import codec, metrics
from gateway.errors import TemporaryError
from gateway.examination import READY, pack
from gateway.inspection import Clues
from gateway.log import get_logger
from gateway.model import MessageFacts, PartFacts

_log = get_logger("examiner")
_PATIENCE = 600.0  # seconds of wall-clock time, for a machine that is very busy; processor time is bounded elsewhere
_ATTEMPTS = 2
_LAST_BREATH = 5.0  # seconds for a process that breaks to end by itself, so that its exit code is its own
_FACTS_MOST = 64 * 1024 * 1024


LARGE = 1024 * 1024  # bytes: above, a message waits for the process that takes large ones


class Examiners:
    """Two processes: one for small mail with passwords to try, one for large mail. The second starts when needed."""

    def __init__(self) -> None:
        self._small, self._large = Examiner(), Examiner()

    def start(self) -> None:
        """Starts the one that is needed soon. Raises `TemporaryError` where that cannot be."""
        self._small.start()

    async def inspect(self, content: bytes, clues: Clues) -> MessageFacts:
        """The facts of a message under the full limits."""
        return await (self._large if len(content) > LARGE else self._small).inspect(content, clues)

    async def close(self) -> None:
        """Ends both when the messages under way are done."""
        await asyncio.gather(self._small.close(), self._large.close())


@dataclass(slots=True)
class _Process:
    process: subprocess.Popen[bytes]
    connection: socket.socket
    ready: bool = False  # it has answered that it runs


class Examiner:
    """One process: started at the first need, and again when it has ended."""

    def __init__(self) -> None:
        self._running: _Process | None = None
        self._turn = asyncio.Lock()

    def start(self) -> None:
        """Starts the process where none runs. Raises `TemporaryError` where that cannot be."""
        if self._running is not None and self._running.process.poll() is None:
            return
        self._end()
        ours, theirs = socket.socketpair()
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", "gateway.examination", str(theirs.fileno())],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
            )
        except OSError as error:
            ours.close()
            raise TemporaryError(f"the examining process cannot be started: {error.strerror}") from error
        finally:
            theirs.close()
        ours.setblocking(False)
        self._running = _Process(process, ours)

    async def inspect(self, content: bytes, clues: Clues) -> MessageFacts:
        """The facts of a message under the full limits."""
        examination = asyncio.ensure_future(self._in_turn(content, clues))
        try:
            return await asyncio.shield(examination)
        except asyncio.CancelledError:
            await asyncio.wait([examination])
            if not examination.cancelled():
                examination.exception()  # seen here: nobody waits for it any more
            raise

    async def _in_turn(self, content: bytes, clues: Clues) -> MessageFacts:
        async with self._turn:
            code = None
            for _ in range(_ATTEMPTS):
                self.start()
                try:
                    async with asyncio.timeout(_PATIENCE):
                        return await self._ask(content, clues)
                except TimeoutError as error:
                    self._end()
                    raise TemporaryError("the examining process is silent") from error
                except (ConnectionError, EOFError) as error:
                    code = await self._ended()
                    metrics.examination_failed()
                    _log.error("examining process ended", code=code, size=len(content), reason=str(error))
                except OSError as error:  # of this process: says nothing about the message
                    self._end()
                    raise TemporaryError(f"the message cannot be handed to be examined: {error.strerror}") from error
            if code == -signal.SIGKILL:
                raise TemporaryError("the examining process was killed twice, as the kernel does when memory runs out")
            root = PartFacts("message", findings=("inspection-failed",), size=len(content))
            return MessageFacts(root, findings=("inspection-failed",), malformed=True)

    async def _ask(self, content: bytes, clues: Clues) -> MessageFacts:
        connection, loop = await self._connected(), asyncio.get_running_loop()
        order = await asyncio.to_thread(pack, content, clues)
        try:
            socket.send_fds(connection, [b"."], [order])
        finally:
            os.close(order)
        length = int.from_bytes(await self._read(loop, connection, 4), "big")
        if length > _FACTS_MOST:
            raise EOFError("an answer too long")
        return codec.decode_facts(await self._read(loop, connection, length))

    async def _connected(self) -> socket.socket:
        """The connection to a process that has said that it runs."""
        running = self._running
        if running is None:
            raise EOFError("no process")
        if not running.ready:
            running.ready = await asyncio.get_running_loop().sock_recv(running.connection, 1) == READY
            if not running.ready:
                self._end()
                raise TemporaryError("the examining process does not start: its own message says why")
        return running.connection

    @staticmethod
    async def _read(loop: asyncio.AbstractEventLoop, connection: socket.socket, size: int) -> bytes:
        pieces = bytearray()
        while len(pieces) < size:
            piece = await loop.sock_recv(connection, min(size - len(pieces), 1 << 20))
            if not piece:
                raise EOFError("the connection ended")
            pieces += piece
        return bytes(pieces)

    def _end(self) -> None:
        """Ends the process."""
        if self._running is not None:
            running, self._running = self._running, None
            running.connection.close()
            running.process.kill()
            running.process.wait()

    async def _ended(self) -> int | None:
        """How the process ended that closed its end of the connection: its exit code; None where it was killed here."""
        running = self._running
        code = None
        if running is not None:
            with suppress(subprocess.TimeoutExpired):
                code = await asyncio.to_thread(running.process.wait, _LAST_BREATH)
        self._end()
        return code

    async def close(self) -> None:
        """Ends the process when the message under way is done."""
        async with self._turn:
            self._end()
