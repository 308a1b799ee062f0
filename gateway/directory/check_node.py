"""Judges gateway.toml: listeners, clients, certificate, seal key, limits.

Guarantees: everything wrong is found in one pass; reads the files that are named, and writes nothing. Failures: none
of its own; what cannot be read is a fault.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path

import argon2
from argon2.exceptions import InvalidHashError
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from gateway.configuration import Document, Findings, Key
from gateway.configuration_hints import did_you_mean
from gateway.directory import domains
from gateway.directory.model import Partner, Snapshot
from gateway.settings import ClientRule, Listener, Settings, TlsReports

SEAL_KEY_BYTES = 32
_ANY = ("0.0.0.0", "::")
_SOON = timedelta(days=30)
_LARGEST_FILE = 1 << 20  # no certificate or key comes near; guards against a path to a device or a database
_HEX = frozenset("0123456789abcdef")
_SELECTOR = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class KnownPartners:
    """The partners, and the document that says where one of them may be other than what it seems."""

    document: Document
    snapshot: Snapshot

    def refuse_unknown(self, document: Document, path: Key, noun: str, name: str, findings: Findings) -> None:
        """Adds the fault that no partner has the id `name`, unless the ids themselves are in doubt."""
        ids = [partner.id for partner in self.snapshot.partners]
        in_doubt = any(len(bad) < 3 or bad[2:] == ("id",) for bad in self.document.broken)
        if ids and not in_doubt:
            findings.fault(document, path, f"there is no {noun} `{name}` in partners.toml", did_you_mean(name, ids))

    def domains_doubtful(self, partner: Partner) -> bool:
        """True where a domain of the partner was found broken."""
        return self.document.doubts("partner", self.snapshot.partners.index(partner), "domains")


def judge(document: Document, settings: Settings, partners: KnownPartners, today: date, findings: Findings) -> None:
    """Adds every fault and warning about `settings` to `findings`."""
    _judge_names(document, settings, findings)
    _judge_listeners(document, settings, findings)
    _judge_clients(document, settings, partners, findings)
    _judge_limits(document, settings, findings)
    _judge_store(document, settings, findings)
    _judge_tls(document, settings, today, findings)
    _judge_delivery(document, settings, findings)
    _judge_tls_reports(document, settings.tls_reports, findings)
    if any(partner.keys for partner in partners.snapshot.partners) and shutil.which(settings.openpgp.program) is None:
        problem = f"the program `{settings.openpgp.program}`, which encrypts for partners, is not found"
        findings.fault(document, ("openpgp", "program"), problem, "Install it (apt install gnupg), or write its path.")


# ---------------------------------------------------------------- names and addresses


def leads_back(host: str, port: int, settings: Settings) -> bool:
    """True where `host` and `port` are one of the gateway's own listeners, as far as can be told without a lookup."""
    for listener in settings.listeners:
        if listener.port != port:
            continue
        if host in (settings.hostname, listener.address):
            return True
        if _is_loopback(host) and (listener.address in _ANY or _is_loopback(listener.address)):
            return True
    return False


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    return domains.is_address_literal(host) and ip_address(host).is_loopback


def is_unusable_address(host: str) -> bool:
    """True for an IP address that no host has: unspecified, multicast, broadcast."""
    if not domains.is_address_literal(host):
        return False
    address = ip_address(host)
    return address.is_unspecified or address.is_multicast or str(address) == "255.255.255.255"


def _judge_names(document: Document, settings: Settings, findings: Findings) -> None:
    if "." not in settings.hostname:
        problem = f"`{settings.hostname}` is no full host name, as EHLO needs (RFC 5321, section 2.3.5)"
        findings.warn(document, ("hostname",), problem, 'Write one with its domain: "gateway.agency.example".')
    if settings.state.exists() and not settings.state.is_dir():
        problem = f"`{settings.state}` is not a folder"
        findings.fault(document, ("state",), problem, "Name a folder of the gateway's own.")


# ---------------------------------------------------------------- listeners


def _judge_listeners(document: Document, settings: Settings, findings: Findings) -> None:
    taken: list[tuple[str, int, str]] = []
    for index, listener in enumerate(settings.listeners):
        here: Key = ("listeners", index)
        _judge_listener(document, here, listener, findings)
        for address, port, where in taken:
            if port == listener.port != 0 and _same_socket(address, listener.address):
                problem = f"two listeners are on port {port} (the other one is in {where})"
                remedy = "Give each its own port or its own address."
                findings.fault(document, (*here, "port"), problem, remedy)
        taken.append((listener.address, listener.port, f"line {document.line(here)}"))
    for address, port, where in taken:
        if port == settings.monitoring.port and _same_socket(address, settings.monitoring.address):
            problem = f"port {port} is that of a listener ({where}), too"
            findings.fault(document, ("monitoring", "port"), problem, "Choose another port, such as 9125.")


def _judge_listener(document: Document, here: Key, listener: Listener, findings: Findings) -> None:
    if listener.require_tls and listener.tls == "none":
        problem = "the listener requires TLS but does not offer it"
        findings.fault(document, (*here, "require_tls"), problem, 'Write tls = "starttls", or take require_tls out.')
    if not domains.is_address_literal(listener.address) and listener.address != "localhost":
        problem = f"`{listener.address}` is no IP address to listen on"
        findings.fault(document, (*here, "address"), problem, 'Write "0.0.0.0" for every IPv4 address, or one of them.')


def _same_socket(one: str, other: str) -> bool:
    same_family = (":" in one) == (":" in other)
    return one == other or (same_family and (one in _ANY or other in _ANY))


# ---------------------------------------------------------------- clients


def _judge_clients(document: Document, settings: Settings, partners: KnownPartners, findings: Findings) -> None:
    names: dict[str, int] = {}
    logins: dict[str, str] = {}
    certificates: dict[str, str] = {}
    networks: list[tuple[IPv4Network | IPv6Network, str]] = []
    for index, client in enumerate(settings.clients):
        here: Key = ("clients", index)
        if client.name in names:
            problem = f"`{client.name}` is the name of two clients (the other one is in line {names[client.name]})"
            findings.fault(document, (*here, "name"), problem, "Give each client a name of its own.")
        names.setdefault(client.name, document.line((*here, "name")))
        _judge_agency(document, here, client, partners, findings)
        _judge_networks(document, here, client, networks, findings)
        _judge_login(document, here, client, settings, logins, findings)
        _judge_client_certificates(document, here, client, settings, certificates, findings)
        if client.require_tls and all(listener.tls == "none" for listener in settings.listeners):
            problem = f"`{client.name}` must use TLS, but no listener offers it"
            findings.fault(document, (*here, "require_tls"), problem, 'Give a listener tls = "starttls".')


def _judge_agency(
    document: Document, here: Key, client: ClientRule, partners: KnownPartners, findings: Findings
) -> None:
    agency = partners.snapshot.partner(client.agency)
    if agency is None:
        partners.refuse_unknown(document, (*here, "agency"), "agency", client.agency, findings)
        return
    if partners.domains_doubtful(agency):
        return
    for place, domain in enumerate(client.sender_domains):
        if domain not in agency.domains:
            owner = partners.snapshot.partner_of(domain)
            whose = f" but of `{owner.id}`" if owner is not None else ""
            problem = f"`{domain}` is not a domain of `{agency.id}`{whose}"
            remedy = "Remove it: a client sends for its own agency only."
            if owner is None:
                remedy = f"Correct it, or add it to domains of `{agency.id}` in partners.toml."
            findings.fault(document, (*here, "sender_domains", place), problem, remedy)


def _judge_networks(
    document: Document,
    here: Key,
    client: ClientRule,
    networks: list[tuple[IPv4Network | IPv6Network, str]],
    findings: Findings,
) -> None:
    for place, network in enumerate(client.networks):
        path = (*here, "networks", place)
        if network.prefixlen == 0:
            problem = f"`{network}` is everybody: the gateway would be an open relay"
            findings.fault(document, path, problem, "Write the addresses of the agency's mail servers alone.")
            continue
        for other, name in networks:
            if name != client.name and _overlap(network, other):
                problem = f"`{network}` overlaps `{other}` of the client `{name}`: whose mail it is cannot be told"
                findings.fault(document, path, problem, "Give each client addresses of its own.")
        wide = network.prefixlen < (16 if network.version == 4 else 32)
        if wide and not network.is_loopback:
            problem = f"`{network}` is a very wide network for one agency's mail servers"
            findings.warn(document, path, problem, "Write the addresses of the servers, as narrow as possible.")
    networks.extend((network, client.name) for network in client.networks if network.prefixlen)


def _overlap(one: IPv4Network | IPv6Network, other: IPv4Network | IPv6Network) -> bool:
    if isinstance(one, IPv4Network):
        return isinstance(other, IPv4Network) and one.overlaps(other)
    return isinstance(other, IPv6Network) and one.overlaps(other)


def _judge_login(
    document: Document,
    here: Key,
    client: ClientRule,
    settings: Settings,
    logins: dict[str, str],
    findings: Findings,
) -> None:
    if not client.login:
        return
    if client.login in logins:
        problem = f"`{client.login}` is the login of the client `{logins[client.login]}`, too"
        findings.fault(document, (*here, "login"), problem, "Give each client a login of its own.")
    logins.setdefault(client.login, client.name)
    if all(listener.tls == "none" for listener in settings.listeners):
        problem = f"`{client.name}` cannot log in: logins are taken over TLS only, and no listener offers it"
        findings.fault(document, (*here, "login"), problem, 'Give a listener tls = "starttls" or "implicit".')
    path = (*here, "password_hash")
    remedy = "Run `gateway password` and put what it prints here, in quotation marks."
    try:
        parameters = argon2.extract_parameters(client.password_hash)
    except (InvalidHashError, ValueError):
        findings.fault(document, path, f"the password hash of `{client.name}` is no argon2id hash", remedy)
        return
    if parameters.type is not argon2.Type.ID:
        problem = f"the password hash of `{client.name}` is of argon2{parameters.type.name.lower()}, not argon2id"
        findings.fault(document, path, problem, remedy)


def _judge_client_certificates(
    document: Document,
    here: Key,
    client: ClientRule,
    settings: Settings,
    certificates: dict[str, str],
    findings: Findings,
) -> None:
    for place, digest in enumerate(client.certificate_sha256):
        path = (*here, "certificate_sha256", place)
        if len(digest) != 64 or not _HEX.issuperset(digest):
            problem = f"digest {place + 1} of `{client.name}` is no SHA-256 digest"
            remedy = "Write the 64 hexadecimal digits of `openssl x509 -noout -fingerprint -sha256 -in FILE`."
            findings.fault(document, path, problem, remedy)
        elif certificates.setdefault(digest, client.name) != client.name:
            problem = f"this certificate is that of the client `{certificates[digest]}`, too"
            findings.fault(document, path, problem, "Give each client a certificate of its own.")
    if client.certificate_sha256 and settings.tls is not None and settings.tls.client_ca is None:
        problem = f"`{client.name}` is known by its certificate, but [tls] has no client_ca"
        remedy = 'Add client_ca = "FILE" to [tls]: the authority that issued it, or the certificate itself.'
        findings.fault(document, (*here, "certificate_sha256"), problem, remedy)


# ---------------------------------------------------------------- limits, store, delivery


def _judge_limits(document: Document, settings: Settings, findings: Findings) -> None:
    limits, delivery = settings.limits, settings.delivery
    if 4 * limits.message_size > 3 * limits.bytes_in_flight:  # what one peer may hold: gateway.intake.limits
        problem = f"a message of message_size ({limits.message_size}) could never be taken in"
        remedy = "Make bytes_in_flight a third larger than that."
        findings.fault(document, ("limits", "bytes_in_flight"), problem, remedy)
    if limits.connections_per_client > limits.connections:
        problem = "connections_per_client is above connections, so it limits nothing"
        findings.warn(document, ("limits", "connections_per_client"), problem, "Write a number below connections.")
    if delivery.retry_first > delivery.retry_most:
        problem = f"the first retry ({delivery.retry_first:g} s) would come after the longest wait"
        findings.fault(document, ("delivery", "retry_first"), problem, "Make retry_most at least as large.")


def _judge_store(document: Document, settings: Settings, findings: Findings) -> None:
    url_path: Key = ("store", "url")
    if settings.store.url:
        remedy = 'Write "postgresql+psycopg://USER@HOST/DATABASE", or leave url out for SQLite in the state folder.'
        try:
            backend = make_url(settings.store.url).get_backend_name()
        except ArgumentError:
            findings.fault(document, url_path, "`url` is no SQLAlchemy URL", remedy)
        else:
            if backend not in ("sqlite", "postgresql"):
                findings.fault(document, url_path, f"the store cannot be `{backend}`", remedy)
    _judge_seal_key(document, settings.store.seal_key, findings)


def _judge_seal_key(document: Document, path: Path, findings: Findings) -> None:
    where: Key = ("store", "seal_key")
    content = _read(document, where, path, f"Make it once with `gateway seal-key {path}`.", findings)
    if content is None:
        return
    if len(content) != SEAL_KEY_BYTES:
        problem = f"the seal key `{path}` has {len(content)} bytes, not {SEAL_KEY_BYTES}"
        remedy = "Put the right file there; only where no mail is stored yet, make a new one with `gateway seal-key`."
        findings.fault(document, where, problem, remedy)
    _judge_privacy(document, where, path, "seal key", findings)


def _judge_privacy(document: Document, where: Key, path: Path, what: str, findings: Findings) -> None:
    """A secret that others may read is a fault. systemd guards its credentials itself, by access-control lists."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if directory and path.parent == Path(directory):
        return
    mode = stat.S_IMODE(path.stat().st_mode)
    others = 0o077 if what == "seal key" else 0o007  # a group such as ssl-cert may share a TLS key
    if mode & others:
        problem = f"the {what} `{path}` can be read by others (mode {mode:04o})"
        findings.fault(document, where, problem, f"Run: chmod 600 {path}")


def _judge_delivery(document: Document, settings: Settings, findings: Findings) -> None:
    for place, resolver in enumerate(settings.delivery.resolvers):
        address, _, port = resolver.partition("@")
        if not domains.is_address_literal(address) or (port and not (port.isdecimal() and 0 < int(port) < 65536)):
            problem = f"`{resolver}` is no address of a DNS server"
            path = ("delivery", "resolvers", place)
            findings.fault(document, path, problem, 'Write an IP address, or with a port "127.0.0.1@5353".')
    if settings.delivery.ca_file is not None:
        _certificates(document, ("delivery", "ca_file"), settings.delivery.ca_file, findings)


# ---------------------------------------------------------------- TLS reports


def _judge_tls_reports(document: Document, reports: TlsReports, findings: Findings) -> None:
    if not reports.enabled:
        return
    table: Key = ("tls_reports",)
    for name, value in (("organization", reports.organization), ("contact", reports.contact)):
        if not value:
            problem = f"every TLS report names its {name}, but there is none (RFC 8460, section 4.4)"
            findings.fault(document, table, problem, f'Write {name} = "...", or take enabled out.')
    known_contact = reports.contact and not document.doubtful((*table, "contact"))
    if known_contact and not reports.contact.isascii():
        problem = f"`{reports.contact}` cannot be the sender of TLS reports: it is not all ASCII"
        findings.fault(document, (*table, "contact"), problem, "Write an address without accents.")
    signing = {name: getattr(reports, name) for name in ("dkim_domain", "dkim_selector", "dkim_key")}
    missing = [name for name, value in signing.items() if not value]
    if len(missing) == len(signing):
        problem = "TLS reports by mail are not sent without DKIM keys: their receivers would ignore them"
        findings.warn(document, table, problem, "Write dkim_domain, dkim_selector and dkim_key, or rely on HTTPS.")
    elif missing:
        problem = f"DKIM needs dkim_domain, dkim_selector and dkim_key; here {' and '.join(missing)} is missing"
        findings.fault(document, table, problem, "Write all three, or none.")
    else:
        _judge_signing(document, reports, bool(known_contact), findings)


def _judge_signing(document: Document, reports: TlsReports, known_contact: bool, findings: Findings) -> None:
    submitter = reports.contact.rpartition("@")[2]
    certain = known_contact and not document.doubtful(("tls_reports", "dkim_domain"))
    if certain and not f".{submitter}".endswith(f".{reports.dkim_domain}"):
        problem = f"reports from `{submitter}` cannot be signed for `{reports.dkim_domain}`"
        remedy = "Write the domain of the contact, or one above it."
        findings.fault(document, ("tls_reports", "dkim_domain"), problem, remedy)
    if not _SELECTOR.fullmatch(reports.dkim_selector):
        problem = f"`{reports.dkim_selector}` is no DKIM selector (RFC 6376, section 3.1)"
        findings.fault(document, ("tls_reports", "dkim_selector"), problem, 'Write one such as "tlsrpt2026".')
    assert reports.dkim_key is not None
    where: Key = ("tls_reports", "dkim_key")
    key = _private_key(document, where, reports.dkim_key, findings)
    if key is None:
        return
    make = "Make one: openssl genrsa -out dkim.pem 2048"
    if not isinstance(key, RSAPrivateKey):
        problem = f"`{reports.dkim_key}` holds no RSA key, which every verifier of DKIM knows"
        findings.fault(document, where, problem, make)
    elif key.key_size < 1024:
        problem = f"the DKIM key has {key.key_size} bits; verifiers ignore less than 1024 (RFC 8301)"
        findings.fault(document, where, problem, make)
    elif key.key_size < 2048:
        findings.warn(document, where, f"the DKIM key has {key.key_size} bits; 2048 are advised (RFC 8301)", make)


# ---------------------------------------------------------------- certificate and key


def _judge_tls(document: Document, settings: Settings, today: date, findings: Findings) -> None:
    if settings.tls is None:
        return
    chain = _certificates(document, ("tls", "certificate"), settings.tls.certificate, findings)
    public = _public_key(document, settings.tls.key, findings)
    if settings.tls.client_ca is not None:
        _certificates(document, ("tls", "client_ca"), settings.tls.client_ca, findings)
    if not chain:
        return
    certified = chain[0].public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if public is not None and public != certified:
        problem = "the private key is not that of the certificate"
        remedy = "Name the key that the certificate was made for; the certificate itself must come first in its file."
        findings.fault(document, ("tls", "key"), problem, remedy)
    _judge_certificate(document, chain[0], settings.hostname, today, findings)


def _judge_certificate(
    document: Document, certificate: x509.Certificate, hostname: str, today: date, findings: Findings
) -> None:
    where: Key = ("tls", "certificate")
    now = datetime(today.year, today.month, today.day, tzinfo=UTC)
    last = certificate.not_valid_after_utc
    if last < now:
        findings.lapse(document, where, f"the certificate expired on {last.date()}", "Renew it.")
    elif last - now <= _SOON:
        findings.warn(document, where, f"the certificate expires on {last.date()}", "Renew it.")
    if certificate.not_valid_before_utc >= now + timedelta(days=1):
        problem = f"the certificate is not valid before {certificate.not_valid_before_utc.date()}"
        findings.fault(document, where, problem, "Use the present one until then, and check this machine's clock.")
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        listed: list[str] = []
    else:
        listed = [name.lower() for name in names.get_values_for_type(x509.DNSName)]
    if document.doubts("hostname"):
        return
    if hostname not in listed and f"*.{hostname.partition('.')[2]}" not in listed:
        problem = f"the certificate does not carry the name `{hostname}`"
        findings.warn(document, where, problem, "Agencies that verify it will not send: get one for that name.")


def _certificates(document: Document, where: Key, path: Path, findings: Findings) -> list[x509.Certificate]:
    content = _read(document, where, path, "Put the PEM file there, or correct the path.", findings)
    if content is None:
        return []
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        problem = f"`{path}` holds no certificate in PEM form"
        findings.fault(document, where, problem, "It must begin with -----BEGIN CERTIFICATE-----.")
        return []


def _public_key(document: Document, path: Path, findings: Findings) -> bytes | None:
    key = _private_key(document, ("tls", "key"), path, findings)
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) if key is not None else None


def _private_key(document: Document, where: Key, path: Path, findings: Findings) -> PrivateKeyTypes | None:
    content = _read(document, where, path, "Put the PEM file there, or correct the path.", findings)
    if content is None:
        return None
    try:
        key = load_pem_private_key(content, password=None)
    except TypeError:
        problem = f"the private key `{path}` has a passphrase, which nobody could enter"
        findings.fault(document, where, problem, "Remove it: openssl pkey -in OLD -out NEW.")
    except (ValueError, UnsupportedAlgorithm):
        problem = f"`{path}` holds no private key in PEM form"
        findings.fault(document, where, problem, "It must begin with -----BEGIN PRIVATE KEY-----.")
    else:
        _judge_privacy(document, where, path, "private key", findings)
        return key
    return None


def _read(document: Document, where: Key, path: Path, remedy: str, findings: Findings) -> bytes | None:
    """The content of a file that a setting names; None, and a fault, where it cannot be read."""
    if document.doubtful(where):
        return None
    try:
        if path.exists() and not path.is_file():
            findings.fault(document, where, f"`{path}` is not a file", "Write the path of the file itself.")
            return None
        with path.open("rb") as file:
            return file.read(_LARGEST_FILE)
    except FileNotFoundError:
        findings.fault(document, where, f"there is no file `{path}`", remedy)
    except OSError as error:
        reason = (error.strerror or "unknown reason").lower()
        findings.fault(document, where, f"`{path}` cannot be read: {reason}", "Let the gateway's user read it.")
    return None
