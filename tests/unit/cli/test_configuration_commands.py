"""`gateway check`, `apply`, `password` and `seal-key`, as an administrator meets them."""

from __future__ import annotations

import json
import shutil
import stat
from datetime import date
from pathlib import Path
from typing import Any, Self

import argon2
import pytest
import typer
from typer.testing import CliRunner

from gateway.cli import apply as apply_module
from gateway.cli import check as check_module
from gateway.cli import commands, common
from gateway.directory.check import examine
from gateway.directory.model import Snapshot
from gateway.errors import ConfigurationError, StartupError
from tests.support.node_files import TODAY, look_up, write_node_files

SOUND = Path(__file__).parent.parent.parent / "bad_configs" / "_sound"


class Shelf:
    """A store that keeps what is activated, in memory."""

    in_force_now: Snapshot | None = None
    activations: list[tuple[str, str, str]] = []

    @classmethod
    def open(cls, settings: object, **more: object) -> Self:
        return cls()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        return None

    def in_force(self) -> Snapshot | None:
        return self.in_force_now

    def activate(self, snapshot: Snapshot, who: str, why: str, *, replacing: str, records: object) -> None:
        type(self).in_force_now = snapshot
        self.activations.append((snapshot.id, who, why))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command on a sound configuration in ./config, on the day for which its files were made."""
    write_node_files_in = tmp_path / "config"
    write_node_files_in.mkdir()
    write_node_files(write_node_files_in)
    shutil.copytree(SOUND, write_node_files_in, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(common.CONFIG_VARIABLE, raising=False)
    monkeypatch.setattr(Shelf, "in_force_now", None)
    monkeypatch.setattr(Shelf, "activations", [])
    monkeypatch.setattr("gateway.store.Store", Shelf)

    def on_the_day(path: Path, today: date, keys_of: object) -> object:
        return examine(path, TODAY, lambda settings: look_up)

    monkeypatch.setattr(check_module, "examine", on_the_day)
    monkeypatch.setattr(apply_module, "examine", on_the_day)
    app = typer.Typer()
    commands.register(app)
    return lambda *arguments, **more: CliRunner().invoke(app, arguments, catch_exceptions=False, **more)


def edit(file: str, old: str, new: str) -> None:
    path = Path("config") / file
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


# ---------------------------------------------------------------- check


def test_check_says_that_all_is_well(run: Any) -> None:
    result = run("check")
    assert result.exit_code == 0
    assert result.output.startswith("The configuration is sound. Snapshot ")


def test_check_prints_each_fault_on_a_line_of_its_own_and_exits_with_1(run: Any) -> None:
    edit("partners.toml", '["police.example"]', '["police.example", "gov.uk", "nhs.uk"]')
    edit("secure-domains.toml", "valid_until = 2027-08-31", "valid_until = 2026-12-01")
    result = run("check")
    assert result.exit_code == 1
    lines = result.output.splitlines()
    assert lines[0].startswith("config/partners.toml:10: `gov.uk` is not one organisation's")
    assert lines[1].startswith("config/partners.toml:10: `nhs.uk` is not one organisation's")
    assert lines[2].startswith("config/secure-domains.toml:8: `council.example` expires on 2026-12-01.")
    assert lines[2].endswith("(warning)")
    assert lines[-1] == "2 faults, 2 warnings."


def test_check_in_json_holds_the_same(run: Any) -> None:
    edit("partners.toml", 'name = "Police"', "name = 7")
    result = run("check", "--json")
    answer = json.loads(result.output)
    assert result.exit_code == 1
    assert answer["snapshot"] is None
    assert [(fault["file"], fault["line"]) for fault in answer["faults"]] == [("config/partners.toml", 9)]
    assert set(answer["faults"][0]) == {"file", "line", "problem", "remedy"}


def test_the_configuration_is_looked_for_in_order(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert common.find_config(Path("x.toml")) == Path("x.toml")
    assert common.find_config(None) == Path("config/gateway.toml")
    monkeypatch.setenv(common.CONFIG_VARIABLE, "/srv/other.toml")
    assert common.find_config(None) == Path("/srv/other.toml")
    monkeypatch.delenv(common.CONFIG_VARIABLE)
    monkeypatch.setattr(common, "CONFIG_PLACES", (tmp_path / "a", tmp_path / "b"))
    with pytest.raises(ConfigurationError, match="--config FILE"):
        common.find_config(None)


# ---------------------------------------------------------------- apply


def test_apply_shows_what_changes_and_records_who_and_why(run: Any) -> None:
    result = run("apply", "--yes", "--who", "Information Security", "--why", "first  set-up")
    assert result.exit_code == 0
    assert "partner police" in result.output
    ((snapshot, who, why),) = Shelf.activations
    assert (who, why) == ("Information Security", "first set-up")
    assert result.output.splitlines()[-1] == f"In force: {snapshot}"


def test_apply_again_changes_nothing(run: Any) -> None:
    run("apply", "--yes", "--why", "first")
    result = run("apply", "--yes", "--why", "again")
    assert result.exit_code == 0
    assert "Nothing changes" in result.output
    assert len(Shelf.activations) == 1


def test_apply_applies_nothing_that_has_a_fault(run: Any) -> None:
    edit("policy.toml", 'basis = "4.1.2"\n', 'basis = "4.1.99"\n')
    result = run("apply", "--yes", "--why", "x")
    assert result.exit_code == 1
    assert "config/policy.toml:15:" in result.output
    assert Shelf.activations == []


def test_apply_needs_a_reason(run: Any) -> None:
    result = run("apply", "--yes", "--why", "  ")
    assert result.exit_code == 2
    assert "--why" in result.output
    assert Shelf.activations == []


def test_a_dry_run_needs_no_reason_and_applies_nothing(run: Any) -> None:
    result = run("apply", "--dry-run", "--json")
    answer = json.loads(result.output)
    assert (result.exit_code, answer["applied"], Shelf.activations) == (0, False, [])
    assert {"kind": "added", "what": "domain police.example"}.items() <= answer["changes"][3 + 1].items()


def test_without_a_terminal_nothing_is_applied_unless_yes_is_said(run: Any) -> None:
    result = run("apply", "--why", "x", input="y\n")
    assert result.exit_code == 2
    assert "--yes" in result.output
    assert Shelf.activations == []


def test_who_is_the_user_behind_sudo(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "security-officer")
    run("apply", "--yes", "--why", "x")
    assert Shelf.activations[0][1] == "security-officer"


# ---------------------------------------------------------------- secrets


def test_password_prints_an_argon2id_hash_of_what_it_reads(run: Any) -> None:
    result = run("password", input="a long machine password\n")
    assert result.exit_code == 0
    assert argon2.PasswordHasher().verify(result.output.strip(), "a long machine password")
    assert argon2.extract_parameters(result.output.strip()).type is argon2.Type.ID


def test_a_short_password_is_refused(run: Any) -> None:
    result = run("password", input="short\n")
    assert result.exit_code == 2
    assert "short\n" not in result.output


def test_a_seal_key_is_32_bytes_for_the_owner_alone(run: Any, tmp_path: Path) -> None:
    assert run("seal-key", "one.key").exit_code == 0
    assert run("seal-key", "two.key").exit_code == 0
    one, two = tmp_path / "one.key", tmp_path / "two.key"
    assert (one.stat().st_size, stat.S_IMODE(one.stat().st_mode)) == (32, 0o600)
    assert one.read_bytes() != two.read_bytes()


def test_a_seal_key_is_never_overwritten(run: Any, tmp_path: Path) -> None:
    (tmp_path / "old.key").write_bytes(b"precious")
    (tmp_path / "link.key").symlink_to(tmp_path / "elsewhere")
    for name in ("old.key", "link.key"):
        with pytest.raises(StartupError, match="exists already"):
            run("seal-key", name)
    assert (tmp_path / "old.key").read_bytes() == b"precious"
    assert not (tmp_path / "elsewhere").exists()


def test_a_seal_key_in_a_folder_that_is_not_there_is_a_sentence(run: Any) -> None:
    with pytest.raises(StartupError, match=r"no such file or directory\. Choose a folder"):
        run("seal-key", "nowhere/seal.key")


# ---------------------------------------------------------------- printing


def test_text_from_a_peer_cannot_steer_the_terminal() -> None:
    assert common.clean("550 \x1b[2Jgone\r\n\x07") == "550 ?[2Jgone???"


def test_square_brackets_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    common.out.print("[secure] [bold]x[/bold] [/]")
    assert capsys.readouterr().out == "[secure] [bold]x[/bold] [/]\n"


def test_json_is_one_ascii_line(capsys: pytest.CaptureFixture[str]) -> None:
    common.print_json(
        {"day": date(2026, 11, 23), "path": Path("a"), "set": frozenset({"b", "a"}), "text": "é\nx\udcff"}
    )
    line = capsys.readouterr().out
    assert line.isascii()
    assert line.count("\n") == 1
    assert json.loads(line)["set"] == ["a", "b"]
    assert json.loads(line)["day"] == "2026-11-23"
    with pytest.raises(TypeError):
        common.print_json(object())
