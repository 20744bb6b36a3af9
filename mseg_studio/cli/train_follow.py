"""Follow a run on the terminal from its files, until it ends; Ctrl-C stops it."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mseg_studio.cli.command import CANCELLED, FAILED, OK
from mseg_studio.cli.terminal import ProgressLine, cancel_on_signals, print_json
from mseg_studio.errors import printable
from mseg_studio.progress import Progress

if TYPE_CHECKING:
    from mseg_studio.training.run_state import RunState

_LOOK_S = 0.25
_STEP_LINE_S = 10.0
"""Between two lines about steps where no progress line can be drawn."""


def follow(folder: Path, *, as_json: bool = False, after: int = 0) -> int:
    """Show a run that was started until it ends; gives the exit code: 0 finished, 1 failed or lost, 130 stopped.

    The first Ctrl-C (or SIGTERM) lets it save and stop, the second kills it. `after` is how many bytes of its metrics
    are old. Raises OSError.
    """
    from mseg_studio.training.launcher import GRACE_S, stop
    from mseg_studio.training.run_state import read_state

    told = _Told(folder, as_json=as_json, after=after, best=read_state(folder).miou)
    asked = killed = False
    with cancel_on_signals() as cancel:
        while True:
            try:
                state = read_state(folder)
                told.events()
                told.state(state)
                if not state.is_going:
                    break
                if cancel.cancelled and not asked:
                    asked = True
                    told.message(f"stopping: it saves and ends, within {GRACE_S:g} s; Ctrl-C again kills it")
                    stop(folder)
                time.sleep(_LOOK_S)
            except KeyboardInterrupt:
                if not killed:
                    told.message("killing it; what came after the newest checkpoint is lost")
                killed = True
                stop(folder, kill=True)
    told.events()
    told.end(state)
    return {"finished": OK, "stopped": CANCELLED}.get(state.state, FAILED)


def metrics_size(folder: Path) -> int:
    """Bytes of a run's metrics now: what comes after is new. 0 without any."""
    try:
        return (folder / "metrics.jsonl").stat().st_size
    except OSError:
        return 0


class _Told:
    """What was said of a run, and how."""

    def __init__(self, folder: Path, *, as_json: bool, after: int, best: float | None) -> None:
        self._path, self._offset, self._rest = folder / "metrics.jsonl", after, b""
        self._as_json = as_json
        self._line = ProgressLine()
        self._best = best if after else None  # of what comes, only what is better than before is the best
        self._step_line_s = time.monotonic()
        self._said = ""

    def events(self) -> None:
        """Tell what is new in the metrics."""
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._offset)
                data = stream.read()
        except OSError:
            return
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            try:
                event = json.loads(line)
            except ValueError:
                continue  # a line that a kill tore
            if isinstance(event, dict):
                self._event(event)

    def state(self, state: RunState) -> None:
        """Draw how far it is."""
        if state.state in ("queued", "waiting") or (state.state == "stopping" and state.reason):
            text = f"{state.state}: {state.reason}" if state.reason else state.state
            if text != self._said and not self._as_json:
                self.message(text)
            self._said = text
        if not state.is_going:
            return
        parts = [state.phase or state.state]
        if state.phase == "validating" and state.total:
            parts = [f"validating {state.done}/{state.total}"]
        if state.loss is not None:
            parts.append(f"loss {state.loss:.4g}")
        if state.miou is not None:
            parts.append(f"mIoU {100 * state.miou:.2f} %")
        self._line.show(Progress(min(state.step, state.steps), state.steps, "  ".join(parts), state.seconds_left))

    def message(self, text: str) -> None:
        """Say something on stderr."""
        self._line.message(f"mseg-studio: {text}")

    def end(self, state: RunState) -> None:
        """Tell how it ended."""
        from mseg_studio.training.run_state import as_json

        self._line.done()
        if self._as_json:
            print_json({"result": as_json(state)})
        if state.state in ("finished", "stopped"):
            if not self._as_json:
                best = "" if state.miou is None else f", best mIoU {100 * state.miou:.2f} %"
                print(f"{state.state} at step {state.step} of {state.steps}{best}")
            return
        rank = "" if state.rank is None else f"rank {state.rank}: "
        self.message(f"error: {state.state}: {rank}{printable(state.reason)}")
        if state.advice:
            self.message(printable(state.advice))

    def _event(self, event: dict[str, Any]) -> None:
        if self._as_json:
            print_json(event)
            return
        for text in self._words(event):
            self._line.done()
            print(printable(text), flush=True)

    def _words(self, event: dict[str, Any]) -> list[str]:
        """Lines for an event that a person wants to see; none for the others."""
        kind, step = event.get("event"), event.get("step")
        if kind == "validation":
            miou = event.get("miou") or 0.0
            is_best, self._best = self._best is None or miou > self._best, max(self._best or 0.0, miou)
            loss = event.get("loss")
            shown = f", loss {loss:.4g}" if isinstance(loss, float) else ""
            return [f"step {step}: mIoU {100 * miou:.2f} %{shown}{', the best so far' if is_best else ''}"]
        if kind == "step" and not sys.stderr.isatty() and time.monotonic() - self._step_line_s >= _STEP_LINE_S:
            self._step_line_s = time.monotonic()
            loss, rate = event.get("loss"), event.get("images_per_s")
            return [f"step {step}: loss {loss if loss is not None else 'no number'}, {rate} images/s"]
        if kind == "start":
            return [str(line) for line in event.get("lines", ())]
        if kind == "resume":
            return [*map(str, event.get("complaints", ())), f"goes on from step {step}"]
        if kind == "skipped":
            return [f"step {step}: skipped, the loss or a gradient was no number"]
        return []
