"""SMTP TLS reporting (RFC 8460 section 3): where the domain wants to hear of failed deliveries.

Guarantees: exactly one record counts. Pure apart from one TXT question.
"""

from __future__ import annotations

from gateway.posture.model import Check, Outcome
from gateway.posture.questions import texts, unanswered
from gateway.transport.resolver import LookupFailed, Resolver

NAME = "tls-rpt"


async def look(domain: str, resolver: Resolver) -> Check:
    """The TLS-RPT record of the domain."""
    try:
        answer = await resolver.lookup(f"_smtp._tls.{domain}", "TXT")
    except LookupFailed as error:
        return unanswered(NAME, error)
    return judge(texts(answer))


def judge(found: tuple[str, ...]) -> Check:
    """What the TXT records say."""
    records = [text for text in found if text.partition(";")[0].rstrip() == "v=TLSRPTv1" and ";" in text]
    if not records:
        return Check(NAME, Outcome.ABSENT, "There is no TLS-RPT record.")
    if len(records) > 1:
        text = f"there are {len(records)} TLS-RPT records, which is as good as none"
        return Check(NAME, Outcome.FOUND, f"T{text[1:]}.", facts={"records": len(records)}, wrong=(text,))
    places: tuple[str, ...] = ()
    for tag in records[0].split(";")[1:]:
        name, equals, value = tag.partition("=")
        if equals and name.strip() == "rua":
            places = tuple(place.strip() for place in value.split(",") if place.strip())
            break
    if not places:
        text = "the TLS-RPT record names no place for reports"
        return Check(NAME, Outcome.FOUND, f"T{text[1:]}.", wrong=(text,))
    known = [place for place in places if place.startswith(("mailto:", "https:"))]
    wrong = () if known else ("the TLS-RPT record names no mailto or https place",)
    said = f"Reports go to {', '.join(places[:3])}."
    return Check(NAME, Outcome.FOUND, said, facts={"rua": list(places)}, wrong=wrong)
