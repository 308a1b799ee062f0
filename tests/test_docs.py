"""The documents name only what exists: commands, options, settings, metrics, files, links."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from pydantic import BaseModel

from gateway import health, metrics
from gateway.directory.model import Snapshot
from gateway.inspection.findings import FINDINGS, MALFORMED
from gateway.settings import Settings

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
OTHER_WORDS = {
    "max_age",  # of an MTA-STS policy (RFC 8461)
    # not ours: Postfix, SQL, systemd and file names that documents mention beside our own settings
    "content_filter",
    "hopcount_limit",
    "message_size_limit",
    "pg_dump",
    "partnermail_destination_recipient_limit",
    "smtp_fallback_relay",
    "synchronous_commit",
    "remote_apply",
    "transport_maps",
    "dropped_keys",
}


def text_of(name: str) -> str:
    return (ROOT / name).read_text()


def code_of(name: str) -> Iterator[str]:
    """Every piece of inline code, and every line of a fenced block."""
    text = text_of(name)
    for block in re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        yield from block.splitlines()
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^```\w*\n.*?^```", "", text, flags=re.DOTALL | re.MULTILINE))


# ---------------------------------------------------------------- commands


@cache
def program() -> Any:
    from gateway.cli import app, commands

    commands.register(app)
    return typer.main.get_command(app)


def spoken(name: str) -> Iterator[list[str]]:
    """Each use of the `gateway` command: its words up to a pipe, a comment or the end."""
    for code in code_of(name):
        for use in re.findall(r"(?:^|[ /])gateway(?:-admin)? ([a-z][^|;&]*)", code.partition("#")[0]):
            yield use.split()


@pytest.mark.parametrize("name", NAMES)
def test_every_command_and_option_exists(name: str) -> None:
    for words in spoken(name):
        command = program().commands.get(words[0])
        assert command is not None, f"{name}: gateway {words[0]}"
        rest = words[1:]
        below = getattr(command, "commands", None)
        if below and rest and re.fullmatch(r"[a-z-]+", rest[0]):
            assert rest[0] in below, f"{name}: gateway {' '.join(words[:2])}"
            command, rest = below[rest[0]], rest[1:]
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        for option in (word.rstrip(",.") for word in rest if word.startswith("--")):
            assert option in known, f"{name}: gateway {words[0]} has no {option}"


def test_the_readme_names_every_command() -> None:
    named = {words[0] for words in spoken("README.md")}
    assert named == {command for command, known in program().commands.items() if not known.hidden}


@pytest.mark.parametrize("target", re.findall(r"^([a-z]+):", text_of("Makefile"), re.MULTILINE))
def test_every_make_target_is_explained_by_make_help(target: str) -> None:
    if target != "help":
        assert f"make {target} " in text_of("Makefile")


@pytest.mark.parametrize("name", NAMES)
def test_every_make_target_named_exists(name: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", text_of("Makefile"), re.MULTILINE))
    for code in code_of(name):
        for target in re.findall(r"(?:^|[ ])make ([a-z]+)", code):
            assert target in targets, f"{name}: make {target}"


# ---------------------------------------------------------------- settings


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every setting, with its table's name where it has one: "limits.errors", and "errors" by itself."""
    for name, field in model.model_fields.items():
        spelled = field.alias or name
        yield spelled
        yield prefix + spelled
        for inner in models_in(field.annotation):
            yield from fields(inner, f"{spelled}.")


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from models_in(argument)


SETTINGS = set(fields(Settings)) | set(fields(Snapshot))
TABLES = "|".join(name for name in Settings.model_fields)


@pytest.mark.parametrize("name", NAMES)
def test_every_setting_exists(name: str) -> None:
    for code in code_of(name):
        for setting in re.findall(rf"(?<![\w./-])((?:{TABLES})\.[a-z_0-9]+)(?![\w/(-])", code):
            if not setting.endswith((".db", ".toml", ".example", ".py", ".pem", ".p7m")):
                assert setting in SETTINGS, f"{name}: {setting}"


# The names in docs/audit.md are fields of records; tests/unit/audit holds them to the code.
@pytest.mark.parametrize("name", [name for name in NAMES if name != "docs/audit.md"])
def test_every_name_with_an_underscore_is_a_setting_or_a_metric(name: str) -> None:
    inline = re.sub(r"^```\w*\n.*?^```", "", text_of(name), flags=re.DOTALL | re.MULTILINE)
    for word in re.findall(r"`([a-z]+(?:_[a-z0-9]+)+)(?: = [^`]*)?`", inline):
        if not word.startswith("gateway_"):
            assert word in SETTINGS | OTHER_WORDS, f"{name}: {word}"


# ---------------------------------------------------------------- metrics


def known_metrics() -> str:
    metrics.worker_ended()
    pages = health.Pages(lambda: (), lambda: health.QueueFacts(0, 0, 0.0))
    return pages.answer("/metrics").body.decode()


def test_every_metric_named_is_served() -> None:
    served = set(re.findall(r"^# TYPE (\w+)", known_metrics(), re.MULTILINE))
    named = {word for name in NAMES for code in code_of(name) for word in re.findall(r"\bgateway_[a-z_]+", code)}
    assert named - served - {"gateway_messages", "gateway_shares"} == set()
    assert {metric for metric in served if metric.startswith("gateway_") and not metric.endswith("_created")} == named


# ---------------------------------------------------------------- files and links


@pytest.mark.parametrize("name", NAMES)
def test_every_file_of_the_project_that_is_named_exists(name: str) -> None:
    roots = "gateway|tests|tools|systemd|config|docs"
    for code in code_of(name):
        for path in re.findall(rf"(?<![\w/.-])((?:{roots})/[\w./*-]*\w)", code):
            assert list(ROOT.glob(path)), f"{name}: {path}"


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_somewhere(name: str) -> None:
    page = ROOT / name
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        assert not path.startswith("http"), f"{name}: {target} leaves the project"
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{name}: {target}"
        if anchor:
            assert anchor in anchors(linked), f"{name}: {target}"


@pytest.mark.parametrize("name", NAMES)
def test_no_document_names_a_real_mail_domain(name: str) -> None:
    for domain in re.findall(r"[\w.-]+@([\w-]+(?:\.[\w-]+)+)", text_of(name)):
        assert domain.endswith((".example", ".test")), f"{name}: {domain}"


# ---------------------------------------------------------------- locks


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-runtime.lock"])
def test_a_lock_pins_with_hashes_and_names_no_index(lock: str) -> None:
    lines = text_of(lock).splitlines()
    assert not [line for line in lines if "://" in line or line.lstrip().startswith(("--index", "--extra", "--find"))]
    pins = [line for line in lines if re.match(r"[a-z0-9]", line)]
    assert pins
    assert all(re.fullmatch(r"[a-z0-9._-]+==[^ ]+ \\", line) for line in pins)
    assert all(lines[lines.index(line) + 1].strip().startswith("--hash=sha256:") for line in pins)


def test_the_locks_agree() -> None:
    def pins(lock: str) -> set[str]:
        return set(re.findall(r"^([a-z0-9._-]+==\S+) ", text_of(lock), re.MULTILINE))

    assert pins("requirements-runtime.lock") < pins("requirements.lock")


def test_every_finding_is_explained_with_the_words_of_the_catalogue() -> None:
    text = text_of("docs/inspection.md")
    table = text[text.index("## Every finding") :]
    listed = re.findall(r"^\| `([a-z0-9-]+)` \| (malformed|) ?\| (.+) \|$", table, re.MULTILINE)
    wanted = [(code, "malformed" if code in MALFORMED else "", words) for code, words in FINDINGS.items()]
    assert listed == wanted, "run tools/findings.py"
