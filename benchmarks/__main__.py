"""`make bench` and `make bench-quick`: every claim as a JSON line on stdout, then as a table.

    python -m benchmarks [--quick] [--only NAME,...]

A goal that is missed is said, and is no failure: the exit code is 1 only when something broke.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import traceback

from mseg_studio.inference.openmp import wait_quietly

_QUICK_S = 270.0
"""Repeats end here; what is under way may take a little longer."""
_OTHERS = (("benchmarks.window_start",), ("benchmarks.training_step", "--rounds", "2"), ("benchmarks.loss_step",))


def main() -> int:
    """Measure all; gives 1 when something broke."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="at most six minutes: the slowest runs only once")
    parser.add_argument("--only", default="", metavar="NAME,...", help="only these claims")
    arguments = parser.parse_args()
    import torch

    from benchmarks import claims, machine
    from benchmarks.rounds import Deadline
    from benchmarks.table import table
    from benchmarks.workload import HOME

    os.environ.setdefault("MSEG_STUDIO_HOME", str(HOME))
    torch.set_num_threads(machine.cores())
    facts = machine.facts()
    print(json.dumps({"machine": facts}), flush=True)
    names = set(filter(None, arguments.only.split(",")))
    chosen = [claim for claim in claims.ALL if not names or claim.__name__ in names]
    if arguments.quick:
        chosen = [claim for claim in chosen if claim in claims.QUICK]
    deadline = Deadline(_QUICK_S) if arguments.quick else Deadline()
    found, broken = [], 0
    for one in claims.run(chosen, claims.Measured(quick=arguments.quick, deadline=deadline)):
        if isinstance(one, Exception):
            traceback.print_exception(one)
            broken += 1
            continue
        found.append(one)
        print(json.dumps(one.as_dict()), flush=True)
    print(table(found, facts), flush=True)
    if not arguments.quick and not names:
        broken += sum(subprocess.run([sys.executable, "-m", *other]).returncode != 0 for other in _OTHERS)
    return 1 if broken else 0


if __name__ == "__main__":
    wait_quietly()
    sys.exit(main())
