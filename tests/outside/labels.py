"""What a label is, and how the independent programs are run.

Guarantees: a program has a time limit, and what it prints is bounded. `label` recurses into what is nested, with
the readers that `readers_for` chooses. Failures: a program that is missing raises `FileNotFoundError`.
"""

from __future__ import annotations

import os
import resource
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

SECONDS = 20
DEEPEST = 10
ORDER = ("clear", "weak", "unclear", "sealed", "acceptable", "strong")  # from what shows most to what shows least


@dataclass(frozen=True, slots=True)
class Label:
    """`level`: `clear` (somebody can read content without a secret), `unclear` (the programs cannot tell, or
    disagree, or rules beyond encryption decide), `sealed` (properly encrypted, by a scheme on which the scale
    does not say whether it is acceptable or strong), otherwise the row of the strength scale."""

    kind: str
    level: str
    why: str


def run(*command: str, data: bytes | None = None) -> tuple[int, str]:
    """Exit status and the first megabyte of what a program prints; (-1, "") where it takes too long."""
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "GNUPGHOME": _HOME.name}
    try:
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                command,
                input=data,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=SECONDS,
                env=environment,
                check=False,
                stdin=subprocess.DEVNULL if data is None else None,
                preexec_fn=_bounded,
            )
            output.seek(0)
            return done.returncode, output.read(1 << 20).decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        return -1, ""


def _bounded() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 << 20, 64 << 20))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))


@contextmanager
def kept(data: bytes, suffix: str = "") -> Iterator[str]:
    """The data as a file, for programs that want one."""
    with tempfile.NamedTemporaryFile(suffix=suffix) as file:
        file.write(data)
        file.flush()
        yield file.name


_HOME = tempfile.TemporaryDirectory(prefix="oracle-")


def weakest(kind: str, found: list[Label], extras: str = "") -> Label:
    """The label of a container: that of its most readable part; `extras` are what else can be read in it."""
    worst = min(found, key=lambda each: ORDER.index(each.level))
    if extras and worst.level not in ("clear", "weak"):
        return Label(kind, "unclear", f"{worst.why}; {extras}")
    return Label(kind, worst.level, worst.why)


Reader = Callable[[bytes, int], Label]
READERS: list[Callable[[bytes], list[Reader]]] = []  # filled by the program's main module


def label(data: bytes, depth: int = 0) -> Label:
    """What is known of these bytes. Where two readers take them, what shows more counts."""
    if depth > DEEPEST:
        return Label("unknown", "unclear", "too deep")
    found = [reader(data, depth) for reader in READERS[0](data)]
    if not found:
        text = not data[:4096].translate(None, bytes(range(32, 127)) + b"\t\r\n\f" + bytes(range(128, 256)))
        return Label("text" if text else "unknown", "clear", "no format of encryption")
    return min(found, key=lambda each: ORDER.index(each.level))
