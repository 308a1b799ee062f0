"""The catalogue of findings: every code that inspection can report, with one plain sentence.

Guarantees: codes are kebab-case and stable, because records keep them; a finding never quotes content.
`MALFORMED` are those by which two mail programs could read a message differently, or by which a part of it
was not looked at: such a message is judged as clear text whatever else was found in it.
"""

from __future__ import annotations

FINDINGS: dict[str, str] = {
    # structure of the message
    "duplicate-mime-field": "A header field that governs how a part is read is present more than once.",
    "header-line-odd": "A header holds a line that is not a field, or a field name with white space or odd bytes.",
    "header-not-ended": "A part's header runs to its end without the empty line that starts the body.",
    "header-too-long": "A header is longer than is read.",
    "bare-line-end": "Line ends are mixed, so programs may see different lines.",
    "nul-byte": "A header or text holds NUL bytes, at which some programs stop reading.",
    "content-type-odd": "A Content-Type field does not follow RFC 2045.",
    "boundary-missing": "A multipart has no boundary.",
    "boundary-odd": "A multipart's boundary is given twice, in pieces, or with characters that RFC 2046 forbids.",
    "boundary-repeated": "A multipart uses a boundary that equals or begins another one around it.",
    "boundary-prefix": "A line begins with the boundary and goes on with other text.",
    "boundary-after-close": "A boundary is found again after the closing one.",
    "boundary-not-closed": "The closing boundary of a multipart is missing.",
    "no-parts": "A multipart has no parts.",
    "multipart-encoded": "A multipart or attached message has a transfer encoding, which RFC 2045 forbids.",
    "transfer-encoding-unknown": "A part's transfer encoding is not known.",
    "base64-junk": "A base64 body holds characters outside its alphabet, or its padding is wrong.",
    "quoted-printable-junk": "A quoted-printable body holds escapes that do not follow RFC 2045.",
    "too-deep": "Parts are nested deeper than is looked at.",
    "too-many-parts": "There are more parts than are looked at.",
    "preamble-text": "Readable text stands before the first or after the last part of a multipart.",
    "mbox-line": "The message begins with the line that a mail store puts before it.",
    "from-missing": "The header names no author.",
    "header-text": "A header field that people do not usually write holds a sentence; it counts as visible text.",
    "partial-message": "The part is a fragment of, or a pointer to, content that is elsewhere.",
    "duplicate-header": "A header field that may stand once is present more than once.",
    # text
    "charset-unknown": "The character set of a text is not known, so the text was not searched.",
    "charset-odd": "The text's character set can hide other text; it was read in more than one way.",
    "long-name": "A subject or file name is longer than such things are; the rest counts as visible text.",
    "text-too-long": "There is more text than is searched for identifiers; the rest counts as holding some.",
    "encoded-in-text": "A text holds a file in encoded form (uuencode, yEnc, BinHex or a data: address).",
    "password-in-clear": "The visible text appears to give a password.",
    "password-opens-it": "A password that stands in the message, or that anybody would guess, opens the part.",
    "passwords-partly-tried": "Not every word of the message was tried as a password on the part.",
    "clear-text": "The part can be read by anybody.",
    "inline-pgp": "The text is an OpenPGP message in armour.",
    "text-around-armour": "Readable text stands outside the OpenPGP armour.",
    "identifier-in-name": "A file name, archive member name or comment holds what looks like an identifier.",
    "identifier-in-subject": "The subject of an attached message holds what looks like an identifier.",
    # any format
    "not-examined": "A limit was reached before the part was looked at completely.",
    "unreadable": "The part claims a format but could not be read as such.",
    "looks-readable": "What should be ciphertext does not look random.",
    "trailing-bytes": "Bytes follow the end of the encrypted content.",
    "leading-bytes": "Bytes stand before the beginning of the content.",
    "key-material": "A public key, certificate or signature: it carries nothing to protect.",
    "random-bytes": "The part looks random, but nothing shows that it is encrypted.",
    "nothing-to-protect": "The part is empty, or holds only fixed words of a mail format.",
    "unknown-algorithm": "The content uses an algorithm that is not known, so it counts as clear.",
    "weak-key": "A recipient's key is shorter than 2048 bits.",
    "clear-metadata": "Metadata is readable beside the encrypted content.",
    "opens-with-default-password": "The document opens with a password that is built into Office.",
    # OpenPGP
    "pgp-mime-odd": "A multipart/encrypted does not have exactly the two parts of RFC 3156.",
    "signed-only": "The content is signed, not encrypted.",
    "not-encrypted-pgp": "OpenPGP data that is only compressed, signed or literal, not encrypted.",
    "openpgp-broken": "OpenPGP data that does not follow the packet grammar to its end.",
    "no-session-key": "Encrypted data without a session key for anybody.",
    "esk-mismatch": "Session key and encrypted data are of versions that do not belong together.",
    "no-integrity-protection": "The encrypted data can be altered unnoticed (packet type 9).",
    "non-standard-packet": "The encrypted data is a packet of GnuPG's own, outside RFC 9580.",
    "simple-s2k": "The passphrase is turned into a key without iteration.",
    "few-iterations": "The passphrase is turned into a key with hardly any iteration.",
    "short-block-cipher": "The cipher works on blocks of 64 bits, which is too short today.",
    "armour-text": "The header of the armour holds readable text beyond version and comment.",
    # S/MIME
    "compressed-only": "The content is compressed, not encrypted.",
    "detached-content": "The encrypted content is not in the message.",
    "no-recipient": "The encrypted content names no recipient.",
    "unknown-recipient-kind": "A recipient is given in a way that is not known.",
    "unauthenticated-cipher": "The cipher protects against reading, not against alteration (CBC).",
    "legacy-key-transport": "The content key is sent with RSA PKCS #1 v1.5.",
    "clear-attributes": "Attributes are readable beside the encrypted content.",
    "small-curve": "A recipient's elliptic curve is smaller than 224 bits.",
    "few-rounds": "A password is turned into a key with few rounds (below 1,000).",
    "recipients-not-all-listed": "More recipients are named than are listed.",
    "secret-key": "A private key, which is no way to send a file.",
    "key-store": "A store of private keys and certificates (PKCS #12), which is no way to send files.",
    # PDF
    "opens-without-password": "The document opens with an empty password.",
    "identity-filter": "Strings or streams of the document are left unencrypted.",
    "text-outside-streams": "Readable words stand in the document beside its encrypted streams and strings.",
    "unencrypted-stream": "A stream of the document is readable although the document says it is encrypted.",
    "trailers-disagree": "Some of the document's trailers say that it is encrypted and others do not.",
    "encrypted-payload": "A plain document that wraps an encrypted one; the wrapper is what is judged.",
    "unknown-encryption": "The encryption is of a kind that is not known.",
    "bytes-between-objects": "Bytes that belong to nothing stand between the document's objects.",
    # ZIP
    "zip-crypto": "The archive uses the original ZIP encryption, which is broken.",
    "clear-member": "The archive holds a member that anybody can read.",
    "headers-disagree": "The archive's central directory and local headers disagree.",
    "archive-gap": "Bytes stand between the archive's members.",
    "duplicate-names": "Two members of the archive have the same name.",
    "archive-comment": "The archive holds a comment or extra data in clear.",
    "archive-directory-odd": "The archive's directory is damaged, ambiguous or encrypted.",
    "expansion-limit": "The archive expands to more than is looked at.",
    "member-size-disagrees": "A member of the archive is not as long as the archive says.",
    # Office
    "unexpected-stream": "An encrypted Office document holds a stream that does not belong there.",
    "rights-managed": "The document is protected by rights management, which cannot be verified.",
    "write-protected": "The document is protected against changes only; anybody can read it.",
    "clear-stream": "A stream of the encrypted document is readable: an embedded object, macros or the like.",
    # 7-Zip, RAR
    "checksum-tells": "The checksum of a member of one to four bytes stands in clear, from which they can be computed.",
    "password-untested": "No password could be tried on the part without unpacking it.",
    # gzip, bzip2, xz, tar
    # OpenDocument
    "manifest-odd": "The manifest of the document says different things of one member.",
    "document-type": "The manifest declares a document type, with which programs could read it differently.",
    # Outlook items (.msg, TNEF), rights-managed messages
    # age, KeePass
    "predictable-key": "The message is encrypted in such a way that anybody can work out its key.",
    "clear-header-data": "The database's header holds data of programs' own in clear.",
    # whole message
    "inspection-failed": "Inspection met something that it could not handle; the content counts as clear.",
}

MALFORMED = frozenset(
    {
        "duplicate-mime-field",
        "header-line-odd",
        "header-not-ended",
        "header-too-long",
        "bare-line-end",
        "nul-byte",
        "boundary-missing",
        "boundary-odd",
        "boundary-repeated",
        "boundary-prefix",
        "boundary-after-close",
        "boundary-not-closed",
        "no-parts",
        "multipart-encoded",
        "transfer-encoding-unknown",
        "base64-junk",
        "quoted-printable-junk",
        "too-deep",
        "too-many-parts",
        "inspection-failed",
    }
)
"""Codes that make `MessageFacts.malformed` true."""

PERSONAL = frozenset(
    {"nhs-number", "nino", "upn", "pnc", "cro", "crn", "utr", "prison-number", "date-of-birth", "watch-word"}
)
"""Identifier types that point to one person."""

CONTACT = frozenset({"postcode", "phone", "email"})
"""Identifier types that a signature block holds as a matter of course: policy chooses whether they count."""

UNSCANNED = "unscanned"
"""Counted once where text was not searched; policy must treat it as personal."""


def describe(code: str) -> str:
    """The sentence of a code; the code itself where it is not in the catalogue."""
    return FINDINGS.get(code, code)
