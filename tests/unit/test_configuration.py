"""Reading gateway.toml and the three files of the directory: forms, paths, credentials, and faults all at once."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from gateway.configuration import load_settings
from gateway.directory.check import examine
from gateway.directory.load import load_snapshot
from gateway.errors import ConfigurationError
from gateway.settings import Settings

REPOSITORY = Path(__file__).parent.parent.parent
SAMPLE = REPOSITORY / "config"
SOUND = REPOSITORY / "tests" / "bad_configs" / "_sound"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for file in SOUND.glob("*.toml"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def faults_of(path: Path) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        load_snapshot(load_settings(path))
    return [f"{Path(fault.file).name}:{fault.line}" for fault in refused.value.faults]


# ---------------------------------------------------------------- paths and credentials


def test_relative_paths_start_at_the_folder_of_the_file(folder: Path) -> None:
    settings = load_settings(folder / "gateway.toml")
    assert settings.state == folder / "state"
    assert settings.store.seal_key == folder / "seal.key"
    assert settings.partners == folder / "partners.toml"
    assert settings.tls is not None
    assert settings.tls.certificate == folder / "certificate.pem"


def test_the_key_ring_is_in_the_state_folder(folder: Path) -> None:
    assert load_settings(folder / "gateway.toml").key_ring == folder / "state" / "gnupg"
    edit(folder / "gateway.toml", "[store]", '[openpgp]\nhome = "ring"\n\n[store]')
    assert load_settings(folder / "gateway.toml").key_ring == folder / "state" / "ring"
    edit(folder / "gateway.toml", '"ring"', '"/srv/ring"')
    assert load_settings(folder / "gateway.toml").key_ring == Path("/srv/ring")


def test_the_key_ring_is_the_same_however_the_file_was_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    settings = load_settings(Path("gateway.toml"))
    assert settings.key_ring.absolute() == settings.openpgp.home == folder / "state" / "gnupg"


def test_absolute_paths_stay_as_they_are(folder: Path) -> None:
    edit(folder / "gateway.toml", '"state"', '"/var/lib/gateway"')
    assert load_settings(folder / "gateway.toml").state == Path("/var/lib/gateway")


def test_a_credential_is_a_file_that_the_service_manager_hands_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/gateway.service")
    edit(folder / "gateway.toml", '"seal.key"', '"credential:seal-key"')
    seal_key = load_settings(folder / "gateway.toml").store.seal_key
    assert seal_key == Path("/run/credentials/gateway.service/seal-key")


@pytest.mark.parametrize("name", ["", "..", "../etc/passwd", "a/b"])
def test_a_credential_name_cannot_lead_out_of_its_folder(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/run/credentials/gateway.service")
    edit(folder / "gateway.toml", '"seal.key"', f'"credential:{name}"')
    assert faults_of(folder / "gateway.toml") == ["gateway.toml:27"]


# ---------------------------------------------------------------- forms


def test_equal_content_has_one_snapshot_id_however_it_was_typed(folder: Path) -> None:
    before = load_snapshot(load_settings(folder / "gateway.toml"))
    edit(folder / "partners.toml", '"police.example"', '"Police.EXAMPLE."')
    spaced = "0123 4567 89ab cdef 0123  4567 89ab cdef 0123 4567"
    edit(folder / "partners.toml", "0123456789ABCDEF0123456789ABCDEF01234567", spaced)
    edit(folder / "secure-domains.toml", '"council.example"', '"COUNCIL.example"')
    edit(folder / "policy.toml", "mash@council.example", "mash@Council.Example")
    (folder / "policy.toml").write_bytes(
        b"\xef\xbb\xbf" + (folder / "policy.toml").read_bytes().replace(b"\n", b"\r\n")
    )
    assert load_snapshot(load_settings(folder / "gateway.toml")).id == before.id


def test_domains_in_unicode_become_a_labels_everywhere(folder: Path) -> None:
    for file in ("gateway.toml", "partners.toml", "secure-domains.toml", "policy.toml"):
        text = (folder / file).read_text().replace("police.example", "pölice.example")
        (folder / file).write_text(text)
    edit(folder / "partners.toml", '4567" }', '4567", address = "mash@PÖLICE.example" }')
    edit(folder / "policy.toml", '"mash@council.example"', '"@pölice.example"')
    settings = load_settings(folder / "gateway.toml")
    snapshot = load_snapshot(settings)
    assert settings.clients[1].sender_domains == ("xn--plice-jua.example",)
    police = snapshot.partner_of("xn--plice-jua.example")
    assert police is not None
    assert police.keys[0].address == "mash@xn--plice-jua.example"
    assert police.spoc.email == "dpo@xn--plice-jua.example"
    assert snapshot.entry_of("xn--plice-jua.example", date(2026, 11, 23)) is not None
    assert snapshot.policy.rules[0].sender == "@xn--plice-jua.example"


def test_certificate_names_with_a_star_mean_any_host_below(folder: Path) -> None:
    edit(
        folder / "secure-domains.toml",
        'basis = "contract"',
        'basis = "contract"\nmx = ["*.Mail.Example", ".a.example"]',
    )
    snapshot = load_snapshot(load_settings(folder / "gateway.toml"))
    assert snapshot.register_[1].mx == (".mail.example", ".a.example")


# ---------------------------------------------------------------- faults


def test_every_fault_of_the_three_files_comes_at_once(folder: Path) -> None:
    edit(folder / "partners.toml", 'name = "Council"', "name = 1")
    edit(folder / "partners.toml", 'id = "police"', 'id = "The Police"')
    edit(folder / "secure-domains.toml", "valid_until = 2027-08-31", "valid_till = 2027-08-31")
    edit(folder / "policy.toml", 'countries = ["GB"]', 'countries = ["GB"')
    assert faults_of(folder / "gateway.toml") == [
        "partners.toml:3",
        "partners.toml:8",
        "secure-domains.toml:1",
        "secure-domains.toml:8",
        "policy.toml:3",
    ]


def test_a_missing_file_and_a_folder_in_its_place_are_faults_without_a_line(folder: Path) -> None:
    (folder / "policy.toml").unlink()
    (folder / "partners.toml").unlink()
    (folder / "partners.toml").mkdir()
    assert faults_of(folder / "gateway.toml") == ["partners.toml:0", "policy.toml:0"]


def test_a_file_in_another_encoding_is_named_with_its_line(folder: Path) -> None:
    (folder / "policy.toml").write_bytes(b'countries = ["GB"]\n# caf\xe9\n')
    assert faults_of(folder / "gateway.toml") == ["policy.toml:2"]


def test_nesting_without_end_is_a_fault_and_not_a_crash(folder: Path) -> None:
    (folder / "policy.toml").write_text("a = " + "[" * 5000 + "]" * 5000)
    assert faults_of(folder / "gateway.toml") == ["policy.toml:1"]


def test_a_password_in_the_wrong_place_is_not_shown(folder: Path) -> None:
    edit(folder / "gateway.toml", 'password_hash = "', 'password_hash = "correct horse ')
    found = examine(folder / "gateway.toml", date(2026, 11, 23))
    assert any("password hash" in fault.problem for fault in found.faults)
    assert "correct horse" not in str(found)


@pytest.mark.parametrize(
    "value", ["7", "true", "[]", "{}", '""', "1.5", "nan", "[7]", "[{}]", "2026-01-01", '"x"', '["x"]']
)
@pytest.mark.parametrize("file", ["gateway.toml", "partners.toml", "secure-domains.toml", "policy.toml"])
def test_no_value_of_any_key_makes_the_check_crash(file: str, value: str, folder: Path) -> None:
    lines = (folder / file).read_text().splitlines()
    for number, line in enumerate(lines):
        if " = " not in line:
            continue
        changed = [*lines[:number], line.partition(" = ")[0] + " = " + value, *lines[number + 1 :]]
        (folder / file).write_text("\n".join(changed))
        found = examine(folder / "gateway.toml", date(2026, 11, 23), lambda settings: lambda fingerprint: None)
        assert all(fault.problem and fault.remedy.endswith((".", "?")) for fault in found.faults)
        assert all(fault.line >= 1 for fault in found.faults if fault.file.endswith(file))


@pytest.mark.parametrize("file", ["gateway.toml", "partners.toml", "secure-domains.toml", "policy.toml"])
def test_no_missing_line_makes_the_check_crash(file: str, folder: Path) -> None:
    lines = (folder / file).read_text().splitlines()
    for number in range(len(lines)):
        (folder / file).write_text("\n".join([*lines[:number], *lines[number + 1 :]]))
        found = examine(folder / "gateway.toml", date(2026, 11, 23))
        assert all(fault.problem and fault.remedy for fault in found.faults)


# ---------------------------------------------------------------- the sample

MUST_LACK = (
    "there is no file `/etc/partner-mail-gateway/tls/fullchain.pem`",
    "there is no file `/etc/partner-mail-gateway/tls/key.pem`",
    "there is no file `/etc/partner-mail-gateway/seal.key`",
)


def test_the_sample_lacks_nothing_but_certificate_and_keys() -> None:
    found = examine(SAMPLE / "gateway.toml", date(2026, 11, 23))
    assert tuple(fault.problem for fault in found.faults) == MUST_LACK
    assert found.warnings == ()


def test_the_sample_names_every_party_to_the_protocol() -> None:
    snapshot = load_snapshot(load_settings(SAMPLE / "gateway.toml"))
    assert [partner.id for partner in snapshot.partners] == [
        "solihull-mbc",
        "bsol-icb",
        "west-midlands-police",
        "third-sector",
        "bsmhft",
        "cafcass",
        "cwpt",
        "education-partners",
        "uhb",
        "probation-service",
        "solihull-community-housing",
        "swft",
        "ukvi",
        "west-midlands-fire",
        "west-midlands-ambulance",
    ]
    assert {entry.basis for entry in snapshot.register_} == {"DCB1596", "gov.uk-secure-email", "contract"}


def test_the_sample_holds_the_catalogues_of_the_protocol() -> None:
    policy = load_snapshot(load_settings(SAMPLE / "gateway.toml")).policy
    assert list(policy.purposes) == [f"3.5.{number}" for number in range(1, 7)]
    assert list(policy.bases)[:11] == [f"4.1.{number}" for number in range(1, 12)]
    assert {"s.16LA", "s.16LA(3)", "DPA-Part-3", "Art6(1)(ea)"} < set(policy.bases)
    assert [code for code in policy.conditions if code.startswith("5.4")] == [
        f"5.4({letter})" for letter in "abcdefghij"
    ]
    assert "Art10" in policy.conditions


def test_no_mail_of_the_sample_can_reach_anybody() -> None:
    for file in SAMPLE.glob("*.toml"):
        text = "\n".join(line for line in file.read_text().splitlines() if not line.startswith("#"))
        for domain in re.findall(r'@([a-z0-9.-]+\.[a-z]+)"|"([a-z0-9.*-]+\.[a-z]{2,})"', text):
            name = "".join(domain)
            assert name.endswith((".example", ".test", ".toml", ".key")), name


def test_the_defaults_that_the_sample_shows_are_the_defaults() -> None:
    shown = 0
    table = ""
    for line in (SAMPLE / "gateway.toml").read_text().splitlines():
        if heading := re.fullmatch(r"\[(\w+)\].*", line):
            table = heading[1]
        elif (setting := re.match(r"# (\w+) = ([^#]+)", line)) and table:
            default = _default(table, setting[1])
            if default not in (None, PydanticUndefined):
                value = tomllib.loads(f"x = {setting[2]}")["x"]
                assert value == default, f"[{table}] {setting[1]}"
                shown += 1
    assert shown >= 25


def _default(table: str, key: str) -> Any:
    model = Settings.model_fields[table].annotation
    if not (isinstance(model, type) and issubclass(model, BaseModel)):
        return None  # [tls] is optional, its keys have no defaults
    default = model.model_fields[key].default
    return str(default) if isinstance(default, Path) else list(default) if isinstance(default, tuple) else default
