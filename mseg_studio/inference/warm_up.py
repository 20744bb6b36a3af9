"""Compile the passes, or load what was compiled before, so that the first image does not wait for it."""

from __future__ import annotations

import numpy as np

from mseg_studio.inference.kernels import grid_winner_rows, keep_rows, kept_target_rows, logit_winner_rows
from mseg_studio.inference.label_kernels import label_rows, mark_open_rows
from mseg_studio.inference.measure_kernels import CONFIDENCE, probe_pixel, read_rows
from mseg_studio.inference.plan import plan_of
from mseg_studio.inference.tiling import Tiling


def warm_up() -> None:
    """For both kinds of logits."""
    one = Tiling(1, 1, 1)
    plan = plan_of((one,), height=1, width=1, images=1, logits_stride=1)
    winners, shares = np.zeros(1, np.int32), np.zeros(1, np.float32)
    ids, groups = np.zeros((1, 1), np.uint16), (np.zeros(1, np.int32), np.array([0, 1], np.int32))
    for logits in (np.zeros((1, 1), np.float32), np.zeros((1, 1), np.uint16)):
        logit_winner_rows(winners.copy(), shares.copy(), logits, 0, 1)
        grid_winner_rows(winners.copy(), shares.copy(), winners, shares, plan, 0, 1, 0, 1)
        read = (ids[0].copy(), logits, plan, *groups)
        mark_open_rows(np.zeros(1, np.uint8), winners, shares, plan, 0, 1)
        keep_rows(winners, np.zeros((1, 1), np.float32), logits, plan, 0, 1, 0, 1)
        kept_target_rows(winners.copy(), winners, np.zeros((1, 1), np.float32), *groups, 0, 1)
        label_rows(ids.copy(), ids[0].copy(), winners, shares, True, *read[1:], 0, 1)
        probe_pixel(np.zeros(1, np.float32), logits, plan, 0, 0)
        read_rows(ids.copy(), ids.copy(), ids.copy(), *read, CONFIDENCE, 0, 1)
