"""The media worker with files that hang, crash or swallow memory by their name."""

from __future__ import annotations

import os
import signal
import time

import numpy as np

from mseg_studio.media import image, worker

_read = image.read_image


def _trap(path):
    name = os.path.basename(path)
    if name.startswith("hang"):
        time.sleep(600)
    if name.startswith("kill"):
        os.kill(os.getpid(), signal.SIGKILL)
    if name.startswith("memory"):
        np.ones(1 << 40, np.uint8)
    return _read(path)


def main(link):
    worker.read_image = _trap
    worker.main(link)
