"""`python -m mseg_studio.training.supervisor FOLDER`: start the processes of a run, watch over them, tell its end.

It is a process of its own in a session of its own, so that a run outlives the window or terminal that started it. One
supervisor a run and machine: a lock on launch.lock says so, which the system takes back whatever happens. Torch-free.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mseg_studio.errors import MSegStudioError, RunFailed
from mseg_studio.training import run_watch
from mseg_studio.training.launch_plan import WORKER, LaunchPlan, environment
from mseg_studio.training.run_folder import RunFolder, own_process
from mseg_studio.training.run_processes import STOP_FILE, SUPERVISOR_ENV, run_processes
from mseg_studio.training.run_watch import RunWatch

LOCK_FILE = "launch.lock"
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36


def main(arguments: Sequence[str]) -> int:
    """Supervise a run to its end; result.json tells it. Exit code 1 when the run could not be started."""
    parser = argparse.ArgumentParser(prog="python -m mseg_studio.training.supervisor", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of the run")
    parser.add_argument("--processes", type=int, default=1, help="processes on this machine")
    parser.add_argument("--nnodes", type=int, default=1, help="machines")
    parser.add_argument("--node-rank", type=int, default=0, help="number of this machine")
    parser.add_argument("--rendezvous", default="", help="host:port of machine 0")
    parser.add_argument("--devices", default="", help="numbers of the GPUs to use, with commas between")
    parser.add_argument("--worker", default=WORKER, help=argparse.SUPPRESS)
    parser.add_argument("--detach", action="store_true", help="come back once the run is started")
    options = parser.parse_args(arguments)
    try:
        plan = LaunchPlan(
            options.folder.absolute(),
            options.processes,
            nnodes=options.nnodes,
            node_rank=options.node_rank,
            rendezvous=options.rendezvous,
            devices=tuple(filter(None, options.devices.split(","))),
            worker=options.worker,
        )
        if options.detach:
            return _detached(plan)
        supervise(plan, tell_started=lambda: None)
    except (MSegStudioError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def supervise(plan: LaunchPlan, *, tell_started: Callable[[], None]) -> None:
    """Start the processes, call `tell_started`, and come back when all of them are gone and result.json is written.

    Raises ConfigError when there is no run, RunFailed when it is going already, OSError.
    """
    folder = RunFolder.open(plan.folder)
    with _locked(folder.path, plan):
        _clear(folder, plan)
        launcher_log = folder.launcher_log
        launcher_log.parent.mkdir(exist_ok=True)
        with launcher_log.open("ab") as log:
            watch = RunWatch(folder, plan, log_start=log.tell())
            watch.listen()  # before there is a child: a signal in between must not be lost
            with _orphans_come_here():
                child = subprocess.Popen(
                    plan.argv(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=_environment(plan),
                    cwd=folder.path,
                    preexec_fn=_follow_the_supervisor if sys.platform == "linux" else None,
                )
                tell_started()
                watch.run(child)


def finish(folder: Path) -> None:
    """Write result.json from the rank files if it is missing, all ranks known to be gone: the last act of a job.

    Raises ConfigError when there is no run, OSError.
    """
    run_watch.finish(RunFolder.open(folder))


def _detached(plan: LaunchPlan) -> int:
    """Supervise in a process of its own; come back once it stands (0) or cannot (1, and why on standard error)."""
    if not hasattr(os, "fork"):
        raise RunFailed("a run can be started detached on Linux and macOS only", path=plan.folder)
    receiver, sender = os.pipe()
    if os.fork():
        os.close(sender)
        with os.fdopen(receiver, "rb") as stream:
            said = stream.read().decode(errors="replace")
        if said == "ok":
            return 0
        sys.stderr.write(f"{said or 'the supervisor died at once'}\n")
        return 1
    os.close(receiver)
    os.setsid()
    with os.fdopen(sender, "wb") as starter:

        def tell_started() -> None:
            starter.write(b"ok")
            starter.close()  # the end of the pipe is what the starter waits for
            _leave_the_terminal(plan.folder / "log" / "launcher.txt")

        try:
            supervise(plan, tell_started=tell_started)
        except (MSegStudioError, OSError) as error:
            if starter.closed:
                sys.stderr.write(f"{error}\n")
            else:
                starter.write(str(error).encode(errors="replace"))
            return 1
    return 0


def _leave_the_terminal(log: Path) -> None:
    """Standard streams to the log: the starter's pipes and terminal may go at any time."""
    for name, number, mode in ((os.devnull, 0, os.O_RDONLY), (log, 1, os.O_WRONLY | os.O_APPEND | os.O_CREAT)):
        descriptor = os.open(name, mode, 0o644)
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.dup2(1, 2)


@contextlib.contextmanager
def _locked(folder: Path, plan: LaunchPlan) -> Iterator[None]:
    """Hold the run's lock. Raises RunFailed when another supervisor holds it, or when old processes are alive."""
    import fcntl

    # One lock a machine: the folder may lie on a disk that all of them see, where locks hold for all of them too.
    name = f"launch.{plan.node_rank}.lock" if plan.node_rank else LOCK_FILE
    with (folder / name).open("ab") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise RunFailed("this run is going on already, or ends just now", path=folder) from error
        alive = () if plan.node_rank else run_processes(folder)
        if alive:
            raise RunFailed(f"processes of this run are still alive, as pid {alive[0].pid}; stop it first", path=folder)
        yield


def _clear(folder: RunFolder, plan: LaunchPlan) -> None:
    """Take away what an earlier start left, and say who supervises this one. Machine 0 does it for all."""
    if plan.node_rank:
        return
    folder.write_launch(
        world_size=plan.world_size,
        nnodes=plan.nnodes,
        engine="single" if plan.world_size == 1 else "torchrun",
        argv=plan.argv(),
        devices=list(plan.devices),
    )
    # The old result goes last: until then whoever looks sees the state of before, and nothing that never was.
    for path in (folder.progress_file, folder.path / STOP_FILE):
        path.unlink(missing_ok=True)
    shutil.rmtree(folder.path / "ranks", ignore_errors=True)
    (folder.path / "ranks").mkdir()
    folder.result_file.unlink(missing_ok=True)


def _environment(plan: LaunchPlan) -> dict[str, str]:
    own = own_process()
    return {**environment(plan), SUPERVISOR_ENV: f"{own['pid']}:{own['start_time']}", "PYTHONUNBUFFERED": "1"}


def _follow_the_supervisor() -> None:
    """In the child, before it becomes the launcher: SIGTERM when the supervisor dies; first to go when memory is short.

    Linux only; elsewhere ranks see by themselves that nobody watches over them (`supervisor_is_gone`).
    """
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as stream:  # noqa: PTH123
        stream.write("500")


@contextlib.contextmanager
def _orphans_come_here() -> Iterator[None]:
    """Ranks whose launcher was killed become children of this process (Linux), which ends and reaps them."""
    if sys.platform == "linux":
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
