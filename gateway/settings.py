"""config/gateway.toml as frozen settings: what this node is, whom it serves, where it keeps things.

Guarantees: unknown keys and bad combinations are refused; a `Settings` that exists is usable as it stands.
Relative paths are taken from the folder of the file. Failures: `ConfigurationError` with every fault at once
(see `gateway.configuration`). What concerns partners and policy is not here but in the directory's snapshot.
"""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from gateway.directory.model import Frozen, Port
from gateway.model import Enforcement

Network = IPv4Network | IPv6Network
Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class Listener(Frozen):
    """One address that takes mail in. `tls = "implicit"` is RFC 8314; "starttls" offers it; "none" does not."""

    address: str = "127.0.0.1"
    port: int = Field(default=25, ge=0, le=65535)
    tls: Literal["none", "starttls", "implicit"] = "starttls"
    require_tls: bool = False  # refuse MAIL before STARTTLS (RFC 3207 section 4: for servers that are not public)


class TlsFiles(Frozen):
    """The gateway's own certificate, and the CA that client certificates must come from."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


class ClientRule(Frozen):
    """An agency server. It is recognised by network, by login over TLS, or by TLS client certificate."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    agency: str  # id of a partner
    sender_domains: tuple[str, ...] = Field(min_length=1)
    networks: tuple[Network, ...] = ()
    login: str = ""
    password_hash: str = ""  # argon2id, as `gateway password` prints it
    certificate_sha256: tuple[str, ...] = ()  # hexadecimal digest of the client certificate
    enforcement: Enforcement = Enforcement.ENFORCE
    check_header_from: bool = True
    require_tls: bool = False

    @model_validator(mode="after")
    def _recognisable(self) -> Self:
        if not (self.networks or self.login or self.certificate_sha256):
            raise ValueError("a client needs networks, a login or a certificate_sha256 to be recognised by")
        if bool(self.login) != bool(self.password_hash):
            raise ValueError("login and password_hash go together")
        return self


class Limits(Frozen):
    """What one node bears. Sizes in bytes, times in seconds; per worker where not said otherwise."""

    message_size: Count = 50 * 1024 * 1024
    recipients: Count = 100
    connections: Count = 200
    connections_per_client: Count = 50
    bytes_in_flight: Count = 192 * 1024 * 1024
    command_timeout: Seconds = 300.0
    data_timeout: Seconds = 180.0  # between two blocks of DATA (RFC 5321 section 4.5.3.2.5)
    transaction_timeout: Seconds = 900.0  # for the whole of DATA
    received_headers: Count = 100
    own_hops: Count = 3
    errors: Count = 20  # refused commands before the connection is closed


class Store(Frozen):
    """Where queue and audit log live. `url` is an SQLAlchemy URL; the default is SQLite in `state`."""

    url: str = ""
    seal_key: Path  # 32 random bytes; `gateway serve` never makes one by itself
    inline_limit: int = Field(default=262144, ge=0)  # bodies above this size are sealed files


class OpenPgp(Frozen):
    """The gpg program and the gateway's own key ring."""

    program: str = "gpg"
    home: Path = Path("gnupg")
    timeout: Seconds = 60.0
    processes: Count = 4


class Smime(Frozen):
    """The certificates of partners that the gateway holds."""

    certificates: Path = Path("certificates")  # folder of DER files, in the state folder where relative


class Rendering(Frozen):
    """The processes that turn message texts into PDF: hostile HTML meets them, not a worker."""

    processes: Count = 1  # per worker
    timeout: Seconds = 60.0
    memory: Count = 1024 * 1024 * 1024  # bytes of address space


class Passwords(Frozen):
    """How passwords reach people. Keys are files (or credentials of systemd)."""

    notify_key: Path | None = None  # API key of GOV.UK Notify
    notify_template: str = ""  # id of the template, with the placeholders that docs/passwords.md names
    notify_url: str = ""  # default: the service's own
    webhook_url: str = ""
    webhook_key: Path | None = None  # HMAC-SHA256 key of the webhook's signature
    keep_days: Count = 90  # a password made for one message can be asked for so long


class DkimKey(Frozen):
    """What the gateway signs with for one sender domain whose own signature its encryption breaks (RFC 6376)."""

    domain: str
    selector: str = Field(min_length=1)
    key: Path  # PEM


class Delivery(Frozen):
    """How shares leave."""

    ca_file: Path | None = None  # trust anchors; the system's where absent
    resolvers: tuple[str, ...] = ()  # addresses (or address@port); /etc/resolv.conf where empty
    dnssec: Literal["loopback", "trusted", "off"] = "loopback"  # whose word that an answer is secure is believed
    connections: Count = 60
    connections_per_destination: Count = 20
    messages_per_connection: Count = 100
    idle_timeout: Seconds = 10.0
    connect_timeout: Seconds = 30.0
    reply_timeout: Seconds = 300.0
    retry_first: Seconds = 60.0
    retry_most: Seconds = 3600.0
    lease: Seconds = 600.0


class Monitoring(Frozen):
    """The HTTP listener for /healthz and /metrics. Off where the port is absent."""

    address: str = "127.0.0.1"
    port: Port | None = None


class Posture(Frozen):
    """How the domains of the register are looked at again and again."""

    enabled: bool = True
    every_hours: Annotated[float, Field(gt=0, le=168)] = 24.0
    at_once: Count = 20
    timeout: Seconds = 10.0  # for each connection and each reply


class TlsReports(Frozen):
    """Daily reports of what was seen (RFC 8460). Off where `enabled` is not set."""

    enabled: bool = False
    organization: str = ""
    contact: str = ""  # address, said in the reports; they come from it
    dkim_domain: str = ""
    dkim_selector: str = ""
    dkim_key: Path | None = None  # PEM; reports by mail must be signed (RFC 8460 section 3)
    private_addresses: bool = False  # by HTTPS to receivers that are not on the public Internet, too


class Logging(Frozen):
    level: Literal["debug", "info", "warning", "error"] = "info"


class Settings(Frozen):
    """config/gateway.toml."""

    hostname: str = Field(min_length=1)
    state: Path  # folder for database, sealed files, key ring
    workers: Count = 2
    postmaster: str = Field(min_length=3)
    listeners: tuple[Listener, ...] = Field(min_length=1)
    tls: TlsFiles | None = None
    clients: tuple[ClientRule, ...] = Field(min_length=1)
    limits: Limits = Limits()
    store: Store
    openpgp: OpenPgp = OpenPgp()
    smime: Smime = Smime()
    rendering: Rendering = Rendering()
    passwords: Passwords = Passwords()
    dkim: tuple[DkimKey, ...] = ()
    delivery: Delivery = Delivery()
    monitoring: Monitoring = Monitoring()
    posture: Posture = Posture()
    tls_reports: TlsReports = TlsReports()
    logging: Logging = Logging()
    partners: Path = Path("partners.toml")
    secure_domains: Path = Path("secure-domains.toml")
    policy: Path = Path("policy.toml")

    @model_validator(mode="after")
    def _tls_where_needed(self) -> Self:
        if self.tls is None and any(listener.tls != "none" for listener in self.listeners):
            raise ValueError("a listener with tls needs [tls] with certificate and key")
        if self.tls is None and any(rule.login or rule.certificate_sha256 for rule in self.clients):
            raise ValueError("clients with a login or certificate need [tls]: both are only used over TLS")
        return self

    @property
    def database_url(self) -> str:
        """The SQLAlchemy URL in force."""
        return self.store.url or f"sqlite:///{self.state / 'gateway.db'}"

    @property
    def key_ring(self) -> Path:
        """The GNUPGHOME of the gateway's own: `openpgp.home`, in the state folder where relative."""
        return self.state / self.openpgp.home

    @property
    def certificates(self) -> Path:
        """The folder of partners' certificates."""
        return self.state / self.smime.certificates

    @property
    def bodies(self) -> Path:
        """The folder of sealed body files."""
        return self.state / "bodies"
