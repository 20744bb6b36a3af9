"""Labels, certificates and measures of a score map, from its kept classes alone: no dense scores, no network.

What was dropped (the residual r of a pixel) may belong to any class. Everything below is said about all ways of sharing
it out, with m the largest sum over the kept classes, n the second largest, s all sums of classes that take part:

- a label is certified when no share-out changes it: m - n > r, and with a least confidence when all share-outs stay on
  the same side of it
- confidence is m / (s + r): the smallest that any share-out gives, and the true one wherever every class takes part.
  With one class there is nothing to be unsure of: 1 wherever it was kept
- margin is (m - n) / (s + r), within r / (s + r) of the true one
- entropy takes r as evenly shared among the classes that take part and have no kept probability, or, where there are
  none, as part of the smallest sum

So a restricted readout never claims to be surer than the kept classes show. A pixel of which no class that takes part
was kept becomes the ignore id, uncertified.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mseg_studio.labels.label_map import Ids, LabelMap, as_ids
from mseg_studio.labels.pixel_threads import over_pixels
from mseg_studio.labels.readout import MEASURE_STEPS, MEASURES, Reading, Readout
from mseg_studio.taxonomy.projection import Projection

CERTIFICATION_MARGIN = 1e-3
"""More than float16 rounding can move best - second - residual: 2^-11 of at most the whole probability mass."""

Bools = npt.NDArray[np.bool_]


def read(
    class_ids_HWk: Ids,
    probabilities_HWk: npt.NDArray[np.float16],
    residual_HW: npt.NDArray[np.float16],
    projection: Projection,
    readout: Readout,
) -> tuple[Reading, Bools]:
    """What `readout` asks for in `projection.target`, and where the label is certified, (H, W).

    The arrays are those of a `ScoreMap` in `projection.source`. Raises TaxonomyError for a class that does not exist.
    """
    from mseg_studio.labels import compiled

    part = projection.only(readout.only)
    height, width, k = class_ids_HWk.shape
    class_ids = as_ids(np.array(part.class_ids), part.target)
    labels_P = np.empty(height * width, class_ids.dtype)
    certified_P = np.empty(height * width, np.bool_)
    measure_P = np.empty(height * width if readout.measure else 0, np.uint16)
    ids_Pk = class_ids_HWk.reshape(-1, k)
    bits_Pk = probabilities_HWk.view(np.uint16).reshape(-1, k)
    residual_P = residual_HW.view(np.uint16).reshape(-1)
    measure = 1 + MEASURES.index(readout.measure) if readout.measure else 0

    slots = _slots(part)

    def work(start: int, stop: int) -> None:
        compiled.read_pixels(
            labels_P,
            certified_P,
            measure_P,
            ids_Pk,
            bits_Pk,
            residual_P,
            compiled.HALF,
            slots,
            class_ids,
            part.target.ignore_id,
            len(part.class_ids) < len(part.target),
            part.is_identity,
            round(readout.min_confidence * MEASURE_STEPS),
            measure,
            start,
            stop,
        )

    over_pixels(work, height * width)
    labels = LabelMap(labels_P.reshape(height, width), part.target)
    measure_HW = measure_P.reshape(height, width) if readout.measure else None
    return Reading(labels, measure_HW, float(certified_P.mean())), certified_P.reshape(height, width)


def _slots(projection: Projection) -> npt.NDArray[np.int32]:
    """For every source channel the place of its target among those that take part, -1 for none."""
    slots = np.full(projection.source.num_channels, -1, np.int32)
    for place, group in enumerate(projection.groups_of_parts):
        slots[group] = place
    return slots
