"""What the window does when a class gets another colour, at full HD: `python -m benchmarks.recolour`. Needs no torch.

The canvas is as large as the picture, so that every pixel is drawn; contours are on.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable

import cv2
import numpy as np

_ROUNDS = 40
_BLOCKS = (54, 96)
_SETTLE_S = 0.5


def main() -> None:
    """Print medians in milliseconds."""
    from PySide6.QtWidgets import QApplication

    from mseg_studio.labels.label_map import LabelMap
    from mseg_studio.taxonomy.catalog import default_catalog
    from mseg_studio.ui.canvas.canvas import Canvas
    from mseg_studio.ui.canvas.layers import LabelLayer, Picture
    from mseg_studio.ui.pyside_guard import keep_singletons_alive
    from mseg_studio.ui.theme import Theme

    keep_singletons_alive()
    application = QApplication([])
    taxonomy = default_catalog().taxonomy("universal")
    random = np.random.RandomState(0)
    few = random.randint(0, len(taxonomy.classes), _BLOCKS).astype(np.uint8)
    ids_HW = cv2.resize(few, (1920, 1080), interpolation=cv2.INTER_NEAREST)
    picture = Picture(random.randint(0, 256, (1080, 1920, 3)).astype(np.uint8))
    tables = [random.randint(0, 1 << 24, 256).astype(np.uint32) | np.uint32(0xFF << 24) for _ in range(_ROUNDS)]
    canvas = Canvas(Theme(application, "dark"))
    canvas.resize(1920, 1080)
    canvas.set_picture(picture)
    canvas.show()
    labels = LabelMap(np.asarray(ids_HW, np.uint8), taxonomy)
    layer = LabelLayer(labels)
    canvas.set_labels(layer)
    settled = time.monotonic() + _SETTLE_S
    while time.monotonic() < settled:  # what the canvas makes in the background
        application.processEvents()

    def recolour() -> None:
        canvas.set_colors(tables.pop(), 0.5)
        canvas.repaint()

    def relabel() -> None:
        canvas.set_labels(LabelLayer(labels))
        canvas.repaint()

    found = {
        "recolour_ms": _median_ms(recolour, _ROUNDS),
        "repaint_ms": _median_ms(canvas.repaint, _ROUNDS),
        "new_labels_ms": _median_ms(relabel, _ROUNDS),
        "torch_in_process": "torch" in sys.modules,
    }
    print(json.dumps(found))


def _median_ms(work: Callable[[], object], rounds: int) -> float:
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds)


if __name__ == "__main__":
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    main()
