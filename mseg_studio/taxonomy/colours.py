"""Colours for new classes: their members' own where they are free, else one far from those in use."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from mseg_studio.taxonomy.model import Taxonomy

Rgb = tuple[int, int, int]


def default_colour(universal: Taxonomy, members: Sequence[str], taken: Collection[Rgb]) -> Rgb:
    """The colour of the first of the universal classes `members` whose colour is free, else any that is not `taken`."""
    own = {info.name: info.rgb for info in universal.classes}
    for member in members:
        if own[member] not in taken:
            return own[member]
    return free_colour(universal, taken)


def free_colour(universal: Taxonomy, taken: Collection[Rgb]) -> Rgb:
    """The universal colour farthest from those `taken`; one of its own where all of them are."""
    free = [info.rgb for info in universal.classes if info.rgb not in taken]
    if free:
        return max(free, key=lambda rgb: min((_distance(rgb, other) for other in taken), default=0))
    step, value = 0x9E3779, 0x9E3779
    while (rgb := (value >> 16, value >> 8 & 255, value & 255)) in taken:
        value = (value + step) & 0xFFFFFF  # odd: comes by every colour before it repeats
    return rgb


def _distance(a: Rgb, b: Rgb) -> int:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))
