from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from mseg_studio.errors import ConfigError
from mseg_studio.inference import openvino_runtime
from mseg_studio.inference.calibration import calibrate, calibration_folder, read_calibrated, read_record
from mseg_studio.inference.engine import NetworkSource
from mseg_studio.inference.engine_choice import make_engine
from mseg_studio.inference.recipe import Recipe
from mseg_studio.media.image import write_rgb_png
from mseg_studio.progress import Cancelled, CancelToken, Progress
from tests.goldens.weights import NUM_CLASSES, SPECS, crop_NCHW, golden_network, pattern_image

CPU = torch.device("cpu")
RECIPE = Recipe(base_size=65, crop_px=65, precision="int8")
SOURCE = NetworkSource(lambda: golden_network("tiny"), SPECS["tiny"], NUM_CLASSES, "ab" * 32, "tiny")

needs_nncf = pytest.mark.skipif(
    not (openvino_runtime.is_installed() and importlib.util.find_spec("nncf")), reason="OpenVINO or NNCF is missing"
)


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number}.png" for number in range(4)]
    for number, path in enumerate(paths):
        write_rgb_png(path, pattern_image(65 + 8 * number, 120)[:, 8 * number :])
    return paths


@needs_nncf
def test_calibrated_on_images_it_runs_in_int8(images):
    with pytest.raises(ConfigError, match="`mseg-studio models calibrate tiny IMAGES` makes it"):
        make_engine(SOURCE, CPU, "int8", threads=1)
    seen: list[Progress] = []
    record = calibrate(SOURCE, RECIPE, images, on_progress=seen.append)
    assert (record.images, record.crops, record.held_out) == (3, 6, 1)
    assert 0.5 < record.agreement < 1
    assert [progress.done for progress in seen] == list(range(8))
    assert read_record(SOURCE) == record

    engine = make_engine(SOURCE, CPU, "int8", threads=1)
    assert (engine.name, engine.precision) == ("openvino", "int8")
    given = crop_NCHW(pattern_image(65, 65), 65)
    out = torch.empty((1, 17, 17, NUM_CLASSES), dtype=engine.logits_dtype)
    engine.logits_into(given, out)
    with torch.inference_mode():
        wanted = golden_network("tiny").strided_logits(given).permute(0, 2, 3, 1)
    assert 1e-4 < float((out.float() - wanted).std() / wanted.std()) < 0.25
    with pytest.raises(ConfigError, match="int8 needs engine openvino"):
        make_engine(SOURCE, CPU, "int8", setting="torch")

    weights = calibration_folder(SOURCE) / "model.bin"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(ConfigError, match="is damaged; `mseg-studio models calibrate tiny IMAGES`"):
        read_calibrated(SOURCE)


@needs_nncf
def test_a_cancelled_calibration_leaves_nothing(images):
    token = CancelToken()
    with pytest.raises(Cancelled):
        calibrate(SOURCE, RECIPE, images, on_progress=lambda progress: progress.done and token.cancel(), cancel=token)
    assert not calibration_folder(SOURCE).parent.exists()


def test_one_image_cannot_be_calibrated_on_and_measured(images):
    with pytest.raises(ConfigError, match="two images or more"):
        calibrate(SOURCE, RECIPE, images[:1])


def test_without_nncf_the_extra_is_named(images, monkeypatch):
    monkeypatch.setitem(sys.modules, "nncf", None)
    with pytest.raises(ConfigError, match=r"pip install mseg-studio\[int8\]"):
        calibrate(SOURCE, RECIPE, images)


NUMBERS = "format: 1\nimages: 3\ncrops: 6\nheld_out: 1\nagreement: 0.9\n"
OF_ANOTHER_KIND = NUMBERS + "date: '1'\nopenvino: '1'\nnncf: '1'\nxml_sha256: [1]\nbin_sha256: '1'\n"


@pytest.mark.parametrize("content", ["format: 2\n", "[]\n", "format: 1\nimages: 3\n", "{{{\n", OF_ANOTHER_KIND])
def test_a_record_of_another_kind_is_told(content):
    folder = calibration_folder(SOURCE)
    folder.mkdir(parents=True)
    (folder / "record.yaml").write_text(content)
    with pytest.raises(ConfigError, match=r"record.yaml.*calibrate tiny IMAGES"):
        read_record(SOURCE)
