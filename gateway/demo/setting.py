"""The stage of the demo: folder, certificates, keys and a complete configuration."""

from __future__ import annotations

import secrets
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import tomlkit
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from gateway.errors import StartupError

_MARK = ".partner-mail-gateway-demo"
_SPOC = {"role": "Data Protection Officer", "telephone": "0121 000 0000"}
PARTNER_NAMES = ["mx.police.example", "mx.probation.example", "mx.school.example", "mx.charity.example"]


@dataclass(frozen=True, slots=True)
class Stage:
    """Where everything of the demo is."""

    folder: Path
    config: Path
    root: Path  # the demo's own CA
    partner_certificate: Path
    partner_key: Path
    school_home: Path  # GNUPGHOME of the school, with its secret key
    school_fingerprint: str


def prepare(folder: Path) -> Stage:
    """Makes the folder anew with certificates and keys. Refuses to touch a folder that no demo made."""
    if folder.exists() and any(folder.iterdir()) and not (folder / _MARK).exists():
        raise StartupError(f"{folder} is not a folder of the demo: name an empty one with --folder")
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "config").mkdir(parents=True, mode=0o700)
    (folder / _MARK).touch()
    root = _authority(folder / "tls")
    home, fingerprint = _school_key(folder)
    return Stage(
        folder=folder,
        config=folder / "config" / "gateway.toml",
        root=root,
        partner_certificate=folder / "tls" / "partner.pem",
        partner_key=folder / "tls" / "partner.key",
        school_home=home,
        school_fingerprint=fingerprint,
    )


def _authority(folder: Path) -> Path:
    """A CA and one certificate each for the gateway and the partners' server."""
    folder.mkdir(mode=0o700)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Demo CA of the partner-mail gateway")])
    now = datetime.now(UTC)
    ca = (
        x509.CertificateBuilder(ca_name, ca_name, ca_key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=60))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    root = folder / "root.pem"
    root.write_bytes(ca.public_bytes(serialization.Encoding.PEM))
    for name, hosts in (("gateway", ["gateway.council.example"]), ("partner", PARTNER_NAMES)):
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = (
            x509.CertificateBuilder(ca_name, x509.Name([]), key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(days=60))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
            )
            .sign(ca_key, hashes.SHA256())
        )
        (folder / f"{name}.pem").write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
        private = folder / f"{name}.key"
        private.touch(mode=0o600)
        private.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
    return root


def _school_key(folder: Path) -> tuple[Path, str]:
    """The school's OpenPGP key, made with gpg as the school would."""
    home = folder / "school-gnupg"
    home.mkdir(mode=0o700)
    gpg(home, "--quick-gen-key", "Safeguarding Lead <safeguarding@school.example>", "ed25519", "cert,sign", "1y")
    listing = gpg(home, "--with-colons", "--list-keys").decode()
    fingerprint = next(line.split(":")[9] for line in listing.splitlines() if line.startswith("fpr:"))
    gpg(home, "--quick-add-key", fingerprint, "cv25519", "encr", "1y")
    return home, fingerprint


def gpg(home: Path, *arguments: str, data: bytes = b"") -> bytes:
    """Runs gpg as the school does. Raises `StartupError` where it fails."""
    command = ["gpg", "--homedir", str(home), "--batch", "--pinentry-mode", "loopback", "--passphrase", "", *arguments]
    try:
        done = subprocess.run(command, input=data, capture_output=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        raise StartupError(f"gpg could not do its part of the demo: {error}. Install the package gnupg") from error
    return done.stdout


def write_config(stage: Stage, gateway_port: int, partner_port: int) -> None:
    """A complete configuration: four partners, two secure domains, one default purpose."""
    today = datetime.now(UTC).date()
    _write(stage.config, _node(stage, gateway_port))
    _write(stage.config.with_name("partners.toml"), {"partner": _partners(stage, partner_port)})
    secure = [_secure("council", today), _secure("police", today)]
    _write(stage.config.with_name("secure-domains.toml"), {"domain": secure})
    _write(stage.config.with_name("policy.toml"), _POLICY)


def _write(path: Path, data: dict[str, object]) -> None:
    path.write_text(tomlkit.dumps(data))


def _node(stage: Stage, port: int) -> dict[str, object]:
    seal_key = stage.folder / "config" / "seal.key"
    seal_key.touch(mode=0o600)
    seal_key.write_bytes(secrets.token_bytes(32))
    return {
        "hostname": "gateway.council.example",
        "state": str(stage.folder.resolve() / "state"),
        "workers": 2,
        "postmaster": "postmaster@council.example",
        "listeners": [{"address": "127.0.0.1", "port": port, "tls": "starttls"}],
        "tls": {
            "certificate": str(stage.root.resolve().with_name("gateway.pem")),
            "key": str(stage.root.resolve().with_name("gateway.key")),
        },
        "clients": [
            {
                "name": "council-mail",
                "agency": "council",
                "networks": ["127.0.0.1/32"],
                "sender_domains": ["council.example"],
            }
        ],
        "store": {"seal_key": str(seal_key.resolve())},
        "delivery": {"ca_file": str(stage.root.resolve()), "retry_first": 1.0},
        "posture": {"enabled": False},
    }


def _partners(stage: Stage, port: int) -> list[dict[str, object]]:
    def partner(identity: str, name: str, **more: object) -> dict[str, object]:
        domain = f"{identity}.example"
        spoc = {**_SPOC, "email": f"dpo@{domain}"}
        return {"id": identity, "name": name, "domains": [domain], "spoc": spoc, **more}

    def route(identity: str, tls: str = "encrypted") -> dict[str, object]:
        return {"host": "127.0.0.1", "port": port, "tls": tls, "names": [f"mx.{identity}.example"]}

    cjsm = route("probation", "authenticated")
    return [
        partner("council", "Council"),
        partner("police", "Police", route=route("police")),
        partner("probation", "Probation Service", service={"name": "CJSM", "route": cjsm}),
        partner(
            "school",
            "Primary School",
            route=route("school"),
            protection=["openpgp"],
            keys=[{"fingerprint": stage.school_fingerprint}],
        ),
        partner("charity", "Family Charity", route=route("charity")),
    ]


def _secure(identity: str, today: date) -> dict[str, object]:
    return {
        "domain": f"{identity}.example",
        "partner": identity,
        "basis": "gov.uk-secure-email",
        "evidence": "assessment made for the demo",
        "owner": "Information Governance Lead",
        "valid_from": today,
        "valid_until": today + timedelta(days=180),
        "mx": [f"mx.{identity}.example"],
    }


_POLICY: dict[str, object] = {
    "require_purpose": True,
    "transport": "encrypted",
    "purposes": {"3.5.1": "Achieve improved outcomes for vulnerable children", "3.5.6": "Multi-agency audits"},
    "bases": {"4.1.2": "Children Act 2004, sections 11 and 16E"},
    "conditions": {"5.4(h)": "Health or social care"},
    "rule": [{"sender": "duty.team@council.example", "purpose": "3.5.1", "basis": "4.1.2", "condition": "5.4(h)"}],
}
