"""What the readers of 7-Zip and RAR archives share: members and findings are gathered, and one verdict made of them.

Guarantees: an archive is as strong as its weakest member; anything readable beside its ciphertext makes it `none`;
names of members are searched for identifiers, and offered as passwords. Failures: none raised.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from gateway.inspection import trial
from gateway.inspection.findings import UNSCANNED
from gateway.inspection.identifiers import count_in_name, merge
from gateway.inspection.limits import Context
from gateway.model import Counts, Encrypted, PartFacts, Strength

PREFIX_MOST = 2 * 1024 * 1024  # a self-extracting program in front of an archive
_PROGRAMS = (b"MZ", b"\x7fELF", b"#!", b"\xfe\xed\xfa", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
_SHOWN = 50  # members listed in the facts
_NAMES_MOST = 64 * 1024  # characters of names searched for identifiers
_NAME_MOST = 1024  # characters of one name with its folders
_PIECE_MOST = 255  # characters of a name between slashes: what file systems allow
_CHECKSUM_TELLS = 4  # octets that a CRC-32 gives away; of more it can only confirm a guess
_WORDS_MOST = 50  # names offered as passwords
_HARMLESS = frozenset({"checksum-tells", "identifier-in-name", "password-untested", "text-too-long"})
_DENIED = frozenset({"looks-readable", "unknown-encryption", "unreadable"})  # of what claims to be encrypted
_PASSED_ON = _DENIED | {"clear-metadata", "clear-member", "trailing-bytes"}
_MARK = re.compile(rb"rars/[0-9.]{1,12}\nmarker-schema=[0-9]{1,3}\n")
_MARK_WITHIN = 1024
_TAIL = 64
_TEXT_END = re.compile(rb"[\t\r\n -~]{12}\Z")
_ZIP_END_WITHIN = 65_557  # where the end of a ZIP directory can stand (APPNOTE 4.3.16)
_SEPARATORS = re.compile(r"[/\\]")


class HeaderReader:
    """Takes what is next off a header; raises `error` rather than go beyond its end."""

    error: type[ValueError] = ValueError

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    @property
    def left(self) -> int:
        """How many octets are left."""
        return len(self.data) - self.at

    def take(self, octets: int) -> bytes:
        """The next octets."""
        if octets > self.left:
            raise self.error("header cut short")
        self.at += octets
        return self.data[self.at - octets : self.at]


@dataclass(slots=True)
class Archive:
    """The running account of one archive. `label` is its format in words."""

    kind: str
    label: str
    size: int
    findings: list[str] = field(default_factory=list)
    parts: list[PartFacts] = field(default_factory=list)
    names: list[str] = field(default_factory=list)

    def find(self, code: str) -> None:
        if code not in self.findings:
            self.findings.append(code)

    def name(self, text: str) -> None:
        """A name that can be read by anybody: of a member, an owner, the target of a link."""
        if len(text) > _NAME_MOST or any(len(piece) > _PIECE_MOST for piece in _SEPARATORS.split(text)):
            self.find("long-name")
        self.names.append(text)

    def tell(self, size: int) -> None:
        """A checksum of an encrypted member's content stands in clear."""
        if 0 < size <= _CHECKSUM_TELLS:
            self.find("checksum-tells")

    def sealed(self, strength: Strength, scheme: str, size: int, *findings: str) -> None:
        """An encrypted member; with findings it counts as clear."""
        if strength is Strength.NONE or findings:
            state = Encrypted.NO if strength is Strength.NONE or _DENIED.intersection(findings) else Encrypted.PARTIAL
            part = PartFacts(f"{self.kind}-member", scheme=scheme, encrypted=state, findings=findings, size=size)
            self.parts.append(part)
        else:
            self.parts.append(PartFacts(f"{self.kind}-member", strength, scheme, Encrypted.YES, size=size))

    def clear(self, size: int, finding: str = "clear-text") -> None:
        """A member that anybody can read, and that was not looked into."""
        self.parts.append(PartFacts("unknown", findings=(finding,), size=size))

    def sum_up(self, context: Context) -> PartFacts:
        """The verdict on the archive as a whole."""
        counts = self._identifiers(context)
        if not self.parts:
            code = "clear-text" if self.findings or self.names else "nothing-to-protect"
            scheme = f"{self.label} archive without content"
            return PartFacts(
                self.kind, scheme=scheme, findings=(*self.findings, code), identifiers=counts, size=self.size
            )
        weakest = min(self.parts, key=lambda part: part.strength)
        strongest = max(self.parts, key=lambda part: part.strength)
        if any(part.encrypted is Encrypted.NO for part in self.parts):
            self.find("clear-member")
        for code in dict.fromkeys(code for part in self.parts for code in part.findings):
            if code in _PASSED_ON:
                self.find(code)
        state, strength, scheme = Encrypted.YES, weakest.strength, weakest.scheme
        if strength is Strength.NONE or not _HARMLESS.issuperset(self.findings):
            strength = Strength.NONE
            some = any(part.encrypted is not Encrypted.NO for part in self.parts)
            state = Encrypted.PARTIAL if some else Encrypted.NO
            scheme = f"partly {strongest.scheme}" if some else weakest.scheme or f"{self.label}, not encrypted"
        shown = tuple(self.parts[:_SHOWN])
        return PartFacts(self.kind, strength, scheme, state, tuple(self.findings), shown, counts, self.size)

    def _identifiers(self, context: Context) -> Counts:
        """Those in names and in members that were looked into."""
        context.budget.words.extend(trial.name_words(name[:_PIECE_MOST]) for name in self.names[:_WORDS_MOST])
        text = "\n".join(self.names)
        counts = count_in_name(text[:_NAMES_MOST], context.clues.watch_words)
        if counts:
            self.find("identifier-in-name")
        if len(text) > _NAMES_MOST:
            self.find("text-too-long")
            counts = merge(counts, ((UNSCANNED, 1),))
        for part in self.parts:
            counts = merge(counts, part.identifiers)
        return counts


def drop_locks(part: PartFacts, before: int, context: Context) -> None:
    """No password is tried on what counts as clear already: the effort is for the rest of the message."""
    if part.strength is Strength.NONE:
        del context.budget.locks[before:]


def ends_readably(data: bytes) -> bool:
    """True if text, or a ZIP directory, stands at the end of what should be ciphertext throughout. Random bytes do so
    once in 10^5 archives.
    """
    tail = data[-_TAIL:].replace(b"\0", b"")
    at = data.rfind(b"PK\x05\x06", max(0, len(data) - _ZIP_END_WITHIN))
    zipped = at >= 0 and data[at + 4 : at + 8] == bytes(4)  # its first disk, of which there is one
    return zipped or bool(_TEXT_END.search(tail))


def is_mark(data: bytes) -> bool:
    """True if that is the fixed line by which the writer `rars` marks its archives."""
    return bool(_MARK.fullmatch(data))


def without_mark(data: bytes, start: int) -> bytes:
    """The archive without that line, which stands readable even between headers that are encrypted."""
    found = _MARK.search(data, start, start + _MARK_WITHIN)
    return data[: found.start()] + data[found.end() :] if found else data


def start_of(data: bytes, *magics: bytes) -> int:
    """Where an archive begins: at once, or behind a program that unpacks it; -1 where there is none."""
    if data.startswith(magics):
        return 0
    if not data.startswith(_PROGRAMS):
        return -1
    found = [at for magic in magics if (at := data.find(magic, 0, PREFIX_MOST)) > 0]
    return min(found, default=-1)
