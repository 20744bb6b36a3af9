"""Real child processes: answers, order, cancel, death and what is left behind."""

from __future__ import annotations

import errno
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from listened import Listened

from mseg_studio.workers import pump
from mseg_studio.workers.outcome import Death, Failure, Reply

POSIX = os.name == "posix"


def wait_for(condition, timeout_s=10.0):
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, "waited in vain"
        time.sleep(0.01)


def wait_for_process(worker):
    wait_for(lambda: worker.client.pid is not None)


def test_fields_arrays_and_odd_names_come_back(make_client):
    worker = make_client(arguments={"greeting": "hello"}, environment={"ECHO_VARIABLE": "set"})
    assert worker.next(dict) == {"greeting": "hello"}
    fields = {"path": "a\udcffb\n%04d\U0001f600.png", "number": 1.5, "nothing": None}
    pixels_HW3 = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    arrays = {"pixels": pixels_HW3[::-1], "empty": np.zeros((0, 4), np.float32), "half": np.ones(3, np.float16)}
    reply = worker.result(worker.client.submit("echo", fields, arrays=arrays))
    assert reply.fields["echo"] == fields
    for name, array in arrays.items():
        assert reply.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(reply.arrays[name], array)


def test_slots_grow_and_answers_are_own_copies(make_client):
    worker = make_client()
    replies = []
    for side in (10, 2000, 50):
        values = np.full((side, side), side, np.int32)
        replies.append(worker.result(worker.client.submit("double", arrays={"values": values})))
    for side, reply in zip((10, 2000, 50), replies, strict=True):
        assert reply.arrays["doubled"].shape == (side, side)
        assert (reply.arrays["doubled"] == 2 * side).all()


def test_child_imports_neither_the_parents_main_nor_qt_nor_torch(make_client):
    worker = make_client(environment={"ECHO_VARIABLE": "set"})
    fields = worker.result(worker.client.submit("facts")).fields
    assert fields["main"] is None
    assert fields["variable"] == "set"
    assert not {"torch", "PySide6", "pytest"} & set(fields["modules"])


@pytest.mark.parametrize(
    ("how", "code", "message", "file"),
    [
        ("image", "ImageReadError", "a.png: no picture", "a.png"),
        ("memory", "DeviceMemoryError", "ran out of memory", ""),
        ("bug", "Internal", "KeyError: 'x'", ""),
    ],
)
def test_errors_of_handlers_arrive_in_words_and_the_worker_lives_on(make_client, how, code, message, file):
    worker = make_client()
    failure = worker.failure(worker.client.submit("fail", {"how": how}))
    assert (failure.code, failure.message, failure.file) == (code, message, file)
    pid = worker.client.pid
    worker.result(worker.client.submit("echo"))
    assert worker.client.pid == pid


def test_unknown_request_and_bad_arrays_fail_alone(make_client):
    worker = make_client()
    assert worker.failure(worker.client.submit("no such thing")).code == "Internal"
    objects = np.array([object()])
    assert worker.failure(worker.client.submit("echo", arrays={"x": objects})).code == "Internal"
    assert worker.failure(worker.client.submit("echo", {"x": float("nan")})).code == "Internal"
    with pytest.raises(ValueError, match="request_id"):
        worker.client.submit("echo", {"request_id": 3})
    worker.result(worker.client.submit("echo"))


def test_progress_arrives_and_the_last_step_is_never_dropped(make_client):
    worker = make_client()
    request_id = worker.client.submit("slow", {"tiles": 30, "tile_seconds": 0.005})
    steps = []
    while True:
        event = worker.next(Reply)
        if event.final:
            break
        steps.append(event.fields["done"])
    assert event.request_id == request_id
    assert steps == sorted(steps)
    assert steps[-1] == 30
    assert len(steps) < 30


def test_order_priority_and_lanes(make_client):
    worker = make_client()
    submit = worker.client.submit
    first = submit("slow", {"tiles": 2, "tile_seconds": 0.3})
    worker.next(Reply)
    low, replaced = submit("echo", {"n": "low"}), submit("echo", lane="a")
    kept, high = submit("echo", lane="a"), submit("echo", priority=5)
    ended = []
    while len(ended) < 5:
        event = worker.events.get(timeout=20)
        if isinstance(event, Failure) or (isinstance(event, Reply) and event.final):
            ended.append((event.request_id, type(event)))
    assert ended == [(replaced, Failure), (first, Reply), (high, Reply), (low, Reply), (kept, Reply)]
    assert not worker.client.busy


def test_newest_overtakes_the_one_in_flight(make_client):
    worker = make_client()
    worker.next(dict)
    request_ids = []
    for _ in range(20):
        request = {"tiles": 20, "tile_seconds": 0.02}
        request_ids.append(worker.client.submit("slow", request, lane="segment", overtake=True))
        time.sleep(0.01)
    results = []
    failures = []
    while len(results) + len(failures) < 20:
        event = worker.events.get(timeout=20)
        if isinstance(event, Failure):
            assert event.code == "Cancelled"
            failures.append(event.request_id)
        elif isinstance(event, Reply) and event.final:
            results.append(event.request_id)
    assert results == request_ids[-1:]
    assert sorted(failures) == request_ids[:-1]


def test_cancel_is_told_at_once_and_stops_the_child_at_its_next_tile(make_client):
    worker = make_client()
    pid = worker.next(dict) and worker.client.pid
    request_id = worker.client.submit("slow", {"tiles": 100, "tile_seconds": 0.1})
    worker.next(Reply)
    start_s = time.monotonic()
    worker.client.cancel(request_id)
    assert worker.failure(request_id).code == "Cancelled"
    assert time.monotonic() - start_s < 0.2
    worker.result(worker.client.submit("echo"))
    assert time.monotonic() - start_s < 1.5
    assert worker.client.pid == pid


def test_a_child_that_ignores_cancel_is_killed_and_replaced(make_client, monkeypatch):
    monkeypatch.setattr(pump, "CANCEL_GRACE_S", 0.2)
    worker = make_client()
    pid = worker.next(dict) and worker.client.pid
    request_id = worker.client.submit("deaf", {"seconds": 60})
    time.sleep(0.2)
    start_s = time.monotonic()
    worker.client.cancel()
    assert worker.failure(request_id).code == "Cancelled"
    assert time.monotonic() - start_s < 0.15
    assert worker.next(Death).deliberate
    worker.result(worker.client.submit("echo"))
    assert worker.client.pid != pid


def test_time_limit_ends_one_request_and_the_next_works(make_client):
    worker = make_client()
    failure = worker.failure(worker.client.submit("deaf", {"seconds": 60}, limit_seconds=0.3, input_key="x.png"))
    assert (failure.code, failure.message, failure.file) == ("TimeLimit", "took longer than 0.3 s", "x.png")
    worker.result(worker.client.submit("echo"))


@pytest.mark.skipif(not POSIX, reason="signals")
@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("kill", "the echo process was killed (signal 9)"),
        ("segfault", "the echo process crashed (signal 11, SIGSEGV)"),
        ("memory", "the echo process ran out of memory"),
        ("exit", "the echo process ended with code 7: the disk caught fire"),
        ("zero", "the echo process ended without being asked to"),
        ("garbage", "the echo process sent a broken message: message is no JSON"),
    ],
)
def test_death_in_words_and_the_next_request_works(make_client, how, words):
    worker = make_client()
    worker.next(dict)
    start_s = time.monotonic()
    request_id = worker.client.submit("die", {"how": how})
    failure = worker.failure(request_id)
    death = worker.next(Death)
    assert time.monotonic() - start_s < 1.0
    assert failure.code == "WorkerDied"
    assert failure.message.startswith(words)
    assert death.message.startswith(words)
    assert (death.restart_in_s, death.request_id, death.deliberate) == (0.2, request_id, False)
    worker.result(worker.client.submit("echo"))


@pytest.mark.skipif(not POSIX, reason="signals")
def test_killed_from_outside_while_idle_is_seen_in_milliseconds(make_client):
    worker = make_client()
    worker.next(dict)
    start_s = time.monotonic()
    os.kill(worker.client.pid, signal.SIGKILL)
    assert worker.next(Death).request_id is None
    assert time.monotonic() - start_s < 0.3
    worker.result(worker.client.submit("echo"))


def test_an_input_that_kills_three_times_is_set_aside_until_forgiven(make_client):
    worker = make_client()
    for _ in range(3):
        assert worker.failure(worker.client.submit("die", {"how": "exit"}, input_key="evil.png")).code == "WorkerDied"
        worker.result(worker.client.submit("echo", input_key="good.png"))
    start_s = time.monotonic()
    failure = worker.failure(worker.client.submit("echo", input_key="evil.png"))
    assert time.monotonic() - start_s < 0.1
    assert "set aside" in failure.message
    assert failure.file == "evil.png"
    worker.client.forgive("evil.png")
    worker.result(worker.client.submit("echo", input_key="evil.png"))


def test_a_worker_that_cannot_start_gives_up_in_words_and_tries_again_when_asked(make_client, monkeypatch):
    monkeypatch.setattr("mseg_studio.workers.restart.DELAYS_S", (0.01,))
    monkeypatch.setattr("mseg_studio.workers.restart.MAX_FAILED_STARTS", 2)
    worker = make_client(arguments={"fail_to_start": True})
    request_id = worker.client.submit("echo")
    failure = worker.failure(request_id)
    assert "RuntimeError: cannot start" in failure.message
    death = worker.next(Death)
    assert death.restart_in_s is None
    assert "cannot start" in worker.failure(worker.client.submit("echo")).message


def test_a_missing_module_is_said_in_words(make_client):
    worker = make_client(module="no_such_worker")
    assert "No module named 'no_such_worker'" in worker.next(Death).message


def test_no_free_descriptor_delays_the_start_but_loses_nothing(make_client, monkeypatch):
    real, failures = pump.ChildProcess, [OSError(errno.EMFILE, "Too many open files")] * 2

    def scarce(*arguments, **options):
        if failures:
            raise failures.pop()
        return real(*arguments, **options)

    monkeypatch.setattr(pump, "ChildProcess", scarce)
    worker = make_client()
    request_id = worker.client.submit("echo")
    assert "Too many open files" in worker.next(Death).message
    worker.result(request_id)


def test_no_room_for_the_pixels_is_said_and_the_next_request_works(make_client, monkeypatch):
    worker = make_client()
    worker.next(dict)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("mseg_studio.workers.slots.Slot._grow", full)
    failure = worker.failure(worker.client.submit("echo", arrays={"x": np.zeros(9, np.uint8)}))
    assert failure.message == "no room to hand over the pixels: No space left on device"
    monkeypatch.undo()
    worker.result(worker.client.submit("echo"))


@pytest.mark.skipif(not POSIX, reason="signals")
def test_a_request_to_a_child_that_is_already_dead_waits_for_the_next_one(make_client, monkeypatch):
    worker = make_client()
    pid = worker.next(dict) and worker.client.pid
    send, dead = pump.send, []

    def late(connection, message):
        if message["type"] == "echo" and not dead:
            os.kill(pid, signal.SIGKILL)
            dead.append(psutil.Process(pid).wait(5))
        send(connection, message)

    monkeypatch.setattr(pump, "send", late)
    worker.result(worker.client.submit("echo", input_key="innocent.png"))
    assert dead
    assert worker.client.pid != pid


def test_a_failing_callback_does_not_end_the_client(make_client, caplog):
    worker = make_client()
    worker.next(dict)
    put, worker.client._pump._on_reply = worker.client._pump._on_reply, lambda reply: 1 / 0
    worker.client.submit("echo")
    wait_for(lambda: not worker.client.busy)
    worker.client._pump._on_reply = put
    worker.result(worker.client.submit("echo"))
    assert "a callback of the echo client failed" in caplog.text


def test_the_log_of_a_chatty_child_is_kept_small(make_client):
    worker = make_client()
    for _ in range(3):
        worker.result(worker.client.submit("chatter", {"bytes": 2_000_000}))
    log = worker.client._pump._child._log
    wait_for(lambda: os.fstat(log.fileno()).st_size < 2_100_000)


def test_close_while_busy_starting_or_idle_leaves_nothing(make_client):
    for arguments, request in (
        ({}, None),
        ({"start_seconds": 60}, None),
        ({}, ("slow", {"tiles": 1000, "tile_seconds": 0.02})),
    ):
        worker = make_client(arguments=arguments)
        if request:
            worker.client.submit(*request)
            worker.next(Reply)
        wait_for_process(worker)
        pid = worker.client.pid
        start_s = time.monotonic()
        worker.client.close()
        assert time.monotonic() - start_s < 1.5
        assert not psutil.pid_exists(pid)
        worker.client.close()
        worker.client.submit("echo")


def test_a_client_never_started_closes():
    Listened().client.close()


@pytest.mark.skipif(not POSIX, reason="signals")
def test_fifty_starts_and_kills_leave_no_file_descriptor_thread_or_process(make_client, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    me = psutil.Process()
    make_client().client.close()

    def left():
        gc.collect()  # what earlier tests left to the collector is not ours
        named = [path for path in Path("/dev/shm").glob("*") if "mseg" in path.name]
        return me.num_fds(), threading.active_count(), len(me.children(recursive=True)), named

    before = left()
    for round_ in range(50):
        worker = make_client()
        if round_ % 2:
            wait_for_process(worker)
        else:
            worker.next(dict)
            worker.client.submit("slow", {"tiles": 100, "tile_seconds": 0.1})
        os.kill(worker.client.pid, signal.SIGKILL)
        if round_ % 10 == 0:
            worker.next(Death)
        worker.client.close(0.0)
    assert left() == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not POSIX, reason="signals")
@pytest.mark.parametrize("busy", [False, True])
def test_the_child_ends_when_the_parent_is_killed(tmp_path, busy):
    script = f"""
    import sys, time
    sys.path[:] = {sys.path!r}
    from mseg_studio.workers.client import WorkerClient
    ready = []
    client = WorkerClient("echo_worker", on_reply=print, on_failed=print, on_died=print, on_ready=ready.append)
    client.start()
    if {busy}:
        client.submit("deaf", {{"seconds": 60}})
    while not ready:
        time.sleep(0.01)
    time.sleep(0.1)
    print(client.pid, flush=True)
    time.sleep(60)
    """
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", textwrap.dedent(script)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ, text=True) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    child.wait(5)
    assert list(tmp_path.iterdir()) == []


def test_forgetting_to_close_does_not_hang_the_interpreter():
    script = f"""
    import sys
    sys.path[:] = {sys.path!r}
    from mseg_studio.workers.client import WorkerClient
    client = WorkerClient("echo_worker", on_reply=print, on_failed=print, on_died=print)
    client.start()
    client.submit("deaf", {{"seconds": 60}})
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
