"""Files with one thing wrong anywhere in them: labels, or one line that names the file; nothing else."""

from __future__ import annotations

import copy
import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mseg_studio.errors import DatasetError, ImageReadError
from tests.labels.importers.writers import WRITERS

IDS = np.array([[0, 1, 2, 3, 255], [1, 1, 1, 0, 0], [3, 2, 255, 255, 1]], np.uint8)
JSON_CASES = sorted(case for case in WRITERS if case.startswith(("labelme", "coco", "mapillary")) or "polygons" in case)
JSON_CASES = [case for case in [*JSON_CASES, "ade20k full"] if not case.startswith("cvat")]
TEXT_CASES = ["cvat-mask", "cvat-xml", "cvat-xml polygons"]
PNG_CASES = ["ids", "colours", "cityscapes", "voc", "ade20k", "ade20k full", "mapillary", "coco-panoptic", "cvat-mask"]

ODD = st.sampled_from(
    [
        *(None, True, -1, 0, 1, 2**31, 2**63, 10**400, 0.5, 1e308, 60000, "", "x", "car", "\x00", "\ud800"),
        *([], {}, [[]], [None], [[1, 2], [3]], {"a": 1}, [1, 2, 3], [[0, 0], [1, 0], [1, 1]]),
    ]
)


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value, its own first."""
    found = [at]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        found += places(inner, (*at, key))
    return found


def changed(value: Any, place: tuple[Any, ...], new: Any, *, remove: bool) -> Any:
    if not place:
        return new
    holder = value
    for key in place[:-1]:
        holder = holder[key]
    if remove:
        del holder[place[-1]]
    else:
        holder[place[-1]] = new
    return value


def read(case: str, folder: Path) -> None:
    name, _ = WRITERS[case]
    written = WRITTEN[folder]
    try:
        written.reader(name, unknown="ignore").read(written.label)
    except (DatasetError, ImageReadError) as error:
        assert "\n" not in str(error)
        assert str(folder) in str(error)
        assert len(error.reason) < 500


WRITTEN: dict[Path, Any] = {}


def write(case: str, factory: pytest.TempPathFactory) -> Path:
    folder = factory.mktemp("damaged")
    WRITTEN[folder] = WRITERS[case][1](folder, IDS)
    return folder


@pytest.mark.parametrize("case", JSON_CASES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_value_that_is_odd(case: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    folder = write(case, tmp_path_factory)
    (path,) = folder.glob("*.json")
    value = json.loads(path.read_text())
    for _ in range(data.draw(st.integers(1, 2))):
        value = changed(
            value,
            data.draw(st.sampled_from(places(value))),
            copy.deepcopy(data.draw(ODD)),
            remove=data.draw(st.booleans()),
        )
    path.write_text(json.dumps(value))
    read(case, folder)


@pytest.mark.parametrize("case", [*TEXT_CASES, *JSON_CASES, *PNG_CASES])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 1), length=st.integers(0, 12), new=st.binary(max_size=12))
@example(at=0.5, length=0, new=b"NaN")
@example(at=0.3, length=3, new=b"-1e999")
def test_bytes_that_are_odd(
    case: str, tmp_path_factory: pytest.TempPathFactory, at: float, length: int, new: bytes
) -> None:
    folder = write(case, tmp_path_factory)
    written = WRITTEN[folder]
    path = written.annotations if case not in PNG_CASES or case == "cvat-mask" else written.label
    path = path or written.label
    content = path.read_bytes()
    start = int(at * len(content))
    path.write_bytes(content[:start] + new + content[start + length :])
    read(case, folder)


@pytest.mark.parametrize("case", PNG_CASES)
def test_pictures_that_claim_to_be_huge(case: str, tmp_path: Path) -> None:
    written = WRITERS[case][1](tmp_path, IDS)
    content = bytearray(written.label.read_bytes())
    content[16:24] = struct.pack(">II", 60000, 60000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    written.label.write_bytes(content)
    with pytest.raises(ImageReadError, match="60000 x 60000 pixels are more than"):
        written.reader(WRITERS[case][0]).read(written.label)
