"""The program of the examining process: takes a message, inspects it under the full limits, gives the facts back.

Guarantees: what is large or costly meets this process, not a worker (which looks at up to 8 MiB itself, under limits of
some milliseconds of effort): it holds no key, no store and no connection, its memory and its processor time are bounded
by the kernel, and it yields to the workers. What it answers is data (JSON), never code. It ends with the worker that
started it. Failures: none answered; a process that breaks ends, and `gateway.examiner` says what that means.
"""

from __future__ import annotations

import json
import os
import re
import resource
import socket
import sys
from contextlib import suppress

from gateway import codec
from gateway.inspection import Clues, inspect_message

MEMORY = 1536 * 1024 * 1024  # bytes of address space: the interpreter and its libraries take a third of it
SECONDS = 20  # of processor time for one message, and one more for each megabyte
_MEGABYTE = 1024 * 1024
_LENGTH = 4  # octets of a length on the wire, big-endian
_POLITENESS = 10
READY = b"R"


def pack(content: bytes, clues: Clues) -> int:
    """A file descriptor in memory that holds the order to inspect `content`."""
    watch = clues.watch_words.pattern if clues.watch_words is not None else ""
    order = json.dumps({"passwords": clues.passwords, "watch_words": watch}).encode()
    descriptor = os.memfd_create("examination", os.MFD_CLOEXEC)
    try:
        for piece in (len(order).to_bytes(_LENGTH, "big"), order, content):
            view = memoryview(piece)
            while view:
                view = view[os.write(descriptor, view) :]
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _unpack(descriptor: int) -> tuple[bytes, Clues]:
    with open(descriptor, "rb") as order:
        order.seek(0)
        settings = json.loads(order.read(int.from_bytes(order.read(_LENGTH), "big")))
        content = order.read()
    watch = settings["watch_words"]
    return content, Clues(tuple(settings["passwords"]), re.compile(watch, re.IGNORECASE) if watch else None)


def _allow_processor_time(size: int) -> None:
    """The kernel ends the process (SIGXCPU) that works on one message for longer than anything honest takes."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    spent = int(used.ru_utime + used.ru_stime) + 1
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    resource.setrlimit(resource.RLIMIT_CPU, (spent + SECONDS + size // _MEGABYTE, hard))


def serve(connection: socket.socket) -> None:
    """Answers orders until the worker closes the connection."""
    connection.sendall(READY)
    while True:
        octet, descriptors, _, _ = socket.recv_fds(connection, 1, 1)
        if not octet:
            return
        content, clues = _unpack(descriptors[0])
        _allow_processor_time(len(content))
        facts = codec.encode_facts(inspect_message(content, clues=clues))
        connection.sendall(len(facts).to_bytes(_LENGTH, "big") + facts)
        del content


def main() -> None:
    """Runs on the socket whose descriptor is the first argument."""
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    limit = MEMORY if hard == resource.RLIM_INFINITY else min(MEMORY, hard)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    with suppress(OSError):  # where a sandbox forbids it, the process is only less polite
        os.nice(_POLITENESS)
    with socket.socket(fileno=int(sys.argv[1])) as connection, suppress(ConnectionError):
        serve(connection)


if __name__ == "__main__":
    main()
