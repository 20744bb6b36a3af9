from __future__ import annotations

import numpy as np
import pytest

from mseg_studio.labels.document import Document
from mseg_studio.media.frame import Frame
from tests.labels.factories import make_labels, make_taxonomy

FRAME = Frame(np.zeros((5, 7, 3), np.uint8))


def test_a_late_prediction_is_dropped() -> None:
    document = Document()
    first = document.load(FRAME)
    labels = make_labels(make_taxonomy())
    assert document.set_prediction(labels, {"device": "cpu"}, generation=first)
    assert document.prediction is labels
    assert document.taxonomy == make_taxonomy()
    assert document.sidecar == {"device": "cpu"}
    second = document.load(FRAME)
    assert second != first
    assert document.prediction is None
    assert document.sidecar == {}
    assert not document.set_prediction(labels, {}, generation=first)
    assert document.prediction is None
    document.close()
    assert document.frame is None
    assert not document.set_prediction(labels, {}, generation=second)


def test_listeners_hear_every_change_until_they_leave() -> None:
    document = Document()
    heard: list[str] = []
    leave = document.subscribe(heard.append)
    generation = document.load(FRAME)
    document.set_prediction(make_labels(make_taxonomy()), {}, generation=generation)
    document.set_prediction(make_labels(make_taxonomy()), {}, generation=generation - 1)
    document.close()
    assert heard == ["frame", "prediction", "closed"]
    leave()
    leave()
    document.load(FRAME)
    assert len(heard) == 3


def test_a_listener_may_leave_while_it_is_called() -> None:
    document = Document()
    heard: list[str] = []

    def once(change: str) -> None:
        heard.append(change)
        leave()

    leave = document.subscribe(once)
    document.subscribe(heard.append)
    document.load(FRAME)
    assert heard == ["frame", "frame"]


def test_labels_of_another_size_are_refused() -> None:
    document = Document()
    generation = document.load(FRAME)
    with pytest.raises(ValueError, match="labels are"):
        document.set_prediction(make_labels(make_taxonomy(), 3, 3), {}, generation=generation)
