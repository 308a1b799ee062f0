"""Take any message that the shipped policy allows, add one clear leaf anywhere: it is never allowed."""

from __future__ import annotations

import base64
import functools
import io
import re
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.inspection import Limits, inspect_message, trial
from gateway.model import Limb, MessageFacts, Strength, Verdict
from tests.unit.policy.cases import decided, snapshot

MESSAGES = Path(__file__).parent.parent / "messages"
LIMITS = Limits()
POLICY = snapshot(require_purpose=False)  # why something is sent is no question here
LIMBS = frozenset({Limb.ENCRYPTED_ATTACHMENT, Limb.ENCRYPTED_SERVICE})
COMMON = settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)

SENTENCE = b"Jane is at risk and must be seen today, says her school"
NUMBER = b"Jane, NHS number 943 476 5919, was seen by us"
STORY = b"\r\n".join([b"Jane was hurt at home by somebody and the school says so again today"] * 40)
CARRYING = (NUMBER, STORY)  # what no covering note may hold
ANY_TEXT = (SENTENCE, NUMBER, STORY)


@pytest.fixture(scope="module", autouse=True)
def _few_passwords() -> Iterator[None]:
    """Only the empty password is tried: what else a message tells is the matter of other tests, and takes its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trial, "candidates", lambda texts, clues: ("",))
        yield


def facts(content: bytes) -> MessageFacts:
    return inspect_message(content, LIMITS)


def is_allowed(content: bytes) -> bool:
    decision = decided(facts(content), under=POLICY)
    return decision.verdict is Verdict.ALLOW and decision.limb in LIMBS


@functools.cache
def allowed() -> dict[str, bytes]:
    """The messages of the folder that the policy allows as they are."""
    messages = {path.stem: path.read_bytes() for path in sorted(MESSAGES.glob("*.eml"))}
    return {name: content for name, content in messages.items() if is_allowed(content)}


KINDS = ("pgp-mime", "inline-pgp", "inline-pgp-html", "smime", "smime-gcm", "smime-signed-enveloped", "only-attachment")
KINDS += ("attached-message-sealed", "pgp-mime-rearranged", "attachment-only-part")
KINDS += tuple(
    f"covered-{kind}" for kind in ("zip", "pdf", "ooxml", "7z", "tar", "zip-of-sealed", "pgp", "message", "two")
)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_allowed_to_begin_with(name: str) -> None:
    assert name in allowed()


# ---------------------------------------------------------------- taking messages apart, for well-formed ones


def split(content: bytes) -> tuple[bytes, bytes]:
    header, _, body = content.partition(b"\r\n\r\n")
    return header + b"\r\n", body


def boundaries(content: bytes) -> list[bytes]:
    found = re.findall(rb'multipart/[a-z]+;[^\r\n]*?boundary="?([^";\r\n]+)', content)
    return [boundary for boundary in found if b"\r\n--" + boundary + b"--" in content]


def delimiters(content: bytes, boundary: bytes) -> list[int]:
    """Where the delimiter lines of a boundary begin, the closing one last."""
    pattern = rb"(?:(?<=\r\n)|\A)--" + re.escape(boundary) + rb"(?:--)?[ \t]*(?=\r\n|\Z)"
    return [match.start() for match in re.finditer(pattern, content)]


def encoded_parts(content: bytes) -> list[tuple[int, int]]:
    """The spans of base64 bodies."""
    found = []
    for match in re.finditer(rb"Content-Transfer-Encoding: base64\r\n(?:[A-Z][^\r\n]*\r\n)*\r\n", content):
        end = re.compile(rb"\r\n--|\Z").search(content, match.end())
        assert end is not None
        found.append((match.end(), end.start()))
    return found


def encoded(data: bytes) -> bytes:
    return base64.encodebytes(data).replace(b"\n", b"\r\n")


# ---------------------------------------------------------------- clear leaves

TYPES = ("text/plain", "text/html", "text/plain; charset=utf-16", "text/csv", "text/calendar", "application/pdf")
TYPES += (
    "application/octet-stream",
    "image/png",
    "application/pgp-signature",
    "application/pgp-keys",
    "message/rfc822",
)
TYPES += ("application/pkcs7-mime; smime-type=enveloped-data", "application/pkcs7-signature", "text/rfc822-headers")
TYPES += ("application/pgp-encrypted", "application/zip", "message/delivery-status", "application/x-unknown", "")
NAMES = ("", "report.pdf", "report.zip", "signature.asc", "smime.p7s", "smime.p7m", "winmail.dat", "image001.png")
DISPOSITIONS = ("", "inline", "attachment")


@st.composite
def parts(draw: st.DrawFn) -> bytes:
    """A part that anybody can read, labelled as anything."""
    kind, name = draw(st.sampled_from(TYPES)), draw(st.sampled_from(NAMES))
    is_note = kind.startswith(("text/plain", "text/html")) or not kind  # which may be as long as a covering note
    text = draw(st.sampled_from(CARRYING if is_note else ANY_TEXT))
    disposition, encoding = (
        draw(st.sampled_from(DISPOSITIONS)),
        draw(st.sampled_from(("", "base64", "quoted-printable"))),
    )
    if kind.startswith("message/rfc822"):
        text = (
            draw(st.sampled_from((b"Subject: x\r\n\r\n", b"", b"From: a@council.example\r\nSubject: y\r\n\r\n"))) + text
        )
        encoding = ""
    data = text.decode().encode("utf-16") if "utf-16" in kind else text
    fields = [f"Content-Type: {kind}"] if kind else []
    if disposition or name:
        fields.append(f"Content-Disposition: {disposition or 'attachment'}" + (f'; filename="{name}"' if name else ""))
    if encoding or "utf-16" in kind:
        fields.append(f"Content-Transfer-Encoding: {encoding or 'base64'}")
    data = data if not encoding and "utf-16" not in kind else data if encoding == "quoted-printable" else encoded(data)
    head = "".join(f"{line}\r\n" for line in fields).encode()
    part = head + b"\r\n" + data
    wrapped = draw(st.sampled_from(("", "", "mixed", "alternative", "related", "encrypted", "signed")))
    if wrapped:
        subtype = wrapped.encode()
        part = b"Content-Type: multipart/" + subtype + b"; boundary=added\r\n\r\n--added\r\n" + part + b"\r\n--added--"
    return part


def draw_message(data: st.DataObject, fits: Callable[[bytes], object] = bool) -> tuple[str, bytes]:
    name = data.draw(st.sampled_from([name for name, content in allowed().items() if fits(content)]))
    return name, allowed()[name]


@COMMON
@given(st.data(), parts())
def test_a_part_at_any_place_of_any_multipart(data: st.DataObject, part: bytes) -> None:
    name, content = draw_message(data, boundaries)
    boundary = data.draw(st.sampled_from(boundaries(content)))
    at = data.draw(st.sampled_from(delimiters(content, boundary)))
    told = content[:at] + b"--" + boundary + b"\r\n" + part + b"\r\n" + content[at:]
    assert not is_allowed(told), name


@COMMON
@given(st.data(), parts(), st.booleans(), st.sampled_from(("mixed", "alternative", "related", "encrypted", "signed")))
def test_a_part_beside_the_whole_body(data: st.DataObject, part: bytes, first: bool, subtype: str) -> None:
    name, content = draw_message(data)
    header, body = split(content)
    own = [line for line in re.split(rb"\r\n(?![ \t])", header) if line.lower().startswith(b"content-")]
    rest = [line for line in re.split(rb"\r\n(?![ \t])", header) if line and line not in own]
    inner = b"\r\n".join((*own, b"", body))
    pair = (part, inner) if first else (inner, part)
    head = b"\r\n".join(rest) + f"\r\nContent-Type: multipart/{subtype}; boundary=outer\r\n\r\n".encode()
    told = head + b"".join(b"--outer\r\n" + one + b"\r\n" for one in pair) + b"--outer--\r\n"
    assert not is_allowed(told), name


@COMMON
@given(st.data(), st.sampled_from(CARRYING), st.booleans())
def test_text_before_or_after_the_parts(data: st.DataObject, text: bytes, before: bool) -> None:
    name, content = draw_message(data, boundaries)
    boundary = data.draw(st.sampled_from(boundaries(content)))
    places = delimiters(content, boundary)
    at = places[0] if before else content.index(b"--", places[-1] + 2 + len(boundary)) + 2
    told = content[:at] + (b"" if before else b"\r\n") + text + b"\r\n" + content[at:]
    assert not is_allowed(told), name


# ---------------------------------------------------------------- armour


@COMMON
@given(st.data(), st.sampled_from(ANY_TEXT), st.booleans())
def test_text_on_any_line_around_and_inside_armour(data: st.DataObject, text: bytes, joined: bool) -> None:
    name, content = draw_message(data, lambda content: b"-----BEGIN PGP MESSAGE" in content)
    first, last = content.index(b"-----BEGIN PGP MESSAGE"), content.index(b"-----END PGP MESSAGE")
    last = content.find(b"\r\n", last) + 2
    places = [first, *(match.end() for match in re.finditer(rb"\r\n", content) if first < match.start() < last)]
    at = data.draw(st.sampled_from(places))
    told = content[:at] + text + (b"" if joined and text is not STORY else b"\r\n") + content[at:]
    assert facts(told).whole is Strength.NONE, name
    if name.startswith("inline") or text is not SENTENCE:
        assert not is_allowed(told), name


@COMMON
@given(
    st.data(),
    st.sampled_from(ANY_TEXT),
    st.sampled_from([b"Comment: ", b"Version: ", b"Hash: ", b"X-Note: ", b"Note: "]),
)
def test_text_in_the_header_of_armour(data: st.DataObject, text: bytes, field: bytes) -> None:
    name, content = draw_message(data, lambda content: b"-----BEGIN PGP MESSAGE" in content)
    line = b"-----BEGIN PGP MESSAGE-----\r\n"
    told = content.replace(line, line + b"".join(field + one + b"\r\n" for one in text.split(b"\r\n")), 1)
    assert told != content
    if text is not SENTENCE:  # a short comment is what programs write there
        assert not is_allowed(told), name


# ---------------------------------------------------------------- inside and after attachments


def with_data(content: bytes, span: tuple[int, int], change: Callable[[bytes], bytes]) -> bytes:
    start, end = span
    return content[:start] + encoded(change(base64.b64decode(content[start:end]))).rstrip() + content[end:]


@COMMON
@given(st.data(), st.sampled_from(ANY_TEXT), st.sampled_from([b"", b"\r\n", b"\0" * 600, b"%%EOF\n", b"PK\x05\x06"]))
def test_bytes_after_an_attachment(data: st.DataObject, text: bytes, gap: bytes) -> None:
    name, content = draw_message(data, encoded_parts)
    span = data.draw(st.sampled_from(encoded_parts(content)))
    assert not is_allowed(with_data(content, span, lambda inside: inside + gap + text)), name


@COMMON
@given(st.data(), st.sampled_from(ANY_TEXT))
def test_bytes_before_an_attachment(data: st.DataObject, text: bytes) -> None:
    name, content = draw_message(data, encoded_parts)
    span = data.draw(st.sampled_from(encoded_parts(content)))
    assert not is_allowed(with_data(content, span, lambda inside: text + b"\r\n" + inside)), name


@COMMON
@given(st.data(), st.sampled_from(ANY_TEXT))
def test_bytes_anywhere_in_an_attachment(data: st.DataObject, text: bytes) -> None:
    name, content = draw_message(data, encoded_parts)
    span = data.draw(st.sampled_from(encoded_parts(content)))
    size = len(base64.b64decode(content[span[0] : span[1]]))
    at = data.draw(st.integers(0, size))
    assert not is_allowed(with_data(content, span, lambda inside: inside[:at] + text + inside[at:])), (name, at)


def is_zip(content: bytes) -> bool:
    return any(base64.b64decode(content[a:b])[:2] == b"PK" for a, b in encoded_parts(content))


@COMMON
@given(st.data(), st.sampled_from(ANY_TEXT), st.sampled_from(["a.txt", "z.pdf", "in/b.txt", "mimetype", ".DS_Store"]))
def test_a_member_in_an_archive(data: st.DataObject, text: bytes, member: str) -> None:
    name, content = draw_message(data, is_zip)
    spans = [(a, b) for a, b in encoded_parts(content) if base64.b64decode(content[a:b])[:2] == b"PK"]

    def added(archive: bytes) -> bytes:
        out = io.BytesIO(archive)
        with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as changed:
            changed.writestr(f"added-{member}", text)
        return out.getvalue()

    assert not is_allowed(with_data(content, data.draw(st.sampled_from(spans)), added)), name


@COMMON
@given(st.sampled_from(ANY_TEXT), st.integers(0, 2), st.sampled_from(["a.txt", "z.pdf", "in/b.txt"]))
def test_a_member_in_a_tar(text: bytes, position: int, member: str) -> None:
    content = allowed()["covered-tar"]

    def added(archive: bytes) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=io.BytesIO(archive)) as old, tarfile.open(fileobj=out, mode="w") as new:
            entries = [(entry, old.extractfile(entry)) for entry in old.getmembers()]
            extra = tarfile.TarInfo(f"added-{member}")
            extra.size = len(text)
            entries.insert(position, (extra, io.BytesIO(text)))  # type: ignore[arg-type]
            for entry, data in entries:
                new.addfile(entry, data)
        return out.getvalue()

    assert not is_allowed(with_data(content, encoded_parts(content)[0], added))


# ---------------------------------------------------------------- the header

FIELDS = (b"Comments", b"Keywords", b"X-Note", b"X-Any-Thing", b"Thread-Topic", b"Subject", b"Content-Description")
FIELDS += (b"Sharing-Reference", b"Organization", b"X-Mailer", b"X-Spam-Report", b"List-Id", b"Summary")


@COMMON
@given(st.data(), st.sampled_from(FIELDS), st.booleans())
def test_an_identifier_in_a_field_of_the_header(data: st.DataObject, field: bytes, coded: bool) -> None:
    name, content = draw_message(data)
    value = b"=?utf-8?b?" + base64.b64encode(NUMBER) + b"?=" if coded else NUMBER
    assert not is_allowed(field + b": " + value + b"\r\n" + content), name


@COMMON
@given(st.data(), st.sampled_from((b"Comments", b"Keywords", b"Summary")), st.booleans())
def test_a_sentence_in_a_field_of_the_header(data: st.DataObject, field: bytes, coded: bool) -> None:
    name, content = draw_message(data)
    value = b"=?utf-8?b?" + base64.b64encode(SENTENCE) + b"?=" if coded else SENTENCE
    told = facts(field + b": " + value + b"\r\n" + content)
    assert told.whole is Strength.NONE, name
    assert told.body_characters >= len(SENTENCE.replace(b" ", b""))


@COMMON
@given(st.data(), st.sampled_from((*FIELDS[:7], b"From", b"Cc", b"Date")))
def test_a_story_in_a_field_of_the_header(data: st.DataObject, field: bytes) -> None:
    name, content = draw_message(data)
    value = STORY.replace(b"\r\n", b"\r\n ")
    assert not is_allowed(field + b": " + value + b"\r\n" + content), name


@COMMON
@given(st.data(), st.sampled_from((b"X-Note", b"Content-Description", b"Content-Location", b"Content-ID")))
def test_an_identifier_in_the_header_of_a_part(data: st.DataObject, field: bytes) -> None:
    name, content = draw_message(data, boundaries)
    boundary = data.draw(st.sampled_from(boundaries(content)))
    at = data.draw(st.sampled_from(delimiters(content, boundary)[:-1]))
    at = content.index(b"\r\n", at) + 2
    assert not is_allowed(content[:at] + field + b": " + NUMBER + b"\r\n" + content[at:]), name
