"""`python -m mseg_studio.training.worker FOLDER [--config RECIPE.yaml]`: start or continue the run of a folder.

Exit codes: 0 finished, 1 failed, 75 stopped by a signal with everything saved (start it again to go on).
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType

from mseg_studio.errors import MSegStudioError
from mseg_studio.progress import CancelToken
from mseg_studio.training.config_file import load_config
from mseg_studio.training.loop import TrainLoop
from mseg_studio.training.metrics_log import MetricsLog
from mseg_studio.training.run_folder import RunFolder

EXIT_STOPPED = 75
"""EX_TEMPFAIL: schedulers requeue it."""


def main(arguments: Sequence[str]) -> int:
    """Run the folder's configuration to its end or to a signal; the result is in result.json."""
    parser = argparse.ArgumentParser(prog="python -m mseg_studio.training.worker", description="Train a network.")
    parser.add_argument("folder", type=Path, help="folder of the run")
    parser.add_argument("--config", type=Path, help="configuration of a new run; without it the folder's own is used")
    options = parser.parse_args(arguments)
    try:
        if options.config is not None:
            folder = RunFolder.create(options.folder, load_config(options.config))
        else:
            folder = RunFolder.open(options.folder)
    except (MSegStudioError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    stop = CancelToken()
    with _signals_set(stop):
        return _run(folder, stop)


@contextlib.contextmanager
def _signals_set(stop: CancelToken) -> Iterator[None]:
    """SIGTERM and Ctrl-C ask for a stop inside the block; the step that is under way ends first."""

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        stop.cancel()

    before = {number: signal.signal(number, ask_to_stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(folder: RunFolder, stop: CancelToken) -> int:
    """Train and write result.json, whatever happens; a killed process leaves none."""
    loop: TrainLoop | None = None
    try:
        folder.result_file.unlink(missing_ok=True)
        folder.write_launch(world_size=1)
        with contextlib.closing(MetricsLog(folder.metrics_file)) as log:
            loop = TrainLoop(folder, folder.config(), log=log)
            folder.write_rank(0, device=str(loop.device))
            folder.append_log(0, f"from step {loop.step} on {loop.device}")
            finished = loop.run(stop)
        folder.append_log(0, f"{'finished' if finished else 'stopped'} at step {loop.step}")
    except Exception as error:  # noqa: BLE001 - the last place where a failure can be told
        reason = str(error) if isinstance(error, MSegStudioError) else f"{type(error).__name__}: {error}"
        sys.stderr.write(f"{reason}\n")
        with contextlib.suppress(OSError):  # a full disk is told on standard error alone
            folder.append_log(0, traceback.format_exc().rstrip())
            step, best = (loop.step, loop.best) if loop else (0, None)
            folder.write_result("failed", reason=reason, step=step, best=best)
        return 1
    if finished:
        folder.write_result("finished", reason="all steps done", step=loop.step, best=loop.best)
        return 0
    folder.write_result("stopped", reason="asked to stop; everything is saved", step=loop.step, best=loop.best)
    return EXIT_STOPPED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
