"""Doubles of the worker clients: the same events from a thread, without processes, models or files of the product."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from mseg_studio.inference.events import (
    ComparisonReady,
    EngineReady,
    InferenceDied,
    InferenceFailed,
    LabelsReady,
    ProbeReady,
    RequestCancelled,
    SegmentProgress,
)
from mseg_studio.inference.recipe import Recipe
from mseg_studio.labels.comparison import compare
from mseg_studio.labels.label_map import LabelMap
from mseg_studio.labels.readout import PLAIN, Readout
from mseg_studio.labels.score_map import ScoreMap
from mseg_studio.media.events import FrameReady, MediaFailed, Opened, SourceInfo, ThumbnailReady
from mseg_studio.media.frame import Frame, FrameRef
from mseg_studio.progress import Progress
from mseg_studio.settings import user_folder
from mseg_studio.taxonomy.catalog import Catalog
from mseg_studio.taxonomy.model import ClassInfo, Taxonomy
from mseg_studio.taxonomy.projection import Projection
from mseg_studio.ui.bridges import InferenceBridge, MediaBridge
from mseg_studio.ui.services import ModelChoice, Services
from mseg_studio.ui.workspaces.segment.estimate import Estimate

_TAXONOMIES = Path(__file__).parent / "taxonomies"
FINE = Catalog([_TAXONOMIES]).taxonomy("universal")
"""The classes of the models."""


def small_catalog() -> Catalog:
    """FINE and `coarse-3` as if they came with the program, and the folder of the person who runs the test."""
    return Catalog([_TAXONOMIES, user_folder("taxonomies")])


class _Worker:
    """One thread that does jobs in order; `close` joins it."""

    def __init__(self) -> None:
        self._jobs: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._thread = threading.Thread(target=self._loop, name="fake worker", daemon=True)
        self._number = 0

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        if self._thread.is_alive():
            self._jobs.put(None)
            self._thread.join(5)

    def _later(self, job: Callable[[int], None]) -> int:
        self._number += 1
        number = self._number
        self._jobs.put(lambda: job(number))
        return number

    def _loop(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


class FakeMedia(_Worker):
    """Reads images with OpenCV; a path that ends in `.mp4` is a video of 12 drawn frames at 10 a second."""

    def __init__(self, on_event: Callable[[object], None]) -> None:
        super().__init__()
        self._tell = on_event
        self._source: SourceInfo | None = None
        self.thumbnails: list[str] = []

    def open(self, path: str) -> int:
        def job(number: int) -> None:
            where = Path(path)
            if where.suffix == ".mp4":
                times = tuple(i / 10 for i in range(12))
                self._source = SourceInfo("video", path, (), times, 10.0)
            elif where.is_dir():
                items = tuple(str(p) for p in sorted(where.iterdir()) if p.suffix in (".png", ".jpg"))
                if not items:
                    self._tell(MediaFailed(number, "ImageReadError", f"{path}: no images in this folder", path))
                    return
                self._source = SourceInfo("folder", path, items)
            elif cv2.imread(path) is None:
                self._tell(MediaFailed(number, "ImageReadError", f"{path}: not an image that can be read", path))
                return
            else:
                self._source = SourceInfo("image", path, (path,))
            self._tell(Opened(number, self._source))

        return self._later(job)

    def frame(self, index: int, *, path: str | None = None) -> int:
        def job(number: int) -> None:
            source = self._source
            if path is None and source is not None and source.kind == "video":
                pixels = np.full((90, 160, 3), 40 + 15 * index, np.uint8)
                where = source.path
            else:
                where = path or (source.items[index] if source else "")
                bgr = cv2.imread(where)
                if bgr is None:
                    self._tell(MediaFailed(number, "ImageReadError", f"{where}: truncated after 10 bytes", where))
                    return
                pixels = np.ascontiguousarray(bgr[..., ::-1])
            self._tell(FrameReady(number, index, Frame(pixels, FrameRef(Path(where), index))))

        return self._later(job)

    def cancel(self, request_id: int | None = None) -> None:
        """The answer that still comes is dropped by whoever asked."""

    def thumbnail(self, path: str, size_px: int) -> int:
        self.thumbnails.append(path)

        def job(number: int) -> None:
            bgr = cv2.imread(path)
            if bgr is None:
                self._tell(MediaFailed(number, "ImageReadError", f"{path}: unreadable", path))
                return
            scale = size_px / max(bgr.shape[:2])
            size = (max(1, round(bgr.shape[1] * scale)), max(1, round(bgr.shape[0] * scale)))
            small = cv2.resize(bgr, size, interpolation=cv2.INTER_AREA)
            self._tell(ThumbnailReady(number, path, np.ascontiguousarray(small[..., ::-1])))

        return self._later(job)


class FakeInference(_Worker):
    """Labels by position: sky above, road below, a car in the middle, surer from left (0.4) to right (1).

    `seconds` is what a run takes.
    """

    def __init__(self, on_event: Callable[[object], None]) -> None:
        super().__init__()
        self._tell = on_event
        self.seconds = 0.0
        self.steps = 4
        self.fail_with = ""
        self.runs = 0
        self.projections = 0
        self.comparisons = 0
        self.compare_seconds = 0.0
        self.cancels = 0
        self.releases = 0
        self._cancelled_up_to = 0
        self.recipes: list[Recipe] = []
        self.readouts: list[Readout] = []
        self.catalog = small_catalog()
        self._ids: np.ndarray | None = None
        self._model = ""
        self._target = "universal"

    def start(self) -> None:
        super().start()
        self._later(lambda _n: self._tell(EngineReady("cpu", "CPU · torch · float32", 0.1)))

    def segment(self, frame: Frame, *, model: str, recipe: Recipe, target: str, readout: Readout = PLAIN) -> int:
        self.recipes.append(recipe)

        def job(number: int) -> None:
            for step in range(self.steps):
                if number <= self._cancelled_up_to:
                    self._tell(RequestCancelled(number))
                    return
                time.sleep(self.seconds / self.steps)
                left = self.seconds * (self.steps - step - 1) / self.steps
                self._tell(SegmentProgress(number, Progress(step + 1, self.steps, "Segmenting", left)))
            if self.fail_with:
                self._tell(InferenceFailed(number, "DeviceMemoryError", self.fail_with, ""))
                return
            self.runs += 1
            self._ids, self._model, self._target = _labels(frame), model, target
            self._tell(self._ready(number, readout, ran=True))

        return self._later(job)

    def project(self, target: str, *, readout: Readout = PLAIN) -> int:
        def job(number: int) -> None:
            self.projections += 1
            self.readouts.append(readout)
            self._target = target
            self._tell(self._ready(number, readout, ran=False))

        return self._later(job)

    def probe(self, x: int, y: int, *, target: str | None = None) -> None:
        def job(number: int) -> None:
            if self._ids is None:
                return
            best = int(self._ids[y, x])
            others = [i for i in range(8) if i != best][:4]
            fine = [(best, FINE.names[best], 0.9)] + [(i, FINE.names[i], 0.02) for i in others]
            projection = self.catalog.projection("universal", target or self._target)
            shown = projection.target.get(int(projection.lookup[best]))
            other = [] if shown is None else [(shown.id, shown.name, 0.93)]
            top = fine if projection.is_identity else other
            self._tell(ProbeReady(number, x, y, tuple(fine), tuple(top), 0.01))

        self._later(job)

    def compare(self, target: str, *, only: tuple[int, ...] = ()) -> int:
        def job(number: int) -> None:
            time.sleep(self.compare_seconds)
            if number <= self._cancelled_up_to:
                self._tell(RequestCancelled(number))
            elif self._ids is None:
                self._tell(InferenceFailed(number, "ScoresGoneError", "the scores are no longer kept", ""))
            else:
                self.comparisons += 1
                projection = self.catalog.projection("universal", target)
                scores = ScoreMap.from_dense(_scores(self._ids), taxonomy=FINE, k=8)
                self._tell(ComparisonReady(number, compare(scores, projection, only=only), 0.001))

        return self._later(job)

    def cancel(self) -> None:
        self.cancels += 1
        self._cancelled_up_to = self._number

    def release_device(self) -> None:
        self.releases += 1

    def die(self) -> None:
        """As if the process had been killed."""
        self._ids = None
        self._tell(InferenceDied("The segmentation process was killed (signal 9).", 0.2))
        self._later(lambda _n: (time.sleep(0.2), self._tell(EngineReady("cpu", "CPU · torch · float32", 0.1))))

    def _ready(self, number: int, readout: Readout, *, ran: bool) -> LabelsReady:
        projection = self.catalog.projection("universal", self._target)
        taxonomy = projection.target
        ids, measure = _read(_scores(self._ids), projection, readout)
        labels = LabelMap(ids, taxonomy)
        sidecar = {
            "model": {"name": self._model, "network": "fake", "sha256": "0" * 64},
            "recipe": {"base_size": 360, "crop_px": 473, "precision": "float32"},
            "recipe_hash": "1" * 64,
            "engine": "torch",
            "precision": "float32",
            "device": "cpu",
            "certified_share": 1.0,
            "mapping": "projected",
        } | readout.facts(taxonomy)
        seconds = max(self.seconds, 0.001)
        return LabelsReady(number, labels, self._model, sidecar, seconds, ran, readout, measure)


def _labels(frame: Frame) -> np.ndarray:
    height, width = frame.height, frame.width
    ids = np.zeros((height, width), np.uint8)
    ids[height // 3 :] = 1
    ids[height // 2 :, : width // 3] = 4
    ids[2 * height // 3 :] = 3
    ids[height // 2 : 3 * height // 4, width // 2 : 3 * width // 4] = 5
    ids[: height // 2, 3 * width // 4 :] = 2
    return ids


def _scores(ids: np.ndarray) -> np.ndarray:
    """(8, H, W): the best class has 0.4 at the left to 1 at the right, the others share the rest."""
    best = np.broadcast_to(np.linspace(0.4, 1, ids.shape[1]), ids.shape)
    return np.where(np.arange(8)[:, None, None] == ids, best, (1 - best) / 7)


def _read(scores: np.ndarray, projection: Projection, readout: Readout) -> tuple[np.ndarray, np.ndarray | None]:
    """Labels, and the measure where one is asked for (only confidence is computed right)."""
    scores = projection.project(scores.astype(np.float32))
    part = np.array(readout.only or range(len(scores)))
    scores = scores[part]
    ids = part[scores.argmax(axis=0)].astype(np.uint8)
    confidence = scores.max(axis=0) / np.maximum(scores.sum(axis=0), 1e-12)
    ids[confidence < readout.min_confidence] = 255
    return ids, None if readout.measure is None else np.round(255 * confidence).astype(np.uint8)


def fake_search(taxonomy: Taxonomy, query: str, limit: int) -> list[ClassInfo]:
    found = [c for c in taxonomy.classes if query.lower() in c.name or query == str(c.id)]
    return found[:limit]


class Doubles:
    """Services on doubles; `media` and `inference` are the fake clients."""

    def __init__(
        self, *, run_seconds: float = 0.1, cameras: tuple[str, ...] = (), catalog: Catalog | None = None
    ) -> None:
        media, inference = MediaBridge(FakeMedia), InferenceBridge(FakeInference)
        self.media: FakeMedia = media.client
        self.inference: FakeInference = inference.client
        self.catalog = catalog or small_catalog()
        self.inference.catalog = self.catalog
        self.run_seconds = run_seconds
        self.run_bytes, self.free_bytes = 600_000_000, 8_000_000_000
        self.models = [
            ModelChoice("street-small", "universal", 8, 360, 473, ("sky", "road", "car"), bundled=True),
            ModelChoice("mseg-3m", "universal", 8, 1080, 713),
        ]
        self.services = Services(
            media=media,
            inference=inference,
            catalog=self.catalog,
            models=lambda: self.models,
            predict=lambda model, recipe, h, w: Estimate(
                2, 4, self.run_seconds * len(recipe.scales), self.run_bytes, self.free_bytes
            ),
            search=fake_search,
            cameras=lambda: cameras,
        )
