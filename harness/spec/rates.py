"""Rates files -> the frozen model, with every mistake named at once, and the one that is shipped.

A number without a source is a mistake: what the harness did not measure must be somebody's word.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

from harness.core.rates import Rates
from harness.core.words import Role
from harness.spec.document import Document, Loc, get, read
from harness.spec.schema import did_you_mean, found, listed, where
from harness.spec.validate import validate

__all__ = ["DEFAULT_RATES", "load_rates", "merged", "shipped_rates"]

#: The file with the rates that somebody published.
DEFAULT_RATES: Final = Path(__file__).resolve().parents[1] / "data" / "rates.yaml"

_COUNTED, _STATED = ("events", "exposure_years"), ("per_year", "uncertainty_percent")
_LOGNORMAL, _EVEN = ("median_s", "p95_s"), ("least_s", "most_s")
_BY_FAULT = re.compile(rf"(?P<fault>[a-z_]+) on (?P<role>{'|'.join(Role)})")


def load_rates(path: Path, *, experiments: Collection[str], faults: Collection[str]) -> Rates:
    """The rates in the file. Raises `SpecError` with every mistake in it: a key that is neither one of `experiments`
    nor `<fault> on <role>` with one of `faults`, a number that is half said or said twice, or has no source."""
    document = read(path)
    rates = validate(Rates, document)
    for name in _mapping(get(document.data, "rates")):
        _check_name(document, name, experiments, faults)
        _check_rate(document, ("rates", name), get(document.data["rates"], name))
    _check_frequency(document, ("machine",), get(document.data, "machine"))
    _check_repair(document, ("manual_repair",), get(document.data, "manual_repair"))
    document.raise_problems()
    assert rates is not None, "no problem was noted, so there are rates"
    return rates


def shipped_rates(faults: Collection[str]) -> Rates:
    """The rates that the harness comes with."""
    return load_rates(DEFAULT_RATES, experiments=(), faults=faults)


def merged(rates: Rates, own: Rates) -> Rates:
    """`rates` with everything that `own` says in its place."""
    return Rates(
        machine=own.machine or rates.machine,
        manual_repair=own.manual_repair or rates.manual_repair,
        rates={**rates.rates, **own.rates},
    )


def _mapping(data: Any) -> dict[str, Any]:
    return data if isinstance(data, dict) else {}


def _check_name(document: Document, name: str, experiments: Collection[str], faults: Collection[str]) -> None:
    by_fault = _BY_FAULT.fullmatch(name)
    if name in experiments or (by_fault and by_fault["fault"] in faults):
        return
    known = [*sorted(experiments), *(f"{fault} on {role}" for fault in sorted(faults) for role in Role)]
    document.add(
        ("rates", name),
        f"rates.{name} is neither an experiment nor a fault on a role, expected an experiment's name or such as "
        f"'kill on workbench'{did_you_mean(name, known)}",
    )


def _check_rate(document: Document, at: Loc, data: Any) -> None:
    if not isinstance(data, dict):
        return  # said where the model was checked
    if "not_counted" not in data:
        _check_frequency(document, at, data)
        _check_repair(document, (*at, "manual_repair"), get(data, "manual_repair"))
        return
    if others := sorted(data.keys() - {"not_counted"}):
        document.add(
            (*at, "not_counted"),
            f"{where(at)}.not_counted is given with {', '.join(others)}, expected either: what is left out of the year "
            "has no rate",
        )
    _check_said(document, (*at, "not_counted"), data["not_counted"], "why it is left out")


def _check_frequency(document: Document, at: Loc, data: Any) -> None:
    if not isinstance(data, dict):
        return
    _check_one_of(document, at, data, _COUNTED, _STATED)
    _check_source(document, at, data)


def _check_repair(document: Document, at: Loc, data: Any) -> None:
    if not isinstance(data, dict):
        return
    _check_one_of(document, at, data, _LOGNORMAL, _EVEN)
    _check_source(document, at, data)
    for (low, high), least in ((_LOGNORMAL, "more than"), (_EVEN, "at least")):
        small, large = data.get(low), data.get(high)
        if not isinstance(small, int | float) or not isinstance(large, int | float):
            continue
        if large < small or (large == small and least == "more than"):
            document.add((*at, high), f"{where(at)}.{high} is {large}, expected {least} {low}, which is {small}")


def _check_one_of(document: Document, at: Loc, data: dict[str, Any], *pairs: tuple[str, str]) -> None:
    """Exactly one of the pairs must be there, and whole."""
    begun = [pair for pair in pairs if any(key in data for key in pair)]
    choices = listed(" with ".join(pair) for pair in pairs)
    if len(begun) != 1:
        what = (
            "has no number"
            if not begun
            else f"has {' and '.join(key for pair in begun for key in pair if key in data)}"
        )
        document.add(at, f"{where(at)} {what}, expected {choices}")
    elif missing := [key for key in begun[0] if key not in data]:
        there = next(key for key in begun[0] if key in data)
        document.add((*at, there), f"{where(at)}.{there} is given without {missing[0]}, expected both")


def _check_source(document: Document, at: Loc, data: dict[str, Any]) -> None:
    if "source" in data:
        _check_said(document, (*at, "source"), data["source"], "where the number is from")
        return
    document.add(
        at,
        f"{where(at)} has no source, expected where the number is from: a study, a contract, or your own records with "
        "their period; without one no number is accepted",
    )


def _check_said(document: Document, at: Loc, text: Any, what: str) -> None:
    if isinstance(text, str) and not text.strip(" ."):
        document.add(at, f"{where(at)} is {found(text)}, expected {what}")
