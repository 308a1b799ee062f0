"""Side-by-side benchmark: smtp-source -> relay -> smtp-sink, the gateway and Postfix in turn in one run.

Same machine, same file system, each with its default durability, content by file and the same for both. What is
measured is the delivered rate: from the first connection to the last message counted by the sink. bench/README.md
tells how to read it. Failures: exits 1 with one sentence where a message is not delivered or a goal asked for with
--check is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psutil
from rich.console import Console
from rich.table import Table

from tests.support import messages
from tests.support.client import Mail, connect, transact
from tests.support.gateway import Directory, Gateway, partner, route
from tests.support.openpgp import KeyRing, key_ring
from tests.support.ports import folder, free_port, listening, wait_for
from tests.support.postfix import postfix
from tests.support.postgres import postgres

ZEYPLE = 11.5  # messages of 10 kB per second, Postfix 3.7 with Zeyple on the reference machine
GOALS = {"5 kB": 0.8, "100 kB": 0.7, "5 MB": 0.6}  # of Postfix's rate
GOAL_ZEYPLE = 8.0
GOAL_MEMORY = 250 * 10**6
SENDER, CHARITY, SCHOOL = "dpo@council.test", "jo@charity.test", "jo@school.test"


@dataclass(frozen=True, slots=True)
class Case:
    """One size: how many messages of which file go to whom."""

    name: str
    size: int
    count: int


CASES = (Case("5 kB", 5_000, 3000), Case("100 kB", 100_000, 1200), Case("5 MB", 5_000_000, 60))


@dataclass(slots=True)
class Results:
    """Rates in messages per second by case and relay, in the order measured; memory in bytes."""

    rates: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    latency: dict[str, dict[str, float]] = field(default_factory=dict)
    memory: dict[str, int] = field(default_factory=dict)

    def add(self, case: str, relay: str, rate: float) -> None:
        """Keeps one measurement."""
        self.rates.setdefault(case, {}).setdefault(relay, []).append(rate)

    def median(self, case: str, relay: str) -> float:
        """The median of a relay's rates."""
        return statistics.median(self.rates[case][relay])

    def ratios(self, case: str) -> list[float]:
        """Gateway to Postfix, round by round."""
        both = self.rates[case]
        return [ours / theirs for ours, theirs in zip(both["gateway"], both["postfix"], strict=True)]


class CountingSink:
    """smtp-sink, whose running count is read as it prints it."""

    def __init__(self) -> None:
        self.port = free_port()
        self.count = 0
        self.last = 0.0  # monotonic time of the latest change
        self._process = subprocess.Popen(
            ["/usr/sbin/smtp-sink", "-u", "nobody", "-c", "-4", f"127.0.0.1:{self.port}", "1000"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0,
        )  # fmt: skip
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        tail = b""
        while block := self._process.stdout.read(65536):
            tail = (tail + block)[-4096:]
            found = re.findall(rb"mesg=(\d+)", tail.rpartition(b"\r")[0] or tail)
            if found and int(found[-1]) != self.count:
                self.count, self.last = int(found[-1]), time.monotonic()

    def __enter__(self) -> Self:
        wait_for(lambda: listening(self.port), 10, "smtp-sink listens")
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)


@dataclass(frozen=True, slots=True)
class Relay:
    """A relay and the sink behind it."""

    name: str
    port: int
    sink: CountingSink


def send(port: int, file: Path, count: int, recipient: str, sessions: int) -> None:
    """Sends the file so many times with smtp-source; CalledProcessError where a message is not accepted."""
    command = ["/usr/sbin/smtp-source", "-4", "-s", str(sessions), "-m", str(count), "-f", SENDER, "-t", recipient]
    subprocess.run(
        [*command, "-F", str(file), f"127.0.0.1:{port}"], check=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600,
    )  # fmt: skip


def measure(relay: Relay, file: Path, count: int, recipient: str, sessions: int) -> float:
    """Messages delivered per second, from the first connection to the last arrival."""
    target = relay.sink.count + count
    began = time.monotonic()
    send(relay.port, file, count, recipient, sessions)
    wait_for(lambda: relay.sink.count >= target, 300, f"{relay.name} delivered {count} messages", every=0.005)
    return count / (relay.sink.last - began)


def latency(relay: Relay, file: Path, count: int = 300) -> dict[str, float]:
    """Milliseconds from MAIL to the final 250 on one connection, one message after another."""
    content = file.read_bytes().replace(b"\n", b"\r\n")
    connection = connect(relay.port)
    times = []
    for number in range(count):
        began = time.perf_counter()
        reply = transact(connection, Mail(str(number), SENDER, (CHARITY,), content))
        times.append((time.perf_counter() - began) * 1000)
        if reply.code != 250:
            raise RuntimeError(f"{relay.name} answered {reply}")
    connection.quit()
    ordered = sorted(times)
    return {"p50": ordered[count // 2], "p99": ordered[count * 99 // 100]}


class Memory:
    """Watches the workers of a gateway: highest PSS seen in samples, and the kernel's own peak of RSS."""

    def __init__(self, gateway: Gateway) -> None:
        self._workers = gateway.workers()
        self._stopped = threading.Event()
        self.pss: dict[int, int] = {}

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stopped.wait(0.05):
            for worker in self._workers:
                self.pss[worker.pid] = max(self.pss.get(worker.pid, 0), _kib(worker, "smaps_rollup", "Pss"))

    @property
    def peak_rss(self) -> int:
        """Bytes, of the worker that had most."""
        return max(_kib(worker, "status", "VmHWM") for worker in self._workers)

    @property
    def peak_pss(self) -> int:
        """Bytes, of the worker that had most."""
        return max(self.pss.values())


def _kib(process: psutil.Process, file: str, name: str) -> int:
    text = Path(f"/proc/{process.pid}/{file}").read_text()
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


@contextmanager
def gateway(sink: CountingSink, ring: KeyRing, key: str, workers: int, database_url: str) -> Iterator[Gateway]:
    """A gateway that sends everything to the sink; transport is opportunistic because smtp-sink has no TLS."""
    school = partner("school", None, protection=["openpgp"], keys=[{"fingerprint": key}])
    partners = [partner("council", sink.port), partner("charity", None), school]
    for entry in partners:
        entry["route"] = route(sink.port, "mx.charity.test", "opportunistic")
    directory = Directory(partners, [], {"transport": "opportunistic"})
    with folder("bench-gw") as home:
        built = Gateway(
            home, directory, tls=False, workers=workers, database_url=database_url,
            client={"sender_domains": ["council.test"]}, public_keys=(ring.public(key),),
        )  # fmt: skip
        with built:
            yield built


def compliant(ring: KeyRing, key: str, size: int) -> bytes:
    """A PGP/MIME message of about `size` bytes that policy lets pass: what both relays carry."""
    armoured = ring.encrypt(os.urandom(max(200, int((size - 900) / 1.37))), key)
    return messages.pgp_mime(messages.header("<bench@council.test>", SENDER, (CHARITY,), "Report"), armoured)


def write_files(where: Path, ring: KeyRing, key: str) -> dict[str, Path]:
    """The message files by case, with LF line ends as smtp-source reads them."""
    contents = {case.name: compliant(ring, key, case.size) for case in CASES}
    top = messages.header("<bench@council.test>", SENDER, (SCHOOL,), "Report")
    contents["re-encryption"] = messages.plain(top, messages.text(10_000, 1))
    files = {}
    for number, (name, content) in enumerate(contents.items()):
        files[name] = where / f"{number}.eml"
        files[name].write_bytes(content.replace(b"\r\n", b"\n"))
    return files


def run(arguments: argparse.Namespace, say: Callable[[str], None]) -> Results:
    """All cases, in turn and alternating; medians are the reader's."""
    results = Results()
    cases = [Case(case.name, case.size, max(10, int(case.count * arguments.scale))) for case in CASES]
    with ExitStack() as stack:
        ring = stack.enter_context(key_ring())
        key = ring.generate(SCHOOL)
        files = write_files(stack.enter_context(folder("bench-mail")), ring, key)
        url = stack.enter_context(postgres()).create_database("bench") if arguments.postgresql else ""
        ours, theirs = stack.enter_context(CountingSink()), stack.enter_context(CountingSink())
        built = stack.enter_context(gateway(ours, ring, key, arguments.workers, url))
        peer = stack.enter_context(postfix("bench.test", relay_port=theirs.port))
        relays = [Relay("gateway", built.port, ours), Relay("postfix", peer.port, theirs)]
        for relay in relays:
            measure(relay, files["5 kB"], 200, CHARITY, arguments.sessions)  # warm up: processes, caches
        for number in range(arguments.rounds):
            for case in cases:
                for relay in relays if number % 2 == 0 else relays[::-1]:
                    rate = measure(relay, files[case.name], case.count, CHARITY, arguments.sessions)
                    results.add(case.name, relay.name, rate)
                    say(f"round {number + 1}, {case.name}, {relay.name}: {rate:.1f} messages/s")
            rate = measure(relays[0], files["re-encryption"], int(400 * arguments.scale), SCHOOL, arguments.sessions)
            results.add("re-encryption", "gateway", rate)
            say(f"round {number + 1}, re-encryption of 10 kB: {rate:.1f} messages/s")
        for relay in relays:
            results.latency[relay.name] = latency(relay, files["5 kB"])
        results.memory["peak RSS, whole run"] = Memory(built).peak_rss
    results.memory |= memory(arguments, say)
    return results


def memory(arguments: argparse.Namespace, say: Callable[[str], None]) -> dict[str, int]:
    """Peaks of a fresh gateway that is given twenty 5 MB messages at once."""
    with ExitStack() as stack:
        ring = stack.enter_context(key_ring())
        key = ring.generate(SCHOOL)
        files = write_files(stack.enter_context(folder("bench-mail")), ring, key)
        url = stack.enter_context(postgres()).create_database("bench") if arguments.postgresql else ""
        sink = stack.enter_context(CountingSink())
        built = stack.enter_context(gateway(sink, ring, key, arguments.workers, url))
        with Memory(built) as watched:
            measure(Relay("gateway", built.port, sink), files["5 MB"], 20, CHARITY, 20)
        say(f"twenty 5 MB messages at once: {watched.peak_rss / 2**20:.0f} MiB in the largest worker")
        return {"peak RSS, twenty 5 MB": watched.peak_rss, "peak PSS, twenty 5 MB": watched.peak_pss}


def tables(results: Results) -> list[Table]:
    """The results as they are printed."""
    rates = Table(title="Delivered rate (median of rounds)")
    for heading in ("case", "gateway, msg/s", "peer, msg/s", "ratio", "range", "goal"):
        rates.add_column(heading, justify="left" if heading == "case" else "right")
    for case in CASES:
        ratios = results.ratios(case.name)
        rates.add_row(
            case.name,
            f"{results.median(case.name, 'gateway'):.1f}",
            f"{results.median(case.name, 'postfix'):.1f}",
            f"{statistics.median(ratios):.2f}",
            f"{min(ratios):.2f}-{max(ratios):.2f}",
            f"{GOALS[case.name]:.2f}",
        )
    encrypted = results.rates["re-encryption"]["gateway"]
    rates.add_row(
        "10 kB re-encrypted",
        f"{statistics.median(encrypted):.1f}",
        f"{ZEYPLE} (Zeyple)",
        f"{statistics.median(encrypted) / ZEYPLE:.1f}",
        f"{min(encrypted) / ZEYPLE:.1f}-{max(encrypted) / ZEYPLE:.1f}",
        f"{GOAL_ZEYPLE:.1f}",
    )
    other = Table(title="Latency of acceptance (5 kB) and memory of the largest worker")
    other.add_column("what")
    other.add_column("value", justify="right")
    for relay, values in results.latency.items():
        other.add_row(f"{relay}, MAIL to 250, p50 / p99", f"{values['p50']:.1f} / {values['p99']:.1f} ms")
    for name, value in results.memory.items():
        other.add_row(f"gateway, {name}", f"{value / 2**20:.0f} MiB")
    return [rates, other]


def missed(results: Results) -> list[str]:
    """One sentence for each goal that was not reached."""
    found = [
        f"{case}: {statistics.median(results.ratios(case)):.2f} of Postfix's rate, the goal is {goal}"
        for case, goal in GOALS.items()
        if statistics.median(results.ratios(case)) < goal
    ]
    ratio = statistics.median(results.rates["re-encryption"]["gateway"]) / ZEYPLE
    if ratio < GOAL_ZEYPLE:
        found.append(f"re-encryption: {ratio:.1f} times Zeyple's rate, the goal is {GOAL_ZEYPLE}")
    peak = results.memory["peak RSS, twenty 5 MB"]
    if peak > GOAL_MEMORY:
        found.append(f"memory: {peak / 2**20:.0f} MiB, the goal is {GOAL_MEMORY // 2**20} MiB")
    return found


def main() -> int:
    """Reads the command line, measures, prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sessions", type=int, default=20, help="parallel connections of smtp-source")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the number of messages")
    parser.add_argument("--postgresql", action="store_true", help="queue in a private PostgreSQL instead of SQLite")
    parser.add_argument("--json", type=Path, help="also write every measurement to this file")
    parser.add_argument("--check", action="store_true", help="exit 1 where a goal is missed")
    arguments = parser.parse_args()
    console = Console()
    try:
        results = run(arguments, console.print)
    except (AssertionError, RuntimeError, OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "output", None)
        Console(stderr=True).print(str(error), (said or b"").decode(errors="replace"), style="red", markup=False)
        return 1
    for table in tables(results):
        console.print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(results), indent=1) + "\n")
    faults = missed(results)
    for fault in faults:
        console.print(fault, style="yellow", markup=False)
    return 1 if faults and arguments.check else 0


if __name__ == "__main__":
    sys.exit(main())
