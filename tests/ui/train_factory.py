"""Run folders as a trainer leaves them: finished, running, failed, lost; numbers like those of a real run."""

from __future__ import annotations

import json
import math
import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import psutil

from mseg_studio.settings import user_folder
from mseg_studio.training.config import AugmentConfig, DatasetConfig, OptimConfig, TrainConfig
from mseg_studio.training.config_file import save_config
from mseg_studio.training.metrics_log import MetricsLog

STREET = {
    "road": 0.93, "sky": 0.91, "building": 0.82, "vegetation": 0.76, "car": 0.79, "sidewalk": 0.71, "person": 0.48,
    "fence": 0.36, "bicyclist": 0.52, "pole": 0.31, "traffic_sign": 0.44,
}  # fmt: skip


def run_config(name: str, *, datasets: Sequence[str] = ("camvid",), steps: int = 20_000, **others: Any) -> TrainConfig:
    """A configuration of a small run; its datasets need not be there."""
    given = tuple(
        DatasetConfig(f"/data/{one}.yaml", root=f"/data/{one}", name=one, classes={"Sky": "sky", "Road": "road"})
        for one in datasets
    )
    values: dict[str, Any] = {"start": "mseg-3m-480p", "batch": 16, "validate_every": max(1, steps // 40)} | others
    return TrainConfig(name, given, steps, augment=AugmentConfig(crop_px=473), optim=OptimConfig(), **values)


class FakeRun:
    """Writes the files of one run."""

    def __init__(self, name: str, *, folder: Path | None = None, world: int = 1, **config: Any) -> None:
        self.path = (folder or user_folder("runs")) / name
        for part in ("ranks", "log", "checkpoints", "samples"):
            (self.path / part).mkdir(parents=True, exist_ok=True)
        self.config = run_config(name, **config)
        save_config(self.path / "config.yaml", self.config)
        self.world = world
        self._random = np.random.default_rng(sum(map(ord, name)))
        self._log = MetricsLog(self.path / "metrics.jsonl")
        self.step = 0
        self._began = time.time()

    def launched(self, *, alive: bool, device: str = "cpu", age_s: float = 0.0) -> FakeRun:
        """launch.json and ranks/: of this process when `alive`, else of one that is no more."""
        me = psutil.Process(os.getpid())
        start = me.create_time() if alive else me.create_time() - 1e6
        process = {"format": 1, "pid": os.getpid(), "start_time": start, "host": socket.gethostname()}
        launch = {**process, "argv": [], "world_size": self.world, "nnodes": 1, "engine": "torchrun"}
        self._json("launch.json", launch)
        for rank in range(self.world):
            self._json(f"ranks/{rank}.json", {**process, "device": device})
        self._began -= age_s
        return self

    def trained(self, upto: int, *, every: int = 10, level: float = 1.0) -> FakeRun:
        """Steps and validations up to `upto`: what MetricsLog would have got, written at once."""
        lines: list[str] = []
        for step in range(self.step + every, upto + 1, every):
            lines.append(json.dumps(self._step_event(step, level)))
            if step % self.config.validate_every == 0:
                lines.append(json.dumps(self._validation(step, level)))
        self._log.close()
        with (self.path / "metrics.jsonl").open("a") as stream:
            stream.write("".join(line + "\n" for line in lines))
        self._log = MetricsLog(self.path / "metrics.jsonl")
        self.step = upto
        return self

    def progress(
        self, phase: str = "training", *, done: int | None = None, total: int = 0, left: float = 2460
    ) -> FakeRun:
        """progress.json."""
        at = {"phase": phase, "step": self.step, "steps": self.config.steps, "done": done or self.step, "total": total}
        self._json("progress.json", {"format": 1, **at, "seconds_left": left, "time": time.time()})
        return self

    def ended(self, status: str, reason: str = "", *, rank: int | None = None, age_s: float = 0.0) -> FakeRun:
        """result.json."""
        best = {"miou": 0.641, "step": self.step, "checkpoint": "best"}
        ended = {"status": status, "reason": reason, "step": self.step, "best": best, "time": time.time() - age_s}
        self._json("result.json", {"format": 1, **ended, **({} if rank is None else {"rank": rank})})
        return self

    def logged(self, lines: Sequence[tuple[int, str]]) -> FakeRun:
        """Lines of log/rank<N>.txt, a second apart."""
        began = time.time() - len(lines)
        for place, (rank, text) in enumerate(lines):
            when = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(began + place))
            with (self.path / "log" / f"rank{rank}.txt").open("a", encoding="utf-8") as stream:
                stream.write(f"{when} {text}\n")
        return self

    def checkpoint(self, step: int) -> FakeRun:
        """A folder with a file in it."""
        (self.path / "checkpoints" / str(step)).mkdir(parents=True, exist_ok=True)
        (self.path / "checkpoints" / str(step) / "manifest.json").write_text("{}")
        return self

    def sampled(self, image: Path, steps: Sequence[int]) -> FakeRun:
        """Predictions of one image: bands that settle with the steps."""
        height, width = cv2.imread(str(image)).shape[:2]
        for place, step in enumerate(steps):
            (self.path / "samples" / str(step)).mkdir(parents=True, exist_ok=True)
            colours = np.array([(180, 130, 70), (128, 64, 128), (35, 142, 107)], np.uint8)
            rows = (np.arange(height) * 3 // height).clip(0, 2)
            wild = self._random.random((height, width)) < 0.3 * (1 - (place + 1) / len(steps))
            picture = np.where(wild[..., None], colours[0], colours[rows][:, None])
            cv2.imwrite(str(self.path / "samples" / str(step) / "0.png"), picture.astype(np.uint8))
        images = [{"n": 0, "image": str(image), "dataset": "camvid", "truth": False}]
        self._json("samples/index.json", {"format": 1, "taxonomy": "universal", "steps": list(steps), "images": images})
        return self

    def close(self) -> None:
        self._log.close()

    def _json(self, name: str, value: Any) -> None:
        (self.path / name).write_text(json.dumps(value))

    def _step_event(self, step: int, level: float) -> dict[str, Any]:
        config, random = self.config, self._random
        share = step / config.steps
        clean = level * (0.28 + 2.6 * math.exp(-6 * share))
        loss = clean * (1 + 0.12 * random.standard_normal() * (1 + (random.random() < 0.02)))
        names = [one.name for one in config.datasets]
        return {
            "event": "step",
            "step": step,
            "time": self._began + step * 0.26,
            "loss": round(loss, 5),
            "lr": config.optim.lr * (1 - min(share, 0.9999)) ** 0.9,
            "images_per_s": round(62 + 2 * random.standard_normal(), 2),
            "loss_by_dataset": {n: round(loss * (0.8 + 0.4 * i / max(1, len(names))), 5) for i, n in enumerate(names)},
            "data_wait": round(abs(0.03 + 0.008 * random.standard_normal()), 4),
            "memory_bytes": int(3.1e9 + 2e8 * random.random()),
        }

    def _validation(self, step: int, level: float) -> dict[str, Any]:
        share = step / self.config.steps
        grown = 1 - math.exp(-4 * share)
        noise = 0.012 * self._random.standard_normal(len(STREET))
        iou = {
            name: round(float(np.clip(top * grown / level + n, 0, 1)), 4)
            for (name, top), n in zip(STREET.items(), noise, strict=True)
        }
        miou = sum(iou.values()) / len(iou)
        names = [one.name for one in self.config.datasets]
        return {
            "event": "validation",
            "step": step,
            "time": self._began + step * 0.26,
            "loss": round(level * (0.33 + 2.2 * math.exp(-5 * share)), 4),
            "miou": round(miou, 4),
            "miou_by_dataset": {name: round(miou * (1 - 0.06 * i), 4) for i, name in enumerate(names)},
            "iou": iou,
        }


def five_runs(image: Path | None = None) -> dict[str, FakeRun]:
    """The runs of the sketch; `image` is their fixed image."""
    lines = []
    for step in range(12_000, 12_401, 20):
        lines += [(0, f"step {step} loss 0.3{step % 90:02d} lr 0.00417 61.8 images/s"), (1, f"step {step} done")]
    lines += [(0, "checkpoint 12400 saved and verified (sha256 9f2c81d0a4…)"), (1, "validation 0/101")]
    running = FakeRun("fine-tune my street", world=2, datasets=("my labels", "camvid"), accumulate=2)
    running.launched(alive=True).trained(12_400).progress().logged(lines).checkpoint(12_400)
    finished = FakeRun("camvid from scratch", start="random")
    finished.launched(alive=False).trained(20_000, level=1.25).progress(left=0).ended("finished", age_s=90_000)
    finished.checkpoint(20_000).logged([(0, "finished: best mIoU 0.641 at step 19 500")])
    failed = FakeRun("mseg-480-3m", world=4, datasets=("ade20k", "bdd", "coco", "idd"), steps=100_000)
    failed.launched(alive=False).trained(210, level=1.3).progress(left=0)
    failed.ended("failed", "CUDA ran out of memory at step 210 (tried to allocate 2.4 GB, 1.1 GB free)", rank=3)
    failed.logged([(n, f"step 200 loss 2.1{n}") for n in range(4)] + [(3, "CUDA ran out of memory at step 210")])
    lost = FakeRun("oracle kitti", datasets=("kitti",), steps=10_000)
    lost.launched(alive=False).trained(8_120, level=1.1).progress(left=400).checkpoint(8_000)
    stopped = FakeRun("smoke", steps=200, start="random")
    stopped.launched(alive=False).trained(120, every=1, level=1.4).progress(left=0).ended("stopped", "asked to stop")
    stopped.checkpoint(120)
    if image is not None:
        running.sampled(image, [2000, 4000, 8000, 12_000])
    found = {run.config.name: run for run in (running, finished, failed, lost, stopped)}
    for place, run in enumerate(found.values()):
        run.close()
        os.utime(run.path / "config.yaml", (time.time() - 1000 * place,) * 2)
    return found
