from __future__ import annotations

import os
import queue
import signal
import threading
import time
from pathlib import Path

import pytest

from mseg_studio.cli.main import main
from mseg_studio.errors import ConfigError, ImageReadError
from mseg_studio.inference import fleet as fleets
from mseg_studio.inference.fleet import Fleet, parse_devices
from mseg_studio.inference.jobs import ItemFailed, Job, SegmentedFrame
from mseg_studio.inference.recipe import Recipe
from mseg_studio.media.frame import Frame, FrameRef
from mseg_studio.media.image import write_rgb_png
from mseg_studio.media.source import SourceItem
from mseg_studio.progress import Cancelled, CancelToken, Progress
from mseg_studio.taxonomy.catalog import default_catalog
from mseg_studio.workers.outcome import Death, Failure, Reply
from tests.factories import make_pixels
from tests.media.numbered import write_video

SMALL = Recipe(base_size=48, crop_px=49, flip=False)
OPTIONS = ["--recipe", "fast", "--base-size", "48", "--crop", "49"]


@pytest.mark.parametrize(
    ("text", "devices"),
    [
        ("0,1", ("cuda:0", "cuda:1")),
        ("cuda:3, cpu", ("cuda:3", "cpu")),
        ("cuda", ("cuda:0",)),
        ("cpu,cpu", ("cpu", "cpu")),
        ("mps", ("mps",)),
    ],
)
def test_devices_are_named_in_short(text, devices):
    assert parse_devices(text) == devices


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0,0", "cuda:0 is named twice"),
        ("cuda,0", "cuda:0 is named twice"),
        ("mps,mps", "named twice"),
        ("0,", "device is ''"),
        ("gpu", "device is 'gpu'"),
        ("auto,cpu", "auto is no list"),
    ],
)
def test_nonsense_is_refused(text, words):
    with pytest.raises(ConfigError, match=words):
        parse_devices(text)


# -- with processes ----------------------------------------------------------------------------------------------------


def items_of(count: int, *, broken_at=()):
    for index in range(count):
        ref = FrameRef(Path("film"), index)
        frame = Frame(make_pixels(60, 80 + index % 3, seed=index), ref)

        def load(index=index, frame=frame):
            if index in broken_at:
                raise ImageReadError("broken")
            return frame

        yield SourceItem(ref, load)


@pytest.fixture(scope="module")
def pair():
    """Two processes and the facts they agree on, for the tests that leave them in order."""
    with Fleet(("cpu", "cpu"), model="street-small", recipe=SMALL, cores=2) as fleet:
        yield fleet, fleet.prepare()


def job_of(facts, top_k: int = 0) -> Job:
    model_taxonomy = default_catalog().projection("universal", "camvid-11").source
    return Job(None, default_catalog().projection(model_taxonomy.name, "camvid-11"), facts, top_k=top_k)


def answers(fleet, job, items, **options):
    return [event for event in fleet.segment(job, items, **options) if not isinstance(event, Progress)]


def test_answers_come_in_order_with_what_was_passed_through(pair):
    fleet, facts = pair
    assert (facts["device"], facts["model"]["name"]) == ("cpu", "street-small")
    items = list(items_of(9, broken_at=(2, 8)))
    mixed = ["first", *items[:5], "middle", *items[5:], "last"]
    events = answers(fleet, job_of(facts, top_k=3), mixed)
    told = [event if isinstance(event, str) else type(event).__name__ for event in events]
    done, failed = "SegmentedFrame", "ItemFailed"
    assert told == ["first", done, done, failed, done, done, "middle", done, done, done, failed, "last"]
    frames = [event for event in events if isinstance(event, SegmentedFrame)]
    assert [event.frame.ref.index for event in frames] == [0, 1, 3, 4, 5, 6, 7]
    assert all(event.labels.ids_HW.shape == event.frame.pixels_HW3.shape[:2] for event in frames)
    assert all(event.scores.class_ids_HWk.shape[2] == 3 for event in frames)


def test_progress_is_that_of_the_frame_whose_turn_it_is(pair):
    fleet, facts = pair
    events = list(fleet.segment(job_of(facts), items_of(3)))
    seen = [event for event in events if isinstance(event, Progress)]
    assert seen and all(0 < event.done <= event.total for event in seen)


def test_cancel_is_heard_within_a_frame_and_the_processes_live(pair):
    fleet, facts = pair
    cancel = CancelToken()
    events = fleet.segment(job_of(facts), items_of(1000), cancel=cancel)
    next(event for event in events if isinstance(event, SegmentedFrame))
    cancel.cancel()
    started_s = time.monotonic()
    with pytest.raises(Cancelled):
        list(events)
    assert time.monotonic() - started_s < 0.5
    assert len(answers(fleet, job_of(facts), items_of(2))) == 2


def test_a_frame_whose_process_is_killed_goes_to_the_next(pair):
    fleet, facts = pair
    pids = [member.client.pid for member in fleet.members]
    killed, done = False, []
    for event in fleet.segment(job_of(facts), items_of(12)):
        if isinstance(event, Progress):
            continue
        done.append(event)
        if not killed:
            killed = True
            os.kill(pids[0], signal.SIGKILL)
    assert [type(event) for event in done] == [SegmentedFrame] * 12
    assert [event.frame.ref.index for event in done] == list(range(12))
    assert fleet.members[0].client.pid != pids[0]
    assert fleet.members[1].client.pid == pids[1]


class Dying:
    """Stands for the client of a process that ends of every frame whose first pixel is 13."""

    def __init__(self, number: int, events: queue.SimpleQueue) -> None:
        self.number, self.events = number, events
        self.asked: list[int] = []

    def submit(self, kind, fields, *, arrays):
        self.asked.append(int(arrays["pixels"][0, 0, 0]))
        request_id = len(self.asked)
        if self.asked[-1] == 13:
            self.events.put((self.number, Failure(request_id, "WorkerDied", "the cpu worker was killed")))
            self.events.put((self.number, Death("the cpu worker was killed", 0.2, request_id)))
            self.events.put((self.number, {}))
        else:
            ids = arrays["pixels"][..., 0] * 0
            self.events.put((self.number, Reply(request_id, "result", {"seconds": 0.1}, {"ids": ids})))
        return request_id

    def cancel(self, request_id=None):
        return None


def test_a_frame_that_ends_two_processes_is_told_and_the_rest_goes_on():
    fleet = Fleet(("cpu", "cpu"), model="street-small", recipe=SMALL, cores=2)
    for number, member in enumerate(fleet.members):
        member.client.close()
        member.client = Dying(number, fleet._events)
        member.ready = True
    pixels = [make_pixels(4, 4, seed=seed) for seed in range(6)]
    for number, frame in enumerate(pixels):
        frame[0, 0, 0] = 13 if number == 2 else number
    refs = [FrameRef(Path("film"), number) for number in range(6)]
    items = [
        SourceItem(ref, lambda ref=ref, frame=frame: Frame(frame, ref)) for ref, frame in zip(refs, pixels, strict=True)
    ]
    facts = {"recipe_hash": "", "model": {"sha256": ""}}
    events = answers(fleet, job_of(facts), items)
    assert [type(event) for event in events] == [SegmentedFrame] * 2 + [ItemFailed] + [SegmentedFrame] * 3
    assert (events[2].ref.index, events[2].error.code) == (2, "WorkerDied")
    assert sum(member.client.asked.count(13) for member in fleet.members) == fleets._TRIES


def test_without_any_process_that_can_be_started_every_frame_fails():
    fleet = Fleet(("cpu", "cpu"), model="street-small", recipe=SMALL, cores=2)
    for number, member in enumerate(fleet.members):
        member.client.close()
        member.client = Dying(number, fleet._events)
        fleet._events.put((number, Death("the cpu worker ended with code 1", None)))
    events = answers(fleet, job_of({"recipe_hash": "", "model": {"sha256": ""}}), [*items_of(20), "last"])
    assert [type(event) for event in events] == [ItemFailed] * 20 + [str]
    assert "can be started" in str(events[0].error)


def test_a_device_that_is_not_there_is_told_before_anything_is_written(tmp_path, capsys):
    write_rgb_png(tmp_path / "a.png", make_pixels(60, 80))
    arguments = ["segment", str(tmp_path / "a.png"), "--output", str(tmp_path / "out"), *OPTIONS]
    assert main([*arguments, "--devices", "7"]) == 2
    assert "cuda:7 is not there" in capsys.readouterr().err
    assert main([*arguments, "--devices", "0,0"]) == 2
    assert "named twice" in capsys.readouterr().err
    assert main([*arguments, "--devices", "cpu,cpu", "--device", "cpu"]) == 2
    assert "do not go together" in capsys.readouterr().err
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]


def test_the_files_are_those_of_one_process(tmp_path, capsys):
    folder = tmp_path / "photos"
    (folder / "more").mkdir(parents=True)
    for number, name in enumerate(["a.png", "b.png", "c.png", "more/d.png"]):
        write_rgb_png(folder / name, make_pixels(60, 80 + number, seed=number))
    (folder / "broken.png").write_bytes(b"no picture")
    film = write_video(tmp_path / "film.mp4", range(7))
    before = threading.active_count()

    def files_of(name: str, *devices: str) -> dict[str, bytes]:
        out = tmp_path / name
        outputs = ["--output", str(out), "--save", "ids,overlay,scores,confidence,video"]
        outputs += ["--taxonomy", "cityscapes-19", "--min-confidence", "0.2"]
        assert main(["segment", str(folder), str(film), *outputs, *OPTIONS, *devices]) == 1
        assert "6 done" not in capsys.readouterr().err
        return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file()}

    alone = files_of("alone", "--device", "cpu")
    assert files_of("shared", "--devices", "cpu,cpu") == alone
    assert len(alone) == 4 * 5 + 7 * 2 + 3
    assert threading.active_count() == before
