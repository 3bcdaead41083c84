"""The verdict as JUnit XML, the format that CI systems show: one test case a check and one for the verdict."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from harness.analysis.measures import Measures
from harness.core.verdict import Outcome
from harness.report import words

__all__ = ["clean", "render_junit"]

#: XML 1.0 has no way to write these, not even escaped (section 2.2, production Char).
NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render_junit(measures: Measures) -> str:
    """A `testsuite` with a failure for each broken check.

    An INCONCLUSIVE or ERROR verdict is an error, never skipped: CI shows skipped tests as harmless, but here something
    that should have been proved was not. The single checks of such a run are skipped: it neither keeps nor breaks them.
    """
    verdict = measures.verdict
    proof = verdict.outcome in (Outcome.PASS, Outcome.FAIL)
    broken = sum(not check.kept for check in verdict.checks)
    window = measures.facts.window
    suite = ET.Element(
        "testsuite",
        name=clean(f"{measures.topology}.{measures.experiment}"),
        tests=str(len(verdict.checks) + 1),
        failures=str(broken + (verdict.outcome is Outcome.FAIL) if proof else 0),
        errors=str(int(not proof)),
        skipped=str(0 if proof else len(verdict.checks)),
        time=f"{window.seconds if window else 0.0:.3f}",
    )
    for check in verdict.checks:
        case = _case(suite, measures, f"{check.source}: {check.name}")
        seen = f"expected {check.expected}, observed {check.observed}"
        if not proof:
            ET.SubElement(case, "skipped", message=clean(f"not judged, the run is {verdict.outcome.value}: {seen}"))
        elif not check.kept:
            ET.SubElement(case, "failure", message=clean(seen), type=check.source)
    case = _case(suite, measures, "verdict")
    carried = words.carried(measures)
    reasons = clean("\n".join([*verdict.reasons, *([carried] if carried else []), *filter(None, [measures.caveat])]))
    if verdict.outcome is not Outcome.PASS:
        kind = "failure" if verdict.outcome is Outcome.FAIL else "error"
        message = clean(f"{verdict.outcome.value}: {words.plain_sentence(measures)}")
        ET.SubElement(case, kind, message=message, type=verdict.outcome.value).text = reasons
    ET.SubElement(case, "system-out").text = reasons
    ET.indent(suite)
    body: str = ET.tostring(suite, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _case(suite: ET.Element, measures: Measures, name: str) -> ET.Element:
    return ET.SubElement(suite, "testcase", classname=clean(f"{measures.topology}.{measures.experiment}"), name=name)


def clean(text: str) -> str:
    """Text without what XML has no way to write."""
    return NOT_XML.sub("\ufffd", text)
