"""The model card: strict, one line an error, and equal after writing and reading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mseg_studio.errors import ConfigError
from mseg_studio.networks.card import (
    NOT_YET_HASHED,
    Metric,
    ModelCard,
    card_from_dict,
    check_model_name,
    read_card,
    write_card,
)

CARD = ModelCard(
    name="street",
    network="hrnet-w18-small",
    num_classes=194,
    taxonomy="universal",
    crop_px=321,
    base_size=360,
    weights_sha256="ab" * 32,
    source_sha256="1" * 64,
    trained_classes=("road", "sky"),
    metrics=(Metric("camvid", "val", "balanced", 0.62, {"road": 0.95, "sky": 1.0}),),
    command="train --lr 0.01",
    date="2026-11-22",
    note="Knows streets: ü, 路",
)
# Control characters and line separators are no part of any text here, and YAML turns some into blanks.
_TEXT = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")), max_size=30)
_FRACTION = st.floats(0, 1)
_METRICS = st.builds(Metric, _TEXT, _TEXT, _TEXT, _FRACTION, st.dictionaries(_TEXT, _FRACTION, max_size=3))


@settings(max_examples=40, deadline=None)
@given(
    data=_TEXT,
    note=_TEXT,
    classes=st.lists(_TEXT, max_size=4).map(tuple),
    metrics=st.lists(_METRICS, max_size=2).map(tuple),
    num_classes=st.integers(1, 65535),
)
def test_round_trip_in_memory(
    data: str, note: str, classes: tuple[str, ...], metrics: tuple[Metric, ...], num_classes: int
) -> None:
    card = ModelCard(
        "x",
        "n",
        num_classes,
        "t",
        473,
        480,
        NOT_YET_HASHED,
        data=data,
        note=note,
        trained_classes=classes,
        metrics=metrics,
    )
    assert card_from_dict(yaml.safe_load(yaml.safe_dump(card.as_dict(), allow_unicode=True))) == card


def test_round_trip_on_disk_keeps_the_order_of_the_contract(tmp_path: Path) -> None:
    path = tmp_path / "card.yaml"
    write_card(path, CARD)
    assert read_card(path) == CARD
    assert list(yaml.safe_load(path.read_text(encoding="utf-8")))[:6] == [
        "format",
        "name",
        "network",
        "num_classes",
        "taxonomy",
        "crop_px",
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crop": 473}, "unknown key 'crop'; did you mean crop_px"),
        ({"format": 2}, "newer MSeg Studio (format 2"),
        ({"format": "1"}, "format is '1', expected 1"),
        ({"format": None}, "format is None"),
        ({"name": "../evil"}, "cannot be the name of a model"),
        ({"weights": "../../etc/x.safetensors"}, "weights is '../../etc/x.safetensors'"),
        ({"weights": "weights.pth"}, "expected a .safetensors file"),
        ({"num_classes": 0}, "num_classes is 0, expected a whole number from 1 to 65535"),
        ({"num_classes": True}, "num_classes is True"),
        ({"num_classes": 19.5}, "num_classes is 19.5"),
        ({"crop_px": "473"}, "crop_px is '473'"),
        ({"base_size": 10**9}, "base_size is 1000000000"),
        ({"taxonomy": ["universal"]}, "taxonomy is a list, expected a text"),
        ({"network": ""}, "network is empty"),
        ({"weights_sha256": "abc"}, "weights_sha256 is 'abc', expected 64"),
        ({"source_sha256": "z" * 64}, "source_sha256 is"),
        ({"trained_classes": "road"}, "must be lists"),
        ({"trained_classes": [1]}, "list of class names"),
        ({"metrics": [1]}, "metrics must be a list"),
        ({"metrics": [{"dataset": "d", "split": "s", "recipe": "r"}]}, "metrics: miou is missing"),
        ({"metrics": [{"dataset": "d", "split": "s", "recipe": "r", "mIoU": 1}]}, "unknown key 'mIoU'"),
        (
            {"metrics": [{"dataset": "d", "split": "s", "recipe": "r", "miou": 62.0}]},
            "miou is 62.0, expected a fraction",
        ),
        (
            {"metrics": [{"dataset": "d", "split": "s", "recipe": "r", "miou": 0.5, "iou": {"a": float("nan")}}]},
            "is nan",
        ),
        ({"metrics": [{"dataset": "d", "split": "s", "recipe": "r", "miou": 0.5, "iou": [1]}]}, "iou must hold"),
    ],
)
def test_a_wrong_value_is_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    path = tmp_path / "card.yaml"
    path.write_text(yaml.safe_dump(CARD.as_dict() | change), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_card(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["name", "network", "num_classes", "taxonomy", "crop_px", "weights_sha256"])
def test_a_missing_key_is_named(key: str) -> None:
    values = CARD.as_dict()
    del values[key]
    with pytest.raises(ConfigError, match=f"{key} is missing"):
        card_from_dict(values)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "expected `key: value` lines"),
        (b"- a\n- b\n", "expected `key: value` lines"),
        (b"\xff\xfe\x00", "not YAML: byte 0 is not UTF-8"),
        (b"a: [1, 2", "not YAML: line"),
        (b"a: !!python/object/apply:os.system [ls]\n", "not YAML: line 1: the tag"),
        (b"a: &x [1]\nb: *x\n", "aliases are not allowed"),
        (b"[1, 2]: 3\nformat: 1\n", "unknown key '(1, 2)'"),
        (b"name: a\nname: b\n", "'name' is given twice"),
        (b"a: 2026-13-45\nformat: 1\n", "unknown key 'a'"),
        (b"[" * 100_000, "more than 8 levels of nesting"),
        (b"- " * 5_000, "more than 8 levels of nesting"),
        (b"#" * (1 << 21), "larger than 128 KiB"),
    ],
)
def test_what_is_no_card_is_one_line(tmp_path: Path, text: bytes, message: str) -> None:
    path = tmp_path / "card.yaml"
    path.write_bytes(text)
    with pytest.raises(ConfigError) as caught:
        read_card(path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 600


def test_an_unquoted_day_is_a_day(tmp_path: Path) -> None:
    path = tmp_path / "card.yaml"
    path.write_text(yaml.safe_dump(CARD.as_dict()).replace("'2026-11-22'", "2026-11-22"), encoding="utf-8")
    assert read_card(path).date == "2026-11-22"


@pytest.mark.parametrize("name", ["a", "mseg-3m-480p", "Street_2.1", "9"])
def test_names_that_are_allowed(name: str) -> None:
    check_model_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "a/b",
        "a\\b",
        "-x",
        ".hidden",
        "a b",
        "ü",
        "con",
        "NUL.x",
        "com1",
        "a.",
        "x" * 65,
        "a\n",
        "~",
        "a:b",
    ],
)
def test_names_that_are_not(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be the name") as caught:
        check_model_name(name)
    assert "\n" not in str(caught.value)
