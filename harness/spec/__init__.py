"""Reads topology and experiment files into the frozen model; names every mistake with file and line."""

from harness.spec.catalog import Catalog
from harness.spec.loader import check_pair, check_promises, load_experiment, load_topology
from harness.spec.resolved import dump_resolved, load_resolved
from harness.spec.targets import parse_target

__all__ = [
    "Catalog",
    "check_pair",
    "check_promises",
    "dump_resolved",
    "load_experiment",
    "load_resolved",
    "load_topology",
    "parse_target",
]
