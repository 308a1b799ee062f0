"""What the tests that kill the gateway share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.ca import Authority
from tests.support.openpgp import KeyRing, key_ring
from tests.support.ports import folder
from tests.support.postgres import Postgres, postgres


@pytest.fixture
def home() -> Iterator[Path]:
    """An empty folder that unprivileged servers may enter."""
    with folder("gw-test") as path:
        yield path


@pytest.fixture(scope="session")
def authority() -> Iterator[Authority]:
    """The certificate authority that the gateway under test trusts."""
    with folder("gw-ca") as path:
        yield Authority(path)


@pytest.fixture(scope="session")
def ring() -> Iterator[KeyRing]:
    """The correspondents' secret keys."""
    with key_ring() as keys:
        yield keys


@pytest.fixture(scope="session")
def school_key(ring: KeyRing) -> str:
    """The fingerprint of the key that is pinned to school.test."""
    return ring.generate("office@school.test")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A private PostgreSQL cluster."""
    with postgres() as server:
        yield server
