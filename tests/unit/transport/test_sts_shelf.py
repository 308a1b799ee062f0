"""MTA-STS policies across restarts and workers, with a broken shelf, and their renewal (RFC 8461 section 3.3)."""

from __future__ import annotations

import asyncio

import pytest

from gateway.transport import sts_policies
from gateway.transport.sts_policies import REREAD_AFTER, Kept, StsFinding, StsPolicies, StsState
from tests.unit.transport.sts_world import CACHED, DAY, DOMAIN, FOUND, World, policy, scene, shown

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
