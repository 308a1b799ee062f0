"""What to tell an administrator about a value that the models refuse: the problem and what to write instead.

Guarantees: pure; each answer is one sentence for the problem, without a full stop, and one or two for the remedy.
Failures: `Unexplained` for an error that pydantic may gain in a later version; the caller then shows its own words.
"""

from __future__ import annotations

from difflib import get_close_matches
from ipaddress import ip_interface
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import ErrorDetails

Path = tuple[str | int, ...]
Advice = tuple[str, str]

# Harmless values that let the rest of a file be judged when a required one is broken; never used otherwise.
STAND_INS: dict[str, Any] = {
    "hostname": "gateway.invalid",
    "state": "/",
    "postmaster": "postmaster@invalid.invalid",
    "listeners": [{"port": 0}],
    "clients": [{"name": "x", "agency": "x", "sender_domains": ["invalid.invalid"], "networks": ["192.0.2.255/32"]}],
    "store": {"seal_key": "/"},
    "seal_key": "/",
    "certificate": "/",
    "key": "/",
    "name": "x",
    "agency": "x",
    "sender_domains": ["invalid.invalid"],
    "id": "x",
    "domains": [],
    "spoc": {"role": "x", "email": "x@invalid.invalid"},
    "role": "x",
    "email": "x@invalid.invalid",
    "fingerprint": "0" * 40,
    "host": "host.invalid",
    "route": {"host": "host.invalid"},
    "partner": "x",
    "domain": "invalid.invalid",
    "basis": "other",
    "evidence": "x",
    "owner": "x",
    "valid_from": "2000-01-01",
    "valid_until": "2000-12-31",
    "purposes": {},
    "bases": {},
    "conditions": {},
    "purpose": "x",
}
ITEM_STAND_INS: dict[str, Any] = {
    "listeners": STAND_INS["listeners"][0],
    "clients": STAND_INS["clients"][0],
    "networks": "192.0.2.255/32",
    "sender_domains": "invalid.invalid",
    "domains": "invalid.invalid",
    "certificate_sha256": "0" * 64,
    "resolvers": "127.0.0.1",
    "partner": {"id": "x", "name": "x", "domains": [], "spoc": STAND_INS["spoc"]},
    "protection": "openpgp",
    "keys": {"fingerprint": "0" * 40},
    "names": "invalid.invalid",
    "mx": "invalid.invalid",
    "pins": "0" * 64,
    "next_pins": "0" * 64,
    "tls_versions": "TLSv1.3",
    "domain": {
        key: STAND_INS[key] for key in ("domain", "partner", "basis", "evidence", "owner", "valid_from", "valid_until")
    },
    "countries": "GB",
    "rule": {"purpose": "x"},
}

# What to write, by key, wherever the key is missing, empty or of the wrong kind.
EXAMPLES: dict[str, str] = {
    "signature_files": "the 64 hexadecimal digits that `gateway inspect --json FILE` prints as sha256",
    "watch_words": 'a word or phrase such as "Heron", with "*" only at its end',
    "common_passwords": 'a password such as "Password{year}", at most 64 characters long',
    "hostname": 'the full host name of this gateway: hostname = "gateway.agency.example"',
    "state": 'the folder for queue, audit log and keys: state = "/var/lib/partner-mail-gateway"',
    "postmaster": 'the address that answers for this gateway: postmaster = "postmaster@agency.example"',
    "listeners": 'at least one [[listeners]] table, with address = "0.0.0.0", port = 25 and tls = "starttls"',
    "clients": "at least one [[clients]] table, one for each mail server that may send through this gateway",
    "store": 'a [store] table with seal_key = "/etc/partner-mail-gateway/seal.key"',
    "seal_key": 'the file of 32 random bytes that `gateway seal-key FILE` makes: seal_key = "/path/to/seal.key"',
    "tls.certificate": 'the PEM file of the certificate chain: certificate = "/path/to/fullchain.pem"',
    "tls.key": 'the PEM file of the private key: key = "/path/to/key.pem"',
    "clients.name": 'a short name in lower-case letters, digits and hyphens: name = "solihull-mbc-mail"',
    "clients.agency": 'the id of the agency in partners.toml: agency = "solihull-mbc"',
    "sender_domains": 'the domains it may send from: sender_domains = ["agency.example"]',
    "networks": 'networks in CIDR form: networks = ["192.0.2.10/32", "2001:db8::/64"]',
    "partner.id": 'a short id in lower-case letters, digits and hyphens, which never changes: id = "solihull-mbc"',
    "partner.name": 'the agency\'s full name: name = "Solihull Metropolitan Borough Council"',
    "partner.domains": 'the domains of its mail addresses: domains = ["agency.example"]',
    "spoc": 'the agency\'s single point of contact (clause 5.3.9): spoc = { role = "Data Protection Officer", '
    'email = "dpo@agency.example" }',
    "role": 'a role, not a person: role = "Data Protection Officer"',
    "email": 'a role\'s address: email = "dpo@agency.example"',
    "country": 'two capital letters of ISO 3166: country = "GB"',
    "protection": 'methods in the order of preference: protection = ["openpgp"]',
    "fingerprint": "the 40 (or, for a version 6 key, 64) hexadecimal digits that `gateway keys list` shows, "
    "in capitals and without spaces",
    "host": 'the name or address of the next hop: host = "relay.agency.example"',
    "service.name": 'the name of the service: name = "CJSM"',
    "route": 'how to reach it: route = { host = "relay.agency.example", port = 25 }',
    "domain.domain": 'one domain, or "*." and a domain for all names below it: domain = "agency.example"',
    "domain.partner": 'the id of the agency in partners.toml: partner = "solihull-mbc"',
    "domain.basis": 'why the domain is trusted: "DCB1596", "gov.uk-secure-email", "contract" or "other"',
    "evidence": 'what was seen, and where: evidence = "DCB1596 list, downloaded 1 September"',
    "owner": 'the role that answers for this entry: owner = "Information Governance Manager"',
    "valid_from": "the first day: valid_from = 2026-09-01",
    "valid_until": "the last day, at most a year after the first: valid_until = 2027-08-31",
    "review": "the day on which to look at it again: review = 2027-06-01",
    "purposes": 'a [purposes] table, one line for each: "3.5.1" = "..."',
    "bases": 'a [bases] table, one line for each: "4.1.2" = "..."',
    "conditions": 'a [conditions] table, one line for each: "5.4(h)" = "..."',
    "purpose": 'a code of [purposes]: purpose = "3.5.1"',
    "pins": "SHA-256 digests of a public key, 64 hexadecimal digits each, in a list",
    "next_pins": "the pins that will replace those under pins, in a list",
    "tls_versions": 'versions in a list: tls_versions = ["TLSv1.2", "TLSv1.3"]',
    "assurance": 'what a delivery must prove: assurance = "pkix", "pinned", "dane" or "mta-sts"',
    "register_owner": 'the address that is told about the register: register_owner = "security@agency.example"',
    "countries": 'countries of ISO 3166 in a list: countries = ["GB"]',
}
_KINDS = {
    "string": "text in quotation marks",
    "int": "a whole number without quotation marks",
    "float": "a number without quotation marks",
    "bool": "true or false, without quotation marks",
    "date": "a date such as 2026-09-01, without quotation marks",
    "tuple": "a list in square brackets",
    "list": "a list in square brackets",
    "dict": "a table",
    "model": "a table",
    "path": "a path in quotation marks",
    "ip": 'a network in quotation marks, such as "192.0.2.0/24"',
}
_VALUES = {"int": "10", "float": "10", "bool": "true", "tuple": '["..."]', "string": '"..."', "date": "2026-09-01"}
_MODEL_RULES = {
    "a client needs networks": 'Add networks = ["192.0.2.10/32"], or login and password_hash, or certificate_sha256.',
    "login and password_hash": "Give both (`gateway password` prints the hash), or neither.",
    "a listener with tls": 'Add a [tls] table with certificate and key, or set tls = "none" for every listener.',
    "clients with a login": "Add a [tls] table with certificate and key, or recognise the clients by networks.",
}


class Unexplained(Exception):
    """No words are kept for this kind of error."""


def explain(model: type[BaseModel], path: Path, error: ErrorDetails, value: object) -> Advice:
    """The problem and the remedy for one pydantic error at `path`. Raises Unexplained for an unknown kind."""
    kind, context = error["type"], error.get("ctx", {})
    name = key_name(path)
    if kind == "missing":
        return f"{name} is missing", f"Add {example(path)}."
    if kind == "extra_forbidden":
        return _unknown_key(model, path)
    if kind in ("literal_error", "enum"):
        return _not_one_of(name, value, str(context.get("expected", "")))
    if kind.startswith("ip_") or (len(path) > 1 and path[-2] == "networks" and kind == "value_error"):
        return f"`{value}` is not a network", _network_remedy(value)
    if kind == "value_error":
        return _rule_broken(str(context.get("error", error["msg"])))
    if kind in ("string_too_short", "too_short"):
        return f"{name} is empty", f"Write {example(path)}."
    if kind == "string_pattern_mismatch":
        return f"{name} is `{value}`, which has the wrong form", f"Write {example(path)}."
    if kind.startswith(("greater_than", "less_than")):
        return _out_of_range(name, value, kind, context)
    return _wrong_kind(name, path, kind, value)


def key_name(path: Path) -> str:
    """How to call the value at `path`: its key, or the key of its list and its place in it."""
    if not path:
        return "the file"
    if isinstance(path[-1], int):
        return f"entry {path[-1] + 1} of `{path[-2] if len(path) > 1 else ''}`"
    return f"`{path[-1]}`"


def example(path: Path, kind: str = "string") -> str:
    """What to write for the value at `path`, as the object of "write" or "add"."""
    names = [element for element in path if isinstance(element, str)]
    for candidate in (".".join(names[-2:]), names[-1] if names else ""):
        if candidate in EXAMPLES:
            return EXAMPLES[candidate]
    value = next((text for start, text in _VALUES.items() if kind.startswith(start)), None)
    key = names[-1] if names else ""
    return f"it as in {key} = {value}" if key and value else f"a value for {key_name(path)}"


def did_you_mean(word: str, choices: list[str]) -> str:
    """A sentence that names the likely choice, or lists them all."""
    close = get_close_matches(word.lower(), choices, n=1, cutoff=0.6)
    if close:
        return f"Did you mean `{close[0]}`?"
    if not choices:
        return "Remove it."
    return f"Known here: {', '.join(f'`{choice}`' for choice in sorted(choices))}."


def model_at(model: type[BaseModel], path: Path) -> type[BaseModel] | None:
    """The model of the table at `path`, None where the table has free keys or there is none."""
    current: type[BaseModel] | None = model
    for element in path:
        if isinstance(element, int):
            continue
        fields = {} if current is None else {(info.alias or name): info for name, info in current.model_fields.items()}
        current = _inner_model(fields[element].annotation) if element in fields else None
    return current


def _inner_model(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and not get_args(annotation) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, UnionType, Annotated, tuple, list):
        return next((found for found in map(_inner_model, get_args(annotation)) if found is not None), None)
    return None


def _unknown_key(model: type[BaseModel], path: Path) -> Advice:
    owner = model_at(model, path[:-1])
    choices = [] if owner is None else [info.alias or name for name, info in owner.model_fields.items()]
    return f"`{path[-1]}` is not a known key", did_you_mean(str(path[-1]), choices)


def _not_one_of(name: str, value: object, expected: str) -> Advice:
    choices = [choice.strip(" '") for choice in expected.replace(" or ", ", ").split(",") if choice.strip()]
    close = get_close_matches(str(value).lower(), choices, n=1, cutoff=0.6)
    listed = ", ".join(f'"{choice}"' for choice in choices)
    remedy = f'Did you mean "{close[0]}"? Possible: {listed}.' if close else f"Write one of: {listed}."
    return f"{name} is `{value}`, which is not a possible value", remedy


def _rule_broken(message: str) -> Advice:
    remedy = next((text for start, text in _MODEL_RULES.items() if message.startswith(start)), "Correct it.")
    return message, remedy


def _network_remedy(value: object) -> str:
    try:
        interface = ip_interface(str(value))
    except ValueError:
        return 'Write a network such as "192.0.2.0/24" or "2001:db8::/64", or one address such as "192.0.2.10".'
    bits = interface.ip.max_prefixlen
    return f'Write "{interface.network}" for the whole network, or "{interface.ip}/{bits}" for the one host.'


def _out_of_range(name: str, value: object, kind: str, context: dict[str, Any]) -> Advice:
    words = {"greater_than": "above", "greater_than_equal": "of at least", "less_than": "below"}
    bound = next((context[key] for key in ("gt", "ge", "lt", "le") if key in context), "")
    number = f"{bound:g}" if isinstance(bound, float) else str(bound)
    return f"{name} is {value}, which is out of range", f"Write a number {words.get(kind, 'of at most')} {number}."


def _wrong_kind(name: str, path: Path, kind: str, value: object) -> Advice:
    wanted = next((text for start, text in _KINDS.items() if kind.startswith(start)), None)
    if wanted is None:
        raise Unexplained(kind)
    if len(path) > 1 and path[0] in ("purposes", "bases", "conditions") and isinstance(value, dict):
        return (
            f"the code `{'.'.join(_first_code(path[1:], value))}` is not in quotation marks",
            f"Put the code in quotation marks, as in {EXAMPLES[str(path[0])].rpartition(': ')[2]}.",
        )
    return f"{name} must be {wanted}", f"Write {example(path, kind)}."


def _first_code(path: Path, value: object) -> list[str]:
    code = [str(element) for element in path]
    while isinstance(value, dict) and value:
        key = next(iter(value))
        code.append(str(key))
        value = value[key]
    return code
