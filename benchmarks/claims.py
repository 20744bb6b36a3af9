"""Every claim about speed and memory, one function each; what several of them need is measured once."""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import machine
from benchmarks.rounds import Deadline, Timed, in_turns
from benchmarks.workload import (
    BASE_SIZE,
    COMPARED_TARGETS,
    CROP_PX,
    GOLDEN_IMAGE,
    MODELS,
    SCALES,
    TARGETS,
    Workload,
    full_hd,
    street_paths,
    streets,
    workload,
)
from mseg_studio.inference.calibration import calibrate
from mseg_studio.inference.recipe import Precision, Recipe
from mseg_studio.labels.comparison import compared
from mseg_studio.media.image import read_image, read_label_ids
from tests.goldens.weights import FOLDER

_ROUNDS = 3
_CALIBRATION_IMAGES = 8


@dataclass(frozen=True, slots=True)
class Claim:
    """One number, and what it should be."""

    claim: str
    value: float
    unit: str
    goal: float | None = None
    """At least this for x, rates and shares, at most this for times and memory; None where none is set."""
    agreement: float | None = None
    """Share of pixels with the label of the published procedure."""
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def reached(self) -> bool | None:
        """Whether the goal is met; None without one."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.more_is_better else self.value <= self.goal

    @property
    def more_is_better(self) -> bool:
        """By the unit: speeds and shares against times and memory."""
        return self.unit in ("x", "fps", "share", "GFLOP/s", "labels/s", "crops/s")

    def as_dict(self) -> dict[str, Any]:
        """One JSON line."""
        values: dict[str, Any] = {"claim": self.claim, "value": _short(self.value), "unit": self.unit}
        values |= {"goal": self.goal, "reached": self.reached}
        if self.agreement is not None:
            values["agreement"] = round(self.agreement, 6)
        return values | {name: _short(value) for name, value in self.details.items()}


class Measured:
    """Measurements that several claims share, each made when the first of them asks."""

    def __init__(self, *, quick: bool, deadline: Deadline) -> None:
        self.quick = quick
        self.deadline = deadline

    @functools.cached_property
    def single(self) -> dict[str, Timed]:
        """One scale at full HD with W48: published, half and float32 in turns."""
        return self._in_turns("single", once=frozenset({"float32"} if self.quick else ()))

    @functools.cached_property
    def multi(self) -> dict[str, Timed]:
        """Six scales; in a quick run the published procedure once, and repeats only while there is time."""
        return self._in_turns("multi", once=frozenset({"published"} if self.quick else ()))

    def _in_turns(self, scales: str, *, once: frozenset[str]) -> dict[str, Timed]:
        model, pixels = workload("w48"), full_hd()
        precisions: tuple[Precision, ...] = ("half", "float32")
        for precision in precisions:  # compiles, loads, and takes the memory that is kept
            model.labels(pixels, SCALES["single"], precision)
        variants: dict[str, Callable[[], Any]] = {
            precision: functools.partial(_split, model, SCALES[scales], precision) for precision in precisions
        }
        variants["published"] = lambda: (model.published(pixels, SCALES[scales]), 0.0)
        return in_turns(variants, rounds=_ROUNDS, once=once, deadline=self.deadline if self.quick else None)


def _split(model: Workload, scales: tuple[float, ...], precision: Precision) -> tuple[Any, float]:
    """Labels of the full HD image, and the seconds of them that were spent inside the network."""
    engine = model.engine(precision)
    before = engine.network_s
    labels = model.labels(full_hd(), scales, precision)
    return labels, engine.network_s - before


def single_scale_1080p_half(measured: Measured) -> Claim:
    """Balanced (one scale with its mirror image) at base 360, crop 473, against the published procedure."""
    return _speed(
        "single_scale_1080p_half",
        measured.single,
        "half",
        12,
        agreement=_street_agreement("single", 1 if measured.quick else 3),
    )


def multi_scale_1080p_half(measured: Measured) -> Claim:
    """Paper: six scales with their mirror images."""
    agreement = _street_agreement("multi", 1 if measured.quick else 3)
    return _speed("multi_scale_1080p_half", measured.multi, "half", 10, agreement=agreement)


def multi_scale_1080p_float32(measured: Measured) -> Claim:
    """The same in float32, which must give the published labels."""
    timed = measured.multi
    same = _agreement(timed["float32"].answer[0], timed["published"].answer[0])
    return _speed("multi_scale_1080p_float32", timed, "float32", 2.5, agreement=same)


def peak_memory_multi_scale(measured: Measured) -> Claim:
    """Most memory of a process that segments one full HD image at six scales in half precision, all included."""
    variants = ("half",) if measured.quick else ("half", "float32", "published")
    peaks = {name: _child("benchmarks.peak_memory", name)["peak_gb"] for name in variants}
    return Claim("peak_memory_multi_scale", peaks["half"], "GB", 2.5, details={f"{n}_gb": p for n, p in peaks.items()})


def switch_taxonomy_1080p(measured: Measured) -> Claim:
    """The slowest of some taxonomies from the kept scores of W48; `trained_ms`: of a street in street-small."""
    found = {}
    for name, pixels in (("w48", full_hd()), ("street-small", _street_full_hd())):
        model = workload(name)
        scores = model.kept_predictor(SCALES["single"], "half").predict(pixels)
        scores.labels(model.projection("universal"))
        switches = {t: functools.partial(scores.labels, model.projection(t)) for t in TARGETS[1:]}
        found[name] = {t: 1000 * timed.median for t, timed in in_turns(switches, rounds=5).items()}
    details = {"ms": found["w48"], "trained_ms": max(found["street-small"].values())}
    return Claim("switch_taxonomy_1080p", max(found["w48"].values()), "ms", 60, details=details)


def compare_taxonomies_1080p(measured: Measured) -> Claim:
    """Difference and No target of a street in street-small, whose labels are known: the slowest of some taxonomies."""
    model = workload("street-small")
    scores = model.kept_predictor(SCALES["single"], "half").predict(_street_full_hd())
    own = scores.labels(model.projection("universal"))
    parts = {target: model.projection(target) for target in COMPARED_TARGETS}
    labels = {target: scores.labels(part) for target, part in parts.items()}
    compared_with = {t: functools.partial(compared, own, labels[t], part, scores) for t, part in parts.items()}
    timed = in_turns(compared_with, rounds=5)
    found = {target: 1000 * one.median for target, one in timed.items()}
    shares = {target: one.answer.differing_share for target, one in timed.items()}
    details = {"ms": found, "differing_share": shares}
    return Claim("compare_taxonomies_1080p", max(found.values()), "ms", details=details)


def canvas_recolour_1080p(measured: Measured) -> Claim:
    """Another colour on the canvas of the window: colours, blend over the picture and contours of a full HD frame."""
    found = _child("benchmarks.recolour")
    return Claim("canvas_recolour_1080p", found.pop("recolour_ms"), "ms", 5, details=found)


def remap_labels(measured: Measured) -> Claim:
    """`dataset remap` of CamVid's labels, 480x360, to universal; `ratio` to a plain loop of one thread."""
    found = _child("benchmarks.remap")
    return Claim("remap_labels", found.pop("labels_per_s"), "labels/s", 300, details=found)


def training_crops(measured: Measured) -> Claim:
    """Crops of CamVid that training gets from its loader; `ratio` to a plain loop of one thread."""
    found = _child("benchmarks.data_loading")
    return Claim("training_crops", found.pop("crops_per_s"), "crops/s", 400, details=found)


def metrics_log_1m(measured: Measured) -> Claim:
    """A log of a million steps: read, smoothed and drawn as the Train workspace does."""
    found = _child("benchmarks.metrics_log")
    return Claim("metrics_log_1m", found.pop("seconds"), "s", 2, details=found)


def training_beside_window(measured: Measured) -> Claim:
    """Images a second of a run that the window watches, to the same run alone; 1 where the window costs nothing."""
    found = _child("benchmarks.training_window", "--rounds", "2" if measured.quick else "4")
    return Claim("training_beside_window", found.pop("ratio"), "x", 0.97, details=found)


def live_street_small_1080p(measured: Measured) -> Claim:
    """Full HD video through street-small, from the decoder to the overlay."""
    return Claim("live_street_small_1080p", _live_fps(), "fps", 15)


def machine_limit(measured: Measured) -> list[Claim]:
    """Matrix products, and the network alone: a crop with its mirror image, and what share of the limit it reaches."""
    model = workload("w48")
    flops = _flops(model)
    limits: dict[Precision, float] = {
        "float32": machine.gemm_gflops(torch.float32),
        "half": machine.gemm_gflops(torch.bfloat16),
    }
    claims = [Claim(f"gemm_{name}", limit, "GFLOP/s") for name, limit in limits.items()]
    crops = torch.randn(2, 3, CROP_PX, CROP_PX)
    runs: dict[str, Callable[[], object]] = {name: _network_run(model, name, crops) for name in limits}
    runs["eager"] = functools.partial(_eager, model, crops)
    in_turns({name: runs[name] for name in limits}, rounds=1)
    timed = in_turns(runs, rounds=_ROUNDS, once=frozenset({"eager"} if measured.quick else ()))
    for name, limit in limits.items():
        seconds = timed[name].median
        details = {
            "seconds": seconds,
            "gflops": flops / seconds / 1e9,
            "share_of_limit": flops / seconds / 1e9 / limit,
            "engine": model.engine(name).name,
        }
        claims.append(Claim(f"network_alone_{name}", timed["eager"].median / seconds, "x", details=details))
    return claims


def outside_the_network(measured: Measured) -> list[Claim]:
    """Seconds of an image that are not the network's: scaling, softmax, means, resize, argmax."""
    found = []
    for scales, timed in (("single", measured.single), ("multi", measured.multi)):
        labels_s, (_, network_s) = timed["half"].seconds[-1], timed["half"].answer
        details = {"network_s": network_s, "share": 1 - network_s / labels_s}
        found.append(Claim(f"outside_network_{scales}_scale_1080p_half", labels_s - network_s, "s", details=details))
    return found


def single_scale_1080p_int8(measured: Measured) -> list[Claim]:
    """Balanced with networks in 8-bit integers; only where NNCF is installed and photos to calibrate on are at hand."""
    photos = street_paths(_CALIBRATION_IMAGES)
    if importlib.util.find_spec("nncf") is None or len(photos) < _CALIBRATION_IMAGES:
        return []
    for name in MODELS:
        calibrate(workload(name).source, Recipe(base_size=BASE_SIZE, crop_px=CROP_PX), photos)
    model, pixels = workload("w48"), full_hd()
    model.labels(pixels, SCALES["single"], "int8")
    variants: dict[str, Callable[[], Any]] = {
        "int8": lambda: (model.labels(pixels, SCALES["single"], "int8"), 0.0),
        "published": lambda: (model.published(pixels, SCALES["single"]), 0.0),
    }
    timed = in_turns(variants, rounds=_ROUNDS)
    return [_speed("single_scale_1080p_int8", timed, "int8", 16, agreement=_street_agreement("single", 3, "int8"))]


def golden_w48_float32(measured: Measured) -> list[Claim]:
    """The large golden: labels of the published code itself, three scales; only where its image is at hand."""
    if not GOLDEN_IMAGE.is_file():
        return []
    labels = workload("w48").labels(read_image(GOLDEN_IMAGE).pixels_HW3, (0.5, 1.0, 1.5), "float32")
    same = _agreement(labels, read_label_ids(FOLDER / "labels_w48_bike_horses_universal_0.5-1.0-1.5.png"))
    return [Claim("golden_w48_float32", same, "share", 0.9999)]


QUICK: tuple[Callable[[Measured], Claim | list[Claim]], ...] = (
    machine_limit,
    canvas_recolour_1080p,
    remap_labels,
    metrics_log_1m,
    training_crops,
    live_street_small_1080p,
    single_scale_1080p_half,
    switch_taxonomy_1080p,
    compare_taxonomies_1080p,
    peak_memory_multi_scale,
    multi_scale_1080p_half,
    multi_scale_1080p_float32,
    outside_the_network,
)
"""In the order in which they are measured: what may be repeated for as long as there is time comes last."""
ALL = (*QUICK, training_beside_window, single_scale_1080p_int8, golden_w48_float32)


def _speed(name: str, timed: dict[str, Timed], precision: Precision, goal: float, *, agreement: float) -> Claim:
    mine, published = timed[precision], timed["published"]
    engine = workload("w48").engine(precision)
    details = {
        "engine": f"{engine.name} {engine.precision}",
        "seconds": mine.median,
        "published_seconds": published.median,
        "runs": [len(mine.seconds), len(published.seconds)],
    }
    return Claim(name, published.median / mine.median, "x", goal, agreement, details)


def _street_agreement(scales: str, images: int, precision: Precision = "half") -> float:
    """Agreement with the published procedure under the weights of street-small, on photos of streets."""
    model = workload("street-small")
    shares = [
        _agreement(model.labels(pixels, SCALES[scales], precision), model.published(pixels, SCALES[scales]))
        for _, pixels in streets(images)
    ]
    return statistics.fmean(shares)


def _agreement(labels_HW: Any, expected_HW: Any) -> float:
    return float(np.mean(labels_HW == expected_HW))


def _street_full_hd() -> Any:
    import cv2

    return next(cv2.resize(pixels, (1920, 1080)) for _, pixels in streets(1))


def _flops(model: Workload) -> int:
    """Multiplications and additions of the network for a crop and its mirror image."""
    with torch.device("meta"):
        network = model.source.spec.build(model.source.num_classes)
        counter = FlopCounterMode(display=False)
        with counter:
            network.strided_logits(torch.empty(2, 3, CROP_PX, CROP_PX))
    return int(counter.get_total_flops())


def _network_run(model: Workload, precision: Precision, crops_NCHW: torch.Tensor) -> Callable[[], None]:
    engine, stride = model.engine(precision), model.source.spec.logits_stride
    side = -(-CROP_PX // stride)
    out_NhwC = torch.empty(len(crops_NCHW), side, side, model.source.num_classes, dtype=engine.logits_dtype)
    return functools.partial(engine.logits_into, crops_NCHW, out_NhwC)


@torch.inference_mode()
def _eager(model: Workload, crops_NCHW: torch.Tensor) -> None:
    model.network(crops_NCHW)


def _live_fps() -> float:
    from benchmarks import live_video

    return live_video.measure()


def _child(module: str, *arguments: str) -> dict[str, Any]:
    """What a module prints as its last line, run in a process of its own."""
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True, timeout=1200)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _short(value: Any) -> Any:
    """Four digits are more than the noise leaves."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {name: _short(one) for name, one in value.items()}
    return value


def run(claims: Iterable[Callable[[Measured], Claim | list[Claim]]], measured: Measured) -> Iterable[Claim | Exception]:
    """Every claim in turn; one that breaks gives its exception and does not stop the others."""
    for measure in claims:
        start = time.perf_counter()
        try:
            found = measure(measured)
        except Exception as error:  # noqa: BLE001 - told by whoever called, the rest goes on
            error.add_note(f"in {measure.__name__}")
            yield error
            continue
        print(f"{measure.__name__}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
        yield from found if isinstance(found, list) else [found]
