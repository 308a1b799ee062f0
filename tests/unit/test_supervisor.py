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


def test_a_dead_worker_is_replaced_though_the_store_does_not_answer() -> None:
    made = Supervisor.__new__(Supervisor)
    read_end, write_end = os.pipe()
    os.close(write_end)
    process = subprocess.Popen(["true"])
    process.wait()
    started: list[int] = []
    made._children = {0: _Child(0, "gateway.test/0/1", process, read_end, time.monotonic() - 60, time.monotonic())}
    made._worker_ended = int
    made._start = lambda index, quick=0: started.append(index)  # type: ignore[method-assign, assignment]
    made._replace_dead(_NoStore())  # type: ignore[arg-type]
    assert started == [0]
