from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mseg_studio.datasets.description import load_dataset
from mseg_studio.datasets.doctor_numbers import NumberRules

RULES = {
    name: NumberRules.of(load_dataset(name))
    for name in ("ade20k", "camvid-480x360", "cityscapes", "cityscapes-train-ids", "pascal-context", "voc2012", "bdd")
}


def diagnose(dataset: str, numbers: list[int]) -> tuple[str, str] | None:
    found = RULES[dataset].diagnose(np.bincount(numbers, minlength=256))
    return None if found is None else (found.code, found.message)


@pytest.mark.parametrize(
    ("dataset", "numbers", "code", "words"),
    [
        ("camvid-480x360", [0, 3, 11], None, ""),
        ("camvid-480x360", [0, 255], "0-255-mask", "mask of one object, expected ids of classes"),
        ("camvid-480x360", [255], "0-255-mask", "mask"),
        ("camvid-480x360", [1, 4, 12], "off-by-one", "1 to 12, expected 0 to 11: shifted by one"),
        ("camvid-480x360", [0, 4, 12], "undeclared-id", "id 12 (1 pixel) is not declared in camvid-480x360.yaml"),
        ("camvid-480x360", [0, 12, 13, 13, 14], "undeclared-id", "nor are 2 more; expected 0 to 11"),
        ("camvid-480x360", [0, 257, 11 * 257], "16-bit", "8-bit ids stretched to 16 bits"),
        ("camvid-480x360", [0, 3001, 3002, 5], "instance-ids", "3001 and the like: instance ids"),
        ("camvid-480x360", [0, 300], "16-bit", "16-bit numbers up to 300, expected 0 to 11"),
        ("camvid-480x360", [0, 20, 40, 220], "scaled-ids", "multiples of 20"),
        ("camvid-480x360", list(range(256)), "grey-picture", "244 undeclared numbers: a picture in grey"),
        ("cityscapes", [0, 7, 26], None, ""),
        ("cityscapes", [0, 13, 18, 255], "train-ids", "0 to 18 and 255 only: train ids, expected label ids"),
        ("cityscapes", [0, 13, 23, 255], None, ""),
        ("cityscapes-train-ids", [0, 13, 255], None, ""),
        ("cityscapes-train-ids", [7, 23, 26], "label-ids", "23, 26: label ids (0 to 33), expected train ids"),
        ("bdd", [7, 23, 26], "label-ids", "expected train ids (0 to 18)"),
        ("voc2012", [0, 15, 255], None, ""),
        ("voc2012", [0, 255], "only-0-and-255", "a mask of one object? expected 0 to 20, 255"),
        ("voc2012", [3, 14, 254], "off-by-one", "254 where 255 (ignored) was expected"),
        ("voc2012", [1, 16, 21], "off-by-one", "1 to 21, expected 0 to 20"),
        ("ade20k", [0, 150], None, ""),
        ("ade20k", [1, 151], "off-by-one", "1 to 151"),
        ("pascal-context", [0, 459, 65535], None, ""),
        ("pascal-context", [0, 460], "16-bit", "16-bit numbers up to 460, expected 0 to 459, 65535"),
    ],
)
def test_the_usual_mistakes_are_told_apart(dataset: str, numbers: list[int], code: str | None, words: str) -> None:
    found = diagnose(dataset, numbers)
    if code is None:
        assert found is None
    else:
        assert found is not None and found[0] == code and words in found[1]


@given(st.lists(st.integers(0, 65535), min_size=1, max_size=40))
def test_a_file_is_wrong_exactly_when_a_number_is_undeclared(numbers: list[int]) -> None:
    rules = RULES["camvid-480x360"]
    found = diagnose("camvid-480x360", numbers)
    assert (found is not None) == any(number not in rules.declared for number in numbers)
    assert found is None or "\n" not in found[1]
