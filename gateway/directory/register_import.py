"""What importing a published list makes of the register: which entries come, are renewed, stay, or are gone from it.

Guarantees: pure; entries of another basis are never touched, wildcards and what an entry asks of a delivery neither; no
entry outlives the import by more than a year, nor is it extended by a list that was imported before. Only domains of
partners are taken. Failures: none; a row that cannot be taken is a `Problem` with its number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum

from gateway.directory import domains
from gateway.directory.check_register import one_year_after
from gateway.directory.csv_list import DomainList, Listed, Problem, shown
from gateway.directory.model import Partner, RegisterAssurance, RegisterEntry, Snapshot

FIELDS = ("domain", "partner", "evidence", "owner", "valid_from", "valid_until", "review")  # that a column can give
_DATES = ("%Y-%m-%d", "%d/%m/%Y", "%d.%m.%Y", "%d-%m-%Y", "%d %B %Y", "%d %b %Y", "%d-%b-%Y", "%d-%b-%y", "%d/%m/%y")
_LONGEST_TEXT = 500


class StepKind(StrEnum):
    """What becomes of an entry."""

    ADDED = "added"
    RENEWED = "renewed"  # dates, review and evidence alone
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    OTHER = "other basis"  # the domain has an entry of another basis, which stays as it is
    GONE = "gone from the list"  # and stays until it expires
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Step:
    """One entry before and after; `row` of the list, 0 where it is not on it."""

    kind: StepKind
    domain: str
    before: RegisterEntry | None
    after: RegisterEntry | None
    row: int = 0


@dataclass(frozen=True, slots=True)
class Terms:
    """How a list is imported."""

    basis: str
    today: date
    source: str  # name of the file
    digest: str  # SHA-256 of the file, hexadecimal
    owner: str = ""
    evidence: str = ""  # put before what is said of the file
    valid_until: date | None = None
    assurance: RegisterAssurance = RegisterAssurance.PKIX  # of new entries
    partner: str = ""  # id: every row is this partner's
    remove_missing: bool = False

    @property
    def latest(self) -> date:
        """The last day that an entry may get."""
        longest = one_year_after(self.today)
        return longest if self.valid_until is None else min(self.valid_until, longest)


@dataclass(frozen=True, slots=True)
class Plan:
    """What the import would do, in the order of the register and then of the list."""

    steps: tuple[Step, ...]
    strangers: tuple[Listed, ...]  # domains of no partner: not imported
    problems: tuple[Problem, ...]

    @property
    def changes(self) -> tuple[Step, ...]:
        """The steps that change the register."""
        return tuple(step for step in self.steps if step.before != step.after)


def plan(found: DomainList, snapshot: Snapshot, terms: Terms) -> Plan:
    """What becomes of the register in `snapshot`."""
    problems, strangers = list(found.problems), []
    present = {entry.domain: entry for entry in snapshot.register_}
    named = _partners_by_name(snapshot)
    steps: dict[str, Step] = {}
    mentioned: set[str] = set()  # whatever else is wrong with the row: it is on the list
    for listed in found.domains:
        mentioned.add(listed.domain)
        try:
            partner = _partner(listed, snapshot, named, terms)
            if partner is None:
                strangers.append(listed)
                continue
            steps[listed.domain] = _step(listed, partner, present.get(listed.domain), terms)
        except _Refused as refused:
            problems.append(Problem(listed.row, str(refused), lost=False))
            if refused.ended:
                mentioned.discard(listed.domain)
    missing = {step.domain: step for step in _missing(snapshot, mentioned, terms)}
    order = [entry.domain for entry in snapshot.register_]
    known = steps | missing
    ordered = [known[domain] for domain in dict.fromkeys((*order, *steps)) if domain in known]
    return Plan(tuple(ordered), tuple(strangers), tuple(sorted(problems, key=lambda each: each.row)))


class _Refused(Exception):
    """A row that cannot be taken. `ended`: because the list itself says that it is over."""

    def __init__(self, problem: str, *, ended: bool = False) -> None:
        self.ended = ended
        super().__init__(problem)


# ---------------------------------------------------------------- whose a row is


def _partners_by_name(snapshot: Snapshot) -> Mapping[str, Partner]:
    by_name: dict[str, Partner] = {}
    for partner in snapshot.partners:
        by_name.setdefault(partner.name.casefold(), partner)
    return by_name | {partner.id: partner for partner in snapshot.partners}


def _partner(
    listed: Listed, snapshot: Snapshot, named: Mapping[str, Partner], terms: Terms
) -> Partner | None:
    """The partner whose domain it is; None for a stranger's. Raises _Refused where the row says another's."""
    owner = snapshot.partner_of(listed.domain)
    said = terms.partner or listed.cells.get("partner", "")
    if owner is None or not said:
        return owner
    meant = named.get(said) or named.get(said.casefold())
    if meant is None or meant.id != owner.id:
        raise _Refused(f"`{listed.domain}` is of `{owner.id}`, not of `{shown(said)}`")
    return owner


# ---------------------------------------------------------------- what becomes of an entry


def _step(listed: Listed, partner: Partner, before: RegisterEntry | None, terms: Terms) -> Step:
    if before is not None and before.basis != terms.basis:
        return Step(StepKind.OTHER, listed.domain, before, before, listed.row)
    first, last = _term(listed, terms)
    again = before is not None and terms.digest in before.evidence
    if before is not None and again:  # the same list proves nothing more than it did on the day of its import
        first, last = before.valid_from, min(last, before.valid_until)
    values = {
        "partner": partner.id,
        "owner": _text(listed, "owner") or terms.owner or (before.owner if before else ""),
        "evidence": before.evidence if before is not None and again else _evidence(listed, terms),
        "valid_from": first,
        "valid_until": last,
        "review": _review(listed, before, terms),
    }
    if not values["owner"]:
        raise _Refused(f"nobody answers for `{listed.domain}`: say who with --owner ROLE")
    if before is None:
        fields = {"domain": listed.domain, "basis": terms.basis, "assurance": terms.assurance}
        return Step(StepKind.ADDED, listed.domain, None, RegisterEntry.model_validate(fields | values), listed.row)
    after = RegisterEntry.model_validate(before.model_dump() | values)
    return Step(_kind(before, after), listed.domain, before, after, listed.row)


def _kind(before: RegisterEntry, after: RegisterEntry) -> StepKind:
    if before == after:
        return StepKind.UNCHANGED
    if (before.partner, before.owner) != (after.partner, after.owner) or after.valid_until < before.valid_until:
        return StepKind.CHANGED
    return StepKind.RENEWED


def _term(listed: Listed, terms: Terms) -> tuple[date, date]:
    """First and last day. Raises _Refused where the list says that it is over, or not yet."""
    first, last = _date(listed, "valid_from") or terms.today, _date(listed, "valid_until") or date.max
    if first > terms.today:
        raise _Refused(f"`{listed.domain}` is on the list from {first} on only", ended=True)
    last = min(last, terms.latest, one_year_after(first))
    if last < terms.today:
        raise _Refused(f"`{listed.domain}` is on the list until {last} only", ended=True)
    return first, last


def _review(listed: Listed, before: RegisterEntry | None, terms: Terms) -> date | None:
    """The day of the next review; one that is over was held with the import."""
    day = _date(listed, "review") or (before.review if before else None)
    return day if day is not None and day > terms.today else None


def _date(listed: Listed, name: str) -> date | None:
    text = listed.cells.get(name, "")
    if not text or text in ("-", "n/a", "N/A"):
        return None
    text = text.removesuffix(" 00:00:00").removesuffix("T00:00:00").removesuffix(" 00:00")
    for form in _DATES:
        try:
            return datetime.strptime(text, form).date()
        except ValueError:
            continue
    raise _Refused(f"`{shown(text)}` is no date: write 2026-09-01 or 01/09/2026")


def _text(listed: Listed, name: str) -> str:
    text = listed.cells.get(name, "")
    if text.startswith("=") or len(text) > _LONGEST_TEXT or not text.isprintable():
        raise _Refused(f"the {name} `{shown(text)}` is a formula, too long, or not text")
    return text


def _evidence(listed: Listed, terms: Terms) -> str:
    """What was seen: the operator's words, the row's own, and which file it was."""
    file = f"row {listed.row} of {terms.source}, SHA-256 {terms.digest}, imported on {terms.today}"
    return "; ".join(text for text in (terms.evidence, _text(listed, "evidence"), file) if text)


# ---------------------------------------------------------------- what the list no longer has


def _missing(snapshot: Snapshot, mentioned: set[str], terms: Terms) -> Iterator[Step]:
    """Entries of the same basis (and partner, where one is named) that the list no longer has.

    A wildcard goes with the domain above it: no list names it.
    """
    for entry in snapshot.register_:
        if entry.basis != terms.basis or domains.base(entry.domain) in mentioned:
            continue
        if terms.partner and entry.partner != terms.partner:
            continue
        if terms.remove_missing:
            yield Step(StepKind.REMOVED, entry.domain, entry, None)
        else:
            yield Step(StepKind.GONE, entry.domain, entry, entry)
