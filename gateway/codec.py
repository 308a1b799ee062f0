"""Decisions and facts as JSON text and back: how a decision rests in the store, and facts pass between processes.

Guarantees: `decode(encode(d)) == d`, and the same for facts. Failures: `StoreError` for text that is not a decision
of this version, `EOFError` for octets that are no facts.
"""

from __future__ import annotations

from pydantic import TypeAdapter, ValidationError

from gateway.errors import StoreError
from gateway.model import Decision, MessageFacts

_DECISION = TypeAdapter(Decision)
_FACTS = TypeAdapter(MessageFacts)


def encode(decision: Decision) -> str:
    """The decision as compact JSON."""
    return _DECISION.dump_json(decision).decode()


def decode(text: str) -> Decision:
    """The decision that `encode` wrote."""
    try:
        return _DECISION.validate_json(text)
    except ValidationError as error:
        raise StoreError(f"a stored decision cannot be read: {error.error_count()} faults") from error


def encode_facts(facts: MessageFacts) -> bytes:
    """The facts as compact JSON."""
    return _FACTS.dump_json(facts)


def decode_facts(data: bytes) -> MessageFacts:
    """The facts that `encode_facts` wrote."""
    try:
        return _FACTS.validate_json(data)
    except ValidationError as error:
        raise EOFError(f"no facts: {error.error_count()} faults") from error


def route_key(decision: Decision) -> str:
    """Shares with equal keys go to the same place and must prove the same: they may travel together."""
    hop, need = decision.next_hop, decision.requirement
    where = f"{hop.host}:{hop.port}{'s' if hop.implicit_tls else ''}" if hop else decision.recipient.rpartition("@")[2]
    parts = [where, need.assurance.label, ",".join(need.names), ",".join(need.pins)]
    parts += [need.proof or "", ",".join(need.tls_versions)]
    if decision.wire_recipient:
        parts.append(f"+{decision.wire_recipient.removeprefix(decision.recipient)}")
    parts += [word for word, asked in (("requiretls", need.requiretls), ("unpublished", not need.published)) if asked]
    return "|".join(parts)
