"""PDF encryption dictionaries: what cipher protects strings, streams and embedded files (ISO 32000-2 section 7.6).

Guarantees: the verdict is that of the weakest filter in use, and for public-key security of the weakest envelope that
carries the file key; what is not known for certain is worth nothing. Failures: none raised.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from gateway.inspection.limits import Context
from gateway.inspection.pdf.pdf_syntax import Name, Value, number
from gateway.inspection.smime import cms
from gateway.model import Strength

_ENVELOPES_MOST = 50
_PUBLIC_KEY_HANDLERS = (b"Adobe.PubSec", b"AdobePPKLite")
_IDENTITY = Name(b"Identity")
_ENVELOPE_FINDINGS = ("weak-key", "unknown-algorithm", "looks-readable", "trailing-bytes", "no-recipient")


class Form(Enum):
    """What ciphertext looks like from outside."""

    NONE = "none"  # nothing is encrypted
    RC4 = "rc4"  # as long as what it hides
    CBC = "cbc"  # 16 octets of initialisation vector, then whole blocks
    GCM = "gcm"  # 12 octets of nonce, ciphertext, 16 of tag


@dataclass(frozen=True, slots=True)
class Encryption:
    """One encryption dictionary. `filters`: the forms that a stream may choose for itself by name (/Crypt)."""

    strength: Strength
    scheme: str
    streams: Form = Form.NONE
    strings: Form = Form.NONE
    findings: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()
    filters: tuple[tuple[bytes, Form], ...] = ()
    clear_metadata: bool = False
    standard: bool = True  # by password; otherwise to certificates


@dataclass(frozen=True, slots=True)
class _Method:
    strength: Strength
    words: str
    form: Form
    finding: str = ""


def read_encryption(encrypt: dict[bytes, Value], context: Context) -> Encryption:
    """What the dictionary promises; whether the document keeps it is another matter."""
    handler = encrypt.get(b"Filter")
    version, revision = number(encrypt.get(b"V")), number(encrypt.get(b"R"))
    public_key = handler in _PUBLIC_KEY_HANDLERS
    if handler != b"Standard" and not public_key:
        return Encryption(Strength.NONE, "PDF, security handler not known", findings=("unknown-encryption",))
    if version in (1, 2, 3) and (public_key or revision in (2, 3)):
        found = _old(encrypt, version, revision, public_key=public_key)
    elif version in (4, 5, 6):
        found = _by_filters(encrypt, version, revision, public_key=public_key)
    else:
        return Encryption(Strength.NONE, f"PDF, encryption version {version}", findings=("unknown-encryption",))
    return _to_certificates(encrypt, found, context) if public_key else found


def _old(encrypt: dict[bytes, Value], version: int, revision: int, *, public_key: bool) -> Encryption:
    """Versions 1 to 3: RC4 for everything."""
    bits = (number(encrypt.get(b"Length")) or 40) if version != 1 else 40
    suffix = f"V{version}" if public_key else f"R{revision}"
    return Encryption(Strength.WEAK, f"RC4 {bits}-bit, PDF ({suffix})", Form.RC4, Form.RC4, standard=not public_key)


def _by_filters(encrypt: dict[bytes, Value], version: int, revision: int, *, public_key: bool) -> Encryption:
    """The weakest of the filters for streams, strings and embedded files (ISO 32000-2 table 20)."""
    stated = encrypt.get(b"CF")
    known = stated if isinstance(stated, dict) else {}

    def method(use: Value) -> _Method:
        chosen = known.get(use) if isinstance(use, Name) and use != _IDENTITY else None
        cipher = chosen.get(b"CFM", Name(b"None")) if isinstance(chosen, dict) else Name(b"None")
        return _method(cipher, version, revision, public_key=public_key)

    streams, strings = method(encrypt.get(b"StmF", _IDENTITY)), method(encrypt.get(b"StrF", _IDENTITY))
    used = [streams, strings, *([method(encrypt[b"EFF"])] if b"EFF" in encrypt else [])]
    weakest = min(used, key=lambda one: one.strength)
    return Encryption(
        weakest.strength,
        weakest.words,
        streams.form,
        strings.form,
        tuple(dict.fromkeys(one.finding for one in used if one.finding)),
        filters=tuple((name, method(Name(name)).form) for name in known),
        clear_metadata=any(
            isinstance(one, dict) and one.get(b"EncryptMetadata") == b"false" for one in (encrypt, *known.values())
        ),
        standard=not public_key,
    )


def _method(cipher: Value, version: int, revision: int, *, public_key: bool) -> _Method:
    """The method of a crypt filter (ISO 32000-2 table 25, ISO/TS 32003), where version and revision allow it."""
    family = "PDF PubSec" if public_key else "PDF"
    suffix = f"(V{version})" if public_key or not revision else f"(R{revision})"
    if cipher == b"V2" and version == 4 and (revision == 4 or public_key):
        return _Method(Strength.WEAK, f"RC4, {family} {suffix}", Form.RC4)
    if cipher == b"AESV2" and version == 4 and (revision == 4 or public_key):
        return _Method(Strength.ACCEPTABLE, f"AES-128, {family} 1.6 {suffix}", Form.CBC)
    if cipher == b"AESV3" and version == 5 and not public_key and revision == 5:
        return _Method(Strength.WEAK, "AES-256, Adobe extension level 3, PDF (R5)", Form.CBC)
    if cipher == b"AESV3" and version == 5 and (revision == 6 or public_key):
        return _Method(Strength.STRONG, f"AES-256, {family} 2.0 {suffix}", Form.CBC)
    if cipher == b"AESV4" and version == 6 and (revision == 7 or public_key):
        return _Method(Strength.STRONG, f"AES-256-GCM, {family} 2.0 {suffix}", Form.GCM)
    finding = "identity-filter" if cipher == b"None" else "unknown-encryption"
    return _Method(Strength.NONE, f"{family}, no known cipher {suffix}", Form.NONE, finding)


def _to_certificates(encrypt: dict[bytes, Value], found: Encryption, context: Context) -> Encryption:
    """The file key is in CMS envelopes (section 7.6.5): the weakest of them counts."""
    blobs = _strings(encrypt.get(b"Recipients"))
    filters = encrypt.get(b"CF")
    for chosen in filters.values() if isinstance(filters, dict) else ():
        if isinstance(chosen, dict):
            blobs += _strings(chosen.get(b"Recipients"))
    blobs = list(dict.fromkeys(blobs))
    if not blobs or len(blobs) > _ENVELOPES_MOST or not all(cms.recognise(blob) for blob in blobs):
        return _with(found, Strength.NONE, found.scheme, (*found.findings, "unknown-encryption"), ())
    envelopes = [cms.judge(blob, context) for blob in blobs]
    weakest = min(envelopes, key=lambda part: part.strength)
    noted = [code for part in envelopes for code in part.findings if code in _ENVELOPE_FINDINGS]
    if weakest.strength is Strength.NONE and not noted:
        noted = ["unknown-encryption"]
    scheme = found.scheme
    if weakest.strength < found.strength:
        scheme += f", key in {weakest.scheme}"
    recipients = tuple(dict.fromkeys(name for part in envelopes for name in part.recipients))
    return _with(found, min(found.strength, weakest.strength), scheme, (*found.findings, *noted), recipients)


def _with(
    found: Encryption, strength: Strength, scheme: str, findings: tuple[str, ...], recipients: tuple[str, ...]
) -> Encryption:
    return Encryption(
        strength,
        scheme,
        found.streams,
        found.strings,
        tuple(dict.fromkeys(findings)),
        recipients,
        found.filters,
        found.clear_metadata,
        standard=False,
    )


def _strings(value: Value) -> list[bytes]:
    if isinstance(value, list):
        return [item for item in value if isinstance(item, bytes) and not isinstance(item, Name)]
    return [value] if isinstance(value, bytes) and not isinstance(value, Name) else []
