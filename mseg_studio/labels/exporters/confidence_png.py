"""The confidence of every pixel as a 16-bit grey PNG; see `labels/measure_png.py`."""

from __future__ import annotations

from mseg_studio.labels.measure_png import measure_exporter

EXPORTER = measure_exporter("confidence", "Confidence: how much of the probability the label has (16-bit PNG)")
