"""Every folder of tests/bad_configs holds one mistake: the files that differ from `_sound`, and the exact answer.

They go through what `gateway check` runs. Beside the configuration stand a certificate with its key, and files that
are wrong in one way each, for the mistakes to name.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gateway.directory.check import examine
from tests.support.node_files import TODAY, look_up, write_node_files

FOLDER = Path(__file__).parent.parent / "bad_configs"
SOUND = FOLDER / "_sound"
MISTAKES = sorted(path.name for path in FOLDER.iterdir() if path.is_dir() and path != SOUND)


@pytest.fixture(scope="module")
def node_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("node")
    write_node_files(folder)
    return folder


@pytest.fixture
def configuration(node_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A sound configuration in ./config, with the files that it names."""
    folder = tmp_path / "config"
    shutil.copytree(node_files, folder)
    shutil.copytree(SOUND, folder, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    return Path("config")


def answer(folder: Path) -> list[str]:
    found = examine(folder / "gateway.toml", TODAY, lambda settings: look_up)
    assert (found.settings is None) == bool(found.faults)
    return [str(fault) for fault in found.faults] + [f"{warning} (warning)" for warning in found.warnings]


def test_the_sound_configuration_has_no_fault_and_no_warning(configuration: Path) -> None:
    assert answer(configuration) == []


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_gets_its_exact_answer_and_no_other(mistake: str, configuration: Path) -> None:
    for file in (FOLDER / mistake).glob("*.toml"):
        shutil.copy(file, configuration / file.name)
    for name in (FOLDER / mistake / "absent").read_text().split() if (FOLDER / mistake / "absent").exists() else ():
        (configuration / name).unlink()
    assert answer(configuration) == (FOLDER / mistake / "expected").read_text().splitlines()
