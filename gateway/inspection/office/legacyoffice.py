"""Word, Excel and PowerPoint documents of 97-2003 and before: XOR, 40-bit RC4 and CryptoAPI RC4, all of them weak.

Guarantees: encryption counts where the format's own mark says so and the bytes bear it out; every other stream of
the file is accounted for; the password that Excel tries by itself is tried. Failures: `LegacyError`, `CompoundError`
and `OfficeError` for what does not hold together.
"""

from __future__ import annotations

from gateway.inspection.ciphertext import holds_prose
from gateway.inspection.identifiers import count_in_name
from gateway.inspection.limits import Context, Lock
from gateway.inspection.office import biff, officekeys, powerpoint, properties, word
from gateway.inspection.office.compound import CompoundFile, readable
from gateway.inspection.office.legacycipher import Legacy
from gateway.model import Encrypted, PartFacts, Strength

_MAIN = {
    "worddocument": ("doc", word.read),
    "workbook": ("xls", biff.read),
    "book": ("xls", biff.read),
    "powerpoint document": ("ppt", powerpoint.read),
}
_SUMMARIES = {"\x05summaryinformation": 1, "\x05documentsummaryinformation": 2}
_FIXED_MOST = {"\x01compobj": 512, "\x01ole": 64, "\x03objinfo": 16, "\x03ole": 64}  # what these hold is of one kind
_ENCRYPTED_BESIDE = frozenset({"encryption", "encryptedsummary"})  # properties, of MS-DOC, MS-XLS and MS-PPT


def recognise(names: frozenset[str]) -> bool:
    """True if the names at the root, in lower case, are those of a document of one of the three programs."""
    return not names.isdisjoint(_MAIN)


def judge(file: CompoundFile, size: int, context: Context) -> PartFacts:
    """The verdict on a document of `size` octets."""
    found = [(kind, read(file, name)) for name, (kind, read) in _MAIN.items() if file.has(name)]
    kind = found[0][0]
    plain = [main for _, main in found if not main.encrypted]
    findings = list(dict.fromkeys(code for _, main in found for code in main.findings))
    if plain:
        return PartFacts(kind, scheme=plain[0].scheme, findings=(*findings, "clear-text"), size=size)
    scheme = " and ".join(dict.fromkeys(main.scheme for _, main in found))
    if any(_opens_by_default(main) for _, main in found):
        findings.append("opens-with-default-password")
        return PartFacts(kind, scheme=scheme, findings=tuple(findings), size=size)
    beside, names = _beside(file, {path for _, main in found for path in main.covered})
    identifiers = count_in_name(names, context.clues.watch_words) if names else ()
    findings += ["identifier-in-name"] if identifiers else []
    findings += [code for code in beside if code not in findings]
    if file.readable_leftovers():
        findings.append("trailing-bytes")
    if findings or identifiers:
        return PartFacts(kind, Strength.NONE, scheme, Encrypted.PARTIAL, tuple(findings), (), identifiers, size)
    for _, main in found:
        if main.opens is not None:
            context.budget.locks.append(Lock(officekeys.RC4_COST, main.opens))
    return PartFacts(kind, Strength.WEAK, scheme, Encrypted.YES, size=size)


def _opens_by_default(main: Legacy) -> bool:
    return main.opens is not None and any(main.opens(password) for password in officekeys.DEFAULT_PASSWORDS)


def _beside(file: CompoundFile, covered: set[str]) -> tuple[list[str], str]:
    """(findings about the streams that the encryption does not cover, what their names and stubs say)."""
    findings: list[str] = []
    names: list[str] = []
    for path, entry in file.streams.items():
        name = path[-1]
        if not entry.size or (len(path) == 1 and name in covered):
            continue
        content = file.read(*path, most=entry.size)
        if not content.strip(b"\0"):
            continue
        if len(path) == 1 and name in _SUMMARIES:
            said, written = properties.read(content)
            names.extend(said)
            if written:
                findings.append("clear-metadata")
        elif len(path) == 1 and name in _ENCRYPTED_BESIDE:
            if readable(content):
                findings.append("clear-metadata")
        elif len(content) > _FIXED_MOST.get(name, 0) or holds_prose(content):
            findings.append("clear-stream")
    return list(dict.fromkeys(findings)), "\n".join(names)
