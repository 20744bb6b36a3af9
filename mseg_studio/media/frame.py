"""One picture as the rest of the program sees it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class FrameRef:
    """Where a picture came from: a file, and its place in it for videos."""

    path: Path
    index: int = 0
    timestamp_s: float = 0.0


@dataclass(frozen=True, eq=False, slots=True)
class Frame:
    """RGB pixels, uint8 (H, W, 3), contiguous and read-only."""

    pixels_HW3: npt.NDArray[np.uint8]
    ref: FrameRef | None = None

    def __post_init__(self) -> None:
        pixels = self.pixels_HW3
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
            raise ValueError(f"a frame is uint8 (H, W, 3), got {pixels.dtype} {pixels.shape}")
        pixels = np.ascontiguousarray(pixels)
        if pixels.flags.writeable:
            pixels = pixels.view()
            pixels.setflags(write=False)
        object.__setattr__(self, "pixels_HW3", pixels)

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.pixels_HW3.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.pixels_HW3.shape[1])
