"""What is noted while the parts of one message are visited: its leaves in their places, and what a reader sees.

Guarantees: every leaf has a place in the tree of parts, in the order of the message; a sum is as strong as the
weakest leaf in it that carries something. Failures: none raised; text beyond the budget counts as unscanned.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from gateway.inspection import identifiers
from gateway.inspection.findings import MALFORMED, UNSCANNED
from gateway.inspection.limits import Context, Lock
from gateway.inspection.mail import text
from gateway.model import Counts, Encrypted, PartFacts, Strength

LONG_NAME = 255  # characters of a subject, a file name or the like; the rest counts as visible text
REMARKS_MOST = 100  # characters of sentences in X- fields, all together; more is text that somebody wrote there


@dataclass(frozen=True, slots=True)
class Seen:
    """What a reader sees in a subtree: characters, and identifiers among them."""

    characters: int = 0
    counts: Counts = ()


@dataclass(frozen=True, slots=True)
class Leaf:
    """A part without parts of its own. `carries`: there is something in it that needs protection."""

    part: PartFacts
    attachment: bool
    carries: bool
    whole: bool = False  # encryption of the kind that wraps a message
    locks: tuple[Lock, ...] = ()


@dataclass(slots=True)
class Node:
    """A multipart, or the message itself: its findings, and what is in it (numbers are positions of leaves)."""

    kind: str = ""
    size: int = 0
    findings: tuple[str, ...] = ()
    inside: list[Node | int] = field(default_factory=list)


@dataclass(slots=True)
class Sum:
    """Collects while the parts are visited."""

    data: bytes
    context: Context
    known: frozenset[str]  # addresses that the header shows anyway
    leaves: list[Leaf] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    names: Counts = ()
    excess: int = 0  # characters of names and the like beyond what such things need, and of sentences in the header
    remarks: int = 0  # characters of sentences in X- fields
    password: bool = False
    pgp_version: bool = False
    malformed: bool = False
    node: Node = field(default_factory=Node)  # where the next leaf belongs

    def find(self, *codes: str) -> None:
        for code in codes:
            self.malformed = self.malformed or code in MALFORMED
            if code not in self.findings:
                self.findings.append(code)

    def add(self, leaf: Leaf, faults: Iterable[str] = ()) -> None:
        """Puts a leaf into its place; faults that make programs differ about it leave it unprotected."""
        codes = tuple(code for code in faults if code not in leaf.part.findings)
        if codes:
            part = replace(leaf.part, findings=(*leaf.part.findings, *codes))
            leaf = replace(leaf, part=unprotected(part) if not MALFORMED.isdisjoint(codes) else part)
        self.node.inside.append(len(self.leaves))
        self.leaves.append(leaf)

    def name(self, words: Iterable[str]) -> None:
        """Takes note of names and the like that are too long to be only that."""
        for word in words:
            if len(word) > LONG_NAME:
                self.excess += text.visible_characters(word[LONG_NAME:])
                self.find("long-name")

    def sentence(self, words: str) -> None:
        """Takes note of text that stands where no program writes any."""
        self.excess += text.visible_characters(words)
        self.find("header-text")
        self.read(words)

    def remark(self, words: str) -> None:
        """Takes note of text in an X- field, of which no list can be complete: some programs put a remark into one."""
        self.remarks += text.visible_characters(words)
        if self.remarks > REMARKS_MOST:
            self.excess += self.remarks
            self.remarks = 0
            self.find("header-text")
        self.read(words)

    def scan(self, content: str) -> Counts:
        """Identifiers in a text, within what may be spent on text."""
        room = self.context.budget.text
        self.context.budget.text = max(0, room - len(content))
        if len(content) <= room:
            return self._count(content)
        self.too_long()
        return identifiers.merge(self._count(content[:room]), ((UNSCANNED, 1),))

    def _count(self, content: str) -> Counts:
        return identifiers.count(content, self.known, self.context.clues.watch_words)

    def count_in_name(self, words: str) -> Counts:
        return identifiers.count_in_name(words, self.context.clues.watch_words)

    def too_long(self) -> None:
        self.context.budget.unfinished = True
        self.find("text-too-long")

    def read(self, words: str) -> None:
        """Takes note of what a reader sees, where a password may be told."""
        if words:
            self.context.budget.words.append(words)
            self.password = self.password or text.gives_password(words)

    def pieces(self, words: str) -> None:
        """Takes note of words each of which may be a password, as those of a file name."""
        self.context.budget.words.append(words)

    def parts(self, node: Node) -> tuple[PartFacts, ...]:
        """The tree below a node, as facts."""
        return tuple(
            self.leaves[inner].part if isinstance(inner, int) else self._multipart(inner) for inner in node.inside
        )

    def _multipart(self, node: Node) -> PartFacts:
        leaves = [self.leaves[at] for at in _positions(node)]
        strength, scheme, state = protection(leaves, not MALFORMED.isdisjoint(node.findings))
        return PartFacts(node.kind, strength, scheme, state, node.findings, self.parts(node), size=node.size)


def _positions(node: Node) -> list[int]:
    found: list[int] = []
    for inner in node.inside:
        found += [inner] if isinstance(inner, int) else _positions(inner)
    return found


def unprotected(part: PartFacts) -> PartFacts:
    """The part, where what protects it cannot be relied on."""
    state = Encrypted.NO if part.encrypted is Encrypted.NO else Encrypted.PARTIAL
    return replace(part, strength=Strength.NONE, encrypted=state)


def protection(leaves: Iterable[Leaf], malformed: bool) -> tuple[Strength, str, Encrypted]:
    """Strength, scheme and state of what holds these leaves: those of the weakest that carries something."""
    carrying = [leaf.part for leaf in leaves if leaf.carries]
    weakest = min(carrying, key=lambda part: part.strength, default=None)
    if weakest is not None and weakest.strength > Strength.NONE and not malformed:
        return weakest.strength, weakest.scheme, Encrypted.YES
    any_encrypted = any(part.encrypted is not Encrypted.NO for part in carrying)
    return Strength.NONE, "", Encrypted.PARTIAL if any_encrypted else Encrypted.NO


def most(parts: list[Seen]) -> Seen:
    """Alternatives show the same thing: the longest counts, and of each identifier the largest number."""
    largest: dict[str, int] = {}
    for part in parts:
        for kind, number in part.counts:
            largest[kind] = max(number, largest.get(kind, 0))
    return Seen(max((part.characters for part in parts), default=0), tuple(sorted(largest.items())))


def add(parts: list[Seen]) -> Seen:
    """Texts that a reader sees one after the other."""
    counts: Counts = ()
    for part in parts:
        counts = identifiers.merge(counts, part.counts)
    return Seen(sum(part.characters for part in parts), counts)
