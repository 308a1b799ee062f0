"""Sender Policy Framework (RFC 7208): which servers may send for the domain, as its own record says.

Guarantees: exactly one record counts (section 4.5). The look-ups are those of the record itself; what its includes ask
comes on top, so the number is a lower bound. Pure apart from one TXT question.
"""

from __future__ import annotations

from gateway.posture.model import Check, Outcome
from gateway.posture.questions import texts, unanswered
from gateway.transport.resolver import LookupFailed, Resolver

NAME = "spf"
MOST_LOOKUPS = 10  # section 4.6.4
_ASKING = ("include", "a", "mx", "ptr", "exists", "redirect")
_ALL = {"-": "fail", "~": "softfail", "?": "neutral", "+": "pass"}


async def look(domain: str, resolver: Resolver) -> Check:
    """The SPF record of the domain."""
    try:
        answer = await resolver.lookup(domain, "TXT")
    except LookupFailed as error:
        return unanswered(NAME, error)
    return judge(texts(answer))


def judge(records: tuple[str, ...]) -> Check:
    """What the TXT records of a domain say."""
    policies = [text for text in records if text.lower() == "v=spf1" or text.lower().startswith("v=spf1 ")]
    if not policies:
        return Check(NAME, Outcome.ABSENT, "There is no SPF record.", wrong=("there is no SPF record",))
    if len(policies) > 1:
        text = f"there are {len(policies)} SPF records, which is as good as none"
        return Check(NAME, Outcome.FOUND, f"T{text[1:]}.", facts={"records": len(policies)}, wrong=(text,))
    terms = policies[0].split()[1:]
    last = next((term for term in terms if _mechanism(term) == "all"), "")
    result = _ALL.get(last[:1], "pass") if last else ""
    redirected = any(_mechanism(term) == "redirect" for term in terms)
    lookups = sum(_mechanism(term) in _ASKING for term in terms)
    wrong = []
    if result in ("pass", "neutral"):
        wrong.append(f"SPF ends in {last}, which permits any server")
    if not result and not redirected:
        wrong.append("SPF says nothing of servers that it does not name")
    if lookups > MOST_LOOKUPS:
        wrong.append(f"SPF asks for {lookups} look-ups, {MOST_LOOKUPS} are allowed")
    ends = f"ends in {last}" if last else "redirects" if redirected else "has no end"
    return Check(
        NAME, Outcome.FOUND, f"The SPF record {ends} and asks for at least {lookups} look-ups.",
        facts={"all": result, "redirect": redirected, "lookups": lookups}, wrong=tuple(wrong),
    )  # fmt: skip


def _mechanism(term: str) -> str:
    """The mechanism's or modifier's name of a term such as `-all`, `include:x`, `a/24`, `redirect=x`."""
    term = term.lstrip("+-~?").lower()
    for mark in ":/=":
        term = term.partition(mark)[0]
    return term
