from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from mseg_studio.errors import ExportError, ImageReadError
from mseg_studio.labels.score_store import ScoreStore, ScoreStoreWriter
from mseg_studio.storage import is_leftover
from tests.labels.factories import make_score_map, make_taxonomy

ATTRIBUTES = {"source": "clip.mp4", "model": {"name": "m", "network": "n", "sha256": "s"}, "certified_share": 0.5}


def write_store(path: Path, *, frames: int = 3, height: int = 70, width: int = 90) -> None:
    with ScoreStoreWriter(path, ATTRIBUTES) as writer:
        for number in range(frames):
            writer.append(make_score_map(make_taxonomy(), height, width, seed=number), number / 25)


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "clip.h5"
    write_store(path)
    with ScoreStore(path) as store:
        assert len(store) == 3
        assert store.indices == (0, 1, 2)
        assert store.timestamps_s == (0.0, 0.04, 0.08)
        assert store.taxonomy == make_taxonomy()
        for number, scores in enumerate(store):
            expected = make_score_map(make_taxonomy(), 70, 90, seed=number)
            np.testing.assert_array_equal(scores.class_ids_HWk, expected.class_ids_HWk)
            np.testing.assert_array_equal(scores.probabilities_HWk, expected.probabilities_HWk)
            np.testing.assert_array_equal(scores.residual_HW, expected.residual_HW)
            assert (scores.recipe_hash, scores.model_sha256) == (expected.recipe_hash, expected.model_sha256)
        assert store.attributes["model"] == ATTRIBUTES["model"]
        assert store.attributes["certified_share"] == 0.5
        assert store.attributes["classes"][1]["name"] == "class 1"
        top = sum(int((scores.class_ids_HWk[..., 0] == 1).sum()) for scores in store)
        assert store.attributes["classes"][1]["pixels"] == top


def test_the_file_is_what_the_contract_says(tmp_path: Path) -> None:
    path = tmp_path / "photo.h5"
    write_store(path, frames=1)
    with h5py.File(path) as file:
        assert file.attrs["format"] == 1
        frame = file["frames/000000"]
        assert frame["class_ids"].shape == (70, 90, 3)
        assert frame["class_ids"].dtype == np.uint8
        assert frame["class_ids"].chunks == (64, 64, 3)
        assert frame["class_ids"].compression == "gzip"
        assert frame["class_ids"].compression_opts == 4
        assert frame["class_ids"].shuffle
        assert frame["probabilities"].dtype == np.float16
        assert frame["residual"].shape == (70, 90)
        assert file.attrs["timestamps_s"].tolist() == [0.0]


def test_ids_above_255_and_a_single_pixel(tmp_path: Path) -> None:
    taxonomy = make_taxonomy("wide", [0, 300])
    with ScoreStoreWriter(tmp_path / "a.h5", {}) as writer:
        writer.append(make_score_map(taxonomy, 1, 1))
    with ScoreStore(tmp_path / "a.h5") as store:
        assert store.frame(0).class_ids_HWk.dtype == np.uint16
        assert store.frame(0).class_ids_HWk.shape == (1, 1, 2)


def test_timestamps_of_a_long_video_fit(tmp_path: Path) -> None:
    scores = make_score_map(make_taxonomy(), 1, 1)
    with ScoreStoreWriter(tmp_path / "long.h5", {}) as writer:
        writer.append(scores)
        # 20,000 frames would take minutes; what matters is the attribute, which is above HDF5's old limit of 64 KiB.
        writer._timestamps_s = list(np.arange(20_000) / 25)
    with h5py.File(tmp_path / "long.h5") as file:
        assert len(file.attrs["timestamps_s"]) == 20_000


def test_frames_of_a_part_of_a_video_keep_their_index(tmp_path: Path) -> None:
    with ScoreStoreWriter(tmp_path / "a.h5", {}) as writer:
        writer.append(make_score_map(make_taxonomy(), seed=1), 1.0, index=40)
        writer.append(make_score_map(make_taxonomy(), seed=2), 2.0, index=50)
        with pytest.raises(ValueError, match="frame 50"):
            writer.append(make_score_map(make_taxonomy()), index=50)
        with pytest.raises(ValueError, match="one taxonomy"):
            writer.append(make_score_map(make_taxonomy("other")))
    with ScoreStore(tmp_path / "a.h5") as store:
        assert store.indices == (40, 50)
        with pytest.raises(ImageReadError, match="no frames/000041"):
            store.frame(41)


def test_attributes_known_at_the_end(tmp_path: Path) -> None:
    with ScoreStoreWriter(tmp_path / "a.h5", {"certified_share": None}) as writer:
        writer.append(make_score_map(make_taxonomy()))
        writer.update({"certified_share": 0.25})
    with ScoreStore(tmp_path / "a.h5") as store:
        assert store.attributes["certified_share"] == 0.25


def test_an_error_in_between_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(b"old")
    with pytest.raises(KeyError), ScoreStoreWriter(path, {}) as writer:
        writer.append(make_score_map(make_taxonomy()))
        raise KeyError("the network failed")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_empty_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="at least one frame"), ScoreStoreWriter(tmp_path / "a.h5", {}):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="no such file"), ScoreStoreWriter(tmp_path / "no" / "a.h5", {}):
        pass


def test_a_folder_that_vanishes(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    with pytest.raises(ExportError, match=r"a\.h5"), ScoreStoreWriter(folder / "a.h5", {}) as writer:
        writer.append(make_score_map(make_taxonomy()))
        shutil.rmtree(folder)


_FULL_DISK = """
import resource, sys
from pathlib import Path
from mseg_studio.errors import ExportError
from mseg_studio.labels.score_store import ScoreStoreWriter
from tests.labels.factories import make_score_map, make_taxonomy
path, scores = Path(sys.argv[1]), make_score_map(make_taxonomy(), 70, 90)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
for limit in sys.argv[2:]:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), hard))
    try:
        with ScoreStoreWriter(path, {"note": "x" * 3000}) as writer:
            for _ in range(4):
                writer.append(scores)
    except ExportError as error:
        print(limit, error, list(path.parent.iterdir()))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_FSIZE")
def test_a_full_disk_at_any_point_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write_store(tmp_path / "whole.h5", frames=4)
    whole = (tmp_path / "whole.h5").stat().st_size
    (tmp_path / "whole.h5").unlink()
    limits = [str(limit) for limit in (0, 1, 100, 2048, *range(5000, whole, whole // 8))]
    # One process for all: HDF5 has every one of these files to trip over when it exits.
    done = subprocess.run([sys.executable, "-c", _FULL_DISK, path, *limits], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"{limit} {path}: cannot be written: file too large []" for limit in limits]


_ENDLESS = """
import sys
from pathlib import Path
from mseg_studio.labels.score_store import ScoreStoreWriter
from tests.labels.factories import make_score_map, make_taxonomy
scores = make_score_map(make_taxonomy(), 70, 90)
print("ready", flush=True)
while True:
    with ScoreStoreWriter(Path(sys.argv[1]), {}) as writer:
        for _ in range(3):
            writer.append(scores)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_killed_writer_leaves_no_half_file(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    whole = 0
    moments = random.Random(1)
    for attempt in range(8):
        child = subprocess.Popen([sys.executable, "-c", _ENDLESS, path], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(moments.uniform(0, 0.1) * 2**attempt)  # a slow machine gets its chance
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        if path.exists():
            whole += 1
            with ScoreStore(path) as store:
                assert [scores.k for scores in store] == [3, 3, 3]
        assert all(entry == path or is_leftover(entry) for entry in tmp_path.iterdir())
        if whole and attempt >= 3:
            break
    assert whole > 0, "the writer never got to the end"


def damaged(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


@pytest.mark.parametrize("share", [0, 0.01, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_store_is_one_line(tmp_path: Path, share: float) -> None:
    path = tmp_path / "a.h5"
    write_store(path)
    damaged(path, share)
    with pytest.raises(ImageReadError) as error, ScoreStore(path) as store:
        list(store)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_flipped_bytes_are_an_error_or_the_truth(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    write_store(path, frames=1)
    data = path.read_bytes()
    moments = random.Random(2)
    for _ in range(60):
        broken = bytearray(data)
        for _ in range(3):
            broken[moments.randrange(len(broken))] ^= 1 << moments.randrange(8)
        path.write_bytes(broken)
        try:
            with ScoreStore(path) as store:
                list(store)
        except ImageReadError as error:
            assert "\n" not in str(error)


def change(path: Path, what: str) -> None:
    with h5py.File(path, "r+") as file:
        frame = file["frames/000000"]
        if what == "newer":
            file.attrs["format"] = 2
        elif what == "classes":
            file.attrs["classes"] = '[{"id": 3, "name": "a", "rgb": [0, 0, 0]}]'
        elif what == "no classes":
            file.attrs["classes"] = "nonsense"
        elif what == "endless class":
            file.attrs["classes"] = '[{"id": Infinity, "name": "a", "rgb": [0, 0, 0]}]'
        elif what == "times":
            file.attrs["timestamps_s"] = [0.0]
        elif what == "gone":
            del frame["residual"]
        elif what == "shape":
            del frame["residual"]
            frame["residual"] = np.zeros((2, 2), np.float16)
        elif what == "values":
            frame["probabilities"][...] = np.float16(2)
        elif what == "huge":
            del frame["residual"]
            frame.create_dataset("residual", (1 << 20, 1 << 20), np.float16, chunks=(64, 64))
        elif what == "link":
            del frame["residual"]
            frame["residual"] = h5py.ExternalLink("/etc/passwd", "/")
        elif what == "name":
            file["frames/first"] = file["frames/000000"]


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("newer", "score store of format 2, this version reads 1"),
        ("classes", "class id . is no class"),
        ("no classes", "describes its classes wrongly"),
        ("endless class", "describes its classes wrongly"),
        ("times", "not as many timestamps"),
        ("gone", "has no /frames/000000/residual"),
        ("shape", "frame 0 of the score store is broken: the residual"),
        ("values", "frame 0 of the score store is broken: prob"),
        ("huge", "claims the size"),
        ("link", "has no /frames/000000/residual"),
        ("name", "unexpected entry 'first'"),
    ],
)
def test_a_store_that_breaks_the_contract_is_refused(tmp_path: Path, what: str, message: str) -> None:
    path = tmp_path / "a.h5"
    write_store(path)
    change(path, what)
    with pytest.raises(ImageReadError, match=message), ScoreStore(path) as store:
        list(store)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89HDF\r\n\x1a\n"])
def test_other_files_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.h5"
    path.write_bytes(content)
    with pytest.raises(ImageReadError, match=r"a\.h5: cannot be read as a score store"):
        ScoreStore(path)


def test_other_hdf5_files_missing_files_and_folders_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["data"] = [1]
    for path, message in (
        (tmp_path / "other.h5", "no score store of MSeg Studio"),
        (tmp_path / "none.h5", "no such score store"),
        (tmp_path, "not a file"),
    ):
        with pytest.raises(ImageReadError, match=message):
            ScoreStore(path)
