"""A 1080p video segmented live by street-small (recipe live): frames a second from decoding to the overlay.

    python -m benchmarks.live_video

Two ways: in one process as `segment` does it, and through the media and the inference process as the window does it.
The overlay is made, and neither encoded nor painted.
"""

from __future__ import annotations

import queue
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from mseg_studio.inference.openmp import wait_quietly
from mseg_studio.inference.recipe import preset
from mseg_studio.labels.overlay import blend
from mseg_studio.media.video_writer import VideoWriter

MODEL, TARGET = "street-small", "cityscapes-19"
HEIGHT, WIDTH, FRAMES, FPS = 1080, 1920, 90, 30
_WARM_UP = 20
_TIMEOUT_S = 120.0


def measure() -> float:
    """Frames a second in one process; see `headless`."""
    with tempfile.TemporaryDirectory() as folder:
        return headless(make_video(Path(folder) / "drive.mp4"))


def make_video(path: Path) -> Path:
    """A drive along a painted street: everything moves, and neighbouring pixels are as alike as in a photograph."""
    wide_HW3 = _street(WIDTH + 8 * FRAMES)
    with VideoWriter(path, fps=FPS, size=(WIDTH, HEIGHT)) as writer:
        for number in range(FRAMES):
            writer.write(np.ascontiguousarray(wide_HW3[:, 8 * number : 8 * number + WIDTH]))
    return path


def headless(path: Path) -> float:
    """Frames a second of decoding, network, labels at full size and overlay, overlapped as in `segment`."""
    import torch

    from mseg_studio.inference.jobs import Job, SegmentedFrame
    from mseg_studio.inference.loaded_model import load_model
    from mseg_studio.inference.pipeline import WriteBehind, read_ahead, segment_here
    from mseg_studio.media.source import open_source
    from mseg_studio.settings import available_cores
    from mseg_studio.taxonomy.catalog import default_catalog

    torch.set_num_threads(available_cores())
    model = load_model(MODEL)
    predictor = model.predictor(preset("live"))
    projection = default_catalog().projection(model.taxonomy.name, TARGET)
    job = Job(predictor, projection, model.facts(predictor))
    done: list[float] = []

    def overlay(frame: SegmentedFrame) -> None:
        blend(frame.frame.pixels_HW3, frame.labels)
        done.append(time.perf_counter())

    with open_source(path) as source, read_ahead(source.items()) as ahead, WriteBehind() as writer:
        for event in segment_here(job, ahead):
            if isinstance(event, SegmentedFrame):
                writer.put(partial(overlay, event))
    return _rate(done)


def through_processes(path: Path) -> float:
    """Frames a second through the media and the inference process, the next frame being read meanwhile."""
    from mseg_studio.inference.client import InferenceClient
    from mseg_studio.inference.events import InferenceFailed, LabelsReady
    from mseg_studio.media.client import MediaClient
    from mseg_studio.media.events import FrameReady, MediaFailed, Opened

    events: queue.SimpleQueue[object] = queue.SimpleQueue()
    media, inference = MediaClient(events.put), InferenceClient(events.put)
    done: list[float] = []
    ahead: FrameReady | None = None
    shown: FrameReady | None = None
    try:
        media.start()
        inference.start()
        media.open(path)
        while len(done) < FRAMES:
            event = events.get(timeout=_TIMEOUT_S)
            if isinstance(event, MediaFailed | InferenceFailed):
                raise RuntimeError(event.message)
            if isinstance(event, Opened):
                media.frame(0)
            elif isinstance(event, FrameReady):
                ahead = event
            elif isinstance(event, LabelsReady) and shown is not None:
                frame, shown = shown.frame, None
                blend(frame.pixels_HW3, event.labels)
                done.append(time.perf_counter())
            if shown is None and ahead is not None:
                shown, ahead = ahead, None
                inference.segment(shown.frame, model=MODEL, recipe=preset("live"), target=TARGET)
                if shown.index + 1 < FRAMES:
                    media.frame(shown.index + 1)
    finally:
        media.close()
        inference.close()
    return _rate(done)


def _rate(done_s: list[float]) -> float:
    """Frames a second after the first ones, in which everything is loaded and compiled."""
    return (len(done_s) - 1 - _WARM_UP) / (done_s[-1] - done_s[_WARM_UP])


def _street(width: int) -> npt.NDArray[np.uint8]:
    """Sky, walls, a road and boxes on it (HEIGHT, width, 3)."""
    rng = np.random.default_rng(0)
    picture = np.empty((HEIGHT, width, 3), np.uint8)
    picture[:400], picture[400:650], picture[650:] = (150, 180, 210), (120, 100, 90), (90, 90, 95)
    for _ in range(width // 60):
        x, y, side = int(rng.integers(0, width)), int(rng.integers(300, 900)), int(rng.integers(30, 200))
        cv2.rectangle(picture, (x, y), (x + side, y + side), rng.integers(0, 256, 3).tolist(), -1)
    grain = cv2.GaussianBlur(rng.normal(0, 12, picture.shape).astype(np.float32), (0, 0), 2)
    return np.asarray(np.clip(picture + 4 * grain, 0, 255), np.uint8)


def main() -> int:
    """Print both rates."""
    with tempfile.TemporaryDirectory() as folder:
        video = make_video(Path(folder) / "drive.mp4")
        rows = (("in one process", headless(video)), ("through the window's processes", through_processes(video)))
    print(f"{MODEL}, recipe live, {WIDTH} x {HEIGHT}, decode to overlay")
    for way, rate in rows:
        print(f"{way:32} {rate:6.1f} fps")
    return 0


if __name__ == "__main__":
    wait_quietly()
    sys.exit(main())
