"""DNS, a policy host, a shelf and two clocks in memory, for tests of which MTA-STS policy is in force."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from gateway.errors import StoreError
from gateway.transport.resolver import Answer, Failure, LookupFailed
from gateway.transport.sts_fetch import FetchFailed, FetchFault
from gateway.transport.sts_policies import Kept, StsFinding, StsPolicies

DOMAIN = "school.test"
DAY = 86400.0


def policy(max_age: int = 604800, mode: str = "enforce", mx: str = "mx.school.test") -> bytes:
    return f"version: STSv1\nmode: {mode}\nmx: {mx}\nmax_age: {max_age}\n".encode()


@dataclass
class World:
    """DNS, policy host, shelf and clock of a test, and what was asked of them."""

    id: str | None = "1"
    dns_fails: bool = False
    dns_hangs: bool = False
    served: bytes | Exception = field(default_factory=policy)
    host_hangs: bool = False
    shelf: dict[str, Kept] = field(default_factory=dict)
    shelf_fails: bool = False
    now: float = 1_000_000.0
    steady: float = 5000.0
    kept_by_resolver: str | None = None  # an older id, until it is forgotten
    lookups: int = 0
    fetches: list[str] = field(default_factory=list)
    loads: int = 0
    forgotten: list[tuple[str, str]] = field(default_factory=list)

    # resolver

    async def lookup(self, name: str, kind: str) -> Answer:
        assert (name, kind) == (f"_mta-sts.{DOMAIN}", "TXT")
        self.lookups += 1
        if self.dns_hangs:
            await asyncio.Event().wait()
        if self.dns_fails:
            raise LookupFailed(name, kind, Failure.SERVFAIL)
        named = self.kept_by_resolver or self.id
        return Answer((f'"v=STSv1; id={named}"',) if named else (), bool(named))

    def forget(self, name: str, kind: str) -> None:
        self.forgotten.append((name, kind))
        self.kept_by_resolver = None

    # fetcher

    async def fetch(self, domain: str) -> bytes:
        self.fetches.append(domain)
        await asyncio.sleep(0)
        while self.host_hangs:
            await asyncio.sleep(0.001)
        if isinstance(self.served, Exception):
            raise self.served
        return self.served

    # shelf

    def _open(self) -> dict[str, Kept]:
        if self.shelf_fails:
            raise StoreError("the store could not do it")
        return self.shelf

    def load(self, domain: str) -> Kept | None:
        self.loads += 1
        return self._open().get(domain)

    def save(self, kept: Kept) -> None:
        self._open()[kept.domain] = kept

    def remove(self, kept: Kept) -> None:
        self._open().pop(kept.domain)

    def all(self) -> tuple[Kept, ...]:
        return tuple(self._open().values())

    # the gateway's side

    def policies(self) -> StsPolicies:
        """Of a worker that has just started."""
        return StsPolicies(self, self, self, lambda: self.now, lambda: self.steady)  # type: ignore[arg-type]

    def fails(self, kind: FetchFault = FetchFault.CONNECT) -> None:
        self.served = FetchFailed(kind, "no connection")


def scene(play: Callable[[World, StsPolicies], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Runs a test in its own world and event loop."""

    def test() -> None:
        async def run() -> None:
            world = World()
            policies = world.policies()
            try:
                await asyncio.wait_for(play(world, policies), 10)
            finally:
                await policies.close()

        asyncio.run(run())

    test.__name__, test.__doc__ = play.__name__, play.__doc__
    return test


def shown(finding: StsFinding) -> tuple[str, str | None, str | None, bool]:
    policy = finding.policy
    return finding.state.value, policy and policy.mode, policy and policy.id, finding.fresh


FOUND = ("found", "enforce", "1", True)
CACHED = ("cached", "enforce", "1", False)
