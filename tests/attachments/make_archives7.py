"""Makes the labelled 7z and RAR archives with the programs that agencies use.

Run from the repository's root: `python -m tests.attachments.make_archives7`. Needs on the path `7z` (Debian:
p7zip-full) and `rar` 6 (Debian 11 non-free; later versions no longer write RAR 4); from PyPI, in the Python that runs
it, py7zr and rars. Each run makes other files (salts, vectors) with the same labels.
"""

from __future__ import annotations

import os
import random
import re
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import py7zr
import rars

from tests.attachments.label import keep

PASSWORD = "Throwaway-7-lantern"  # opens nothing but these files
SEVEN, RAR5, RAR4 = "AES-256, 7-Zip (2^19 rounds)", "AES-256, RAR 5 (2^15 rounds)", "AES-128, RAR 3/4"
HIDDEN = ", names hidden"
WORDS = ["meeting", "family", "school", "review", "plan", "minutes", "agenda", "visit", "report", "letter", "garden"]


def prose(count: int, seed: int) -> bytes:
    chooser = random.Random(seed)
    return " ".join(chooser.choice(WORDS) for _ in range(count)).encode()


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)


def version(program: str, pattern: str) -> str:
    shown = subprocess.run([program], capture_output=True, text=True, check=False).stdout
    found = re.search(pattern, shown)
    if not found:
        raise RuntimeError(f"{program} does not tell its version")
    return found[1]


@contextmanager
def workplace() -> Iterator[None]:
    """An empty folder with a few members, as the current one."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("minutes.txt").write_bytes(prose(500, 1))
        Path("letter.txt").write_bytes(prose(90, 2))
        Path("scan.bin").write_bytes(random.Random(3).randbytes(3001))
        Path("note.txt").write_bytes(b"A comment that anybody can read.")
        try:
            yield
        finally:
            os.chdir(before)


def made(name: str, *commands: tuple[str, ...]) -> bytes:
    """What the commands leave in the file of that name."""
    for command in commands:
        run(*command)
    return Path(name).read_bytes()


# ---------------------------------------------------------------- 7z


def seven_strong(maker: str) -> None:
    secret = f"-p{PASSWORD}"
    variants: dict[str, tuple[str, tuple[str, ...]]] = {
        "lzma2-solid": (SEVEN, (secret,)),
        "lzma": (SEVEN, (secret, "-m0=lzma")),
        "copy": (SEVEN, (secret, "-m0=copy")),
        "bzip2-nonsolid": (SEVEN, (secret, "-m0=bzip2", "-ms=off")),
        "header-not-packed": (SEVEN, (secret, "-mhc=off")),
        "names-hidden": (SEVEN + HIDDEN, (secret, "-mhe=on")),
        "copy-names-hidden": (SEVEN + HIDDEN, (secret, "-mhe=on", "-m0=copy")),
    }
    for name, (scheme, options) in variants.items():
        with workplace():
            data = made("x.7z", ("7z", "a", *options, "x.7z", "minutes.txt", "letter.txt", "scan.bin"))
        _strong_7z(f"7z-{name}.7z", data, maker, scheme)
    with workplace():
        inner = ("7z", "a", secret, "inner.7z", "minutes.txt")
        data = made("x.7z", inner, ("7z", "a", "-m0=lzma", "x.7z", "inner.7z"))
    _strong_7z("7z-in-7z.7z", data, maker, SEVEN)


def _strong_7z(name: str, data: bytes, maker: str, scheme: str) -> None:
    keep(
        name,
        data,
        row="7z-aes",
        made_by=maker,
        kind="7z",
        strength="strong",
        scheme=scheme,
        encrypted="yes",
        password=PASSWORD,
    )


def seven_by_py7zr() -> None:
    maker = f"py7zr {py7zr.__version__}"
    chains = {
        "lzma2": [{"id": py7zr.FILTER_LZMA2, "preset": 6}, {"id": py7zr.FILTER_CRYPTO_AES256_SHA256}],
        "copy": [{"id": py7zr.FILTER_COPY}, {"id": py7zr.FILTER_CRYPTO_AES256_SHA256}],
        "zstandard": [{"id": py7zr.FILTER_ZSTD, "level": 3}, {"id": py7zr.FILTER_CRYPTO_AES256_SHA256}],
    }
    for name, chain in chains.items():
        for hidden in (False, True):
            with workplace():
                with py7zr.SevenZipFile("x.7z", "w", password=PASSWORD, filters=chain, header_encryption=hidden) as out:
                    out.write("minutes.txt")
                    out.write("letter.txt")
                data = Path("x.7z").read_bytes()
            suffix, words = ("-names-hidden", HIDDEN) if hidden else ("", "")
            _strong_7z(f"7z-py7zr-{name}{suffix}.7z", data, maker, SEVEN + words)


def seven_hostile(maker: str) -> None:
    secret = f"-p{PASSWORD}"
    with workplace():
        good = made("x.7z", ("7z", "a", secret, "x.7z", "minutes.txt", "scan.bin"))
        mixed = made("m.7z", ("7z", "a", "m.7z", "minutes.txt"), ("7z", "a", secret, "m.7z", "letter.txt"))
        hidden = made("h.7z", ("7z", "a", "h.7z", "minutes.txt"), ("7z", "a", secret, "-mhe", "h.7z", "letter.txt"))
        plain = made("p.7z", ("7z", "a", "p.7z", "minutes.txt"))
        lying = made("l.7z", ("7z", "a", secret, "-m0=copy", "l.7z", "minutes.txt"))
    next_at = 32 + struct.unpack_from("<Q", lying, 12)[0]
    told = (prose(3000, 4) * 2)[: lie_size(lying, next_at)]
    lying = lying[:32] + told + lying[32 + len(told) :]
    edited = f"make_archives7.py, from an archive of {maker}"
    damaged = good[:-9] + b"\xff" + good[-8:]
    mixture = ("partly-encrypted", "7z", f"partly {SEVEN}", "partial")
    _none("7z-mixed.7z", mixed, maker, *mixture, "clear-member")
    _none("7z-trailing-text.7z", good + b"\nPlease read.", edited, *mixture, "trailing-bytes")
    mixture = ("partly-encrypted", "7z", f"partly {SEVEN}{HIDDEN}", "partial")
    _none("7z-mixed-names-hidden.7z", hidden, maker, *mixture, "clear-member")
    _none("7z-plain.7z", plain, maker, "plain", "7z", "7-Zip, not encrypted", "no", "clear-member")
    _none("7z-readable-under-aes.7z", lying, edited, "plain", "7z", SEVEN, "no", "clear-member", "looks-readable")
    _none("7z-cut-short.7z", good[:-20], edited, "unknown-format", "7z", "", "no", "unreadable")
    _none("7z-damaged-header.7z", damaged, edited, "unknown-format", "7z", "", "no", "unreadable")


def lie_size(data: bytes, header_at: int) -> int:
    """Octets of packed members in front of the packed header, which comes last: half is enough to show a lie."""
    return (header_at - 32) // 2 & ~15


# ---------------------------------------------------------------- RAR


def rar_sound(maker: str, generation: int) -> None:
    row, strength, scheme = ("rar5", "strong", RAR5) if generation == 5 else ("rar4", "acceptable", RAR4)
    open_names, hidden = f"-p{PASSWORD}", f"-hp{PASSWORD}"
    # What RAR 4 compressed cannot be tried without unpacking it: a note for the auditor.
    packed = () if generation == 5 else ("password-untested",)
    variants: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
        "packed": (scheme, (open_names,), packed),
        "stored": (scheme, (open_names, "-m0"), ()),
        "solid": (scheme, (open_names, "-s"), packed),
        "recovery-record": (scheme, (open_names, "-m0", "-rr10"), ()),
        "names-hidden": (scheme + HIDDEN, (hidden,), ()),
        "names-hidden-recovery-record": (scheme + HIDDEN, (hidden, "-rr10"), ()),
        "names-hidden-comment": (scheme + HIDDEN, (hidden, "-znote.txt"), ()),
    }
    for name, (words, options, findings) in variants.items():
        with workplace():
            add = ("rar", "a", f"-ma{generation}", *options, "x.rar", "minutes.txt", "letter.txt", "scan.bin")
            data = made("x.rar", add)
        _sound_rar(f"rar{generation}-{name}.rar", data, row, maker, strength, words, findings)
    for name, options in (("volume", open_names), ("names-hidden-volume", hidden)):
        with workplace():
            run("rar", "a", f"-ma{generation}", "-m0", "-v2000b", options, "x.rar", "minutes.txt", "scan.bin")
            first = Path("x.part1.rar").read_bytes()
        findings = ("password-untested",) if generation == 4 and name == "volume" else ()
        words = scheme + (HIDDEN if name != "volume" else "")
        _sound_rar(f"rar{generation}-{name}.rar", first, row, maker, strength, words, findings)


def rar_by_rars(generation: int) -> None:
    row, strength, scheme = ("rar5", "strong", RAR5) if generation == 5 else ("rar4", "acceptable", RAR4)
    form = rars.RAR50 if generation == 5 else rars.RAR40
    for name, store, hidden in (("packed", False, False), ("stored", True, False), ("names-hidden", False, True)):
        builder = rars.RarBuilder(form, password=PASSWORD.encode(), store=store, encrypt_headers=hidden)
        builder.add_bytes(prose(500, 1), "minutes.txt")
        builder.add_bytes(prose(90, 2), "letter.txt")
        findings = ("password-untested",) if generation == 4 and name == "packed" else ()
        words = scheme + (HIDDEN if hidden else "")
        data = builder.to_bytes()
        _sound_rar(f"rar{generation}-rars-{name}.rar", data, row, "rars 0.12", strength, words, findings)


def _sound_rar(
    name: str, data: bytes, row: str, maker: str, strength: str, scheme: str, findings: tuple[str, ...]
) -> None:
    keep(
        name,
        data,
        row=row,
        made_by=maker,
        kind="rar",
        strength=strength,
        scheme=scheme,
        encrypted="yes",
        findings=findings,
        password=PASSWORD,
    )


def rar_hostile(maker: str, generation: int) -> None:
    scheme = RAR5 if generation == 5 else RAR4
    form, secret, hidden = f"-ma{generation}", f"-p{PASSWORD}", f"-hp{PASSWORD}"
    first = ("rar", "a", form, "-m0", "x.rar", "letter.txt")
    with workplace():
        mixed = made("x.rar", first, ("rar", "a", form, "-m0", secret, "x.rar", "scan.bin"))
    with workplace():
        first = ("rar", "a", form, "x.rar", "letter.txt")
        mixed_hidden = made("x.rar", first, ("rar", "a", form, hidden, "x.rar", "scan.bin"))
    with workplace():
        comment = made("x.rar", ("rar", "a", form, "-m0", secret, "-znote.txt", "x.rar", "scan.bin"))
    with workplace():
        good = made("x.rar", ("rar", "a", form, "-m0", secret, "x.rar", "minutes.txt"))
        plain = made("y.rar", ("rar", "a", form, "y.rar", "minutes.txt"))
    name = f"rar{generation}"
    edited = f"make_archives7.py, from an archive of {maker}"
    lying = good[:200] + prose(400, 4)[:1024] + good[1224:]
    damaged = good.replace(b"minutes", b"ninutes")
    mixture = ("partly-encrypted", "rar", f"partly {scheme}", "partial")
    _none(f"{name}-mixed.rar", mixed, maker, *mixture, "clear-member")
    _none(f"{name}-comment.rar", comment, maker, *mixture, "archive-comment")
    _none(f"{name}-trailing-text.rar", good + b"\nPlease read.", edited, *mixture, "trailing-bytes")
    mixture = ("partly-encrypted", "rar", f"partly {scheme}{HIDDEN}", "partial")
    _none(f"{name}-mixed-names-hidden.rar", mixed_hidden, maker, *mixture, "clear-member")
    _none(f"{name}-plain.rar", plain, maker, "plain", "rar", "RAR, not encrypted", "no", "clear-member")
    _none(f"{name}-readable.rar", lying, edited, "plain", "rar", scheme, "no", "clear-member", "looks-readable")
    _none(f"{name}-cut-short.rar", good[:1500], edited, "unknown-format", "rar", "", "no", "unreadable")
    _none(f"{name}-damaged-header.rar", damaged, edited, "unknown-format", "rar", "", "no", "unreadable")


def rar_oldest() -> None:
    builder = rars.RarBuilder(rars.RAR13, password=PASSWORD.encode(), store=True)
    builder.add_bytes(prose(90, 2), "letter.txt")
    scheme = "RAR before 1.5, not encrypted soundly"
    _none("rar13-password.rar", builder.to_bytes(), "rars 0.12", "plain", "rar", scheme, "no", "clear-text")


def _none(name: str, data: bytes, maker: str, row: str, kind: str, scheme: str, encrypted: str, *findings: str) -> None:
    keep(
        name,
        data,
        row=row,
        made_by=maker,
        kind=kind,
        strength="none",
        scheme=scheme,
        encrypted=encrypted,
        findings=findings,
        password=PASSWORD,
    )


def main() -> None:
    seven = "7-Zip " + version("7z", r"7-Zip \S* ?(\d+\.\d+)")
    rar = "RAR " + version("rar", r"RAR (\d+\.\d+)")
    seven_strong(seven)
    seven_by_py7zr()
    seven_hostile(seven)
    for generation in (4, 5):
        rar_sound(rar, generation)
        rar_by_rars(generation)
        rar_hostile(rar, generation)
    rar_oldest()


if __name__ == "__main__":
    main()
