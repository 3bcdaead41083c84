"""docs/measures.md has every key that `measures.json` can have, every column of the tables, and every word of the
reports; and no key that does not exist."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.analysis import Measures, analyse
from harness.analysis.measures import DEFINITIONS
from tests.unit.analysis_runs import twelve_users

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs/measures.md").read_text()
TABLES = [line for line in DOCUMENT.splitlines() if line.startswith("| ")]
#: Their keys are words of the run, not of the harness.
FREE = {"run", "definitions", "timeline.states"}


def declared(kind: Any, path: str) -> Iterator[str]:
    """Every leaf that a value of this type can have, by its annotations."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        for one in set(typing.get_args(kind)) - {types.NoneType}:
            yield from declared(one, path)
    elif typing.get_origin(kind) is tuple:
        inner = typing.get_args(kind)[0]
        yield from declared(inner, f"{path}[]" if dataclasses.is_dataclass(inner) else path)
    elif dataclasses.is_dataclass(kind):
        for name, inner in typing.get_type_hints(kind).items():
            if name in {field.name for field in dataclasses.fields(kind)}:
                yield from declared(inner, f"{path}.{name}" if path else name)
    else:
        yield path


def written(value: object, path: str = "") -> Iterator[str]:
    """Every leaf that is there."""
    if isinstance(value, Mapping) and path not in FREE:
        for key, inner in value.items():
            yield from written(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value and isinstance(value[0], Mapping):
        for inner in value:
            yield from written(inner, f"{path}[]")
    elif value is not None and value != []:
        yield path


def keys() -> set[str]:
    whole = analyse(twelve_users(users=2)).to_json_dict()
    computed = set(whole) - {field.name for field in dataclasses.fields(Measures)}
    return {*declared(Measures, ""), *written(whole), *(name for name in computed if whole[name] is None)}


def documented() -> set[str]:
    return {
        key
        for line in TABLES
        for key in re.findall(r"`([a-z0-9_]+(?:\[\])?(?:\.[a-z0-9_]+(?:\[\])?)*)`", line.split("|")[1])
    }


def test_every_key_is_documented_and_every_documented_key_exists() -> None:
    assert sorted(keys() - documented()) == []
    assert sorted(documented() - keys()) == []


def test_every_column_of_the_tables_is_a_documented_key() -> None:
    measures = analyse(twelve_users(users=1))
    columns = {f"sessions[].{name}" for name in measures.session_rows()[0]} - {"sessions[].disturbances"}
    columns |= {f"outages[].{name}" for name in measures.outage_rows()[0]}
    assert sorted(columns - documented()) == []
    assert "`disturbances` is their number" in DOCUMENT


def test_every_word_of_the_reports_has_its_key() -> None:
    (table,) = re.findall(r"\| word in the reports .*", DOCUMENT, re.DOTALL)
    words = [word for line in table.splitlines()[2:] for word in line.split("|")[1].strip().split(", ")]
    assert sorted(words) == sorted(DEFINITIONS)


def test_every_row_of_a_measure_says_what_unit_and_which_way_it_errs() -> None:
    """As many cells as the header of its table has; a key and what it is are never empty."""
    cells = 0
    for line in TABLES:
        row = [cell.strip() for cell in line.strip("|").split(" |")]
        if row[0] == "key":
            cells = len(row)
            assert row[:3] == ["key", "what", "unit"]
        elif row[0].startswith("`"):
            assert len(row) == cells, line
            assert all(row[:2]), line
