"""`make bench`: every measurement, one after the other; each prints JSON lines."""

from __future__ import annotations

import subprocess
import sys

RUNS = (
    ("benchmarks.window_start",),
    ("benchmarks.training_step", "--rounds", "2"),
    ("benchmarks.w48_1080p", "fast", "balanced", "paper"),
)


def main() -> int:
    """Run all; gives 1 when one of them failed."""
    failed = [run[0] for run in RUNS if subprocess.run([sys.executable, "-m", *run]).returncode != 0]
    for name in failed:
        print(f"failed: {name}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
