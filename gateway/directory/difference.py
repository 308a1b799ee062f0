"""What changes from one snapshot to the next, in words that an administrator can approve.

Guarantees: pure; every difference between two snapshots appears, and equal snapshots have none. Failures: none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from gateway.directory.model import Partner, Policy, RegisterEntry, Snapshot


class ChangeKind(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `before` is "" for what is added, `after` "" for what is removed."""

    kind: ChangeKind
    what: str  # "partner cafcass", "partner cafcass: keys", "domain uhb.nhs.example: valid until", "policy transport"
    before: str
    after: str


def difference(old: Snapshot | None, new: Snapshot) -> tuple[Change, ...]:
    """Every change from `old` to `new`: partners, then register, then policy. All is added where `old` is None."""
    changes: list[Change] = []
    changes += _changes("partner", _partners(old), _partners(new))
    changes += _changes("domain", _register(old), _register(new))
    before = {} if old is None else _policy(old.policy)
    after = _policy(new.policy)
    for group in sorted(before.keys() | after.keys()):
        changes += _fields(f"{group} ", before.get(group, {}), after.get(group, {}))
    return tuple(changes) or _order(old, new)


def _order(old: Snapshot | None, new: Snapshot) -> tuple[Change, ...]:
    """Equal content in another order, or spelled out where it was left to the default, still has another id."""
    if old is None or old.id == new.id:
        return ()
    return (Change(ChangeKind.CHANGED, "order of the entries", old.id[:12], new.id[:12]),)


Fields = dict[str, str]


def _changes(noun: str, before: Mapping[str, Fields], after: Mapping[str, Fields]) -> list[Change]:
    changes = []
    for name in [*after, *(name for name in before if name not in after)]:
        if name not in before:
            changes.append(Change(ChangeKind.ADDED, f"{noun} {name}", "", _summary(after[name])))
        elif name not in after:
            changes.append(Change(ChangeKind.REMOVED, f"{noun} {name}", _summary(before[name]), ""))
        else:
            changes += _fields(f"{noun} {name}: ", before[name], after[name])
    return changes


def _fields(where: str, before: Fields, after: Fields) -> list[Change]:
    changes = []
    for name in [*after, *(name for name in before if name not in after)]:
        old, new = before.get(name, ""), after.get(name, "")
        if old == new:
            continue
        kind = ChangeKind.CHANGED if old and new else ChangeKind.ADDED if new else ChangeKind.REMOVED
        changes.append(Change(kind, f"{where}{name}", old, new))
    return changes


def _summary(fields: Fields) -> str:
    return "; ".join(f"{name} {value}" for name, value in fields.items() if value not in ("", "no"))


def _partners(snapshot: Snapshot | None) -> dict[str, Fields]:
    partners: tuple[Partner, ...] = () if snapshot is None else snapshot.partners
    return _unique((partner.id, _dump(partner, "id")) for partner in partners)


def _register(snapshot: Snapshot | None) -> dict[str, Fields]:
    entries: tuple[RegisterEntry, ...] = () if snapshot is None else snapshot.register_
    return _unique((entry.domain, _dump(entry, "domain")) for entry in entries)


def _unique(pairs: Any) -> dict[str, Fields]:
    """As dict(pairs), but a name that comes again (which `gateway check` refuses) stays visible."""
    result: dict[str, Fields] = {}
    for name, fields in pairs:
        number, key = 2, name
        while key in result:
            key, number = f"{name} ({number})", number + 1
        result[key] = fields
    return result


def _policy(policy: Policy) -> dict[str, Fields]:
    """The policy by group: its single settings, the three catalogues, the rules."""
    data = policy.model_dump(mode="json")
    groups: dict[str, Fields] = {}
    for name in ("purposes", "bases", "conditions"):
        groups[name] = dict(data.pop(name))
    rules = data.pop("rules")
    groups["default purposes"] = _flat(_unique((_rule_name(rule), {"": _text(_rule_gives(rule))}) for rule in rules))
    groups["policy"] = {name: _text(value) for name, value in data.items()}
    return groups


def _flat(rules: dict[str, Fields]) -> Fields:
    return {name: fields[""] for name, fields in rules.items()}


def _rule_name(rule: dict[str, str]) -> str:
    return f"from {rule['sender'] or 'anybody'} to {rule['partner'] or 'any partner'}"


def _rule_gives(rule: dict[str, str]) -> dict[str, str]:
    return {name: rule[name] for name in ("purpose", "basis", "condition") if rule[name]}


def _dump(model: Partner | RegisterEntry, key: str) -> Fields:
    data = model.model_dump(mode="json")
    return {name.replace("_", " "): _text(value) for name, value in data.items() if name != key}


def _text(value: Any) -> str:
    """A value as an administrator would say it; "" for nothing."""
    if value is None or value == "" or value == [] or value == {}:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{name.replace('_', ' ')} {_text(item)}" for name, item in value.items() if _text(item))
    if isinstance(value, list):
        texts = [_text(item) for item in value]
        return " and ".join(texts) if any(isinstance(item, dict) for item in value) else ", ".join(texts)
    return value if isinstance(value, str) else json.dumps(value)
