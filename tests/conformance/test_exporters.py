"""What every exporter must do, over whatever is discovered."""

from __future__ import annotations

import dataclasses
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from mseg_studio.errors import ExportError, ImageReadError
from mseg_studio.labels.export import Exporter, ExportRequest, exporter, exporters, measures_of, write_outputs
from mseg_studio.labels.label_map import LabelMap
from mseg_studio.labels.output_layout import OutputPaths
from mseg_studio.labels.readout import MEASURES, Measure
from mseg_studio.labels.score_map import ScoreMap
from mseg_studio.labels.score_store import ScoreStore
from mseg_studio.labels.sidecar import ModelStamp, Sidecar, SourceStamp, read_sidecar
from mseg_studio.media.frame import Frame, FrameRef
from mseg_studio.media.image import read_image, read_label_ids
from mseg_studio.storage import is_leftover
from mseg_studio.taxonomy.model import ClassInfo, Taxonomy

STREET = Taxonomy(
    "street",
    (ClassInfo(0, "road", (128, 64, 128)), ClassInfo(1, "car", (0, 0, 142)), ClassInfo(4, "sky", (70, 130, 180))),
)
WIDE = Taxonomy("wide", (ClassInfo(0, "road", (1, 2, 3)), ClassInfo(300, "car", (4, 5, 6))), ignore_id=65535)
EVERY = sorted(exporters())
IDS = sorted(name for name, one in exporters().items() if one.read is not None)


def make_request(taxonomy: Taxonomy = STREET, height: int = 37, width: int = 53) -> ExportRequest:
    rng = np.random.default_rng(3)
    choices = [info.id for info in taxonomy.classes] + [taxonomy.ignore_id]
    labels = LabelMap(rng.choice(choices, (height, width)).astype(taxonomy.id_dtype), taxonomy)
    measures = {measure: rng.integers(0, 65536, (height, width), np.uint16) for measure in MEASURES}
    return ExportRequest(labels, Frame(rng.integers(0, 256, (height, width, 3), np.uint8)), measures=measures)


def make_sidecar() -> Sidecar:
    return Sidecar(
        source=SourceStamp("a.jpg", 1, 2.0),
        width=53,
        height=37,
        taxonomy="street",
        ignore_id=255,
        classes=(),
        model=ModelStamp("m", "n", "s"),
        recipe={},
        recipe_hash="r",
        engine="torch",
        precision="float32",
        device="cpu",
        certified_share=1.0,
        mapping="projected",
    )


def test_the_expected_ones_are_found() -> None:
    assert {"ids", "colour", "overlay", "cityscapes-ids", "classes", *MEASURES} <= set(EVERY)
    assert {"ids", "cityscapes-ids"} <= set(IDS)


def test_names_and_suffixes_are_distinct() -> None:
    suffixes = [one.suffix for one in exporters().values()]
    assert len(suffixes) == len(set(suffixes))
    assert all(isinstance(one, Exporter) and one.name == name and one.label for name, one in exporters().items())


@pytest.mark.parametrize("name", EVERY)
def test_writes_one_file_and_replaces_it(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{exporter(name).suffix}"
    path.write_bytes(b"old")
    exporter(name).write(path, make_request())
    assert list(tmp_path.iterdir()) == [path]
    assert path.read_bytes() != b"old"


@pytest.mark.parametrize("size", [(37, 53), (1, 1), (1, 200), (300, 1)])
@pytest.mark.parametrize("name", IDS)
def test_ids_read_back_equal(name: str, size: tuple[int, int], tmp_path: Path) -> None:
    one, request = exporter(name), make_request(STREET, *size)
    assert one.read is not None
    path = tmp_path / f"a{one.suffix}"
    one.write(path, request)
    back = one.read(path, STREET)
    np.testing.assert_array_equal(back.ids_HW, request.labels.ids_HW)
    assert back.ids_HW.dtype == request.labels.ids_HW.dtype


@pytest.mark.parametrize("name", IDS)
def test_wide_ids_read_back_equal(name: str, tmp_path: Path) -> None:
    one, request = exporter(name), make_request(WIDE)
    assert one.read is not None
    one.write(tmp_path / "a.png", request)
    back = one.read(tmp_path / "a.png", WIDE)
    np.testing.assert_array_equal(back.ids_HW, request.labels.ids_HW)
    assert back.ids_HW.dtype == np.uint16


@pytest.mark.parametrize("name", IDS)
def test_foreign_ids_are_refused_by_file(name: str, tmp_path: Path) -> None:
    one, path = exporter(name), tmp_path / "a.png"
    assert one.read is not None
    exporter("ids").write(path, ExportRequest(LabelMap(np.full((2, 2), 9, np.uint8), make_nine())))
    with pytest.raises(ImageReadError, match=r"a\.png: .*9"):
        one.read(path, STREET)


def make_nine() -> Taxonomy:
    return Taxonomy("nine", (ClassInfo(9, "nine", (9, 9, 9)),))


@pytest.mark.parametrize("name", EVERY)
def test_an_unwritable_place_is_one_line(name: str, tmp_path: Path) -> None:
    paths = OutputPaths(tmp_path / "file" / "a")
    (tmp_path / "file").write_bytes(b"in the way")
    with pytest.raises(ExportError) as error:
        write_outputs(paths, [name], make_request(), make_sidecar())
    assert str(tmp_path / "file") in str(error.value)
    assert "\n" not in str(error.value)
    assert (tmp_path / "file").read_bytes() == b"in the way"


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(name: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ExportError, match="permission denied"):
        write_outputs(OutputPaths(tmp_path / "a"), [name], make_request(), make_sidecar())
    assert list(tmp_path.iterdir()) == []


_FULL_DISK = """
import resource, sys
from pathlib import Path
from mseg_studio.errors import ExportError
from mseg_studio.labels.export import exporters, write_outputs
from mseg_studio.labels.output_layout import OutputPaths
from tests.conformance.test_exporters import make_request, make_sidecar
resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))
folder, request, sidecar = Path(sys.argv[1]), make_request(), make_sidecar()
for name, one in sorted(exporters().items()):
    try:
        write_outputs(OutputPaths(folder / "a"), [name], request, sidecar)
    except ExportError as error:
        print(name, error)
    print("left", name, sorted(p.name for p in folder.iterdir()))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
def test_a_full_disk_keeps_the_old_file_and_says_so(tmp_path: Path) -> None:
    for one in exporters().values():
        (tmp_path / f"a{one.suffix}").write_bytes(b"old")
    there = sorted(path.name for path in tmp_path.iterdir())
    done = subprocess.run([sys.executable, "-c", _FULL_DISK, tmp_path], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    for name in EVERY:
        path = tmp_path / f"a{exporter(name).suffix}"
        assert f"{name} {path}: cannot be written: file too large" in lines
        assert f"left {name} {there}" in lines
        assert path.read_bytes() == b"old"


_ENDLESS = """
import sys
from pathlib import Path
from mseg_studio.labels.export import exporters, write_outputs
from mseg_studio.labels.output_layout import OutputPaths
from tests.conformance.test_exporters import make_request, make_sidecar
request, sidecar, names = make_request(), make_sidecar(), sorted(exporters())
print("ready", flush=True)
while True:
    write_outputs(OutputPaths(Path(sys.argv[1]) / "a"), names, request, sidecar)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_killed_process_leaves_old_or_new_and_no_sidecar_that_lies(tmp_path: Path) -> None:
    reference = tmp_path / "reference"
    request = make_request()
    write_outputs(OutputPaths(reference / "a"), EVERY, request, make_sidecar())
    expected = {path.name: path.read_bytes() for path in reference.iterdir()}
    folder = tmp_path / "out"
    folder.mkdir()
    moments = random.Random(4)
    for _ in range(4):
        child = subprocess.Popen([sys.executable, "-c", _ENDLESS, folder], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(moments.uniform(0, 0.1))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        found = {path.name: path.read_bytes() for path in folder.iterdir() if not is_leftover(path)}
        assert found.items() <= expected.items()
        if "a.json" in found:
            assert found == expected


def test_outputs_and_sidecar_together(tmp_path: Path) -> None:
    paths = OutputPaths(tmp_path / "deep" / "er" / "a.b")
    written = write_outputs(paths, ["ids", "overlay"], make_request(), make_sidecar())
    assert [path.name for path in written] == ["a.b.png", "a.b_overlay.png", "a.b.json"]
    assert read_sidecar(paths.sidecar).outputs == ("ids", "overlay")
    write_outputs(paths, ["colour"], make_request(), make_sidecar())
    assert set(read_sidecar(paths.sidecar).outputs) == {"ids", "overlay", "colour"}, "still of the same recipe"


def test_what_cannot_be_written_is_said_before_anything_is_touched(tmp_path: Path) -> None:
    paths = OutputPaths(tmp_path / "a")
    nine = ExportRequest(LabelMap(np.full((1, 1), 9, np.uint8), make_nine()))
    for names, message in ((["ids", "cityscapes-ids"], "no class 'nine'"), (["ids", "overlay"], "needs the image")):
        with pytest.raises(ExportError, match=message):
            write_outputs(paths, names, nine, make_sidecar())
        assert list(tmp_path.iterdir()) == []
    assert all(not one.problem(make_request()) for one in exporters().values())


def test_an_image_is_never_replaced_by_its_labels(tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    image.write_bytes(b"the only copy")
    by_name = dataclasses.replace(make_sidecar(), source=SourceStamp(str(image)))
    with pytest.raises(ExportError, match="would replace the image"):
        write_outputs(OutputPaths(tmp_path / "a"), ["ids"], make_request(), by_name)
    by_frame = make_request()
    by_frame = dataclasses.replace(by_frame, frame=Frame(np.zeros((37, 53, 3), np.uint8), FrameRef(image)))
    with pytest.raises(ExportError, match="would replace the image"):
        write_outputs(OutputPaths(tmp_path / "a"), ["ids"], by_frame, make_sidecar())
    assert image.read_bytes() == b"the only copy"
    assert list(tmp_path.iterdir()) == [image]


def test_scores_go_with_the_others(tmp_path: Path) -> None:
    scores = ScoreMap.from_dense(
        np.full((5, 37, 53), [[[0.5]], [[0.3]], [[0]], [[0]], [[0.2]]], np.float32), taxonomy=STREET
    )
    paths = OutputPaths(tmp_path / "a")
    written = write_outputs(paths, ["ids", "scores"], make_request(), make_sidecar(), scores=scores)
    assert [path.name for path in written] == ["a.png", "a.h5", "a.json"]
    assert read_sidecar(paths.sidecar).outputs == ("ids", "scores")
    with ScoreStore(paths.scores) as store:
        assert store.attributes["source"] == "a.jpg"
        assert store.frame(0).k == 3
    with pytest.raises(ValueError, match="come together"):
        write_outputs(paths, ["ids", "scores"], make_request(), make_sidecar())


def test_unknown_outputs_offer_names() -> None:
    with pytest.raises(ExportError, match="did you mean overlay"):
        exporter("overlai")


def test_an_overlay_needs_its_image(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="needs the image"):
        exporter("overlay").write(tmp_path / "a.png", ExportRequest(make_request().labels))


@pytest.mark.parametrize("measure", MEASURES)
def test_a_measure_is_a_16_bit_picture_of_it(measure: Measure, tmp_path: Path) -> None:
    one, request = exporter(measure), make_request()
    assert measures_of(["ids", measure, "scores", measure]) == (measure,)
    one.write(tmp_path / f"a{one.suffix}", request)
    np.testing.assert_array_equal(read_label_ids(tmp_path / f"a_{measure}.png"), request.measures[measure])
    unmeasured = ExportRequest(request.labels, request.frame)
    assert one.problem(unmeasured) == f"the {measure} of these labels was not measured"
    with pytest.raises(ExportError, match="was not measured"):
        one.write(tmp_path / "b.png", unmeasured)


def test_cityscapes_ids_are_the_published_ones(tmp_path: Path) -> None:
    labels = LabelMap(np.array([[0, 1, 4, 255]], np.uint8), STREET)
    exporter("cityscapes-ids").write(tmp_path / "a.png", ExportRequest(labels))
    assert read_image(tmp_path / "a.png").pixels_HW3[0, :, 0].tolist() == [7, 26, 23, 0]
    with pytest.raises(ExportError, match="no class 'nine' of nine; choose the output cityscapes-19"):
        exporter("cityscapes-ids").write(
            tmp_path / "b.png", ExportRequest(LabelMap(np.full((1, 1), 9, np.uint8), make_nine()))
        )


def test_cityscapes_ids_are_read_in_its_classes_only(tmp_path: Path) -> None:
    one = exporter("cityscapes-ids")
    assert one.read is not None
    one.write(tmp_path / "a.png", make_request())
    with pytest.raises(ImageReadError, match=r"a\.png: Cityscapes labelIds have no class 'nine' of nine"):
        one.read(tmp_path / "a.png", make_nine())


def test_colours_are_those_of_the_classes(tmp_path: Path) -> None:
    labels = LabelMap(np.array([[0, 1, 4, 255]], np.uint8), STREET)
    for name in ("ids", "colour"):
        exporter(name).write(tmp_path / "a.png", ExportRequest(labels))
        pixels = read_image(tmp_path / "a.png").pixels_HW3[0]
        assert pixels.tolist() == [[128, 64, 128], [0, 0, 142], [70, 130, 180], [0, 0, 0]]


def test_the_table_of_classes(tmp_path: Path) -> None:
    labels = LabelMap(np.array([[0, 4, 4, 255]], np.uint8), STREET)
    exporter("classes").write(tmp_path / "a.csv", ExportRequest(labels))
    assert (tmp_path / "a.csv").read_text().splitlines() == [
        "id,name,red,green,blue,pixels,share",
        "4,sky,70,130,180,2,0.500000",
        "0,road,128,64,128,1,0.250000",
        "255,,,,,1,0.250000",
    ]
