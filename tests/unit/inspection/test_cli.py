"""`gateway inspect` prints a verdict for every file it can read, and fails only for those it cannot."""

from __future__ import annotations

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import pyzipper
import typer
from typer.testing import CliRunner

from gateway.cli.inspect import inspect

KEYS = {"file", "kind", "strength", "scheme", "encrypted", "findings", "parts", "identifiers", "size", "sha256"}
KEYS.add("recipients")


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    made.command("inspect")(inspect)
    return made


def test_json_is_one_object_a_line_with_the_file_as_given(app: typer.Typer, tmp_path: Path) -> None:
    message, junk = tmp_path / "a.eml", tmp_path / "b [x].bin"
    message.write_bytes(b"Subject: x\r\n\r\nhello\r\n")
    junk.write_bytes(bytes(range(256)))
    result = CliRunner().invoke(app, [str(message), str(junk), "--json"])
    assert result.exit_code == 0
    first, second = (json.loads(line) for line in result.stdout.splitlines())
    assert set(first) == KEYS
    assert (first["file"], first["kind"], first["strength"], first["encrypted"]) == (
        str(message),
        "message",
        "none",
        "no",
    )
    assert set(first["parts"][0]) == KEYS - {"file"}
    assert (second["file"], second["kind"]) == (str(junk), "unknown")


def test_a_missing_file_is_one_sentence_and_the_others_are_shown(app: typer.Typer, tmp_path: Path) -> None:
    message = tmp_path / "a.eml"
    message.write_bytes(b"Subject: x\r\n\r\nhello\r\n")
    result = CliRunner().invoke(app, [str(tmp_path / "none"), str(message), "--json"])
    assert result.exit_code == 2
    assert len(result.stdout.splitlines()) == 1
    assert len(result.stderr.splitlines()) == 1
    assert "cannot be read" in result.stderr


def test_people_see_a_tree_and_a_summary(app: typer.Typer, tmp_path: Path) -> None:
    names = []
    for name in ("[red]a.eml", "b.eml"):
        (tmp_path / name).write_bytes(b"Subject: NHS 9434765919\r\n\r\nhello\r\n")
        names.append(str(tmp_path / name))
    result = CliRunner().invoke(app, names)
    assert result.exit_code == 0
    assert "not encrypted" in result.stdout
    assert "nhs-number 1" in result.stdout
    assert "9434765919" not in result.stdout
    assert "2 files" in result.stdout
    assert "[red]a.eml" in result.stdout


def test_a_terminal_shows_a_bar_and_the_summary_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.eml").write_bytes(b"Subject: x\r\n\r\nhello\r\n")
    (tmp_path / "b.bin").write_bytes(os.urandom(300))
    code = "import sys; from gateway.cli import main; sys.argv[0] = 'gateway'; main()"
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", code, "inspect", "a.eml", "b.bin", "missing"]
    run = subprocess.run(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=theirs, text=True, check=False, env=_environment()
    )
    os.close(theirs)
    shown = os.read(ours, 65536).decode("utf-8", "replace")
    os.close(ours)
    assert run.returncode == 2
    assert "inspecting" in shown
    assert run.stdout.splitlines()[-1] == "2 files: 0 strong, 0 acceptable, 0 weak, 2 none; 1 could not be read"


def _environment() -> dict[str, str]:
    return os.environ | {"TERM": "xterm", "PYTHONPATH": str(Path(__file__).parents[3])}


def test_a_configuration_adds_its_guesses_and_its_watch_words(app: typer.Typer, tmp_path: Path) -> None:
    sound = Path(__file__).parents[2] / "bad_configs" / "_sound"
    config = tmp_path / "config"
    shutil.copytree(sound, config)
    policy = config / "policy.toml"
    policy.write_text('common_passwords = ["Tulip{year}"]\nwatch_words = ["Heron"]\n' + policy.read_text())
    with pyzipper.AESZipFile(tmp_path / "Meadow.zip", "w", encryption=pyzipper.WZ_AES) as archive:
        archive.setpassword(b"Meadow")
        archive.writestr("report.txt", os.urandom(100))
    message = tmp_path / "a.eml"
    message.write_bytes(b"Subject: Heron\r\n\r\nhello\r\n")
    files = [str(tmp_path / "Meadow.zip"), str(message)]
    plain = [json.loads(line) for line in CliRunner().invoke(app, [*files, "--json"]).stdout.splitlines()]
    assert plain[0]["strength"] == "acceptable"
    assert plain[1]["identifiers"] == {}
    told = CliRunner().invoke(app, [*files, "--config", str(config / "gateway.toml"), "--json"])
    opened = [json.loads(line) for line in told.stdout.splitlines()]
    assert opened[0]["strength"] == "none"
    assert "password-opens-it" in opened[0]["findings"]
    assert opened[1]["identifiers"] == {"watch-word": 1}
