"""The composition root: what is built works together."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from gateway import app
from gateway.directory.model import Snapshot
from gateway.errors import StartupError
from gateway.store import Store
from gateway.store.units import Unit
from tests.unit.composition import PARTNERS, POLICY, settings, snapshot


def test_without_a_directory_in_force_no_worker_starts(tmp_path: Path) -> None:
    made = settings(tmp_path)
    Store.open(made, create=True).close()
    with pytest.raises(StartupError, match="gateway apply"):
        app.worker(made, "gateway.test/0/1")


def test_another_snapshot_is_noticed_and_the_same_one_is_not(tmp_path: Path) -> None:
    with Store.open(settings(tmp_path), create=True) as store:
        store.activate(snapshot(), "somebody", "first")
        in_force = app.InForce(store)
        assert not in_force.refresh()
        changed = Snapshot(partners=PARTNERS[:2], register=(), policy=POLICY)
        store.activate(changed, "somebody", "second")
        assert in_force().id != changed.id, "it changed before it was asked to"
        assert in_force.refresh() and in_force().id == changed.id
        assert not in_force.refresh()


def test_a_cancelled_commit_stops_neither_the_writer_nor_the_others_of_its_group(tmp_path: Path) -> None:
    made = settings(tmp_path)
    with Store.open(made, create=True) as store:
        store.activate(snapshot(), "somebody", "first")

    async def run() -> None:
        parts = app.worker(made, "gateway.test/0/1")
        commit = parts.dispatcher._commit
        with parts.store.writing():  # the writer has to wait
            first = asyncio.create_task(_commit(commit))
            await asyncio.sleep(0.1)
            group = [asyncio.create_task(_commit(commit)) for _ in range(3)]  # committed together
            await asyncio.sleep(0.1)
            for gone in (first, group[0]):  # clients go away while their refusals are being recorded
                gone.cancel()
            await asyncio.gather(first, group[0], return_exceptions=True)
        await asyncio.wait_for(asyncio.gather(*group[1:]), 5)
        await asyncio.wait_for(commit(Unit()), 5)
        await parts.deliverer.close()
        parts.writer.close()
        parts.store.close()

    asyncio.run(run())


async def _commit(commit: Any) -> None:
    await commit(Unit())


