"""SMTP TLS reporting (RFC 8460 section 3): where the domain wants to hear of failed deliveries.

Guarantees: exactly one record counts. Pure apart from one TXT question.
"""

from __future__ import annotations

from gateway.posture.model import Check, Outcome
from gateway.posture.questions import texts, unanswered
from gateway.transport.resolver import LookupFailed, Resolver
from gateway.transport.tlsrpt import parse_record

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
    wish = parse_record(found)
    if wish is None or not wish.places:
        what = "is malformed" if wish is None else "names no mailto or https place"
        text = f"the TLS-RPT record {what}"
        return Check(NAME, Outcome.FOUND, f"T{text[1:]}.", wrong=(text,))
    places = [place.uri for place in wish.places]
    return Check(NAME, Outcome.FOUND, f"Reports go to {', '.join(places[:3])}.", facts={"rua": places})
