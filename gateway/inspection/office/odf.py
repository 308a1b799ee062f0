"""OpenDocument packages: encrypted member by member, as one package, or for OpenPGP keys (ODF 1.3 part 2, section 4).

Guarantees: a member counts as encrypted only if the manifest says how and its octets look it; every other member
that holds anything, thumbnail, macro and signature included, is clear and makes the document `none`; so does what
the manifest holds beyond what the format puts there. Failures: none raised; a manifest that cannot be read is `none`.
"""

from __future__ import annotations

import re

from gateway.inspection.archives import zip_directory
from gateway.inspection.archives.archive import Archive
from gateway.inspection.archives.zip_directory import Directory, Member, is_deflated
from gateway.inspection.ciphertext import looks_random
from gateway.inspection.limits import Context
from gateway.inspection.office import odf_lock, odf_manifest
from gateway.inspection.office.odf_lock import Encryption
from gateway.inspection.office.odf_manifest import Entry, Manifest, ManifestError
from gateway.model import PartFacts, Strength

KIND = "odf"
_PACKAGE = "encrypted-package"
_MIMETYPE = b"mimetype"
_OWN_TYPES = re.compile(rb"application/(?:vnd\.oasis\.opendocument|vnd\.sun\.xml)\.[a-z0-9.-]{1,60}\s{0,2}\Z")
_TYPES = re.compile(rb"application/[A-Za-z0-9.+-]{1,100}\s{0,2}\Z")
_USUAL_NAMES = re.compile(
    r"mimetype|(?:META-INF/manifest|content|styles|meta|settings)\.xml|manifest\.rdf|layout-cache|encrypted-package"
    r"|Configurations2/.{0,80}|Thumbnails/thumbnail\.png"
)
_XMLENC, _XMLENC11 = "http://www.w3.org/2001/04/xmlenc#", "http://www.w3.org/2009/xmlenc11#"
_MANIFEST = "urn:oasis:names:tc:opendocument:xmlns:manifest:1.0#"
_CIPHERS = {  # name in the manifest: cipher, octets of the key, of the initialisation vector
    f"{_XMLENC}aes128-cbc": ("aes-cbc", 16, 16),
    f"{_XMLENC}aes192-cbc": ("aes-cbc", 24, 16),
    f"{_XMLENC}aes256-cbc": ("aes-cbc", 32, 16),
    f"{_XMLENC}tripledes-cbc": ("3des-cbc", 24, 8),
    f"{_XMLENC11}aes128-gcm": ("aes-gcm", 16, 12),
    f"{_XMLENC11}aes192-gcm": ("aes-gcm", 24, 12),
    f"{_XMLENC11}aes256-gcm": ("aes-gcm", 32, 12),
    "Blowfish CFB": ("blowfish-cfb", 16, 8),
    f"{_MANIFEST}blowfish": ("blowfish-cfb", 16, 8),
}
_DERIVATIONS = {
    "PBKDF2": "pbkdf2",
    f"{_MANIFEST}pbkdf2": "pbkdf2",
    "urn:org:documentfoundation:names:experimental:office:manifest:argon2id": "argon2id",
    f"{_MANIFEST}argon2id": "argon2id",
    "PGP": "pgp",
}
_DIGESTS = {
    "": "sha1",  # ODF 1.1 names none
    "SHA1": "sha1",
    "SHA1/1K": "sha1",
    f"{_MANIFEST}sha1-1k": "sha1",
    "http://www.w3.org/2000/09/xmldsig#sha1": "sha1",
    "SHA256": "sha256",
    f"{_MANIFEST}sha256-1k": "sha256",
    "http://www.w3.org/2000/09/xmldsig#sha256": "sha256",
    f"{_XMLENC}sha256": "sha256",
}
_ROUNDS_LEAST = 1000  # below this a password is tried about as fast as it can be typed
_ARGON2_LEAST = 32 * 1024  # KiB times passes, likewise
_SALT_LEAST = 8
_WORDS = {
    "aes-cbc": "AES-{}-CBC",
    "aes-gcm": "AES-{}-GCM",
    "3des-cbc": "3DES",
    "blowfish-cfb": "Blowfish",
}


def is_package(data: bytes, directory: Directory) -> bool:
    """True if the ZIP is OpenDocument by its first member, or its manifest speaks of encryption."""
    for member, span in zip(directory.members, directory.spans, strict=True):
        if member.name == _MIMETYPE and _OWN_TYPES.match(zip_directory.expand(data, span, member.method, 100)[0]):
            return True
        if member.name == odf_manifest.NAME:
            content = zip_directory.expand(data, span, member.method, odf_manifest.MOST)[0]
            if b"encryption-data" in content or b"\0e\0n\0c\0r\0y\0p\0t\0i\0o\0n" in content:
                return True
    return False


def judge(data: bytes, directory: Directory, context: Context) -> PartFacts:
    """The verdict on a package without ZIP encryption, whose skeleton is `directory`."""
    try:
        return _judge(data, directory, _manifest(data, directory, context), context)
    except ManifestError:
        return PartFacts(KIND, findings=("unreadable",), size=len(data))


def _judge(data: bytes, directory: Directory, manifest: Manifest, context: Context) -> PartFacts:
    if not any(entry.encrypted for entry in manifest.entries.values()):
        scheme = "OpenDocument, not encrypted"
        return PartFacts(KIND, scheme=scheme, findings=(*directory.findings, *manifest.findings), size=len(data))
    archive = Archive(KIND, "OpenDocument", len(data), findings=[*directory.findings, *manifest.findings])
    for name in dict.fromkeys([*directory.names, *manifest.entries]):
        if name not in ("", "/") and not _USUAL_NAMES.fullmatch(name):
            archive.name(name)
    first = len(context.budget.locks)
    recipients, wrapped = _wrapped_keys(manifest, context)
    sealed: list[tuple[Member, tuple[int, int], Entry]] = []
    for member, span in zip(directory.members, directory.spans, strict=True):
        if member.is_folder or not (member.packed or member.size):
            continue
        entry = manifest.entries.get(member.text_name)
        if not context.budget.take_part():
            archive.find("too-many-parts")
            archive.clear(member.size, "not-examined")
        elif entry is not None and entry.encrypted:
            strength, scheme, findings = _judge_member(data, member, span, entry, wrapped)
            archive.sealed(strength, scheme, member.size, *findings)
            sealed.append((member, span, entry))
        elif not _is_fixed(data, member, span):
            archive.clear(member.size)
    part = archive.sum_up(context)
    return _with_lock(data, part, sealed, recipients, context, first)


def _manifest(data: bytes, directory: Directory, context: Context) -> Manifest:
    """The manifest; an empty one where the package has none."""
    for member, span in zip(directory.members, directory.spans, strict=True):
        if member.name != odf_manifest.NAME:
            continue
        if member.size > odf_manifest.MOST or not context.budget.take_expanded(member.size):
            raise ManifestError("manifest larger than is looked at")
        content, complete = zip_directory.expand(data, span, member.method, member.size)
        if not complete or len(content) != member.size:
            raise ManifestError("manifest is not as long as the archive says")
        return odf_manifest.read(content)
    return Manifest()


def _is_fixed(data: bytes, member: Member, span: tuple[int, int]) -> bool:
    """True for the two members that are never encrypted and that say nothing: the manifest has been read already."""
    if member.name == odf_manifest.NAME:
        return True
    content, complete = zip_directory.expand(data, span, member.method, 128)
    return member.name == _MIMETYPE and complete and _TYPES.match(content) is not None


# ---------------------------------------------------------------- encrypted members


def _judge_member(
    data: bytes, member: Member, span: tuple[int, int], entry: Entry, wrapped: Strength
) -> tuple[Strength, str, list[str]]:
    """Strength, scheme and what is wrong with a member that the manifest says is encrypted."""
    strength, scheme = _strength(entry, wrapped)
    if strength is Strength.NONE:
        return strength, scheme, ["unknown-encryption"]
    findings = []
    cipher, _, iv = _CIPHERS[entry.text("algorithm-name")]
    if member.method != 0:
        findings.append("unreadable")  # ciphertext is stored (section 4.8.1); what is deflated is something else
    elif not _is_whole(cipher, span[1] - span[0], iv) or len(entry.octets("initialisation-vector")) != iv:
        findings.append("unreadable")
    elif not looks_random(data, *span) or is_deflated(data, *span):
        findings.append("looks-readable")
    return strength, scheme, findings


def _is_whole(cipher: str, octets: int, iv: int) -> bool:
    """True if a ciphertext may be so long: whole blocks, or more than a nonce and a tag."""
    if cipher.endswith("-cbc"):
        return octets > 0 and not octets % iv
    return octets > 28 or cipher != "aes-gcm"


def _strength(entry: Entry, wrapped: Strength) -> tuple[Strength, str]:
    """The strength of cipher and key derivation, whichever is the weaker, and both in words."""
    cipher, size, _ = _CIPHERS.get(entry.text("algorithm-name"), ("", 0, 0))
    derivation = _DERIVATIONS.get(entry.text("key-derivation-name"), "")
    key_size = entry.number("key-size", size)
    if not cipher or not derivation or (key_size != size and cipher != "blowfish-cfb") or not 5 <= key_size <= 56:
        return Strength.NONE, "OpenDocument, cipher or key derivation not known"
    words = _WORDS[cipher].format(8 * key_size)
    strength = {"aes-gcm": Strength.STRONG, "aes-cbc": Strength.ACCEPTABLE}.get(cipher, Strength.WEAK)
    if derivation == "pgp":
        return min(strength, wrapped), f"{words}, OpenPGP session key, OpenDocument"
    kdf, how = _derivation(entry, derivation)
    if len(entry.octets("salt")) < _SALT_LEAST:
        kdf = min(kdf, Strength.WEAK)
    return min(strength, kdf), f"{words}, {how}, OpenDocument"


def _derivation(entry: Entry, derivation: str) -> tuple[Strength, str]:
    if derivation == "pbkdf2":
        rounds = entry.number("iteration-count", 0)
        strength = Strength.ACCEPTABLE if rounds >= _ROUNDS_LEAST else Strength.WEAK
        return strength, f"PBKDF2 ({rounds:,} rounds)"
    passes, memory = entry.number("argon2-iterations", 0), entry.number("argon2-memory", 0)
    strength = Strength.STRONG if passes > 0 and passes * memory >= _ARGON2_LEAST else Strength.WEAK
    return strength, f"Argon2id ({passes} passes, {memory // 1024} MiB)"


def _wrapped_keys(manifest: Manifest, context: Context) -> tuple[tuple[str, ...], Strength]:
    """Recipients of the session keys that OpenPGP wraps, and the strength of the weakest wrapping."""
    if not manifest.wrapped_keys:
        return (), Strength.NONE
    facts = [context.judge(key, context.deeper()) for key in manifest.wrapped_keys]
    kinds = {fact.kind for fact in facts}
    recipients = tuple(dict.fromkeys(name for fact in facts for name in fact.recipients))
    weakest = min(fact.strength for fact in facts) if kinds == {"openpgp"} else Strength.NONE
    return recipients, weakest


# ---------------------------------------------------------------- locks


def _with_lock(
    data: bytes,
    part: PartFacts,
    sealed: list[tuple[Member, tuple[int, int], Entry]],
    recipients: tuple[str, ...],
    context: Context,
    first: int,
) -> PartFacts:
    """The verdict with recipients, and a lock on content.xml or else the smallest member left in the budget.

    All members of a document have one password: one member is tried, because each has a salt of its own.
    """
    findings = part.findings
    if part.strength is Strength.NONE:
        del context.budget.locks[first:]
    else:
        main = min(sealed, key=lambda item: (item[0].name != b"content.xml", item[0].packed))
        encryption = _encryption(main[2])
        if encryption is not None:
            lock = odf_lock.lock(data, main[1], encryption)
            if lock is not None:
                context.budget.locks.append(lock)
            else:
                findings = (*findings, "password-untested")
    return PartFacts(
        part.kind,
        part.strength,
        part.scheme,
        part.encrypted,
        findings,
        part.parts,
        part.identifiers,
        part.size,
        recipients=recipients,
    )


def _encryption(entry: Entry) -> Encryption | None:
    """What a password is tried by; None where no password is asked for."""
    derivation = _DERIVATIONS[entry.text("key-derivation-name")]
    start_key = _DIGESTS.get(entry.text("start-key-generation-name"))
    checksum_type = _DIGESTS.get(entry.text("checksum-type"))
    if derivation == "pgp" or start_key is None or checksum_type is None:
        return None
    cipher, size, _ = _CIPHERS[entry.text("algorithm-name")]
    argon2 = derivation == "argon2id"
    return Encryption(
        cipher,
        entry.number("key-size", size),
        entry.octets("initialisation-vector"),
        entry.octets("salt"),
        start_key,
        derivation,
        entry.number("argon2-iterations" if argon2 else "iteration-count", 0),
        entry.number("argon2-memory", 0),
        entry.number("argon2-lanes", 1),
        entry.octets("checksum"),
        checksum_type,
    )
