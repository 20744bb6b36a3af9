"""`srun python -m mseg_studio.training.slurm_rank FOLDER`: one rank of a run, as one task of a Slurm job. Torch-free.

Slurm's tasks differ from torchrun's processes in two ways that this module takes care of. The scheduler warns with
SIGUSR2, which would end a process that does not know it: here it becomes SIGTERM, which asks the worker to save. And
srun ends all tasks as soon as one exits with an error: "stopped, everything saved" must not look like one, or the first
rank that is done would end those that still save.
"""

from __future__ import annotations

import importlib
import os
import signal
import socket
import sys
from collections.abc import Sequence
from types import FrameType

EXIT_STOPPED = 75
"""Asked to stop before there was anything to save: srun may end the other ranks."""
EXIT_PORT_TAKEN = 76
"""Another process took the port at which the ranks were to meet: start again with another one."""


_NAMES = {"RANK": "SLURM_PROCID", "WORLD_SIZE": "SLURM_NTASKS", "LOCAL_RANK": "SLURM_LOCALID"}
"""What torch and the worker call a rank's place, and what Slurm calls it."""


def main(arguments: Sequence[str]) -> int:
    """Be the rank that SLURM_PROCID says, in the run of the folder that is given; 0 when it finished or was stopped."""
    signal.signal(signal.SIGTERM, _leave_at_once)
    signal.signal(signal.SIGUSR2, _ask_to_stop)
    for name, source in _NAMES.items():
        os.environ[name] = os.environ[source]
    if os.environ["RANK"] == "0" and not is_port_free(int(os.environ["MASTER_PORT"])):
        return EXIT_PORT_TAKEN
    worker = importlib.import_module("mseg_studio.training.worker")
    code: int = worker.main(list(arguments))
    return 0 if code == worker.EXIT_STOPPED else code


def is_port_free(port: int) -> bool:
    """Whether a server can listen at a TCP port of this machine now."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as torch does: a connection that lingers is no harm
        try:
            one.bind(("", port))
            one.listen(1)
        except OSError:
            return False
    return True


def _leave_at_once(number: int, frame: FrameType | None) -> None:
    """Before the worker listens itself: no rank can have begun a step while this one is not there."""
    raise SystemExit(EXIT_STOPPED)


def _ask_to_stop(number: int, frame: FrameType | None) -> None:
    """The scheduler's warning is the same wish as SIGTERM, whoever listens to that."""
    signal.raise_signal(signal.SIGTERM)


if __name__ == "__main__":
    importlib.import_module("mseg_studio.training.worker").leave(main(sys.argv[1:]))
