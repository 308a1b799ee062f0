"""Reads the configuration files: TOML to frozen models, and everything wrong with them at once, each with its line.

Guarantees: a `Settings` that comes out has its paths joined to the folder of its file, its credentials resolved
and its domains normalised. Every unknown key, wrong type and impossible value of a file is found in one pass.
Failures: `ConfigurationError` holding one `Fault` per mistake; nothing is ever silently ignored or replaced.
"""

from __future__ import annotations

import copy
import json
import math
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, time
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from gateway import toml_lines
from gateway.configuration_hints import ITEM_STAND_INS, STAND_INS, Unexplained, explain, model_at
from gateway.directory.domains import DomainError, normalise, normalise_address, normalise_host
from gateway.errors import ConfigurationError, Fault
from gateway.settings import Settings

Key = toml_lines.Path
Data = dict[str, Any]
Model = TypeVar("Model", bound=BaseModel)

CREDENTIAL = "credential:"
_SYNTAX_LINE = re.compile(r" \((?:at line (\d+), column \d+|at end of document)\)$")


@dataclass(frozen=True, slots=True)
class Document:
    """A TOML file: its name as given, its values, the line of each, and the paths found broken so far."""

    name: str
    data: Data
    lines: Mapping[Key, int]
    broken: set[Key] = field(default_factory=set)

    def line(self, path: Key) -> int:
        """The line of `path`, else of what holds it; 1 for the document itself."""
        while path:
            if path in self.lines:
                return self.lines[path]
            path = path[:-1]
        return 1

    def doubts(self, *keys: str | int) -> bool:
        """True where anything at or below the path of `keys` was found broken."""
        return any(bad[: len(keys)] == keys for bad in self.broken)

    def doubtful(self, path: Key) -> bool:
        """True where the value at `path`, or a part of it, was itself found broken: no use judging it further."""
        return any(path[: len(bad)] == bad or (len(path) > 2 and bad[: len(path)] == path) for bad in self.broken)


@dataclass(slots=True)
class Findings:
    """Collects faults and warnings in the order found."""

    faults: list[Fault] = field(default_factory=list)
    warnings: list[Fault] = field(default_factory=list)
    lapsed: list[Fault] = field(default_factory=list)  # those of `faults` that came by the passing of time alone

    def fault(self, document: Document, path: Key, problem: str, remedy: str) -> None:
        """Adds a fault, unless what it speaks of was already found broken."""
        if not document.doubtful(path):
            self.faults.append(Fault(document.name, document.line(path), problem, remedy))

    def lapse(self, document: Document, path: Key, problem: str, remedy: str) -> None:
        """Adds a fault that came by the passing of time alone: it was none when the file was written."""
        before = len(self.faults)
        self.fault(document, path, problem, remedy)
        self.lapsed += self.faults[before:]

    def warn(self, document: Document, path: Key, problem: str, remedy: str) -> None:
        """Adds a warning: nothing is wrong yet, but somebody should know."""
        if not document.doubtful(path):
            self.warnings.append(Fault(document.name, document.line(path), problem, remedy))

    def broken(self, document: Document, path: Key, problem: str, remedy: str) -> None:
        """Adds a fault and marks its path, so that what follows from it is not reported as well."""
        self.fault(document, path, problem, remedy)
        document.broken.add(path)


@dataclass(frozen=True, slots=True)
class Loaded(Generic[Model]):
    """A model read from a document. `model` is None where too little of it could be understood."""

    document: Document
    model: Model | None


def load_settings(path: Path) -> Settings:
    """The settings of the gateway.toml at `path`. Raises ConfigurationError with every fault in it at once.

    Relative paths are joined to the folder of the file, that of the key ring to the state folder. "credential:NAME"
    stands for the file NAME in $CREDENTIALS_DIRECTORY (systemd.exec(5), LoadCredential=).
    """
    findings = Findings()
    loaded = read_settings(path, findings)
    return accepted(loaded.model, findings)


def accepted(model: Model | None, findings: Findings) -> Model:
    """`model` where nothing is wrong; raises ConfigurationError with every fault otherwise."""
    if findings.faults or model is None:
        raise ConfigurationError(tuple(findings.faults))
    return model


def read_settings(path: Path, findings: Findings) -> Loaded[Settings]:
    """As load_settings, but adds the faults to `findings` and gives what could be understood for further checks."""
    document = read_document(path, findings)
    data = copy.deepcopy(document.data)
    _resolve_paths(data, path.parent, document, findings)
    _normalise_settings(data, document, findings)
    return Loaded(document, validate(Settings, document, data, findings))


# ---------------------------------------------------------------- reading TOML


def read_document(path: Path, findings: Findings) -> Document:
    """The TOML file at `path`. A file that cannot be read or parsed gives an empty, wholly broken document."""
    return parse_document(str(path), path.read_bytes, findings)


def parse_document(name: str, read: Callable[[], bytes], findings: Findings) -> Document:
    """As read_document, of what `read` gives."""
    try:
        text = read().decode("utf-8-sig").replace("\r\n", "\n")
        data = tomllib.loads(text)
        return Document(name, data, toml_lines.line_index(text))
    except FileNotFoundError:
        fault = Fault(name, 0, "there is no such file", "Create it, or correct the path that leads to it.")
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        fault = Fault(name, 0, f"the file cannot be read: {reason}", "Give the gateway's user the right to read it.")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        fault = Fault(name, line, "the file is not UTF-8 text", "Save it with the encoding UTF-8.")
    except tomllib.TOMLDecodeError as error:
        fault = _syntax_fault(name, text, str(error))
    except RecursionError:
        fault = Fault(name, 1, "lists or tables are nested too deeply", "Write them flat, as the sample files do.")
    findings.faults.append(fault)
    return Document(name, {}, {}, {()})


def _syntax_fault(name: str, text: str, message: str) -> Fault:
    found = _SYNTAX_LINE.search(message)
    problem = message[: found.start()] if found else message
    line = int(found[1]) if found and found[1] else text.count("\n") + (not text.endswith("\n"))
    words = next((words for start, words in _SYNTAX.items() if problem.startswith(start)), None)
    if words is None:
        words = f"this is not valid TOML ({problem[:1].lower()}{problem[1:]})", "Correct the line."
    return Fault(name, max(line, 1), *words)


# What tomllib says, the same in an administrator's words, and what to write instead.
_SYNTAX = {
    "Cannot overwrite a value": ("this key is there already", "Keep one of the two lines."),
    "Cannot declare": (
        "this heading is there already",
        "A table has one [heading]; the entries of a list have a [[heading]] each.",
    ),
    "Invalid value": (
        "the value is not valid TOML",
        'Put text in straight quotation marks: key = "value"; true, false, numbers and dates have none.',
    ),
    "Invalid statement": (
        "the line is not valid TOML",
        "Write key = value, or a heading in square brackets, or a comment after #.",
    ),
    "Expected '=' after a key": (
        "the line is not valid TOML: there is no = after the key",
        "Write key = value; a key with anything but letters, digits, - and _ needs quotation marks.",
    ),
    "Illegal character '\\n'": (
        "the line ends inside quotation marks",
        "Close the quotation mark on the line on which it opens.",
    ),
    "Unterminated string": ("a quotation mark is never closed", "Close it."),
    "Unclosed array": ("a list is not closed", "Put a comma between its entries and ] at its end."),
    "Unclosed inline table": ("a table in braces is not closed", "Close it with } on the same line."),
    "Expected newline or end": (
        "something follows the value",
        'Write one setting to a line, and a backslash before a quotation mark that is inside a text: \\".',
    ),
    "Unescaped '\\'": (
        "a backslash in a text means something else",
        "Write it twice, or put the text in 'single' quotation marks.",
    ),
}


# ---------------------------------------------------------------- validating


def validate(model: type[Model], document: Document, data: Data, findings: Findings) -> Model | None:
    """`data` as a `model`; everything that pydantic refuses becomes a fault with its line.

    Where the rest can still be judged, a model with harmless stand-ins for the broken values is returned, their
    paths marked in `document`; it must never be used for anything but finding more faults.
    """
    if () in document.broken:
        return None
    _refuse_special_floats(data, document, findings)
    for _ in range(8):
        try:
            return model.model_validate_json(json.dumps(data, default=_iso), strict=True)
        except ValidationError as refused:
            if not _take_errors(model, document, data, refused, findings):
                return None
    return None


def _iso(value: object) -> str:
    if isinstance(value, date | time):
        return value.isoformat()
    raise TypeError(f"no TOML value: {type(value).__name__}")


def _take_errors(
    model: type[BaseModel], document: Document, data: Data, refused: ValidationError, findings: Findings
) -> bool:
    """Turns errors into faults and puts stand-ins in their places; False where there is none."""
    done: set[Key] = set()
    for error in refused.errors(include_url=False):
        path = _path_in(data, error["loc"], error["type"])
        if path in done:
            continue
        value = _value_at(data, path)
        if error["type"] == "too_short" and value:
            continue  # there are entries, but none of them is right: each has an error of its own
        done.add(path)
        try:
            problem, remedy = explain(model, path, error, value)
        except Unexplained:
            problem, remedy = f"`{path[-1] if path else document.name}`: {error['msg']}", "Correct the value."
        findings.fault(document, path, problem, remedy)
    replaced = [_stand_in(model, document, data, path) for path in sorted(done, key=_deep_and_late_first)]
    return all(replaced)


def _deep_and_late_first(path: Key) -> tuple[int, str]:
    return -len(path), str(path)


def _path_in(data: Data, location: tuple[int | str, ...], kind: str) -> Key:
    """The part of pydantic's location that is a path of the document: without the names of union members."""
    path: Key = ()
    value: Any = data
    for element in location:
        try:
            value = value[element]
        except (KeyError, IndexError, TypeError):
            if kind != "missing" or element != location[-1]:
                continue
        path += (element,)
    return path


def _value_at(data: Data, path: Key) -> object:
    value: Any = data
    for element in path:
        if isinstance(value, dict):
            value = value.get(str(element))
        elif isinstance(value, list) and isinstance(element, int) and element < len(value):
            value = value[element]
        else:
            return None
    return value


def _stand_in(model: type[BaseModel], document: Document, data: Data, path: Key) -> bool:
    """Puts a harmless value where a broken one stood. False where none is known."""
    if not path:  # the only rule about a whole file: listeners or clients that need [tls]
        if model is not Settings or "tls" in data:
            return False
        data["tls"] = {"certificate": "/", "key": "/"}
        document.broken.add(("tls",))
        return True
    document.broken.add(path)
    holder, last = _value_at(data, path[:-1]), path[-1]
    if isinstance(holder, list) and isinstance(last, int):
        names = [element for element in path if isinstance(element, str)]
        stand_in = ITEM_STAND_INS.get(names[-1]) if names else None
        holder[last] = copy.deepcopy(stand_in)
        return stand_in is not None
    if not isinstance(holder, dict) or not isinstance(last, str):
        return False
    owner = model_at(model, path[:-1])
    known = {} if owner is None else {(info.alias or name): info for name, info in owner.model_fields.items()}
    if last in known and known[last].is_required():
        holder[last] = copy.deepcopy(STAND_INS.get(last))
        return last in STAND_INS
    holder.pop(last, None)
    return True


def _refuse_special_floats(data: Data, document: Document, findings: Findings) -> None:
    for path, holder, key, value in list(_leaves(data)):
        if isinstance(value, float) and not math.isfinite(value):
            findings.broken(document, path, f"`{path[-1]}` is not a finite number", "Write a number such as 60.")
            holder[key] = 1


def _leaves(value: Any, path: Key = ()) -> Iterator[tuple[Key, Any, Any, Any]]:
    """Every value that is no table or list: its path, what holds it, its key there, and itself."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in pairs:
        if isinstance(child, dict | list):
            yield from _leaves(child, (*path, key))
        else:
            yield (*path, key), value, key, child


# ---------------------------------------------------------------- paths, credentials, domains


def _resolve_paths(data: Data, folder: Path, document: Document, findings: Findings) -> None:
    """Joins relative paths to `folder` and resolves credentials. A relative key ring is in the state folder."""
    single = ("state", "partners", "secure_domains", "policy")
    nested = {
        "tls": ("certificate", "key", "client_ca"),
        "store": ("seal_key",),
        "delivery": ("ca_file",),
        "tls_reports": ("dkim_key",),
    }
    for name in ("partners", "secure_domains", "policy"):
        data.setdefault(name, str(Settings.model_fields[name].default))
    for key in single:
        _resolve_path(data, (key,), folder, document, findings)
    for table, keys in nested.items():
        for key in keys:
            if isinstance(data.get(table), dict):
                _resolve_path(data[table], (table, key), folder, document, findings)
    openpgp, state = data.setdefault("openpgp", {}), data.get("state")
    if isinstance(openpgp, dict) and isinstance(state, str) and isinstance(openpgp.setdefault("home", "gnupg"), str):
        openpgp["home"] = str(Path(state, openpgp["home"]).absolute())


def _resolve_path(holder: Data, path: Key, folder: Path, document: Document, findings: Findings) -> None:
    key = str(path[-1])
    value = holder.get(key)
    if not isinstance(value, str):
        return
    text = value.strip()
    if not text:
        findings.broken(document, path, f"`{key}` is empty", f'Write a path: {key} = "/path/to/it".')
        holder[key] = "/"
    elif text.startswith(CREDENTIAL):
        holder[key] = _credential(text.removeprefix(CREDENTIAL), path, document, findings)
    else:
        holder[key] = str(folder / text)


def _credential(name: str, path: Key, document: Document, findings: Findings) -> str:
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    key = path[-1]
    if not name or "/" in name or name in (".", ".."):
        problem = f"`{key}` names the credential `{name}`, which is no credential name"
        findings.broken(document, path, problem, f'Write the name alone, as in {key} = "credential:seal-key".')
    elif not directory:
        problem = f"`{key}` names the systemd credential `{name}`, but CREDENTIALS_DIRECTORY is not set"
        remedy = f"Run under a unit with LoadCredential={name}:/path/to/file, or write the path of the file here."
        findings.broken(document, path, problem, remedy)
    else:
        return str(Path(directory) / name)
    return "/"


def _normalise_settings(data: Data, document: Document, findings: Findings) -> None:
    normalise_at(data, ("hostname",), normalise, document, findings)
    normalise_at(data, ("postmaster",), normalise_address, document, findings)
    normalise_at(data, ("tls_reports", "contact"), normalise_address, document, findings)
    normalise_at(data, ("tls_reports", "dkim_domain"), normalise, document, findings)
    for index, client in enumerate(tables(data, "clients")):
        for place in range(len(listed(client, "sender_domains"))):
            normalise_at(data, ("clients", index, "sender_domains", place), normalise, document, findings)
        for place, digest in enumerate(listed(client, "certificate_sha256")):
            if isinstance(digest, str):
                client["certificate_sha256"][place] = digest.strip().replace(":", "").lower()
    for index, listener in enumerate(tables(data, "listeners")):
        if isinstance(listener.get("address"), str):
            normalise_at(data, ("listeners", index, "address"), normalise_host, document, findings)


def tables(data: Data, key: str) -> list[Data]:
    """The tables of the array of tables `key`; a table that is none comes as an empty one, so that indices hold."""
    value = data.get(key)
    return [item if isinstance(item, dict) else {} for item in value] if isinstance(value, list) else []


def listed(data: Data, key: str) -> list[Any]:
    """The list under `key`, empty where there is none."""
    value = data.get(key)
    return value if isinstance(value, list) else []


def normalise_at(data: Data, path: Key, rule: Callable[[str], str], document: Document, findings: Findings) -> None:
    """Puts the normal form of the text at `path` in its place; what has none becomes a fault and a stand-in."""
    holder: Any = _value_at(data, path[:-1])
    value = _value_at(data, path)
    if not isinstance(value, str):
        return  # of the wrong type, or absent: validation says so
    text = value.strip()
    if not text:
        return
    try:
        holder[path[-1]] = rule(text)
    except DomainError as error:
        findings.broken(document, path, str(error), _domain_remedy(text, rule, str(error)))
        last = path[-1] if isinstance(path[-1], str) else path[-2]
        stand_ins = ITEM_STAND_INS if isinstance(path[-1], int) else STAND_INS
        holder[path[-1]] = stand_ins.get(str(last), "invalid.invalid")


def _domain_remedy(text: str, rule: Callable[[str], str], problem: str) -> str:
    if rule is normalise_address or "e-mail address" in problem:
        return "Write one address without a name or angle brackets, such as dpo@agency.example."
    if "@" in text:
        return f"Write the part after the @ alone: `{text.rpartition('@')[2]}`."
    if "://" in text:
        return "Write the name alone, without https:// and without a path."
    if text.startswith("*."):
        return "Write each domain in full: wildcards are for secure-domains.toml alone."
    if rule is normalise_host:
        return "Write a host name such as relay.agency.example, or an IP address."
    return "Write a domain name such as agency.example: letters, digits, hyphens and dots."
