"""A real Slurm of one's own for tests: munged, slurmctld and two slurmd on this host, without root or systemd.

Everything lies in one short folder (sockets allow 108 bytes a path). A process of its own waits for the end of the
test's process, also for its sudden death, and then kills whatever works in that folder: daemons, steps, jobs.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel")
_TEMPORARY = "/tmp"
"""A short path; TMPDIR may be a long one."""
_SBIN = ("/usr/sbin", "/usr/local/sbin", "/sbin")

_CONF = """\
ClusterName=msegtest
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/run/munge.sock
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd-%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SlurmdParameters=config_overrides
SchedulerParameters=bf_interval=1,sched_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
MpiDefault=none
ReturnToService=2
KillWait=2
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1 RealMemory=2000
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1 RealMemory=2000
PartitionName=low Nodes=ALL Default=YES MaxTime=60 State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime={grace_s}
PartitionName=high Nodes=ALL MaxTime=60 State=UP PriorityTier=10 PreemptMode=OFF
"""


class ClusterDidNotStart(Exception):
    """What the daemons said."""


class Cluster:
    """A running cluster; `environment` makes Slurm's commands talk to it."""

    def __init__(self, folder: Path, *, grace_s: int = 60) -> None:
        """Start everything in the empty folder `folder`. Raises ClusterDidNotStart."""
        self.folder = folder
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._reaper = subprocess.Popen(
            [sys.executable, __file__, str(folder)], stdin=subprocess.PIPE, start_new_session=True
        )
        folder.chmod(0o755)  # munged insists that everybody can reach its socket
        for part in ("run", "state", "spool/n1", "spool/n2", "log"):
            (folder / part).mkdir(parents=True)
        host = socket.gethostname().split(".")[0]
        conf = folder / "slurm.conf"
        conf.write_text(
            _CONF.format(host=host, user=getpass.getuser(), folder=folder, ports=_free_ports(3), grace_s=grace_s)
        )
        self.environment = {"SLURM_CONF": str(conf)}
        try:
            self._start_munge()
            self.start_controller()
            for node in ("n1", "n2"):
                self._spawn(f"slurmd-{node}", ["slurmd", "-D", "-N", node, "-f", str(conf)])
            self._until(lambda: self._idle_nodes() == 2, "both nodes are idle")
        except BaseException:
            self.close()
            raise

    def start_controller(self) -> None:
        """Start slurmctld (again) and wait until it answers."""
        self._spawn("slurmctld", ["slurmctld", "-D", "-f", self.environment["SLURM_CONF"]])
        self._until(lambda: "UP" in self.run("scontrol", "ping", check=False), "slurmctld answers")

    def kill_controller(self, job_id: str) -> None:
        """SIGKILL to slurmctld once it has saved what it knows of a job (it does so every five seconds); jobs go on."""
        saved, before = self.folder / "state" / "job_state", time.time()
        self.run("scontrol", "update", f"JobId={job_id}", "Comment=save")
        self._until(lambda: saved.exists() and saved.stat().st_mtime > before, "slurmctld has saved its jobs")
        daemon = self._daemons.pop("slurmctld")
        daemon.kill()
        daemon.wait()

    def run(self, *argv: str, check: bool = True, timeout_s: float = 30) -> str:
        """Standard output of a command of Slurm."""
        done = subprocess.run(
            argv, env=os.environ | self.environment, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        assert not check or done.returncode == 0, f"{argv}: {done.stderr}"
        return done.stdout

    def start_now(self, job_id: str) -> None:
        """Let a requeued job begin without its two minutes in the queue."""
        self.run("scontrol", "update", f"JobId={job_id}", "StartTime=now")

    def cancel_all(self) -> None:
        """Take every job off and wait until the nodes are free."""
        self.run("scancel", "--user", getpass.getuser(), "--full", "--signal=KILL", check=False)
        self.run("scancel", "--user", getpass.getuser(), check=False)
        self._until(lambda: self._idle_nodes() == 2, "both nodes are idle again")

    def logs(self) -> str:
        """The ends of what the daemons wrote."""
        files = sorted((self.folder / "log").iterdir())
        return "\n".join(f"{file.name}: ...{file.read_text(errors='replace')[-1500:]}" for file in files)

    def close(self) -> None:
        """Kill all of it, jobs too, and remove the folder."""
        self._reaper.communicate(timeout=60)
        for daemon in self._daemons.values():
            daemon.wait()

    def _start_munge(self) -> None:
        run, log = self.folder / "run", self.folder / "log"
        run.chmod(0o755)
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        log.chmod(0o700)
        files = {"key-file": key, "socket": run / "munge.sock", "pid-file": run / "munged.pid"}
        files |= {"log-file": log / "munged.log", "seed-file": self.folder / "munged.seed"}
        self._spawn("munged", ["munged", "--foreground", *(f"--{name}={path}" for name, path in files.items())])
        self._until(lambda: (run / "munge.sock").exists(), "munged listens")

    def _spawn(self, name: str, argv: list[str]) -> None:
        program = _program(argv[0])
        assert program is not None
        with (self.folder / "log" / f"{name}.out").open("ab") as out:
            self._daemons[name] = subprocess.Popen(
                [program, *argv[1:]], cwd=self.folder, env=os.environ | self.environment,
                stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True,
            )  # fmt: skip

    def _idle_nodes(self) -> int:
        return self.run("sinfo", "-h", "-N", "-p", "low", "-o", "%T", check=False).split().count("idle")

    def _until(self, condition: Callable[[], bool], what: str, *, timeout_s: float = 30) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            dead = [name for name, daemon in self._daemons.items() if daemon.poll() is not None]
            if dead or time.monotonic() > deadline:
                raise ClusterDidNotStart(f"not within {timeout_s:g} s: {what}; ended: {dead}\n{self.logs()}")
            time.sleep(0.05)


@contextlib.contextmanager
def private_cluster(*, grace_s: int = 60) -> Iterator[Cluster]:
    """A cluster for the block; skips the test, with the reason, where Slurm is missing or does not start."""
    missing = [name for name in NEEDED if _program(name) is None]
    if missing:
        pytest.skip(f"no Slurm here: {', '.join(missing)} missing (apt-get install slurm-wlm munge)")
    complaint = ""
    for _ in range(3):  # another process may take a port between our choice and the daemon's start
        try:
            cluster = Cluster(Path(tempfile.mkdtemp(prefix="mseg-slurm-", dir=_TEMPORARY)), grace_s=grace_s)
        except ClusterDidNotStart as error:
            complaint = str(error)
            continue
        try:
            yield cluster
        finally:
            cluster.close()
        return
    pytest.skip(f"Slurm does not start here: {complaint}")


def _program(name: str) -> str | None:
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(_SBIN))


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _reap(folder: Path) -> None:
    """Wait until whoever holds the other end of standard input is gone; then kill what works in the folder."""
    sys.stdin.buffer.read()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and (found := _processes_of(folder)):
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        time.sleep(0.05)
    shutil.rmtree(folder, ignore_errors=True)


def _processes_of(folder: Path) -> list[psutil.Process]:
    """Daemons and steps work in the folder (and hide their environment); what jobs run has its slurm.conf."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            own_conf = process.environ().get("SLURM_CONF") == str(folder / "slurm.conf")
            if own_conf or Path(process.cwd()).is_relative_to(folder):
                found.append(process)
    return found


if __name__ == "__main__":
    _reap(Path(sys.argv[1]))
