"""What the resolver makes of answers, and how it keeps and shares them, without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.resolver
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import StartupError, TemporaryError
from gateway.transport import resolver as module
from gateway.transport.resolver import Answer, Failure, LookupFailed, Resolver

Reply = Callable[[str, str], dns.message.QueryMessage]


def reply(
    name: str, kind: str, *, answer: str = "", authority: str = "", rcode: str = "NOERROR", ad: bool = True
) -> dns.message.QueryMessage:
    """A response as a resolver would send it, from its text form."""
    flags = "QR RD RA AD" if ad else "QR RD RA"
    text = f"id 1\nopcode QUERY\nrcode {rcode}\nflags {flags}\n;QUESTION\n{name or '.'} IN {kind}\n"
    for section, records in (("ANSWER", answer), ("AUTHORITY", authority)):
        text += f";{section}\n{records}\n" if records else ""  # a blank line would end the message
    return dns.message.from_text(text)


class Fake:
    """Stands for dnspython's resolver: answers by a function, counts what it is asked."""

    nameservers = ("192.0.2.53",)

    def __init__(self, respond: Reply) -> None:
        self.respond, self.asked, self.at_once, self.most = respond, [], 0, 0

    async def resolve(self, name: dns.name.Name, kind: str, **options: object) -> dns.resolver.Answer:
        assert options == {"raise_on_no_answer": False, "search": False}
        self.asked.append((str(name), kind))
        self.at_once += 1
        self.most = max(self.most, self.at_once)
        await asyncio.sleep(0)
        self.at_once -= 1
        response = self.respond(str(name), kind)
        if response.rcode() == dns.rcode.NXDOMAIN:
            raise dns.resolver.NXDOMAIN(qnames=[name], responses={name: response})
        return dns.resolver.Answer(name, dns.rdatatype.from_text(kind), dns.rdataclass.IN, response)


def resolver(respond: Reply) -> tuple[Resolver, Fake]:
    made = Resolver(("127.0.0.1",))
    made._resolver = fake = Fake(respond)  # type: ignore[assignment]
    return made, fake


def asked(respond: Reply, name: str = "school.test", kind: str = "MX") -> Answer:
    return asyncio.run(resolver(respond)[0].lookup(name, kind))


SOA = "test. 60 IN SOA ns.test. hostmaster.test. 1 3600 600 86400 30"


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    "server", ["dns.school.test", "", "127.0.0.1@", "127.0.0.1@dns", "127.0.0.1@0", "127.0.0.1@65536", "127.0.0.1@-1",
               "127.0.0.1:53", "::1@x"]
)  # fmt: skip
def test_what_is_no_resolver_stops_the_start(server: str) -> None:
    if server == "127.0.0.1@":
        assert Resolver((server,)).trusted  # the port is left to the default
        return
    with pytest.raises(StartupError, match="no DNS resolver can be used"):
        Resolver((server,))


@pytest.mark.parametrize(
    ("servers", "trust", "trusted"),
    [
        (("127.0.0.1",), "loopback", True),
        (("127.3.2.1@5353", "::1"), "loopback", True),
        (("127.0.0.1", "192.0.2.53"), "loopback", False),
        (("192.0.2.53",), "loopback", False),
        (("::ffff:192.0.2.53",), "loopback", False),
        (("0.0.0.0",), "loopback", False),
        (("192.0.2.53",), "trusted", True),
        (("127.0.0.1",), "off", False),
    ],
)
def test_whose_word_is_believed(servers: tuple[str, ...], trust: str, trusted: bool) -> None:
    assert Resolver(servers, trust).trusted is trusted  # type: ignore[arg-type]


def test_the_bit_alone_secures_nothing() -> None:
    for trust, secure in (("loopback", True), ("off", False)):
        made = Resolver(("127.0.0.1",), trust)  # type: ignore[arg-type]
        made._resolver = Fake(lambda n, k: reply(n, k, answer=f"{n} 60 IN MX 10 mx.school.test."))  # type: ignore[assignment]
        assert asyncio.run(made.lookup("school.test", "MX")).secure is secure


# ---------------------------------------------------------------- answers


def test_without_the_bit_an_answer_is_insecure() -> None:
    found = asked(lambda n, k: reply(n, k, answer=f"{n} 60 IN MX 10 MX.School.test.", ad=False))
    assert found == Answer(("10 MX.School.test.",), True, False, "school.test")


def test_records_of_another_name_in_the_answer_do_not_count() -> None:
    found = asked(lambda n, k: reply(n, k, answer="other.test. 60 IN MX 10 mx.other.test.", authority=SOA))
    assert found == Answer((), True, True, "school.test")


def test_an_absence_behind_an_alias() -> None:
    answer = "school.test. 60 IN CNAME Gone.test."
    found = asked(lambda n, k: reply(n, k, answer=answer, authority=SOA, rcode="NXDOMAIN"))
    assert found == Answer((), False, True, "gone.test", ("gone.test",))


@pytest.mark.parametrize("name", ["a..test", ".test", "x" * 64 + ".test", "x." * 130, "\ud800.test", "é" * 70])
def test_what_is_no_name_is_malformed(name: str) -> None:
    with pytest.raises(LookupFailed) as caught:
        asked(lambda n, k: reply(n, k), name=name)
    assert caught.value.failure is Failure.MALFORMED and isinstance(caught.value, TemporaryError)


def test_what_is_no_type_is_malformed() -> None:
    with pytest.raises(LookupFailed) as caught:
        asyncio.run(Resolver(("127.0.0.1",)).lookup("school.test", "NONSENSE"))
    assert caught.value.failure is Failure.MALFORMED


@given(st.text(max_size=300))
def test_no_name_brings_the_resolver_down(name: str) -> None:
    try:
        found = asked(lambda n, k: reply("school.test.", "MX", authority=SOA), name=name)
    except LookupFailed as error:
        assert error.failure is Failure.MALFORMED
    else:
        assert found.records == ()


# ---------------------------------------------------------------- failures


def failing(*responses: dns.message.QueryMessage | Exception) -> Failure:
    """What is made of resolvers that gave these responses."""
    errors = [
        ("192.0.2.53", False, 53, each if isinstance(each, Exception) else dns.rcode.to_text(each.rcode()),
         None if isinstance(each, Exception) else each)
        for each in responses
    ]  # fmt: skip

    def respond(name: str, kind: str) -> dns.message.QueryMessage:
        raise dns.resolver.NoNameservers(request=dns.message.make_query(name, kind), errors=errors)

    made, fake = resolver(respond)
    fake.nameservers = ()  # type: ignore[assignment]
    with pytest.raises(LookupFailed) as caught:
        asyncio.run(made.lookup("school.test", "MX"))
    return caught.value.failure


def failed(rcode: str, *codes: int) -> dns.message.QueryMessage:
    response = reply("school.test.", "MX", rcode=rcode)
    response.use_edns(0, options=[dns.edns.EDEOption(code) for code in codes])
    return response


def test_resolvers_say_why_they_failed() -> None:
    assert failing(failed("SERVFAIL", 6)) is Failure.BOGUS
    assert failing(failed("SERVFAIL", 22, 7)) is Failure.BOGUS
    assert failing(failed("REFUSED"), failed("SERVFAIL", 10)) is Failure.BOGUS
    assert failing(failed("SERVFAIL", 22)) is Failure.SERVFAIL
    assert failing(failed("SERVFAIL", 60000)) is Failure.SERVFAIL
    assert failing(failed("REFUSED"), failed("SERVFAIL")) is Failure.SERVFAIL
    assert failing(failed("REFUSED", 18)) is Failure.REFUSED
    assert failing(failed("NOTAUTH")) is Failure.REFUSED
    assert failing(failed("FORMERR")) is Failure.MALFORMED
    assert failing(dns.exception.FormError()) is Failure.MALFORMED
    assert failing(OSError("unreachable")) is Failure.TIMEOUT
    assert failing(OSError("unreachable"), dns.exception.FormError()) is Failure.MALFORMED


def test_every_failure_says_what_happened() -> None:
    for failure in Failure:
        error = LookupFailed("school.test", "MX", failure)
        assert isinstance(error, TemporaryError)
        assert str(error).startswith("looking up MX of school.test failed: ")


# ---------------------------------------------------------------- keeping and sharing


def test_answers_are_kept_for_the_least_ttl_on_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    chain = "school.test. 20 IN CNAME mx.test.\nmx.test. 300 IN A 192.0.2.1"
    made, fake = resolver(lambda n, k: reply(n, k, answer=chain))
    for seconds, questions in ((0, 1), (19.9, 1), (20.1, 2), (39.9, 2), (40.2, 3)):
        now = 1000.0 + seconds
        asyncio.run(made.lookup("school.test", "A"))
        assert len(fake.asked) == questions, seconds


@pytest.mark.parametrize(
    ("authority", "rcode", "seconds"),
    [
        (SOA, "NOERROR", 30),
        (SOA, "NXDOMAIN", 30),
        (SOA.replace(" 60 ", " 10 "), "NXDOMAIN", 10),
        (SOA.replace(" 30", " 0"), "NXDOMAIN", 0),
        ("", "NOERROR", 0),
        ("", "NXDOMAIN", 0),
    ],
)
def test_absences_are_kept_for_what_the_soa_allows(
    monkeypatch: pytest.MonkeyPatch, authority: str, rcode: str, seconds: int
) -> None:
    now = 1000.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    made, fake = resolver(lambda n, k: reply(n, k, authority=authority, rcode=rcode))
    asyncio.run(made.lookup("school.test", "A"))
    now += seconds - 0.1
    asyncio.run(made.lookup("school.test", "A"))
    assert len(fake.asked) == (1 if seconds else 2)
    now += 0.2
    asyncio.run(made.lookup("school.test", "A"))
    assert len(fake.asked) == (2 if seconds else 3)


def test_nothing_is_kept_longer_than_the_most(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    made, fake = resolver(lambda n, k: reply(n, k, answer=f"{n} 2147483647 IN A 192.0.2.1"))
    asyncio.run(made.lookup("school.test", "A"))
    now += module.LONGEST_KEPT + 1
    asyncio.run(made.lookup("school.test", "A"))
    assert len(fake.asked) == 2


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_KEPT", 10)
    made, fake = resolver(lambda n, k: reply(n, k, answer=f"{n} 60 IN A 192.0.2.1"))

    async def scene() -> None:
        for number in range(100):
            await made.lookup(f"h{number}.test", "A")
        assert len(made._kept) == 10
        await made.lookup("h99.test", "A")
        assert len(fake.asked) == 100
        await made.lookup("h0.test", "A")
        assert len(fake.asked) == 101

    asyncio.run(scene())


def test_failures_are_not_kept() -> None:
    broken = True

    def respond(name: str, kind: str) -> dns.message.QueryMessage:
        if broken:
            raise dns.resolver.LifetimeTimeout(timeout=1, errors=[])
        return reply(name, kind, answer=f"{name} 60 IN MX 10 mx.school.test.")

    made, fake = resolver(respond)

    async def scene() -> None:
        nonlocal broken
        for _ in range(2):
            with pytest.raises(LookupFailed) as caught:
                await made.lookup("school.test", "MX")
            assert caught.value.failure is Failure.TIMEOUT
        broken = False
        assert (await made.lookup("school.test", "MX")).records
        assert len(fake.asked) == 3

    asyncio.run(scene())


def test_a_failure_is_told_to_all_who_asked_and_then_forgotten() -> None:
    def respond(name: str, kind: str) -> dns.message.QueryMessage:
        raise dns.resolver.LifetimeTimeout(timeout=1, errors=[])

    made, fake = resolver(respond)

    async def scene() -> None:
        found = await asyncio.gather(*(made.lookup("school.test", "MX") for _ in range(5)), return_exceptions=True)
        assert all(isinstance(each, LookupFailed) for each in found) and len(fake.asked) == 1
        assert not made._under_way

    asyncio.run(scene())


def test_no_more_than_so_many_questions_are_under_way() -> None:
    made, fake = resolver(lambda n, k: reply(n, k, answer=f"{n} 60 IN A 192.0.2.1"))

    async def scene() -> None:
        await asyncio.gather(*(made.lookup(f"h{number}.test", "A") for number in range(500)))
        assert len(fake.asked) == 500 and fake.most == module.AT_ONCE

    asyncio.run(scene())
