"""The whole test suite, in three processes beside each other: one that computes, and two that wait for real servers.

Guarantees: every test is in exactly one of the three, those of new folders included. What a process says is shown when
it has ended. Exit status 1 where one fails. Arguments are passed on to all.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMPUTING = ("tests/unit", "tests/attachments", "tests/messages", "tests/metamorphic", "tests/fuzz")
PEERS = ("tests/peers",)
OTHERS = ("tests", *(f"--ignore={folder}" for folder in (*COMPUTING, *PEERS)))


def main(arguments: list[str]) -> int:
    """Runs all; the exit status."""
    root = Path(__file__).resolve().parent.parent
    began = time.monotonic()
    failed = False
    with contextlib.ExitStack() as stack:
        running = []
        for part in (COMPUTING, PEERS, OTHERS):
            said = stack.enter_context(tempfile.TemporaryFile("w+"))
            command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments, *part]
            running.append((subprocess.Popen(command, cwd=root, stdout=said, stderr=subprocess.STDOUT), said))
        for process, said in running:
            failed |= process.wait() != 0
            said.seek(0)
            shutil.copyfileobj(said, sys.stdout)
            sys.stdout.flush()
    sys.stdout.write(f"\nAll parts ended after {time.monotonic() - began:.0f} seconds.\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
