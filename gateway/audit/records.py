"""Builds the rows of the table `record`: one per decision, one per outcome, one per event about a share.

Guarantees: pure and quick. A row never holds message text, a subject, a file name or a matched identifier: only
codes, counts, sizes, digests, addresses of the envelope and sentences of the gateway's own. `content` is compact
ASCII JSON whose fields docs/audit.md documents; "v" is its version. Its size is bounded: of very many parts the
first are listed and the rest counted. Rows hold every column of the table except `seq`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from gateway.model import (
    AttemptResult,
    Decision,
    Enforcement,
    Limb,
    Message,
    MessageFacts,
    NextHop,
    PartFacts,
    Purpose,
    Requirement,
    ShareState,
    TransportEvidence,
)

VERSION = 1
ATTACHMENTS_LISTED = 200
KINDS_LISTED = 50
TEXT_LENGTH = 512

Row = dict[str, object]
Json = dict[str, object]

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


@dataclass(frozen=True, slots=True)
class ShareContext:
    """Whose share an outcome or event is about; the store keeps it beside the share."""

    share: str
    message: str
    agency: str
    partner: str
    sender: str
    recipient: str
    limb: str = ""

    @classmethod
    def of(cls, share: str, message: Message, decision: Decision) -> ShareContext:
        """The context of the share that `decision` is about."""
        return cls(
            share=share,
            message=message.id,
            agency=message.client.agency,
            partner=decision.partner,
            sender=message.envelope.sender,
            recipient=decision.recipient,
            limb=_limb(decision.limb),
        )


def decision_row(
    message: Message,
    header_id: str,
    decision: Decision,
    facts: MessageFacts,
    enforcement: Enforcement,
    at: float,
    *,
    share: str,
) -> Row:
    """The record of one share's decision (5.3.10). `at` is in seconds since the epoch, UTC."""
    content: Json = {
        "v": VERSION,
        "snapshot": decision.snapshot,
        "client": message.client.name,
        "peer": message.peer,
        "tls": message.tls,
        "size": len(message.content),
        "header_id": _clip(header_id),
        "enforcement": enforcement.value,
        "enforced": decision.enforced,
        "facts": facts_json(facts),
        **decision_json(decision),
    }
    return _row("decision", at, ShareContext.of(share, message, decision), decision.verdict.value, content)


def outcome_row(share: ShareContext, state: ShareState, result: AttemptResult | None, reason: str, at: float) -> Row:
    """The record of how one share ended: the final state, the last attempt if there was one, and why."""
    content: Json = {"v": VERSION, "reason": _clip(reason)}
    if result is not None:
        content["attempt"] = attempt_json(result)
    return _row("outcome", at, share, state.value, content)


def event_row(
    name: str,
    who: str,
    why: str,
    at: float,
    share: ShareContext | None = None,
    *,
    decision: Decision | None = None,
    result: AttemptResult | None = None,
    details: Mapping[str, str | int | bool] | None = None,
) -> Row:
    """The record of something that happened to a share, or to the gateway where `share` is None.

    `name` is at most 16 characters, such as "released", "redecided", "applied". `who` is the person or component.
    `decision` is the new one where a share was decided again; `result` an attempt that is not the final one.
    """
    content: Json = {"v": VERSION, "who": _clip(who), "why": _clip(why)}
    if decision is not None:
        content.update(decision_json(decision))
        content.update(snapshot=decision.snapshot, enforced=decision.enforced, verdict=decision.verdict.value)
    if result is not None:
        content["attempt"] = attempt_json(result)
    if details:
        content["details"] = dict(details)
    return _row("event", at, share or _NOBODY, name, content)


def applied_row(snapshot: str, replaced: str, who: str, why: str, at: float) -> Row:
    """The record that a directory was put in force; `replaced` is the snapshot before it, "" for none."""
    return event_row("applied", who, why, at, details={"snapshot": snapshot, "replaced": replaced})


_NOBODY = ShareContext("", "", "", "", "", "", "")


def _row(kind: str, at: float, share: ShareContext, decision: str, content: Json) -> Row:
    return {
        "at": at,
        "kind": kind,
        "share": share.share,
        "message": share.message,
        "agency": share.agency,
        "partner": share.partner,
        "sender": share.sender,
        "recipient": share.recipient,
        "decision": decision,
        "limb": share.limb,
        "content": _encode(content),
    }


# ---------------------------------------------------------------- parts of `content`


def decision_json(decision: Decision) -> Json:
    """The part of `content` that says what was decided and why."""
    return {
        "step": decision.step,
        "limb": _limb(decision.limb),
        "method": decision.method.value if decision.method is not None else "",
        "keys": decision.keys,
        "purpose": _purpose(decision.purpose),
        "reasons": [
            {"step": reason.step, "code": reason.code, "text": reason.text, "clause": reason.clause}
            for reason in decision.reasons
        ],
        "requirement": requirement_json(decision.requirement),
        "next_hop": _next_hop(decision.next_hop),
        "wire_recipient": decision.wire_recipient,
        "subject_tag": decision.subject_tag,
        "evidence": {"strength": decision.strength.label, "scheme": decision.scheme},
        "advice": decision.advice,
    }


def facts_json(facts: MessageFacts) -> Json:
    """What was shared, without any of it: kinds, schemes, sizes, digests, findings, counts of identifiers."""
    headers = facts.headers
    listed = facts.attachments[:ATTACHMENTS_LISTED]
    content: Json = {
        "kind": facts.root.kind,
        "kinds": _kinds(facts.root),
        "whole": facts.whole.label,
        "whole_scheme": facts.whole_scheme,
        "attachments": [_part(part) for part in listed],
        "subject_identifiers": dict(facts.subject_identifiers),
        "body_identifiers": dict(facts.body_identifiers),
        "body_characters": facts.body_characters,
        "password_in_clear": facts.password_in_clear,
        "malformed": facts.malformed,
        "findings": facts.findings[:KINDS_LISTED],
        "recipients": facts.whole_recipients[:KINDS_LISTED],
        "automatic": headers.automatic,
        "tagged": headers.tagged,
        "received": headers.received_count,
    }
    if len(listed) < len(facts.attachments):
        content["attachments_omitted"] = len(facts.attachments) - len(listed)
    return content


def requirement_json(requirement: Requirement) -> Json:
    """What delivery had to prove."""
    return {
        "assurance": requirement.assurance.label,
        "names": requirement.names,
        "pins": requirement.pins,
        "proof": requirement.proof or "",
        "tls_versions": requirement.tls_versions,
        "requiretls": requirement.requiretls,
        "published": requirement.published,
    }


def attempt_json(result: AttemptResult) -> Json:
    """One delivery attempt: what the peer said and what the connection proved."""
    return {
        "outcome": result.outcome.value,
        "status": result.status,
        "reply": _clip(result.reply),
        "remote": result.remote,
        "dsn_relayed": result.dsn_relayed,
        "transport": _transport(result.evidence),
    }


def _part(part: PartFacts) -> Json:
    content: Json = {
        "kind": part.kind,
        "strength": part.strength.label,
        "scheme": part.scheme,
        "encrypted": part.encrypted.value,
        "size": part.size,
        "sha256": part.sha256,
    }
    if part.findings:
        content["findings"] = part.findings[:KINDS_LISTED]
    if part.identifiers:
        content["identifiers"] = dict(part.identifiers)
    if part.recipients:
        content["recipients"] = part.recipients[:KINDS_LISTED]
    return content


def _kinds(root: PartFacts) -> Json:
    """How many parts of each kind the message has, at any depth; of very many kinds the first."""
    counts: dict[str, int] = {}
    waiting = [root]
    while waiting:
        part = waiting.pop()
        if part.kind in counts or len(counts) < KINDS_LISTED:
            counts[part.kind] = counts.get(part.kind, 0) + 1
        waiting.extend(part.parts)
    return dict(counts)


def _purpose(purpose: Purpose | None) -> Json | None:
    if purpose is None:
        return None
    return {
        "purpose": purpose.purpose,
        "basis": purpose.basis,
        "condition": purpose.condition,
        "reference": _clip(purpose.reference),
        "source": purpose.source,
    }


def _next_hop(hop: NextHop | None) -> Json | None:
    if hop is None:
        return None
    return {"host": hop.host, "port": hop.port, "implicit_tls": hop.implicit_tls}


def _transport(evidence: TransportEvidence | None) -> Json | None:
    if evidence is None:
        return None
    return asdict(evidence) | {"assurance": evidence.assurance.label}


def _limb(limb: Limb | None) -> str:
    return limb.value if limb is not None else ""


def _clip(text: str) -> str:
    return text if len(text) <= TEXT_LENGTH else text[: TEXT_LENGTH - 3] + "..."
