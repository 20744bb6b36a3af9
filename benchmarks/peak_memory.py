"""Most memory that one full HD image at six scales takes: `python -m benchmarks.peak_memory half|float32|published`.

A process of its own, so that the peak is its own; the weights are golden ones of HRNet-W48.
"""

from __future__ import annotations

import json
import os
import sys
from typing import cast

from mseg_studio.inference.openmp import wait_quietly


def main(variant: str) -> None:
    """Segment once and print the peak."""
    import torch

    from benchmarks.machine import cores, peak_gb
    from benchmarks.workload import HOME, SCALES, full_hd, workload
    from mseg_studio.inference.recipe import Precision

    os.environ.setdefault("MSEG_STUDIO_HOME", str(HOME))
    torch.set_num_threads(cores())
    model = workload("w48")
    if variant == "published":
        model.published(full_hd(), SCALES["multi"])
    else:
        model.labels(full_hd(), SCALES["multi"], cast(Precision, variant))
    print(json.dumps({"variant": variant, "peak_gb": peak_gb()}))


if __name__ == "__main__":
    wait_quietly()
    main(sys.argv[1])
