from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mseg_studio.errors import DatasetError
from mseg_studio.labels import import_json
from mseg_studio.labels.import_json import ByFile, read_json, scan_json, value_of

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(VALUES, max_size=5), st.dictionaries(st.text(max_size=4), VALUES, max_size=4), st.sampled_from([None, 1])
)
def test_scanning_gives_what_parsing_gives(
    tmp_path_factory: pytest.TempPathFactory, items: list[Any], rest: dict[str, Any], indent: int | None
) -> None:
    path = tmp_path_factory.getbasetemp() / "scanned.json"
    rest.pop("items", None)
    path.write_text(json.dumps({"items": items, **rest}, indent=indent))
    taken: list[Any] = []
    assert scan_json(path, {"items": taken.append}) == rest
    assert taken == items


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "the file is empty"),
        ("[]", r"expected \{"),
        ('{"items": [1, 2', "not JSON"),
        ('{"items": [1 2]}', "not JSON: expected , or ]"),
        ('{"items": {}}', r"not JSON: expected \["),
        ('{"a" 1}', "not JSON: expected :"),
        ('{"a": 1 "b"', "not JSON: expected , or }"),
        ("{3: 1}", "a key of the object is no text"),
        ('{"items": [NaN]}', "NaN is no number"),
        ('{"a": Infinity}', "Infinity is no number"),
        ('{"items": [' + "[" * 100_000, "nested too deep"),
        ('{"a":' * 100_000, "nested too deep"),
    ],
)
def test_broken_files_are_one_line(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(DatasetError, match=rf"a\.json: .*{reason}") as caught:
        scan_json(path, {"items": lambda item: None})
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_object_or_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.json"
    path.write_text("[1, 2]")
    with pytest.raises(DatasetError, match="expected a JSON object, got a list"):
        read_json(path)
    monkeypatch.setattr(import_json, "MAX_BYTES", 3)
    with pytest.raises(DatasetError, match="6 bytes are more than the 3"):
        read_json(path)
    path.write_bytes(b"\xff")
    with pytest.raises(DatasetError, match="byte 0 is not UTF-8"):
        read_json(path)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({}, "x: 'n' is nothing, expected a whole number"),
        ({"n": True}, "x: 'n' is True, expected a whole number"),
        ({"n": 1.0}, "x: 'n' is 1.0"),
        ({"n": "1" * 500}, "x: 'n' is text '11111"),
        ([], "x: expected an object, got a list"),
        (None, "x: expected an object, got None"),
    ],
)
def test_values_are_of_their_kind(item: object, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        value_of(item, "n", int, "x", Path("a.json"))


def test_files_are_found_by_the_most_of_their_path(tmp_path: Path) -> None:
    index: ByFile[int] = ByFile()
    index.put("a.png", 1, tmp_path)
    index.put("train\\a.png", 2, tmp_path)
    index.put("./val//b.png", 3, tmp_path)
    assert index.of(Path("/data/train/a.png"), tmp_path) == 2
    assert index.of(Path("/data/other/a.png"), tmp_path) == 1
    assert index.of(Path("val/b.png"), tmp_path) == 3
    with pytest.raises(DatasetError, match=r"'b\.png' is not listed in"):
        index.of(Path("train/b.png"), tmp_path)
    with pytest.raises(DatasetError, match="listed twice"):
        index.put("train/a.png", 4, tmp_path)
