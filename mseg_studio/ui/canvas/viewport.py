"""Where the picture is on the canvas: pure geometry, in logical pixels of the widget and pixels of the image."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

MIN_SCALE, MAX_SCALE = 1 / 64, 64.0


@dataclass(frozen=True, slots=True)
class Viewport:
    """A picture of `image_w` x `image_h` pixels drawn `scale` times larger, its corner at (`left`, `top`)."""

    image_w: int
    image_h: int
    view_w: float
    view_h: float
    scale: float = 1.0
    left: float = 0.0
    top: float = 0.0

    def fitted(self, *, margin: float = 0.0, largest: float = MAX_SCALE) -> Viewport:
        """The whole picture, centred, as large as it fits but at most `largest`."""
        room_w, room_h = max(1.0, self.view_w - 2 * margin), max(1.0, self.view_h - 2 * margin)
        scale = min(room_w / self.image_w, room_h / self.image_h, largest)
        return replace(self, scale=max(scale, MIN_SCALE))._centred()

    def zoomed(self, factor: float, *, x: float, y: float) -> Viewport:
        """Scaled by `factor`, the image point under (x, y) stays there."""
        return self._scaled(self.scale * factor, x, y)

    def scaled_to(self, scale: float) -> Viewport:
        """At this scale, the centre of the view stays."""
        return self._scaled(scale, self.view_w / 2, self.view_h / 2)

    def panned(self, dx: float, dy: float) -> Viewport:
        """Moved by (dx, dy); a strip of the picture always stays in sight."""
        return replace(self, left=self.left + dx, top=self.top + dy)._kept_in_sight()

    def resized(self, view_w: float, view_h: float) -> Viewport:
        """On a canvas of another size, the centre stays the centre."""
        dx, dy = (view_w - self.view_w) / 2, (view_h - self.view_h) / 2
        return replace(self, view_w=view_w, view_h=view_h, left=self.left + dx, top=self.top + dy)._kept_in_sight()

    def pixel_at(self, x: float, y: float) -> tuple[int, int] | None:
        """The image pixel (column, row) under a point of the view, None outside the picture."""
        column, row = math.floor((x - self.left) / self.scale), math.floor((y - self.top) / self.scale)
        if 0 <= column < self.image_w and 0 <= row < self.image_h:
            return column, row
        return None

    def point_of(self, column: float, row: float) -> tuple[float, float]:
        """The point of the view where image coordinates (column, row) are drawn."""
        return self.left + column * self.scale, self.top + row * self.scale

    def _scaled(self, scale: float, x: float, y: float) -> Viewport:
        lowest = min(MIN_SCALE, self.fitted().scale / 4)
        scale = min(MAX_SCALE, max(lowest, scale))
        ratio = scale / self.scale
        moved = replace(self, scale=scale, left=x - (x - self.left) * ratio, top=y - (y - self.top) * ratio)
        return moved._kept_in_sight()

    def _centred(self) -> Viewport:
        return replace(
            self,
            left=(self.view_w - self.image_w * self.scale) / 2,
            top=(self.view_h - self.image_h * self.scale) / 2,
        )

    def _kept_in_sight(self, strip: float = 48.0) -> Viewport:
        width, height = self.image_w * self.scale, self.image_h * self.scale
        left = min(max(self.left, min(strip, width) - width), self.view_w - min(strip, width))
        top = min(max(self.top, min(strip, height) - height), self.view_h - min(strip, height))
        return replace(self, left=left, top=top)
