"""What the fields of a header say to a reader: the outermost header's, and those of each part.

Guarantees: fields that people write are searched as visible text; a sentence in a field that no program fills
counts as visible text, whatever the field is called. Fields that programs write are left out where digits and
long values are their nature. Failures: none raised.
"""

from __future__ import annotations

import re

from gateway.inspection import identifiers
from gateway.inspection.findings import CONTACT, UNSCANNED
from gateway.inspection.mail import header
from gateway.inspection.mail.leaves import Sum
from gateway.inspection.mail.mime import Entity
from gateway.model import Counts

ADDRESS_FIELDS = frozenset(
    {b"from", b"to", b"cc", b"bcc", b"reply-to", b"sender", b"return-path", b"disposition-notification-to"}
    | {b"resent-from", b"resent-to", b"resent-cc", b"resent-sender", b"mail-followup-to", b"x-original-to"}
)
KNOWN_ADDRESS_FIELDS = frozenset({b"from", b"to", b"cc", b"reply-to", b"sender", b"return-path"})
_READ = frozenset({b"subject", b"thread-topic", b"comments", b"keywords", b"content-description"})
_SHARING = frozenset({b"sharing-purpose", b"sharing-basis", b"sharing-condition", b"sharing-reference"})
_TITLES = _SHARING | {b"subject", b"thread-topic", b"organization", b"organisation", b"x-organization", b"list-id"}
_TYPE_FIELDS = frozenset({b"content-type", b"content-disposition", b"content-transfer-encoding"})
_MACHINE = frozenset(
    {b"received", b"dkim-signature", b"domainkey-signature", b"message-id", b"references", b"in-reply-to"}
    | {b"authentication-results", b"received-spf", b"autocrypt", b"autocrypt-gossip", b"openpgp", b"thread-index"}
    | {b"x-face", b"face", b"list-unsubscribe", b"x-attachment-id", b"x-universally-unique-identifier"}
    | {b"resent-message-id", b"delivered-to", b"x-received", b"original-message-id", b"content-id"}
)  # programs write them, long and full of digits
_MACHINE_PREFIXES = (b"content-", b"x-ms-", b"x-microsoft-", b"x-forefront-", b"arc-", b"x-google-", b"x-gm-")
_WORDY = re.compile(
    rb"(?:list-|x-list|x-abuse|x-proofpoint|x-mimecast|x-ironport|x-amavis|x-scanned|x-report-abuse|x-complaints"
    rb"|x-mime|x-disclaimer|x-auth|x-mailman|x-mailer|x-mailgun|x-sophos|x-symantec|x-trend|x-tm-|x-clam|x-fortimail"
    rb"|x-antiabuse|x-original|x-converted|x-nai-|x-messagelabs|x-csa-|x-exchange|x-auto|x-bogosity|x-dspam|x-greylist|x-policy|x-editor|x-egroups"
    rb"|x-yahoo|x-sg-|x-rspamd|x-cmae|x-copyright|x-pgp|x-gpg|x-klms|x-kse|x-assp|x-get-message|x-vm-|x-message-flag"
    rb"|authentication-|received|user-agent|precedence|auto-submitted|mailing-list|msip_labels)"
    rb"|dmarc-|x-sa-|x-srs-|x-enigmail|.{0,40}(?:spam|virus|mailscanner|avast|barracuda|received)"
)  # programs write sentences into these
_DESCRIPTIONS = frozenset(
    {"pgp/mime version identification", "pgp/mime versions identification", "openpgp encrypted message"}
    | {"openpgp digital signature", "s/mime encrypted message", "s/mime cryptographic signature"}
    | {"this is a digitally signed message part", "this is a digitally encrypted message part", "notification"}
    | {"this is an encrypted message part", "message encrypted with openpgp using gpgmail"}
    | {"message signed with openpgp using gpgmail", "undelivered message", "delivery report", "openpgp public key"}
)  # Content-Description as mail programs write it
_SHORT = frozenset({b"mime-version", b"date", b"resent-date"})  # programs put comments into these
_DIGIT = re.compile(rb"[0-9]")
_ADDRESS = re.compile(r"(?<![^\s<>\"(),;:])[^\s<>\"(),;:@]*@[^\s<>\"(),;:]*")  # begins where a word does
_ODD_WORD = re.compile(rb"[\x80-\xff]|=\?")
_WORDS = r"(?:[^\W\d_][\w'’,.;:()&/-]{{0,30}}[ \t]{{1,4}}){{{count},}}[^\W\d_]"
_UNSPACED = r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7a3\u0e00-\u0e7f]{8}"  # scripts that set no spaces
_TELLING = re.compile(f"{_WORDS.format(count=3)}|{_UNSPACED}")  # four words in a row
_STORY = re.compile(_WORDS.format(count=11))  # where some words are usual, only many in a row are text
_PLAIN_GAP = re.compile(rb"[A-Za-z',.;:()&/-][ \t\n]+[A-Za-z]")


def of_message(root: Entity, total: Sum) -> Counts:
    """Identifiers in the outermost header; sentences and passwords that stand there go to `total`."""
    most = total.context.limits.field_text
    read: list[str] = []
    other: list[str] = []
    for name, value in root.fields.items:
        if name in _READ or name in _SHARING:
            if len(value) > most:
                total.too_long()
            words = header.plain(value, most)
            read.append(words)
            if name not in _TITLES and _TELLING.search(words):
                total.sentence(words)
            continue
        if name in _TYPE_FIELDS:
            continue
        _other(name, value, other, total)
    total.name(read)
    joined = "\n".join(read)
    total.read(joined)
    counts = total.scan(joined)
    if other:
        counts = identifiers.merge(counts, personal(total.scan("\n".join(other))))
    return identifiers.merge(counts, ((UNSCANNED, 1),)) if "text-too-long" in total.findings else counts


def _other(name: bytes, value: bytes, lines: list[str], total: Sum) -> None:
    """A field that people do not usually write: its line goes to `lines` if it may hold an identifier."""
    limits = total.context.limits
    machine = name in _MACHINE or name.startswith(_MACHINE_PREFIXES)
    if name not in _TITLES and _WORDY.match(name) is None and _may_be_words(value):
        words = header.plain(value, limits.header_block)
        if name in ADDRESS_FIELDS:
            words = words.replace(",", "\t,\t")  # a list of names is no sentence
        if (_STORY if machine or name in _SHORT or name in ADDRESS_FIELDS else _TELLING).search(words):
            (total.remark if name.startswith(b"x-") else total.sentence)(words)
    if not machine and (_DIGIT.search(value) or b"=?" in value):
        words = header.plain(value, limits.field_text)
        lines.append(_ADDRESS.sub(" ", words) if "@" in words else words)


def _may_be_words(value: bytes) -> bool:
    """Cheap: False where the value cannot hold a sentence."""
    return _PLAIN_GAP.search(value) is not None or _ODD_WORD.search(value) is not None


def personal(counts: Counts) -> Counts:
    """Without contact details, which fields that programs write are full of."""
    return tuple(count for count in counts if count[0] not in CONTACT)


def of_part(entity: Entity, total: Sum, depth: int, names: list[str]) -> list[str]:
    """What else the header of a part says in clear. The other fields of the outermost header are read elsewhere."""
    most = total.context.limits.field_text
    first = entity.fields.first
    words = [
        header.beside_names(first(b"content-type")[:most], entity.type),
        header.beside_names(first(b"content-disposition")[:most], entity.disposition),
    ]
    for line in words:
        if line and _TELLING.search(line):
            total.sentence(line)
    if depth > total.context.depth:
        for name, value in entity.fields.items:
            if name in _TYPE_FIELDS:
                continue
            line = header.plain(value, most)
            words.append(line)
            if name != b"content-id" and line not in names and line.rstrip(".").lower() not in _DESCRIPTIONS:
                _part_sentence(name, line, total)
    return [word for word in words if word]


def _part_sentence(name: bytes, line: str, total: Sum) -> None:
    machine = name.startswith(_MACHINE_PREFIXES) and name != b"content-description"
    if _WORDY.match(name) is None and (_STORY if machine else _TELLING).search(line):
        total.sentence(line)


def describe(words: list[str], total: Sum) -> None:
    """Takes note of what a header says about a part that is no attachment."""
    if not words:
        return
    total.name(words)
    joined = "\n".join(words)[: total.context.limits.field_text]
    total.names = identifiers.merge(total.names, personal(total.count_in_name(joined)))
    total.read(joined)
