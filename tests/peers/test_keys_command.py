"""`gateway keys` on a real key ring: what it takes, what it tells, what it finds."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import tomlkit
from click.testing import Result
from typer.testing import CliRunner

from gateway.cli.keys import app
from tests.support.openpgp import KeyRing, key_ring

CONFIG = Path(__file__).parents[2] / "config"


@pytest.fixture(scope="module")
def correspondent() -> Iterator[KeyRing]:
    with key_ring() as ring:
        yield ring


@pytest.fixture(scope="module")
def office(correspondent: KeyRing) -> str:
    return correspondent.generate("office@partner.test")


class Command:
    """The command on a configuration of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for path in CONFIG.glob("*.toml"):
            (folder / path.name).write_bytes(path.read_bytes())
        settings = tomlkit.parse((folder / "gateway.toml").read_text())
        settings["state"] = str(folder / "state")
        (folder / "gateway.toml").write_text(tomlkit.dumps(settings))
        self.pin()

    def pin(self, *fingerprints: str) -> None:
        """Makes these the only pinned keys."""
        partners = tomlkit.parse((CONFIG / "partners.toml").read_text())
        for partner in partners["partner"]:  # type: ignore[union-attr]
            partner.pop("keys", None)
            if partner["id"] == "cafcass":
                partner["keys"] = [{"fingerprint": fingerprint} for fingerprint in fingerprints]
        (self.folder / "partners.toml").write_text(tomlkit.dumps(partners))

    def __call__(self, *arguments: str, data: bytes = b"") -> Result:
        command, *rest = arguments
        return CliRunner().invoke(app, [command, "--config", str(self.folder / "gateway.toml"), *rest], input=data)


@pytest.fixture
def keys(tmp_path: Path) -> Command:
    return Command(tmp_path)


def test_an_import_prints_the_lines_to_pin_the_key(keys: Command, correspondent: KeyRing, office: str) -> None:
    file = keys.folder / "office.asc"
    file.write_bytes(correspondent.public(office))
    result = keys("import", str(file))
    assert result.exit_code == 0
    pinned = tomlkit.parse(result.stdout)["keys"]
    assert pinned.unwrap() == [{"fingerprint": office}]
    assert "<office@partner.test>" in result.stdout


def test_an_import_reads_standard_input(keys: Command, correspondent: KeyRing, office: str) -> None:
    assert keys("import", "-", data=correspondent.public(office)).exit_code == 0
    assert office in keys("list").stdout


def test_a_file_that_cannot_be_taken_does_not_stop_the_others(
    keys: Command, correspondent: KeyRing, office: str
) -> None:
    good, bad = keys.folder / "good", keys.folder / "bad"
    good.write_bytes(correspondent.public(office))
    bad.write_bytes(b"no key")
    result = keys("import", str(bad), str(keys.folder / "absent"), str(good))
    assert result.exit_code == 1
    assert office in result.stdout
    assert result.stderr.count("\n") == 2


def test_the_list_tells_each_key_as_json(keys: Command, correspondent: KeyRing, office: str) -> None:
    assert keys("list", "--json").stdout == ""
    keys("import", "-", data=correspondent.public(office))
    (line,) = keys("list", "--json").stdout.splitlines()
    told = json.loads(line)
    assert (told["fingerprint"], told["usable"], told["problem"]) == (office, True, "")
    assert told["user_ids"] == ["<office@partner.test>"]
    assert len(told["expires"]) == 10


def faults(keys: Command) -> dict[str, str]:
    result = keys("check", "--json")
    found = {fault["fingerprint"]: fault["code"] for fault in map(json.loads, result.stdout.splitlines())}
    assert result.exit_code == (1 if found else 0)
    return found


def test_check_compares_the_ring_with_the_pins(keys: Command, correspondent: KeyRing, office: str) -> None:
    assert faults(keys) == {}
    keys("import", "-", data=correspondent.public(office))
    assert faults(keys) == {office: "not-pinned"}
    keys.pin(office)
    assert faults(keys) == {}
    keys.pin(office, "0" * 40, "F" * 64)
    assert faults(keys) == {"0" * 40: "absent", "F" * 64: "absent"}


@pytest.mark.parametrize(("expiry", "code"), [("20d", "expiring"), ("40d", None)])
def test_check_warns_a_month_ahead(keys: Command, correspondent: KeyRing, expiry: str, code: str | None) -> None:
    address = f"in-{expiry}@partner.test"
    correspondent._gpg("--quick-gen-key", "--passphrase", "", f"<{address}>", "rsa2048", "encr,sign", expiry)
    fingerprint = correspondent._fingerprint(address)
    keys("import", "-", data=correspondent.public(fingerprint))
    keys.pin(fingerprint)
    assert faults(keys) == ({fingerprint: code} if code else {})


def test_check_finds_a_pinned_key_that_cannot_encrypt(keys: Command, correspondent: KeyRing) -> None:
    correspondent._gpg("--quick-gen-key", "--passphrase", "", "<sign@partner.test>", "ed25519", "sign", "1y")
    fingerprint = correspondent._fingerprint("sign@partner.test")
    result = keys("import", "-", data=correspondent.public(fingerprint))
    assert "only sign" in result.stderr
    keys.pin(fingerprint)
    assert faults(keys) == {fingerprint: "unusable"}
    assert "cafcass" in keys("check").stdout


def test_a_removed_key_is_gone(keys: Command, correspondent: KeyRing, office: str) -> None:
    keys("import", "-", data=correspondent.public(office))
    spaced = " ".join(office[start : start + 4] for start in range(0, 40, 4)).lower()
    assert keys("remove", spaced).exit_code == 0
    assert keys("list", "--json").stdout == ""
    again = keys("remove", office)
    assert again.exit_code == 1
    assert "holds no key" in again.stderr
