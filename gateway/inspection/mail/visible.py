"""The text that a reader sees when a message is opened: its verdict, its length, its identifiers, its password.

Guarantees: read in every way in which a program could show it; text around inline OpenPGP is clear text.
Cost: linear, within the budget for text. Failures: none raised; what was not searched counts as unscanned.
"""

from __future__ import annotations

import re
from dataclasses import replace

from gateway.inspection import identifiers
from gateway.inspection.findings import UNSCANNED
from gateway.inspection.mail import text
from gateway.inspection.mail.leaves import LONG_NAME, Leaf, Seen, Sum, most
from gateway.inspection.mail.mime import Entity
from gateway.inspection.pgp import openpgp
from gateway.model import Encrypted, PartFacts, Strength

_MARKUP_SHARE = 4  # HTML is read as far as this many times the text that is searched
_INSIDE_MOST = 4000  # characters of styles and attributes around an armoured message in HTML
_SILENT_TAG = re.compile(
    r"(?:!doctype html[^<>]{0,200}|/?[a-z][a-z0-9:]{0,12}"
    r"(?:\s+(?:style|class|dir|lang|http-equiv|charset|content|xmlns|size|face|color|width|align|type)"
    r"\s?=\s?(?:\"[^\"]{0,200}\"|'[^']{0,200}'|[^\s\"']{1,60}))*\s*/?)",
    re.IGNORECASE,
)  # markup in which no program shows words

_WORDS = re.compile(r"(?:[A-Za-z]{2,30}[ \t\r\n]{1,4}){4}[A-Za-z]{2}")  # five in a row, which no style needs
_TELLING = re.compile(r"[^\W_]")  # signs alone, such as the line above a signature, say nothing


def judge(entity: Entity, content: bytes, total: Sum) -> Seen:
    """The verdict on such a text goes to `total`; what is seen of it is returned."""
    is_html = entity.type.value != "text/plain"  # text/enriched and its like have tags as HTML does (RFC 1896)
    kind = "html" if is_html else "text"
    if not content or content.isspace():
        part = PartFacts(kind, findings=("nothing-to-protect",), size=len(content))
        total.add(Leaf(part, False, False), entity.faults)
        return Seen()
    texts, odd = text.readings(content, _charset(entity))
    if odd:
        total.find(odd)
    armour: PartFacts | None = None
    if not odd and (b"-----BEGIN PGP MESSAGE" in content if is_html else openpgp.has_armour(content)):
        armour, texts = _armour(texts[0], is_html, total)
        if not texts:
            part = replace(armour, findings=("inline-pgp", *armour.findings), size=len(content))
            total.add(Leaf(part, False, True, whole=True), entity.faults)
            return Seen()
    readings = [_read(reading, is_html, total) for reading in texts]
    if odd == "charset-unknown":
        readings.append(Seen(0, ((UNSCANNED, 1),)))
    seen = most(readings)
    _clear(entity, content, seen, armour, odd, total)
    if any(text.hides_file(reading) for reading in texts):
        hidden = PartFacts("unknown", findings=("encoded-in-text",), size=len(content))
        total.find("encoded-in-text")
        total.add(Leaf(hidden, True, True))
    return seen


def _clear(entity: Entity, content: bytes, seen: Seen, armour: PartFacts | None, odd: str, total: Sum) -> None:
    """Notes a text that anybody can read, with what is odd about it."""
    kind = "html" if entity.type.value != "text/plain" else "text"
    faults = [*entity.faults, odd] if odd else entity.faults
    if not (seen.characters or seen.counts or armour):
        part = PartFacts(kind, findings=("nothing-to-protect",), size=len(content))
        total.add(Leaf(part, False, False), faults)
        return
    findings: tuple[str, ...] = ("preamble-text",) if entity.loose else ("clear-text",)
    state = Encrypted.PARTIAL if armour and armour.encrypted is not Encrypted.NO else Encrypted.NO
    if armour:
        findings += armour.findings
    part = PartFacts(kind, encrypted=state, findings=findings, identifiers=seen.counts, size=len(content))
    total.add(Leaf(part, False, True), faults)


def _charset(entity: Entity) -> str:
    """The character set of a text; one that is no name where it is given twice or in pieces."""
    given = [(name, value) for name, value in entity.type.parameters if name.partition("*")[0] == "charset"]
    if len({value.lower() for _, value in given}) > 1 or any(name != "charset" for name, _ in given):
        return "ambiguous"
    return given[0][1] if given else ""


def _read(reading: str, is_html: bool, total: Sum) -> Seen:
    """What a reader sees of one reading of a text, within what may be spent on text."""
    room = total.context.budget.text
    cut = reading[: room * _MARKUP_SHARE] if is_html else reading
    shown, inside = text.from_html(cut) if is_html else (cut, "")
    if inside and text.gives_password(inside[:room]):
        total.password = True
    total.read(shown[:room])
    counts = total.scan(f"{shown}\n{inside}" if inside else shown)
    other = text.from_strict_html(cut, shown) if is_html else ""
    if other:
        counts = most([Seen(0, counts), Seen(0, total.scan(other))]).counts
    if len(cut) < len(reading):
        total.too_long()
        counts = identifiers.merge(counts, ((UNSCANNED, 1),))
    hidden = text.hidden_characters(inside) if len(inside) > LONG_NAME else 0
    visible = text.visible_characters(shown) if _TELLING.search(shown) else 0
    return Seen(visible + hidden + len(reading) - len(cut), counts)


def _armour(reading: str, is_html: bool, total: Sum) -> tuple[PartFacts, list[str]]:
    """The verdict on the armour in a text, and what is readable beside it: no text where there is nothing else."""
    shown, inside = text.from_html(reading) if is_html else (reading, "")
    content = shown.replace("\u00a0", " ").encode("utf-8")
    part, clear = openpgp.judge_with_clear_text(content, total.context)
    comments = clear.decode("utf-8", "replace")
    shell, styles = text.without_styles(reading) if is_html else ("", "")
    telling = not text.only_tags(shell, _SILENT_TAG) or _WORDS.search(styles) is not None
    telling = telling or len(inside) > _INSIDE_MOST or text.shows_more(inside) or text.hidden_characters(inside) > 0
    if part.strength > Strength.NONE and not telling and not identifiers.count(f"{comments}\n{inside}"):
        total.read(comments.strip())
        return part, []
    return part, [f"{comments}\n{reading if is_html else ''}"]
