"""Real processes of a run for tests: started as torchrun starts them, and always ended."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

LIMIT_S = 240.0
"""How long a test waits for anything: a busy machine is slow."""


def free_port() -> int:
    """A port nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def ranks_of(arguments: Sequence[str], *, world: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """`python *arguments` once a rank; killed at the end of the block."""
    port = free_port()
    processes = []
    try:
        for rank in range(world):
            place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
            environment = {**os.environ, **{name: str(value) for name, value in place.items()}}
            environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
            environment.pop("MSEG_STUDIO_SUPERVISOR", None)
            processes.append(subprocess.Popen([sys.executable, *arguments], env=environment))
        yield processes
    finally:
        for process in processes:
            process.send_signal(signal.SIGKILL)
        for process in processes:
            process.wait()


def codes(processes: Sequence[subprocess.Popen[bytes]]) -> list[int]:
    """Exit codes, waited for."""
    deadline = time.monotonic() + LIMIT_S
    return [process.wait(max(1.0, deadline - time.monotonic())) for process in processes]


def train(folder: Path, *, world: int) -> list[int]:
    """The run of a folder on so many processes to its end; their exit codes."""
    with ranks_of(["-m", "mseg_studio.training.worker", str(folder)], world=world) as processes:
        return codes(processes)


def wait_for(holds: Callable[[], bool], what: str) -> None:
    """Return when `holds`; fails after LIMIT_S."""
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.02)
