"""A log of a million steps, from opening it to its curves on screen: `python -m benchmarks.metrics_log`.

The reader and the charts are those of the Train workspace, offscreen, at 1280x800; no torch. What the window shows in
the meantime is another matter: it reads in a thread. Prints one JSON line; seconds are medians over rounds.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

LINES = 1_000_000
_ROUNDS = 5
_VALIDATE_EVERY = 1000
_CLASSES = ("road", "sky", "building", "vegetation", "car", "sidewalk", "person", "fence", "bicyclist", "pole")


def write_log(path: Path, lines: int) -> None:
    """A log as a run writes it: a line a step, a validation every thousand."""
    with path.open("w", encoding="utf-8") as stream:
        for step in range(1, lines + 1):
            noise = math.sin(step * 12.9898) * 43758.5453 % 1
            loss = 3.0 * math.exp(-3.0 * step / lines) + 0.4 * noise
            event = {
                "event": "step",
                "step": step,
                "time": round(1.7e9 + 0.8 * step, 3),
                "loss": round(loss, 5),
                "lr": round(0.01 * (1 - step / (lines + 1)) ** 0.9, 8),
                "images_per_s": round(60 + 5 * noise, 2),
                "loss_by_dataset": {"camvid": round(loss, 5), "cityscapes": round(1.1 * loss, 5)},
                "data_wait": round(0.04 * noise, 4),
            }
            stream.write(json.dumps(event) + "\n")
            if step % _VALIDATE_EVERY == 0:
                miou = 0.8 * (1 - math.exp(-4.0 * step / lines))
                iou = {name: round(miou * (1 - 0.03 * n), 4) for n, name in enumerate(_CLASSES)}
                validation = {"event": "validation", "step": step, "time": 0.0, "loss": 1.0, "miou": round(miou, 5)}
                stream.write(json.dumps({**validation, "iou": iou}) + "\n")


def measure(lines: int = LINES, *, rounds: int = _ROUNDS) -> dict[str, object]:
    """Medians over `rounds`, each with a reader and charts that have seen nothing."""
    from PySide6.QtWidgets import QApplication

    from mseg_studio.ui.pyside_guard import keep_singletons_alive
    from mseg_studio.ui.theme import Theme
    from mseg_studio.ui.workspaces.train.charts import Charts
    from mseg_studio.ui.workspaces.train.run_reader import RunReader

    keep_singletons_alive()
    application = QApplication.instance() or QApplication([])
    assert isinstance(application, QApplication)
    theme = Theme(application, "dark")
    found: dict[str, list[float]] = {"read_s": [], "draw_s": [], "again_s": [], "cpu_s": []}
    with tempfile.TemporaryDirectory() as place:
        log = Path(place) / "metrics.jsonl"
        write_log(log, lines)
        for _ in range(rounds + 1):
            charts = Charts(theme)
            charts.resize(1280, 800)
            charts.show()
            application.processEvents()
            start, cpu_start = time.perf_counter(), time.process_time()
            look = RunReader(Path(place)).look(weight=charts.weight, whole=False)
            read_at = time.perf_counter()
            charts.show_looks((look,))
            charts.grab()
            drawn_at, cpu_s = time.perf_counter(), time.process_time() - cpu_start
            charts.loss_chart.plot.setXRange(lines / 3, lines / 2)
            charts.grab()
            found["read_s"].append(read_at - start)
            found["draw_s"].append(drawn_at - read_at)
            found["again_s"].append(time.perf_counter() - drawn_at)
            found["cpu_s"].append(cpu_s)
            points = len(look.metrics.step)
            charts.deleteLater()
            application.processEvents()
        size = log.stat().st_size
    theme.close()
    # The first round compiles, and fills the cache of the file system.
    medians = {name: statistics.median(seconds[1:]) for name, seconds in found.items()}
    first = found["read_s"][0] + found["draw_s"][0]
    return {
        "seconds": medians["read_s"] + medians["draw_s"],
        **medians,
        "first_s": first,
        "points": points,
        "megabytes": size / 1e6,
        "torch_in_process": "torch" in sys.modules,
    }


if __name__ == "__main__":
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    print(json.dumps(measure()))
