from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import threading
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest

from mseg_studio.errors import DeviceMemoryError, ExportError
from mseg_studio.inference import batch
from mseg_studio.inference.batch import (
    ItemBroken,
    ItemDone,
    ItemSkipped,
    outputs_of,
    segment_to_files,
)
from mseg_studio.inference.jobs import ItemFailed, Job, SegmentedFrame, segment_source
from mseg_studio.inference.pipeline import DEPTH, segment_here
from mseg_studio.inference.predictor import Predictor
from mseg_studio.inference.recipe import Recipe
from mseg_studio.inference.video_files import VideoFiles
from mseg_studio.labels.output_layout import InputItem, plan_outputs
from mseg_studio.labels.score_store import ScoreStore
from mseg_studio.labels.sidecar import read_sidecar
from mseg_studio.media.image import read_label_ids, write_rgb_png
from mseg_studio.media.source import open_source
from mseg_studio.media.video import open_video
from mseg_studio.media.video_writer import VideoWriter
from mseg_studio.progress import Cancelled, CancelToken, Progress
from tests.factories import make_pixels, make_projection, make_taxonomy, tiny_network
from tests.goldens.weights import TINY
from tests.media.numbered import write_video

CLASSES = 12
LETTERS = make_taxonomy(num_classes=CLASSES)
TO_GROUPS = make_projection(LETTERS, groups=3)
NETWORK = tiny_network(num_classes=CLASSES)


class Counted(Predictor):
    """A predictor that counts its images."""

    images = 0

    def steps(self, pixels_HW3, *, cancel=None):
        self.images += 1
        return super().steps(pixels_HW3, cancel=cancel)


def make_job(*, base_size: int = 33, top_k: int = 0) -> Job:
    recipe = Recipe(base_size=base_size, crop_px=33, flip=False, precision="float32")
    predictor = Counted(NETWORK, TINY, num_classes=CLASSES, recipe=recipe, device="cpu")
    facts = {
        "model": {"name": "tiny", "network": "hrnet-tiny", "sha256": "0" * 64},
        "recipe": predictor.recipe.as_dict(),
        "recipe_hash": predictor.recipe.hash,
        "engine": "torch",
        "precision": "float32",
        "device": "cpu",
        "certified_share": 1.0,
        "mapping": "projected",
    }
    return Job(predictor, TO_GROUPS, facts, top_k=top_k)


@pytest.fixture
def photos(tmp_path) -> Path:
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for number, name in enumerate(["a.png", "b.png", "more/c.png"]):
        write_rgb_png(folder / name, make_pixels(40, 50 + number, seed=number))
    return folder


@pytest.fixture
def film(tmp_path) -> Path:
    """Five frames at uneven times."""
    path = tmp_path / "film.mp4"
    with VideoWriter(path, fps=10, size=(48, 36)) as writer:
        for number, seconds in enumerate((0.0, 0.1, 0.25, 0.3, 0.5)):
            writer.write(make_pixels(36, 48, seed=number), timestamp_s=seconds)
    return path


def plan_of(folder: Path, output: Path):
    items = [InputItem(Path(path), root=folder) for path in open_source(folder).info.items]
    return plan_outputs(items, output)


def run(job, plan, names=("ids",), **options):
    return [event for event in segment_to_files(job, plan, names, **options) if not isinstance(event, Progress)]


def test_a_folder_keeps_its_tree_and_is_not_done_twice(photos, tmp_path):
    job, plan = make_job(), plan_of(photos, tmp_path / "out")
    assert [type(event) for event in run(job, plan)] == [ItemDone] * 3
    assert read_label_ids(tmp_path / "out/more/c.png").shape == (40, 52)
    sidecar = json.loads((tmp_path / "out/more/c.json").read_text())
    assert (sidecar["taxonomy"], sidecar["width"], sidecar["height"]) == ("groups", 52, 40)
    assert [type(event) for event in run(job, plan)] == [ItemSkipped] * 3
    assert job.predictor.images == 3
    assert [type(event) for event in run(job, plan, redo=True)] == [ItemDone] * 3


def test_what_changed_is_made_again(photos, tmp_path):
    plan = plan_of(photos, tmp_path / "out")
    run(make_job(), plan)
    write_rgb_png(photos / "b.png", make_pixels(44, 44))
    os.utime(photos / "b.png", (1, 1))
    (tmp_path / "out/more/c.png").unlink()
    job = make_job()
    assert [type(event) for event in run(job, plan)] == [ItemSkipped, ItemDone, ItemDone]
    assert [type(event) for event in run(make_job(base_size=40), plan)] == [ItemDone] * 3
    assert [type(event) for event in run(make_job(base_size=40), plan, ("ids", "colour"))] == [ItemDone] * 3


def test_a_broken_file_does_not_stop_the_rest(photos, tmp_path):
    (photos / "b.png").write_bytes(b"no picture")
    (photos / "more/c.png").unlink()
    shutil.copy(photos / "a.png", photos / "more/d.png")
    plan = [*plan_of(photos, tmp_path / "out")]
    plan.insert(1, (InputItem(photos / "gone.png"), plan[0][1].__class__(tmp_path / "out/gone")))
    events = run(make_job(), plan)
    assert [type(event) for event in events] == [ItemDone, ItemBroken, ItemBroken, ItemDone]
    assert all(str(event.path) in str(event.error) for event in events[1:3])
    assert not (tmp_path / "out/b.png").exists()
    assert not (tmp_path / "out/b.json").exists()


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_an_error_of_the_item(photos, tmp_path):
    plan = plan_of(photos, tmp_path / "out")
    (tmp_path / "out").mkdir(mode=0o500)
    assert [type(event) for event in run(make_job(), plan)] == [ItemBroken] * 3


def test_an_output_folder_that_is_a_file_is_an_error_of_the_item(photos, tmp_path):
    plan = plan_of(photos, tmp_path / "out")
    (tmp_path / "out").write_text("in the way")
    events = run(make_job(), plan)
    assert [type(event) for event in events] == [ItemBroken] * 3
    assert "out" in str(events[0].error)


def test_a_video_gives_all_frames_at_their_times(film, tmp_path):
    job = make_job(top_k=4)
    plan = plan_outputs([InputItem(film, is_video=True)], tmp_path / "out")
    done = run(job, plan, ("ids", "video", "scores", "colour"))
    assert [type(event) for event in done] == [ItemDone], done
    assert done[0].frames == 5
    folder = tmp_path / "out/film"
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        f"{number:06d}{suffix}" for number in range(5) for suffix in (".png", "_colour.png")
    )
    with open_video(tmp_path / "out/film_overlay.mp4") as overlay, open_video(film) as original:
        np.testing.assert_allclose(overlay.timestamps_s, original.timestamps_s, atol=1e-3)
    sidecar = json.loads((tmp_path / "out/film.json").read_text())
    assert sidecar["frames"] == 5
    np.testing.assert_allclose(sidecar["timestamps_s"], (0.0, 0.1, 0.25, 0.3, 0.5), atol=1e-3)
    assert sum(entry["pixels"] for entry in sidecar["classes"]) == 5 * 36 * 48
    with ScoreStore(tmp_path / "out/film.h5") as store:
        assert store.indices == tuple(range(5))
        labels, certified = store.frame(3).project(TO_GROUPS)
        written = read_label_ids(folder / "000003.png")
        assert (labels.ids_HW == written)[certified].all()
    assert [type(event) for event in run(job, plan, ("ids", "video", "scores", "colour"))] == [ItemSkipped]


class InTurn:
    """Reads and writes when asked to, in the caller's thread: what `pipeline` does in threads."""

    def __init__(self, pieces=(), *, cancel=None):
        self.pieces = pieces

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def __iter__(self):
        return (piece for piece, _ in self.pieces)

    def check(self):
        return None

    def put(self, work, *, size_bytes=0):
        work()

    def submit(self, work, *, size_bytes=0):
        future = Future()
        future.set_result(work())
        return future

    def result(self, future):
        return future.result()


def test_files_are_those_of_one_step_after_the_other(film, photos, tmp_path, monkeypatch):
    names = ("ids", "overlay", "colour", "scores", "video")

    def files_in(folder: str) -> dict[str, bytes]:
        videos = plan_outputs([InputItem(film, is_video=True)], tmp_path / folder)
        events = run(make_job(top_k=4), [*plan_of(photos, tmp_path / folder / "photos"), *videos], names)
        assert [type(event) for event in events] == [ItemDone] * 4, events
        return {
            str(path.relative_to(tmp_path / folder)): path.read_bytes()
            for path in (tmp_path / folder).rglob("*")
            if path.is_file()
        }

    overlapped = files_in("overlapped")
    monkeypatch.setattr(batch, "ReadAhead", InTurn)
    monkeypatch.setattr(batch, "read_ahead", lambda items, cancel: InTurn((item, 0) for item in items))
    monkeypatch.setattr(batch, "WriteBehind", InTurn)
    assert files_in("in turn") == overlapped
    assert len(overlapped) == 3 * 5 + 5 * 2 + 3


def test_an_output_of_a_video_that_cannot_be_written_ends_it_at_once(tmp_path, monkeypatch):
    path = write_video(tmp_path / "drive.mp4", range(40))
    written = []

    def write(files, done):
        if len(written) == 2:
            raise ExportError("no space left", path=files._paths.base)
        written.append(done.frame.ref.index)

    monkeypatch.setattr(VideoFiles, "write", write)
    job, before = make_job(), threading.active_count()
    [broken] = run(job, plan_outputs([InputItem(path, is_video=True)], tmp_path / "out"), ("ids", "video"))
    assert "no space left" in str(broken.error)
    assert written == [0, 1]
    assert job.predictor.images <= 2 + DEPTH + 2
    assert threading.active_count() == before
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_an_image_that_cannot_be_written_is_an_error_of_that_image(photos, tmp_path):
    plan = plan_of(photos, tmp_path / "out")
    (tmp_path / "out/b.json").mkdir(parents=True)
    events = run(make_job(), plan)
    assert [type(event) for event in events] == [ItemDone, ItemBroken, ItemDone]
    assert [event.path.name for event in events] == ["a.png", "b.png", "c.png"]


def test_a_truncated_video_gives_what_there_is_and_says_so(film, tmp_path):
    data = film.read_bytes()
    film.write_bytes(data[: len(data) * 2 // 3])
    events = run(make_job(), plan_outputs([InputItem(film, is_video=True)], tmp_path / "out"), ("ids", "video"))
    assert [type(event) for event in events] == [ItemBroken]
    assert "film.mp4" in str(events[0].error)


def test_a_damaged_video_tells_how_many_frames_are_lost(tmp_path):
    path = write_video(tmp_path / "drive.mkv", range(30), options={"bf": "0", "g": "6"})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    [done] = run(make_job(), plan_outputs([InputItem(path, is_video=True)], tmp_path / "out"))
    assert isinstance(done, ItemDone)
    assert done.notes == (f"damaged; {done.frames} frames could be read, about 30 expected",)
    assert read_sidecar(tmp_path / "out/drive.json").notes == done.notes


def test_frames_that_cannot_be_decoded_are_told_with_all_that_are_lost(tmp_path):
    path = write_video(tmp_path / "drive.mp4", range(30), options={"bf": "0", "g": "6"})
    data = path.read_bytes()
    start = len(data) // 2 - 100
    path.write_bytes(data[:start] + random.Random(1).randbytes(200) + data[start + 200 :])
    [broken] = run(make_job(), plan_outputs([InputItem(path, is_video=True)], tmp_path / "out"))
    assert isinstance(broken, ItemBroken)
    [note] = read_sidecar(tmp_path / "out/drive.json").notes
    assert note.startswith("damaged; ")
    assert note.endswith(", about 30 expected")
    assert str(broken.error).endswith(f"({note})")


def test_text_named_mp4_is_broken_and_leaves_nothing(tmp_path):
    path = tmp_path / "film.mp4"
    path.write_text("no film")
    events = run(make_job(), plan_outputs([InputItem(path, is_video=True)], tmp_path / "out"), ("ids", "video"))
    assert [type(event) for event in events] == [ItemBroken]
    assert not (tmp_path / "out").exists()


def test_cancel_leaves_no_half_written_output(film, tmp_path):
    token = CancelToken()
    plan = plan_outputs([InputItem(film, is_video=True)], tmp_path / "out")
    with pytest.raises(Cancelled):
        for event in segment_to_files(make_job(top_k=4), plan, ("ids", "video", "scores"), cancel=token):
            if isinstance(event, Progress) and event.done == 2:
                token.cancel()
    left = {path.name for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert left <= {"000000.png", "000001.png"}


def test_progress_counts_items_of_many_and_tiles_of_one(photos, tmp_path):
    plan = plan_of(photos, tmp_path / "out")
    many = [event for event in segment_to_files(make_job(), plan, ("ids",)) if isinstance(event, Progress)]
    assert {event.total for event in many} == {3}
    assert [event.done for event in many] == sorted(event.done for event in many)
    one = [
        event for event in segment_to_files(make_job(), plan[:1], ("ids",), redo=True) if isinstance(event, Progress)
    ]
    assert one[-1].done == one[-1].total > 1


@pytest.mark.parametrize(
    ("names", "is_video", "expected"),
    [
        (("ids", "video"), False, ("ids",)),
        (("ids", "overlay"), True, ("ids", "video")),
        (("overlay", "video"), True, ("video",)),
        (("video",), False, ()),
    ],
)
def test_outputs_fit_the_kind_of_input(names, is_video, expected):
    assert outputs_of(names, is_video=is_video) == expected


def test_a_source_streams_and_tells_what_fails(photos):
    (photos / "b.png").write_bytes(b"")
    with open_source(photos) as source:
        events = [event for event in segment_source(make_job(), source.items()) if not isinstance(event, Progress)]
    assert [type(event) for event in events] == [SegmentedFrame, ItemFailed, SegmentedFrame]
    assert events[1].ref.path == photos / "b.png"


def test_frames_that_share_passes_have_the_labels_they_have_alone(film):
    def labels(frames_a_pass):
        with open_source(film) as source:
            events = segment_here(make_job(top_k=3), source.items(), frames_a_pass=frames_a_pass)
            return [
                (event.labels.ids_HW.tobytes(), event.scores.probabilities_HWk.tobytes())
                for event in events
                if isinstance(event, SegmentedFrame)
            ]

    assert len(labels(1)) == 5
    assert labels(3) == labels(1)


class Full(Counted):
    """A predictor without memory."""

    def steps(self, pixels_HW3, *, cancel=None):
        raise DeviceMemoryError("the scores of this image need more than is free")
        yield


def test_what_does_not_fit_in_memory_is_named(tmp_path):
    write_rgb_png(tmp_path / "tall.png", make_pixels(40, 30))
    job = make_job()
    full = Full(NETWORK, TINY, num_classes=CLASSES, recipe=job.predictor.recipe, device="cpu")
    plan = plan_outputs([InputItem(tmp_path / "tall.png")], tmp_path / "out")
    [broken] = segment_to_files(dataclasses.replace(job, predictor=full), plan, ["ids"])
    assert isinstance(broken, ItemBroken)
    assert isinstance(broken.error, DeviceMemoryError)
    assert str(broken.error).startswith(f"{tmp_path / 'tall.png'}: the scores of this image")
