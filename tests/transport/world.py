"""Builds what the table describes: one DNS, one Postfix with a face per kind of server, rogues, a policy host.

Guarantees: everything is on loopback addresses of its own and ends with the block. Each case has a domain and hosts of
its own, so that all cases run at the same time; several hosts may be the same face. The gateway's part is
`World.deliver`: all cases at once through one `Deliverer`, each tried once.
"""

from __future__ import annotations

import asyncio
import http.server
import re
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from gateway.delivery.deliverer import Deliverer
from gateway.model import AttemptResult, Job, JobShare, Recipient, Requirement
from gateway.transport.resolver import Resolver
from gateway.transport.sts_fetch import Fetcher
from gateway.transport.sts_policies import Kept, StsPolicies
from tests.support.delivery import settings
from tests.support.dns import DnsWorld, Zone
from tests.support.dns import world as dns_world
from tests.support.mx import Exchangers, Face, Rogue, Rogues, exchangers, own_network
from tests.support.ports import folder
from tests.transport.pki import Chain, Issued, Pki
from tests.transport.vocabulary import EXTRA, FACES, TRICKS, Case, Host

BODY = b"From: dpo@council.test\r\nSubject: x\r\n\r\nthe-secret-text\r\n"
_STATES = {"secure": "signed", "insecure": "unsigned", "silent": "timeout"}  # the others bear the same name
_OLD_TLS = "tls_medium_cipherlist=ALL:@SECLEVEL=0"
_OPTIONS = {
    "tls11": ("smtpd_tls_protocols=TLSv1.1", _OLD_TLS),
    "tls12": ("smtpd_tls_protocols=TLSv1.2",),
    "tls13": ("smtpd_tls_protocols=TLSv1.3",),
}


@dataclass(frozen=True, slots=True)
class Place:
    """A host of a case, by its names."""

    name: str  # in the MX record
    base: str  # where its TLSA records are
    target: str  # where its address is
    zone: str  # of the target
    host: Host


def domain(case: Case) -> str:
    """The domain that mail of this case goes to."""
    return f"{case.name}.{case.zone}.test"


def places(case: Case) -> tuple[Place, ...]:
    """Its hosts in order of preference."""
    found = []
    for number, host in enumerate(case.hosts, 1):
        state = host.zone or case.zone
        name = domain(case) if case.mail == "implicit" else f"mx{number}.{case.name}.{state}.test"
        name = f"deep.{name}" if host.deep else name
        target = f"real{number}.{case.name}.{host.alias}.test" if host.alias else name
        base = name if host.tlsa_at_alias else target
        found.append(Place(name, base, target, host.alias or state, host))
    return tuple(found)


class Certificates:
    """The chain of every face; a leaf carries the names of all hosts that have this face."""

    def __init__(self, cases: Iterable[Case], home: Path) -> None:
        self.pki = Pki()
        self.home = home
        self.anchors = self.pki.anchors(home / "anchors.pem")
        names: dict[str, list[str]] = {}
        for case in cases:
            for place in places(case):
                own = domain(case)
                special = {"by-domain": own, "wildcard": f"*.{own}", "wrong-name": "mx.elsewhere.test"}
                names.setdefault(place.host.face, []).append(special.get(place.host.face, place.name))
        self.chains = {
            face: self._chain(face, list(dict.fromkeys(names.get(face, ["unused.test"]))))
            for face in (*FACES, *TRICKS, *EXTRA)
        }
        for authority in ("issuing", "other"):
            Chain(self.whose(authority)).write(home / f"{authority}.pem")
            (home / f"{authority}.pem").chmod(0o644)

    def _chain(self, face: str, names: list[str]) -> Chain:
        pki = self.pki
        if face in ("self-signed", "requiretls-self-signed"):
            return Chain(pki.leaf(names, self_signed=True))
        if face == "untrusted":
            return Chain(pki.leaf(names, issuer=pki.other), (pki.other,))
        leaf = pki.leaf(names, expired=face == "expired", cn_only=face.startswith("cn-only"))
        if face == "leaf-only":
            return Chain(leaf)
        return Chain(leaf, (pki.issuing, pki.root) if face == "rooted" else (pki.issuing,))

    def whose(self, word: str) -> Issued:
        """The certificate that a word of the table means: an authority, or the leaf of a face."""
        authorities = {"issuing": self.pki.issuing, "root": self.pki.root, "other": self.pki.other}
        return authorities.get(word) or self.chains[word].leaf

    def tlsa(self, record: str, face: str) -> str:
        """A TLSA record in presentation form."""
        usage, selector, matching, word = record.split()
        issued = self.whose(face if word == "leaf" else word)
        return f"TLSA {usage} {selector} {matching} {issued.data(int(selector), min(int(matching), 2))}"


class Shelf:
    """MTA-STS policies as they were kept before."""

    def __init__(self, kept: Iterable[Kept]) -> None:
        self._kept = {each.domain: each for each in kept}

    def load(self, domain: str) -> Kept | None:
        return self._kept.get(domain)

    def save(self, kept: Kept) -> None:
        self._kept[kept.domain] = kept

    def remove(self, kept: Kept) -> None:
        self._kept.pop(kept.domain, None)

    def all(self) -> Iterable[Kept]:
        return tuple(self._kept.values())


@dataclass
class World:
    """The running world."""

    dns: DnsWorld
    cases: dict[str, Case]
    certificates: Certificates
    exchangers: Exchangers
    rogues: dict[str, Rogue]
    addresses: dict[str, str]
    network: str
    kept: list[Kept] = field(default_factory=list)

    @property
    def resolver_address(self) -> str:
        """Where the resolver listens, on port 53."""
        return self.dns.resolver.partition("@")[0]

    def fill(self, text: str, case: Case) -> str:
        """Puts names, fingerprints and files into a text of the table."""
        names = {f"mx{number}": place.name for number, place in enumerate(places(case), 1)}

        def value(found: re.Match[str]) -> str:
            word = found[1]
            if word in names:
                return names[word]
            if word == "domain":
                return domain(case)
            if word.endswith(".pem"):
                return str(self.certificates.home / word)
            kind, _, whose = word.partition(":")
            digest = self.certificates.whose(whose).pin(kind).partition(":")[2].upper()
            return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))

        return re.sub(r"\{([^}]+)\}", value, text)

    def pin(self, pin: str) -> str:
        """A pin of the table as the directory writes it."""
        kind, _, whose = pin.partition(":")
        return self.certificates.whose(whose).pin(kind)

    def requirement(self, case: Case) -> Requirement:
        """The requirement with names and pins filled in."""
        asked = case.requirement
        return replace(
            asked,
            names=tuple(self.fill(name, case) for name in asked.names),
            pins=tuple(self.pin(pin) for pin in asked.pins),
        )

    def job(self, case: Case) -> Job:
        """One share for the case's domain."""
        share = JobShare(f"{case.name}-1", Recipient(f"gateway@{domain(case)}"))
        return Job(
            case.name, "dpo@council.test", (share,), domain(case), self.requirement(case), requiretls=case.asked,
            body=BODY,
        )  # fmt: skip

    async def deliver(self, cases: Iterable[Case]) -> dict[str, AttemptResult]:
        """Every case tried once, all at the same time; by name."""
        made = settings(
            ca_file=self.certificates.anchors, resolvers=(self.dns.resolver,), connect_timeout=4.0, connections=250
        )
        resolver = Resolver(made.delivery.resolvers, made.delivery.dnssec)
        policies = StsPolicies(resolver, Fetcher(resolver, made.delivery.ca_file), Shelf(self.kept))
        deliverer = Deliverer(made, resolver=resolver, policies=policies)
        listed = list(cases)
        try:
            results = await asyncio.gather(*(deliverer.deliver(self.job(case)) for case in listed))
        finally:
            await deliverer.close()
            await policies.close()
        return {case.name: result[0] for case, result in zip(listed, results, strict=True)}

    def arrived(self, recipient: str) -> list[str]:
        """The faces and rogues that took a message for the recipient."""
        rogues = [rogue.name for rogue in self.rogues.values() for _ in rogue.taken.get(recipient, ())]
        return self.exchangers.arrivals().get(recipient, []) + rogues


@contextmanager
def world(cases: Iterable[Case], through: Mapping[str, int] | None = None) -> Iterator[World]:
    """The world of these cases, for the length of the block.

    `through` gives for the names of cases the last octet of the address that DNS has for their hosts, where that is to
    be another one than the face's.
    """
    listed = {case.name: case for case in cases}
    with ExitStack() as stack:
        home = stack.enter_context(folder("gw-world"))
        network = stack.enter_context(own_network())
        certificates = Certificates(listed.values(), home)
        servers = (*FACES, *TRICKS, *EXTRA)
        addresses = {face: f"{network}.{number}" for number, face in enumerate(servers, 1)}
        policy_address = f"{network}.252"
        detours = {name: f"{network}.{octet}" for name, octet in (through or {}).items()}
        zones = _zones(listed.values(), certificates, addresses, detours, policy_address)
        faces = [
            Face(
                face, addresses[face],
                None if face == "no-starttls" else certificates.chains[face].write(home / f"{face}.pem"),
                _OPTIONS.get(face, ()),
            )
            for face in FACES
        ]  # fmt: skip
        rogues = {
            face: Rogue(
                face, addresses[face], "requiretls" if face == "requiretls-self-signed" else face,  # type: ignore[arg-type]
                certificates.chains[face].context(home / f"{face}.pem"),
            )
            for face in (*TRICKS, "requiretls-self-signed")
        }  # fmt: skip
        own = stack.enter_context(ExitStack())  # ends after the thread that fills it
        starting = stack.enter_context(ThreadPoolExecutor(1)).submit(own.enter_context, exchangers(faces))
        dns = stack.enter_context(dns_world(zones, address=f"{network}.53", port=53))
        postfix = starting.result()
        stack.enter_context(Rogues(list(rogues.values())))
        texts = {f"mta-sts.{domain(case)}": _policy(case) for case in listed.values() if case.policy is not None}
        stack.enter_context(_policy_host(policy_address, texts, certificates))
        made = World(dns, listed, certificates, postfix, rogues, addresses, network)
        made.kept += [_kept(case) for case in listed.values() if case.policy is not None and case.policy.cached]
        yield made


# ---------------------------------------------------------------- DNS


def _zones(
    cases: Iterable[Case], certificates: Certificates, addresses: dict[str, str], detours: dict[str, str],
    policy_address: str,
) -> dict[str, Zone]:  # fmt: skip
    lines: dict[str, list[str]] = {
        state: [] for state in ("secure", "insecure", "bogus", "expired", "servfail", "silent")
    }
    zones: dict[str, Zone] = {}
    for case in cases:
        own = domain(case)
        if case.mail == "nothing":
            continue
        if case.mail == "null":
            lines[case.zone].append(f"{own}. MX 0 .")
        for number, place in enumerate(places(case), 1):
            if case.mail == "mx":
                lines[case.zone].append(f"{own}. MX {number}0 {place.name}.")
            if place.target != place.name:
                lines[place.host.zone or case.zone].append(f"{place.name}. CNAME {place.target}.")
            lines[place.zone].append(_address(place, detours.get(case.name, addresses[place.host.face])))
            records = [certificates.tlsa(record, place.host.face) for record in place.host.tlsa]
            if place.host.tlsa_zone:
                state = _STATES.get(place.host.tlsa_zone, place.host.tlsa_zone)
                zones[f"_tcp.{place.base}"] = Zone(tuple(f"_25 {record}" for record in records), state)
            else:
                zone = place.base.split(".")[-2]
                lines[zone] += [f"_25._tcp.{place.base}. {record}" for record in records]
        if case.policy is not None:
            lines[case.zone].append(f"mta-sts.{own}. A {policy_address}")
            if case.policy.record:
                lines[case.zone].append(f'_mta-sts.{own}. TXT "v=STSv1; id=new1;"')
    return zones | {f"{state}.test": Zone(tuple(text), _STATES.get(state, state)) for state, text in lines.items()}


def _address(place: Place, address: str) -> str:
    return f"{place.target}. A {address}" if place.host.address else f'{place.target}. TXT "no address"'


# ---------------------------------------------------------------- MTA-STS


def _text(case: Case, mode: str, hosts: tuple[str, ...]) -> str:
    names = {f"mx{number}": place.name for number, place in enumerate(places(case), 1)}
    lines = [f"mx: {host.format(domain=domain(case), **names)}" for host in hosts]
    return "\n".join(["version: STSv1", f"mode: {mode}", *lines, "max_age: 86400", ""])


def _policy(case: Case) -> str:
    """What the policy host serves; "": it does not know the domain."""
    assert case.policy is not None
    return _text(case, case.policy.mode, case.policy.mx) if case.policy.fetch == "ok" else ""


def _kept(case: Case) -> Kept:
    assert case.policy is not None
    text = _text(case, case.policy.cached, case.policy.cached_mx)
    fetched = time.time() - 3600
    return Kept(domain(case), "old1", text, fetched, fetched + 86400)


@contextmanager
def _policy_host(address: str, texts: dict[str, str], certificates: Certificates) -> Iterator[None]:
    """An HTTPS server that serves each host's policy, and 404 where there is none."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = texts.get(self.headers.get("Host", ""), "").encode()
            known = body and self.path == "/.well-known/mta-sts.txt"
            self.send_response(200 if known else 404)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing is logged."""

    leaf = certificates.pki.leaf(sorted(texts) or ["mta-sts.unused.test"])
    chain = Chain(leaf, (certificates.pki.issuing,))
    with http.server.ThreadingHTTPServer((address, 443), Handler) as server:
        server.socket = _context(chain, certificates.home).wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join(5)


def _context(chain: Chain, home: Path) -> ssl.SSLContext:
    return chain.context(home / "policy-host.pem")
