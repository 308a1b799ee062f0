"""What the register asks of deliveries can be proven, or `check` says that it cannot."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gateway.configuration import load_settings
from gateway.directory import check_register
from gateway.directory.check import examine
from gateway.directory.load import load_snapshot
from tests.support.node_files import TODAY, look_up, write_node_files

SOUND = Path(__file__).parent.parent.parent / "bad_configs" / "_sound"
FIRST, SECOND = "ab" * 32, "cd" * 32


@pytest.fixture(scope="module")
def node_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("node")
    write_node_files(folder)
    return folder


@pytest.fixture
def folder(node_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(node_files, tmp_path, dirs_exist_ok=True)
    shutil.copytree(SOUND, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(check_register, "RESOLV_CONF", tmp_path / "resolv.conf")
    return tmp_path


def add(file: Path, lines: str) -> None:
    file.write_text(f"{file.read_text().rstrip()}\n{lines}\n")


def answer(folder: Path) -> tuple[list[str], list[str]]:
    found = examine(folder / "gateway.toml", TODAY, lambda settings: look_up)
    return [fault.problem for fault in found.faults], [warning.problem for warning in found.warnings]


# ---------------------------------------------------------------- DANE needs a resolver whose word counts


@pytest.mark.parametrize(
    ("text", "warned"),
    [
        ("nameserver 127.0.0.1\n", False),
        ("search x.example\nnameserver ::1\noptions edns0\n", False),
        ("nameserver 127.0.0.53\nnameserver 192.0.2.53\n", True),
        ("# nameserver 127.0.0.1\nnameserver fe80::1%eth0\n", True),
        ("nameserver\n\xff", False),
    ],
)
def test_the_systems_resolvers_are_looked_at_where_none_is_named(text: str, warned: bool, folder: Path) -> None:
    add(folder / "secure-domains.toml", 'assurance = "dane"')
    (folder / "resolv.conf").write_bytes(text.encode("latin-1"))
    faults, warnings = answer(folder)
    assert faults == []
    assert ["resolv.conf" in warning for warning in warnings] == [True] * warned


def test_a_missing_resolv_conf_means_this_machine(folder: Path) -> None:
    add(folder / "secure-domains.toml", 'assurance = "dane"')
    assert answer(folder) == ([], [])


@pytest.mark.parametrize(
    "delivery",
    [
        'resolvers = ["127.0.0.1@5353", "::1"]',
        'resolvers = ["192.0.2.53"]\ndnssec = "trusted"',
        'dnssec = "trusted"',
    ],
)
def test_resolvers_on_this_machine_or_trusted_are_believed(delivery: str, folder: Path) -> None:
    (folder / "resolv.conf").write_text("nameserver 192.0.2.53\n")
    add(folder / "secure-domains.toml", 'assurance = "dane"')
    add(folder / "gateway.toml", f"\n[delivery]\n{delivery}")
    assert answer(folder) == ([], [])


def test_nobody_asks_about_resolvers_where_no_entry_asks_for_dane(folder: Path) -> None:
    (folder / "resolv.conf").write_text("nameserver 192.0.2.53\n")
    add(folder / "secure-domains.toml", 'assurance = "mta-sts"')
    add(folder / "gateway.toml", '\n[delivery]\ndnssec = "off"')
    assert answer(folder) == ([], [])


# ---------------------------------------------------------------- next hops, pins


@pytest.mark.parametrize(("assurance", "sound"), [("dane", True), ("pkix", True), ("mta-sts", False)])
def test_dane_works_over_a_named_next_hop_and_mta_sts_does_not(assurance: str, sound: bool, folder: Path) -> None:
    add(folder / "secure-domains.toml", f'assurance = "{assurance}"')
    partners = folder / "partners.toml"
    old = 'protection = ["openpgp"]'
    partners.write_text(partners.read_text().replace(old, f'route = {{ host = "relay.police.example" }}\n{old}'))
    assert (answer(folder)[0] == []) == sound


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (FIRST, FIRST),
        (FIRST.upper(), FIRST),
        (":".join(["AB"] * 32), FIRST),
        (f"SPKI:{FIRST.upper()}", f"spki:{FIRST}"),
        (f"cert: {':'.join(['AB'] * 32)}", f"cert:{FIRST}"),
        (f"ca:{FIRST}", f"ca:{FIRST}"),
        (f"CA:{':'.join(['AB'] * 32)}", f"ca:{FIRST}"),
        (":".join(["CA"] * 32), "ca" * 32),
    ],
)
def test_pins_are_written_in_many_ways_and_kept_in_one(given: str, kept: str, folder: Path) -> None:
    add(folder / "secure-domains.toml", f'assurance = "pinned"\npins = ["{given}"]\nnext_pins = ["{SECOND}"]')
    assert answer(folder) == ([], [])
    entry = load_snapshot(load_settings(folder / "gateway.toml")).register_[1]
    assert (entry.pins, entry.next_pins) == ((kept,), (SECOND,))


def test_mx_names_belong_to_pkix_and_to_pinned_authorities(folder: Path) -> None:
    text = (folder / "secure-domains.toml").read_text()
    for more in ("", f'assurance = "pinned"\npins = ["ca:{FIRST}"]', f'assurance = "pinned"\npins = ["{FIRST}"]'):
        (folder / "secure-domains.toml").write_text(text)
        add(folder / "secure-domains.toml", f'mx = ["mx.service.example"]\n{more}')
        assert answer(folder)[0] == []
        assert len(answer(folder)[1]) == ("ca:" not in more and bool(more))


def test_requiretls_needs_no_word_where_dns_secures_the_mx(folder: Path) -> None:
    add(folder / "secure-domains.toml", 'requiretls = true\nassurance = "mta-sts"\ntls_versions = ["TLSv1.3"]')
    assert answer(folder) == ([], [])


# ---------------------------------------------------------------- whose


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("*.gov.uk", "is a public suffix"),
        ("*.NHS.UK.", "is a public suffix"),
        ("*.example", "is a public suffix"),
        ("*.service.gov.uk", "covers names that are given to others"),
        ("*.blogspot.com", "covers names that are given to others"),
        ("*.amazonaws.com", "covers names that are given to others"),
        ("*.force.gsi.gov.uk", "is of the retired network gsi.gov.uk"),
        ("gcsx.gov.uk", "is of the retired network gcsx.gov.uk"),
        ("*.aabc.cjsm.net", "is of CJSM"),
        ("*.*.police.example", "is not a domain name"),
        ("*police.example", "is not a domain name"),
    ],
)
def test_what_no_entry_may_be_about(pattern: str, problem: str, folder: Path) -> None:
    file = folder / "secure-domains.toml"
    file.write_text(file.read_text().replace('domain = "police.example"', f'domain = "{pattern}"'))
    faults, _ = answer(folder)
    assert any(problem in fault for fault in faults)


@pytest.mark.parametrize(
    "pattern", ["*.Police.EXAMPLE.", "police。example", "Police.Example.", "*.police.example", "POLICE.example"]
)
def test_every_spelling_of_a_partners_domain_is_accepted(pattern: str, folder: Path) -> None:
    file = folder / "secure-domains.toml"
    file.write_text(file.read_text().replace('domain = "police.example"', f'domain = "{pattern}"'))
    assert answer(folder) == ([], [])


def test_a_wildcard_speaks_of_every_depth_below_and_the_exact_entry_comes_first(folder: Path) -> None:
    add(
        folder / "secure-domains.toml",
        '\n[[domain]]\ndomain = "*.police.example"\npartner = "police"\nbasis = "other"\nevidence = "e"\nowner = "o"\n'
        "valid_from = 2026-09-01\nvalid_until = 2027-08-31",
    )
    snapshot = load_snapshot(load_settings(folder / "gateway.toml"))

    def basis(domain: str) -> str:
        entry = snapshot.entry_of(domain, TODAY)
        return entry.basis if entry is not None else ""

    assert basis("police.example") == "contract"
    assert basis("a.police.example") == basis("a.b.c.d.police.example") == "other"
    assert basis("notpolice.example") == basis("police.example.test") == ""
