"""DMARC (RFC 7489): what receivers are asked to do with mail that only pretends to come from the domain.

Guarantees: the record of the domain itself, else that of its organisational domain by the public-suffix list (sections
3.2 and 6.6.3); several records are none. Pure apart from one or two TXT questions.
"""

from __future__ import annotations

from functools import cache

from publicsuffixlist import PublicSuffixList

from gateway.posture.model import Check, Outcome
from gateway.posture.questions import texts, unanswered
from gateway.transport.resolver import LookupFailed, Resolver

NAME = "dmarc"
_POLICIES = ("none", "quarantine", "reject")
_WEAK = "DMARC asks receivers to do nothing about forged mail (p=none)"


async def look(domain: str, resolver: Resolver) -> Check:
    """The DMARC policy that holds for the domain."""
    above = organisational(domain)
    for name in dict.fromkeys((domain, above)):
        try:
            answer = await resolver.lookup(f"_dmarc.{name}", "TXT")
        except LookupFailed as error:
            return unanswered(NAME, error)
        records = [text for text in texts(answer) if is_record(text)]
        if len(records) == 1:
            return judge(records[0], name, inherited=name != domain)
        if len(records) > 1:
            text = f"{name} has {len(records)} DMARC records, which is as good as none"
            return Check(NAME, Outcome.FOUND, f"{text}.", facts={"records": len(records)}, wrong=(text,))
    return Check(NAME, Outcome.ABSENT, "There is no DMARC record.", wrong=("there is no DMARC record",))


@cache
def _suffixes() -> PublicSuffixList:
    return PublicSuffixList()


def organisational(domain: str) -> str:
    """The organisational domain (section 3.2): one label more than the public suffix; the domain itself at least."""
    return _suffixes().privatesuffix(domain) or domain


def is_record(text: str) -> bool:
    """True for a text whose first tag is v=DMARC1 (section 6.3)."""
    name, _, value = text.partition(";")[0].partition("=")
    return name.strip() == "v" and value.strip() == "DMARC1"


def judge(record: str, owner: str, *, inherited: bool) -> Check:
    """What a record asks for; `inherited` where it is the organisational domain's."""
    tags: dict[str, str] = {}
    for tag in record.split(";")[1:]:
        name, equals, value = tag.partition("=")
        if equals:
            tags.setdefault(name.strip().lower(), value.strip())
    own, below = tags.get("p", "").lower(), tags.get("sp", "").lower()
    policy = (below or own) if inherited else own
    facts = {"owner": owner, "p": own, "sp": below, "policy": policy, "reports": tags.get("rua", "")}
    if policy not in _POLICIES:
        # Section 6.6.3: with a place for reports it counts as p=none, without one it counts for nothing.
        text = f"the DMARC record of {owner} names no policy that is known"
        return Check(NAME, Outcome.FOUND, f"{text[0].upper()}{text[1:]}.", facts=facts, wrong=(text,))
    wrong = (_WEAK,) if policy == "none" else ()
    where = f"by the record of {owner}" if inherited else "by its own record"
    return Check(NAME, Outcome.FOUND, f"The DMARC policy is {policy}, {where}.", facts=facts, wrong=wrong)
