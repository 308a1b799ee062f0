"""DNS as unbound validates it and NSD serves it: secure, insecure, absent and failed are told apart, always."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator

import pytest
import uvloop

from gateway.transport.resolver import Answer, Failure, LookupFailed, Resolver
from tests.support.dns import STATES, DnsWorld, Zone, world

Run = Callable[[Coroutine[object, object, object]], object]
MAIL = "@ MX 10 mx\nmx A 127.0.0.2\n_25._tcp.mx TLSA 3 1 1 " + "9f" * 32
CHAINS = "\n".join(
    [
        "here CNAME mx.signed.test.",
        "twice CNAME here",
        "insecure CNAME mx.unsigned.test.",
        "missing CNAME nothing.signed.test.",
        "nodata CNAME mx.signed.test.",
        "broken CNAME mx.expired.test.",
        "silent CNAME mx.servfail.test.",
        "loop CNAME pool",
        "pool CNAME loop",
        "*.wild A 127.0.0.9",
        "Mixed-Case A 127.0.0.7",
    ]
)


@pytest.fixture(params=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine under either event loop."""
    return uvloop.run if request.param == "uvloop" else asyncio.run  # type: ignore[return-value]


@pytest.fixture(scope="module")
def dns() -> Iterator[DnsWorld]:
    zones = {f"{state}.test": Zone(MAIL, state=state) for state in STATES}
    zones |= {
        "chains.test": Zone(CHAINS),
        "large.test": Zone("\n".join(f'@ TXT "{number:03} {"x" * 240}"' for number in range(60))),
        "many.test": Zone("\n".join(f"h{number} A 127.0.0.1" for number in range(1000))),
        "unsigned-chains.test": Zone("to-signed CNAME mx.signed.test.", state="unsigned"),
        "within.example": Zone("@ MX 0 ."),
        "deep.within.example": Zone(MAIL, state="bogus"),
    }
    with world(zones) as made:
        yield made


async def said(dns: DnsWorld, name: str, kind: str, **options: object) -> Answer | Failure:
    """One lookup by a resolver of its own."""
    try:
        return await Resolver((dns.resolver,), **options).lookup(name, kind)  # type: ignore[arg-type]
    except LookupFailed as error:
        assert (error.name, error.kind) == (name, kind)
        return error.failure


# ---------------------------------------------------------------- what each state of a zone comes to


def test_a_signed_zone_is_secure(run: Run, dns: DnsWorld) -> None:
    async def scene() -> None:
        assert await said(dns, "signed.test", "MX") == Answer(("10 mx.signed.test.",), True, True, "signed.test")
        tlsa = await said(dns, "_25._tcp.mx.signed.test", "TLSA")
        assert tlsa == Answer(("3 1 1 " + "9f" * 32,), True, True, "_25._tcp.mx.signed.test")
        nodata = await said(dns, "mx.signed.test", "AAAA")
        assert nodata == Answer((), True, True, "mx.signed.test")
        nothing = await said(dns, "nothing.signed.test", "TLSA")
        assert nothing == Answer((), False, True, "nothing.signed.test")

    run(scene())


def test_an_unsigned_zone_is_insecure(run: Run, dns: DnsWorld) -> None:
    async def scene() -> None:
        assert await said(dns, "unsigned.test", "MX") == Answer(("10 mx.unsigned.test.",), True, False, "unsigned.test")
        assert await said(dns, "mx.unsigned.test", "AAAA") == Answer((), True, False, "mx.unsigned.test")
        nothing = await said(dns, "nothing.unsigned.test", "TLSA")
        assert nothing == Answer((), False, False, "nothing.unsigned.test")

    run(scene())


@pytest.mark.parametrize("state", ["expired", "bogus", "wrong-ds", "missing-rrsig"])
def test_broken_signatures_are_bogus_for_records_and_for_absences(run: Run, dns: DnsWorld, state: str) -> None:
    async def scene() -> None:
        for name, kind in ((f"{state}.test", "MX"), (f"mx.{state}.test", "AAAA"), (f"nothing.{state}.test", "TLSA")):
            for _ in range(2):  # the second comes from the resolver's cache
                assert await said(dns, name, kind) is Failure.BOGUS, (name, kind)

    run(scene())


def test_an_absence_without_proof_is_bogus(run: Run, dns: DnsWorld) -> None:
    async def scene() -> None:
        found = await said(dns, "missing-nsec.test", "MX")
        assert isinstance(found, Answer) and found.secure and found.records
        assert await said(dns, "mx.missing-nsec.test", "AAAA") is Failure.BOGUS
        assert await said(dns, "nothing.missing-nsec.test", "TLSA") is Failure.BOGUS
        assert await said(dns, "_25._tcp.missing-nsec.test", "TLSA") is Failure.BOGUS

    run(scene())


@pytest.mark.parametrize("state", ["servfail", "refused", "garbage"])
def test_a_zone_whose_servers_fail_is_a_server_failure(run: Run, dns: DnsWorld, state: str) -> None:
    async def scene() -> None:
        assert await said(dns, f"{state}.test", "MX") is Failure.SERVFAIL
        assert await said(dns, f"nothing.{state}.test", "TLSA") is Failure.SERVFAIL

    run(scene())


def test_a_zone_whose_servers_are_silent_is_a_server_failure(dns: DnsWorld) -> None:
    assert asyncio.run(said(dns, "timeout.test", "MX")) is Failure.SERVFAIL


def test_what_the_resolver_itself_refuses_is_refused(run: Run, dns: DnsWorld) -> None:
    assert run(said(dns, "elsewhere", "MX")) is Failure.REFUSED


def test_a_bogus_zone_inside_a_secure_one(run: Run, dns: DnsWorld) -> None:
    async def scene() -> None:
        null = await said(dns, "within.example", "MX")
        assert null == Answer(("0 .",), True, True, "within.example")
        assert await said(dns, "deep.within.example", "MX") is Failure.BOGUS

    run(scene())


# ---------------------------------------------------------------- a resolver that fails


def test_a_resolver_that_only_fails(run: Run, dns: DnsWorld) -> None:
    async def scene() -> None:
        for reply, expected in (("servfail", Failure.SERVFAIL), ("refused", Failure.REFUSED)):
            with pytest.raises(LookupFailed) as caught:
                await Resolver((dns.broken(reply),)).lookup("signed.test", "MX")
            assert caught.value.failure is expected
            assert str(caught.value).startswith("looking up MX of signed.test failed: ")

    run(scene())


@pytest.mark.parametrize("reply", ["timeout", "garbage"])
def test_a_resolver_that_says_nothing_of_use_is_given_up(
    dns: DnsWorld, reply: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.transport.resolver.LOOKUP_TIMEOUT", 1.0)

    async def scene() -> None:
        started = time.monotonic()
        with pytest.raises(LookupFailed) as caught:
            await Resolver((dns.broken(reply),)).lookup("signed.test", "MX")
        assert caught.value.failure is Failure.TIMEOUT and time.monotonic() - started < 2.5

    asyncio.run(scene())


def test_the_second_resolver_answers_where_the_first_fails(run: Run, dns: DnsWorld) -> None:
    async def scene() -> None:
        answer = await Resolver((dns.broken("refused"), dns.resolver)).lookup("signed.test", "MX")
        assert answer.secure and answer.records == ("10 mx.signed.test.",)
        with pytest.raises(LookupFailed) as caught:
            await Resolver((dns.broken("servfail"), dns.resolver)).lookup("expired.test", "MX")
        assert caught.value.failure is Failure.BOGUS

    run(scene())


# ---------------------------------------------------------------- aliases


def test_chains_of_aliases(run: Run, dns: DnsWorld) -> None:
    async def scene() -> None:
        found = await said(dns, "twice.chains.test", "A")
        aliases = ("here.chains.test", "mx.signed.test")
        assert found == Answer(("127.0.0.2",), True, True, "mx.signed.test", aliases)
        found = await said(dns, "nodata.chains.test", "AAAA")
        assert found == Answer((), True, True, "mx.signed.test", ("mx.signed.test",))
        found = await said(dns, "missing.chains.test", "A")
        assert found == Answer((), False, True, "nothing.signed.test", ("nothing.signed.test",))
        found = await said(dns, "to-signed.unsigned-chains.test", "A")
        assert found == Answer(("127.0.0.2",), True, False, "mx.signed.test", ("mx.signed.test",))

    run(scene())


def test_a_secure_alias_of_an_insecure_host(run: Run, dns: DnsWorld) -> None:
    """RFC 7672 section 2.2.2: the address is insecure, but the alias itself is known to be as it is."""

    async def scene() -> None:
        found = await said(dns, "insecure.chains.test", "A")
        assert found == Answer(("127.0.0.2",), True, False, "mx.unsigned.test", ("mx.unsigned.test",))
        found = await said(dns, "insecure.chains.test", "CNAME")
        assert found == Answer(("mx.unsigned.test.",), True, True, "insecure.chains.test")
        found = await said(dns, "mx.signed.test", "CNAME")
        assert found == Answer((), True, True, "mx.signed.test")
        found = await said(dns, "to-signed.unsigned-chains.test", "CNAME")
        assert found == Answer(("mx.signed.test.",), True, False, "to-signed.unsigned-chains.test")

    run(scene())


def test_an_alias_into_a_failure_fails(run: Run, dns: DnsWorld) -> None:
    async def scene() -> None:
        assert await said(dns, "broken.chains.test", "A") is Failure.BOGUS
        assert await said(dns, "silent.chains.test", "A") is Failure.SERVFAIL
        looped = await said(dns, "loop.chains.test", "A")
        assert isinstance(looped, Failure), looped

    run(scene())


def test_wildcards_and_spelling(run: Run, dns: DnsWorld) -> None:
    async def scene() -> None:
        found = await said(dns, "any.wild.chains.test", "A")
        assert isinstance(found, Answer) and found.secure and found.records == ("127.0.0.9",)
        resolver = Resolver((dns.resolver,))
        first = await resolver.lookup("MIXED-case.Chains.TEST.", "A")
        assert first == Answer(("127.0.0.7",), True, True, "mixed-case.chains.test")
        before = dns.queries
        assert await resolver.lookup("mixed-case.chains.test", "A") == first
        assert dns.queries == before

    run(scene())


def test_a_large_answer_comes_by_tcp(run: Run, dns: DnsWorld) -> None:
    found = run(said(dns, "large.test", "TXT"))
    assert isinstance(found, Answer) and found.secure and len(found.records) == 60
    assert len(set(found.records)) == 60 and all(len(record) == 246 for record in found.records)


# ---------------------------------------------------------------- whose word is believed


def test_the_word_of_the_resolver_is_believed_only_where_it_may_be(run: Run, dns: DnsWorld) -> None:
    elsewhere = "192.0.2.53"  # never asked: the first resolver answers

    async def secure(trust: str, *servers: str) -> bool:
        resolver = Resolver((dns.resolver, *servers), trust)  # type: ignore[arg-type]
        return (await resolver.lookup("signed.test", "MX")).secure

    async def scene() -> None:
        assert await secure("loopback") and await secure("trusted") and not await secure("off")
        assert not await secure("loopback", elsewhere)
        assert await secure("trusted", elsewhere)
        assert await secure("loopback", "::1")
        assert await said(dns, "bogus.test", "MX", trust="off") is Failure.BOGUS

    run(scene())


# ---------------------------------------------------------------- time to live


def test_answers_and_absences_are_kept_for_their_ttl_and_no_longer(dns: DnsWorld) -> None:
    async def scene() -> None:
        dns.change("brief.test", Zone("@ MX 10 old", ttl=2, negative_ttl=2))
        resolver = Resolver((dns.resolver,))
        assert (await resolver.lookup("brief.test", "MX")).records == ("10 old.brief.test.",)
        assert not (await resolver.lookup("mx.brief.test", "A")).exists
        asked = time.monotonic()
        dns.change("brief.test", Zone("@ MX 10 new\nmx A 127.0.0.3", ttl=2, negative_ttl=2))
        before = dns.queries
        assert (await resolver.lookup("brief.test", "MX")).records == ("10 old.brief.test.",)
        assert not (await resolver.lookup("mx.brief.test", "A")).exists
        assert dns.queries == before and time.monotonic() - asked < 1.5
        await asyncio.sleep(2.1 - (time.monotonic() - asked))
        assert (await resolver.lookup("brief.test", "MX")).records == ("10 new.brief.test.",)
        assert (await resolver.lookup("mx.brief.test", "A")).records == ("127.0.0.3",)
        dns.change("brief.test", Zone("@ MX 10 newer"))
        resolver.forget("Brief.test.", "MX")
        assert (await resolver.lookup("brief.test", "MX")).records == ("10 newer.brief.test.",)

    asyncio.run(scene())


def test_a_ttl_of_nought_is_not_kept(dns: DnsWorld) -> None:
    async def scene() -> None:
        dns.change("never.test", Zone("@ MX 10 mx", ttl=0, negative_ttl=0))
        resolver = Resolver((dns.resolver,))
        before = dns.queries
        for _ in range(3):
            await resolver.lookup("never.test", "MX")
            await resolver.lookup("nothing.never.test", "MX")
        assert dns.queries == before + 6

    asyncio.run(scene())


@pytest.mark.parametrize("state", ["expired", "bogus", "wrong-ds", "missing-rrsig", "servfail", "refused"])
def test_what_was_broken_is_found_the_moment_it_is_mended(dns: DnsWorld, state: str) -> None:
    async def scene() -> None:
        dns.change("mended.test", Zone(MAIL, state=state))
        resolver = Resolver((dns.resolver,))
        for _ in range(2):
            with pytest.raises(LookupFailed):
                await resolver.lookup("mended.test", "MX")
        dns.change("mended.test", Zone(MAIL))
        assert (await resolver.lookup("mended.test", "MX")).secure

    asyncio.run(scene())


def test_a_resolver_that_was_away_is_used_as_soon_as_it_is_back(
    dns: DnsWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.transport.resolver.LOOKUP_TIMEOUT", 0.5)

    async def scene() -> None:
        resolver = Resolver((dns.resolver,))
        dns.stop()
        try:
            with pytest.raises(LookupFailed) as caught:
                await resolver.lookup("signed.test", "MX")
            assert caught.value.failure is Failure.TIMEOUT
        finally:
            dns.start()
        assert (await resolver.lookup("signed.test", "MX")).secure

    asyncio.run(scene())


# ---------------------------------------------------------------- how many, how fast


def test_a_thousand_names_at_once_and_again_from_what_is_kept(run: Run, dns: DnsWorld) -> None:
    dns.flush()

    async def scene() -> None:
        resolver = Resolver((dns.resolver,))
        started = time.monotonic()
        answers = await asyncio.gather(*(resolver.lookup(f"h{number}.many.test", "A") for number in range(1000)))
        uncached = time.monotonic() - started
        assert all(answer.secure and answer.records == ("127.0.0.1",) for answer in answers)
        before, started = dns.queries, time.monotonic()
        for number in range(1000):
            await resolver.lookup(f"h{number}.many.test", "A")
        kept = time.monotonic() - started
        assert dns.queries == before
        print(f"1000 lookups: {uncached:.2f} s through unbound, {kept * 1000:.1f} ms from what is kept")
        assert uncached < 10 and kept < 0.1

    run(scene())


def test_the_same_question_is_sent_once(run: Run, dns: DnsWorld) -> None:
    async def scene() -> None:
        resolver = Resolver((dns.resolver,))
        before = dns.queries
        asked = [asyncio.ensure_future(resolver.lookup("signed.test", "MX")) for _ in range(50)]
        await asyncio.sleep(0)
        asked[0].cancel()  # one who goes away takes the answer from nobody
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(answers[0], asyncio.CancelledError)
        assert all(isinstance(answer, Answer) and answer.secure for answer in answers[1:])
        assert dns.queries == before + 1

    run(scene())
