"""Images a second of a run with and without the window watching it: `python -m benchmarks.training_window`.

Both are real: the trainer in its process on all cores, and the window of `mseg-studio` offscreen with its Train
workspace on the run, its charts, log and meters following it. Rounds in turns; prints one JSON line.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import psutil

from mseg_studio.media.image import write_ids_png, write_rgb_png
from mseg_studio.settings import available_cores
from mseg_studio.training.config import DatasetConfig
from mseg_studio.training.metrics_log import read_metrics
from mseg_studio.training.recipes import load_recipe
from mseg_studio.training.run_folder import RunFolder

_STEPS, _WARM_UP = 40, 8
_IMAGES = 24
_WAIT_S = 120
_SETTLE_S = 3.0
"""The window's own start is not what is measured."""
_CHILD = """
import sys
from pathlib import Path
from PySide6.QtCore import QTimer
from PySide6.QtWidgets import QApplication
from mseg_studio.ui.app import WindowOptions, run_window
from mseg_studio.ui.main_window import MainWindow
run = Path(sys.argv[1])
def show():
    window = next(w for w in QApplication.topLevelWidgets() if isinstance(w, MainWindow))
    window.show_workspace("train")
    window.page("train").show_run(run)
    (run / "watched").touch()
application = QApplication([])
QTimer.singleShot(500, show)
run_window(WindowOptions(size=(1280, 800)))
"""


def measure(*, rounds: int, steps: int = _STEPS, warm_up: int = _WARM_UP) -> dict[str, object]:
    """Medians of images a second, and their ratio: 1 when nothing is lost."""
    rates: dict[str, list[float]] = {"alone": [], "watched": []}
    shares: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        description = _dataset(place / "data")
        for number in range(rounds):
            # Whoever begins changes from round to round.
            for how in ("alone", "watched") if number % 2 == 0 else ("watched", "alone"):
                run = _new_run(place / f"{how}{number}", description, steps)
                watched = how == "watched"
                rate, share = _rate(run, place / "home", watched=watched, warm_up=warm_up)
                rates[how].append(rate)
                shares += [share] if watched else []
    ratios = [watched / alone for alone, watched in zip(rates["alone"], rates["watched"], strict=True)]
    return {
        "ratio": statistics.median(ratios),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "window_share_of_a_core": statistics.median(shares),
        **{f"{how}_images_per_s": statistics.median(values) for how, values in rates.items()},
        "rounds": rounds,
        "steps": steps,
        "cores": available_cores(),
    }


def _new_run(folder: Path, description: Path, steps: int) -> RunFolder:
    """HRNet-W18-small at crop 193, batch 4: a line of metrics every step, one validation and checkpoint at the end."""
    settings = [f"steps={steps}", f"validate_every={steps}", f"save_every={steps}", "log_every=1", "validate_images=1"]
    dataset = DatasetConfig(str(description), name="made")
    config = load_recipe("smoke").config(name="run", datasets=[dataset], settings=settings, start="random")
    return RunFolder.create(folder, config)


def _rate(run: RunFolder, home: Path, *, watched: bool, warm_up: int) -> tuple[float, float]:
    """Images a second of the steps behind the first `warm_up`, by the clock of the run's own log.

    And the share of one core that the window and its processes took meanwhile, 0 without a window.
    """
    environment = {**os.environ, "MSEG_STUDIO_HOME": str(home), "QT_QPA_PLATFORM": "offscreen"}
    window = None
    if watched:
        command = [sys.executable, "-c", _CHILD, str(run.path)]
        window = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _wait_for(run.path / "watched", window)
        time.sleep(_SETTLE_S)
    used_s, share, start = _cpu_s(window), 0.0, time.monotonic()
    try:
        worker = [sys.executable, "-m", "mseg_studio.training.worker", str(run.path)]
        subprocess.run(worker, env=environment, check=True, timeout=600, stdout=subprocess.DEVNULL)
        if window is not None and window.poll() is not None:
            raise RuntimeError("the window ended before the run did")
        share = (_cpu_s(window) - used_s) / (time.monotonic() - start)
    finally:
        if window is not None:
            window.kill()
            window.wait()
    lines = [event for event in read_metrics(run.metrics_file) if event["event"] == "step"][warm_up:]
    batch = run.config().batch
    return float(batch * (len(lines) - 1) / (lines[-1]["time"] - lines[0]["time"])), share


def _cpu_s(window: subprocess.Popen[bytes] | None) -> float:
    """Seconds of processor that the window and its child processes have taken."""
    if window is None:
        return 0.0
    family = psutil.Process(window.pid)
    times = [process.cpu_times() for process in (family, *family.children(recursive=True))]
    return float(sum(one.user + one.system for one in times))


def _wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _WAIT_S
    while not path.exists():
        if time.monotonic() > end or process.poll() is not None:
            raise RuntimeError("the window did not come up")
        time.sleep(0.1)


def _dataset(root: Path) -> Path:
    """A few pictures of 480x360 with labels of blocks, in camvid-11."""
    random = np.random.default_rng(0)
    for split in ("train", "val"):
        for kind in (split, f"{split}annot"):
            (root / kind).mkdir(parents=True)
        for number in range(_IMAGES if split == "train" else 1):
            few = random.integers(0, 3, (9, 12), np.uint8)
            ids = cv2.resize(few, (480, 360), interpolation=cv2.INTER_NEAREST)
            noise = random.integers(0, 60, (360, 480, 3))
            pixels = (np.array([[220, 160, 90], [90, 90, 90], [30, 40, 190]])[ids] + noise).clip(0, 255)
            write_ids_png(root / f"{split}annot" / f"{number}.png", np.asarray(ids, np.uint8))
            write_rgb_png(root / split / f"{number}.png", pixels.astype(np.uint8))
    path = root / "made.yaml"
    path.write_text(
        "format: 1\nname: made\ntaxonomy: camvid-11\nid_map: {0: Sky, 1: Road, 2: Car}\n"
        "to_universal: {Sky: sky, Road: road, Car: car}\n"
        "splits:\n  train: {images: train, labels: trainannot}\n  val: {images: val, labels: valannot}\n",
        encoding="utf-8",
    )
    return path


def main() -> None:
    """Print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=_STEPS)
    options = parser.parse_args()
    print(json.dumps(measure(rounds=options.rounds, steps=options.steps)))


if __name__ == "__main__":
    main()
