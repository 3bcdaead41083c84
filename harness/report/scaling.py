"""What more or fewer nodes did, in lines that terminal and page share."""

from __future__ import annotations

from collections.abc import Iterator

from harness.analysis.measures import Measures
from harness.analysis.scaling import AutoscaleMeasures, Scaled
from harness.report import words

__all__ = ["scaling_lines"]


def scaling_lines(measures: Measures) -> Iterator[str]:
    """One for each change of the number of nodes, then what a policy's nodes cost; nothing where there was none."""
    what = {change.index: change.what for change in measures.facts.changes}
    for one in measures.scaling:
        yield f"{what[one.change]}: {', '.join(_done(one))}"
    if measures.autoscale is not None:
        yield from _policy(measures, measures.autoscale)


def _done(one: Scaled) -> Iterator[str]:
    if one.joined:
        yield f"{one.new_sessions} sessions began since, {one.new_on_joined} of them on {', '.join(one.joined)}"
    if one.left:
        yield f"{', '.join(one.left)} went"
    yield f"{one.interrupted or 'no'} session{'' if one.interrupted == 1 else 's'} interrupted"


def _policy(measures: Measures, one: AutoscaleMeasures) -> Iterator[str]:
    (_, first), *later = one.nodes
    over_time = [f"{number} at {measures.seconds_from_origin(t_ns):+.0f} s" for t_ns, number in later]
    yield f"nodes: {', '.join([f'{first} at first', *over_time])}; {one.looks} looks of the policy"
    ratio = one.node_s / one.fixed_node_s
    yield f"node-seconds: {one.node_s:.0f}, {words.percent(ratio)} of the {one.fixed_node_s:.0f} of its largest number"
    if one.sessions_per_node is not None and one.sessions_per_node_most is not None:
        yield f"sessions per node: {one.sessions_per_node:.1f} in the mean, {one.sessions_per_node_most:.1f} at most"
    yield (
        f"interruptions by nodes that went: {one.interrupted}, among {len(measures.sessions)} sessions; nobody could "
        f"start one for {words.seconds(one.start_session_away_s)}"
    )
