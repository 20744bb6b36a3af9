"""The training loop of one process among any number. It writes the run folder and knows nothing of who watches."""

from __future__ import annotations

import json
import math
import time
import zlib
from typing import Any

import psutil
import torch

from mseg_studio.errors import CheckpointError, ConfigError, RunFailed, printable
from mseg_studio.progress import Cancelled, CancelToken, Progress
from mseg_studio.training.average import WeightAverage
from mseg_studio.training.checkpoint import RunState, clean_up, load_newest, save_checkpoint
from mseg_studio.training.config import MAY_CHANGE_ON_RESUME, TrainConfig
from mseg_studio.training.config_file import config_as_dict, config_from_dict
from mseg_studio.training.loader import CropLoader, StepBatch
from mseg_studio.training.metrics_log import MetricsLog, validation_events
from mseg_studio.training.optim import load_optimizer, optimizer_tensors
from mseg_studio.training.pace import Pace
from mseg_studio.training.progress_file import Phase, ProgressFile
from mseg_studio.training.ranks import Ranks
from mseg_studio.training.run_folder import RunFolder
from mseg_studio.training.run_parts import RunParts
from mseg_studio.training.sample_predictions import chosen_images, write_samples
from mseg_studio.training.schedule import learning_rate
from mseg_studio.training.step import StepOutcome, TrainStep
from mseg_studio.training.validation import Validation, validate

MAX_BAD_STEPS = 10
"""Steps in a row with a loss or gradient that is no number, after which the run gives up."""
_LINES_BYTES = 3000


class TrainLoop:
    """One run in one process on one device: build or resume, then `run`. Every process makes one alike.

    `step` and `best` say how far it is, also after `run` raised. Only the first process writes, but for its log.
    """

    def __init__(
        self,
        folder: RunFolder,
        config: TrainConfig,
        *,
        log: MetricsLog | None,
        ranks: Ranks | None = None,
        stop: CancelToken | None = None,
    ) -> None:
        """Load the data and the newest checkpoint; `log` is the first process's.

        Raises ConfigError, DatasetError, RankLost, CheckpointError when there are checkpoints and none verifies, and
        Cancelled in every process when `stop` is set in one.
        """
        self.ranks = ranks or Ranks.start(config.device)
        self._folder, self._log = folder, log
        self._progress = ProgressFile(folder.progress_file, steps=config.steps)
        self.step = 0
        self.best: dict[str, Any] | None = None
        self._losses: list[float] = []
        self._validated_step, self._saved_step, self._saved_validated, self._bad_steps = 0, 0, 0, 0
        self._say("loading", 0, 0)
        self.ranks.first_tells(lambda: clean_up(folder.checkpoints))
        state, complaints = _newest(folder, self.ranks)
        parts = RunParts.load(config, self.ranks, fresh=state is None, cancel=stop)
        self._parts, self._config = parts, parts.config
        self._average = WeightAverage(parts.network, decay=config.optim.average_decay)
        self._step = TrainStep(parts.objective, parts.optimizer, parts.config, self.ranks)
        self._pace = Pace(parts.config)
        self._images = chosen_images(parts.config, parts.val)
        self._data_sha256 = self.ranks.first_tells(lambda: parts.train.sha256)
        if state is None:
            self._begin()
        else:
            self._resume(state, complaints)

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        return self.ranks.device

    def run(self, stop: CancelToken) -> bool:
        """Train to the last step (True), or save and come back after the step in which `stop` is set (False).

        `stop` may be set in one process only. Raises RunFailed when the loss stays non-finite or a checkpoint cannot
        be written, RankLost when another process is gone, OSError when the folder cannot be written.
        """
        config, ranks = self._config, self.ranks
        if not self._validate_if_due(stop):
            return False
        if self.step >= config.steps:
            self._save()  # its validation was cut short, and nothing else would keep what it came to
        with CropLoader(
            self._parts.train,
            config,
            rank=ranks.rank,
            world=ranks.world,
            first_step=self.step,
            processes=ranks.local_world,
        ) as loader:
            self._pace.begin()
            while self.step < config.steps:
                if ranks.any(stop.cancelled):
                    self._save()
                    return False
                self._train_step(loader.next())
                if not self._validate_if_due(stop):
                    return False
                if self._is_due(config.save_every):
                    self._save()
                self._pace.begin()
        return True

    def _train_step(self, batch: StepBatch) -> None:
        """One optimizer step and what is written about it."""
        outcome = self._step.take(batch)
        if outcome.taken:
            self._bad_steps = 0
            self._average.update(self._parts.network, step=self.step)
            self._losses.append(outcome.loss)
        else:
            self._skip(batch)
        self._pace.step_done(wait_s=batch.wait_s)
        self.step += 1
        if self._is_due(self._config.log_every):
            self._write_step(outcome)
        self._say("training", self.step, self._config.steps)

    def _skip(self, batch: StepBatch) -> None:
        """Note a step whose loss or gradient was no number; too many in a row end the run, alike in all processes."""
        self._bad_steps += 1
        names = [printable(name) for part in self.ranks.gather(list(batch.names)) for name in part]
        self._write("skipped", names=_fitting(names), in_a_row=self._bad_steps)
        self._tell(f"step {self.step}: the loss or a gradient was no number, step skipped; samples {', '.join(names)}")
        if self._bad_steps >= MAX_BAD_STEPS:
            kept = (
                f"; the checkpoint of step {self._saved_step} holds the last good weights" if self._saved_step else ""
            )
            last = ", ".join(_fitting(names))
            raise RunFailed(f"the loss was no number in {MAX_BAD_STEPS} steps in a row, last with {last}{kept}")

    def _write_step(self, outcome: StepOutcome) -> None:
        rate, wait = self._pace.lap()
        waits, memory = zip(*self.ranks.gather([wait, _memory_bytes(self.device)]), strict=True)
        more: dict[str, Any] = {}
        names = [dataset.name for dataset in self._config.trained]
        if len(names) > 1:
            more["loss_by_dataset"] = _finite(dict(zip(names, outcome.by_dataset, strict=True)))
        if outcome.combined:
            more["weight_by_dataset"] = _finite(dict(zip(names, outcome.combined, strict=True)))
        left = self._pace.seconds_left(self.step)
        if left is not None:
            more["seconds_left"] = round(left, 1)
        if self._losses:  # none where every step since the last line was skipped
            more["loss"] = round(sum(self._losses) / len(self._losses), 6)
        lr = learning_rate(self._config.optim, step=self.step - 1, steps=self._config.steps)
        self._losses = []
        self._write(
            "step", lr=lr, images_per_s=round(rate, 2), data_wait=round(max(waits), 4), memory_bytes=max(memory), **more
        )
        self._tell(f"step {self.step} of {self._config.steps}: loss {more.get('loss', 'not a number')}, rate {lr:.3g}")

    def _is_due(self, every: int) -> bool:
        """Whether what happens every so many steps happens after this one; everything happens after the last."""
        return self.step > 0 and (self.step % every == 0 or self.step == self._config.steps)

    def _validate_if_due(self, stop: CancelToken) -> bool:
        """Validate once after a step that asks for it. False when `stop` cut it short: saved, done again on resume."""
        if not self._is_due(self._config.validate_every) or self._validated_step == self.step:
            return True
        if not len(self._parts.val):
            return True
        try:
            self._pace.begin()
            result = self._validate(stop)
        except Cancelled:
            self._save()
            return False
        self._pace.validation_done()
        self._judge(result)
        return True

    def _validate(self, stop: CancelToken) -> Validation:
        parts, ranks = self._parts, self.ranks
        with self._average.applied(parts.network):
            result = validate(
                parts.network,
                parts.val,
                head=parts.head,
                precision=self._config.precision,
                device=self.device,
                rank=ranks.rank,
                world=ranks.world,
                reduce=ranks,
                stop=stop,
                on_progress=self._on_validation,
            )
            for line in ranks.first_tells(self._write_samples):
                self._tell(line)
        return result

    def _write_samples(self) -> list[str]:
        """Predictions on the chosen images, of the weights that are validated; a line for each that cannot be read."""
        parts = self._parts
        return write_samples(
            self._folder.samples,
            self._images,
            parts.network,
            parts.val,
            step=self.step,
            head=parts.head,
            precision=self._config.precision,
            device=self.device,
        )

    def _on_validation(self, progress: Progress) -> None:
        self._say("validating", progress.done, progress.total)

    def _judge(self, result: Validation) -> None:
        """Write a validation down, and keep the weights when they are the best so far."""
        self._validated_step = self.step
        for event in validation_events(
            loss=result.loss, miou=result.miou, by_dataset=result.by_dataset, iou=result.iou
        ):
            self._write(event.pop("event"), **event)
        self._tell(f"step {self.step}: mIoU {100 * result.miou:.2f} on {result.images} images")
        if self.best is None or result.miou > self.best["miou"]:
            self.best = {"miou": result.miou, "step": self.step, "checkpoint": "best"}
            self._save(name="best")

    def _save(self, *, name: str | None = None) -> None:
        """Write a checkpoint in the first process while the others wait. Raises RunFailed in all when it cannot."""
        if name is None and self._saved_step == self.step and self._saved_validated == self._validated_step:
            return
        self._say("saving", 0, 0)
        self._check_same_weights()
        self.ranks.first_tells(lambda: self._save_here(name))
        if name is None:
            self._saved_step, self._saved_validated = self.step, self._validated_step
            self._write("save")
            self._tell(f"step {self.step}: saved")

    def _save_here(self, name: str | None) -> None:
        # Skipped steps may come from weights that went astray: what was saved before them must not give way.
        keep = self._config.keep + self._bad_steps
        try:
            save_checkpoint(self._folder.checkpoints, self._state(), name=name, keep=keep)
        except OSError as error:
            stays = f"the one of step {self._saved_step} stays" if self._saved_step else "there is none yet"
            raise RunFailed(
                f"the checkpoint of step {self.step} could not be written ({error.strerror}); {stays}. Make room, then "
                "continue the run",
                path=self._folder.checkpoints,
            ) from error

    def _check_same_weights(self) -> None:
        """Raise RunFailed in all processes when their weights are not the same bits: what is saved stands for all."""
        if self.ranks.world == 1:
            return
        digest = 0
        for tensor in self._parts.network.state_dict().values():
            digest = zlib.crc32(tensor.cpu().contiguous().view(-1).view(torch.uint8).numpy(), digest)
        digests = self.ranks.gather(digest)
        if len(set(digests)) > 1:
            raise RunFailed(f"the processes' weights are no longer the same at step {self.step}: {digests}")

    def _state(self) -> RunState:
        return RunState(
            step=self.step,
            network=dict(self._parts.network.state_dict()),
            average=self._average.state(),
            optimizer=optimizer_tensors(self._parts.network, self._parts.optimizer),
            best=self.best,
            config=config_as_dict(self._config),
            data_sha256=self._data_sha256,
            validated_step=self._validated_step,
            losses=self._losses,
        )

    def _begin(self) -> None:
        """Say what the run begins with."""
        if self._log is not None and not self._log.is_empty:
            self._write("resume", complaints=[])  # it died before its first checkpoint: readers drop what it wrote
        self._share_start()
        lines = list(self._parts.start_lines)
        self._write("start", start=self._config.start, lines=_fitting(lines), world_size=self.ranks.world)
        for line in lines:
            self._tell(line)

    def _share_start(self) -> None:
        """All processes begin with the first one's weights, whatever their machines made of the seed."""
        network = self._parts.network
        with torch.no_grad():
            for tensor in network.state_dict().values():
                same = tensor.contiguous()
                self.ranks.copy_from_first(same)
                tensor.copy_(same)
        self._average = WeightAverage(network, decay=self._config.optim.average_decay)

    def _resume(self, state: RunState, complaints: list[str]) -> None:
        """Continue from the newest checkpoint that verifies."""
        self.ranks.first_tells(lambda: _check_same_run(state, self._config, self._data_sha256))
        parts = self._parts
        parts.network.load_state_dict(state.network)
        load_optimizer(parts.network, parts.optimizer, state.optimizer)
        self._average.load(state.average)
        self.step, self.best, self._validated_step = state.step, state.best, state.validated_step
        self._saved_step, self._saved_validated, self._losses = state.step, state.validated_step, list(state.losses)
        self._write("resume", complaints=_fitting(complaints), world_size=self.ranks.world)
        for complaint in complaints:
            self._tell(complaint)
        self._tell(f"continued from the checkpoint of step {self.step}")

    def _write(self, event: str, **values: Any) -> None:
        if self._log is not None:
            self._log.append({"event": event, "step": self.step, "time": round(time.time(), 3), **values})

    def _tell(self, line: str) -> None:
        """A line for people: of the first process, what all would say alike."""
        if self.ranks.is_first:
            self._folder.append_log(0, line)

    def _say(self, phase: Phase, done: int, total: int) -> None:
        if self.ranks.is_first:
            left = self._pace.seconds_left(self.step) if phase != "loading" else None
            self._progress.update(phase, step=self.step, done=done, total=total, seconds_left=left)


def _newest(folder: RunFolder, ranks: Ranks) -> tuple[RunState | None, list[str]]:
    """The newest checkpoint that verifies, the same in all processes, and what is wrong with newer ones."""
    state, complaints = load_newest(folder.checkpoints)
    steps = ranks.gather(None if state is None else state.step)
    if len(set(steps)) > 1:
        raise RunFailed(
            f"the processes found checkpoints of different steps {steps}: the run's folder must lie on a disk that all "
            "machines share",
            path=folder.path,
        )
    if state is None and complaints:
        raise CheckpointError(f"no checkpoint verifies: {'; '.join(complaints)}", path=folder.path)
    return state, complaints


def _check_same_run(state: RunState, config: TrainConfig, data_sha256: str) -> None:
    """Raise ConfigError when the checkpoint belongs to another configuration or other data."""
    now, then = config_as_dict(config), config_as_dict(config_from_dict(state.config))
    for values in (now, then):
        for dataset in values["datasets"]:
            # The data may move: their hash says whether they are the same.
            dataset["description"] = dataset["root"] = ""
    changed = [key for key in now if key not in MAY_CHANGE_ON_RESUME and now[key] != then[key]]
    if changed:
        raise ConfigError(f"{', '.join(changed)} changed since the last checkpoint; start a new run for that")
    if state.data_sha256 != data_sha256:
        raise ConfigError("the training images or labels changed since the last checkpoint")


def _memory_bytes(device: torch.device) -> int:
    """The most that this process ever held on its GPU; on other devices what it holds in memory."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return int(psutil.Process().memory_info().rss)


def _fitting(lines: list[str]) -> list[str]:
    """As many of the lines as a line of metrics holds, each cut to a readable length, and how many more there are."""
    kept: list[str] = []
    for number, line in enumerate(lines):
        cut = line if len(line) <= 300 else f"{line[:300]}..."
        if sum(_json_bytes(one) + 2 for one in kept) + _json_bytes(cut) > _LINES_BYTES:
            return [*kept, f"and {len(lines) - number} more"]
        kept.append(cut)
    return kept


def _json_bytes(text: str) -> int:
    """At most what the text takes in a line of JSON, where quotes and what is no UTF-8 are escaped."""
    return len(json.dumps(text))


def _finite(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 5) for name, value in values.items() if math.isfinite(value)}
