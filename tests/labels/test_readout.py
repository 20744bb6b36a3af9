from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mseg_studio.errors import ConfigError, TaxonomyError
from mseg_studio.labels.label_map import LabelMap
from mseg_studio.labels.readout import MEASURES, PLAIN, Reading, Readout, from_dict
from tests.factories import make_taxonomy

LETTERS = make_taxonomy()


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"only": (-1,)}, "a class to take part is -1, expected an id from 0 to 65534"),
        ({"only": (65535,)}, "a class to take part is 65535, expected"),
        ({"only": (True,)}, "a class to take part is True"),
        ({"only": ("car",)}, "a class to take part is 'car'"),
        ({"min_confidence": 1.01}, "the least confidence is 1.01, expected a number from 0 to 1"),
        ({"min_confidence": -0.1}, "the least confidence is -0.1"),
        ({"min_confidence": float("nan")}, "the least confidence is nan"),
        ({"min_confidence": "0.5"}, "the least confidence is '0.5'"),
        ({"measure": "certainty"}, "unknown measure 'certainty', expected confidence, margin, entropy"),
    ],
)
def test_values_that_mean_nothing_are_told(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Readout(**values)
    assert words in str(caught.value)


def test_one_way_to_write_each_readout() -> None:
    assert Readout((3, 1, 3)) == Readout((1, 3))
    assert hash(Readout((3, 1), 1)) == hash(Readout((1, 3), 1.0))


@given(st.lists(st.integers(0, 65534)), st.floats(0, 1), st.sampled_from([None, *MEASURES]))
def test_a_readout_survives_json(only: list[int], least: float, measure: Any) -> None:
    readout = Readout(tuple(only), least, measure)
    assert from_dict(json.loads(json.dumps(readout.as_dict()))) == readout


@pytest.mark.parametrize("values", [{"onyl": []}, {"only": "car"}, {"only": 3}, {"only": [None]}, {"measure": 1}])
def test_broken_messages_are_told(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        from_dict(values)


def test_facts_are_there_only_where_labels_differ_from_the_plain_ones() -> None:
    assert PLAIN.facts(LETTERS) == Readout(measure="entropy").facts(LETTERS) == {}
    assert Readout((2,), 0.25).facts(LETTERS) == {
        "readout": {"only": [{"id": 2, "name": "class 2"}], "min_confidence": 0.25, "smoothing": 0.0}
    }
    assert PLAIN.facts(LETTERS, smoothing=0.5)["readout"]["smoothing"] == 0.5
    with pytest.raises(TaxonomyError, match="taxonomy 'letters' has no class with id 9"):
        Readout((9,)).facts(LETTERS)


def test_a_reading_checks_what_it_is_given() -> None:
    labels = LabelMap(np.zeros((2, 3), np.uint8), LETTERS)
    assert Reading(labels, np.zeros((2, 3), np.uint16)).certified_share == 1
    for measure in (np.zeros((3, 2), np.uint16), np.zeros((2, 3), np.uint8)):
        with pytest.raises(ValueError, match=r"a measure is uint16 \(2, 3\), got"):
            Reading(labels, measure)
    with pytest.raises(ValueError, match="the certified share is"):
        Reading(labels, None, 1.5)
