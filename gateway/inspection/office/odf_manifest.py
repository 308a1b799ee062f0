"""The manifest of an OpenDocument package: which members it says are encrypted, and how (ODF 1.3 part 2, section 3).

Guarantees: XML is read without entities, external parts or more depth than the format has; anything that the format
does not put there and that could carry words is reported. LibreOffice's extensions (Argon2id, OpenPGP) are known.
Failures: `ManifestError` for what is not a manifest.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass, field
from xml.parsers import expat

import pybase64

NAME = b"META-INF/manifest.xml"
MOST = 1024 * 1024  # octets of a manifest
_DEPTH_MOST = 12
_ENTRIES_MOST = 5000
_SEPARATOR = "\n"
_OASIS = "urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"
_OPENOFFICE = "http://openoffice.org/2001/manifest"
_LIBREOFFICE = "urn:org:documentfoundation:names:experimental:office:xmlns:loext:1.0"
_SPACES = frozenset({_OASIS, _OPENOFFICE, _LIBREOFFICE})
_XML_NAMESPACE = "http://www.w3.org/XML/1998/namespace"
_IDENTIFIER = re.compile(r"[A-Za-z0-9:/.#+_ -]{0,160}\Z")
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*\Z")
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9!#$&^_.+;= \"-]{0,60}(?:/[A-Za-z0-9!#$&^_.+;=,\" -]{0,120})?\Z")
_NUMBER = re.compile(r"-?[0-9]{1,19}\Z")
_VERSION = re.compile(r"[0-9.]{0,8}\Z")
_ATTRIBUTES: dict[str, re.Pattern[str] | None] = {
    "full-path": None,  # a name: compared with the members' names
    "media-type": _MEDIA_TYPE,
    "version": _VERSION,
    "size": _NUMBER,
    "preferred-view-mode": re.compile(r"[a-z-]{0,40}\Z"),
    "checksum-type": _IDENTIFIER,
    "checksum": _BASE64,
    "algorithm-name": _IDENTIFIER,
    "initialisation-vector": _BASE64,
    "start-key-generation-name": _IDENTIFIER,
    "key-derivation-name": _IDENTIFIER,
    "key-size": _NUMBER,
    "iteration-count": _NUMBER,
    "salt": _BASE64,
    "argon2-iterations": _NUMBER,
    "argon2-memory": _NUMBER,
    "argon2-lanes": _NUMBER,
    "PGPAlgorithm": _IDENTIFIER,
}
_HOLDS_TEXT = frozenset({"CipherValue", "PGPKeyID", "PGPKeyPacket"})
_ELEMENTS = frozenset(
    {
        "manifest",
        "file-entry",
        "encryption-data",
        "algorithm",
        "start-key-generation",
        "key-derivation",
        "KeyInfo",
        "keyinfo",
        "EncryptedKey",
        "encrypted-key",
        "EncryptionMethod",
        "encryption-method",
        "PGPData",
        "CipherData",
        *_HOLDS_TEXT,
    }
)


class ManifestError(ValueError):
    """Not a manifest, or more of one than is read."""


@dataclass(slots=True)
class Entry:
    """What the manifest says of one member. `said` holds the attributes of its encryption-data and what is in it."""

    path: str
    encrypted: bool = False
    said: dict[str, str] = field(default_factory=dict)

    def text(self, name: str) -> str:
        return self.said.get(name, "")

    def number(self, name: str, default: int) -> int:
        text = self.text(name)
        return int(text) if _NUMBER.match(text) else default

    def octets(self, name: str) -> bytes:
        """A value in base64. Raises ManifestError where it is none."""
        return from_base64(self.text(name))


@dataclass(slots=True)
class Manifest:
    """The entries by path, session keys that the manifest wraps with OpenPGP, and what is wrong with it."""

    entries: dict[str, Entry] = field(default_factory=dict)
    wrapped_keys: list[bytes] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)

    def find(self, code: str) -> None:
        if code not in self.findings:
            self.findings.append(code)


def from_base64(text: str) -> bytes:
    """Raises ManifestError where it is not base64."""
    try:
        return pybase64.b64decode("".join(text.split()), validate=True)
    except binascii.Error as error:
        raise ManifestError("not base64") from error


def read(data: bytes) -> Manifest:
    """The manifest in `data`."""
    if len(data) > MOST:
        raise ManifestError("longer than is read")
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator=_SEPARATOR)
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.CommentHandler = reader.comment
    parser.ProcessingInstructionHandler = reader.instruction
    parser.StartDoctypeDeclHandler = reader.doctype
    parser.EntityDeclHandler = reader.entity
    parser.StartNamespaceDeclHandler = reader.namespace
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise ManifestError("not XML") from error
    return reader.manifest


class _Reader:
    """Gathers a manifest from the parser's calls."""

    def __init__(self) -> None:
        self.manifest = Manifest()
        self._path: list[str] = []
        self._entry: Entry | None = None
        self._text: list[str] = []

    def start(self, name: str, attributes: dict[str, str]) -> None:
        space, _, local = name.rpartition(_SEPARATOR)
        if len(self._path) >= _DEPTH_MOST:
            raise ManifestError("nested deeper than the format is")
        if not self._path and local != "manifest":
            raise ManifestError("not a manifest")
        if space not in _SPACES or local not in _ELEMENTS:
            self.manifest.find("clear-metadata")
        self._path.append(local)
        self._text = []
        said = self._attributes(attributes)
        if local == "file-entry":
            self._begin_entry(said)
        elif self._entry is not None and local != "manifest":
            self._describe(local, said)

    def _attributes(self, attributes: dict[str, str]) -> dict[str, str]:
        """The attributes by local name, those that the format does not know reported."""
        said: dict[str, str] = {}
        for name, value in attributes.items():
            space, _, local = name.rpartition(_SEPARATOR)
            if local in said:
                self.manifest.find("manifest-odd")
            said[local] = value
            if space and space not in _SPACES:
                self.manifest.find("clear-metadata")
            if local not in _ATTRIBUTES:
                self.manifest.find("clear-metadata")
                continue
            pattern = _ATTRIBUTES[local]
            if pattern is not None and not pattern.match(value):
                self.manifest.find("clear-metadata")
        return said

    def _begin_entry(self, said: dict[str, str]) -> None:
        path = said.get("full-path", "")
        if self._entry is not None or path in self.manifest.entries:
            self.manifest.find("manifest-odd")
        if len(self.manifest.entries) >= _ENTRIES_MOST:
            raise ManifestError("more entries than are read")
        self._entry = self.manifest.entries.setdefault(path, Entry(path))

    def _describe(self, local: str, said: dict[str, str]) -> None:
        """What encryption-data and its children say of the entry; each may say it once."""
        entry = self._entry
        if entry is None:
            return
        if local == "encryption-data":
            if entry.encrypted:
                self.manifest.find("manifest-odd")
            entry.encrypted = True
        for name, value in said.items():
            key = "start-key-size" if local == "start-key-generation" and name == "key-size" else name
            if entry.said.setdefault(key, value) != value:
                self.manifest.find("manifest-odd")

    def end(self, name: str) -> None:
        local = self._path.pop()
        text = "".join(self._text).strip()
        self._text = []
        if local == "file-entry":
            self._entry = None
        if not text:
            return
        if local not in _HOLDS_TEXT or not _BASE64.match(text):
            self.manifest.find("clear-metadata")
        elif local == "CipherValue":
            self.manifest.wrapped_keys.append(from_base64(text))

    def text(self, text: str) -> None:
        if self._path and self._path[-1] not in _HOLDS_TEXT and text.strip():
            self.manifest.find("clear-metadata")
        self._text.append(text)

    def comment(self, text: str) -> None:
        if text.strip():
            self.manifest.find("clear-metadata")

    def instruction(self, target: str, text: str) -> None:
        self.manifest.find("clear-metadata")

    def doctype(self, name: str, system: str | None, public: str | None, subset: bool) -> None:
        """OpenOffice 1 wrote one that only names Manifest.dtd; no other has any use."""
        if subset or system != "Manifest.dtd" or name != "manifest:manifest":
            self.manifest.find("document-type")

    def entity(self, *_: object) -> None:
        raise ManifestError("entities are declared")

    def namespace(self, prefix: str | None, uri: str) -> None:
        if uri not in _SPACES and uri != _XML_NAMESPACE and not _IDENTIFIER.match(uri):
            self.manifest.find("clear-metadata")
