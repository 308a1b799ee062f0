"""The one world of the table, and what came of every case in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import uvloop

from gateway.model import AttemptResult
from tests.transport.cases import CASES
from tests.transport.world import World, world


@pytest.fixture(scope="session")
def table() -> Iterator[World]:
    """Every server that the table needs."""
    with world(CASES) as running:
        yield running


@pytest.fixture(scope="session")
def results(table: World) -> dict[str, AttemptResult]:
    """What the gateway made of every case, by name."""
    found: dict[str, AttemptResult] = uvloop.run(table.deliver(CASES))
    return found
