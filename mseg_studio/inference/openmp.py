"""How many threads there are, and how torch's wait for one another. Torch-free: must be set before torch is imported.

By default they spin for milliseconds. On a machine where anything else runs that costs more than the work itself: with
two busy neighbours a street-small image took 10 s instead of 1.5 s on two cores.
"""

from __future__ import annotations

import os

from mseg_studio.settings import available_cores

ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "10000", "KMP_BLOCKTIME": "1"}
"""Sleep soon; GNU's OpenMP spins for some microseconds before, which keeps an idle machine as fast as it was."""

_NICE = 5


def wait_quietly() -> None:
    """Set what the person has not set. Call before the first import of torch; later it does nothing."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def threads_beside_a_window() -> int:
    """Threads of an inference process: one core is left for the window, unless that were half of the machine."""
    cores = available_cores()
    return cores if cores <= 2 else cores - 1


def let_others_first() -> None:
    """Run behind the window when both want a core (POSIX; elsewhere nothing changes)."""
    if hasattr(os, "nice"):
        os.nice(_NICE)
