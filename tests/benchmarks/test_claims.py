from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from benchmarks import __main__ as command
from benchmarks import claims, machine, metrics_log, remap, workload
from benchmarks.rounds import Deadline, in_turns
from benchmarks.table import table
from mseg_studio.inference.engine import NetworkSource
from tests.factories import make_pixels, tiny_network
from tests.goldens.weights import TINY

NAMES = {
    "single_scale_1080p_half": ("x", 12),
    "multi_scale_1080p_half": ("x", 10),
    "multi_scale_1080p_float32": ("x", 2.5),
    "peak_memory_multi_scale": ("GB", 2.5),
    "switch_taxonomy_1080p": ("ms", 60),
    "compare_taxonomies_1080p": ("ms", None),
    "canvas_recolour_1080p": ("ms", 5),
    "remap_labels": ("labels/s", 300),
    "metrics_log_1m": ("s", 2),
    "training_crops": ("crops/s", 400),
    "live_street_small_1080p": ("fps", 15),
}


@pytest.fixture
def tiny(monkeypatch):
    """The same claims about a network and an image that take no time."""
    source = NetworkSource(lambda: tiny_network(), TINY, 194)
    model = workload.Workload(source)
    pixels = make_pixels(60, 100)
    for module in (workload, claims):
        monkeypatch.setattr(module, "CROP_PX", 65)
        monkeypatch.setattr(module, "full_hd", lambda: pixels)
        monkeypatch.setattr(module, "streets", lambda limit: [("street.png", pixels)])
        monkeypatch.setattr(module, "workload", lambda name: model)
        monkeypatch.setattr(module, "GOLDEN_IMAGE", workload.FOLDER / "absent.png")
    monkeypatch.setattr(workload, "BASE_SIZE", 48)
    monkeypatch.setattr(claims, "_street_full_hd", lambda: pixels)
    monkeypatch.setattr(machine, "gemm_gflops", lambda dtype: 100.0)
    monkeypatch.setattr(machine, "cores", lambda: 1)
    monkeypatch.setattr(claims, "_live_fps", lambda: 20.0)
    children = {
        "benchmarks.recolour": {"recolour_ms": 6.0, "repaint_ms": 1.0},
        "benchmarks.peak_memory": {"peak_gb": 1},
        "benchmarks.remap": {"labels_per_s": 400.0, "ratio": 1.2},
        "benchmarks.metrics_log": {"seconds": 1.0},
        "benchmarks.data_loading": {"crops_per_s": 500.0, "ratio": 2.2},
    }
    monkeypatch.setattr(claims, "_child", lambda module, *_: dict(children[module]))
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_every_claim_is_a_json_line_and_a_row(tiny, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["benchmarks", "--quick"])
    assert command.main() == 0
    lines = capsys.readouterr().out.splitlines()
    found = [json.loads(line) for line in lines if line.startswith("{")]
    assert set(found[0]) == {"machine"}
    assert {"cpu", "cores", "features", "versions"} <= set(found[0]["machine"])
    by_name = {line["claim"]: line for line in found[1:]}
    for name, (unit, goal) in NAMES.items():
        assert (by_name[name]["unit"], by_name[name]["goal"]) == (unit, goal)
        assert by_name[name]["value"] > 0
    assert by_name["multi_scale_1080p_float32"]["agreement"] >= 0.999
    assert by_name["single_scale_1080p_half"]["agreement"] > 0.9
    assert by_name["network_alone_half"]["share_of_limit"] > 0
    assert {"gemm_half", "gemm_float32", "outside_network_multi_scale_1080p_half"} <= set(by_name)
    rows = "\n".join(lines[len(found) :])
    assert all(name in rows for name in by_name)
    assert "NO" in next(line for line in lines if line.startswith("canvas_recolour"))


def test_what_breaks_is_told_and_does_not_stop_the_rest(tiny, monkeypatch, capsys):
    def broken():
        raise OSError("no video")

    monkeypatch.setattr(claims, "_live_fps", broken)
    monkeypatch.setattr("sys.argv", ["benchmarks", "--only", "live_street_small_1080p,canvas_recolour_1080p"])
    assert command.main() == 1
    captured = capsys.readouterr()
    assert "no video" in captured.err
    assert '"canvas_recolour_1080p"' in captured.out


def test_goals_are_lower_limits_of_speeds_and_upper_limits_of_times():
    assert claims.Claim("a", 12.0, "x", 12).reached
    assert not claims.Claim("a", 61.0, "ms", 60).reached
    assert claims.Claim("a", 2.0, "GB", 2.5).reached
    assert claims.Claim("a", 2.0, "GFLOP/s").reached is None
    facts = {"cpu": "X", "cores": 2, "features": [], "versions": {"torch": "2"}}
    assert "<= 60" in table([claims.Claim("a", 61.0, "ms", 60)], facts)


def test_runs_take_turns_and_repeats_end_with_the_time():
    clock = iter(np.arange(0, 100, 10.0))
    calls = []
    variants = {name: lambda name=name: calls.append(name) for name in "abc"}
    in_turns(variants, rounds=3, once=frozenset("c"))
    assert "".join(calls) == "abcabab"
    calls.clear()
    in_turns(variants, rounds=3, deadline=Deadline(25, now=lambda: next(clock)))
    assert "".join(calls) == "abcab", "the first round is never left out"


def test_remapping_is_measured_on_made_labels(monkeypatch, tmp_path):
    monkeypatch.setattr(remap, "_CAMVID", tmp_path / "absent")
    found = remap.measure(1, made=4)
    assert (found["labels"], found["source"]) == (4, "made")
    assert found["labels_per_s"] > 0
    assert found["ratio"] == pytest.approx(found["labels_per_s"] / found["plain_labels_per_s"])


def test_a_short_log_is_read_and_drawn(qapp):
    found = metrics_log.measure(3000, rounds=1)
    assert found["points"] == 3000
    assert found["seconds"] == pytest.approx(found["read_s"] + found["draw_s"])
    assert 0 < found["again_s"] < 60
