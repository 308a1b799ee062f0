"""Holds inspection against independent programs on folders of files that other projects wrote.

Use: `compare.py [--json] [--labels FILE] [--python PROGRAM] [--attachments FOLDER] FOLDER...`. Prints every
disagreement and, last, one summary line (with --json: one object). Exit status 1 where a file that somebody can
read without a secret is called acceptable or strong, or where more than 1 % of the properly encrypted ones are
called weak or none. Labels are kept in FILE by digest, since the programs are slow. Failures: a child that dies
or hangs is started again, and the file it died of is reported as `died`.
"""

from __future__ import annotations

import argparse
import email
import hashlib
import json
import re
import selectors
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MOST = 5 * 1024 * 1024
PATIENCE = 120.0  # seconds for one file, whichever child has it
SCALE = ("none", "weak", "acceptable", "strong")
SEALED = ("sealed", "acceptable", "strong")
RATE = 0.01
SLOW = 2.0  # seconds for a megabyte


class Child:
    """A program that answers a path on its input with one JSON line; started again where it dies."""

    def __init__(self, *command: str) -> None:
        self._command = command
        self._process: subprocess.Popen[str] | None = None

    def ask(self, path: Path) -> dict[str, Any] | None:
        """The answer; None where the child dies of this file or takes too long."""
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{path}\n")
        self._process.stdin.flush()
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            line = self._process.stdout.readline() if selector.select(PATIENCE) else ""
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        self._process.kill()
        self._process.wait()
        return None

    def close(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            self._process.wait()


@dataclass(frozen=True, slots=True)
class Row:
    """One file: what the programs say, and what inspection says."""

    path: Path
    label: dict[str, str]
    verdict: dict[str, Any]

    @property
    def disagreement(self) -> str:
        """A name for the kind of disagreement, "" where there is none."""
        level, strength = self.label["level"], self.verdict["strength"]
        if strength == "died":
            return "died"
        if self.verdict["seconds"] > SLOW * max(1.0, self.verdict["size"] / 1e6):
            return "slow"
        if level == "clear":
            return "" if strength == "none" else "clear-called-protected"
        if level == "unclear":
            return "unclear-called-protected" if strength in SCALE[2:] else ""
        if level in SEALED and strength in SCALE[:2]:
            return "sealed-called-open"
        if level == "sealed":
            return ""
        if SCALE.index(strength) > SCALE.index(level):
            return "above-the-scale"
        return "" if level == strength else "below-the-scale"

    @property
    def fault(self) -> bool:
        """Called acceptable or strong although it can be read, or beyond what its row of the scale allows."""
        strength = self.verdict["strength"]
        if strength in SCALE[2:] and self.label["level"] in ("clear", "weak"):
            return True
        return strength == "died"

    def line(self) -> str:
        found = " ".join(self.verdict["findings"])
        ours = f"{self.verdict['kind']} {self.verdict['strength']} ({self.verdict['scheme']}) [{found}]"
        theirs = f"{self.label['kind']} {self.label['level']} ({self.label['why']})"
        return f"{self.disagreement}: {self.path}\n    inspection: {ours}\n    programs:   {theirs}"


def files(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        for path in sorted([folder] if folder.is_file() else folder.rglob("*")):
            if path.is_file() and not path.is_symlink() and 0 < path.stat().st_size <= MOST and "\n" not in str(path):
                yield path


def labels(paths: list[Path], kept: Path | None, python: str) -> dict[Path, dict[str, str]]:
    """What the programs say of each file; answers already kept are not asked for again."""
    known: dict[str, dict[str, str]] = {}
    if kept is not None and kept.exists():
        known = dict(json.loads(line) for line in kept.read_text().splitlines())
    child = Child(python, str(HERE / "oracles.py"))
    found: dict[Path, dict[str, str]] = {}
    started = time.monotonic()
    for number, path in enumerate(paths):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest not in known:
            answer = child.ask(path) or {"kind": "unknown", "level": "unclear", "why": "the programs died of it"}
            known[digest] = answer
            if kept is not None:
                with kept.open("a") as file:
                    file.write(json.dumps([digest, answer]) + "\n")
        found[path] = known[digest]
        _tell("labels", number, len(paths), started)
    child.close()
    return found


def verdicts(paths: list[Path]) -> dict[Path, dict[str, Any]]:
    """What inspection says of each file, in a child, because a fault there must not end the run."""
    child = Child(sys.executable, str(HERE / "compare.py"), "--judge")
    found: dict[Path, dict[str, Any]] = {}
    started = time.monotonic()
    for number, path in enumerate(paths):
        found[path] = child.ask(path) or _DIED
        _tell("verdicts", number, len(paths), started)
    child.close()
    return found


_DIED = {"kind": "unknown", "strength": "died", "scheme": "", "findings": [], "seconds": 0.0, "size": 0}


def _tell(what: str, number: int, total: int, started: float) -> None:
    if sys.stderr.isatty() and number % 50 == 0:
        print(f"\r{what}: {number} of {total}, {time.monotonic() - started:.0f} s", end="", file=sys.stderr)


def judge() -> None:
    """The child: inspects the files that standard input names."""
    sys.path.insert(0, str(HERE.parent.parent))
    from gateway.inspection import as_dict, inspect_file

    for line in sys.stdin:
        data = Path(line.rstrip("\n")).read_bytes()
        started = time.process_time()
        part = as_dict(inspect_file(data))
        seconds = time.process_time() - started
        findings = sorted(_findings(part))
        answer = {"kind": part["kind"], "strength": part["strength"], "scheme": part["scheme"], "findings": findings}
        print(json.dumps({**answer, "seconds": round(seconds, 3), "size": len(data)}), flush=True)


def _findings(part: dict[str, Any]) -> set[str]:
    found = set(part["findings"])
    for inner in part["parts"]:
        found |= _findings(inner)
    return found


def attachments(paths: list[Path], folder: Path) -> list[Path]:
    """The attachments of the messages among the files, as files of their own, each different content once."""
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, Path] = {}
    for path in paths:
        data = path.read_bytes()
        if not re.match(rb"[!-9;-~]+:|From ", data) or b"ontent-" not in data:
            continue
        for part in email.message_from_bytes(data).walk():
            payload = None if part.is_multipart() else part.get_payload(decode=True)
            if (
                not isinstance(payload, bytes)
                or len(payload) < 64
                or part.get_content_type() in ("text/plain", "text/html")
            ):
                continue
            digest = hashlib.sha256(payload).hexdigest()[:16]
            found[digest] = folder / f"{re.sub(r'[^A-Za-z0-9._-]', '-', path.name)[-60:]}-{digest}"
            found[digest].write_bytes(payload)
    return sorted(found.values())


def summary(rows: list[Row]) -> dict[str, Any]:
    sealed = [row for row in rows if row.label["level"] in SEALED]
    missed = [row for row in sealed if row.disagreement == "sealed-called-open"]
    return {
        "files": len(rows),
        "labels": dict(Counter(row.label["level"] for row in rows)),
        "kinds": dict(Counter(row.label["kind"] for row in rows)),
        "disagreements": dict(Counter(row.disagreement for row in rows if row.disagreement)),
        "clear_called_protected": [str(row.path) for row in rows if row.fault],
        "sealed": len(sealed),
        "sealed_called_open": len(missed),
        "sealed_called_open_rate": round(len(missed) / max(1, len(sealed)), 4),
        "slowest_seconds": max((row.verdict["seconds"] for row in rows), default=0.0),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--json", action="store_true", help="print the summary and the rows as one JSON object")
    parser.add_argument("--labels", type=Path, help="where the programs' answers are kept")
    parser.add_argument("--python", default=sys.executable, help="a Python that has the programs' packages")
    parser.add_argument("--attachments", type=Path, help="take attachments out of messages into this folder, too")
    parser.add_argument("--judge", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.judge:
        judge()
        return 0
    paths = list(files(options.folders))
    if options.attachments is not None:
        paths += attachments(paths, options.attachments)
    known = labels(paths, options.labels, options.python)
    found = verdicts(paths)
    rows = [Row(path, known[path], found[path]) for path in paths]
    told = [row for row in rows if row.disagreement]
    total = summary(rows)
    if options.json:
        listed = [
            {"path": str(row.path), "kind": row.disagreement, "label": row.label, "verdict": row.verdict}
            for row in told
        ]
        print(json.dumps({**total, "rows": listed}, indent=1))
    else:
        for row in sorted(told, key=lambda each: (each.disagreement, str(each.path))):
            print(row.line())
        print(json.dumps({key: value for key, value in total.items() if key != "clear_called_protected"}))
    return 1 if total["clear_called_protected"] or total["sealed_called_open_rate"] > RATE else 0


if __name__ == "__main__":
    sys.exit(main())
