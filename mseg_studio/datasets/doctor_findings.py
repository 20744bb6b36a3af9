"""What the dataset doctor says: findings, and a collection of them that stays small however many files are wrong."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mseg_studio.errors import printable

Severity = Literal["error", "warning", "note"]

KEPT = 50
"""Findings of one code that are kept with their file; of the others there is the number."""
_RANK: dict[Severity, int] = {"error": 0, "warning": 1, "note": 2}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, with the file it was seen in."""

    code: str
    """Kind of finding, one of docs/datasets.md."""
    severity: Severity
    file: Path
    message: str
    """What was expected and what came, one line."""
    split: str = ""
    count: int = 1
    """How many findings of this code there are in the whole dataset."""
    image: Path | None = None
    """The image of the pair, where there is one."""

    def line(self) -> str:
        """`severity code: FILE: message`, on one line."""
        return f"{self.severity:7} {self.code}: {printable(str(self.file))}: {printable(self.message)}"

    def as_json(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        image = None if self.image is None else str(self.image)
        return {**dataclasses.asdict(self), "file": str(self.file), "image": image}


class Findings:
    """Collects findings: the first KEPT of each code with their file, and how many there are."""

    def __init__(self) -> None:
        self._kept: dict[str, list[Finding]] = {}
        self._counts: Counter[str] = Counter()

    def add(self, finding: Finding) -> None:
        """Count `finding`, and keep it while there are few of its code."""
        self._counts[finding.code] += 1
        kept = self._kept.setdefault(finding.code, [])
        if len(kept) < KEPT:
            kept.append(finding)

    def all(self) -> tuple[Finding, ...]:
        """What was kept, errors first, each code together, with the count of its code."""
        codes = sorted(self._kept, key=lambda code: (_RANK[self._kept[code][0].severity], code))
        return tuple(
            dataclasses.replace(finding, count=self._counts[code]) for code in codes for finding in self._kept[code]
        )
