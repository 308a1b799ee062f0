"""Warns of domains that a reader would take for another partner's, and of labels that mix scripts.

Guarantees: only warnings, each naming both places; none between domains of one partner, nor for a suffix or a parent
that domains have in common. The time grows with the number of domains, not with its square. Failures: none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway.configuration import Document, Findings, Key
from gateway.directory import confusables, domains
from gateway.directory.check_subject import Subject

_REMEDY = "Ask both agencies, by a telephone number that you know, which domains are theirs."


@dataclass(frozen=True, slots=True)
class _Named:
    """A domain as somebody wrote it: whose, and where."""

    domain: str
    partner: str
    document: Document
    path: Key

    def place(self, seen_from: Document) -> str:
        line = self.document.line(self.path)
        return f"line {line}" if self.document is seen_from else f"{self.document.name}, line {line}"


@dataclass(slots=True)
class _Level:
    """The labels directly below one parent: the first domain with the label, and the partners that have one."""

    first: dict[str, _Named] = field(default_factory=dict)
    partners: dict[str, set[str]] = field(default_factory=dict)

    def add(self, label: str, named: _Named) -> None:
        self.first.setdefault(label, named)
        self.partners.setdefault(label, set()).add(named.partner)


def judge(subject: Subject, findings: Findings) -> None:
    """Adds the warnings about all domains of partners and register to `findings`."""
    named = tuple(_named(subject))
    for each in named:
        _judge_scripts(each, findings)
    told: set[tuple[str, str]] = set()
    for first, later, how in _alike(named):
        pair = (first.domain, later.domain)
        if pair not in told:
            told.add(pair)
            problem = f"`{later.domain}` could be taken for `{first.domain}` of `{first.partner}`"
            problem += f" ({first.place(later.document)}): {how}"
            findings.warn(later.document, later.path, problem, _REMEDY)


def _named(subject: Subject) -> Iterator[_Named]:
    """The partners' domains, and those of the register that are not among them."""
    owned: set[tuple[str, str]] = set()
    for index, partner in enumerate(subject.snapshot.partners):
        for place, domain in enumerate(partner.domains):
            owned.add((partner.id, domain))
            yield _Named(domain, partner.id, subject.directory.partners, ("partner", index, "domains", place))
    for index, entry in enumerate(subject.snapshot.register_):
        domain = domains.base(entry.domain)
        if (entry.partner, domain) not in owned:
            yield _Named(domain, entry.partner, subject.directory.register, ("domain", index, "domain"))


def _judge_scripts(named: _Named, findings: Findings) -> None:
    for label in named.domain.split("."):
        doubt = confusables.doubt(label) if label.startswith("xn--") else ""
        if doubt:
            problem = f"`{confusables.readable(label)}` in `{named.domain}` {doubt}"
            findings.warn(named.document, named.path, problem, _REMEDY)


def _alike(named: tuple[_Named, ...]) -> Iterator[tuple[_Named, _Named, str]]:
    """Pairs of domains that are taken for one another, in the order in which they were written, and how."""
    levels: dict[str, _Level] = {}
    registered, whole = _Level(), _Level()
    for each in named:
        registrable = domains.registrable(each.domain)
        if not registrable:
            continue  # a public suffix: a fault of its own
        for parent, label in _steps(each.domain, registrable):
            levels.setdefault(parent, _Level()).add(label, each)
        registered.add(registrable.partition(".")[0], each)
        whole.add(each.domain, each)
    for level in levels.values():
        yield from _pairs(level)
    yield from _same_skeletons(registered, "they look alike")
    yield from _same_skeletons(whole, "they differ in dots and hyphens only")


def _steps(domain: str, registrable: str) -> Iterator[tuple[str, str]]:
    """(parent, label) from the registrable domain down to the domain itself."""
    parent = registrable.partition(".")[2]
    rest = domain.removesuffix(parent).strip(".")
    for label in reversed(rest.split(".")):
        yield parent, label
        parent = f"{label}.{parent}" if parent else label


def _pairs(level: _Level) -> Iterator[tuple[_Named, _Named, str]]:
    met: dict[str, list[str]] = {}
    for label in level.first:
        seen: set[str] = set()
        for key in confusables.nearby(label):
            for other in met.setdefault(key, []):
                how = "" if other in seen else confusables.likeness(other, label)
                seen.add(other)
                if how:
                    yield from _of_two_partners(level, other, label, how)
            met[key].append(label)


def _same_skeletons(level: _Level, how: str) -> Iterator[tuple[_Named, _Named, str]]:
    """The labels, or whole domains, whose skeletons are equal."""
    met: dict[str, list[str]] = {}
    for label in level.first:
        others = met.setdefault("".join(map(confusables.skeleton, label.split("."))), [])
        for other in others:
            yield from _of_two_partners(level, other, label, how)
        others.append(label)


def _of_two_partners(level: _Level, one: str, other: str, how: str) -> Iterator[tuple[_Named, _Named, str]]:
    """The pair, unless a partner that has the one kind of domain has the other, too."""
    if not level.partners[one] & level.partners[other]:
        yield level.first[one], level.first[other], how
