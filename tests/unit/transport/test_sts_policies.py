"""Which policy is in force, as time, DNS and policy host change: each step of RFC 8461 sections 3.3 and 5.1."""

from __future__ import annotations

import asyncio

import pytest

from gateway.transport import sts_policies
from gateway.transport.sts_fetch import FetchFault
from gateway.transport.sts_policies import FETCH_PAUSE, Kept, StsFinding, StsPolicies, StsState
from tests.unit.transport.sts_world import CACHED, DOMAIN, FOUND, World, policy, scene, shown

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
        assert 0.04 < asyncio.get_running_loop().time() - began < 5
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
        for _ in range(200):
            assert shown(await policies.of(DOMAIN)) == CACHED
        assert asyncio.get_running_loop().time() - began < 5  # twice as long if each of them waited
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
