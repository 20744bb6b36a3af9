from __future__ import annotations

import dataclasses

import pytest

from mseg_studio.errors import ConfigError
from mseg_studio.inference.recipe import Recipe, from_dict, preset

SIZED = Recipe(base_size=360, crop_px=473, precision="float32")


def test_the_hash_of_a_sliding_window_is_that_of_results_made_before_whole_images_were_possible():
    assert SIZED.hash == "a35398e967d40c35bddb61c3c07c311b12522d0acd196e3aff5d68dea5341cde"
    assert "whole" not in SIZED.as_dict()


def test_a_whole_image_is_another_answer():
    whole = dataclasses.replace(SIZED, whole=True)
    assert whole.hash != SIZED.hash
    assert from_dict(whole.as_dict()) == whole
    assert from_dict(SIZED.as_dict()) == SIZED


def test_live_is_one_pass():
    live = preset("live")
    assert (live.whole, live.flip, live.scales) == (True, False, (1.0,))


def test_whole_is_yes_or_no():
    with pytest.raises(ConfigError, match="whole is 1, expected true or false"):
        from_dict({"whole": 1})


def test_the_engine_is_chosen_by_name_and_changes_no_answer():
    openvino = dataclasses.replace(SIZED, engine="openvino")
    assert openvino.hash == SIZED.hash
    assert from_dict(openvino.as_dict()) == openvino
    with pytest.raises(ConfigError, match="unknown engine 'openvin'; did you mean openvino"):
        from_dict({"engine": "openvin"})


def test_published_numbers_are_float32_unless_a_precision_is_asked_for():
    assert Recipe().for_published_numbers().precision == "float32"
    assert Recipe(precision="half").for_published_numbers().precision == "half"
