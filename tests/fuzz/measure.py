"""Inspects hostile inputs in a child process, and says which took too long, too much memory, or broke a promise.

Guarantees: a child that dies, hangs or swallows memory ends neither the test nor the machine; the input it died of
is named. Time is processor time, so that a busy machine does not look like a slow reader; memory is the peak of
resident memory above what the process had before the input. Failures are returned, never raised.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import selectors
import struct
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS = 2.0  # for an input of one megabyte
MEGABYTES = 256
PATIENCE = 30.0  # seconds of the clock, after which a child counts as hanging
_ROOT = Path(__file__).parents[2]
_TWICE = 20_000  # octets: smaller inputs are inspected as a file and as a message
_ADDRESS_SPACE = 4 * 1024**3


@dataclass(frozen=True, slots=True)
class Outcome:
    """What happened to one input. `fault` is "" where all promises were kept."""

    name: str
    seconds: float = 0.0
    megabytes: float = 0.0
    kind: str = ""
    strength: str = ""
    fault: str = ""


class Inspector:
    """A child that inspects what it is sent; started anew after each death."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Inspector:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def inspect(self, name: str, data: bytes) -> Outcome:
        child = self._running()
        assert child.stdin is not None and child.stdout is not None
        try:
            child.stdin.write(struct.pack(">I", len(data)) + data)
            child.stdin.flush()
        except BrokenPipeError:
            self._end()
            return Outcome(name, fault="the child died")
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            ready = selector.select(PATIENCE)
        line = child.stdout.readline() if ready else b""
        if not line:
            self._end()
            return Outcome(name, fault="the child died" if ready else f"no answer in {PATIENCE:.0f} s")
        return _outcome(name, len(data), json.loads(line))

    def _running(self) -> subprocess.Popen[bytes]:
        if self._child is None or self._child.poll() is not None:
            environment = {**os.environ, "PYTHONPATH": str(_ROOT), "PYTHONHASHSEED": "0"}
            self._child = subprocess.Popen(
                [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, cwd=_ROOT
            )
        return self._child

    def _end(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
        self._child = None


def _outcome(name: str, size: int, answer: dict[str, Any]) -> Outcome:
    allowed = SECONDS * max(1.0, size / 1e6)
    fault = answer["fault"]
    if not fault and answer["seconds"] > allowed:
        fault = f"{answer['seconds']:.1f} s"
    if not fault and answer["megabytes"] > MEGABYTES * max(1.0, size / 1e6):
        fault = f"{answer['megabytes']:.0f} MB"
    return Outcome(name, answer["seconds"], answer["megabytes"], answer["kind"], answer["strength"], fault)


def inspect_all(inputs: Iterable[tuple[str, bytes]]) -> Iterator[Outcome]:
    """Outcomes in the order of the inputs."""
    with Inspector() as inspector:
        for name, data in inputs:
            yield inspector.inspect(name, data)


# ---------------------------------------------------------------- the child


def _resident(field: bytes) -> float:
    for line in Path("/proc/self/status").read_bytes().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise LookupError(field)


def _forget_peak() -> bool:
    """Sets the kernel's mark of the peak back to what is resident now; False where that is not allowed."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def _wrong(part: Any) -> str:
    """What no verdict may be."""
    from gateway.inspection.findings import FINDINGS
    from gateway.model import Encrypted, Strength

    if "inspection-failed" in part.findings:
        return "inspection failed"
    if set(part.findings) - set(FINDINGS):
        return f"not in the catalogue: {sorted(set(part.findings) - set(FINDINGS))}"
    if (part.strength > Strength.NONE) != (part.encrypted is Encrypted.YES):
        return "strength and state disagree"
    return next((fault for inner in part.parts if (fault := _wrong(inner))), "")


def _judged(data: bytes, as_message: bool) -> dict[str, Any]:
    """One inspection: verdict, fault, processor seconds."""
    from gateway.inspection import as_dict, inspect_file, inspect_message

    started = time.process_time()
    try:
        part = inspect_message(data).root if as_message else inspect_file(data)
        seconds = time.process_time() - started
        json.dumps(as_dict(part))
        return {"fault": _wrong(part), "kind": part.kind, "strength": part.strength.label, "seconds": seconds}
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return {"fault": f"raises {type(error).__name__}", "kind": "", "strength": "", "seconds": 0.0}


def _serve() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (_ADDRESS_SPACE, _ADDRESS_SPACE))
    _judged(b"Subject: x\r\n\r\nhello", True)
    while len(head := sys.stdin.buffer.read(4)) == 4:
        data = sys.stdin.buffer.read(struct.unpack(">I", head)[0])
        gc.collect()
        exact = _forget_peak()
        before = _resident(b"VmRSS:") if exact else _resident(b"VmHWM:")
        answer = _judged(data, False)
        if len(data) < _TWICE and answer["kind"] != "message":
            second = _judged(data, True)
            answer["fault"] = answer["fault"] or second["fault"]
            answer["seconds"] = max(answer["seconds"], second["seconds"])
        print(json.dumps({**answer, "megabytes": _resident(b"VmHWM:") - before}), flush=True)


if __name__ == "__main__":
    _serve()
