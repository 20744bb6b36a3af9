from __future__ import annotations

import pytest

from benchmarks import data_loading


def test_loading_is_measured_on_made_pictures(monkeypatch, tmp_path):
    for name, value in (("_STEPS", 2), ("_PUBLISHED_STEPS", 2), ("_PLAIN_CROPS", 8)):
        monkeypatch.setattr(data_loading, name, value)
    monkeypatch.setattr(data_loading, "_CAMVID", tmp_path / "absent")
    found = data_loading.measure(1, made=4)
    assert found["source"] == "made"
    assert min(found[f"{name}crops_per_s"] for name in ("", "plain_", "first_epoch_", "published_")) > 0
    assert found["ratio"] == pytest.approx(found["crops_per_s"] / found["plain_crops_per_s"])
