"""What the open image says about its classes, handed from the Segment workspace to this one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """Measured on the result that is open; all shares are 0 to 1."""

    target: str
    """The output taxonomy of the result."""
    shares: Mapping[str, float]
    """Class of the model's taxonomy -> share of pixels where it is the most probable one; absent ones are left out."""
    differing_share: float
    """Share of pixels where projecting probabilities and mapping the most probable class disagree."""
    no_target_share: float
    """Mean probability of the classes that have no target."""
    source: str = "universal"
    """The model's taxonomy."""

    def __post_init__(self) -> None:
        for value in (*self.shares.values(), self.differing_share, self.no_target_share):
            if not 0 <= value <= 1.000001:  # sums of float32 end a little above 1
                raise ValueError(f"a share of the image is {value}, expected 0 to 1")


def percent(share: float) -> str:
    """A share of the image in words: one decimal, and never 0 for something that is there."""
    value = 100 * share
    return "0 %" if not value else f"{value:.1f} %" if value >= 0.05 else "<0.1 %"
