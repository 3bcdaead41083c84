"""Everything in the repository that is made from the files and the model. `make docs-generated` runs this module."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from harness.analysis.comparable import COMPARABLES
from harness.faults.registry import FAULTS, RULES
from harness.report.comparison import comparable_table
from harness.report.markdown import between, knob_tables, render_topologies
from harness.run.calibrations import calibration_schema
from harness.run.paper import paper_picture
from harness.spec.catalog import Catalog
from harness.spec.json_schema import attach_schema, experiment_schema, topology_schema
from harness.spec.knobs import all_knobs
from harness.spec.loader import load_topology

__all__ = ["generated", "schemas", "write"]

_TOPOLOGIES_PAGE = "docs/topologies.md"
_COMPARING_PAGE = "docs/comparing.md"


def schemas() -> Mapping[str, str]:
    """The JSON Schemas: path below the repository -> text."""
    summaries = {kind: fault.summary for kind, fault in FAULTS.items()}
    return {
        "docs/schema/topology.schema.json": _json(topology_schema()),
        "docs/schema/attach.schema.json": _json(attach_schema()),
        "docs/schema/experiment.schema.json": _json(experiment_schema(RULES, summaries)),
        "docs/schema/calibration.schema.json": _json(calibration_schema()),
    }


def generated(catalog: Catalog) -> Mapping[str, str]:
    """All of it: path below the repository -> text. Raises `SpecError` for a file of the catalogue that is wrong."""
    topologies = [load_topology(catalog.topology_path(name)) for name in catalog.topologies()]
    knobs = (
        (table.where, table.about, ((k.key, k.allowed, k.default, k.decides) for k in table.knobs))
        for table in all_knobs()
    )
    page = (catalog.root / _TOPOLOGIES_PAGE).read_text(encoding="utf-8")
    comparing = (catalog.root / _COMPARING_PAGE).read_text(encoding="utf-8")
    return {
        **schemas(),
        "topologies/README.md": render_topologies([(topology, paper_picture(topology)) for topology in topologies]),
        _TOPOLOGIES_PAGE: between(page, "knobs", knob_tables(knobs)),
        _COMPARING_PAGE: between(comparing, "measures", comparable_table(COMPARABLES)),
    }


def write(root: Path, texts: Mapping[str, str]) -> list[Path]:
    """Write them below `root`; returns the files."""
    paths = []
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        paths.append(path)
    return paths


def _json(schema: Mapping[str, object]) -> str:
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    here = Catalog(Path(__file__).resolve().parents[2])
    write(here.root, generated(here))
