"""Watch over the processes of a run on one machine: who died, who lingers, what that makes of the run. Torch-free."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import time
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from mseg_studio.errors import printable
from mseg_studio.storage import write_json_atomic
from mseg_studio.training.failure import Death, Failure, death_words, first_failure
from mseg_studio.training.launch_plan import GRACE_S, LaunchPlan
from mseg_studio.training.run_folder import RunFolder
from mseg_studio.training.run_processes import (
    STOP_FILE,
    RunProcess,
    owner,
    rank_files,
    rank_processes,
    read_json,
)

_LOOK_S = 0.2
_PATIENCE_S = 6.0
"""How long the other ranks may take to end by themselves once one has failed."""
_LINGER_S = 5.0
"""How long the launcher may take to end once all ranks are gone."""
_ORPHAN_S = 20.0
"""How long ranks whose launcher was killed may take to save."""
_OTHER_MACHINES_S = 5.0
"""How long the end of a run waits for what ranks on other machines say."""
_EXITED = re.compile(rb"exitcode\s*: (-?\d+) \(pid: (\d+)\)|\(exitcode: (-?\d+)\) local_rank: \d+ \(pid: (\d+)\)")


class RunWatch:
    """From the start of a launcher to result.json."""

    def __init__(self, folder: RunFolder, plan: LaunchPlan, *, log_start: int) -> None:
        """`log_start` is the size of log/launcher.txt in bytes before this start."""
        self._folder, self._plan, self._log_start = folder, plan, log_start
        self._deaths: dict[int, Death] = {}
        self._stop_wanted = False
        self._stop_s: float | None = None
        self._failed_s: float | None = None
        self._all_gone_s: float | None = None
        self._killed = False
        self._memory_kills = _memory_kills()
        self._owner = owner(folder.path)

    def listen(self) -> None:
        """Take SIGTERM and SIGINT as the wish that the run stops; a closing terminal is no reason to."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._want_stop)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def run(self, child: subprocess.Popen[bytes]) -> None:
        """Watch until the launcher and all ranks of this machine are gone, then tell how the run ended."""
        while child.poll() is None:
            self._look(child)
            time.sleep(_LOOK_S)
        self._end_orphans(child.pid)
        self._tell_deaths(child)
        if self._plan.node_rank == 0:
            self._tell_end(child)

    def _want_stop(self, number: int, frame: FrameType | None) -> None:
        self._stop_wanted = True

    def _look(self, child: subprocess.Popen[bytes]) -> None:
        now_s = time.monotonic()
        if self._stop_wanted:
            self._stop_wanted = False
            self._stop(child, now_s)
        is_late = self._stop_s is not None and now_s > self._stop_s
        if is_late or (self._owner is not None and not self._owner.alive):
            self._kill(child)
        self._note_deaths()
        own = self._own()
        if self._failed_s is None and self._has_failed():
            self._failed_s = now_s
        if self._failed_s is not None and now_s > self._failed_s + _PATIENCE_S:
            for process in own.values():
                process.kill()
        if len(own) >= self._plan.processes and not any(process.alive for process in own.values()):
            self._all_gone_s = self._all_gone_s or now_s
            if now_s > self._all_gone_s + _LINGER_S:
                child.kill()

    def _own(self) -> dict[int, RunProcess]:
        """Ranks of this machine that have said who they are."""
        first = self._plan.node_rank * self._plan.processes
        found = rank_processes(self._folder.path)
        return {rank: found[rank] for rank in range(first, first + self._plan.processes) if rank in found}

    def _has_failed(self) -> bool:
        return first_failure(rank_files(self._folder.path), self._deaths) is not None

    def _stop(self, child: subprocess.Popen[bytes], now_s: float) -> None:
        """Ask the ranks to save and end; torchrun would kill them after half a minute of its own."""
        wish = read_json(self._folder.path / STOP_FILE)
        if not wish:
            wish = {"format": 1, "time": time.time(), "grace_s": GRACE_S, "kill": False}
            with contextlib.suppress(OSError):  # a full disk does not keep a run from being stopped
                write_json_atomic(self._folder.path / STOP_FILE, wish)
        if wish.get("kill"):
            self._kill(child)
            return
        if self._stop_s is None:
            self._stop_s = now_s + float(wish.get("grace_s", GRACE_S))
        own = self._own()
        for process in own.values():
            process.ask_to_stop()
        if len(own) < self._plan.processes:
            child.terminate()  # some have not begun yet: the launcher ends those that are left

    def _kill(self, child: subprocess.Popen[bytes]) -> None:
        self._killed = True
        for rank in self._own().values():
            rank.kill()
        for process in _family(child.pid):
            with contextlib.suppress(psutil.Error):
                process.kill()
        child.kill()

    def _note_deaths(self) -> None:
        """Write down who is gone without a word, at once: watchers of the run read it in the rank's file."""
        if self._killed:
            return
        for rank, process in self._own().items():
            if rank in self._deaths or process.alive:
                continue
            values = read_json(self._folder.rank_file(rank))  # again: it may have said its last word meanwhile
            if values.get("pid") == process.pid and "ended" not in values:
                self._deaths[rank] = Death(time.time())
                if self._stop_s is None:
                    self._tell_death(rank)

    def _tell_death(self, rank: int) -> None:
        death = self._deaths[rank]
        values = read_json(self._folder.rank_file(rank))
        step = int(read_json(self._folder.progress_file).get("step", 0))
        ended = {"status": "failed", "reason": death_words(death), "step": step, "time": death.time}
        with contextlib.suppress(OSError):  # a full disk: result.json or the log still tell it
            write_json_atomic(self._folder.rank_file(rank), {**values, "ended": {**ended, "lost_others": False}})

    def _end_orphans(self, launcher: int) -> None:
        """The launcher is gone: let ranks that it left behind save, and end them."""
        self._note_deaths()
        deadline_s = time.monotonic() + (0.0 if self._killed else _ORPHAN_S)
        asked = False
        while True:
            left: list[RunProcess | psutil.Process] = [one for one in self._own().values() if one.alive]
            left += _family(None)
            if not left:
                return
            late = time.monotonic() > deadline_s
            for process in left:
                with contextlib.suppress(psutil.Error):
                    if late:
                        process.kill()
                    elif not asked:
                        process.terminate() if isinstance(process, psutil.Process) else process.ask_to_stop()
            asked = True
            time.sleep(_LOOK_S)

    def _tell_deaths(self, child: subprocess.Popen[bytes]) -> None:
        """Now that the launcher has ended its log says how ranks died; say it in their files too."""
        codes = self._exit_codes(child)
        more_memory_kills = _memory_kills() > self._memory_kills
        ranks = rank_processes(self._folder.path)
        for rank, death in list(self._deaths.items()):
            code = codes.get(ranks[rank].pid) if rank in ranks else None
            if self._stop_s is not None and code == -signal.SIGTERM:
                del self._deaths[rank]  # it had not begun when the stop was wanted
                continue
            self._deaths[rank] = Death(death.time, code, more_memory_kills)
            self._tell_death(rank)

    def _exit_codes(self, child: subprocess.Popen[bytes]) -> dict[int, int]:
        """Exit code by pid: this process's own child, and what torchrun printed of its children."""
        codes = {child.pid: child.returncode}
        for match in _EXITED.finditer(self._log()):
            code, pid = (match[1], match[2]) if match[1] else (match[3], match[4])
            codes[int(pid)] = int(code)
        return codes

    def _log(self) -> bytes:
        """What this start printed: its newest 256 KiB."""
        try:
            with self._folder.launcher_log.open("rb") as stream:
                size = stream.seek(0, 2)
                stream.seek(max(self._log_start, size - (1 << 18)))
                return stream.read()
        except OSError:
            return b""

    def _tell_end(self, child: subprocess.Popen[bytes]) -> None:
        """Write result.json where rank 0 could not."""
        failure = self._failure()
        if self._folder.result_file.exists():
            return
        step, best = newest_step(self._folder), best_of(self._folder)
        if failure is not None:
            step = int(read_json(self._folder.progress_file).get("step", step))
            self._folder.write_result("failed", reason=failure.reason, step=step, best=best, rank=failure.rank)
        elif self._killed or self._stop_s is not None:
            reason = self._stop_words(step)
            self._folder.write_result("stopped", reason=reason, step=step, best=best)
        else:
            self._folder.write_result("failed", reason=self._launcher_words(child), step=step, best=best)

    def _stop_words(self, step: int) -> str:
        saved = (
            f"step {step} is saved, what came after it is lost" if step else "stopped before its first step was saved"
        )
        return f"killed because it did not stop by itself: {saved}" if self._killed and step else saved

    def _failure(self) -> Failure | None:
        """The cause; with several machines their ranks get a moment to say theirs."""
        deadline_s = time.monotonic() + (_OTHER_MACHINES_S if self._plan.nnodes > 1 and not self._killed else 0.0)
        while True:
            ranks = rank_files(self._folder.path)
            failure = first_failure(ranks, self._deaths)
            all_said = all("ended" in values for values in ranks.values())
            if all_said or time.monotonic() > deadline_s:
                return failure
            time.sleep(_LOOK_S)

    def _launcher_words(self, child: subprocess.Popen[bytes]) -> str:
        """Why the launcher ended where no rank says anything: the last error that was printed."""
        if child.returncode < 0:
            return f"the launcher was {death_words(Death(0.0, child.returncode))}"
        lines = [line.strip() for line in self._log().decode(errors="replace").splitlines() if line.strip()]
        errors = [line for line in lines if re.match(r"(\[rank\d+\]: *)?[\w.]*(Error|Exception)\b", line)]
        last = (errors or lines or [f"the launcher ended with exit code {child.returncode} and said nothing"])[-1]
        return printable(last)[:500]


def finish(folder: RunFolder) -> None:
    """Write result.json from what the ranks left, where rank 0 could not: all of them are known to be gone.

    Raises OSError.
    """
    if folder.result_file.exists():
        return
    ranks = rank_files(folder.path)
    gone = {rank: Death(time.time()) for rank, values in ranks.items() if "ended" not in values}
    failure = first_failure(ranks, gone) or Failure(None, "all ranks are gone and left no word")
    step = read_json(folder.progress_file).get("step", newest_step(folder))
    folder.write_result("failed", reason=failure.reason, step=int(step), best=best_of(folder), rank=failure.rank)


def newest_step(folder: RunFolder) -> int:
    """The step of the newest checkpoint; 0 without one."""
    try:
        return int((folder.checkpoints / "latest").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return 0


def best_of(folder: RunFolder) -> dict[str, Any] | None:
    """The best validation so far: {miou, step, checkpoint}; None before the first."""
    best = read_json(folder.checkpoints / "best" / "state.json").get("best")
    return best if isinstance(best, dict) else None


def _family(pid: int | None) -> list[psutil.Process]:
    """Living descendants of a process, or of this one."""
    try:
        found = psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []
    return [process for process in found if _is_living(process)]


def _is_living(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _memory_kills() -> int:
    """Processes that Linux has ended for want of memory, in this control group or on this machine."""
    for path in ("/sys/fs/cgroup/memory.events", "/proc/vmstat"):
        with contextlib.suppress(OSError, ValueError):
            text = Path(path).read_text(encoding="ascii")
            found = re.search(r"^oom_kill (\d+)$", text, re.MULTILINE)
            if found:
                return int(found[1])
    return 0
