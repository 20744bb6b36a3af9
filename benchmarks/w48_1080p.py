"""One 1080p image through HRNet-W48: seconds and peak memory under Fast and Paper, and the taxonomy switch.

    python -m benchmarks.w48_1080p [fast] [balanced] [paper] [--threads N] [--goldens]

The weights are golden ones (tests/goldens/weights.py): speed does not depend on them. Every recipe runs in a process of
its own, so that its peak memory is its own. `--goldens` holds the large multi-scale golden instead, where the sample
images are at hand beside the checkout.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

from mseg_studio.inference.openmp import wait_quietly

HEIGHT, WIDTH, BASE_SIZE, CROP_PX = 1080, 1920, 360, 473
TARGETS = ("universal", "camvid-11", "wilddash-19", "scannet-20", "voc2012", "pascal-context-60")


def measure(recipe_name: str, threads: int) -> dict[str, object]:
    """Run one recipe once and every switch three times; seconds are wall time, memory is the process's peak."""
    import cv2
    import torch

    from mseg_studio.inference import kernels
    from mseg_studio.inference.predictor import Predictor
    from mseg_studio.inference.recipe import preset
    from mseg_studio.taxonomy.catalog import default_catalog
    from tests.goldens.weights import NUM_CLASSES, SPECS, golden_network, pattern_image

    torch.set_num_threads(threads)
    kernels.warm_up()
    recipe = preset(recipe_name).resolved(base_size=BASE_SIZE, crop_px=CROP_PX, precision="float32")
    predictor = Predictor(golden_network("w48"), SPECS["w48"], num_classes=NUM_CLASSES, recipe=recipe, device="cpu")
    pixels = cv2.resize(pattern_image(720, 1280), (WIDTH, HEIGHT))
    loaded_gb = _peak_gb()
    start, start_cpu = time.perf_counter(), time.process_time()
    dense = predictor.predict(pixels)
    predicted = time.perf_counter()
    dense.labels(default_catalog().projection("universal", "universal"))
    done, done_cpu = time.perf_counter(), time.process_time()
    switches = {}
    for target in TARGETS:
        projection = default_catalog().projection("universal", target)
        rounds = []
        for _ in range(3):
            before, before_cpu = time.perf_counter(), time.process_time()
            dense.labels(projection)
            rounds.append((time.perf_counter() - before, time.process_time() - before_cpu))
        switches[target] = {"ms": round(1000 * min(rounds)[0], 1), "cpu_ms": round(1000 * min(r[1] for r in rounds), 1)}
    return {
        "recipe": recipe_name,
        "crops": dense.cost.crops,
        "passes": dense.cost.passes,
        "seconds": round(done - start, 2),
        "cpu_seconds": round(done_cpu - start_cpu, 2),
        "labels_seconds": round(done - predicted, 2),
        "peak_gb": round(_peak_gb(), 2),
        "loaded_gb": round(loaded_gb, 2),
        "switch": switches,
    }


def check_goldens(threads: int) -> dict[str, object]:
    """Agreement with the published label map of W48 under three scales."""
    import torch

    from mseg_studio.inference.predictor import Predictor
    from mseg_studio.inference.recipe import Recipe
    from mseg_studio.media.image import read_image, read_label_ids
    from mseg_studio.taxonomy.catalog import default_catalog
    from tests.goldens.weights import FOLDER, NUM_CLASSES, SPECS, golden_network

    torch.set_num_threads(threads)
    image = Path(__file__).resolve().parents[2] / "shared/data/samples/bike_horses.jpg"
    recipe = Recipe(base_size=BASE_SIZE, crop_px=CROP_PX, scales=(0.5, 1.0, 1.5), precision="float32")
    predictor = Predictor(golden_network("w48"), SPECS["w48"], num_classes=NUM_CLASSES, recipe=recipe, device="cpu")
    labels = predictor.predict(read_image(image).pixels_HW3).labels(
        default_catalog().projection("universal", "universal")
    )
    expected = read_label_ids(FOLDER / "labels_w48_bike_horses_universal_0.5-1.0-1.5.png")
    return {"golden": "w48 0.5-1.0-1.5", "agreement": float((labels.ids_HW == expected).mean())}


def main() -> int:
    """Measure in child processes; print a JSON line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", default=["fast", "paper"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--goldens", action="store_true")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.goldens:
        print(json.dumps(check_goldens(arguments.threads)))
        return 0
    if arguments.child:
        print(json.dumps(measure(arguments.recipes[0], arguments.threads)))
        return 0
    for recipe in arguments.recipes:
        command = [sys.executable, "-m", "benchmarks.w48_1080p", recipe, "--child", "--threads", str(arguments.threads)]
        subprocess.run(command, check=True)
    return 0


def _peak_gb() -> float:
    """Largest resident memory of this process so far (POSIX; kilobytes on Linux, bytes on macOS)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)


if __name__ == "__main__":
    wait_quietly()
    sys.exit(main())
