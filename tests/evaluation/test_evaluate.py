from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mseg_studio.datasets.description import DatasetDescription, load_dataset
from mseg_studio.datasets.mapping import own_mapping
from mseg_studio.errors import ConfigError, DatasetError, ImageReadError, TaxonomyError
from mseg_studio.evaluation.evaluate import Evaluation, Predict, evaluate, merge
from mseg_studio.evaluation.metrics import metrics
from mseg_studio.evaluation.protocol import Protocol, choose_protocol
from mseg_studio.evaluation.tables import Report, as_json, as_text
from mseg_studio.labels.label_map import LabelMap
from mseg_studio.media.frame import Frame
from mseg_studio.media.image import read_label_ids, write_ids_png, write_rgb_png
from mseg_studio.progress import Cancelled, CancelToken, Progress
from tests.datasets.factories import OTHER, STREET, UNIVERSAL, fake_catalog, write_dataset


def open_tiny(folder: Path) -> tuple[DatasetDescription, Protocol]:
    dataset = load_dataset(write_dataset(folder), catalog=fake_catalog())
    return dataset, choose_protocol(dataset, UNIVERSAL, catalog=fake_catalog())


def always(class_id: int) -> Predict:
    def predict(frame: Frame, size: tuple[int, int]) -> LabelMap:
        return LabelMap(np.full(size, class_id, np.uint8), STREET)

    return predict


def run(dataset: DatasetDescription, protocol: Protocol, predict: Predict, **options: bool) -> Evaluation:
    events = list(evaluate(dataset, "val", protocol=protocol, predict=predict, **options))
    assert isinstance(events[-1], Evaluation)
    return events[-1]


def test_counts_of_a_constant_prediction(tmp_path: Path) -> None:
    dataset, protocol = open_tiny(tmp_path)
    stored = np.concatenate([read_label_ids(pair.label).ravel() for pair in dataset.pairs("val")])
    result = run(dataset, protocol, always(0))
    assert result.images == 3
    assert result.matrix.truth.tolist() == [(stored == 1).sum(), (stored == 7).sum(), (stored == 0).sum()]
    road = metrics(result.matrix).iou["road"]
    assert road == pytest.approx((stored == 1).sum() / (stored != 9).sum())


def test_progress_comes_after_every_image(tmp_path: Path) -> None:
    dataset, protocol = open_tiny(tmp_path)
    events = list(evaluate(dataset, "val", protocol=protocol, predict=always(0)))
    done = [(e.done, e.total) for e in events if isinstance(e, Progress)]
    assert done == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_predictions_are_made_at_the_label_files_size(tmp_path: Path) -> None:
    dataset, protocol = open_tiny(tmp_path)
    pair = dataset.pairs("val")[0]
    write_ids_png(pair.label, np.zeros((8, 12), np.uint8), None)
    sizes = []

    def predict(frame: Frame, size: tuple[int, int]) -> LabelMap:
        sizes.append(((frame.height, frame.width), size))
        return LabelMap(np.zeros(size, np.uint8), STREET)

    run(dataset, protocol, predict)
    assert sizes == [((4, 6), (8, 12)), ((4, 6), (4, 6)), ((4, 6), (4, 6))]
    write_ids_png(pair.label, np.zeros((8, 9), np.uint8), None)
    with pytest.raises(DatasetError, match=r"0_ids\.png: labels are 9 x 8, the image is 6 x 4: not the same picture"):
        run(dataset, protocol, predict)


@pytest.mark.parametrize("what", ["missing label", "broken image", "broken label", "undeclared id"])
def test_a_broken_file_ends_it_or_is_listed(tmp_path: Path, what: str) -> None:
    dataset, protocol = open_tiny(tmp_path)
    pair = dataset.pairs("val")[1]
    if what == "missing label":
        pair.label.unlink()
    elif what == "broken image":
        pair.image.write_bytes(pair.image.read_bytes()[:30])
    elif what == "broken label":
        pair.label.write_bytes(b"no picture")
    else:
        write_ids_png(pair.label, np.full((4, 6), 77, np.uint8), None)
    wrong = pair.image if what == "broken image" else pair.label
    with pytest.raises((DatasetError, ImageReadError)) as error:
        run(dataset, protocol, always(0))
    assert str(error.value).startswith(f"{wrong}: ")
    result = run(dataset, protocol, always(0), skip_broken=True)
    assert result.images == 2
    assert [problem.path for problem in result.skipped] == [str(wrong)]


def test_nothing_left_is_an_error(tmp_path: Path) -> None:
    dataset, protocol = open_tiny(tmp_path)
    for pair in dataset.pairs("val"):
        pair.image.write_bytes(b"x")
    with pytest.raises(DatasetError, match="no image of split 'val' could be read"):
        run(dataset, protocol, always(0), skip_broken=True)


def test_cancel_and_unknown_split(tmp_path: Path) -> None:
    dataset, protocol = open_tiny(tmp_path)
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        list(evaluate(dataset, "val", protocol=protocol, predict=always(0), cancel=token))
    with pytest.raises(ConfigError, match="has no split 'test'"):
        list(evaluate(dataset, "test", protocol=protocol, predict=always(0)))


def test_shards_merge(tmp_path: Path) -> None:
    dataset, protocol = open_tiny(tmp_path)
    one = run(dataset, protocol, always(0))
    both = merge([one, one])
    assert both.images == 6
    np.testing.assert_array_equal(both.matrix.counts, 2 * one.matrix.counts)
    assert metrics(both.matrix).miou == pytest.approx(metrics(one.matrix).miou)
    with pytest.raises(ValueError, match="no evaluations"):
        merge([])


def test_the_datasets_own_taxonomy_when_exact_links_lead_there(tmp_path: Path) -> None:
    _, protocol = open_tiny(tmp_path)
    assert protocol.taxonomy == STREET
    assert protocol.truth.is_identity
    assert protocol.classes == ("road", "car", "sky")
    assert not protocol.prediction.is_identity


def test_universal_leaves_out_what_the_dataset_lacks(tmp_path: Path) -> None:
    dataset, _ = open_tiny(tmp_path)
    protocol = choose_protocol(dataset, UNIVERSAL, taxonomy="universal", catalog=fake_catalog())
    assert protocol.classes == ("sky", "car", "road")
    truth = protocol.truth_of(own_mapping(dataset).labels(dataset.pairs("val")[0]))
    assert truth.taxonomy == UNIVERSAL
    assert set(np.unique(truth.ids_HW)) <= {0, 2, 3, 255}

    def trucks(frame: Frame, size: tuple[int, int]) -> LabelMap:
        return LabelMap(np.full(size, 1, np.uint8), UNIVERSAL)

    result = metrics(run(dataset, protocol, trucks).matrix, classes=protocol.classes)
    assert result.miou == 0, "a class that the dataset lacks is a miss"
    assert list(result.iou) == ["sky", "car", "road"]


def test_a_model_that_cannot_be_scored(tmp_path: Path) -> None:
    dataset, _ = open_tiny(tmp_path)
    with pytest.raises(TaxonomyError, match="a model in other cannot be scored in universal"):
        choose_protocol(dataset, OTHER, catalog=fake_catalog())
    with pytest.raises(TaxonomyError, match="a model in universal cannot be scored in other"):
        choose_protocol(dataset, UNIVERSAL, taxonomy="other", catalog=fake_catalog())
    with pytest.raises(TaxonomyError, match="unknown taxonomy"):
        choose_protocol(dataset, UNIVERSAL, taxonomy="nonsense", catalog=fake_catalog())
    own = choose_protocol(dataset, STREET, catalog=fake_catalog())
    assert own.prediction.is_identity


def make_report(result: Evaluation, protocol: Protocol, *, absent: str = "zero") -> Report:
    return Report(
        model={"name": "m", "network": "n", "sha256": "s"},
        dataset="tiny",
        split="val",
        taxonomy=protocol.taxonomy.name,
        recipe={"base_size": 360, "crop_px": 320, "scales": [1.0, 1.25], "flip": True, "precision": "float32"},
        recipe_hash="h",
        device="cpu",
        images=result.images,
        metrics=metrics(result.matrix, absent=absent),  # type: ignore[arg-type]
        absent_as=absent,  # type: ignore[arg-type]
        skipped=result.skipped,
    )


def test_the_json_has_the_keys_of_the_contract_and_fractions(tmp_path: Path) -> None:
    dataset, protocol = open_tiny(tmp_path)
    values = json.loads(json.dumps(as_json(make_report(run(dataset, protocol, always(0)), protocol)), allow_nan=False))
    contract = {"model", "dataset", "split", "taxonomy", "recipe", "images", "miou", "macc", "allacc", "iou", "absent"}
    assert contract <= set(values)
    assert 0 < values["miou"] < 1
    assert set(values["iou"]) == {"road", "car", "sky"}
    assert (values["model"], values["images"], values["skipped"]) == ("m", 3, [])


def test_absent_classes_in_both_forms(tmp_path: Path) -> None:
    dataset, protocol = open_tiny(tmp_path)
    for pair in dataset.pairs("val"):
        write_ids_png(pair.label, np.full((4, 6), 1, np.uint8), None)
    result = run(dataset, protocol, always(0))
    skip, zero = make_report(result, protocol, absent="skip"), make_report(result, protocol)
    assert as_json(skip)["iou"] == {"road": pytest.approx(1), "car": None, "sky": None}
    assert as_json(skip)["absent"] == ["car", "sky"]
    assert as_json(skip)["miou"] == pytest.approx(1)
    assert as_json(zero)["iou"]["car"] == 0
    assert as_json(zero)["miou"] == pytest.approx(1 / 3)
    assert "left out" in as_text(skip)
    assert "count as 0" in as_text(zero)


def test_the_table_is_in_percent(tmp_path: Path) -> None:
    dataset, protocol = open_tiny(tmp_path)
    lines = as_text(make_report(run(dataset, protocol, always(0)), protocol)).splitlines()
    assert lines[0] == "m on tiny, val: 3 images, in street"
    assert lines[1] == "short side 360 px, crop 320 px, scales 1, 1.25, flip, float32, cpu"
    assert [line.split()[0] for line in lines[-3:]] == ["mIoU", "mAcc", "allAcc"]
    assert max(len(line) for line in lines) < 100


def test_images_of_any_kind_are_read(tmp_path: Path) -> None:
    dataset, protocol = open_tiny(tmp_path)
    for pair in dataset.pairs("val"):
        write_rgb_png(pair.image, np.zeros((8, 12, 3), np.uint8))
    assert run(dataset, protocol, always(0)).images == 3
