"""What the supervisor does when a worker dies and the store does not answer."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.errors import StoreError
from gateway.supervisor import Supervisor, _Child


class _NoStore:
    """A store that cannot be written to."""

    @contextmanager
    def writing(self) -> Iterator[None]:
        raise StoreError("the store could not do it")
        yield


def supervisor_with_a_dead_worker(age: float) -> tuple[Supervisor, list[int]]:
    """A supervisor whose only worker has ended `age` seconds after its start, and the list of those it starts."""
    made = Supervisor.__new__(Supervisor)
    read_end, write_end = os.pipe()
    os.close(write_end)
    process = subprocess.Popen(["true"])
    process.wait()
    started: list[int] = []
    now = time.monotonic()
    made._children = {0: _Child(0, "gateway.test/0/1", process, read_end, now - age, now)}
    made._due = {}
    made._worker_ended = int
    made._start = lambda index, quick=0: started.append(index)  # type: ignore[method-assign, assignment]
    return made, started


def test_a_dead_worker_is_replaced_though_the_store_does_not_answer() -> None:
    made, started = supervisor_with_a_dead_worker(60)
    made._replace_dead(_NoStore())  # type: ignore[arg-type]
    assert started == [0]


def test_a_worker_that_died_at_once_is_replaced_a_little_later_and_nobody_waits_for_that() -> None:
    made, started = supervisor_with_a_dead_worker(0)
    begun = time.monotonic()
    made._replace_dead(_NoStore())  # type: ignore[arg-type]
    assert started == []
    assert time.monotonic() - begun < 0.05
    time.sleep(0.12)
    made._replace_dead(_NoStore())  # type: ignore[arg-type]
    assert started == [0]
