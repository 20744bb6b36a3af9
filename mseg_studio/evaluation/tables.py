"""A result for people and for programs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mseg_studio import __version__
from mseg_studio.errors import MSegStudioError, printable
from mseg_studio.evaluation.metrics import Absent, Metrics


@dataclass(frozen=True, slots=True)
class Report:
    """Numbers and everything that must be known to get them again."""

    model: Mapping[str, Any]
    """name, network, sha256."""
    dataset: str
    split: str
    taxonomy: str
    recipe: Mapping[str, Any]
    """The resolved recipe."""
    recipe_hash: str
    device: str
    images: int
    metrics: Metrics
    absent_as: Absent
    skipped: Sequence[MSegStudioError] = ()


def as_json(report: Report) -> dict[str, Any]:
    """Keys of contracts.md, "Evaluate --json": fractions from 0 to 1; null for an absent class that is skipped."""
    metrics = report.metrics
    return {
        "format": 1,
        "model": report.model["name"],
        "model_sha256": report.model["sha256"],
        "dataset": report.dataset,
        "split": report.split,
        "taxonomy": report.taxonomy,
        "recipe": dict(report.recipe),
        "recipe_hash": report.recipe_hash,
        "device": report.device,
        "images": report.images,
        "miou": metrics.miou,
        "macc": metrics.macc,
        "allacc": metrics.allacc,
        "iou": {name: None if math.isnan(value) else value for name, value in metrics.iou.items()},
        "absent": list(metrics.absent),
        "absent_as": report.absent_as,
        "skipped": [{"file": printable(error.path or ""), "reason": error.reason} for error in report.skipped],
        "program_version": __version__,
    }


def as_text(report: Report) -> str:
    """A table in percent, classes from best to worst."""
    metrics, recipe = report.metrics, report.recipe
    scales = ", ".join(f"{scale:g}" for scale in recipe["scales"])
    flip = "flip" if recipe["flip"] else "no flip"
    window = "whole image at once" if recipe.get("whole") else f"crop {recipe['crop_px']} px"
    images = "1 image" if report.images == 1 else f"{report.images} images"
    lines = [
        printable(f"{report.model['name']} on {report.dataset}, {report.split}: {images}, in {report.taxonomy}"),
        f"short side {recipe['base_size']} px, {window}, scales {scales}, {flip}, "
        f"{recipe['precision']}, {report.device}",
        "",
    ]
    width = max(len(name) for name in (*metrics.iou, "allAcc"))
    lines.append(f"{'class':{width}}  {'IoU %':>6}")
    for name, value in sorted(metrics.iou.items(), key=lambda item: (math.isnan(item[1]), -item[1])):
        note = "  absent" if name in metrics.absent else ""
        lines.append(f"{name:{width}}  {'-' if math.isnan(value) else f'{100 * value:.2f}':>6}{note}")
    lines.append("")
    for title, value in (("mIoU", metrics.miou), ("mAcc", metrics.macc), ("allAcc", metrics.allacc)):
        lines.append(f"{title:{width}}  {100 * value:6.2f}")
    if metrics.absent:
        how = "count as 0 in the means" if report.absent_as == "zero" else "are left out of the means"
        lines.append(f"absent classes ({len(metrics.absent)}) {how}")
    lines += [f"skipped: {error}" for error in report.skipped]
    return "\n".join(lines)
