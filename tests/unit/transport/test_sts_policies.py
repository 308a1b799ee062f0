"""Which policy is in force, as time, DNS, policy host and shelf change: each step of RFC 8461 sections 3.3 and 5.1."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.errors import StoreError
from gateway.transport import sts_policies
from gateway.transport.resolver import Answer, Failure, LookupFailed
from gateway.transport.sts_fetch import FetchFailed, FetchFault
from gateway.transport.sts_policies import FETCH_PAUSE, REREAD_AFTER, Kept, StsFinding, StsPolicies, StsState

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

# ---------------------------------------------------------------- discovery


@scene
async def test_a_policy_is_found_and_asked_for_once(world: World, policies: StsPolicies) -> None:
    for _ in range(3):
        assert shown(await policies.of(DOMAIN)) == FOUND
    assert (world.fetches, world.loads) == ([DOMAIN], 2)  # at first sight, and before the fetch
    kept = world.shelf[DOMAIN]
    assert kept == Kept(DOMAIN, "1", policy().decode(), 1_000_000.0, 1_604_800.0)


@scene
async def test_no_record_is_no_policy_and_nothing_is_fetched(world: World, policies: StsPolicies) -> None:
    world.id = None
    assert await policies.of(DOMAIN) == StsFinding(None, StsState.NONE)
    assert world.fetches == []


@pytest.mark.parametrize("domain", ["", ".", "[192.0.2.1]", "192.0.2.1", "[2001:db8::1]", ".a.test", "a..b", "a b"])
def test_what_is_no_domain_has_no_policy_and_is_not_asked_for(domain: str) -> None:
    world = World()
    assert asyncio.run(world.policies().of(domain)) == StsFinding(None, StsState.NONE)
    assert (world.lookups, world.loads) == (0, 0)


def test_a_domain_too_long_for_a_record_has_none() -> None:
    world = World()
    domain = ".".join(["a" * 60] * 4) + ".test"
    assert asyncio.run(world.policies().of(domain)) == StsFinding(None, StsState.NONE)
    assert world.lookups == 0


@scene
async def test_spellings_of_a_domain_are_one_domain(world: World, policies: StsPolicies) -> None:
    assert shown(await policies.of("SCHOOL.test.")) == FOUND
    assert shown(await policies.of(DOMAIN)) == FOUND
    assert world.fetches == [DOMAIN]


@scene
async def test_the_modes_are_told_apart(world: World, policies: StsPolicies) -> None:
    for number, mode in enumerate(("testing", "none", "enforce"), 2):
        world.id, world.served = str(number), policy(mode=mode)
        assert shown(await policies.of(DOMAIN)) == ("found", mode, str(number), True)


@scene
async def test_what_cannot_be_fetched_is_no_absence(world: World, policies: StsPolicies) -> None:
    world.fails(FetchFault.CERTIFICATE)
    assert await policies.of(DOMAIN) == StsFinding(
        None, StsState.FETCH_FAILED, "no connection", fault="tls-certificate"
    )


@scene
async def test_what_is_no_policy_is_told_apart_from_what_cannot_be_fetched(
    world: World, policies: StsPolicies
) -> None:
    world.served = b"<!DOCTYPE html>"
    finding = await policies.of(DOMAIN)
    assert (finding.policy, finding.state, finding.fault) == (None, StsState.INVALID, "invalid")
    assert "line 1" in finding.problem
    assert world.shelf == {}


@scene
async def test_a_failed_look_up_without_a_kept_policy_is_a_state_of_its_own(
    world: World, policies: StsPolicies
) -> None:
    world.dns_fails = True
    finding = await policies.of(DOMAIN)
    assert (finding.policy, finding.state) == (None, StsState.LOOKUP_FAILED)
    assert "name servers failed" in finding.problem
    world.dns_fails = False
    assert shown(await policies.of(DOMAIN)) == FOUND


# ---------------------------------------------------------------- what survives (sections 3.1, 3.3, 5.1)


@scene
async def test_a_kept_policy_survives_a_lost_record(world: World, policies: StsPolicies) -> None:
    await policies.of(DOMAIN)
    world.id = None
    finding = await policies.of(DOMAIN)
    assert shown(finding) == CACHED
    assert finding.problem == "the domain announces no policy any more"


@scene
async def test_a_kept_policy_survives_failing_dns_fetches_and_malformed_policies(
    world: World, policies: StsPolicies
) -> None:
    await policies.of(DOMAIN)
    world.dns_fails = True
    assert shown(await policies.of(DOMAIN)) == CACHED
    world.dns_fails, world.id = False, "2"
    world.fails()
    finding = await policies.of(DOMAIN)
    assert (shown(finding), finding.problem, finding.fault) == (CACHED, "no connection", "connect")
    world.id, world.served = "3", b"nonsense"
    finding = await policies.of(DOMAIN)
    assert (shown(finding), finding.fault) == (CACHED, "invalid")


@scene
async def test_nothing_is_used_past_its_max_age(world: World, policies: StsPolicies) -> None:
    world.served = policy(3600)
    await policies.of(DOMAIN)
    world.id = None
    for later in (0, 1, 3600):
        world.now = 1_000_000.0 + later
        assert shown(await policies.of(DOMAIN)) == CACHED
        assert shown(await world.policies().of(DOMAIN)) == CACHED  # a worker that has just started
    world.now = 1_003_600.001
    for each in (policies, world.policies()):
        assert await each.of(DOMAIN) == StsFinding(None, StsState.NONE)
    world.dns_fails = True
    assert (await policies.of(DOMAIN)).state is StsState.LOOKUP_FAILED
    world.dns_fails, world.id = False, "1"
    world.fails()
    assert (await policies.of(DOMAIN)).state is StsState.FETCH_FAILED


@scene
async def test_an_ended_policy_is_fetched_anew_under_the_same_id(world: World, policies: StsPolicies) -> None:
    world.served = policy(3600)
    await policies.of(DOMAIN)
    world.now += 3600.5
    world.served = policy(7200)
    finding = await policies.of(DOMAIN)
    assert shown(finding) == FOUND and finding.policy is not None and finding.policy.max_age == 7200
    assert len(world.fetches) == 2


@scene
async def test_max_age_counts_from_before_the_fetch(world: World, policies: StsPolicies) -> None:
    world.host_hangs = True
    asking = asyncio.ensure_future(policies.of(DOMAIN))
    await asyncio.sleep(0.02)
    world.now += 40
    world.host_hangs = False
    assert shown(await asking) == FOUND
    assert world.shelf[DOMAIN].fetched_at == 1_000_000.0


@scene
async def test_a_max_age_of_nothing_holds_for_this_delivery_alone(world: World, policies: StsPolicies) -> None:
    world.served = policy(0)
    assert shown(await policies.of(DOMAIN)) == FOUND
    world.now += 0.001
    world.id = None
    assert await policies.of(DOMAIN) == StsFinding(None, StsState.NONE)


@scene
async def test_a_policy_is_taken_down_by_mode_none(world: World, policies: StsPolicies) -> None:
    """Section 8.3: a new id with mode none and a small max_age, then record and host go."""
    world.served = policy(31557600)
    assert shown(await policies.of(DOMAIN)) == FOUND
    world.id, world.served = "2", b"version: STSv1\nmode: none\nmax_age: 60\n"
    assert shown(await policies.of(DOMAIN)) == ("found", "none", "2", True)
    world.id = None
    world.fails()
    assert shown(await policies.of(DOMAIN)) == ("cached", "none", "2", False)
    world.now += 60.001
    for each in (policies, world.policies()):
        assert await each.of(DOMAIN) == StsFinding(None, StsState.NONE)  # and not the enforce of a year


# ---------------------------------------------------------------- a new id


@scene
async def test_a_new_id_is_fetched_before_the_old_policy_is_used(world: World, policies: StsPolicies) -> None:
    await policies.of(DOMAIN)
    world.id, world.served = "2", policy(mx="new.school.test")
    finding = await policies.of(DOMAIN)
    assert shown(finding) == ("found", "enforce", "2", True)
    assert finding.policy is not None and finding.policy.mx == ("new.school.test",)
    assert world.shelf[DOMAIN].id == "2"


@scene
async def test_after_a_failed_fetch_the_same_id_is_left_alone_for_five_minutes(
    world: World, policies: StsPolicies
) -> None:
    world.fails()
    for wait in (0.0, 1.0, FETCH_PAUSE - 1.001):
        world.steady += wait
        assert (await policies.of(DOMAIN)).state is StsState.FETCH_FAILED
        assert (await policies.recheck(DOMAIN)).state is StsState.FETCH_FAILED
    assert len(world.fetches) == 1
    world.steady += 0.002
    world.served = policy()
    assert shown(await policies.of(DOMAIN)) == FOUND
    assert len(world.fetches) == 2


@scene
async def test_another_id_is_fetched_at_once(world: World, policies: StsPolicies) -> None:
    world.fails()
    await policies.of(DOMAIN)
    world.id, world.served = "2", policy()
    assert shown(await policies.of(DOMAIN)) == ("found", "enforce", "2", True)
    world.id = "1"  # the id that failed is still left alone, and the policy goes on
    assert shown(await policies.of(DOMAIN)) == ("cached", "enforce", "2", False)
    assert len(world.fetches) == 2


@scene
async def test_concurrent_callers_share_one_fetch(world: World, policies: StsPolicies) -> None:
    world.host_hangs = True
    asking = [asyncio.ensure_future(policies.of(DOMAIN)) for _ in range(50)]
    await asyncio.sleep(0.02)
    asking[0].cancel()  # and one who leaves takes nothing from the others
    await asyncio.sleep(0.01)
    world.host_hangs = False
    assert [shown(each) for each in await asyncio.gather(*asking[1:])] == [FOUND] * 49
    assert world.fetches == [DOMAIN]


# ---------------------------------------------------------------- nothing is held up


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sts_policies, "PATIENCE", 0.05)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("hanging", ["policy host", "DNS"])
def test_a_valid_policy_is_used_while_something_newer_hangs(hanging: str) -> None:
    async def play() -> None:
        world = World()
        policies = world.policies()
        await policies.of(DOMAIN)
        world.id = "2"
        world.host_hangs, world.dns_hangs = hanging == "policy host", hanging == "DNS"
        began = asyncio.get_running_loop().time()
        finding = await policies.of(DOMAIN)
        assert 0.04 < asyncio.get_running_loop().time() - began < 1.0
        assert shown(finding) == CACHED
        assert finding.problem
        world.host_hangs = world.dns_hangs = False
        if hanging == "policy host":
            await asyncio.sleep(0.05)  # the fetch goes on in the background
        assert shown(await policies.of(DOMAIN)) == ("found", "enforce", "2", True)
        assert len(world.fetches) == 2
        await policies.close()

    asyncio.run(play())


@pytest.mark.usefixtures("impatient")
def test_without_a_policy_the_fetch_is_waited_for() -> None:
    async def play() -> None:
        world = World(host_hangs=True)
        asking = asyncio.ensure_future(world.policies().of(DOMAIN))
        await asyncio.sleep(0.2)
        assert not asking.done()
        world.host_hangs = False
        assert shown(await asking) == FOUND

    asyncio.run(play())


@pytest.mark.usefixtures("impatient")
def test_only_the_first_waits_for_a_fetch_that_hangs() -> None:
    async def play() -> None:
        world = World()
        policies = world.policies()
        await policies.of(DOMAIN)
        world.id, world.host_hangs = "2", True
        await policies.of(DOMAIN)
        world.steady += 1  # later than the patience of whoever began the fetch
        began = asyncio.get_running_loop().time()
        for _ in range(20):
            assert shown(await policies.of(DOMAIN)) == CACHED
        assert asyncio.get_running_loop().time() - began < 0.5
        assert len(world.fetches) == 2
        await policies.close()

    asyncio.run(play())


@pytest.mark.usefixtures("impatient")
def test_before_mail_is_given_up_the_newer_policy_is_waited_for() -> None:
    async def play() -> None:
        world = World()
        policies = world.policies()
        await policies.of(DOMAIN)
        world.id, world.host_hangs, world.kept_by_resolver = "2", True, "1"
        assert shown(await policies.of(DOMAIN)) == FOUND  # the resolver still has the old id
        asking = asyncio.ensure_future(policies.recheck(DOMAIN))
        await asyncio.sleep(0.2)
        assert not asking.done()
        world.host_hangs = False
        assert shown(await asking) == ("found", "enforce", "2", True)
        assert world.forgotten == [(f"_mta-sts.{DOMAIN}", "TXT")]

    asyncio.run(play())


# ---------------------------------------------------------------- restart, other workers, a broken shelf


@scene
async def test_a_policy_survives_a_restart(world: World, policies: StsPolicies) -> None:
    await policies.of(DOMAIN)
    world.id = None
    world.fails()
    assert shown(await world.policies().of(DOMAIN)) == CACHED
    world.id = "1"
    assert shown(await world.policies().of(DOMAIN)) == FOUND
    assert len(world.fetches) == 1


@scene
async def test_what_another_worker_fetched_is_taken_from_the_shelf(world: World, policies: StsPolicies) -> None:
    other = world.policies()
    assert shown(await other.of(DOMAIN)) == FOUND
    assert shown(await policies.of(DOMAIN)) == FOUND
    world.id, world.served = "2", policy(mode="testing")
    await other.of(DOMAIN)
    assert shown(await policies.of(DOMAIN)) == ("found", "testing", "2", True)
    assert len(world.fetches) == 2


@scene
async def test_a_worker_whose_resolver_lags_behind_does_not_bring_the_old_policy_back(
    world: World, policies: StsPolicies
) -> None:
    await policies.of(DOMAIN)
    world.id, world.served, world.now = "2", policy(mode="testing"), world.now + 10
    await world.policies().of(DOMAIN)
    world.steady += REREAD_AFTER
    world.kept_by_resolver = "1"
    assert shown(await policies.of(DOMAIN)) == ("found", "testing", "2", True)
    assert len(world.fetches) == 2 and world.shelf[DOMAIN].id == "2"


@scene
async def test_the_shelf_is_read_again_after_a_minute_and_not_before(world: World, policies: StsPolicies) -> None:
    await policies.of(DOMAIN)
    loads = world.loads
    world.id = None
    world.shelf[DOMAIN] = Kept(DOMAIN, "2", policy(mode="testing").decode(), world.now + 1, world.now + 604801)
    for _ in range(100):
        assert shown(await policies.of(DOMAIN)) == CACHED
    assert world.loads == loads
    world.steady += REREAD_AFTER
    assert shown(await policies.of(DOMAIN)) == ("cached", "testing", "2", False)
    assert world.loads == loads + 1


@scene
async def test_what_was_fetched_earlier_does_not_come_back(world: World, policies: StsPolicies) -> None:
    await policies.of(DOMAIN)
    world.shelf[DOMAIN] = Kept(DOMAIN, "0", policy(mode="none").decode(), world.now - 1, world.now + 604799)
    world.steady += REREAD_AFTER
    world.id = None
    assert shown(await policies.of(DOMAIN)) == CACHED


@scene
async def test_a_broken_shelf_costs_no_policy(world: World, policies: StsPolicies) -> None:
    world.shelf_fails = True
    assert shown(await policies.of(DOMAIN)) == FOUND
    world.id = None
    assert shown(await policies.of(DOMAIN)) == CACHED  # memory has it
    world.shelf_fails = False
    world.id = "2"
    assert shown(await policies.of(DOMAIN)) == ("found", "enforce", "2", True)
    assert world.shelf[DOMAIN].id == "2"


@scene
async def test_a_shelf_that_cannot_be_read_is_no_proof_of_absence(world: World, policies: StsPolicies) -> None:
    world.shelf_fails, world.id = True, None
    finding = await policies.of(DOMAIN)
    assert (finding.policy, finding.state, finding.problem) == (
        None, StsState.LOOKUP_FAILED, "the kept policies cannot be read",
    )  # fmt: skip
    world.shelf_fails = False
    assert await policies.of(DOMAIN) == StsFinding(None, StsState.NONE)


@scene
async def test_a_kept_policy_that_cannot_be_understood_is_fetched_anew(world: World, policies: StsPolicies) -> None:
    world.shelf[DOMAIN] = Kept(DOMAIN, "1", "version: STSv9\n", world.now - 5, world.now + 500)
    assert shown(await policies.of(DOMAIN)) == FOUND
    assert world.shelf[DOMAIN].text == policy().decode()


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sts_policies, "MOST_KEPT", 20)

    async def play() -> None:
        world = World()
        policies = world.policies()
        world.fails()
        for number in range(50):
            world.id = str(number)
            await policies.of(DOMAIN)
        assert len(policies._failed) == 20
        assert len(policies._held) == 0 and len(policies._read_at) == 1 and policies._fetching == {}

    asyncio.run(play())


# ---------------------------------------------------------------- refreshing (section 3.3)


@scene
async def test_a_policy_is_renewed_after_a_day(world: World, policies: StsPolicies) -> None:
    await policies.of(DOMAIN)
    world.now += DAY - 1
    assert await policies.refresh() == 0
    world.now += 2
    world.served = policy(mx="new.school.test")  # the owner forgot to change the id
    assert await policies.refresh() == 1
    finding = await policies.of(DOMAIN)
    assert finding.policy is not None and finding.policy.mx == ("new.school.test",)
    assert world.shelf[DOMAIN].expires_at == world.now + 604800
    assert len(world.fetches) == 2


@scene
async def test_a_short_policy_is_renewed_before_it_ends(world: World, policies: StsPolicies) -> None:
    world.served = policy(3600)
    await policies.of(DOMAIN)
    world.now += 1799
    assert await policies.refresh() == 0
    world.now += 2
    assert await policies.refresh() == 1


@scene
async def test_a_policy_is_renewed_although_dns_is_held_up(world: World, policies: StsPolicies) -> None:
    """Section 10: whoever interferes with DNS must not wear a policy out."""
    await policies.of(DOMAIN)
    world.now += 2 * DAY
    world.dns_fails = True
    assert await world.policies().refresh() == 1
    assert world.shelf[DOMAIN].expires_at == world.now + 604800


@scene
async def test_a_policy_that_is_announced_no_more_runs_out(world: World, policies: StsPolicies) -> None:
    await policies.of(DOMAIN)
    world.id = None
    world.now += 2 * DAY
    assert await policies.refresh() == 0
    assert shown(await policies.of(DOMAIN)) == CACHED
    assert len(world.fetches) == 1


@scene
async def test_a_refresh_that_fails_keeps_the_policy_to_its_end(world: World, policies: StsPolicies) -> None:
    await policies.of(DOMAIN)
    world.fails()
    world.now += 2 * DAY
    assert await policies.refresh() == 0
    assert await policies.refresh() == 0
    assert len(world.fetches) == 2  # five minutes between
    assert shown(await policies.of(DOMAIN)) == FOUND
    world.now = 1_604_800.5
    assert await policies.refresh() == 0
    assert world.shelf == {}
    assert (await policies.of(DOMAIN)).state is StsState.FETCH_FAILED


@scene
async def test_a_clock_that_went_back_leads_to_a_renewal(world: World, policies: StsPolicies) -> None:
    await policies.of(DOMAIN)
    world.now -= 10 * DAY
    assert shown(await policies.of(DOMAIN)) == FOUND
    assert await policies.refresh() == 1


@scene
async def test_a_refresh_without_a_shelf_does_nothing(world: World, policies: StsPolicies) -> None:
    await policies.of(DOMAIN)
    world.shelf_fails = True
    world.now += 2 * DAY
    assert await policies.refresh() == 0
