"""What `check`, `warnings` and `examine` promise beyond the single mistakes of tests/bad_configs."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.configuration import load_settings
from gateway.directory.check import check, examine, warnings
from gateway.directory.load import load_snapshot
from gateway.errors import ProtectionUnavailableError
from gateway.model import KeyFacts
from tests.support.node_files import EXPIRED_KEY, GOOD_KEY, TODAY, look_up, write_node_files

SOUND = Path(__file__).parent.parent.parent / "bad_configs" / "_sound"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_node_files(tmp_path)
    shutil.copytree(SOUND, tmp_path, dirs_exist_ok=True)
    return tmp_path


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def test_a_sound_configuration_is_returned_with_its_examination(folder: Path) -> None:
    found = examine(folder / "gateway.toml", TODAY, lambda settings: look_up)
    assert found.faults == found.warnings == found.lapsed == ()
    assert found.settings == load_settings(folder / "gateway.toml")
    assert found.snapshot == load_snapshot(load_settings(folder / "gateway.toml"))


def test_nothing_that_has_a_fault_can_be_used(folder: Path) -> None:
    edit(folder / "partners.toml", 'name = "Police"', 'nmae = "Police"')
    found = examine(folder / "gateway.toml", TODAY)
    assert found.settings is None
    assert found.snapshot is None


def test_check_finds_what_examine_finds(folder: Path) -> None:
    edit(folder / "partners.toml", '["probation.example"]', '["probation.example", "gov.uk"]')
    edit(folder / "policy.toml", 'basis = "4.1.2"\n', 'basis = "4.1.99"\n')
    settings = load_settings(folder / "gateway.toml")
    faults = check(settings, load_snapshot(settings), TODAY, look_up)
    assert faults == examine(folder / "gateway.toml", TODAY, lambda settings: look_up).faults
    assert [(Path(fault.file).name, fault.line) for fault in faults] == [("partners.toml", 18), ("policy.toml", 15)]


def test_check_alone_knows_no_lines_of_gateway_toml(folder: Path) -> None:
    settings = load_settings(folder / "gateway.toml")
    (folder / "seal.key").unlink()
    assert [(fault.file, fault.line) for fault in check(settings, load_snapshot(settings), TODAY)] == [
        ("gateway.toml", 0)
    ]


def test_warnings_come_apart_from_faults(folder: Path) -> None:
    settings = load_settings(folder / "gateway.toml")
    snapshot = load_snapshot(settings)
    soon = TODAY.replace(year=2027, month=8, day=15)
    assert warnings(settings, snapshot, TODAY) == ()
    assert [fault.problem for fault in warnings(settings, snapshot, soon)] == [
        "`council.example` expires on 2027-08-31",
        "`police.example` expires on 2027-08-31",
    ]


def test_an_entry_is_in_force_on_its_last_day_and_expired_on_the_next(folder: Path) -> None:
    settings = load_settings(folder / "gateway.toml")
    snapshot = load_snapshot(settings)
    last = snapshot.register_[0].valid_until

    def expired(day: int) -> list[str]:
        faults = check(settings, snapshot, last + timedelta(days=day))
        return [fault.problem for fault in faults if "expired" in fault.problem and "certificate" not in fault.problem]

    assert expired(0) == []
    assert expired(1) == ["`council.example` expired on 2027-08-31", "`police.example` expired on 2027-08-31"]


def test_what_the_passing_of_time_broke_is_told_apart(folder: Path) -> None:
    edit(folder / "partners.toml", GOOD_KEY, EXPIRED_KEY)
    later = TODAY.replace(year=2027, month=9, day=1)
    found = examine(folder / "gateway.toml", later, lambda settings: look_up)
    assert len(found.faults) == 4  # the certificate, the key, two entries
    assert found.lapsed == found.faults
    edit(folder / "policy.toml", 'basis = "4.1.2"\n', 'basis = "4.1.99"\n')
    found = examine(folder / "gateway.toml", later, lambda settings: look_up)
    assert [fault for fault in found.faults if fault not in found.lapsed] == [
        fault for fault in found.faults if fault.file.endswith("policy.toml")
    ]


def test_each_fingerprint_is_looked_up_once(folder: Path) -> None:
    asked: list[str] = []

    def keys(fingerprint: str) -> KeyFacts | None:
        asked.append(fingerprint)
        return look_up(fingerprint)

    edit(
        folder / "partners.toml",
        "keys = [",
        f'keys = [{{ fingerprint = "{GOOD_KEY}", address = "mash@police.example" }}, ',
    )
    settings = load_settings(folder / "gateway.toml")
    assert check(settings, load_snapshot(settings), TODAY, keys) == ()
    assert asked == [GOOD_KEY]


def test_a_key_ring_that_cannot_be_read_makes_its_keys_unusable(folder: Path) -> None:
    def keys(fingerprint: str) -> KeyFacts | None:
        raise ProtectionUnavailableError("The key ring cannot be read.")

    settings = load_settings(folder / "gateway.toml")
    faults = check(settings, load_snapshot(settings), TODAY, keys)
    assert [fault.problem for fault in faults] == [
        "the key ...89ABCDEF01234567 cannot be used: the key ring cannot be read"
    ]


def test_credentials_of_the_service_manager_are_private_whatever_their_mode(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "seal.key").chmod(0o440)
    settings = load_settings(folder / "gateway.toml")
    assert len(check(settings, load_snapshot(settings), TODAY)) == 1
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    assert check(settings, load_snapshot(settings), TODAY) == ()


@pytest.mark.parametrize(
    ("listener", "route", "loop"),
    [
        ('address = "0.0.0.0"\nport = 25', "port = 25", True),
        ('address = "127.0.0.1"\nport = 25', "port = 25", True),
        ('address = "0.0.0.0"\nport = 2525', "port = 25", False),
        ('address = "192.0.2.1"\nport = 25', "port = 25", False),
    ],
)
def test_a_route_to_localhost_is_a_loop_only_where_the_gateway_listens(
    listener: str, route: str, loop: bool, folder: Path
) -> None:
    edit(folder / "gateway.toml", 'address = "0.0.0.0"\nport = 25', listener)
    edit(
        folder / "partners.toml",
        'host = "relay.service.example", tls = "authenticated"',
        f'host = "localhost", {route}',
    )
    found = examine(folder / "gateway.toml", TODAY)
    assert any("leads back" in fault.problem for fault in found.faults) == loop
