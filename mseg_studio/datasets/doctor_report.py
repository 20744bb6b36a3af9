"""The doctor's report: for a person to read, and as one JSON object."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mseg_studio.datasets.doctor_findings import KEPT, Finding
from mseg_studio.errors import printable

FORMAT = 1
SHOWN = 5
"""Findings of one code that the text shows; the JSON has more."""
SHOWN_CLASSES = 20
"""Classes without a pixel that the text names; the JSON has all."""
_BAR = 24


@dataclass(frozen=True, slots=True)
class SplitCount:
    """One split in numbers."""

    name: str
    pairs: int
    """Pairs of files that are both there."""
    missing: int
    """Images without label and labels without image."""
    sizes: dict[str, int]
    """Images by size, `480x360`, commonest first; the rare ones of many together as `other`."""
    images: dict[str, int]
    """Images by kind: `JPEG, 3 channels, 8 bits`."""
    labels: dict[str, int]
    """Label files by kind."""


@dataclass(frozen=True, slots=True)
class ClassCount:
    """One class of the dataset's taxonomy in numbers."""

    id: int
    name: str
    rgb: tuple[int, int, int]
    pixels: int
    images: int
    """Images that show it."""


@dataclass(frozen=True, slots=True)
class Report:
    """What the doctor found."""

    dataset: str
    file: Path
    taxonomy: str
    roots: tuple[Path, ...]
    splits: tuple[SplitCount, ...]
    classes: tuple[ClassCount, ...]
    ignored_pixels: int
    findings: tuple[Finding, ...]
    """Errors first; of each code the first ones, each with the count of all."""
    seconds: float

    @property
    def pairs(self) -> int:
        """Pairs that were examined."""
        return sum(split.pairs for split in self.splits)

    @property
    def codes(self) -> dict[str, int]:
        """How many findings there are of each code, errors first."""
        return {finding.code: finding.count for finding in self.findings}

    def count(self, severity: str) -> int:
        """How many findings of one severity there are, those that are not kept included."""
        return sum({f.code: f.count for f in self.findings if f.severity == severity}.values())

    @property
    def unseen(self) -> tuple[str, ...]:
        """Classes without a pixel."""
        return tuple(count.name for count in self.classes if not count.pixels)

    def lines(self) -> list[str]:
        """The report for a person: findings first."""
        return [*self._finding_lines(), *self._split_lines(), *self._class_lines(), self._verdict()]

    def as_json(self) -> dict[str, Any]:
        """The report as plain values: one object, its format numbered."""
        return {
            "format": FORMAT,
            "dataset": self.dataset,
            "file": str(self.file),
            "taxonomy": self.taxonomy,
            "roots": [str(root) for root in self.roots],
            "ok": self.count("error") == 0,
            "errors": self.count("error"),
            "warnings": self.count("warning"),
            "pairs": self.pairs,
            "seconds": round(self.seconds, 3),
            "codes": self.codes,
            "findings": [finding.as_json() for finding in self.findings],
            "splits": [dataclasses.asdict(split) for split in self.splits],
            "classes": [{**dataclasses.asdict(count), "rgb": list(count.rgb)} for count in self.classes],
            "unseen": list(self.unseen),
            "ignored_pixels": self.ignored_pixels,
        }

    def _finding_lines(self) -> Iterator[str]:
        for code, group in itertools.groupby(self.findings, key=lambda finding: finding.code):
            found = list(group)
            yield from (finding.line() for finding in found[:SHOWN])
            more = found[0].count - min(SHOWN, len(found))
            if more:
                named = "all" if found[0].count <= KEPT else f"{KEPT} of them"
                yield f"        {code}: and {more} more; --json names {named}"
        if self.findings:
            yield ""

    def _split_lines(self) -> Iterator[str]:
        width = max((len(printable(split.name)) for split in self.splits), default=0)
        for split in self.splits:
            parts = [_number(split.pairs, "pair")]
            if split.missing:
                parts.append(f"{_number(split.missing, 'file')} without the other")
            parts += [_few(split.sizes), _few(split.images)]
            if split.labels:
                parts.append(f"labels {_few(split.labels)}")
            yield f"{printable(split.name):{width}}  {'; '.join(part for part in parts if part)}"
        yield ""

    def _class_lines(self) -> Iterator[str]:
        total = sum(count.pixels for count in self.classes)
        largest = max((count.pixels for count in self.classes), default=0)
        width = max((len(printable(count.name)) for count in self.classes), default=0)
        for count in sorted(self.classes, key=lambda count: -count.pixels):
            if count.pixels:
                bar = "#" * max(1, round(_BAR * count.pixels / largest))
                share = f"{100 * count.pixels / total:6.2f} %"
                yield f"{count.id:5}  {printable(count.name):{width}}  {share}  {count.images:6} images  {bar}"
        if self.ignored_pixels:
            share = f"{100 * self.ignored_pixels / (total + self.ignored_pixels):.2f} %"
            yield f"       not scored: {share} of all pixels"
        if self.unseen and total:
            more = f" and {len(self.unseen) - SHOWN_CLASSES} more" if len(self.unseen) > SHOWN_CLASSES else ""
            yield f"       never seen: {printable(', '.join(self.unseen[:SHOWN_CLASSES]))}{more}"
        yield ""

    def _verdict(self) -> str:
        errors, warnings = self.count("error"), self.count("warning")
        rate = f", {self.pairs / self.seconds:.0f} a second" if self.seconds > 0 and self.pairs else ""
        words = f"{_number(errors, 'error')}, {_number(warnings, 'warning')}" if errors or warnings else "nothing wrong"
        return f"{printable(self.dataset)}: {_number(self.pairs, 'pair')} in {self.seconds:.1f} s{rate}; {words}"


def _few(counts: dict[str, int]) -> str:
    """The commonest of `counts` in words."""
    if len(counts) == 1:
        return next(iter(counts))
    words = [f"{number} {name}" for name, number in list(counts.items())[:3]]
    return " / ".join([*words, f"{len(counts) - 3} others"] if len(counts) > 3 else words)


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
