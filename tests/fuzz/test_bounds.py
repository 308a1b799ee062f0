"""Invariant: never an exception out of inspection, never above 2 s or 256 MB for an input of 1 MB, whatever it holds.

Of the hand-made worst cases every third is tried, from the seed `FUZZ_SEED` on, and all of them where `FUZZ_SECONDS`
is given. Damaged samples are tried for so many seconds (3 by default); `FUZZ_CORPUS` names further folders of samples,
with colons between. What fails is kept in tests/fuzz/found, which git ignores, and tried first the next time.
"""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from tests.fuzz.measure import Inspector, Outcome
from tests.fuzz.mutations import Sample, changed
from tests.fuzz.worst_cases import SIZE, all_cases

TESTS = Path(__file__).parent.parent
FOUND = Path(__file__).parent / "found"
FOLDERS = (TESTS / "messages", TESTS / "attachments" / "files")
LARGEST_SAMPLE = 100_000


def samples() -> list[Sample]:
    """The corpus: all messages and attachments of the tests, and of other folders that are asked for."""
    folders = [*FOLDERS, *(Path(name) for name in os.environ.get("FUZZ_CORPUS", "").split(":") if name)]
    files = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
    wanted = [path for path in files if path.suffix not in (".json", ".py", ".md", ".pyc")]
    return [Sample(path.name, path.read_bytes()) for path in wanted if 0 < path.stat().st_size <= LARGEST_SAMPLE]


def keep(sample: Sample, outcome: Outcome) -> str:
    """Keeps an input that broke a promise; says where."""
    FOUND.mkdir(exist_ok=True)
    path = FOUND / f"{hashlib.sha256(sample.data).hexdigest()[:12]}.bin"
    path.write_bytes(sample.data)
    return f"{path.name}: {outcome.fault} ({sample.name})"


@pytest.mark.timeout(300)
def test_worst_cases_stay_within_bounds() -> None:
    wanted = list(all_cases().items())
    assert len(wanted) > 150
    if "FUZZ_SECONDS" not in os.environ:
        wanted = wanted[int(os.environ.get("FUZZ_SEED", "1")) % 3 :: 3]
    broken = []
    with Inspector() as inspector:
        for name, build in wanted:
            data = build()
            assert len(data) <= SIZE, name
            outcome = inspector.inspect(name, data)
            if outcome.fault:
                broken.append(f"{name}: {outcome.fault}")
    assert not broken


@pytest.mark.timeout(0)
def test_damaged_samples_stay_within_bounds() -> None:
    seed = int(os.environ.get("FUZZ_SEED", "1"))
    end = time.monotonic() + float(os.environ.get("FUZZ_SECONDS", "3"))
    found = [Sample(path.name, path.read_bytes()) for path in sorted(FOUND.glob("*.bin"))]
    corpus = samples()
    assert len(corpus) > 50
    stream = changed(corpus, seed)
    broken, tried = [], 0
    with Inspector() as inspector:
        while time.monotonic() < end:
            sample = found.pop() if found else next(stream)
            outcome = inspector.inspect(sample.name, sample.data)
            tried += 1
            if outcome.fault:
                broken.append(keep(sample, outcome))
    assert not broken
    assert tried > 20
    print(f"{tried} inputs from seed {seed}")


def test_a_child_that_dies_is_noticed_and_replaced() -> None:
    with Inspector() as inspector:
        assert not inspector.inspect("first", b"Subject: x\r\n\r\nhello").fault
        child = inspector._child
        assert child is not None
        child.kill()
        child.wait()
        assert not inspector.inspect("second", b"Subject: x\r\n\r\nhello").fault
        assert inspector._child is not child
