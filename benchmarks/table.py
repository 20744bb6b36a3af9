"""The claims as a table for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.claims import Claim

_HEAD = ("claim", "value", "goal", "reached", "agreement")


def table(claims: Sequence[Claim], facts: dict[str, Any]) -> str:
    """Columns of equal width under a line about the machine."""
    rows = [_HEAD, *(_row(claim) for claim in claims)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    features = ", ".join(facts["features"]) or "no vector extensions known"
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items() if version)
    return "\n".join([f"{facts['cpu']}, {facts['cores']} cores ({features}); {versions}", "", *lines])


def _row(claim: Claim) -> tuple[str, ...]:
    values = claim.as_dict()
    goal = "" if claim.goal is None else f"{'>=' if claim.more_is_better else '<='} {claim.goal:g}"
    reached = {True: "yes", False: "NO", None: ""}[claim.reached]
    agreement = "" if claim.agreement is None else f"{100 * claim.agreement:.3f} %"
    return (claim.claim, f"{values['value']:g} {claim.unit}", goal, reached, agreement)
