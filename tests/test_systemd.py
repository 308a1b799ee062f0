"""The unit's exposure, and that Python and its extensions live with what the unit forbids."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from pathlib import Path

import tomlkit

UNITS = Path(__file__).parents[1] / "systemd"
SERVICE = UNITS / "partner-mail-gateway.service"
MOST_EXPOSURE = 2.0


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def exposure(unit: Path) -> float:
    output = run("systemd-analyze", "security", "--offline=true", "--no-pager", str(unit))
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", output)
    assert found, output
    return float(found[1])


def test_the_exposure_is_below_two() -> None:
    assert exposure(SERVICE) < MOST_EXPOSURE


def test_the_exposure_with_the_capability_for_port_25_is_below_two(tmp_path: Path) -> None:
    unit = tmp_path / SERVICE.name
    unit.write_text(SERVICE.read_text() + (UNITS / "port-25.conf").read_text())
    assert exposure(unit) < MOST_EXPOSURE


def test_systemd_finds_no_fault_in_the_units(tmp_path: Path) -> None:
    for unit in UNITS.glob("partner-mail-gateway.s*"):
        text = unit.read_text().replace("/opt/partner-mail-gateway/bin/gateway", "/bin/true")
        (tmp_path / unit.name).write_text(text.replace("Documentation=", "#"))
    output = run("systemd-analyze", "verify", "--man=no", str(tmp_path / SERVICE.name))
    assert "partner-mail-gateway" not in output


def test_the_socket_unit_has_the_ports_of_the_sample_configuration_in_order() -> None:
    sample = tomlkit.parse((UNITS.parent / "config" / "gateway.toml").read_text())
    listeners = [f"{listener['address']}:{listener['port']}" for listener in sample["listeners"]]  # type: ignore[union-attr]
    unit = (UNITS / "partner-mail-gateway.socket").read_text()
    assert re.findall(r"^ListenStream=(.+)$", unit, re.MULTILINE) == listeners


def test_the_service_writes_nowhere_but_in_its_own_folders() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.read(SERVICE)
    service = unit["Service"]
    assert service["ProtectSystem"] == "strict"
    assert service["ProtectHome"] == "yes"
    assert "ReadWritePaths" not in service
    sample = tomlkit.parse((UNITS.parent / "config" / "gateway.toml").read_text())
    assert sample["state"] == f"/var/lib/{service['StateDirectory']}"


# MemoryDenyWriteExecute= as systemd installs it: a seccomp filter on mmap, mprotect and pkey_mprotect.
WORK = """
import ctypes, io, mmap, platform, struct, sys

LOAD, JUMP_EQUAL, AND, RETURN = 0x20, 0x15, 0x54, 0x06
NUMBERS = {"x86_64": (9, 10, 329), "aarch64": (222, 226, 288)}[platform.machine()]
DENY, ALLOW, WRITE, EXECUTE = 0x00050001, 0x7FFF0000, 2, 4
code = []
for number, mask in zip(NUMBERS, (WRITE | EXECUTE, EXECUTE, EXECUTE)):
    code += [(LOAD, 0, 0, 0), (JUMP_EQUAL, 0, 4, number), (LOAD, 0, 0, 16 + 8 * 2), (AND, 0, 0, mask),
             (JUMP_EQUAL, 0, 1, mask), (RETURN, 0, 0, DENY)]
code.append((RETURN, 0, 0, ALLOW))
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in code))
libc = ctypes.CDLL(None, use_errno=True)
header = struct.pack("HP", len(code), ctypes.addressof(program))
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, header, 0, 0) == 0
try:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    sys.exit("the filter is not in force")
except PermissionError:
    pass

import asyncio, importlib, pkgutil, sqlite3
import argon2, pikepdf, psycopg, uvloop
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
import gateway

for module in pkgutil.walk_packages(gateway.__path__, "gateway."):
    if "__main__" not in module.name and ".migrations" not in module.name:
        importlib.import_module(module.name)
hasher = argon2.PasswordHasher()
assert hasher.verify(hasher.hash("x"), "x")
AESGCM(bytes(32)).encrypt(bytes(12), b"x" * 100_000, b"")
page = pikepdf.new()
page.add_blank_page()
page.save(io.BytesIO(), encryption=pikepdf.Encryption(user="x", owner="y"))
sqlite3.connect(":memory:").execute("create table t (a)")

async def talk():
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    reader, _ = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
    return await reader.read()

assert uvloop.run(talk()) == b""
print("worked")
"""


def test_everything_runs_without_memory_that_is_writable_and_executable() -> None:
    done = subprocess.run([sys.executable, "-c", WORK], capture_output=True, text=True, timeout=100, check=False)
    assert done.stdout.strip().endswith("worked"), done.stderr
