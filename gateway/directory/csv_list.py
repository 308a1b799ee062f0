"""Reads a published list of domains: a CSV file of unknown encoding, delimiter and columns.

Guarantees: pure, on octets already read; every row is either understood whole or named as a problem with its number as
a spreadsheet shows it, so that no domain is taken from a cell that says more than domains ("not yet accredited").
Time and memory are bounded by `MOST_OCTETS` and `MOST_ROWS`. Failures: `ListError`, one sentence with a way out, where
the file as a whole cannot be understood; nothing is guessed where two guesses would do.
"""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from urllib.parse import urlsplit

from gateway.directory.domains import DomainError, is_public_suffix, normalise, retired_family, service_of
from gateway.errors import PermanentError

MOST_OCTETS = 32 * 1024 * 1024
MOST_ROWS = 200_000
MOST_CELLS = 500  # in a row
LONGEST_CELL = 4096  # characters
LONGEST_LINE = 128 * 1024
_SAMPLE = 200  # rows that guesses are made from
_TITLES = 50  # rows that may stand above the header

_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_DELIMITERS = ",;\t|"
_BETWEEN = re.compile(r"[\s,;|]+")
_NOTHING = frozenset(("", "-", "--", "n/a", "na", "none", "nil", "tbc", "tba", "unknown", "."))
_JOINING = frozenset(("and", "&", "/", "or", "+"))
_DOMAIN_HEADING = re.compile(r"\bdomains?\b", re.IGNORECASE)
_TELLING = re.compile(r"status|expir|valid|until|withdrawn|suspend|renew|date|level|conform", re.IGNORECASE)


class ListError(PermanentError):
    """The file cannot be read as a list of domains."""


class WildcardError(DomainError):
    """A cell that names all domains below another: no list can vouch for names that it does not name."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A row that was not taken. `lost`: what it names could not be read, so what the list has is not fully known."""

    row: int
    problem: str
    lost: bool = True


@dataclass(frozen=True, slots=True)
class Listed:
    """A domain of the list, the row where it first stands, and the cells of that row that were asked for."""

    domain: str
    row: int
    cells: Mapping[str, str]  # field -> text


@dataclass(frozen=True, slots=True)
class DomainList:
    """What the file holds. `columns` says which column each field was taken from, in words."""

    domains: tuple[Listed, ...]
    problems: tuple[Problem, ...]
    columns: Mapping[str, str]
    unused: tuple[str, ...]  # headings that tell something about standing or dates, of columns that were not taken
    rows: int
    duplicates: int


@dataclass(slots=True)
class _Table:
    """Where the table is in the rows, and what its columns are called."""

    headings: list[str]  # [] where there is none
    first: int  # index of the first row of data
    width: int


def read_list(content: bytes, wanted: Mapping[str, str]) -> DomainList:
    """The domains of a CSV file. `wanted`: field -> heading or number (from 1) of its column; "domain" may be absent.

    Raises ListError.
    """
    text = decoded(content)
    sample, delimiter = _sample(text)
    table = _table(sample, wanted.get("domain", ""))
    columns = {name: _column(table, heading) for name, heading in wanted.items()}
    if "domain" not in columns:
        columns["domain"] = _guess(table, sample)
    reading = _Reading(table, columns)
    for number, cells in _rows(text, delimiter):
        if number > table.first:
            reading.take(number, cells)
    reading.withdraw_doubtful()
    telling = [name for place, name in enumerate(table.headings) if place not in columns.values()]
    return DomainList(
        tuple(reading.listed.values()),
        tuple(reading.problems),
        {name: _called(table, place) for name, place in columns.items()},
        tuple(shown(name) for name in telling if _TELLING.search(name)),
        reading.rows,
        reading.duplicates,
    )


# ---------------------------------------------------------------- octets to rows


def decoded(content: bytes) -> str:
    """The text of the file: by its byte-order mark, else UTF-8, UTF-16 or Windows-1252. Raises ListError."""
    if len(content) > MOST_OCTETS:
        raise ListError(f"the list is larger than {MOST_OCTETS >> 20} MiB: remove the columns that are not needed")
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "")
    if not encoding and b"\0" in content[:200]:  # Latin letters in UTF-16: every other octet is zero
        encoding = "utf-16-be" if content[:1] == b"\0" else "utf-16-le"
    for candidate in [encoding] if encoding else ["utf-8", "cp1252"]:
        try:
            text = content.decode(candidate)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise ListError("the list is no text in UTF-8, UTF-16 or Windows-1252: save it as CSV from the spreadsheet program")


def _rows(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """(row number from 1, cells) of every row. Raises ListError."""
    reader = csv.reader(_lines(text), delimiter=delimiter, skipinitialspace=True)
    number = 0
    try:
        for number, cells in enumerate(reader, 1):
            if number > MOST_ROWS:
                raise ListError(f"the list has more than {MOST_ROWS} rows: remove those that are not needed")
            if len(cells) > MOST_CELLS:
                raise ListError(f"row {number} of the list has more than {MOST_CELLS} cells: is it a list of domains?")
            yield number, [" ".join(cell.split()) for cell in cells]
    except csv.Error as error:
        problem = f"row {number + 1} of the list cannot be read ({error}): look for a quotation mark that is not closed"
        raise ListError(problem) from error


def _lines(text: str) -> Iterator[str]:
    for number, line in enumerate(io.StringIO(text, newline=""), 1):
        if len(line) > LONGEST_LINE:
            raise ListError(f"line {number} of the list has more than {LONGEST_LINE >> 10} KiB: is it a CSV file?")
        yield line


def _sample(text: str) -> tuple[list[list[str]], str]:
    """The first rows, and the delimiter that gives most of them the same number of columns."""
    named = re.match(r"\s*sep=([,;\t|])\r?\n", text)  # as Excel writes it
    best: tuple[tuple[int, int], list[list[str]], str] | None = None
    failed: ListError | None = None
    for delimiter in named[1] if named else _DELIMITERS:
        try:
            rows = [cells for _, cells in islice(_rows(text, delimiter), _SAMPLE)]
        except ListError as error:
            failed = error
            continue
        widths = Counter(len(cells) for cells in rows if any(cells))
        width, times = max(widths.items(), key=lambda item: (item[1] if item[0] > 1 else 0, item[0]), default=(1, 0))
        score = (times, width) if width > 1 else (0, 0)
        if best is None or score > best[0]:
            best = (score, rows, delimiter)
    if best is None and failed is not None:
        raise failed
    if best is None or not any(any(cells) for cells in best[1]):
        raise ListError("the list is empty: name the file that holds the domains")
    return best[1], best[2]


# ---------------------------------------------------------------- which column is which


def _table(sample: list[list[str]], named: str) -> _Table:
    width = max(len(cells) for cells in sample)
    if named and not named.isdecimal():
        for number, cells in enumerate(sample[:_TITLES]):
            if _fold(named) in map(_fold, cells):
                return _Table(cells, number + 1, width)
        raise ListError(f"no column of the list is called `{named}`: name one by its heading, or by its number")
    least = 2 if sum(len([cell for cell in cells if cell]) > 1 for cells in sample) * 2 > len(sample) else 1
    for number, cells in enumerate(sample):
        if sum(map(bool, cells)) >= least and any(_holds_domains(cell) for cell in cells):
            return _below(_header(sample[:number], least), sample, number, width)
    raise ListError("no column of the list holds domains: look at the file, or name the column with --domain-column")


def _header(above: list[list[str]], least: int) -> int | None:
    """Which of the rows above the first domain is the header: the fullest; the last of a single column's."""
    filled = [sum(map(bool, cells)) for cells in above]
    if not filled or max(filled) < least:
        return None
    return filled.index(max(filled)) if max(filled) > 1 else max(place for place, cells in enumerate(filled) if cells)


def _below(header: int | None, sample: list[list[str]], first: int, width: int) -> _Table:
    if header is None:
        return _Table([], first, width)
    return _Table(sample[header], header + 1, width)


def _fold(text: str) -> str:
    return " ".join(text.casefold().replace("_", " ").split())


def _column(table: _Table, heading: str) -> int:
    if heading.isdecimal() and 1 <= int(heading) <= table.width:
        return int(heading) - 1
    places = [place for place, name in enumerate(table.headings) if _fold(name) == _fold(heading)]
    if len(places) == 1:
        return places[0]
    if places:
        numbers = " and ".join(str(place + 1) for place in places)
        raise ListError(f"the columns {numbers} of the list are both called `{heading}`: name one by its number")
    named = [f"`{shown(name)}`" for name in table.headings if name]
    known = ", ".join(named[:20]) + (" and more" if len(named) > 20 else "") or f"the numbers 1 to {table.width}"
    raise ListError(f"no column of the list is called `{heading}`: there are {known}")


def _guess(table: _Table, sample: list[list[str]]) -> int:
    """The one column that holds domains. Where several do, the one whose heading says so; never a choice by chance."""
    rows = [cells for cells in sample[table.first :] if any(cells)]
    holding = []
    for place in range(table.width):
        cells = [row[place] for row in rows if place < len(row) and row[place].lower() not in _NOTHING]
        if cells and sum(map(_holds_domains, cells)) * 2 >= len(cells):
            holding.append(place)
    if len(holding) > 1:
        called = [place for place in holding if _DOMAIN_HEADING.search(_heading(table, place))]
        if len(called) != 1:
            names = " and ".join(_called(table, place) for place in holding)
            raise ListError(f"{names} of the list hold domains: say which one to take with --domain-column")
        return called[0]
    if not holding:
        raise ListError("no column of the list holds domains: name the right one with --domain-column")
    return holding[0]


def _heading(table: _Table, place: int) -> str:
    return table.headings[place] if place < len(table.headings) else ""


def _called(table: _Table, place: int) -> str:
    heading = _heading(table, place)
    return f"column {place + 1} (`{shown(heading)}`)" if heading else f"column {place + 1}"


# ---------------------------------------------------------------- cells


def _holds_domains(cell: str) -> bool:
    try:
        return len(cell) <= LONGEST_CELL and bool(domains_of(cell))
    except DomainError:
        return False


def domains_of(cell: str) -> list[str]:
    """The domains of a cell: names, `@name`, addresses and URLs, several at a time; [] where it says "none".

    Raises DomainError where the cell holds anything else, too: what it says is not known then.
    """
    if cell.lower() in _NOTHING:
        return []
    if cell.startswith("="):
        raise DomainError("the cell is a formula")
    found = []
    for token in _BETWEEN.split(cell):
        if token and token.lower() not in _JOINING:
            found.append(_domain(token, cell))
    return list(dict.fromkeys(found))


def _domain(token: str, cell: str) -> str:
    name = token.strip("<>()[]\"'").removeprefix("mailto:")
    if token.count("@") > 1 or ("://" in name and "@" in name):
        name = ""
    elif "://" in name:
        try:
            name = urlsplit(name).hostname or ""
        except ValueError:
            name = ""
        name = name.removeprefix("www.")
    elif "@" in name:
        name = name.rpartition("@")[2]
    else:
        name = name.removesuffix("/").removeprefix("www.")
    if "*" in name:
        raise WildcardError(f"`{shown(cell)}` is a wildcard: a list vouches for the domains that it names, no others")
    try:
        domain = normalise(name)
    except DomainError:
        domain = ""
    if "." not in domain or not all(character.isprintable() for character in token):
        raise DomainError(f"`{shown(cell)}` is not a domain, or not a domain alone")
    return domain


def shown(text: str) -> str:
    """A cell as a message may show it: short, and without control characters."""
    clean = "".join(character if character.isprintable() else "?" for character in text)
    return clean if len(clean) <= 60 else f"{clean[:57]}..."


def _mentioned(cell: str) -> Iterator[str]:
    """The domains among the words of a cell that holds other words, too."""
    for token in _BETWEEN.split(cell)[:100]:
        try:
            yield from domains_of(token)
        except DomainError:
            continue


@dataclass(slots=True)
class _Reading:
    """Goes through the rows and keeps what they hold."""

    table: _Table
    columns: Mapping[str, int]
    listed: dict[str, Listed] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    doubtful: dict[str, int] = field(default_factory=dict)  # domain -> a row that says more of it than its name
    rows: int = 0
    duplicates: int = 0

    def take(self, number: int, cells: Sequence[str]) -> None:
        """One row of data; a blank one is none."""
        if not any(cells):
            return
        self.rows += 1
        place = self.columns["domain"]
        if any(len(cell) > LONGEST_CELL for cell in cells):
            self._problem(number, f"a cell has more than {LONGEST_CELL} characters")
            return
        if self.table.headings and any(cells[len(self.table.headings) :]):
            self._problem(number, "the row has more cells than the header: is a quotation mark missing?")
            return
        try:
            names = domains_of(cells[place]) if place < len(cells) else []
        except DomainError as error:
            self._problem(number, str(error), lost=not isinstance(error, WildcardError))
            self.doubtful.update((name, number) for name in _mentioned(cells[place]))
            return
        if not names:
            self._problem(number, "the row names no domain", lost=False)
        fields = {name: cells[at] if at < len(cells) else "" for name, at in self.columns.items() if name != "domain"}
        for name in names:
            self._add(Listed(name, number, fields))

    def withdraw_doubtful(self) -> None:
        """Takes back the domains of which another row says something that was not understood ("suspended")."""
        for name in sorted(self.listed.keys() & self.doubtful.keys()):
            row = self.listed.pop(name).row
            self._problem(row, f"`{name}` is not taken: row {self.doubtful[name]} says something else of it, too")

    def _add(self, listed: Listed) -> None:
        name, retired = listed.domain, retired_family(listed.domain)
        if is_public_suffix(name):
            self._problem(listed.row, f"`{name}` is a public suffix, under which many have names", lost=False)
        elif retired:
            self._problem(listed.row, f"`{name}` is of the retired network {retired}", lost=False)
        elif service_of(name):
            problem = f"`{name}` is of {service_of(name)}, which is secure on its own connection only"
            self._problem(listed.row, problem, lost=False)
        elif name not in self.listed:
            self.listed[name] = listed
        elif self.listed[name].cells == listed.cells:
            self.duplicates += 1
        else:
            first = self.listed[name].row
            self._problem(listed.row, f"`{name}` stands in row {first} already, with other details", lost=False)

    def _problem(self, row: int, problem: str, *, lost: bool = True) -> None:
        self.problems.append(Problem(row, problem, lost))
