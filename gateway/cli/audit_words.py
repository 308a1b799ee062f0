"""The records of one share in words, for somebody who has never seen the program.

Guarantees: pure; says only what the records say; a field that a record lacks is left out, never guessed. Codes get
the catalogue's text where the snapshot that decided is at hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.audit.query import Record
from gateway.cli.transport_words import proven, required
from gateway.directory.model import Snapshot

_VERDICTS = {
    "allow": "Allowed",
    "protect": "To be encrypted by the gateway, then sent",
    "hold": "Held for a person to decide",
    "refuse": "Refused",
}
_LIMBS = {
    "encrypted-attachment": "in an encrypted attachment",
    "secure-domains": "between secure e-mail domains",
    "encrypted-service": "using an encrypted e-mail service",
}
_STATES = {
    "delivered": "Delivered: the recipient's mail server took it over",
    "bounced": "Not delivered: the sender was told",
    "refused": "Not sent: refused",
    "held": "Held",
    "queued": "Waiting to be delivered",
}
_SOURCES = {
    "header": "declared in the message's header",
    "subject-tag": "declared in the subject",
    "sender-rule": "implied by a rule for the sender",
    "partner-rule": "implied by a rule for the partner",
    "policy-default": "the policy's default",
    "person": "said by the person who released it",
}
Json = Mapping[str, Any]


def words_of(records: Sequence[Record], snapshots: Mapping[str, Snapshot | None]) -> list[str]:
    """Lines about one share; `records` are its own, oldest first; `snapshots` by id."""
    first = records[0]
    lines = [f"Share {first.share or '(none)'}" + (f" of message {first.message}" if first.message else "")]
    if first.recipient:
        lines.append(f"  From {first.sender or '<> (a delivery report)'} of {first.agency}")
        lines.append(f"  To   {first.recipient}" + (f" of {first.partner}" if first.partner else " (of no partner)"))
    for record in records:
        tell = {"decision": _decision, "outcome": _outcome}.get(record.kind, _event)
        when = record.time.strftime("%d %B %Y, %H:%M:%S UTC")
        lines.append(f"  {when} - record {record.seq}, {record.kind}")
        lines += [f"    {line}" for line in tell(record, snapshots.get(str(record.content.get("snapshot", ""))))]
    return lines


def _decision(record: Record, snapshot: Snapshot | None) -> list[str]:
    content = record.content
    lines = [_verdict(record.decision, record.limb, content)]
    if content.get("enforced") is False:
        lines.append("Observed only: the message was relayed unchanged whatever the decision.")
    lines += _purpose(content.get("purpose"), snapshot)
    lines += _shared(content)
    lines += _path(content)
    transport = required(_part(content, "requirement"))
    if transport and (record.decision in ("allow", "protect") or content.get("enforced") is False):
        lines.append(f"Transport required: {transport}{_where(content)}.")
    if content.get("wire_recipient"):
        lines.append(f"Addressed on that route to {content['wire_recipient']}.")
    if content.get("subject_tag"):
        lines.append(f"Marked on that route by {content['subject_tag']} before its subject.")
    if content.get("keys"):
        lines.append(f"Encrypted to OpenPGP keys: {', '.join(content['keys'])}.")
    if content.get("advice"):
        lines.append(f"Advice to the sender: {content['advice']}")
    if content.get("client"):
        tls = content.get("tls") or "clear text"
        lines.append(f"Handed over by client {content['client']} at {content.get('peer', '')} over {tls}.")
    if content.get("snapshot"):
        lines.append(f"Decided by snapshot {content['snapshot']}.")
    return lines


def _verdict(verdict: str, limb: str, content: Json) -> str:
    how = f", {_LIMBS.get(limb, limb)}" if limb else ""
    return f"{_VERDICTS.get(verdict, verdict)} at step {content.get('step', '?')}{how} (clause 5.3.4)."


def _purpose(purpose: Any, snapshot: Snapshot | None) -> list[str]:
    if not isinstance(purpose, Mapping):
        return ["Why: no purpose is recorded."]
    source = _SOURCES.get(str(purpose.get("source")), str(purpose.get("source", "")))
    policy = snapshot.policy if snapshot is not None else None
    lines = [f"Why: {_coded(purpose.get('purpose'), policy.purposes if policy else {})} ({source})."]
    if purpose.get("basis"):
        lines.append(f"Legal basis: {_coded(purpose['basis'], policy.bases if policy else {})}.")
    if purpose.get("condition"):
        condition = _coded(purpose["condition"], policy.conditions if policy else {})
        lines.append(f"Special-category condition: {condition}.")
    if purpose.get("reference"):
        lines.append(f"Case reference: {purpose['reference']}.")
    return lines


def _coded(code: Any, catalogue: Mapping[str, str]) -> str:
    text = catalogue.get(str(code), "").rstrip(".;")
    return f"{code}, {text}" if text else str(code)


def _shared(content: Json) -> list[str]:
    facts = _part(content, "facts")
    if not facts:
        return []
    attachments = facts.get("attachments") or []
    omitted = facts.get("attachments_omitted", 0)
    lines = [
        f"What: a message of {content.get('size', '?')} bytes, {facts.get('body_characters', 0)} visible characters, "
        f"{len(attachments) + omitted} attachments."
    ]
    if facts.get("whole", "none") != "none":
        lines.append(f"Encrypted as a whole: {facts['whole']} ({facts.get('whole_scheme', '')}).")
    for number, part in enumerate(attachments, 1):
        scheme = f", {part['scheme']}" if part.get("scheme") else ""
        digest = f", SHA-256 {part['sha256']}" if part.get("sha256") else ""
        lines.append(f"Attachment {number}: {part['kind']}, {part['strength']}{scheme}, {part['size']} bytes{digest}.")
    for name, place in (("subject_identifiers", "the subject"), ("body_identifiers", "the visible text")):
        counts = facts.get(name) or {}
        if counts:
            lines.append(f"Identifiers in {place}: {', '.join(f'{kind} {count}' for kind, count in counts.items())}.")
    return lines


def _path(content: Json) -> list[str]:
    lines = ["How it was decided:"]
    for reason in content.get("reasons") or []:
        clause = f" (clause {reason['clause']})" if reason.get("clause") else ""
        lines.append(f"  step {reason.get('step')}: {reason.get('text')}{clause}")
    return lines


def _where(content: Json) -> str:
    hop = _part(content, "next_hop")
    return f", to {hop.get('host')} port {hop.get('port')}" if hop else ", to the domain's MX"


def _outcome(record: Record, _snapshot: Snapshot | None) -> list[str]:
    lines = [f"{_STATES.get(record.decision, record.decision)}."]
    if record.content.get("reason"):
        lines.append(f"Because: {record.content['reason']}")
    return lines + _attempt(_part(record.content, "attempt"))


def _attempt(attempt: Json) -> list[str]:
    if not attempt:
        return []
    who = attempt.get("remote") or "The gateway"
    lines = [f"{who} said: {attempt.get('reply', '')} (status {attempt.get('status', '')})."]
    transport = _part(attempt, "transport")
    if not transport:
        return [*lines, "No transport was established."]
    return lines + proven(transport)


def _event(record: Record, snapshot: Snapshot | None) -> list[str]:
    content = record.content
    lines = [f"{record.decision} by {content.get('who') or 'the gateway'}: {content.get('why', '')}"]
    if content.get("verdict"):
        lines.append(_verdict(content["verdict"], content.get("limb", ""), content))
        lines += [*_purpose(content.get("purpose"), snapshot), *_path(content)]
    details = _part(content, "details")
    lines += [f"{name}: {value}" for name, value in details.items()]
    return lines + _attempt(_part(content, "attempt"))


def _part(content: Json, name: str) -> Json:
    part = content.get(name)
    return part if isinstance(part, Mapping) else {}
