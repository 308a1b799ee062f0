"""Benchmark of inspection: beside Python's `email` package, and small mail beside a large archive.

Two questions, each answered in one run. Is inspecting a message quicker than parsing it and decoding its parts with
the standard library? And does small mail through a worker stay quick while the same worker handles a 50 MB archive?
bench/README.md tells how to read it. Failures: exits 1 with one sentence where a message is not accepted or, with
--check, a goal is missed.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from email import message_from_bytes, policy
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import pyzipper
from rich.console import Console
from rich.table import Table

from bench.run import CountingSink, compliant, send
from gateway.inspection import inspect_message
from tests.support import messages
from tests.support.client import Mail, connect, transact
from tests.support.gateway import Directory, Gateway, partner, route
from tests.support.openpgp import KeyRing, key_ring
from tests.support.ports import folder

SENDER, CHARITY = "dpo@council.test", "jo@charity.test"
SIZES = (("5 kB", 5_000, 400), ("100 kB", 100_000, 100), ("1 MB", 1_000_000, 20), ("7 MB", 7_000_000, 5))
SMALL_MOST = 0.5  # milliseconds for a 5 kB message
LATENCY_MOST = 100.0  # milliseconds, 99th of 100 small messages while the archive is handled
ARCHIVE = 50_000_000
PAUSE = 0.02  # seconds between small messages


@dataclass(slots=True)
class Results:
    """Seconds per message by size, ours and the standard library's; milliseconds of each small message."""

    ours: dict[str, float] = field(default_factory=dict)
    theirs: dict[str, float] = field(default_factory=dict)
    octets: dict[str, int] = field(default_factory=dict)
    alone: list[float] = field(default_factory=list)
    beside: list[float] = field(default_factory=list)
    archives: int = 0


# ---------------------------------------------------------------- beside the standard library


def encrypted_zip(size: int, members: int = 1) -> bytes:
    """A WinZip AES-256 archive of random content, so many octets in all."""
    buffer = io.BytesIO()
    with pyzipper.AESZipFile(buffer, "w", encryption=pyzipper.WZ_AES) as archive:
        archive.setpassword(os.urandom(12).hex().encode())
        for number in range(members):
            archive.writestr(f"part-{number}.bin", os.urandom(max(1, size // members - 200)))
    return buffer.getvalue()


def with_attachment(content: bytes, name: str) -> bytes:
    """A covering note with one attachment in base64."""
    top = messages.header("<bench@council.test>", SENDER, (CHARITY,), "Report")
    note = b"Please find the report attached.\r\n"
    return messages.with_attachment(top, note, name, "application/octet-stream", content)


def standard_library(content: bytes) -> int:
    """Parses the message and decodes its parts, as a filter without bounds would."""
    parsed = message_from_bytes(content, policy=policy.default)
    return sum(len(part.get_payload(decode=True) or b"") for part in parsed.walk() if not part.is_multipart())


def fastest(work: Callable[[bytes], object], content: bytes, times: int) -> float:
    """Seconds per call: the fastest of five rounds, which is the least disturbed one."""
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(times):
            work(content)
        best = min(best, (time.perf_counter() - began) / times)
    return best


def contents(ring: KeyRing, key: str) -> Iterator[tuple[str, bytes, int]]:
    """Name, message and how often: a note with an OpenPGP file by size, and one with a ZIP whose password is tried."""
    for name, size, times in SIZES:
        yield name, with_attachment(ring.encrypt(os.urandom(int(size * 0.54) - 700), key), "report.asc"), times
    yield "5 kB, ZIP, passwords tried", with_attachment(encrypted_zip(3_200), "report.zip"), 4


def beside_email(results: Results, ring: KeyRing, key: str, say: Callable[[str], None]) -> None:
    """Both on the same messages, size by size."""
    for name, content, times in contents(ring, key):
        results.octets[name] = len(content)
        results.ours[name] = fastest(inspect_message, content, times)
        results.theirs[name] = fastest(standard_library, content, max(1, times // 4))
        say(f"{name}: inspection {results.ours[name] * 1000:.2f} ms, email {results.theirs[name] * 1000:.2f} ms")


# ---------------------------------------------------------------- small mail beside an archive


@contextmanager
def gateway(home: Path, sink: CountingSink) -> Iterator[Gateway]:
    """A gateway of one worker that takes messages of 100 MB and sends everything to the sink."""
    partners = [partner("council", sink.port), partner("charity", None)]
    for entry in partners:
        entry["route"] = route(sink.port, "mx.charity.test", "opportunistic")
    built = Gateway(
        home, Directory(partners, [], {"transport": "opportunistic"}), tls=False, workers=1,
        client={"sender_domains": ["council.test"]},
        limits={"message_size": 100 * 2**20, "bytes_in_flight": 256 * 2**20},
    )  # fmt: skip
    with built:
        yield built


def clear_archive(size: int) -> bytes:
    """A compressed tar of files that each have to be looked at."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as archive:
        for number in range(200):
            info = tarfile.TarInfo(f"scan-{number}.pdf")
            content = b"%PDF-1.7\n" + os.urandom(size // 200 - 600)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def small_mail(port: int, seconds: float, content: bytes) -> list[float]:
    """Milliseconds from MAIL to the reply, one message after another with a pause between them."""
    times: list[float] = []
    connection = connect(port)
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        began = time.perf_counter()
        reply = transact(connection, Mail("small", SENDER, (CHARITY,), content))
        times.append((time.perf_counter() - began) * 1000)
        if reply.code != 250:
            raise RuntimeError(f"a small message was answered {reply}")
        time.sleep(PAUSE)
    connection.quit()
    return times


def large_mail(port: int, files: list[Path], stop: threading.Event, done: list[str]) -> None:
    """Sends archive after archive with smtp-source, which is quick, until told to stop. The clear one is refused."""
    while not stop.is_set():
        for file in files:
            with suppress(subprocess.CalledProcessError):
                send(port, file, 1, CHARITY, 1)
            done.append(file.name)


def beside_archive(results: Results, ring: KeyRing, key: str, seconds: float, say: Callable[[str], None]) -> None:
    """Small mail through one worker: alone, then while that worker handles archives."""
    with ExitStack() as stack:
        where = stack.enter_context(folder("bench-archives"))
        sink = stack.enter_context(CountingSink())
        home = where / "gateway"
        home.mkdir()
        built = stack.enter_context(gateway(home, sink))
        files = [where / "encrypted.eml", where / "clear.eml"]
        files[0].write_bytes(with_attachment(encrypted_zip(ARCHIVE, 100), "report.zip").replace(b"\r\n", b"\n"))
        files[1].write_bytes(with_attachment(clear_archive(ARCHIVE), "scans.tgz").replace(b"\r\n", b"\n"))
        small = compliant(ring, key, 5_000)
        small_mail(built.port, 2.0, small)  # warm up
        results.alone = small_mail(built.port, seconds, small)
        stop, done = threading.Event(), []
        sender = threading.Thread(target=large_mail, args=(built.port, files, stop, done))
        sender.start()
        try:
            results.beside = small_mail(built.port, seconds, small)
        finally:
            stop.set()
            sender.join()
        results.archives = len(done)
        say(f"{len(results.beside)} small messages while {len(done)} archives were handled")


def percentile(times: list[float], share: float) -> float:
    """The time within which that share of the messages was answered."""
    ordered = sorted(times)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def tables(results: Results) -> list[Table]:
    """The results as they are printed."""
    rates = Table(title="Inspection beside email (parse and decode)")
    for heading in ("size", "inspection, ms", "msg/s", "MB/s", "email, ms", "msg/s", "times as fast"):
        rates.add_column(heading, justify="left" if heading == "size" else "right")
    for name, ours in results.ours.items():
        theirs = results.theirs[name]
        rates.add_row(
            name,
            f"{ours * 1000:.2f}",
            f"{1 / ours:,.0f}",
            f"{results.octets[name] / ours / 1e6:,.0f}",
            f"{theirs * 1000:.2f}",
            f"{1 / theirs:,.0f}",
            f"{theirs / ours:.1f}",
        )
    waits = Table(title="5 kB messages through one worker, MAIL to 250")
    for heading in ("", "messages", "p50, ms", "p99, ms", "longest, ms"):
        waits.add_column(heading, justify="right" if heading else "left")
    for name, times in (("alone", results.alone), (f"beside {results.archives} archives of 50 MB", results.beside)):
        if times:
            figures = (percentile(times, 0.5), percentile(times, 0.99), max(times))
            waits.add_row(name, str(len(times)), *(f"{figure:.1f}" for figure in figures))
    return [rates, waits]


def missed(results: Results) -> list[str]:
    """One sentence for each goal that was not reached."""
    found = []
    small = results.ours["5 kB"] * 1000
    if small > SMALL_MOST:
        found.append(f"a 5 kB message took {small:.2f} ms, the goal is {SMALL_MOST}")
    if results.ours["7 MB"] >= results.theirs["7 MB"]:
        found.append("a 7 MB message took longer than the email package")
    if results.beside and percentile(results.beside, 0.99) > LATENCY_MOST:
        found.append(f"p99 beside archives {percentile(results.beside, 0.99):.0f} ms, the goal is {LATENCY_MOST:.0f}")
    return found


def main() -> int:
    """Reads the command line, measures, prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="of small mail, alone and beside archives")
    parser.add_argument("--json", type=Path, help="also write every measurement to this file")
    parser.add_argument("--check", action="store_true", help="exit 1 where a goal is missed")
    arguments = parser.parse_args()
    console, results = Console(), Results()
    try:
        with key_ring() as ring:
            key = ring.generate("jo@school.test")
            beside_email(results, ring, key, console.print)
            beside_archive(results, ring, key, arguments.seconds, console.print)
    except (AssertionError, RuntimeError, OSError, subprocess.SubprocessError) as error:
        Console(stderr=True).print(str(error), style="red", markup=False)
        return 1
    for table in tables(results):
        console.print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(results), indent=2) + "\n", "utf-8")
    failures = missed(results) if arguments.check else []
    for failure in failures:
        console.print(failure, style="red")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
