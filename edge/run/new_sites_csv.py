"""Many new sites from one CSV file: one row for each host. All of them are sound, or none is written."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from edge.run.failure import OperationError
from edge.run.new_site import Answers, Base, Draft, Host, base_of, clashes, drafted, missing
from sitefile.problems import FileError, Position, Problem, any_of, near_miss, shown

_REQUIRED = ("site", "address", "host_key")
_OPTIONAL = ("host", "from", "tier", "region", "hardware", "api_address")
_LABEL = "label."
_ONCE = ("from", "tier", "region", "hardware", "api_address")
"""Columns of a site, which its later rows may leave empty."""


@dataclass(frozen=True)
class Row:
    """One row: the line in which it ends, and what it says."""

    line: int
    values: Mapping[str, str]


def drafts_of(file: Path, base: str | None, root: Path) -> list[Draft]:
    """The new sites of a CSV file, checked with each other and with those of the project; nothing is written.

    Raises ``FileError`` with everything that is wrong, by row.
    """
    rows = _rows(file)
    drafts: list[Draft] = []
    lines: dict[Path, tuple[Row, ...]] = {}
    problems: list[Problem] = []
    for site, own in _by_site(rows).items():
        try:
            draft = _draft(site, own, base, root)
        except OperationError as error:
            problems.append(_problem(file, own[0], f"{site}: {error.what}", "", "; ".join(error.remedies)))
            continue
        except FileError as error:
            problems += error.problems
            continue
        drafts.append(draft)
        lines[draft.checked.source.file] = own
        problems += [_in_csv(file, own, found) for found in draft.checked.problems]
    if not problems:
        for found in clashes(drafts, root):
            problems.append(_in_csv(file, lines[found.file], found) if found.file in lines else found)
    if problems:
        raise FileError(problems)
    return drafts


def _rows(file: Path) -> list[Row]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        what = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise FileError([_at(file, 1, f"the file cannot be read: {what}", "a CSV file", "check the path")]) from None
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    rows: list[Row] = []
    problems: list[Problem] = []
    try:
        columns = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = columns
        problems += _wrong_columns(file, columns)
        for values in reader:
            row = Row(reader.line_num, {key: (value or "").strip() for key, value in values.items() if key})
            if None in values or None in values.values():
                problems.append(_problem(file, row, "the row has not as many cells as there are columns", "", ""))
            for column in _REQUIRED:
                if column in columns and not row.values[column]:
                    problems.append(_problem(file, row, f"`{column}` is empty", f"a value for `{column}`", ""))
            rows.append(row)
    except csv.Error as error:
        problems.append(_at(file, reader.line_num, f"not CSV: {error}", "cells with commas between them", ""))
    if not rows and not problems:
        problems.append(_at(file, 1, "there is no row below the names of the columns", "one row for each host", ""))
    if problems:
        raise FileError(problems)
    return rows


def _wrong_columns(file: Path, columns: list[str]) -> Iterator[Problem]:
    known = (*_REQUIRED, *_OPTIONAL)
    for column in columns:
        if column not in known and not (column.startswith(_LABEL) and column != _LABEL):
            near = near_miss(column, known)
            hint = f": did you mean `{near}`?" if near else ""
            yield _at(file, 1, f"unknown column {shown(column)}{hint}", any_of((*known, f"{_LABEL}NAME")), "rename it")
        if columns.count(column) > 1:
            yield _at(file, 1, f"the column {shown(column)} is there twice", "each column once", "remove one")
    if absent := [column for column in _REQUIRED if column not in columns]:
        yield _at(file, 1, f"no column {any_of(absent)}", any_of(_REQUIRED), "name the columns in the first line")


def _by_site(rows: list[Row]) -> dict[str, tuple[Row, ...]]:
    found: dict[str, tuple[Row, ...]] = {}
    for row in rows:
        found[row.values["site"]] = (*found.get(row.values["site"], ()), row)
    return found


def _draft(site: str, rows: tuple[Row, ...], base: str | None, root: Path) -> Draft:
    said: dict[str, str] = {}
    for row in rows:
        for column in (*_ONCE, *(name for name in row.values if name.startswith(_LABEL))):
            value = row.values.get(column, "")
            if value and said.setdefault(column, value) != value:
                raise OperationError(f"`{column}` is {shown(said[column])} in one row and {shown(value)} in another")
    name = said.get("from") or base
    if not name:
        raise OperationError("nothing says what it is made from", ("add a column `from`, or --from PROFILE|SITE",))
    hosts = tuple(Host(row.values["address"], row.values["host_key"], row.values.get("host", "")) for row in rows)
    labels = {name.removeprefix(_LABEL): value for name, value in said.items() if name.startswith(_LABEL)}
    own = {key: said.get(key, "") for key in ("tier", "region", "hardware", "api_address")}
    answers = Answers(site, hosts, labels=labels, **own)
    made_from: Base = base_of(name, root)
    if absent := missing(made_from, answers):
        raise OperationError(f"nothing says its {any_of(absent)}", ("add a column of that name",))
    if made_from.fixed and len(hosts) != len(made_from.hosts):
        raise OperationError(
            f"{name} has {len(made_from.hosts)} hosts, and there are {len(hosts)} rows for this site",
            ("write a row for each host, or make it from a hardware profile",),
        )
    return drafted(made_from, answers, root)


def _in_csv(file: Path, rows: tuple[Row, ...], found: Problem) -> Problem:
    """A problem of a drafted file at the row that it comes from."""
    row = rows[0]
    if found.path.startswith("hosts["):
        index = int(found.path.removeprefix("hosts[").partition("]")[0])
        row = rows[index] if index < len(rows) else row
    return _problem(file, row, f"{row.values['site']}: {found.what}", found.expected, found.remedy)


def _problem(file: Path, row: Row, what: str, expected: str, remedy: str) -> Problem:
    return _at(file, row.line, what, expected, remedy)


def _at(file: Path, line: int, what: str, expected: str, remedy: str) -> Problem:
    return Problem.at(Position(file, max(line, 1), 1), "csv", what, expected, remedy)
