"""Clients that hang up in the middle of the journey: what their messages take up stays counted until it is free."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from gateway.pipeline import Journey
from tests.unit.composition import World, message, world


class _SlowGpg:
    """Protects nothing until it may; counts how many runs there are at a time."""

    def __init__(self, at: World) -> None:
        self.may, self.begun = threading.Event(), threading.Event()
        self.running = self.most = 0
        self._lock = threading.Lock()
        self._protect = at.openpgp.protect
        at.openpgp.protect = self.protect  # type: ignore[method-assign]

    def protect(self, content: bytes, keys: tuple[str, ...]) -> bytes:
        with self._lock:
            self.running += 1
            self.most = max(self.most, self.running)
        self.begun.set()
        self.may.wait(10)
        with self._lock:
            self.running -= 1
        return self._protect(content, keys)


def journey(at: World) -> Journey:
    return Journey(at.judge, at.store, at.commit, at.hand_over, at.notices)


def test_a_client_that_hangs_up_goes_when_the_work_on_its_message_has_ended(tmp_path: Path) -> None:
    with world(tmp_path) as at:
        gpg = _SlowGpg(at)

        async def scene() -> None:
            accepting = asyncio.create_task(journey(at).accept(message("jo@school.test")))
            await asyncio.to_thread(gpg.begun.wait, 10)
            accepting.cancel()
            await asyncio.wait([accepting], timeout=0.2)
            assert not accepting.done(), "the place is free while the work goes on"
            gpg.may.set()
            with pytest.raises(asyncio.CancelledError):
                await accepting

        asyncio.run(scene())
        assert not at.shares(), "nobody heard 250: nothing is kept"


def test_a_gpg_that_hangs_leaves_threads_for_everything_else(tmp_path: Path) -> None:
    with world(tmp_path) as at:
        gpg = _SlowGpg(at)

        async def scene() -> None:
            accepting = [asyncio.create_task(journey(at).accept(message("jo@school.test"))) for _ in range(40)]
            await asyncio.wait_for(asyncio.to_thread(gpg.begun.wait, 5), 5)
            await asyncio.sleep(0.1)
            await asyncio.wait_for(asyncio.to_thread(int), 2)
            gpg.may.set()
            await asyncio.gather(*accepting)

        asyncio.run(scene())
        assert gpg.most <= 4
        assert len(at.shares()) == 40
