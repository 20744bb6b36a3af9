from __future__ import annotations

import pytest

from mseg_studio.inference.cost import count, tiling_of
from mseg_studio.inference.recipe import PAPER_SCALES, Recipe
from mseg_studio.inference.tiling import Tiling
from tests.goldens.weights import TINY


@pytest.mark.parametrize(
    ("base_size", "crop_px", "scales", "crops"),
    [
        (360, 713, PAPER_SCALES, 9),
        (720, 713, PAPER_SCALES, 38),
        (1080, 713, PAPER_SCALES, 77),
        (360, 713, (1.0,), 1),
        (360, 473, (1.0,), 2),
        (360, 473, PAPER_SCALES, 22),
        (1080, 713, (1.0,), 8),
    ],
)
def test_crops_of_a_full_hd_image(base_size, crop_px, scales, crops):
    recipe = Recipe(base_size=base_size, crop_px=crop_px, scales=scales)
    assert count(recipe, 1080, 1920).crops == crops
    assert count(recipe, 1080, 1920).passes == 2 * crops


def test_a_whole_image_is_one_pass_a_scale():
    recipe = Recipe(base_size=360, crop_px=473, flip=False, whole=True, scales=(0.5, 1.0))
    work = count(recipe, 1080, 1920)
    assert (work.crops, work.passes) == (2, 2)
    assert work.megapixels == pytest.approx((180 * 320 + 360 * 640) / 1e6)
    tiling = tiling_of(recipe, (360, 640), TINY)
    assert (tiling.count, tiling.crop_height_px, tiling.crop_width_px) == (1, 361, 641)
    assert tiling_of(Recipe(base_size=360, crop_px=473), (360, 640), TINY) == Tiling(360, 640, 473)


def test_an_open_recipe_has_no_cost():
    with pytest.raises(ValueError, match="resolved"):
        count(Recipe(), 10, 10)
