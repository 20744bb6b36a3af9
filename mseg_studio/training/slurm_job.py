"""`python -m mseg_studio.training.slurm_job FOLDER`: what the batch script of a run does inside its job. Torch-free.

It starts one srun task a rank, passes the scheduler's warnings on, tells in result.json how the run ended where no rank
could, and puts the job back into the queue when it was warned and is not done. A requeued job runs all of it again: the
ranks go on from the newest checkpoint.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Literal

from mseg_studio.errors import MSegStudioError, printable
from mseg_studio.training.failure import Death, Failure, first_failure
from mseg_studio.training.run_folder import RunFolder
from mseg_studio.training.run_processes import STOP_FILE, rank_files, read_json
from mseg_studio.training.slurm import job_id_of, saved_so_far, write_launch
from mseg_studio.training.slurm_rank import EXIT_PORT_TAKEN, EXIT_STOPPED, is_port_free
from mseg_studio.training.slurm_script import sbatch_argv
from mseg_studio.training.slurm_state import SchedulerUnreachable, SlurmRefused, call, job_fields

Wish = Literal["", "stop", "requeue"]

_FIRST_PORT, _PORTS = 20000, 10000
"""Below the ports that systems give to outgoing connections (from 32768 on Linux)."""
_PORT_TRIES = 5
_REPEAT_S = 3.0
"""Time after which a warning is given again: srun drops one that comes before its tasks stand."""
_GRACE_S = 300.0
"""How long ranks may take to save when a person stops the run; the scheduler's own limits are the scheduler's."""
_REQUEUE_TRIES_S = 60.0
_TASK_ENDED = re.compile(r"^srun: error: \S+: tasks? (\d+)[\d,-]*: (.+)$", re.MULTILINE)
_SIGNAL_WORDS = {
    "Killed": signal.SIGKILL, "Terminated": signal.SIGTERM, "Segmentation fault": signal.SIGSEGV,
    "Aborted": signal.SIGABRT, "Bus error": signal.SIGBUS, "Illegal instruction": signal.SIGILL,
    "Floating point exception": signal.SIGFPE, "User defined signal 2": signal.SIGUSR2,
}  # fmt: skip


class SlurmJob:
    """One start of the run's job, from the first node of its allocation."""

    def __init__(self, folder: RunFolder, environment: Mapping[str, str]) -> None:
        """`environment` is what Slurm gave the batch script. Raises KeyError when that is no job."""
        self._folder = folder
        self._environment = environment
        self._id = environment["SLURM_JOB_ID"]
        self._nodes = int(environment.get("SLURM_JOB_NUM_NODES", "1"))
        self._per_node = int(environment.get("SLURM_NTASKS_PER_NODE", "1"))
        self._world = self._nodes * self._per_node
        self._wish: Wish = ""
        self._wished_s = 0.0
        self._ended = False
        self._log_start = 0

    def listen(self) -> None:
        """SIGUSR2 is the scheduler's warning: save and queue again. SIGTERM is an end: save, and no more."""
        signal.signal(signal.SIGUSR2, self._note_signal)
        signal.signal(signal.SIGTERM, self._note_signal)

    def run(self) -> int:
        """Run the ranks to their end and tell it; the exit code of the job. Raises OSError."""
        self._clear()
        code = self._srun()
        if self._preempted():
            self._wish = "requeue"
        status = self._finish(code)
        if status == "stopped" and self._wish == "requeue":
            self._requeue()
        return 1 if status == "failed" else 0

    def _note_signal(self, number: int, frame: FrameType | None) -> None:
        wish: Wish = "requeue" if number == signal.SIGUSR2 else "stop"
        if self._wish != "stop":
            self._wish, self._wished_s = wish, time.monotonic()

    def _clear(self) -> None:
        """Take away what an earlier start left; say which job runs the folder where a person called sbatch by hand."""
        for path in (self._folder.result_file, self._folder.progress_file):
            path.unlink(missing_ok=True)
        shutil.rmtree(self._folder.path / "ranks", ignore_errors=True)
        (self._folder.path / "ranks").mkdir()
        stop_file = self._folder.path / STOP_FILE
        if job_id_of(self._folder.path) != self._id:
            stop_file.unlink(missing_ok=True)
            argv = sbatch_argv(self._folder.path)
            write_launch(self._folder.path, job_id=self._id, argv=argv, world_size=self._world, nnodes=self._nodes)
        if stop_file.exists():
            self._wish = "stop"  # asked for before this process could listen
        restarts = self._environment.get("SLURM_RESTART_COUNT", "0")
        again = f", restart {restarts}" if restarts != "0" else ""
        _say(f"job {self._id} on {self._environment.get('SLURM_JOB_NODELIST', '?')}{again}")

    def _srun(self) -> int:
        """Run all ranks; srun's exit code. A port that was taken between its choice and its use is chosen again."""
        address, port = _own_address(self._environment.get("SLURMD_NODENAME", "")), int(self._id) % _PORTS
        code = EXIT_STOPPED
        for _ in range(_PORT_TRIES):
            if self._wish:
                break
            port = next(n for n in (*range(port, _PORTS), *range(port)) if is_port_free(_FIRST_PORT + n))
            self._log_start = _size(self._folder.launcher_log)
            code = self._step(address, _FIRST_PORT + port)
            if code != EXIT_PORT_TAKEN:
                break
            port = (port + 1) % _PORTS
        return code

    def _step(self, address: str, port: int) -> int:
        argv = [
            "srun", f"--nodes={self._nodes}", f"--ntasks={self._world}", f"--ntasks-per-node={self._per_node}",
            "--export=ALL", "--kill-on-bad-exit=1", "--wait=0", "--label", "--input=none",
        ]  # fmt: skip
        cpus = self._environment.get("SLURM_CPUS_PER_TASK")
        argv += [f"--cpus-per-task={cpus}"] if cpus else []  # srun no longer inherits it, since Slurm 22.05
        argv += [sys.executable, "-m", "mseg_studio.training.slurm_rank", str(self._folder.path)]
        meet = {"MASTER_ADDR": address, "MASTER_PORT": str(port), "LOCAL_WORLD_SIZE": str(self._per_node)}
        meet |= {"PYTHONUNBUFFERED": "1"}
        _say(f"ranks meet at {address}:{port}: {shlex.join(argv)}")
        with subprocess.Popen(argv, env={**self._environment, **meet}, start_new_session=True) as srun:
            return self._wait(srun)

    def _wait(self, srun: subprocess.Popen[bytes]) -> int:
        """Wait for srun; pass wishes on as SIGUSR2, the one that reaches the ranks (SIGTERM makes srun kill them)."""
        told_s = 0.0
        while True:
            try:
                return srun.wait(0.1)
            except subprocess.TimeoutExpired:
                now_s = time.monotonic()
            if self._wish and now_s - told_s >= _REPEAT_S:
                srun.send_signal(signal.SIGUSR2)
                told_s = now_s
            if self._wish == "stop" and now_s - self._wished_s > self._grace_s():
                _say("the ranks did not save in time and are ended")
                self._ended = True
                srun.terminate()
                self._wished_s = now_s

    def _grace_s(self) -> float:
        return float(read_json(self._folder.path / STOP_FILE).get("grace_s", _GRACE_S))

    def _preempted(self) -> bool:
        """Whether the ranks were ended by a preemption without a warning to this script; a scancel looks the same."""
        if self._wish or read_json(self._folder.result_file).get("status") != "stopped":
            return False
        try:
            fields = job_fields(self._id)
        except MSegStudioError:
            return False
        return fields.get("JobState") == "RUNNING" and fields.get("PreemptTime", "None") != "None"

    def _finish(self, code: int) -> str:
        """How the run ended, written to result.json where rank 0 could not."""
        said = read_json(self._folder.result_file).get("status")
        if said in ("finished", "stopped", "failed"):
            return str(said)
        step, best = saved_so_far(self._folder)
        failure = self._failure()
        if self._ended or (self._wish and (failure is None or code in (EXIT_STOPPED, 128 + signal.SIGUSR2))):
            reason = f"ended with step {step} saved" if step else "stopped before its first checkpoint"
            self._folder.write_result("stopped", reason=reason, step=step, best=best)
            return "stopped"
        nothing = f"srun ended with exit code {code} and said nothing"
        reason = failure.reason if failure else self._last_words() or nothing
        step = int(read_json(self._folder.progress_file).get("step", step))
        rank = failure.rank if failure else None
        self._folder.write_result("failed", reason=reason, step=step, best=best, rank=rank)
        return "failed"

    def _failure(self) -> Failure | None:
        """The first rank that failed: from what ranks say in their files and srun of those that could not."""
        ranks = {**{rank: {} for rank in range(self._world)}, **rank_files(self._folder.path)}
        deaths: dict[int, Death] = {}
        said = self._said()
        first = _TASK_ENDED.search(said)  # those after it were ended because of it
        if first and "ended" not in ranks.get(int(first[1]), {}):
            deaths[int(first[1])] = Death(0.0, _exit_code(first[2]), "oom" in said.lower() or "Out Of Mem" in first[2])
        failure = first_failure(ranks, deaths)
        if failure is not None and failure.rank in deaths and (deaths[failure.rank].exit_code or 0) > 0:
            return Failure(failure.rank, self._last_words(f"{failure.rank}: ") or failure.reason)
        return failure

    def _last_words(self, label: str = "") -> str:
        """The last error that was printed, by the rank that srun gives this label or by anyone."""
        lines = [line.removeprefix(label).strip() for line in self._said().splitlines() if line.startswith(label)]
        errors = [line for line in lines if re.match(r"(srun: error: |[\w.]*(Error|Exception)\b)", line)]
        return printable(([line for line in errors or lines if line] or [""])[-1])[:500]

    def _said(self) -> str:
        """What this start printed: its newest 256 KiB."""
        try:
            with self._folder.launcher_log.open("rb") as stream:
                stream.seek(max(self._log_start, _size(self._folder.launcher_log) - (1 << 18)))
                return stream.read().decode(errors="replace")
        except OSError:
            return ""

    def _requeue(self) -> None:
        """Back into the queue. Slurm ends this process by it; where it cannot, the run is stopped and says so."""
        result = read_json(self._folder.result_file)
        self._folder.result_file.unlink(missing_ok=True)  # it goes on: a waiting run has no result
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        deadline_s = time.monotonic() + _REQUEUE_TRIES_S
        while True:
            try:
                _say(f"job {self._id} goes back into the queue")
                call(["scontrol", "requeue", self._id])
                return
            except SchedulerUnreachable as error:
                problem: MSegStudioError = error
            except SlurmRefused as error:
                problem, deadline_s = error, 0.0
            if time.monotonic() > deadline_s:
                break
            time.sleep(_REPEAT_S)
        reason = f"everything is saved, but the job could not be queued again: {problem.reason}"
        self._folder.write_result("stopped", reason=reason, step=result.get("step", 0), best=result.get("best"))


def main(arguments: Sequence[str]) -> int:
    """Run the folder's job; exit code 1 when the run failed."""
    if len(arguments) != 1 or "SLURM_JOB_ID" not in os.environ:
        sys.stderr.write("a batch script of Slurm calls this with the folder of a run; see docs/slurm.md\n")
        return 1
    job = SlurmJob(RunFolder(Path(arguments[0])), os.environ)
    job.listen()
    try:
        return job.run()
    except (MSegStudioError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _own_address(node: str) -> str:
    """The address under which the other nodes reach this one: Slurm's own, else the host's name."""
    try:
        found = re.search(r"\bNodeAddr=(\S+)", call(["scontrol", "-o", "show", "node", node])) if node else None
    except MSegStudioError:
        found = None
    return found[1] if found else socket.gethostname()


def _exit_code(words: str) -> int | None:
    """Exit code of a task in srun's words; minus the signal that ended it."""
    number = re.search(r"exit code (\d+)", words)
    if number:
        return int(number[1])
    return next((-int(value) for text, value in _SIGNAL_WORDS.items() if words.startswith(text)), None)


def _say(text: str) -> None:
    """One line into the batch script's output, log/launcher.txt."""
    sys.stdout.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")
    sys.stdout.flush()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
