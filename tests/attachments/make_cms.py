"""Makes the labelled S/MIME (CMS), certificate and key files with the programs that people use.

Debian packages: openssl, gpgsm, default-jdk-headless, libbcprov-java, libbcpkix-java, libbcutil-java, nodejs; npm
packages node-forge, pkijs and asn1js in the folder named by NODE_PATH; PyPI: cryptography. Keys are made for each run
and thrown away. Run: python -m tests.attachments.make_cms
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from tests.attachments import cms_writer as write
from tests.attachments.label import keep
from tests.attachments.make_cms_programs import BOUNCY_CASTLE, JAVASCRIPT

JARS = ":".join(f"/usr/share/java/{name}.jar" for name in ("bcprov", "bcpkix", "bcutil"))
WORD = "Heron-41-tarn"
LEGACY, UNAUTHENTICATED = "legacy-key-transport", "unauthenticated-cipher"
OLD = (LEGACY, UNAUTHENTICATED)
ONE = "to 1 recipient"


def run(*command: str, data: bytes | None = None, folder: Path | None = None) -> bytes:
    done = subprocess.run(command, input=data, capture_output=True, check=True, cwd=folder, timeout=120)
    return done.stdout


def version(*command: str) -> str:
    return run(*command).decode().split("\n")[0]


class Folder:
    """The keys and the clear text of one run."""

    def __init__(self, at: Path) -> None:
        self.at = at
        (at / "clear.txt").write_bytes(write.CLEAR)
        for base, kind in (("rsa", "rsa:2048"), ("rsa1024", "rsa:1024"), ("ec", "ec")):
            curve = ("-pkeyopt", "ec_paramgen_curve:P-256") if base == "ec" else ()
            key, subject = f"{base}.key", f"/C=GB/O=Example Council/CN=Duty desk {base}"
            self.ssl("req", "-x509", "-newkey", kind, *curve, "-nodes", "-keyout", key, "-out", f"{base}.pem",
                     "-days", "3650", "-subj", subject)  # fmt: skip
        self.openssl = "openssl " + version("openssl", "version").split()[1]

    def ssl(self, *arguments: str, data: bytes | None = None) -> bytes:
        return run("openssl", *arguments, data=data, folder=self.at)

    def cms(self, *arguments: str, data: bytes = write.CLEAR) -> bytes:
        return self.ssl("cms", *arguments, data=data)

    def bytes_of(self, name: str) -> bytes:
        return (self.at / name).read_bytes()


def good(name: str, data: bytes, by: str, scheme: str, *findings: str, row: str = "cms-aes", strength: str = "strong",
         password: str = "") -> None:  # fmt: skip
    keep(name, data, row=row, made_by=by, kind="smime", strength=strength, scheme=scheme, encrypted="yes",
         findings=findings, password=password)  # fmt: skip


def bad(name: str, data: bytes, by: str, row: str, scheme: str, *findings: str, kind: str = "smime",
        encrypted: str = "no") -> None:  # fmt: skip
    keep(name, data, row=row, made_by=by, kind=kind, strength="none", scheme=scheme, encrypted=encrypted,
         findings=findings)  # fmt: skip


def by_openssl(folder: Folder) -> None:
    by = folder.openssl
    der = ("-encrypt", "-binary", "-outform", "DER")
    rsa = ("-recip", "rsa.pem")
    oaep = (*rsa, "-keyopt", "rsa_padding_mode:oaep")
    good("openssl-aes256-cbc.p7m", folder.cms(*der, "-aes256", *rsa), by, f"S/MIME AES-256-CBC {ONE}", *OLD)
    streamed = folder.cms(*der, "-stream", "-indef", "-aes128", *oaep)
    good("openssl-streamed.p7m", streamed, by, f"S/MIME AES-128-CBC {ONE}", UNAUTHENTICATED)
    pem = folder.cms("-encrypt", "-binary", "-outform", "PEM", "-aes-256-gcm", *rsa)
    good("openssl-gcm.pem", pem, by, f"S/MIME AES-256-GCM {ONE}", LEGACY)
    good("openssl-ecdh.p7m", folder.cms(*der, "-aes256", "-recip", "ec.pem"), by, f"S/MIME AES-256-CBC {ONE}",
         UNAUTHENTICATED)  # fmt: skip
    camellia = folder.cms(*der, "-camellia256", *oaep)
    good("openssl-camellia.p7m", camellia, by, f"S/MIME Camellia-256-CBC {ONE}", UNAUTHENTICATED, strength="acceptable",
         row="cms-camellia")  # fmt: skip
    weak = {"row": "cms-weak-cipher", "strength": "weak"}
    good("openssl-3des.p7m", folder.cms(*der, "-des3", *rsa), by, f"S/MIME 3DES-CBC {ONE}", *OLD, **weak)
    old = ("-provider", "legacy", "-provider", "default")
    good("openssl-rc2.p7m", folder.cms(*der, *old, "-rc2-40", *rsa), by, f"S/MIME RC2-CBC {ONE}", *OLD, **weak)
    good("openssl-des.p7m", folder.cms(*der, *old, "-des", *rsa), by, f"S/MIME DES-CBC {ONE}", *OLD, **weak)
    good("openssl-rsa1024.p7m", folder.cms(*der, "-aes256", "-recip", "rsa1024.pem"), by,
         f"S/MIME AES-256-CBC {ONE}", LEGACY, "weak-key", UNAUTHENTICATED, row="cms-short-key",
         strength="weak")  # fmt: skip
    good("openssl-password.p7m", folder.cms(*der, "-aes256", "-pwri_password", WORD), by,
         "S/MIME AES-256-CBC to 1 password (2,048 rounds)", UNAUTHENTICATED, row="cms-password",
         strength="acceptable", password=WORD)  # fmt: skip
    good("openssl-shared-key.p7m", folder.cms(*der, "-aes256", "-secretkey", "00" * 32, "-secretkeyid", "010203"), by,
         "S/MIME AES-256-CBC to 1 shared key", UNAUTHENTICATED, row="cms-password", strength="acceptable")  # fmt: skip


def openssl_without_protection(folder: Folder) -> None:
    by = folder.openssl
    signer = ("-sign", "-binary", "-outform", "DER", "-signer", "rsa.pem", "-inkey", "rsa.key")
    opaque = folder.cms(*signer, "-nodetach")
    bad("openssl-signed.p7m", opaque, by, "signed-only", "S/MIME signed", "signed-only")
    bad("openssl-detached.p7s", folder.cms(*signer), by, "key-material", "S/MIME signature", "key-material")
    certificates = folder.ssl("crl2pkcs7", "-nocrl", "-certfile", "rsa.pem", "-outform", "DER")
    bad("openssl-certs-only.p7c", certificates, by, "key-material", "S/MIME signature", "key-material")
    digest = folder.cms("-digest_create", "-binary", "-outform", "DER")
    bad("openssl-digested.p7m", digest, by, "signed-only", "CMS with a digest", "signed-only")
    sealed = folder.cms("-EncryptedData_encrypt", "-binary", "-outform", "DER", "-aes256", "-secretkey", "00" * 32)
    bad("openssl-encrypted-data.p7m", sealed, by, "unknown-format", "CMS encryptedData", "no-recipient")
    bad("openssl-data.p7m", folder.cms("-data_create", "-binary", "-outform", "DER"), by, "plain", "CMS data",
        "clear-text")  # fmt: skip
    inside = folder.cms("-encrypt", "-aes256", "-recip", "rsa.pem")
    triple = folder.cms(*signer, "-nodetach", data=inside)
    good("openssl-triple-wrapped.p7m", triple, by, f"S/MIME AES-256-CBC {ONE}, signed")
    material = {"kind": "certificate"}
    bad("openssl-certificate.pem", folder.bytes_of("rsa.pem"), by, "key-material", "", "key-material", **material)
    bad("openssl-certificate.der", folder.ssl("x509", "-in", "ec.pem", "-outform", "DER"), by, "key-material", "",
        "key-material", **material)  # fmt: skip
    request = folder.ssl("req", "-new", "-key", "ec.key", "-subj", "/CN=Duty desk", "-outform", "DER")
    bad("openssl-request.der", request, by, "key-material", "", "key-material", **material)
    text = folder.ssl("x509", "-in", "rsa.pem", "-text")
    bad("openssl-certificate-with-text.pem", text, by, "plain", "", "clear-text", **material)
    secret = {"kind": "private-key"}
    bad("openssl-key.pem", folder.bytes_of("rsa.key"), by, "plain", "", "secret-key", **secret)
    pkcs8 = folder.ssl("pkcs8", "-topk8", "-in", "rsa.key", "-passout", f"pass:{WORD}", "-outform", "DER")
    bad("openssl-encrypted-key.der", pkcs8, by, "unknown-format", "", "secret-key", **secret)
    store = folder.ssl("pkcs12", "-export", "-in", "rsa.pem", "-inkey", "rsa.key", "-passout", f"pass:{WORD}")
    bad("openssl-store.p12", store, by, "unknown-format", "PKCS #12", "key-store", kind="pkcs12")
    salted = folder.ssl("enc", "-aes-256-cbc", "-pbkdf2", "-pass", f"pass:{WORD}", data=write.CLEAR)
    bad("openssl-enc.bin", salted, by, "unknown-format", "", "unknown-encryption", kind="openssl-enc")


def openssl_spoilt(folder: Folder) -> None:
    """What a program wrote, with something added or taken away."""
    by = f"{folder.openssl}, then spoilt"
    sealed = folder.cms("-encrypt", "-binary", "-outform", "DER", "-aes256", "-recip", "rsa.pem")
    scheme = f"S/MIME AES-256-CBC {ONE}"
    bad("openssl-tail.p7m", sealed + write.CLEAR, by, "partly-encrypted", scheme, *OLD, "trailing-bytes",
        encrypted="partial")  # fmt: skip
    bad("openssl-cut.p7m", sealed[:-40], by, "unknown-format", "", "unreadable")
    bad("openssl-head.p7m", write.CLEAR * 5 + sealed, by, "unknown-format", "", "clear-text", kind="text")
    pem = folder.cms("-encrypt", "-binary", "-outform", "PEM", "-aes256", "-recip", "rsa.pem")
    bad("openssl-text-under.pem", pem + write.CLEAR, by, "plain", "", "unreadable")
    pieces = sealed.rfind(b"\x04\x10")
    bad("openssl-odd-vector.p7m", sealed[: pieces + 1] + b"\x0f" + sealed[pieces + 2 :], by, "unknown-format", "",
        "unreadable")  # fmt: skip


def by_bouncy_castle(folder: Folder) -> None:
    (folder.at / "Maker.java").write_text(BOUNCY_CASTLE)
    run("java", "-cp", JARS, "Maker.java", str(folder.at), folder=folder.at)
    by = "BouncyCastle 1.72"
    strong = {
        "aes256-cbc": (f"AES-256-CBC {ONE}", OLD),
        "aes128-gcm": (f"AES-128-GCM {ONE}", ()),
        "aes256-ccm": (f"AES-256-CCM {ONE}", ()),
        "key-id": (f"AES-192-CBC {ONE}", OLD),
        "ecdh-p384": (f"AES-256-CBC {ONE}", (UNAUTHENTICATED,)),
        "streamed": (f"AES-256-CBC {ONE}", OLD),
        "compressed-around": (f"AES-256-CBC {ONE}, compressed", ()),
        "signed-around": (f"AES-256-CBC {ONE}, signed", ()),
    }
    for name, (scheme, findings) in strong.items():
        good(f"bc-{name}.p7m", folder.bytes_of(f"bc-{name}"), by, f"S/MIME {scheme}", *findings)
    ciphers = {"3des": "3DES-CBC", "rc2": "RC2-CBC", "cast5": "CAST5-CBC", "idea": "IDEA-CBC", "seed": "SEED-CBC"}
    for name, cipher in {**ciphers, "gost": "GOST 28147-89"}.items():
        good(f"bc-{name}.p7m", folder.bytes_of(f"bc-{name}"), by, f"S/MIME {cipher} {ONE}", *OLD,
             row="cms-weak-cipher", strength="weak")  # fmt: skip
    short = (LEGACY, "weak-key", UNAUTHENTICATED)
    for name, scheme, found in (
        ("rsa1024", f"AES-256-CBC {ONE}", short),
        ("strong-and-1024", "AES-256-CBC to 2 recipients", short),
        ("ecdh-p192", f"AES-256-CBC {ONE}", ("small-curve", UNAUTHENTICATED)),
    ):
        good(f"bc-{name}.p7m", folder.bytes_of(f"bc-{name}"), by, f"S/MIME {scheme}", *found, row="cms-short-key",
             strength="weak")  # fmt: skip
    good("bc-camellia.p7m", folder.bytes_of("bc-camellia"), by, f"S/MIME Camellia-256-CBC {ONE}", UNAUTHENTICATED,
         row="cms-camellia", strength="acceptable")  # fmt: skip
    words = "1 password (10,000 rounds)"
    for name, scheme, found in (
        ("password", f"AES-256-CBC to {words}", (UNAUTHENTICATED,)),
        ("password-gcm", f"AES-256-GCM to {words}", ()),
        ("key-and-password", f"AES-256-CBC {ONE} and {words}", OLD),
    ):
        good(f"bc-{name}.p7m", folder.bytes_of(f"bc-{name}"), by, f"S/MIME {scheme}", *found, row="cms-password",
             strength="acceptable", password=WORD)  # fmt: skip
    good("bc-password-one-round.p7m", folder.bytes_of("bc-password-one-round"), by,
         "S/MIME AES-256-CBC to 1 password (1 round)", "few-rounds", UNAUTHENTICATED, row="cms-weak-cipher",
         strength="weak", password=WORD)  # fmt: skip
    bad("bc-signed.p7m", folder.bytes_of("bc-signed"), by, "signed-only", "S/MIME signed", "signed-only")
    bad("bc-detached.p7s", folder.bytes_of("bc-detached"), by, "key-material", "S/MIME signature", "key-material")
    bad("bc-compressed.p7z", folder.bytes_of("bc-compressed"), by, "compressed-only", "S/MIME compressed",
        "compressed-only")  # fmt: skip
    bad("bc-clear-attribute.p7m", folder.bytes_of("bc-clear-attribute"), by, "partly-encrypted",
        f"S/MIME AES-256-CBC {ONE}", UNAUTHENTICATED, "clear-attributes", encrypted="partial")  # fmt: skip


def by_javascript(folder: Folder) -> None:
    (folder.at / "make.cjs").write_text(JAVASCRIPT)
    run("node", "make.cjs", str(folder.at), folder=folder.at)
    forge, pki = "node-forge 1", "PKI.js 3"
    good("forge-aes256-cbc.p7m", folder.bytes_of("forge-aes256-cbc"), forge, f"S/MIME AES-256-CBC {ONE}", *OLD)
    good("forge-3des.p7m", folder.bytes_of("forge-3des"), forge, f"S/MIME 3DES-CBC {ONE}", *OLD,
         row="cms-weak-cipher", strength="weak")  # fmt: skip
    good("forge-rsa1024.p7m", folder.bytes_of("forge-rsa1024"), forge, f"S/MIME AES-128-CBC {ONE}", LEGACY, "weak-key",
         UNAUTHENTICATED, row="cms-short-key", strength="weak")  # fmt: skip
    bad("forge-signed.p7m", folder.bytes_of("forge-signed"), forge, "signed-only", "S/MIME signed", "signed-only")
    for name, cipher in (("aes256-cbc", "AES-256-CBC"), ("aes256-gcm", "AES-256-GCM"), ("ecdh", "AES-256-CBC")):
        good(f"pkijs-{name}.p7m", folder.bytes_of(f"pkijs-{name}"), pki, f"S/MIME {cipher} {ONE}", UNAUTHENTICATED)
    good("pkijs-password.p7m", folder.bytes_of("pkijs-password"), pki,
         "S/MIME AES-256-CBC to 1 password (5,000 rounds)", UNAUTHENTICATED, row="cms-password",
         strength="acceptable", password=WORD)  # fmt: skip


def by_gpgsm(folder: Folder) -> None:
    home = folder.at / "gpgsm"
    home.mkdir(mode=0o700)
    der = folder.ssl("x509", "-in", "rsa.pem", "-outform", "DER")
    common = ("gpgsm", "--homedir", str(home), "--batch", "--disable-crl-checks", "--disable-dirmngr")
    run(*common, "--import", data=der)
    listed = run(*common, "--with-colons", "--list-keys").decode()
    fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr"))
    (home / "trustlist.txt").write_text(f"{fingerprint} S relax\n")
    by = "gpgsm " + version("gpgsm", "--version").split()[-1]
    for cipher, written in (("AES", "AES-128-CBC"), ("AES256", "AES-256-CBC")):
        data = run(*common, "--cipher-algo", cipher, "-r", fingerprint, "--encrypt", data=write.CLEAR)
        good(f"gpgsm-{cipher.lower()}.p7m", data, by, f"S/MIME {written} {ONE}", *OLD)
    run("gpgconf", "--homedir", str(home), "--kill", "all")


def by_python(folder: Folder) -> None:
    certificate = x509.load_pem_x509_certificate(folder.bytes_of("rsa.pem"))
    builder = pkcs7.PKCS7EnvelopeBuilder().set_data(write.CLEAR).set_content_encryption_algorithm(AES256)
    data = builder.add_recipient(certificate).encrypt(Encoding.DER, [pkcs7.PKCS7Options.Binary])
    good("pyca-aes256-cbc.p7m", data, "cryptography PKCS7EnvelopeBuilder", f"S/MIME AES-256-CBC {ONE}", *OLD)


def by_hand() -> None:
    key = os.urandom(32)

    def rfc(number: str) -> str:
        return f"cms_writer.py, from RFC {number}"

    chacha = write.info(write.AUTH_ENVELOPED, write.authenticated_fields(write.transport(key), key, "chacha"))
    good("hand-chacha20.p7m", chacha, rfc("8103"), f"S/MIME ChaCha20-Poly1305 {ONE}")
    x25519 = write.info(write.ENVELOPED, write.enveloped_fields(write.x25519_agreement(key), write.aes_cbc(key)))
    good("hand-x25519.p7m", x25519, rfc("8418"), f"S/MIME AES-256-CBC {ONE}", UNAUTHENTICATED)
    kem = write.info(write.AUTH_ENVELOPED, write.authenticated_fields(write.encapsulation(key), key, "gcm"))
    good("hand-ml-kem.p7m", kem, rfc("9629"), f"S/MIME AES-256-GCM {ONE}")
    scrypt = write.enveloped_fields(write.password(key, WORD, scrypt=True), write.aes_cbc(key))
    good("hand-scrypt.p7m", write.info(write.ENVELOPED, scrypt), rfc("3211"),
         "S/MIME AES-256-CBC to 1 password (scrypt)", UNAUTHENTICATED, row="cms-password", strength="acceptable",
         password=WORD)  # fmt: skip
    lie = write.content(write.sequence(write.oid(write.AES_CBC[32]), write.octets(os.urandom(16))), write.CLEAR[:480])
    text = write.info(write.ENVELOPED, write.enveloped_fields(write.transport(key), lie))
    bad("hand-text-as-ciphertext.p7m", text, rfc("5652"), "plain", f"S/MIME AES-256-CBC {ONE}", "looks-readable",
        UNAUTHENTICATED)  # fmt: skip
    nobody = write.info(write.ENVELOPED, write.enveloped_fields(b"", write.aes_cbc(key)))
    bad("hand-nobody.p7m", nobody, rfc("5652"), "unknown-format", "S/MIME AES-256-CBC to 0 recipients", "no-recipient",
        UNAUTHENTICATED)  # fmt: skip
    easy = write.enveloped_fields(write.password(key, ""), write.aes_cbc(key))
    bad("hand-empty-password.p7m", write.info(write.ENVELOPED, easy), rfc("3211"), "plain",
        "S/MIME AES-256-CBC to 1 password (2,000 rounds)", UNAUTHENTICATED, "password-opens-it",
        encrypted="partial")  # fmt: skip
    packed = write.compressed(write.DATA, write.CLEAR)
    bad("hand-compressed.p7z", packed, rfc("3274"), "compressed-only", "S/MIME compressed", "compressed-only")


def main() -> None:
    with tempfile.TemporaryDirectory() as at:
        folder = Folder(Path(at))
        for make in (by_openssl, openssl_without_protection, openssl_spoilt, by_bouncy_castle, by_javascript,
                     by_gpgsm, by_python):  # fmt: skip
            make(folder)
    by_hand()


if __name__ == "__main__":
    main()
