"""Who may hand mail over: clients by login, TLS certificate or network, each with its own sender domains.

Guarantees: a connection that no rule recognises is nobody's (promise 9: not an open relay). A login or a
certificate that does not fit never falls back to something weaker within the same check. Password hashes are
argon2id; verifying costs tens of milliseconds, so it is done off the event loop, a few at a time.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from gateway.model import Client
from gateway.settings import ClientRule


class Clients:
    """The configured clients, ready to be recognised."""

    def __init__(self, rules: Sequence[ClientRule]) -> None:
        self._rules = {rule.name: rule for rule in rules}
        self._clients = {rule.name: _client(rule) for rule in rules}
        self._by_login = {rule.login: rule for rule in rules if rule.login}
        self._by_certificate = {digest.lower(): rule.name for rule in rules for digest in rule.certificate_sha256}
        self._networks = sorted(
            ((network, rule.name) for rule in rules for network in rule.networks),
            key=lambda pair: pair[0].prefixlen,
            reverse=True,  # the narrowest network first
        )
        self._hasher = PasswordHasher()
        # An unknown login costs as much time as a wrong password.
        self._nobody = self._hasher.hash("nobody") if self._by_login else ""
        self._verifying = asyncio.Semaphore(2)

    def by_address(self, address: str) -> Client | None:
        """The client whose network holds the address; the narrowest network wins."""
        try:
            peer: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
        except ValueError:
            return None
        if isinstance(peer, IPv6Address) and peer.ipv4_mapped:
            peer = peer.ipv4_mapped
        for network, name in self._networks:
            if peer.version == network.version and peer in network:
                return self._clients[name]
        return None

    def by_certificate(self, der: bytes | None) -> Client | None:
        """The client that presented this certificate, by its SHA-256; the TLS layer has checked the chain."""
        if not der:
            return None
        name = self._by_certificate.get(hashlib.sha256(der).hexdigest())
        return self._clients[name] if name else None

    async def by_login(self, login: str, password: str) -> Client | None:
        """The client with that login and password; as slow for an unknown login as for a wrong password."""
        rule = self._by_login.get(login)
        async with self._verifying:
            good = await asyncio.to_thread(self._verify, rule.password_hash if rule else self._nobody, password)
        return self._clients[rule.name] if good and rule else None

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    def needs_tls(self, client: Client) -> bool:
        """True where this client's mail is only taken over TLS."""
        return self._rules[client.name].require_tls


def _client(rule: ClientRule) -> Client:
    return Client(rule.name, rule.agency, rule.sender_domains, rule.enforcement, rule.check_header_from)
