"""`gateway domains list` and `import`, as an administrator meets them."""

from __future__ import annotations

import json
import shutil
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import typer
from sqlalchemy import insert
from typer.testing import CliRunner

from gateway.cli import commands, common, domains, domains_import
from gateway.configuration import load_settings
from gateway.directory import check_register
from gateway.directory.check import examine
from gateway.directory.csv_list import ListError
from gateway.directory.load import load_snapshot
from gateway.errors import ConfigurationError, StoreError
from gateway.store import Store, files
from gateway.store.domains import suspensions
from gateway.store.tables import suspension
from tests.support.node_files import TODAY, look_up, write_node_files

SOUND = Path(__file__).parent.parent.parent / "bad_configs" / "_sound"
FILE = Path("config/secure-domains.toml")
LIST = "Name,Domain\nPolice,police.example\nProbation,@Probation.Example\nStranger,stranger.example\n"


@pytest.fixture(scope="module")
def node_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("node")
    write_node_files(folder)
    return folder


@pytest.fixture
def run(node_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs a command on a sound configuration in ./config, on the day for which its files were made, at 80 columns."""
    folder = tmp_path / "config"
    shutil.copytree(node_files, folder)
    shutil.copytree(SOUND, folder, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(common.CONFIG_VARIABLE, raising=False)
    monkeypatch.setattr(check_register, "RESOLV_CONF", tmp_path / "resolv.conf")
    monkeypatch.setattr(domains, "_today", lambda: TODAY)
    monkeypatch.setattr(domains_import, "_today", lambda: TODAY)
    monkeypatch.setattr(domains_import, "key_ring", lambda settings: look_up)
    monkeypatch.setattr(common.out, "_width", 80)
    monkeypatch.setattr(common.err, "_width", 80)
    app = typer.Typer()
    commands.register(app)
    return lambda *arguments, **more: CliRunner().invoke(app, ("domains", *arguments), catch_exceptions=False, **more)


def write(text: str, name: str = "list.csv") -> str:
    Path(name).write_text(text)
    return name


def imported(run: Any, *more: str, text: str = LIST, basis: str = "DCB1596") -> Any:
    return run("import", "--basis", basis, "--owner", "IG Manager", *more, write(text))


def register() -> dict[str, Any]:
    snapshot = load_snapshot(load_settings(Path("config/gateway.toml")))
    return {entry.domain: entry for entry in snapshot.register_}


# ---------------------------------------------------------------- list


def test_before_anything_is_in_force_the_files_are_shown_and_no_store_is_made(run: Any) -> None:
    result = run("list")
    assert result.exit_code == 0
    assert "Nothing is in force yet" in result.output
    assert "police.example" in result.output
    assert not Path("config/state").exists()


def test_the_register_in_force_is_shown_and_not_the_files(run: Any) -> None:
    settings = load_settings(Path("config/gateway.toml"))
    with Store.open(settings, create=True) as store:
        store.activate(load_snapshot(settings), "who", "why")
        with store.writing() as connection:
            values = {"domain": "police.example", "since": 0.0, "reason": "No TLSA records three times in a row."}
            connection.execute(insert(suspension), values)
            assert suspensions(connection) == {"police.example": "No TLSA records three times in a row."}
    FILE.write_text("")
    shown = run("list").output
    assert "Nothing is in force yet" not in shown
    assert "suspended" in shown and "in force" in shown
    first, second = (json.loads(line) for line in run("list", "--json").output.splitlines())
    assert (first["domain"], first["state"], first["suspended"], first["days_left"]) == (
        *("council.example", "in force", ""),
        (date(2027, 8, 31) - TODAY).days,
    )
    assert (second["state"], second["suspended"]) == ("suspended", "No TLSA records three times in a row.")
    assert {"partner", "basis", "assurance", "valid_until", "evidence", "owner"} <= second.keys()


def test_a_store_without_a_register_in_force_shows_the_files(run: Any) -> None:
    Store.open(load_settings(Path("config/gateway.toml")), create=True).close()
    assert "Nothing is in force yet" in run("list").output


def test_an_entry_is_in_force_on_its_last_day(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    last = date(2027, 8, 31)
    for day, state, left in (
        (last, "in force", 0),
        (last + timedelta(days=1), "expired", 0),
        (date(2026, 8, 31), "not yet", 365),
    ):
        monkeypatch.setattr(domains, "_today", lambda day=day: day)
        found = json.loads(run("list", "--json").output.splitlines()[-1])
        assert (found["state"], found["days_left"]) == (state, left)


def test_the_list_can_be_read_at_80_columns(run: Any) -> None:
    long = "a-very-long-department-of-an-agency-with-a-long-name.council.example"
    text = FILE.read_text().replace('domain = "council.example"', f'domain = "*.{long}"')
    FILE.write_text(text)
    partners = Path("config/partners.toml")
    partners.write_text(partners.read_text().replace('["council.example"]', f'["council.example", "{long}"]'))
    lines = run("list").output.splitlines()
    assert max(map(len, lines)) <= 80
    assert any("gov.uk-secure-email" in line and "2027-08-31" in line for line in lines)


def test_an_empty_register_is_said_to_be_empty(run: Any) -> None:
    FILE.write_text("")
    assert "The register is empty." in run("list").output


# ---------------------------------------------------------------- import


def test_a_list_is_shown_and_taken_in(run: Any) -> None:
    FILE.write_text(f"# Kept by IG.\n\n{FILE.read_text()}")
    before, mode = FILE.read_text(), FILE.stat().st_mode
    FILE.chmod(0o640)
    result = imported(run, "--yes", "--evidence", "Published list")
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0] == "domain: from column 2 (`Domain`)"
    assert "Of no partner, not imported: 1" in lines and "  row 4: stranger.example" in lines
    assert "3 rows, 3 domains. Entries: 1 added, 1 other basis." in lines
    assert lines[-1].endswith('gateway apply --why "..."')
    assert FILE.read_text().startswith(before)
    assert FILE.stat().st_mode & 0o777 == 0o640 != mode
    entry = register()["probation.example"]
    assert (entry.partner, entry.basis, entry.owner) == ("probation", "DCB1596", "IG Manager")
    assert entry.evidence.startswith("Published list; row 3 of list.csv, SHA-256 ")
    assert (entry.valid_from, entry.valid_until) == (TODAY, date(2027, 11, 23))
    assert register()["police.example"].basis == "contract"
    assert sorted(path.name for path in Path("config").iterdir() if path.name.startswith(".")) == []


def test_the_same_import_again_writes_nothing(run: Any) -> None:
    imported(run, "--yes")
    before = FILE.stat().st_mtime_ns, FILE.read_bytes()
    result = imported(run)
    assert result.exit_code == 0
    assert "1 unchanged" in result.output
    assert (FILE.stat().st_mtime_ns, FILE.read_bytes()) == before


def test_a_dry_run_writes_nothing_and_asks_nothing(run: Any) -> None:
    before = FILE.read_bytes()
    result = imported(run, "--dry-run")
    assert result.exit_code == 0
    assert "added" in result.output
    assert FILE.read_bytes() == before


def test_nobody_to_ask_means_that_nothing_is_written(run: Any) -> None:
    before = FILE.read_bytes()
    result = imported(run)
    assert result.exit_code == 2
    assert "add --yes" in result.output
    assert FILE.read_bytes() == before


@pytest.mark.parametrize(("answer", "code", "written"), [("n\n", 1, False), ("y\n", 0, True)])
def test_a_person_is_asked(answer: str, code: int, written: bool, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(domains_import, "_attended", lambda: True)
    result = run("import", "--basis", "DCB1596", "--owner", "IG", write(LIST), input=answer)
    assert result.exit_code == code
    assert "Write 1 change to config/secure-domains.toml?" in result.output
    assert ("probation.example" in register()) == written


def test_json_tells_all_of_it(run: Any) -> None:
    result = imported(run, "--yes", "--json", text=LIST + "Suffix,nhs.uk\n")
    answer = json.loads(result.stdout)
    assert answer["written"] is True
    assert answer["columns"] == {"domain": "column 2 (`Domain`)"}
    assert [(step["kind"], step["domain"], step["row"]) for step in answer["steps"]] == [
        ("other basis", "police.example", 2),
        ("added", "probation.example", 3),
    ]
    assert answer["no_partner"] == [{"row": 4, "domain": "stranger.example"}]
    assert [problem["row"] for problem in answer["problems"]] == [5]
    assert answer["faults"] == answer["warnings"] == []


def test_a_result_with_a_fault_is_not_written(run: Any) -> None:
    partners = Path("config/partners.toml")
    text = partners.read_text().replace("service = {", 'route = { host = "relay.example" } #')
    partners.write_text(text)
    before = FILE.read_bytes()
    result = imported(run, "--yes", "--assurance", "mta-sts")
    assert result.exit_code == 1
    assert "config/secure-domains.toml:27: `probation.example` asks for MTA-STS" in result.output
    assert result.output.rstrip().endswith("Nothing was written.")
    assert FILE.read_bytes() == before


def test_expired_entries_are_renewed_and_those_of_another_basis_stop_nothing(run: Any) -> None:
    text = FILE.read_text().replace("valid_until = 2027-08-31", "valid_until = 2026-10-01")
    FILE.write_text(text.replace('basis = "contract"', 'basis = "DCB1596"'))
    result = imported(run, "--yes")
    assert result.exit_code == 0, result.output
    assert "`council.example` expired on 2026-10-01" in result.output
    assert register()["police.example"].valid_until == date(2027, 11, 23)
    assert register()["council.example"].valid_until == date(2026, 10, 1)


def test_missing_entries_go_when_asked_and_never_on_a_doubt(run: Any) -> None:
    imported(run, "--yes")
    text = "Name,Domain\nPolice,police.example\n"
    assert "1 gone from the list" in imported(run, "--yes", text=text).output
    assert "probation.example" in register()
    unsure = imported(run, "--yes", "--remove-missing", text=text + "P,probation.example (left)\n")
    assert unsure.exit_code == 1
    assert "omit --remove-missing" in unsure.output
    assert "probation.example" in register()
    assert imported(run, "--yes", "--remove-missing", text=text).exit_code == 0
    assert list(register()) == ["council.example", "police.example"]


def test_a_file_that_changed_meanwhile_is_left_alone(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*arguments: Any) -> Any:
        FILE.write_text(FILE.read_text() + "# edited\n")
        return examine(*arguments)

    monkeypatch.setattr(domains_import, "examine", slow)
    with pytest.raises(ConfigurationError, match="changed by somebody else meanwhile"):
        imported(run, "--yes")
    assert "probation.example" not in register()


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (("--assurance", "pinned"), "--assurance is one of pkix, dane, mta-sts"),
        (("--valid-until", "2028-01-01"), "--valid-until takes a day from 2026-11-23 to 2027-11-23"),
        (("--valid-until", "soon"), "--valid-until takes a day"),
        (("--column", "valid_until"), "--column takes FIELD=NAME"),
        (("--column", "mx=X"), "--column takes FIELD=NAME"),
        (("--partner", "nobody"), "there is no partner `nobody`"),
        (("--evidence", "\x1b[2J"), "--evidence takes one line of text"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_read(more: tuple[str, ...], problem: str, run: Any) -> None:
    result = imported(run, *more)
    assert result.exit_code == 2
    assert problem in " ".join(result.output.split())


def test_an_unknown_basis_is_refused(run: Any) -> None:
    assert "--basis is one of DCB1596, gov.uk-secure-email" in imported(run, basis="NHS").output
    assert imported(run, "--yes", basis="dcb1596").exit_code == 0


def test_columns_are_taken_as_named(run: Any) -> None:
    text = "Site,Mail,Until,Who\nx.example,probation.example,31/03/2027,Head of IG\n"
    result = imported(run, "--yes", "--domain-column", "mail", "--column", "valid_until=until", text=text)
    assert result.exit_code == 0, result.output
    assert register()["probation.example"].valid_until == date(2027, 3, 31)
    answer = imported(run, "--json", "--dry-run", "--domain-column", "2", "--column", "owner=Who", text=text)
    (step,) = json.loads(answer.stdout)["steps"]
    assert (step["kind"], step["after"]["owner"]) == ("changed", "Head of IG")


def test_a_list_that_is_not_there_is_one_sentence(run: Any) -> None:
    with pytest.raises(ListError, match=r"the list none\.csv cannot be read: no such file or directory"):
        run("import", "--basis", "DCB1596", "none.csv")


# ---------------------------------------------------------------- replacing the file


def test_a_failed_replacement_leaves_the_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.toml"
    file.write_text("old")

    def fails(*_: object) -> int:
        raise OSError(5, "Input/output error")

    for name in ("fsync", "write", "fchmod"):
        with monkeypatch.context() as patch:
            patch.setattr(f"os.{name}", fails)
            with pytest.raises(StoreError, match="could not be replaced, and is as it was"):
                files.replace(file, b"new")
        assert file.read_text() == "old"
        assert [path.name for path in tmp_path.iterdir()] == ["a.toml"]


def test_a_link_to_the_file_stays_a_link(tmp_path: Path) -> None:
    file, link = tmp_path / "a.toml", tmp_path / "link.toml"
    file.write_text("old")
    link.symlink_to(file)
    files.replace(link, b"new")
    assert link.is_symlink() and file.read_text() == "new"
